"""Lock files between threads and processes, whose wait Ctrl-C ends."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wheelhouse_builder.process import Canceller

_WAIT_SECONDS = 0.2
_POLL_SECONDS = 0.05


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` if nobody does; whether it is held. Waits for nobody."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def locked(
    path: Path, canceller: Canceller | None = None, *, waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the lock file `path`, whose folder must be there; `waiting` is called every now and then until it is free.

    The operating system ends the lock of a process that dies. Raises `Cancelled`, and whatever `waiting` raises.
    """
    lock = FileLock(path)
    while True:
        if canceller is not None:
            canceller.check()
        try:
            lock.acquire(timeout=_WAIT_SECONDS, poll_interval=_POLL_SECONDS)
            break
        except Timeout:
            waiting()
    try:
        yield
    finally:
        lock.release()
