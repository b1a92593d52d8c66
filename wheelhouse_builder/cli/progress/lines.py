"""Progress as lines: one for each event; on CI those of a phase of the run make a group that folds away."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from wheelhouse_builder.cli.ci import group_end, group_start
from wheelhouse_builder.cli.console import clean
from wheelhouse_builder.cli.progress.standing import time_left
from wheelhouse_builder.events import (
    Event,
    JobFinished,
    JobPhase,
    JobRetried,
    JobStarted,
    Level,
    Note,
    Outcome,
    RunPhase,
    RunPlanned,
)
from wheelhouse_builder.report.table import duration
from wheelhouse_builder.schedule.forecast import forecast

if TYPE_CHECKING:
    from wheelhouse_builder.cli.console import Console

_STYLES = {
    Outcome.DONE: "green",
    Outcome.FAILED: "red",
    Outcome.CANCELLED: "yellow",
}


@dataclass
class PlainProgress:
    """One line for each event: phases only with `-v`, with `-q` warnings and failures alone. Safe in threads."""

    console: Console
    _group: str = ""  # the phase of the run whose group is open
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self, event: Event) -> None:
        """Print the event."""
        with self._lock:
            if isinstance(event, RunPhase):
                self._open(event.phase)
            elif (line := event_line(event, self.console)) is not None:
                print(self.console.harmless(line), file=self.console.err, flush=True)

    def close(self) -> None:
        """The run has ended: what is printed now belongs to no group."""
        with self._lock:
            self._open("")

    def _open(self, name: str) -> None:
        if self.console.ci is None or self.console.verbosity < 0:
            return
        if self._group:
            print(group_end(self.console.ci, self._group, time.time()), file=self.console.err, flush=True)
        if name:
            print(group_start(self.console.ci, name, time.time()), file=self.console.err, flush=True)
        self._group = name


def event_line(event: Event, console: Console) -> str | None:
    """What one event looks like, None if it is not to be shown at this verbosity."""
    normal = console.verbosity >= 0
    match event:
        case Note():
            warning = event.level is Level.WARNING
            label = console.paint("warning:", "yellow") + " " if warning else ""
            return label + clean(event.text) if warning or normal else None
        case RunPhase():
            return None
        case RunPlanned():
            return planned_line(event) if normal and event.jobs else None
        case JobStarted():
            return f"start   {clean(event.title)}" if normal else None
        case JobPhase():
            return f"        {clean(event.job)}: {clean(event.phase)}" if console.verbosity > 0 else None
        case JobRetried():
            return retried_line(event, console) if normal else None
        case JobFinished():
            return finished_line(event, console) if normal or event.outcome is Outcome.FAILED else None
        case _:
            assert_never(event)


def planned_line(event: RunPlanned) -> str:
    """`412 jobs, about 12 min`"""
    count = "1 job" if len(event.jobs) == 1 else f"{len(event.jobs)} jobs"
    return f"{count}, {time_left(forecast(event.jobs, event.room))}"


def finished_line(event: JobFinished, console: Console) -> str:
    """`done    cffi 2.1.1 for … (12 s)`, or why not."""
    word = console.paint(f"{event.outcome:7}", _STYLES[event.outcome])
    reason = f": {clean(event.message)}" if event.message else ""
    return f"{word} {clean(event.title)} ({duration(event.seconds)}){reason}"


def retried_line(event: JobRetried, console: Console) -> str:
    """`again   cffi 2.1.1 for … (12 s), in 2 s: …`"""
    word = console.paint(f"{'again':7}", "yellow")
    alone = ", alone" if event.alone else ""
    when = f", in {duration(event.delay)}" if event.delay else ""
    return f"{word} {clean(event.title)} ({duration(event.seconds)}){when}{alone}: {clean(event.message)}"
