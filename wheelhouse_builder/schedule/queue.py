"""The ready queue: tasks start as soon as what they wait for has ended, the longest remaining path first.

There are no rounds: one slow task holds up only what waits for it. A failed task does not stop the others; whoever
waits for it is started all the same and sees its outcome, since only the task knows whether it can do without. What may
pass by itself is tried again (`schedule.retry`), in the same queue.
"""

from __future__ import annotations

import errno
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from wheelhouse_builder.errors import Cancelled, JobError, WhbError
from wheelhouse_builder.events import JobFinished, JobPhase, JobRetried, JobStarted, Listener, Outcome, PlannedJob
from wheelhouse_builder.schedule.retry import Retry, again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from wheelhouse_builder.process import Canceller

T = TypeVar("T")

_POLL_SECONDS = 0.2


class Lane(StrEnum):
    """What a task mostly uses."""

    CPU = "cpu"
    NETWORK = "network"


@dataclass(frozen=True, kw_only=True)
class Task(Generic[T]):
    """Something to do. `run` gets a function that tells the phase, and what the tasks in `after` came to."""

    id: str
    title: str
    run: Callable[[Callable[[str], None], Mapping[str, T | WhbError]], T]
    after: tuple[str, ...] = ()
    seconds: float = 1.0  # an estimate
    guessed: bool = False  # whether nothing like it was ever measured
    lane: Lane = Lane.CPU
    log: Path | None = None

    @property
    def planned(self) -> PlannedJob:
        """What is told of it before it starts."""
        seconds = None if self.guessed else self.seconds
        return PlannedJob(job=self.id, title=self.title, lane=self.lane, after=self.after, seconds=seconds)


class Executor(Protocol):
    """Where tasks run."""

    def submit(self, lane: Lane, work: Callable[[], T]) -> Future[T]:
        """Start `work` as soon as the lane has room."""

    def free(self, lane: Lane) -> bool:
        """Whether the lane has room now: what is not submitted yet can still be overtaken."""


def priorities(tasks: Iterable[Task[T]]) -> dict[str, float]:
    """For each task the estimated seconds from its start to the end of the last that waits for it."""
    by_id = {task.id: task for task in tasks}
    waiting: dict[str, list[str]] = {name: [] for name in by_id}
    for task in by_id.values():
        for name in task.after:
            waiting[name].append(task.id)
    known: dict[str, float] = {}

    def remaining(name: str) -> float:
        if name not in known:
            known[name] = by_id[name].seconds + max(map(remaining, waiting[name]), default=0.0)
        return known[name]

    for name in by_id:
        remaining(name)
    return known


def run_tasks(
    tasks: Iterable[Task[T]],
    executor: Executor,
    *,
    listener: Listener,
    canceller: Canceller,
    again: Callable[[WhbError, int], Retry | None] = again,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> dict[str, T | WhbError]:
    """Run all tasks; returns for each id its result or the error it ended with.

    What fails is run once more where `again` says so, after so long on the `clock`; it holds no room meanwhile. On
    cancellation nothing more is started, what runs is waited for, and `Cancelled` is raised.
    """
    queue = _Queue(
        queued={task.id: task for task in tasks},
        executor=executor,
        listener=listener,
        canceller=canceller,
        again=again,
        clock=clock,
        pause=pause,
    )
    try:
        queue.run()
    except BaseException:
        canceller.cancel()  # a fault of ours, or KeyboardInterrupt: what runs must not go on unseen
        raise
    canceller.check()
    return queue.ended


@dataclass(kw_only=True)
class _Queue(Generic[T]):
    queued: dict[str, Task[T]]
    executor: Executor
    listener: Listener
    canceller: Canceller
    again: Callable[[WhbError, int], Retry | None]
    clock: Callable[[], float]
    pause: Callable[[float], object]
    ended: dict[str, T | WhbError] = field(default_factory=dict)
    _running: dict[Future[T | WhbError | Retry], Task[T]] = field(default_factory=dict)
    _tries: Counter[str] = field(default_factory=Counter)
    _earliest: dict[str, float] = field(default_factory=dict)  # when what failed may start again
    _alone: set[str] = field(default_factory=set)

    def run(self) -> None:
        order = priorities(self.queued.values())
        while self.queued or self._running:
            if not self.canceller.cancelled:
                self._start(order)
            elif not self._running:
                break
            self._collect()

    def _start(self, order: Mapping[str, float]) -> None:
        """Start what has room. What has to be alone waits until there is nothing else to do."""
        now = self.clock()
        ready = [
            task
            for task in self.queued.values()
            if all(name in self.ended for name in task.after) and self._earliest.get(task.id, now) <= now
        ]
        for task in sorted(ready, key=lambda task: (task.id in self._alone, -order[task.id])):
            if self._has_room(task):
                del self.queued[task.id]
                self._tries[task.id] += 1
                earlier = {name: self.ended[name] for name in task.after}
                self._running[self.executor.submit(task.lane, partial(self._try, task, earlier))] = task

    def _has_room(self, task: Task[T]) -> bool:
        if task.id in self._alone:
            return not self._running
        return self.executor.free(task.lane) and not any(other.id in self._alone for other in self._running.values())

    def _collect(self) -> None:
        """Wait a little for what runs, and take in what has ended."""
        if not self._running:  # what is left may not start yet
            self.pause(_POLL_SECONDS)
        for future in wait(self._running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED).done:
            task, result = self._running.pop(future), future.result()
            if isinstance(result, Retry):
                self.queued[task.id] = task
                self._earliest[task.id] = self.clock() + result.delay
                if result.alone:
                    self._alone.add(task.id)
            else:
                self.ended[task.id] = result

    # in a thread of the executor

    def _try(self, task: Task[T], earlier: Mapping[str, T | WhbError]) -> T | WhbError | Retry:
        started = time.monotonic()
        self.listener(JobStarted(job=task.id, title=task.title, log=task.log))
        finished = partial(JobFinished, job=task.id, title=task.title, log=task.log)
        try:
            result = task.run(lambda phase: self.listener(JobPhase(job=task.id, phase=phase)), earlier)
        except Cancelled as error:
            self.listener(finished(outcome=Outcome.CANCELLED, seconds=time.monotonic() - started))
            return error
        except (WhbError, OSError) as raised:
            failure = raised if isinstance(raised, WhbError) else _refused(raised, task)
            return self._failed(task, failure, time.monotonic() - started)
        self.listener(finished(outcome=Outcome.DONE, seconds=time.monotonic() - started))
        return result

    def _failed(self, task: Task[T], failure: WhbError, seconds: float) -> WhbError | Retry:
        """The error, or the next try where there is one."""
        about: dict[str, Any] = {
            "job": task.id,
            "title": task.title,
            "seconds": seconds,
            "message": failure.message,
            "kind": failure.kind,
        }
        if retry := self.again(failure, self._tries[task.id]):
            self.listener(JobRetried(**about, delay=retry.delay, alone=retry.alone))
            return retry
        tail = failure.tail if isinstance(failure, JobError) else ""
        hint = failure.hint or ""
        self.listener(JobFinished(**about, outcome=Outcome.FAILED, hint=hint, log=task.log, tail=tail))
        return failure


def _refused(error: OSError, task: Task[T]) -> JobError:
    """What the operating system refused to a task: disk full, permissions."""
    where = f"{error.filename}: " if error.filename else ""
    hint = "`whb doctor` checks disk space and permissions"
    kind = "disk-full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "machine"
    return JobError(f"{task.title}: {where}{error.strerror or error}", hint=hint, log=task.log, kind=kind)
