"""Progress as a picture that redraws itself: the jobs that run, how many there are, how long the rest will take."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console as RichConsole
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from wheelhouse_builder.cli.console import clean
from wheelhouse_builder.cli.progress.lines import event_line
from wheelhouse_builder.cli.progress.standing import Standing, brief_time_left
from wheelhouse_builder.events import Event, JobFinished, JobPhase, JobStarted, RunPhase
from wheelhouse_builder.report.table import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import ConsoleOptions, RenderResult

    from wheelhouse_builder.cli.console import Console
    from wheelhouse_builder.events import Listener

_FRAMES_PER_SECOND = 4
_LINES_KEPT = 3  # of the screen: the counts, how many jobs are not shown, the cursor


@contextmanager
def live(console: Console) -> Iterator[Listener]:
    """The picture, for as long as the run lasts; what has ended scrolls above it."""
    standing = Standing()
    screen = RichConsole(file=console.err, no_color=not console.color, highlight=False)
    picture = Picture(standing=standing)
    with Live(picture, console=screen, refresh_per_second=_FRAMES_PER_SECOND, transient=True) as drawn:

        def listen(event: Event) -> None:
            standing.update(event, time.monotonic())
            picture.outdated |= isinstance(event, JobFinished)
            line = None if isinstance(event, JobStarted | JobPhase | RunPhase) else event_line(event, console)
            if line is not None:
                drawn.console.print(Text.from_ansi(line), soft_wrap=True)

        yield listen


@dataclass(kw_only=True)
class Picture:
    """As many lines as the screen has room for, each of one line's width."""

    standing: Standing
    clock: Callable[[], float] = time.monotonic  # seconds
    outdated: bool = True  # whether what is left has changed otherwise than by the clock
    _left: str = ""
    _counted: float = 0.0  # when
    _spinner: Spinner = field(default_factory=lambda: Spinner("dots"))

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        now, running = self.clock(), self.standing.running
        room = max(options.size.height - _LINES_KEPT, 1)
        grid = Table.grid(padding=(0, 1))
        for _ in range(4):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        for job in running[:room]:
            grid.add_row(self._spinner, clean(job.title), clean(job.phase), duration(now - job.started))
        if not running and (phase := self.standing.phase):
            grid.add_row(self._spinner, clean(phase.title), "", duration(now - phase.started))
        yield grid
        if len(running) > room:
            yield Text(f"  + {len(running) - room} more")
        if counts := self.standing.counts():
            yield Text(f"{counts}; {self._time_left(now)}", no_wrap=True, overflow="ellipsis")

    def _time_left(self, now: float) -> str:
        """Played through once a second at most: there may be thousands of jobs."""
        if self.outdated or now - self._counted >= 1:
            self.outdated, self._counted = False, now
            left = self.standing.forecast(now)
            self._left = f"left: {brief_time_left(left)}" if left else ""
        return self._left
