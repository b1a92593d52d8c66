"""The compressed copies of a page: what a static web server sends as it lies there.

The levels are measured (docs/decisions/0011-zstd.md). Equal pages give equal copies as long as the libraries are equal,
so their versions are part of how pages are written.
"""

from __future__ import annotations

import gzip
import zlib

from wheelhouse_builder.zstd import zstd

__all__ = ["FORM", "MAX_BYTES", "SUFFIXES", "packed", "zstd"]

SUFFIXES = (".gz", ".zst")
MAX_BYTES = 4 << 20  # a larger page is packed by whoever sends it
_GZIP_LEVEL = 9
_ZSTD_LEVEL = 5

FORM = f"gzip {_GZIP_LEVEL} zlib {zlib.ZLIB_RUNTIME_VERSION} zstd {_ZSTD_LEVEL} {zstd.zstd_version} up to {MAX_BYTES}"


def packed(name: str, content: bytes) -> dict[str, bytes]:
    """A page with its copies, by name."""
    if len(content) > MAX_BYTES:
        return {name: content}
    return {
        name: content,
        f"{name}.gz": gzip.compress(content, _GZIP_LEVEL, mtime=0),
        f"{name}.zst": zstd.compress(content, _ZSTD_LEVEL),
    }
