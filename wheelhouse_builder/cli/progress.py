"""Progress, as two listeners on the same events: one line for each event, or a picture of what each job is doing."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wheelhouse_builder.cli.console import clean
from wheelhouse_builder.events import (
    Event,
    JobFinished,
    JobPhase,
    JobStarted,
    Level,
    Note,
    Outcome,
    RunPhase,
    RunPlanned,
)
from wheelhouse_builder.report.table import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from wheelhouse_builder.cli.console import Console
    from wheelhouse_builder.events import Listener

_STYLES = {Outcome.DONE: "green", Outcome.FAILED: "red", Outcome.BLOCKED: "yellow", Outcome.CANCELLED: "yellow"}


@contextmanager
def progress(console: Console) -> Iterator[Listener]:
    """The listener that suits the console, for as long as the run lasts."""
    if console.live:
        with _live(console) as listener:
            yield listener
    else:
        yield PlainProgress(console)


@dataclass(frozen=True)
class PlainProgress:
    """One line for each event: phases only with `-v`, with `-q` warnings and failures alone. Safe in threads."""

    console: Console
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self, event: Event) -> None:
        """Print the event."""
        line = event_line(event, self.console)
        if line is not None:
            with self._lock:
                print(line, file=self.console.err, flush=True)


def event_line(event: Event, console: Console) -> str | None:
    """What one event looks like, None if it is not to be shown at this verbosity."""
    match event:
        case Note():
            warning = event.level is Level.WARNING
            label = console.paint("warning:", "yellow") + " " if warning else ""
            return label + clean(event.text) if warning or console.verbosity >= 0 else None
        case JobStarted():
            return f"start   {clean(event.title)}" if console.verbosity >= 0 else None
        case JobPhase():
            return f"        {clean(event.job)}: {clean(event.phase)}" if console.verbosity > 0 else None
        case JobFinished():
            return finished_line(event, console) if console.verbosity >= 0 or event.outcome is Outcome.FAILED else None
        case RunPhase() | RunPlanned():
            return None


def finished_line(event: JobFinished, console: Console) -> str:
    """`done    cffi 2.1.1 for … (12 s)`, or why not."""
    word = console.paint(f"{event.outcome:7}", _STYLES[event.outcome])
    reason = f": {clean(event.message)}" if event.message else ""
    return f"{word} {clean(event.title)} ({duration(event.seconds)}){reason}"


@dataclass
class Running:
    """The jobs that run now."""

    jobs: dict[str, tuple[str, str, float]] = field(default_factory=dict)  # id → title, phase, when it started
    lock: threading.Lock = field(default_factory=threading.Lock)

    def update(self, event: Event, now: float) -> None:
        """Take in an event; `now` is a monotonic time in seconds."""
        with self.lock:
            match event:
                case JobStarted():
                    self.jobs[event.job] = (event.title, "", now)
                case JobPhase() if event.job in self.jobs:
                    title, _, started = self.jobs[event.job]
                    self.jobs[event.job] = (title, event.phase, started)
                case JobFinished():
                    self.jobs.pop(event.job, None)

    def rows(self, now: float) -> list[tuple[str, str, str]]:
        """Title, phase and elapsed time of each job, oldest first."""
        with self.lock:
            return [(clean(title), clean(phase), duration(now - start)) for title, phase, start in self.jobs.values()]


@contextmanager
def _live(console: Console) -> Iterator[Listener]:
    """The running jobs redrawn four times a second; what is finished scrolls above them."""
    from rich.console import Console as RichConsole
    from rich.live import Live
    from rich.text import Text

    running = Running()
    screen = RichConsole(file=console.err, no_color=not console.color, highlight=False)
    with Live(get_renderable=_picture(running), console=screen, refresh_per_second=4, transient=True) as live:

        def listen(event: Event) -> None:
            running.update(event, time.monotonic())
            line = None if isinstance(event, JobStarted | JobPhase) else event_line(event, console)
            if line is not None:
                live.console.print(Text.from_ansi(line), soft_wrap=True)

        yield listen


def _picture(running: Running) -> Callable[[], RenderableType]:
    from rich.spinner import Spinner
    from rich.table import Table

    spinner = Spinner("dots")

    def draw() -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        for title, phase, elapsed in running.rows(time.monotonic()):
            grid.add_row(spinner, title, phase, elapsed)
        return grid

    return draw
