"""Work that this process shares with forks of itself, which know all that it knows: only what comes out is sent."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn, TypeVar

from wheelhouse_builder.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

Item = TypeVar("Item")
Result = TypeVar("Result")


def mapped(function: Callable[[Item], Result], items: Sequence[Item], *, least: int) -> list[Result]:
    """What the function gives for each item, in order; each processor this process may use takes a part of the items.

    `least` is how many items are worth a process. Results and errors have to be fit for pickle. What the function
    changes in memory may be lost, what it does to files stays. A process that has other threads does all by itself:
    of what one of them holds at the moment of a fork, nobody lets go.
    Raises what the function raises, and `MachineError` when a process cannot be started or was ended.
    """
    alone = threading.active_count() == 1
    count = min(len(os.sched_getaffinity(0)), len(items) // least) if alone else 1
    if count < 2:
        return list(map(function, items))
    ends = [len(items) * number // count for number in range(count + 1)]
    own, *others = (items[first:last] for first, last in pairwise(ends))
    with ExitStack() as stack:
        streams = [stack.enter_context(_fork(function, part)) for part in others]
        results = list(map(function, own))
        for stream in streams:
            results += _received(stream)
    return results


@contextmanager
def _fork(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[BinaryIO]:
    """Have a process do this part; gives the stream that it writes to. It ends with the block at the latest."""
    there, here = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        hint = "`taskset -c 0 whb …` needs one process"
        raise MachineError(f"no further process can be started: {error.strerror}", hint=hint) from error
    if child == 0:
        _send(function, items, here)
    os.close(here)
    try:
        with os.fdopen(there, "rb") as stream:
            yield stream
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _send(function: Callable[[Item], Result], items: Sequence[Item], handle: int) -> NoReturn:
    """All that a fork does: it goes on with nothing that its parent had begun, and flushes nothing of it."""
    outcome: list[Result] | Exception
    try:
        try:
            outcome = list(map(function, items))
        except Exception as error:  # whatever it is: the parent raises it
            outcome = error
        with os.fdopen(handle, "wb") as stream:
            pickle.dump(outcome, stream, pickle.HIGHEST_PROTOCOL)
    finally:
        os._exit(0)


def _received(stream: BinaryIO) -> list[Result]:
    try:
        outcome: list[Result] | Exception = pickle.load(stream)  # noqa: S301  # a fork of this process wrote it
    except (EOFError, pickle.UnpicklingError):
        raise MachineError("a process that did a part of the work was ended", hint="is there enough memory?") from None
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
