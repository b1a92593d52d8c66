"""Lock files between threads and processes, whose wait Ctrl-C ends. The file stays: who waits has it open already."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wheelhouse_builder.process import Canceller

_POLL_SECONDS = 0.05


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` if nobody does; whether it is held. Waits for nobody."""
    with _opened(path) as handle:
        yield _takes(handle)


@contextmanager
def locked(
    path: Path, canceller: Canceller | None = None, *, waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the lock file `path`, whose folder must be there; `waiting` is called every now and then until it is free.

    The operating system ends the lock of a process that dies. Raises `Cancelled`, and whatever `waiting` raises.
    """
    with _opened(path) as handle:
        while True:
            if canceller is not None:
                canceller.check()
            if _takes(handle):
                break
            waiting()
            time.sleep(_POLL_SECONDS)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        yield handle
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)  # closing alone does not end it while a process that was forked has it too
        os.close(handle)


def _takes(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
