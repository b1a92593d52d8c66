"""A text of the index as it lies in memory: its bytes in every coding, each with its entity tag.

What is very large stays on the disk: the flat page of 100,000 wheels has 60 MB, and is rarely asked for.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, NamedTuple

from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.index import packing
from wheelhouse_builder.server.negotiation import Coding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_SUFFIXES = {Coding.GZIP: ".gz", Coding.ZSTD: ".zst"}
_TAG_SUFFIXES = {Coding.IDENTITY: "", Coding.GZIP: "-gz", Coding.ZSTD: "-zst"}
_UNPACK: Mapping[Coding, Callable[[bytes], bytes]] = {
    Coding.GZIP: gzip.decompress,
    Coding.ZSTD: packing.zstd.decompress,
}
_WORTH_PACKING = range(256, 1 << 20)  # bytes: less gains nothing, more would hold up the load


class Packed(NamedTuple):
    """The bytes in one coding. A bare tuple, since there are six for every project."""

    body: bytes | Path  # a file, if they are many
    size: int  # of them
    etag: bytes  # strong, with its quotes


@dataclass(frozen=True, slots=True)
class Document:
    """One text in the codings that there are."""

    codings: Mapping[Coding, Packed]
    modified: bytes  # as an HTTP date

    @property
    def plain(self) -> bytes:
        """The bytes as they are. Raises `OSError`."""
        body = self.codings[Coding.IDENTITY].body
        return body if isinstance(body, bytes) else body.read_bytes()


def packed(body: bytes, coding: Coding = Coding.IDENTITY) -> Packed:
    """Bytes in a coding, with their entity tag."""
    return Packed(body, len(body), _etag(hashlib.sha256(body).hexdigest(), coding))


def read_document(path: Path) -> Document:
    """Read a file and its packed copies `.gz` and `.zst`; a small text without them gets them.

    Raises `OSError`, and something else when a copy cannot be unpacked or is one of another text.
    """
    plain = _read(path, Coding.IDENTITY)
    found = {Coding.IDENTITY: plain}
    for coding, suffix in _SUFFIXES.items():
        with contextlib.suppress(FileNotFoundError):
            found[coding] = _read(path.with_name(path.name + suffix), coding)
    if isinstance(plain.body, bytes):
        _require_copies(path, plain.body, found)
        if len(plain.body) in _WORTH_PACKING and len(found) <= len(_SUFFIXES):
            made = packing.packed("", plain.body)
            found = {coding: packed(made[suffix], coding) for coding, suffix in _SUFFIXES.items()} | found
    return Document(found, formatdate(path.stat().st_mtime, usegmt=True).encode())


def _read(path: Path, coding: Coding) -> Packed:
    size = path.stat().st_size
    if size <= packing.MAX_BYTES:
        return packed(path.read_bytes(), coding)
    return Packed(path, size, _etag(sha256_of(path), coding))


def _require_copies(path: Path, body: bytes, found: Mapping[Coding, Packed]) -> None:
    for coding, unpack in _UNPACK.items():
        copy = found[coding].body if coding in found else None
        if copy is not None and not (isinstance(copy, bytes) and unpack(copy) == body):
            raise ValueError(f"{path.name}{_SUFFIXES[coding]} is not a copy of {path}")


def _etag(digest: str, coding: Coding) -> bytes:
    return f'"{digest[:32]}{_TAG_SUFFIXES[coding]}"'.encode()
