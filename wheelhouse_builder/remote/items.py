"""What is copied: each object with its key, its place in the order, its digest and its HTTP headers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FOR_EVER = "public, max-age=31536000, immutable"  # the name of a wheel or stub stands for one content
_SHORT = "public, max-age=300"  # seconds: how long a cache may show the state before
_ENCODINGS = {".gz": "gzip", ".zst": "zstd"}
_SDIST = ".tar.gz"  # is fetched and hashed as it is, never unpacked on the way
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".v1_json": "application/vnd.pypi.simple.v1+json",
    ".json": "application/json",
    ".metadata": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".toml": "application/toml",
}


class Stage(IntEnum):
    """The order of copying. What a page names is there before the page."""

    WHEELS = 1  # and their metadata, and stubs: they never change
    PAGES = 2  # of the projects
    COPIES = 3  # the same, compressed
    REST = 4  # the flat page, locks, pages for people
    ROOT = 5  # the list of projects

    @property
    def title(self) -> str:
        """For people."""
        return ("wheels", "project pages", "compressed pages", "links, locks and lists", "index")[self - 1]


class DirectoryPages(StrEnum):
    """What lies under a key that ends in a slash (`simple/cffi/`), which is what installers ask for.

    A web server finds `index.html` there by itself, a plain object store does not.
    """

    HTML = "html"
    JSON = "json"
    NONE = "none"


class Verify(StrEnum):
    """How much of what is there already is looked at."""

    QUICK = "quick"  # what the manifest does not vouch for
    LISTING = "listing"  # and that the rest is there, with its size
    FULL = "full"  # everything is read back, also what is written now


@dataclass(frozen=True, kw_only=True)
class Headers:
    """What a store says of an object to each client."""

    content_type: str
    cache_control: str
    content_encoding: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One object to be there."""

    key: str  # relative to the destination
    stage: Stage
    source: Path
    sha256: str
    size: int  # bytes

    @property
    def headers(self) -> Headers:
        """What the store shall say of it."""
        return headers_of(self.source.name)

    @property
    def immutable(self) -> bool:
        """Whether its key stands for one content for ever."""
        return self.stage is Stage.WHEELS


@dataclass(frozen=True, kw_only=True)
class Found:
    """One object that is there; `sha256` is None where the size alone says that it is another."""

    size: int
    sha256: str | None


def headers_of(name: str) -> Headers:
    """The headers of an object from the name of its file."""
    plain, encoding = name, None
    for suffix, value in _ENCODINGS.items():
        if name.endswith(suffix) and not name.endswith(_SDIST):
            plain, encoding = name.removesuffix(suffix), value
    kind = next((value for suffix, value in _TYPES.items() if plain.endswith(suffix)), "application/octet-stream")
    for_ever = plain.endswith((".whl", ".whl.metadata", _SDIST))
    return Headers(content_type=kind, cache_control=_FOR_EVER if for_ever else _SHORT, content_encoding=encoding)
