"""What the index tells of a wheel, and of a stub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from packaging.utils import NormalizedName
    from packaging.version import Version


class Offered(Protocol):
    """A file as the index needs it (`wheelhouse.stored.StoredStub`)."""

    @property
    def filename(self) -> str: ...
    @property
    def name(self) -> NormalizedName: ...
    @property
    def version(self) -> Version: ...
    @property
    def sha256(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def requires_python(self) -> str | None: ...
    @property
    def published_at(self) -> datetime | None: ...
    @property
    def yanked(self) -> str | None: ...


class Published(Offered, Protocol):
    """A wheel as the index needs it (`wheelhouse.stored.StoredWheel`)."""

    @property
    def metadata_sha256(self) -> str: ...
    @property
    def project_keys(self) -> Sequence[tuple[str, str]]: ...
