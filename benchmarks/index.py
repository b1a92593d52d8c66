"""What it costs to publish: a wheelhouse of N small wheels at first, with one wheel more, and with nothing new.

    python benchmarks/index.py [N …]    1,000, 10,000 and 100,000 wheels

Ten wheels a project. "one wheel more" is all that a user waits for: the wheel is read, hashed, copied, flushed,
recorded and published. "publish alone" is a record more and its publication. WHB_BENCH_DIR chooses the file system.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from benchmarks.recording import record
from tests.wheels import make_wheel
from wheelhouse_builder.wheelhouse.generations import Generation, note_lost_pages, publish, roll_back
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of
from wheelhouse_builder.wheelhouse.stored import StoredWheel

if TYPE_CHECKING:
    from collections.abc import Callable

_METADATA = b"Metadata-Version: 2.1\nName: x\n"
_PER_PROJECT = 10
_TAG = "cp312-cp312-musllinux_1_2_aarch64"


def made_up(house: Wheelhouse, filename: str) -> StoredWheel:
    """A wheel of a few bytes: publication looks at its size and time, never at its content."""
    path, content = house.root / filename, filename.encode()
    path.write_bytes(content)
    path.with_name(f"{filename}.metadata").write_bytes(_METADATA)
    name, version, _, _ = parse_wheel_filename(filename)
    return StoredWheel(
        filename=filename,
        name=name,
        version=version,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        metadata_sha256=hashlib.sha256(_METADATA).hexdigest(),
        requires_python=">=3.9",
        origin="built",
    )


def timed(house: Wheelhouse, text: str, action: Callable[[], Generation | None]) -> None:
    """Do it, and print what it took, and how many files it wrote for that."""
    os.sync()  # what was written before is not what is measured
    since, wall, cpu = time.time(), time.perf_counter(), time.process_time()
    generation = action()
    took = f"{time.perf_counter() - wall:7.2f} s, {time.process_time() - cpu:6.2f} s of CPU"
    folders = [folder for folder in house.pages.glob("*/*") if folder.stat().st_mtime >= since - 0.01]
    files = sum(1 for folder in folders for _ in folder.iterdir())
    if generation is not None:
        lists = [path for path in generation.path.rglob("*") if path.is_file() and path.parent.parent != house.pages]
        files += sum(path.stat().st_mtime >= since - 0.01 for path in lists)
    news = f"pages of {len(folders):5} projects, {files:6} files" if files else "nothing new"
    print(f"  {text:24} {took}, {news}", flush=True)


def admitted(house: Wheelhouse, wheel: Path) -> Generation | None:
    """One wheel more, as an upload or a build adds it."""
    house.admit(wheel, record_of(wheel, origin="built"))
    return publish(house, {})


def recorded(house: Wheelhouse, filename: str) -> Generation | None:
    """One record more."""
    record(house, [made_up(house, filename)])
    return publish(house, {})


def looked_at(house: Wheelhouse) -> Generation | None:
    """`whb index`: every file is looked at."""
    house.check()
    note_lost_pages(house)
    return publish(house, {})


def measure(count: int, folder: Path) -> None:
    """The figures for one size."""
    house = Wheelhouse(folder / f"house-{count}")
    print(f"{count} wheels in {count // _PER_PROJECT} projects")
    with house.lock():
        names = (f"project{n // _PER_PROJECT:05}-{n % _PER_PROJECT}.0-{_TAG}.whl" for n in range(count))
        record(house, (made_up(house, name) for name in names))
        timed(house, "first publication", partial(publish, house, {}))
        for number in range(3):
            filename = f"project00001-{number + 90}.{count}-{_TAG}.whl"
            timed(house, "publish alone", partial(recorded, house, filename))
        for number in range(3):
            wheel = make_wheel(folder, name="project00000", version=f"{number + 90}.{count}", tag=_TAG)
            timed(house, "one wheel more", partial(admitted, house, wheel))
        timed(house, "nothing new", partial(publish, house, {}))
        timed(house, "whb index, nothing new", partial(looked_at, house))
        timed(house, "roll-back", partial(roll_back, house))


def main() -> None:
    """Each size in a folder of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    options = parser.parse_args()
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=os.environ.get("WHB_BENCH_DIR")) as scratch:
            measure(size, Path(scratch))


if __name__ == "__main__":
    main()
