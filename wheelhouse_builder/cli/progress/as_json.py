"""Progress for programs: one JSON object a line (docs/reference/event.schema.json)."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.cli.ci import defused_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from wheelhouse_builder.cli.console import Console
    from wheelhouse_builder.events import Event

_SCHEMA = "whb.event/1"
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass
class JsonProgress:
    """Prints each event. Safe in threads."""

    console: Console
    clock: Callable[[], float] = time.monotonic  # seconds
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._started = self.clock()

    def __call__(self, event: Event) -> None:
        """Print it."""
        with self._lock:
            line = json.dumps(event_data(event, self.clock() - self._started), default=_plain)
            print(defused_json(line), file=self.console.err, flush=True)


def event_data(event: Event, at: float) -> dict[str, object]:
    """The event as JSON has it; `at` is in seconds since the start."""
    name = _CAPITAL.sub("-", type(event).__name__).lower()
    return {"schema": _SCHEMA, "event": name, "at": round(at, 3), **asdict(event)}


def _plain(value: object) -> str:
    assert isinstance(value, Path)
    return str(value)
