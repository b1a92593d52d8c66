"""How a run stands: what runs, what has ended and how, and how long the rest will take. No clock of its own."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wheelhouse_builder.events import (
    Event,
    JobFinished,
    JobPhase,
    JobRetried,
    JobStarted,
    Outcome,
    RunPhase,
    RunPlanned,
)
from wheelhouse_builder.schedule.forecast import Forecast, forecast

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class Running:
    """A job that runs now."""

    title: str
    started: float  # seconds of a monotonic clock
    phase: str = ""


@dataclass
class Standing:
    """What the events said so far. Safe in threads; `now` is always a time in seconds of one monotonic clock."""

    phase: Running | None = None  # of the run as a whole
    plan: RunPlanned | None = None
    ended: dict[str, Outcome] = field(default_factory=dict)  # by id
    _running: dict[str, Running] = field(default_factory=dict)  # by id, oldest first
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def update(self, event: Event, now: float) -> None:
        """Take in an event."""
        with self._lock:
            match event:
                case RunPhase():
                    self.phase = Running(title=event.phase, started=now)
                case RunPlanned():
                    self.plan = event
                case JobStarted():
                    self._running[event.job] = Running(title=event.title, started=now)
                case JobPhase() if event.job in self._running:
                    self._running[event.job] = replace(self._running[event.job], phase=event.phase)
                case JobRetried():
                    self._running.pop(event.job, None)
                case JobFinished():
                    self._running.pop(event.job, None)
                    self.ended[event.job] = event.outcome

    @property
    def running(self) -> tuple[Running, ...]:
        """The jobs that run now, oldest first."""
        with self._lock:
            return tuple(self._running.values())

    def counts(self) -> str:
        """`412 jobs: 31 done, 2 failed, 8 running, 371 waiting`; empty before the plan is known."""
        with self._lock:
            if not self.plan:
                return ""
            total, running, ended = len(self.plan.jobs), len(self._running), Counter(self.ended.values())
        counted = {**{str(outcome): ended[outcome] for outcome in Outcome}, "running": running}
        counted["waiting"] = total - sum(counted.values())
        parts = ", ".join(f"{number} {word}" for word, number in counted.items() if number > 0)
        return f"{total} {'job' if total == 1 else 'jobs'}: {parts}"

    def forecast(self, now: float) -> Forecast | None:
        """What is left of the plan, None before it is known."""
        with self._lock:
            if not self.plan:
                return None
            spent = {name: now - job.started for name, job in self._running.items()}
            plan, ended = self.plan, frozenset(self.ended)
        return forecast(plan.jobs, plan.room, running=spent, ended=ended)


def time_left(left: Forecast) -> str:
    """`about 12 min`; `at least 12 min, 3 jobs of unknown length`; `time unknown`."""
    if left.unknown and left.seconds >= 1:
        jobs = "1 job" if left.unknown == 1 else f"{left.unknown} jobs"
        return f"{brief_time_left(left)}, {jobs} of unknown length"
    return brief_time_left(left)


def brief_time_left(left: Forecast) -> str:
    """`about 12 min`; `at least 12 min`; `time unknown`."""
    if left.unknown and left.seconds < 1:
        return "time unknown"
    return f"{'at least' if left.unknown else 'about'} {_rough(left.seconds)}"


def _rough(seconds: float) -> str:
    """An estimate is not good to the second: `35 s`, `12 min`, `1 h 20 min`."""
    return " ".join(_parts(seconds))


def _parts(seconds: float) -> Iterator[str]:
    if seconds < 57.5:
        yield f"{max(round(seconds / 5) * 5, 5)} s"
        return
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        yield f"{hours} h"
    if minutes:
        yield f"{minutes} min"
