"""An index of the wheels in a folder of which nothing is known; prints the seconds of each part as JSON.

    python -m benchmarks.from_nothing FOLDER

The process that `benchmarks.generate` measures, so it imports no more than it needs. The folder becomes a wheelhouse.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.recording import record
from wheelhouse_builder.index import packing, render_about
from wheelhouse_builder.wheelhouse import disk, generations
from wheelhouse_builder.wheelhouse.store import Wheelhouse, read_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wheelhouse_builder.wheelhouse.stored import StoredWheel

READ, NOTED, PUBLISHED = "wheels read and hashed", "METADATA beside them, records", "HTML, JSON, the rest"
INNER = {  # parts of the publication
    "pages for people": (render_about, "about_page"),
    "gzip and zstd copies": (packing, "packed"),
    "page folders written": (disk, "make_folder"),
    "flushed": (disk, "flush"),
}


class Clock:
    """Seconds of each part."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    def timed(self, part: str, action: Callable[..., Any]) -> Callable[..., Any]:
        """The action, and its time is noted."""

        def act(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return action(*arguments, **options)
            finally:
                self.spent[part] += time.perf_counter() - started

        return act


def generate(folder: Path) -> dict[str, float]:
    """Make the index; returns the time of each part."""
    clock, house = Clock(), Wheelhouse(folder)
    for part, (module, name) in INNER.items():
        setattr(module, name, clock.timed(part, getattr(module, name)))
    with house.lock():
        read = clock.timed(READ, read_all)(folder)
        clock.timed(NOTED, note)(house, read)
        clock.timed(PUBLISHED, generations.publish)(house, {})
    clock.spent[PUBLISHED] -= sum(clock.spent[part] for part in INNER)
    return clock.spent


def read_all(folder: Path) -> list[tuple[StoredWheel, bytes]]:
    """What the wheels say."""
    return [read_wheel(path, origin="built") for path in sorted(folder.glob("*.whl"))]


def note(house: Wheelhouse, read: Iterable[tuple[StoredWheel, bytes]]) -> None:
    """The wheels are where they belong: only their sidecars and records are missing."""
    for known, metadata in read:
        (house.root / f"{known.filename}.metadata").write_bytes(metadata)
    record(house, (known for known, _ in read))


if __name__ == "__main__":
    print(json.dumps(generate(Path(sys.argv[1]))))
