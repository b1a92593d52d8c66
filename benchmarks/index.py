"""What it costs to publish: a wheelhouse of N tiny wheels at first, with one wheel more, and with nothing new.

    python benchmarks/index.py 2000 20000

Ten wheels a project. Wheels are a few bytes: publication looks at their size and time, never at their content.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from wheelhouse_builder.wheelhouse.generations import Generation, publish, roll_back
from wheelhouse_builder.wheelhouse.records import _INSERT, StoredWheel, _dump
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_METADATA = hashlib.sha256(b"metadata").hexdigest()


def fill(house: Wheelhouse, filenames: Iterable[str]) -> None:
    """Wheels with records, all in one transaction."""
    rows = []
    for filename in filenames:
        path = house.root / filename
        path.write_bytes(filename.encode())
        path.with_name(f"{filename}.metadata").write_bytes(b"metadata")
        name, version, _, _ = parse_wheel_filename(filename)
        record = StoredWheel(
            filename=filename,
            name=name,
            version=version,
            sha256=hashlib.sha256(filename.encode()).hexdigest(),
            size=len(filename.encode()),
            metadata_sha256=_METADATA,
            requires_python=">=3.9",
            origin="built",
        )
        rows.append(_dump(record) | {"mtime_ns": path.stat().st_mtime_ns})
    connection = sqlite3.connect(house.records.path)
    with connection:
        connection.executemany(_INSERT, rows)
    connection.close()


def timed(text: str, action: Callable[[], Generation | None]) -> None:
    """Do it, and print what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    generation = action()
    took = f"{time.perf_counter() - wall:7.2f} s, {time.process_time() - cpu:6.2f} s of CPU"
    if generation is None:
        print(f"  {text:28} {took}, nothing new")
        return
    files = [path for path in generation.path.rglob("*") if path.is_file()]
    fresh = sum(path.stat().st_nlink == 1 for path in files)
    print(f"  {text:28} {took}, {len(files)} files, {fresh} of them written")


def measure(count: int, folder: Path) -> None:
    """The figures for one size."""
    house = Wheelhouse(folder / f"house-{count}")
    print(f"{count} wheels")
    with house.lock():
        names = (f"project{n // 10:05}-{n % 10}.0-cp312-cp312-musllinux_1_2_aarch64.whl" for n in range(count))
        fill(house, names)
        timed("first publication", lambda: publish(house, {}))
        fill(house, ["project00000-99.0-cp312-cp312-musllinux_1_2_aarch64.whl"])
        timed("one wheel more", lambda: publish(house, {}))
        timed("nothing new", lambda: publish(house, {}))
        timed("roll-back", lambda: roll_back(house))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=os.environ.get("WHB_BENCH_DIR")) as scratch:
        for size in map(int, sys.argv[1:] or ["2000", "20000"]):
            measure(size, Path(scratch))
