"""CPU time of every process that ends, by the name of its program: the kernel's process accounting, for root alone.

Containers are no boundary for it, which is what it is for: docker's children are not the children of who asks docker.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# struct acct_v3 of linux/acct.h: flag, version, tty, six numbers, elapsed time, eight comp_t, command
_RECORD = struct.Struct("<BBH6If8H16s")
_TICKS = 100  # a second (AHZ)


@contextlib.contextmanager
def accounted() -> Iterator[Mapping[str, float]]:
    """Seconds of CPU by program, of all processes that end in the block; filled at its end.

    Raises `OSError` for who is not root, and where the kernel has no accounting.
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    with TemporaryDirectory() as folder:
        file = Path(folder, "acct")
        file.touch()
        _account(bytes(file))
        try:
            yield seconds
        finally:
            _account(None)
            for record in _RECORD.iter_unpack(file.read_bytes()):
                seconds[record[-1].rstrip(b"\0").decode(errors="replace")] += _seconds(record[10]) + _seconds(
                    record[11]
                )


def _account(file: bytes | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.acct(file):
        raise OSError(ctypes.get_errno(), f"acct: {os.strerror(ctypes.get_errno())}")


def _seconds(compressed: int) -> float:
    """A comp_t: 13 bits, times 8 to the power of the three bits before them."""
    return float((compressed & 0x1FFF) << (compressed >> 13) * 3) / _TICKS
