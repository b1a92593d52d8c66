"""What the commands that change a wheelhouse share: hold its lock, and say what is in force."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.wheelhouse.store import Wheelhouse


def wheelhouse_of(invocation: Invocation) -> Wheelhouse:
    """The wheelhouse of the settings, for who only reads. Raises `UsageError` if there is none."""
    from wheelhouse_builder.wheelhouse.store import Wheelhouse

    wheelhouse = Wheelhouse(invocation.settings.wheelhouse)
    if not wheelhouse.state.is_dir():
        raise UsageError(
            f"{wheelhouse.root} is no wheelhouse", hint="`whb build` makes one; name one with --wheelhouse"
        )
    return wheelhouse


@contextlib.contextmanager
def holding(invocation: Invocation) -> Iterator[Wheelhouse]:
    """The wheelhouse of the settings, under its lock. Raises `UsageError` if there is none."""
    from wheelhouse_builder.cli.progress import brief_progress

    wheelhouse = wheelhouse_of(invocation)
    with wheelhouse.lock(listener=brief_progress(invocation.console), canceller=invocation.canceller):
        yield wheelhouse


def say_current(invocation: Invocation, wheelhouse: Wheelhouse, *, changed: bool, news: str) -> None:
    """Which generation is in force, and what is new about it."""
    from wheelhouse_builder.report.as_json import dump, published_data
    from wheelhouse_builder.wheelhouse.generations import current

    console, generation = invocation.console, current(wheelhouse)
    if console.json:
        console.result(dump("index", published_data(wheelhouse, generation, changed=changed)))
    elif generation is not None:
        console.result(f"{wheelhouse.root}: generation {generation.number}, {news if changed else 'as it was'}")
