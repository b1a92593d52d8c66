"""Lock files: one holder at a time, and a wait that can be ended."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

import pytest

from wheelhouse_builder.errors import Cancelled
from wheelhouse_builder.locking import locked
from wheelhouse_builder.process import Canceller

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_SECONDS = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


class Holder:
    """Another thread that holds the lock until it is told to let go."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.let_go, self._held = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold)

    def _hold(self) -> None:
        with locked(self.path):
            self._held.set()
            self.let_go.wait(PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._held.wait(PATIENCE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self._thread.join(PATIENCE_SECONDS)


def test_one_after_the_other(path: Path) -> None:
    with locked(path):
        pass
    with locked(path):
        pass


def test_who_waits_is_called_until_the_lock_is_free(path: Path) -> None:
    with Holder(path) as holder, locked(path, Canceller(), waiting=holder.let_go.set):
        assert holder.let_go.is_set()


def test_cancelling_ends_the_wait(path: Path) -> None:
    canceller = Canceller()
    with Holder(path), pytest.raises(Cancelled), locked(path, canceller, waiting=canceller.cancel):
        pytest.fail("two hold the lock")


def test_an_error_of_who_waits_ends_the_wait(path: Path) -> None:
    def give_up() -> None:
        raise TimeoutError

    with Holder(path), pytest.raises(TimeoutError), locked(path, waiting=give_up):
        pytest.fail("two hold the lock")


def test_it_is_free_again_after_an_error(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(path):
        raise ZeroDivisionError
    with locked(path):
        pass
