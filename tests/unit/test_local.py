"""The local executor: room for so many tasks, and no more."""

from __future__ import annotations

import threading

from wheelhouse_builder.events import ignore
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.schedule.local import LocalExecutor
from wheelhouse_builder.schedule.queue import Lane, Task, run_tasks

PATIENCE_SECONDS = 30.0


def test_there_is_room_for_so_many_tasks_in_each_lane() -> None:
    go_on = threading.Event()
    with LocalExecutor(2) as executor:
        running = [executor.submit(Lane.CPU, lambda: go_on.wait(PATIENCE_SECONDS)) for _ in range(2)]
        assert not executor.free(Lane.CPU)
        assert executor.free(Lane.NETWORK)
        go_on.set()
        assert [future.result(PATIENCE_SECONDS) for future in running] == [True, True]
    assert executor.free(Lane.CPU)


def test_a_task_that_fails_gives_its_room_back() -> None:
    with LocalExecutor(1) as executor:
        future = executor.submit(Lane.CPU, lambda: 1 // 0)
        assert isinstance(future.exception(PATIENCE_SECONDS), ZeroDivisionError)
    assert executor.free(Lane.CPU)


def test_leaving_waits_for_what_runs() -> None:
    done: list[bool] = []
    leaving = threading.Event()
    with LocalExecutor(1) as executor:
        executor.submit(Lane.CPU, lambda: done.append(leaving.wait(PATIENCE_SECONDS)))
        leaving.set()
    assert done == [True]


def test_no_more_than_that_run_at_once() -> None:
    running, most, mutex = 0, 0, threading.Lock()

    def run(*_: object) -> None:
        nonlocal running, most
        with mutex:
            running += 1
            most = max(most, running)
        both.wait(PATIENCE_SECONDS)  # breaks when not exactly two come together each time
        with mutex:
            running -= 1

    both = threading.Barrier(2)
    with LocalExecutor(2) as executor:
        tasks: list[Task[None]] = [Task(id=str(number), title="", run=run) for number in range(6)]
        assert run_tasks(tasks, executor, listener=ignore, canceller=Canceller()) == dict.fromkeys("012345")
    assert most == 2
