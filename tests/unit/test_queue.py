"""The ready queue, with an executor that runs things when the test says so."""

from __future__ import annotations

import errno
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheelhouse_builder.errors import Cancelled, DownloadError, JobError, ResolveError, WhbError
from wheelhouse_builder.events import Event, JobFinished, JobRetried, Outcome, ignore
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.schedule import queue as module
from wheelhouse_builder.schedule.local import LocalExecutor
from wheelhouse_builder.schedule.queue import Lane, Task, priorities, run_tasks
from wheelhouse_builder.schedule.retry import Retry, again

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

NOT_AGAIN = ("", "time-out", "build-wants-network", "disk-full", "missing-library", "hash-mismatch")


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
    assert error.kind == "disk-full"


# tries


@dataclass
class Clock:
    """A clock that goes on when the queue pauses."""

    now: float = 100.0

    def pause(self, seconds: float) -> None:
        self.now += seconds


def flaky(name: str, *kinds: str, times: list[float], clock: Clock, after: tuple[str, ...] = ()) -> Task[str]:
    """A task that fails in these ways, and then does not."""
    left = list(kinds)

    def run(phase: Callable[[str], None], earlier: Mapping[str, str | WhbError]) -> str:
        times.append(clock.now)
        if left:
            raise JobError(f"{name} failed", kind=left.pop(0))
        return name

    return Task(id=name, title=name, run=run, after=after)


def tried(*tasks: Task[str], clock: Clock, listener: Callable[[Event], None] = ignore) -> dict[str, str | WhbError]:
    return run_tasks(
        tasks, AtOnce(), listener=listener, canceller=Canceller(), clock=lambda: clock.now, pause=clock.pause
    )


def test_what_may_pass_is_tried_again_later_and_only_its_end_is_told() -> None:
    clock, times, events = Clock(), list[float](), list[Event]()
    ended = tried(flaky("a", "network", "network", times=times, clock=clock), clock=clock, listener=events.append)
    assert ended == {"a": "a"}
    assert times == [pytest.approx(when, abs=0.5) for when in (100, 102, 110)]
    assert [event.delay for event in events if isinstance(event, JobRetried)] == [2, 8]
    assert [event.outcome for event in events if isinstance(event, JobFinished)] == [Outcome.DONE]


def test_the_third_failure_is_the_last() -> None:
    clock, times = Clock(), list[float]()
    ended = tried(flaky("a", *["network"] * 9, times=times, clock=clock), clock=clock)
    assert isinstance(ended["a"], JobError)
    assert len(times) == 3


def test_others_go_on_meanwhile_but_not_who_waits_for_it() -> None:
    clock, times, done = Clock(), list[float](), list[str]()
    first = flaky("first", "network", times=times, clock=clock)
    tried(first, task("other", done=done), task("behind", "first", done=done), clock=clock)
    assert done == ["other", "behind"]


def test_a_cancellation_ends_the_waiting() -> None:
    canceller, clock, times = Canceller(), Clock(), list[float]()
    with pytest.raises(Cancelled):
        run_tasks(
            [flaky("a", "network", times=times, clock=clock)],
            AtOnce(),
            listener=ignore,
            canceller=canceller,
            clock=lambda: clock.now,
            pause=lambda _: canceller.cancel(),
        )
    assert len(times) == 1


def test_what_has_to_be_alone_waits_for_all_others() -> None:
    clock, times, done = Clock(), list[float](), list[str]()
    big = flaky("big", "out-of-memory", times=times, clock=clock)

    def run(phase: Callable[[str], None], earlier: Mapping[str, str | WhbError]) -> str:
        done.append(f"late, after {len(times)} tries")
        return "late"

    late = [Task(id=name, title=name, run=run, seconds=0.1, after=after) for name, after in (("a", ()), ("b", ("a",)))]
    tried(big, *late, clock=clock)
    assert done == ["late, after 1 tries"] * 2


def test_nothing_starts_beside_what_has_to_be_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task whose pause is over while it runs."""
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.001)
    clock, failed, running = Clock(), list[str](), list[str]()

    def big(phase: Callable[[str], None], earlier: Mapping[str, str | WhbError]) -> str:
        if not failed:
            failed.append("big")
            raise JobError("too big", kind="out-of-memory")
        running.append("big")
        clock.now += 100
        time.sleep(0.03)  # in which the queue looks many times what it may start
        running.append("big has ended")
        return "big"

    def other(phase: Callable[[str], None], earlier: Mapping[str, str | WhbError]) -> str:
        if "other" not in failed:
            failed.append("other")
            raise JobError("no network", kind="network")
        running.append("other")
        return "other"

    tasks = [Task(id=run.__name__, title="", run=run) for run in (big, other)]
    with LocalExecutor(2) as executor:
        run_tasks(
            tasks, executor, listener=ignore, canceller=Canceller(), clock=lambda: clock.now, pause=lambda _: None
        )
    assert running == ["big", "big has ended", "other"]


# the policy


@pytest.mark.parametrize(
    ("kind", "delays"),
    [("network", [2, 8, None]), ("out-of-memory", [0, None]), *((kind, [None]) for kind in NOT_AGAIN)],
)
def test_only_what_may_pass_is_tried_again(kind: str, delays: list[float | None]) -> None:
    retries = [again(JobError("no", kind=kind), tries) for tries in range(1, len(delays) + 1)]
    assert [retry and retry.delay for retry in retries] == delays
    assert {retry.alone for retry in retries if retry} <= {kind == "out-of-memory"}


def test_a_download_went_on_by_itself_already() -> None:
    assert again(DownloadError("5 attempts", kind="network"), 1) is None


def test_an_index_that_is_down_while_build_requirements_are_resolved_is_tried_again() -> None:
    assert again(ResolveError("no index", kind="network"), 1) == Retry(delay=2)


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
