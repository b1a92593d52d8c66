#!/usr/bin/env python3
"""What a wheelhouse costs at each size: to publish, to serve, to copy, from nothing and with one wheel more.

    python benchmarks/scale.py 1000 10000 100000

Ten wheels a project, each wheel a few bytes: what is measured is the index, not the wheels. Every command runs as its
users run it, as a process. Prints a table in Markdown; times are wall seconds, with CPU seconds after the slash.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.wheelhouse.generations import current
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WHB = [sys.executable, "-m", "wheelhouse_builder"]
TAG = "cp312-cp312-musllinux_1_2_aarch64"
METADATA = b"Metadata-Version: 2.1\nName: sample\nVersion: 0\nRequires-Python: >=3.9\n\n"


@dataclass(frozen=True)
class Cost:
    """One command, to its end."""

    wall: float  # seconds
    cpu: float  # seconds, user and system
    memory: int  # bytes, the peak
    output: str

    def __str__(self) -> str:
        return f"{self.wall:.2f} / {self.cpu:.2f}"


def cost(*arguments: str | Path) -> Cost:
    """Run `whb`; exits if it fails."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([*WHB, *map(str, arguments), "-q"], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f"{arguments} failed")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, text)


def fill(house: Wheelhouse, wheels: Iterable[tuple[str, str]]) -> None:
    """Take in a file for each name and version, all in one transaction: a record like that of a real wheel."""
    connection = sqlite3.connect(house.records.path)
    connection.row_factory = sqlite3.Row
    pattern = dict(connection.execute("SELECT * FROM wheels LIMIT 1").fetchone())
    rows = []
    for name, version in wheels:
        filename = f"{name}-{version}-{TAG}.whl"
        path, sidecar = house.root / filename, house.root / f"{filename}.metadata"
        content = filename.encode()
        path.write_bytes(content)
        sidecar.write_bytes(METADATA)
        own = {
            "filename": filename,
            "name": name,
            "version": version,
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "metadata_sha256": hashlib.sha256(METADATA).hexdigest(),
            "published_at": None,
            "mtime_ns": path.stat().st_mtime_ns,
            "metadata_mtime_ns": sidecar.stat().st_mtime_ns,
            "metadata_size": len(METADATA),
        }
        rows.append(pattern | {column: value for column, value in own.items() if column in pattern})
    columns = ", ".join(pattern)
    with connection:
        values = ", ".join(f":{column}" for column in pattern)
        connection.executemany(f"INSERT INTO wheels ({columns}) VALUES ({values})", rows)
    connection.close()


def house_of(count: int, folder: Path) -> Wheelhouse:
    """A wheelhouse of so many wheels, nothing published."""
    house = Wheelhouse(folder / "wheelhouse")
    with house.lock():
        sample = folder / f"sample-0-{TAG}.whl"
        make_sample(sample)
        house.admit(sample, record_of(sample, origin="built"))
        fill(house, ((f"project{number // 10:05}", f"{number % 10}.0") for number in range(count - 1)))
    return house


def make_sample(path: Path) -> None:
    """A real wheel, for its record."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sample-0.dist-info/METADATA", METADATA)
        archive.writestr("sample-0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {TAG}\n")
        archive.writestr("sample-0.dist-info/RECORD", "")


@dataclass(frozen=True)
class Tree:
    """The index on the disk, without wheels."""

    files: int
    links: int
    size: int  # bytes that they hold
    blocks: int  # bytes that they take


def tree_of(house: Wheelhouse) -> Tree:
    """Page folders and the current generation."""
    generation = current(house)
    assert generation is not None
    paths = [path for top in (house.state / "pages", generation.path) for path in top.rglob("*")]
    files = [path.stat() for path in paths if path.is_file() and not path.is_symlink()]
    links = sum(path.is_symlink() for path in paths)
    return Tree(len(files), links, sum(s.st_size for s in files), sum(s.st_blocks * 512 for s in files))


class Server:
    """`whb serve` on a free port."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.url = process, f"http://127.0.0.1:{port}"

    @property
    def memory(self) -> int:
        """Bytes that it holds now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024

    def wait_for(self, path: str) -> float:
        """Seconds until a path is there."""
        started = time.perf_counter()
        while True:
            try:
                with urllib.request.urlopen(self.url + path) as answer:
                    answer.read()
                return time.perf_counter() - started
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None or time.perf_counter() - started > 600:
                    raise SystemExit(f"whb serve has no {path}") from None
                time.sleep(0.02)


@contextmanager
def serving(house: Wheelhouse) -> Iterator[Server]:
    """A server, until the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [*WHB, "serve", "-w", str(house.root), "--port", str(port), "--access-log", "off", "-q"]
    process = subprocess.Popen(argv)
    try:
        yield Server(process, port)
    finally:
        process.terminate()
        process.wait(30)


def megabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


def measure(count: int, folder: Path) -> dict[str, str]:
    """The figures for one size, by what they are of."""
    house, out = house_of(count, folder), folder / "out"
    where = ("-w", house.root)
    rows = {}
    first = cost("index", *where)
    rows["`whb index` from nothing"] = f"{first}, {megabytes(first.memory)}"
    tree = tree_of(house)
    rows["files and links of the index"] = f"{tree.files} + {tree.links}"
    rows["their size, and on the disk"] = f"{megabytes(tree.size)}, {megabytes(tree.blocks)}"
    copied = cost("publish", out, *where)
    rows["`whb publish` to an empty folder"] = f"{copied}, {megabytes(copied.memory)}"
    rows["the same, nothing new"] = str(cost("publish", out, *where))
    with serving(house) as server:
        ready = server.wait_for("/readyz")
        rows["`whb serve`: ready after, memory"] = f"{ready:.2f}, {megabytes(server.memory)}"
        with house.lock():
            fill(house, [("project00000", "99.0")])
        rows["`whb index`, one wheel more"] = str(cost("index", *where))
        page = f"/project00000-99.0-{TAG}.whl"
        rows["`whb serve` shows it after"] = f"{server.wait_for(page):.2f}, {megabytes(server.memory)}"
    more = cost("publish", out, *where, "--json")
    document = json.loads(more.output)
    rows["`whb publish`, one wheel more"] = str(more)
    rows["objects, bytes sent for it"] = f"{len(document['uploads'])}, {megabytes(document['bytes'])}"
    rows["`whb index`, nothing new"] = str(cost("index", *where))
    return rows


def main() -> None:
    """The table."""
    sizes = [int(argument) for argument in sys.argv[1:]] or [1000, 10_000]
    columns = []
    for size in sizes:
        folder = Path(tempfile.mkdtemp(dir=os.environ.get("WHB_BENCH_DIR"), prefix="whb-scale-"))
        try:
            columns.append(measure(size, folder))
            print(json.dumps({"wheels": size, **columns[-1]}), file=sys.stderr)
        finally:
            shutil.rmtree(folder)
    print(f"| wheels | {' | '.join(f'{size:,}' for size in sizes)} |")
    print(f"| --- |{' --- |' * len(sizes)}")
    for name in columns[0]:
        print(f"| {name} | {' | '.join(column[name] for column in columns)} |")


if __name__ == "__main__":
    main()
