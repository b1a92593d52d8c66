"""How long an index of 2,000 wheels takes to make from a folder of wheels, beside dumb-pypi's for its HTML.

    python -m benchmarks.generate [--work DIR] [--rounds 7]

From the root of the repository. 200 projects, five versions, two architectures, in memory (`/dev/shm`), so that no disk
counts. Each is a process of its own, each once in each round; medians of wall seconds.

dumb-pypi is told hash, Requires-Python and the sidecar's hash of each wheel in a list; it opens no wheel. It cannot
write HTML alone: with `--no-per-release-json` it writes a page, and a JSON file in Warehouse's form, for each project.

whb, first, knows nothing but the folder. It opens and hashes each wheel, compares its name with its METADATA, writes
METADATA beside it and a record, then publishes: HTML, JSON (PEP 691) and a page for people for each project, each with
a gzip and a zstd copy, the lists of all, the flat page; flushed, and put in force in one step.

Then it is told as much as dumb-pypi: `whb index`, the command, of a wheelhouse that has the records and no generation.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peers
from benchmarks.from_nothing import note, read_all
from benchmarks.peers import Bench
from benchmarks.serve import two_thousand_wheels
from wheelhouse_builder.wheelhouse.store import Wheelhouse

OURS, TOLD, HTML, DEFAULT = "whb", "whb index", "dumb-pypi --no-per-release-json", "dumb-pypi"


@dataclass(frozen=True)
class Cost:
    """One command, to its end."""

    wall: float  # seconds
    cpu: float  # seconds, user and system
    output: str


def cost(*argv: str | Path, environ: dict[str, str] | None = None) -> Cost:
    """Run it. Exits if it fails."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(list(map(str, argv)), stdout=output, env=environ)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"{argv} failed")
        output.seek(0)
        return Cost(wall, usage.ru_utime + usage.ru_stime, output.read())


def ours(bench: Bench, start: Path, *command: str) -> Cost:
    """One run of whb, of a folder that is like `start`."""
    folder = bench.work / "house"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(start, folder)
    environ = os.environ | {"PYTHONPYCACHEPREFIX": str(bench.work / "bytecode")}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return cost(sys.executable, "-m", *command, folder, environ=environ)


def from_nothing(bench: Bench) -> Cost:
    """One run of all of it."""
    return ours(bench, bench.wheels, "benchmarks.from_nothing")


def index(bench: Bench) -> Cost:
    """One run of the command, which is told of the wheels by the records."""
    return ours(bench, told(bench), "wheelhouse_builder", "index", "--wheelhouse")


def told(bench: Bench) -> Path:
    """The wheels with their records."""
    return bench.work / "told"


def dumb_pypi(bench: Bench, *options: str) -> Cost:
    """One run of its command."""
    out = bench.work / "dumb-pypi"
    shutil.rmtree(out, ignore_errors=True)
    places = ("--packages-url", "../../packages/", "--output-dir", out)
    return cost(bench.bin / "dumb-pypi", "--package-list-json", bench.work / "packages.json", *places, *options)


def prepare(bench: Bench) -> None:
    """dumb-pypi, the wheels, and its list of them."""
    bench.work.mkdir(parents=True, exist_ok=True)
    peers.install(bench, "dumb-pypi")
    described = bench.work / "described"
    for folder in (bench.wheels, described):
        shutil.rmtree(folder, ignore_errors=True)
    bench.wheels.mkdir()
    two_thousand_wheels(bench.wheels)
    shutil.copytree(bench.wheels, described)
    peers.package_list(described)
    shutil.rmtree(told(bench), ignore_errors=True)
    shutil.copytree(bench.wheels, told(bench))
    house = Wheelhouse(told(bench))
    with house.lock():
        note(house, read_all(house.root))


def main() -> None:
    """Measure, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("/dev/shm/whb-generate"))  # in memory
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    bench = Bench(options.work)
    prepare(bench)
    from_nothing(bench), index(bench)  # they compile what pip compiled of dumb-pypi
    costs: dict[str, list[Cost]] = defaultdict(list)
    for _ in range(options.rounds):
        costs[OURS].append(from_nothing(bench))
        costs[TOLD].append(index(bench))
        costs[HTML].append(dumb_pypi(bench, "--no-per-release-json"))
        costs[DEFAULT].append(dumb_pypi(bench))
    show(costs)


def show(costs: dict[str, list[Cost]]) -> None:
    """The medians, and the parts of whb's."""
    print("| | wall seconds | CPU seconds | whb is, wall | CPU | whb index is, wall | CPU |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    medians = {
        name: (statistics.median(one.wall for one in found), statistics.median(one.cpu for one in found))
        for name, found in costs.items()
    }
    for name, (wall, cpu) in medians.items():
        ratios = (f"{medians[one][0] / wall:.2f} | {medians[one][1] / cpu:.2f}" for one in (OURS, TOLD))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {' | '.join(ratios)} |")
    print("\n| of whb's | wall seconds |\n| --- | ---: |")
    parts = [json.loads(one.output) for one in costs[OURS]]
    around = [one.wall - sum(spent.values()) for one, spent in zip(costs[OURS], parts, strict=True)]
    print(f"| Python's start and end, imports | {statistics.median(around):.3f} |")
    for part in parts[0]:
        print(f"| {part} | {statistics.median(spent[part] for spent in parts):.3f} |")


if __name__ == "__main__":
    main()
