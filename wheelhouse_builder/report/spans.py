"""What a run spent its time on: one span for each job and for each phase of the run itself, made from its events."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wheelhouse_builder.events import (
    Event,
    JobFinished,
    JobPhase,
    JobRetried,
    JobStarted,
    Level,
    Note,
    Outcome,
    PlannedJob,
    RunPhase,
    RunPlanned,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from wheelhouse_builder.events import Listener

_TRY = " try "  # in the id of what was tried and will be again
RUN_LANE = "run"  # of the phases of the run itself; the others have the lanes of the queue


@dataclass(frozen=True, kw_only=True)
class Span:
    """Something that took time. `start`, `end` and the phases are in seconds from the start of the run."""

    id: str
    title: str
    lane: str
    start: float
    end: float
    outcome: Outcome = Outcome.DONE
    phases: tuple[tuple[str, float], ...] = ()  # each with its start
    after: tuple[str, ...] = ()  # the ids of what it waited for

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start


@dataclass
class Recorder:
    """Keeps what the report tells of a run, and hands every event on to `listener`. Safe in threads."""

    listener: Listener
    clock: Callable[[], float] = time.monotonic  # seconds
    warnings: list[str] = field(default_factory=list)
    _planned: dict[str, PlannedJob] = field(default_factory=dict)
    _jobs: dict[str, Span] = field(default_factory=dict)
    _phases: list[tuple[str, float]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the run."""
        return self.clock() - self._started

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        with self._lock:
            self._record(event, self.elapsed)
        self.listener(event)

    def _record(self, event: Event, now: float) -> None:
        match event:
            case Note(level=Level.WARNING) if event.text not in self.warnings:
                self.warnings.append(event.text)
            case RunPhase():
                self._phases.append((event.phase, now))
            case RunPlanned():
                self._planned |= {job.job: job for job in event.jobs}
            case JobStarted():
                plan = self._planned.get(event.job)
                self._jobs[event.job] = Span(
                    id=event.job,
                    title=event.title,
                    lane=plan.lane if plan else "",
                    start=now,
                    end=now,
                    outcome=Outcome.CANCELLED,
                    after=plan.after if plan else (),
                )
            case JobPhase() if span := self._jobs.get(event.job):
                self._jobs[event.job] = replace(span, phases=(*span.phases, (event.phase, now)))
            case JobRetried() if span := self._jobs.pop(event.job, None):
                number = sum(name.startswith(f"{event.job}{_TRY}") for name in self._jobs) + 1
                name, title = f"{event.job}{_TRY}{number}", f"{span.title}, try {number}"
                self._jobs[name] = replace(span, id=name, title=title, end=now, outcome=Outcome.FAILED)
            case JobFinished() if span := self._jobs.get(event.job):
                self._jobs[event.job] = replace(span, end=now, outcome=event.outcome)

    def spans(self) -> tuple[Span, ...]:
        """All of them by now, in the order of their start; a phase in which jobs ran is told by those."""
        with self._lock:
            jobs = list(self._jobs.values())
            ends = [start for _, start in self._phases[1:]] + [self.elapsed]
            phases = [
                Span(id=phase, title=phase, lane=RUN_LANE, start=start, end=end)
                for (phase, start), end in zip(self._phases, ends, strict=False)
                if not any(start <= job.start <= end for job in jobs)
            ]
        return tuple(sorted([*phases, *jobs], key=lambda span: (span.start, span.id)))
