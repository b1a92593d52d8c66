"""One writer at a time, and everyone who waits can see for whom."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import MachineError
from wheelhouse_builder.events import Listener, Note, ignore
from wheelhouse_builder.locking import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wheelhouse_builder.process import Canceller


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who writes."""

    pid: int
    host: str
    command: str
    since: str  # ISO 8601, UTC

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} ({self.command}, since {self.since})"


@contextlib.contextmanager
def exclusive(
    path: Path, *, wait: float, listener: Listener = ignore, canceller: Canceller | None = None
) -> Iterator[None]:
    """Hold the lock file `path`, waiting up to `wait` seconds for another process to let it go.

    The holder is written to `<path>.holder`; whoever waits is told with one `Note`. The operating system ends the lock
    of a process that dies. Raises `MachineError` naming the holder when the time is over, `Cancelled`.
    """
    deadline = time.monotonic() + wait
    told = False

    def waiting() -> None:
        nonlocal told
        holder = read_holder(path) or "another process"
        if wait and not told:
            listener(Note(text=f"waiting for {holder}, which is writing to {path.parent.parent}"))
            told = True
        if time.monotonic() >= deadline:
            raise MachineError(f"{path.parent.parent} is in use by {holder}", hint="wait until it ends, or end it")

    with locked(path, canceller, waiting=waiting):
        note = _holder_file(path)
        try:
            _write_holder(note)
            yield
        finally:
            note.unlink(missing_ok=True)


def read_holder(path: Path) -> Holder | None:
    """Who holds the lock file, if it said so."""
    try:
        return Holder(**json.loads(_holder_file(path).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _holder_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.holder")


def _write_holder(note: Path) -> None:
    holder = Holder(
        pid=os.getpid(),
        host=os.uname().nodename,
        command=" ".join(sys.argv)[:200],
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    temporary = note.with_name(f"{note.name}.new")
    temporary.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    temporary.replace(note)
