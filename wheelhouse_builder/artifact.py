"""What travels through the pipeline: source distributions, source trees and wheels, as values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.utils import parse_sdist_filename, parse_wheel_filename

if TYPE_CHECKING:
    from datetime import datetime

    from packaging.tags import Tag
    from packaging.utils import BuildTag, NormalizedName
    from packaging.version import Version

parse_wheel_name = lru_cache(1 << 14)(parse_wheel_filename)  # whoever handles a wheel asks again what its name says


def project_in(filename: str) -> tuple[NormalizedName, Version]:
    """Project and version in the name of a wheel or an sdist. Raises `InvalidWheelFilename`, `InvalidSdistFilename`."""
    return parse_wheel_name(filename)[:2] if filename.endswith(".whl") else parse_sdist_filename(filename)


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file that the lock names: where it is and what it must be."""

    name: NormalizedName
    version: Version | None  # None: a direct URL whose file name tells no version
    filename: str
    url: str  # https://, http:// or file://
    sha256: str  # hexadecimal
    size: int | None = None  # bytes
    upload_time: datetime | None = None  # UTC


@dataclass(frozen=True, kw_only=True)
class Sdist(RemoteFile):
    """A source distribution, to be built."""

    @property
    def source_id(self) -> str:
        """What identifies the content: its digest."""
        return self.sha256


@dataclass(frozen=True, kw_only=True)
class Wheel(RemoteFile):
    """An upstream wheel, to be fetched."""

    @property
    def tags(self) -> frozenset[Tag]:
        """The compatibility tags in the file name."""
        return parse_wheel_filename(self.filename)[-1]

    @property
    def build(self) -> BuildTag:
        """The build tag in the file name, `()` without one."""
        return parse_wheel_filename(self.filename)[2]


@dataclass(frozen=True, kw_only=True)
class SourceTree:
    """A local directory, to be built."""

    name: NormalizedName
    version: Version | None
    path: str  # absolute
    digest: str  # sha256 over its files, without what version control and builds leave behind
    config_settings: tuple[tuple[str, tuple[str, ...]], ...] = ()  # what a front end gave, in the order of the names

    @property
    def source_id(self) -> str:
        """What identifies the content, and how it is to be built: its digest."""
        if not self.config_settings:
            return self.digest
        return hashlib.sha256(f"{self.digest}{self.config_settings!r}".encode()).hexdigest()


Source = Sdist | SourceTree


def describe(item: RemoteFile | SourceTree) -> str:
    """`cffi 2.1.1`, for people."""
    return f"{item.name} {item.version}" if item.version else item.name
