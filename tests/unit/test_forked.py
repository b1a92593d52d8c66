"""Work that forks of a process share: the same comes out as without them, whatever happens to one."""

from __future__ import annotations

import errno
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.errors import MachineError, UsageError
from wheelhouse_builder.forked import mapped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

ITEMS = range(10)


@pytest.fixture(autouse=True)
def _three_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # whatever runs these tests may have more


def in_forks(action: Callable[[], Any]) -> Callable[[int], int]:
    """A function that acts only where a fork calls it."""
    own = os.getpid()

    def function(item: int) -> int:
        if os.getpid() != own:
            action()
        return item

    return function


def require_no_child() -> None:
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize(("least", "processes"), [(1, 3), (3, 3), (5, 2), (6, 1), (11, 1)])
def test_each_process_does_a_part_and_the_order_stays(least: int, processes: int) -> None:
    done = mapped(lambda item: (item, os.getpid()), ITEMS, least=least)
    assert [item for item, _ in done] == list(ITEMS)
    found = [pid for _, pid in done]
    assert len(set(found)) == processes
    assert found == sorted(found, key=found.index)  # each has a run of items
    assert found[0] == os.getpid()
    require_no_child()


def test_nothing_is_nothing() -> None:
    assert mapped(str, [], least=1) == []


def test_a_process_with_threads_does_all_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert mapped(lambda item: os.getpid(), ITEMS, least=1) == [os.getpid()] * len(ITEMS)


def test_an_error_of_a_fork_is_raised_as_it_was() -> None:
    def fail() -> None:
        raise UsageError("what is wrong", hint="what to do")

    with pytest.raises(UsageError, match="what is wrong") as caught:
        mapped(in_forks(fail), ITEMS, least=1)
    assert caught.value.hint == "what to do"
    require_no_child()


def test_an_error_of_its_own_part_ends_the_forks(tmp_path: Path) -> None:
    own, pipe = os.getpid(), os.pipe()

    def function(item: int) -> None:
        if os.getpid() == own:
            raise ZeroDivisionError
        os.read(pipe[0], 1)  # for ever

    with pytest.raises(ZeroDivisionError):
        mapped(function, ITEMS, least=1)
    require_no_child()


@pytest.mark.parametrize(
    "ended", [lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: os._exit(0), threading.Lock], ids=str
)
def test_a_fork_that_sends_nothing_whole_is_told(ended: Callable[[], Any]) -> None:
    own = os.getpid()
    with pytest.raises(MachineError, match="was ended"):
        mapped(lambda item: item if os.getpid() == own else ended(), ITEMS, least=1)
    require_no_child()


def test_a_machine_that_starts_no_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(MachineError, match="no further process can be started: Resource"):
        mapped(str, ITEMS, least=1)
