"""What a run spent its time on: one span for each task and for each step of the run itself, made from its events."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wheelhouse_builder.events import Event, JobFinished, JobPhase, JobStarted, Level, Note, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.schedule.queue import Task

RUN_LANE = "run"  # of the steps of the run itself; the others have the lanes of the queue


@dataclass(frozen=True, kw_only=True)
class Span:
    """Something that took time. `start`, `end` and the phases are in seconds from the start of the run."""

    id: str
    title: str
    lane: str
    start: float
    end: float
    outcome: Outcome
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
    _spans: dict[str, Span] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the run."""
        return self.clock() - self._started

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        now = self.elapsed
        with self._lock:
            match event:
                case Note(level=Level.WARNING) if event.text not in self.warnings:
                    self.warnings.append(event.text)
                case JobStarted():
                    self._spans[event.job] = Span(
                        id=event.job, title=event.title, lane="", start=now, end=now, outcome=Outcome.CANCELLED
                    )
                case JobPhase() if span := self._spans.get(event.job):
                    self._spans[event.job] = replace(span, phases=(*span.phases, (event.phase, now)))
                case JobFinished() if span := self._spans.get(event.job):
                    self._spans[event.job] = replace(span, end=now, outcome=event.outcome)
        self.listener(event)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step of the run itself: what is done inside is its span, told to nobody."""
        start, outcome = self.elapsed, Outcome.FAILED
        try:
            yield
            outcome = Outcome.DONE
        finally:
            span = Span(id=title, title=title, lane=RUN_LANE, start=start, end=self.elapsed, outcome=outcome)
            with self._lock:
                self._spans[title] = span

    def spans(self, tasks: Iterable[Task[object]] = ()) -> tuple[Span, ...]:
        """All of them in the order of their start; `tasks` say what each waited for and in which lane it ran."""
        known = {task.id: task for task in tasks}
        with self._lock:
            spans = sorted(self._spans.values(), key=lambda span: (span.start, span.id))
        return tuple(
            replace(span, lane=str(known[span.id].lane), after=known[span.id].after) if span.id in known else span
            for span in spans
        )
