"""What the wheelhouse knows of one wheel, or one stub. `records` keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from packaging.utils import parse_wheel_filename

if TYPE_CHECKING:
    from datetime import datetime

    from packaging.tags import Tag
    from packaging.utils import NormalizedName
    from packaging.version import Version

    from wheelhouse_builder.verify.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class StoredWheel:
    """A wheel in the wheelhouse, and how it came there."""

    filename: str
    name: NormalizedName
    version: Version
    sha256: str  # hexadecimal
    size: int  # bytes
    metadata_sha256: str  # of its METADATA, which lies beside it as `<filename>.metadata`
    requires_python: str | None = None
    origin: str  # "fetched", "built" or "uploaded"
    url: str | None = None  # where it was fetched from
    source_sha256: str | None = None  # of the sdist or source tree that it was built from
    request_key: str | None = None  # all that shapes the build, before its build requirements are known
    build_key: str | None = None  # the same with them
    built_for: str | None = None  # str(Target)
    # Of a project that builds by our wrapper: the project keys by which that finds the wheel again, each with the
    # target that it is made for. Sources that differ may give the same wheel.
    project_keys: tuple[tuple[str, str], ...] = ()
    engine: str | None = None
    native_tools: str | None = None  # what ran natively in a container of another architecture: "zig 0.17.1, …"
    seconds: float | None = None  # wall time of the build
    notes: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    published_at: datetime | None = None  # UTC, of the first generation that had it; never changes
    yanked: str | None = None  # why its version is yanked; kept for the version, with the files that are still to come

    @property
    def tags(self) -> frozenset[Tag]:
        """The compatibility tags in the file name."""
        return parse_wheel_filename(self.filename)[-1]


@dataclass(frozen=True, kw_only=True)
class StoredStub:
    """An sdist in the wheelhouse that holds no source and resolves to the wheels of its version."""

    filename: str
    name: NormalizedName
    version: Version
    sha256: str  # hexadecimal
    size: int  # bytes
    requires_python: str | None = None
    published_at: datetime | None = None  # UTC, as of wheels
    yanked: str | None = None  # with its version


class Seen(NamedTuple):
    """How the two files of a wheel were when their content was last known to be right; zeros: not known.

    A stub is one file.
    """

    mtime_ns: int = 0
    metadata_mtime_ns: int = 0
    metadata_size: int = 0


class Facts(NamedTuple):
    """What it takes to look at the files of a wheel, or at a stub."""

    filename: str
    name: str
    sha256: str
    size: int
    metadata_sha256: str | None  # None: a stub
    published: bool
    seen: Seen

    @property
    def is_stub(self) -> bool:
        """Whether nothing lies beside it."""
        return self.metadata_sha256 is None
