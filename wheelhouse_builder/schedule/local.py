"""The local executor: threads that mostly wait for subprocesses, and more of them for the network."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from wheelhouse_builder.schedule.queue import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_CONNECTIONS = 8


def room_for(jobs: int) -> dict[str, int]:
    """How many tasks of each lane run at once, where `jobs` CPU tasks may."""
    return {Lane.CPU: jobs, Lane.NETWORK: _CONNECTIONS}


class LocalExecutor:
    """Runs at most `jobs` CPU tasks and a few downloads at once. A context manager: leaving it waits for all."""

    def __init__(self, jobs: int) -> None:
        self._room = room_for(jobs)
        self._pools = {lane: ThreadPoolExecutor(room, f"whb-{lane}") for lane, room in self._room.items()}
        self._mutex = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for pool in self._pools.values():
            pool.shutdown()

    def submit(self, lane: Lane, work: Callable[[], T]) -> Future[T]:
        """Start `work` as soon as the lane has room."""
        with self._mutex:
            self._room[lane] -= 1
        future = self._pools[lane].submit(work)
        future.add_done_callback(lambda _: self._give_back(lane))
        return future

    def free(self, lane: Lane) -> bool:
        """Whether the lane has room now."""
        return self._room[lane] > 0

    def _give_back(self, lane: Lane) -> None:
        with self._mutex:
            self._room[lane] += 1
