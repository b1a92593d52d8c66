"""Zstandard: of Python since 3.14, of a package that has the same for older ones."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
