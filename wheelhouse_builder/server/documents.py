"""A text of the index as it lies in memory: its bytes in every coding, each with its entity tag."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, NamedTuple

from wheelhouse_builder.errors import DamagedError
from wheelhouse_builder.server.negotiation import Coding

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SUFFIXES = {Coding.GZIP: ".gz", Coding.ZSTD: ".zst"}
_TAG_SUFFIXES = {Coding.IDENTITY: "", Coding.GZIP: "-gz", Coding.ZSTD: "-zst"}
_WORTH_PACKING = range(256, 1 << 20)  # bytes: less gains nothing, more would hold up the load


class Packed(NamedTuple):
    """The bytes in one coding. A bare tuple, since there are six for every project."""

    body: bytes
    etag: bytes  # strong, with its quotes


@dataclass(frozen=True, slots=True)
class Document:
    """One text in the codings that there are."""

    codings: Mapping[Coding, Packed]
    modified: bytes  # as an HTTP date

    @property
    def text(self) -> bytes:
        """The bytes as they are."""
        return self.codings[Coding.IDENTITY].body


def read_document(path: Path) -> Document:
    """Read a file and its packed copies `.gz` and `.zst`; a small text without a gzip copy gets one.

    Raises `OSError`, and `DamagedError` when the copy is one of another text.
    """
    body = path.read_bytes()
    modified = formatdate(path.stat().st_mtime, usegmt=True).encode()
    bodies = {Coding.IDENTITY: body} | {coding: copy for coding in _SUFFIXES if (copy := _copy(path, coding))}
    if Coding.GZIP not in bodies and len(body) in _WORTH_PACKING:
        bodies[Coding.GZIP] = gzip.compress(body, 6, mtime=0)
    if Coding.GZIP in bodies and bodies[Coding.GZIP][-8:] != _gzip_trailer(body):
        raise DamagedError(f"{path.name}.gz is not a copy of {path}", hint="`whb index` publishes a new generation")
    return Document({coding: Packed(data, _etag(data, coding)) for coding, data in bodies.items()}, modified)


def _copy(path: Path, coding: Coding) -> bytes | None:
    try:
        return path.with_name(path.name + _SUFFIXES[coding]).read_bytes()
    except FileNotFoundError:
        return None


def _gzip_trailer(body: bytes) -> bytes:
    """What the gzip form of these bytes ends with: checksum and length (RFC 1952)."""
    return zlib.crc32(body).to_bytes(4, "little") + (len(body) & 0xFFFFFFFF).to_bytes(4, "little")


def _etag(data: bytes, coding: Coding) -> bytes:
    return f'"{hashlib.sha256(data).hexdigest()[:32]}{_TAG_SUFFIXES[coding]}"'.encode()
