"""A text of the index as it lies in memory: its bytes in every coding, each with its entity tag.

What is very large stays on the disk: the flat page of 100,000 wheels has 60 MB, and is rarely asked for.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import zlib
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, NamedTuple

from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.server.negotiation import Coding

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SUFFIXES = {Coding.GZIP: ".gz", Coding.ZSTD: ".zst"}
_TAG_SUFFIXES = {Coding.IDENTITY: "", Coding.GZIP: "-gz", Coding.ZSTD: "-zst"}
_MOST_IN_MEMORY = 4 << 20  # bytes of one text
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
    """Read a file and its packed copies `.gz` and `.zst`; a small text without a gzip copy gets one.

    Raises `OSError`, and `ValueError` when the copy is one of another text.
    """
    plain = _read(path, Coding.IDENTITY)
    found = {Coding.IDENTITY: plain}
    for coding, suffix in _SUFFIXES.items():
        with contextlib.suppress(FileNotFoundError):
            found[coding] = _read(path.with_name(path.name + suffix), coding)
    if isinstance(plain.body, bytes):
        if Coding.GZIP not in found and len(plain.body) in _WORTH_PACKING:
            found[Coding.GZIP] = packed(gzip.compress(plain.body, 6, mtime=0), Coding.GZIP)
        if Coding.GZIP in found and not _is_gzip_of(plain.body, found[Coding.GZIP].body):
            raise ValueError(f"{path.name}.gz is not a copy of {path}")
    return Document(found, formatdate(path.stat().st_mtime, usegmt=True).encode())


def _read(path: Path, coding: Coding) -> Packed:
    size = path.stat().st_size
    if size <= _MOST_IN_MEMORY:
        return packed(path.read_bytes(), coding)
    return Packed(path, size, _etag(sha256_of(path), coding))


def _is_gzip_of(body: bytes, copy: bytes | Path) -> bool:
    """Whether a gzip file ends with the checksum and the length of these bytes (RFC 1952)."""
    trailer = zlib.crc32(body).to_bytes(4, "little") + len(body).to_bytes(4, "little")
    return isinstance(copy, bytes) and copy[-8:] == trailer


def _etag(digest: str, coding: Coding) -> bytes:
    return f'"{digest[:32]}{_TAG_SUFFIXES[coding]}"'.encode()
