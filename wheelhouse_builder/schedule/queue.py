"""The ready queue: tasks start as soon as what they wait for has ended, the longest remaining path first.

There are no rounds: one slow task holds up only what waits for it. A failed task does not stop the others; whoever
waits for it is started all the same and sees its outcome, since only the task knows whether it can do without.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from wheelhouse_builder.errors import Cancelled, JobError, WhbError
from wheelhouse_builder.events import JobFinished, JobPhase, JobStarted, Listener, Outcome, PlannedJob

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
    tasks: Iterable[Task[T]], executor: Executor, *, listener: Listener, canceller: Canceller
) -> dict[str, T | WhbError]:
    """Run all tasks; returns for each id its result or the error it ended with.

    On cancellation nothing more is started, what runs is waited for, and `Cancelled` is raised.
    """
    queued = {task.id: task for task in tasks}
    ended: dict[str, T | WhbError] = {}
    try:
        _run_queue(queued, ended, executor, listener, canceller)
    except BaseException:
        canceller.cancel()  # a fault of ours, or KeyboardInterrupt: what runs must not go on unseen
        raise
    canceller.check()
    return ended


def _run_queue(
    queued: dict[str, Task[T]],
    ended: dict[str, T | WhbError],
    executor: Executor,
    listener: Listener,
    canceller: Canceller,
) -> None:
    order = priorities(queued.values())
    running: dict[Future[T | WhbError], str] = {}
    while queued or running:
        ready = [task for task in queued.values() if all(name in ended for name in task.after)]
        for task in sorted(ready, key=lambda task: -order[task.id]):
            if executor.free(task.lane) and not canceller.cancelled:
                del queued[task.id]
                earlier = {name: ended[name] for name in task.after}
                running[executor.submit(task.lane, partial(_run_one, task, earlier, listener))] = task.id
        if not running and canceller.cancelled:
            break
        for future in wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED).done:
            ended[running.pop(future)] = future.result()


def _run_one(task: Task[T], earlier: Mapping[str, T | WhbError], listener: Listener) -> T | WhbError:
    started = time.monotonic()
    listener(JobStarted(job=task.id, title=task.title, log=task.log))
    finished = partial(JobFinished, job=task.id, title=task.title, log=task.log)
    try:
        result = task.run(lambda phase: listener(JobPhase(job=task.id, phase=phase)), earlier)
    except Cancelled as error:
        listener(finished(outcome=Outcome.CANCELLED, seconds=time.monotonic() - started))
        return error
    except (WhbError, OSError) as raised:
        failure = raised if isinstance(raised, WhbError) else _refused(raised, task)
        listener(
            finished(
                outcome=Outcome.FAILED,
                seconds=time.monotonic() - started,
                message=failure.message,
                hint=failure.hint or "",
                tail=failure.tail if isinstance(failure, JobError) else "",
                kind=failure.kind if isinstance(failure, JobError) else "",
            )
        )
        return failure
    listener(finished(outcome=Outcome.DONE, seconds=time.monotonic() - started))
    return result


def _refused(error: OSError, task: Task[T]) -> JobError:
    """What the operating system refused to a task: disk full, permissions."""
    where = f"{error.filename}: " if error.filename else ""
    hint = "`whb doctor` checks disk space and permissions"
    return JobError(f"{task.title}: {where}{error.strerror or error}", hint=hint, log=task.log)
