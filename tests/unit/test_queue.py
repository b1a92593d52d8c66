"""The ready queue, with an executor that runs things when the test says so."""

from __future__ import annotations

import errno
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheelhouse_builder.errors import Cancelled, JobError, WhbError
from wheelhouse_builder.events import Event, JobFinished, Outcome, ignore
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.schedule.queue import Lane, Task, priorities, run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")


@dataclass
class AtOnce:
    """Runs each task at once; remembers the order."""

    order: list[str] = field(default_factory=list)

    def submit(self, lane: Lane, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        future.set_result(work())
        return future

    def free(self, lane: Lane) -> bool:
        return True


def task(name: str, *after: str, seconds: float = 1.0, fails: bool = False, done: list[str] | None = None) -> Task[str]:
    def run(phase: Callable[[str], None], earlier: Mapping[str, str | WhbError]) -> str:
        if done is not None:
            done.append(name)
        if fails:
            raise JobError(f"{name} failed", hint="mend it")
        return name

    return Task(id=name, title=name, run=run, after=after, seconds=seconds)


def run_all(*tasks: Task[str], listener: Callable[[Event], None] = ignore) -> dict[str, str | WhbError]:
    return run_tasks(tasks, AtOnce(), listener=listener, canceller=Canceller())


def test_each_result_is_returned() -> None:
    assert run_all(task("a"), task("b", "a")) == {"a": "a", "b": "b"}


def test_the_longest_remaining_path_goes_first() -> None:
    done: list[str] = []
    run_all(
        task("short", done=done, seconds=5),
        task("long", done=done, seconds=1),
        task("after long", "long", done=done, seconds=10),
    )
    assert done == ["long", "short", "after long"]


def test_priorities_sum_the_longest_path() -> None:
    assert priorities([task("a", seconds=1), task("b", "a", seconds=2), task("c", "a", seconds=5)]) == {
        "a": 6,
        "b": 2,
        "c": 5,
    }


def test_a_failure_stops_nobody_and_is_seen_by_who_waited() -> None:
    seen: dict[str, object] = {}

    def look(phase: Callable[[str], None], earlier: Mapping[str, str | WhbError]) -> str:
        seen.update(earlier)
        return "looked"

    events: list[Event] = []
    ended = run_all(
        task("bad", fails=True), task("good"), Task(id="c", title="c", run=look, after=("bad",)), listener=events.append
    )
    assert isinstance(ended["bad"], JobError)
    assert (ended["good"], ended["c"]) == ("good", "looked")
    assert isinstance(seen["bad"], JobError)
    failed = [event for event in events if isinstance(event, JobFinished) and event.outcome is Outcome.FAILED]
    assert [(event.job, event.message, event.hint) for event in failed] == [("bad", "bad failed", "mend it")]


def test_after_a_cancellation_nothing_starts() -> None:
    canceller = Canceller()
    done: list[str] = []

    def stop(phase: Callable[[str], None], earlier: Mapping[str, str | WhbError]) -> str:
        canceller.cancel()
        return "stopped"

    tasks = [Task(id="stop", title="stop", run=stop, seconds=9), task("next", "stop", done=done)]
    with pytest.raises(Cancelled):
        run_tasks(tasks, AtOnce(), listener=ignore, canceller=canceller)
    assert done == []


def test_an_error_of_ours_is_not_swallowed() -> None:
    def bug(phase: Callable[[str], None], earlier: Mapping[str, str | WhbError]) -> str:
        raise ZeroDivisionError

    canceller = Canceller()
    with pytest.raises(ZeroDivisionError):
        run_tasks([Task(id="bug", title="bug", run=bug)], AtOnce(), listener=ignore, canceller=canceller)
    assert canceller.cancelled  # what else runs must not go on unseen


def test_what_the_operating_system_refuses_fails_its_task_alone(tmp_path: Path) -> None:
    def write(phase: Callable[[str], None], earlier: Mapping[str, str | WhbError]) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", "/cache/x")

    full = Task(id="full", title="build x", run=write, log=tmp_path / "x.log")
    ended = run_all(full, task("good"))
    assert ended["good"] == "good"
    error = ended["full"]
    assert isinstance(error, JobError)
    assert error.message == "build x: /cache/x: No space left on device"
    assert error.log == tmp_path / "x.log"
    assert error.hint is not None


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.1, 9)), min_size=1, max_size=10))
def test_any_acyclic_graph_runs_in_an_order_that_respects_it(graph: list[tuple[int, float]]) -> None:
    done: list[str] = []
    tasks = [
        task(str(number), *([str(before)] if before < number else []), seconds=seconds, done=done)
        for number, (before, seconds) in enumerate(graph)
    ]
    run_all(*tasks)
    assert sorted(done, key=int) == [each.id for each in tasks]
    for each in tasks:
        assert all(done.index(before) < done.index(each.id) for before in each.after)
