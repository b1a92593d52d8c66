"""How long what is left of a run will take: the queue played through with the estimates of its jobs. Pure."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import TYPE_CHECKING

from wheelhouse_builder.events import PlannedJob
from wheelhouse_builder.schedule.queue import Lane

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from wheelhouse_builder.plan import Plan

_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is left. Jobs of unknown length count as nothing, so with any of them `seconds` is the least it takes."""

    seconds: float
    unknown: int = 0  # jobs not ended whose length nobody knows


def forecast(
    jobs: Iterable[PlannedJob],
    room: Mapping[str, int],
    *,
    running: Mapping[str, float] = _NONE,
    ended: Collection[str] = frozenset(),
) -> Forecast:
    """What is left of `jobs` where each lane has `room` for so many at once.

    `running` has the seconds since each running job started. One that takes longer than was thought is of unknown
    length from then on. Like the queue, it starts the job with the longest path behind it first.
    """
    open_jobs = {job.job: job for job in jobs if job.job not in ended}
    left = {name: _left(job, running.get(name, 0.0)) for name, job in open_jobs.items()}
    waits = {name: {other for other in job.after if other in open_jobs} for name, job in open_jobs.items()}
    play = _Play(
        seconds={name: seconds or 0.0 for name, seconds in left.items()},
        waits=waits,
        lanes={name: job.lane for name, job in open_jobs.items()},
        free=dict(room),
        running=running.keys(),
    )
    return Forecast(seconds=play.end(), unknown=sum(seconds is None for seconds in left.values()))


def forecast_of(plan: Plan, room: Mapping[str, int]) -> Forecast:
    """How long the builds of a plan will take; downloads and checks are not counted."""
    building = plan.building()
    jobs = (
        PlannedJob(
            job=job.id,
            title=job.title,
            lane=Lane.CPU,
            after=job.after,
            seconds=(job.estimate.seconds if job.estimate else None) if job.id in building else 0.0,
        )
        for job in plan.jobs
    )
    return forecast(jobs, room)


def _left(job: PlannedJob, spent: float) -> float | None:
    return None if job.seconds is None or spent > job.seconds else job.seconds - spent


@dataclass(kw_only=True)
class _Play:
    """The queue with a clock of its own."""

    seconds: Mapping[str, float]
    waits: Mapping[str, set[str]]  # used up
    lanes: Mapping[str, str]
    free: dict[str, int]
    running: Collection[str]
    _ready: dict[str, list[tuple[bool, float, str]]] = field(default_factory=lambda: defaultdict(list))  # by lane
    _ends: list[tuple[float, str]] = field(default_factory=list)
    _now: float = 0.0

    def __post_init__(self) -> None:
        order = [*TopologicalSorter(self.waits).static_order()]
        self._behind = dict(self.seconds)  # from the start of a job to the end of the last that waits for it
        self._waiting: dict[str, list[str]] = defaultdict(list)
        for name in reversed(order):
            for other in self.waits[name]:
                self._behind[other] = max(self._behind[other], self.seconds[other] + self._behind[name])
                self._waiting[other].append(name)

    def end(self) -> float:
        """When the last job ends."""
        for name in self.waits:
            self._offer(name)
        self._start()
        while self._ends:
            self._now, name = heapq.heappop(self._ends)
            self.free[self.lanes[name]] += 1
            for other in self._waiting[name]:
                self.waits[other].remove(name)
                self._offer(other)
            self._start()
        return self._now

    def _offer(self, name: str) -> None:
        if not self.waits[name]:  # what runs already has its place
            heapq.heappush(self._ready[self.lanes[name]], (name not in self.running, -self._behind[name], name))

    def _start(self) -> None:
        for lane, names in self._ready.items():
            while names and self.free[lane] > 0:
                self.free[lane] -= 1
                name = heapq.heappop(names)[-1]
                heapq.heappush(self._ends, (self._now + self.seconds[name], name))
