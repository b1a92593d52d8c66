"""Progress, as listeners on the same events: a picture that redraws itself, lines (in groups on CI), JSON lines."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from wheelhouse_builder.cli.progress.as_json import JsonProgress
from wheelhouse_builder.cli.progress.lines import PlainProgress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wheelhouse_builder.cli.console import Console
    from wheelhouse_builder.events import Listener


@contextmanager
def progress(console: Console) -> Iterator[Listener]:
    """The listener that suits the console, for as long as a run lasts."""
    if console.live and not console.json:
        from wheelhouse_builder.cli.progress.live import live

        with live(console) as listener:
            yield listener
        return
    listener = brief_progress(console)
    try:
        yield listener
    finally:
        if isinstance(listener, PlainProgress):
            listener.close()


def brief_progress(console: Console) -> Listener:
    """The listener for what is over in a moment: no picture of it."""
    return JsonProgress(console) if console.json else PlainProgress(console)
