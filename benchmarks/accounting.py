"""CPU time of processes that end, in containers too, where they are nobody's children: the kernel's process accounting.

For root alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

# struct acct_v3 of linux/acct.h: flag, version, tty; exit code, uid, gid, pid, ppid, start; length; times; command
_RECORD = struct.Struct("<BBH6If8H16s")
_TICKS = 100  # a second (AHZ)


class Ended(NamedTuple):
    """A process that ended."""

    pid: int
    parent: int
    program: str  # 15 bytes of its name
    seconds: float  # of CPU, without its children


@contextlib.contextmanager
def accounted() -> Iterator[Sequence[Ended]]:
    """All processes of the machine that end in the block; filled at its end.

    Raises `OSError` for who is not root, and where the kernel has no accounting.
    """
    ended: list[Ended] = []
    with TemporaryDirectory() as folder:
        file = Path(folder, "acct")
        file.touch()
        _account(bytes(file))
        try:
            yield ended
        finally:
            _account(None)
            ended += (_read(record) for record in _RECORD.iter_unpack(file.read_bytes()))


def descendants(ended: Sequence[Ended], roots: Collection[int]) -> Iterator[Ended]:
    """Those among them that come from processes with these numbers."""
    parents = {process.pid: process.parent for process in ended}
    for process in ended:
        line = [process.pid]
        while line[-1] not in roots and (parent := parents.get(line[-1])) and parent not in line:  # numbers are reused
            line.append(parent)
        if line[-1] in roots:
            yield process


def _account(file: bytes | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.acct(file):
        raise OSError(ctypes.get_errno(), f"acct: {os.strerror(ctypes.get_errno())}")


def _read(record: Sequence[int | float | bytes]) -> Ended:
    pid, parent, user, system, name = (record[index] for index in (6, 7, 10, 11, -1))
    assert isinstance(name, bytes)
    seconds = _seconds(int(user)) + _seconds(int(system))
    return Ended(int(pid), int(parent), name.rstrip(b"\0").decode(errors="replace"), seconds)


def _seconds(compressed: int) -> float:
    """A comp_t: 13 bits, times 8 to the power of the three bits before them."""
    return float((compressed & 0x1FFF) << (compressed >> 13) * 3) / _TICKS
