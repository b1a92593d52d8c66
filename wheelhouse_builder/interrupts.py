"""Ctrl-C and SIGTERM: the first asks the run to stop in order, the second ends it and its children at once."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from wheelhouse_builder.process import Canceller

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def cancelling(canceller: Canceller) -> Iterator[None]:
    """While this lasts, SIGINT and SIGTERM cancel the run instead of raising anywhere."""

    def stop(number: int, frame: FrameType | None) -> None:
        if canceller.cancelled:
            kill_descendants(os.getpid())
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        canceller.cancel()

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def kill_descendants(pid: int) -> None:
    """SIGKILL to every process below this one. They are in sessions of their own, where the terminal does not reach."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            # "PID (name) state PPID …": the name may hold spaces and brackets
            parent = int(status.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    below = list(children.get(pid, ()))
    for child in below:
        below.extend(children.get(child, ()))
    for child in below:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)
