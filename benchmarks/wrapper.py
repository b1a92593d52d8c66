"""What the build-backend wrapper costs: `pip wheel . --no-deps` of a trivial pure project, wrapped and not.

    python -m benchmarks.wrapper [--rounds N] [--work DIR]

The project is built by flit_core; pip, flit_core and hatchling (which makes our own wheel) are fetched once and are
those of an environment below --work. Four cases take turns in every round, so that whatever else the machine does
meets all of them: the backend alone; alone, with whb among the build requirements; wrapped, and the wheelhouse (a
folder) has the wheel; wrapped, and it has not. Each with build isolation and without: with it, pip first installs the
build requirements, which the second case shows. Python may keep what it compiles (no PYTHONDONTWRITEBYTECODE).

Printed as JSON: the medians in seconds, by the clock and of CPU (all processes; it says more where the machine is
busy), and what a hit and a miss cost over the backend alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.wheels import make_wheel
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of
from wheelhouse_builder.wrapper.request import read_request

if TYPE_CHECKING:
    from collections.abc import Mapping

ALONE, REQUIRED, HIT, MISS = "alone", "required", "hit", "miss"
PROJECT = '[project]\nname = "trivial"\nversion = "1.0"\ndescription = "Trivial."\n'
WRAPPED = """\
[build-system]
requires = ["wheelhouse-builder", "flit_core"]
build-backend = "wheelhouse_builder.backend"
[tool.whb]
build-backend = "flit_core.buildapi"
wheelhouse = "../wheelhouse"
"""
SYSTEMS: Mapping[str, str] = {
    ALONE: '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n',
    REQUIRED: '[build-system]\nrequires = ["wheelhouse-builder", "flit_core"]\nbuild-backend = "flit_core.buildapi"\n',
    HIT: WRAPPED,
    MISS: WRAPPED,
}
ISOLATION: Mapping[str, tuple[str, ...]] = {"isolated": (), "not isolated": ("--no-build-isolation",)}
REPOSITORY = Path(__file__).parents[1]


def prepare(work: Path) -> None:
    """The environment, the wheels that isolated builds install, and the projects."""
    python = work / "venv/bin/python"
    if not python.exists():
        _run(sys.executable, "-m", "venv", str(work / "venv"))
        _run(str(python), "-m", "pip", "install", "--quiet", "--upgrade", "pip", "flit_core", "hatchling")
    wheels = work / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    pip = (str(python), "-m", "pip")
    _run(*pip, "wheel", "--quiet", "--no-build-isolation", "--no-deps", "-w", str(wheels), str(REPOSITORY))
    _run(*pip, "download", "--quiet", "-d", str(wheels), "flit_core", "packaging>=26.3")
    own = next(wheels.glob("wheelhouse_builder-*.whl"))
    _run(*pip, "install", "--quiet", "--force-reinstall", "--no-index", "--find-links", str(wheels), str(own))
    for case in SYSTEMS:
        tree = work / case
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        (tree / "trivial.py").write_text(f'"""Trivial: {case}."""\n')
        (tree / "pyproject.toml").write_text(SYSTEMS[case] + PROJECT)
    _store(work)


def _store(work: Path) -> None:
    """The wheel of the one project in the wheelhouse; of the other there is one of another source."""
    inputs = read_request(None, work / HIT).inputs
    assert inputs is not None
    target = Target((3, 12), Arch.X86_64)
    wheel = make_wheel(work, name="trivial", version="1.0")
    shutil.rmtree(work / "wheelhouse", ignore_errors=True)
    house = Wheelhouse(work / "wheelhouse")
    with house.lock():
        record = record_of(wheel, origin="built", project_keys=((inputs.key(target), str(target)),))
        house.admit(wheel, record)
        publish(house, {})


def build(work: Path, case: str, options: tuple[str, ...]) -> tuple[float, float]:
    """Seconds of one `pip wheel`: by the clock, of CPU."""
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [str(work / "venv/bin/python"), "-m", "pip", "wheel", "--no-deps", "--no-index", "--quiet"]
    command += ["--find-links", str(work / "wheels"), "-w", str(out), *options, str(work / case)]
    started, used = time.perf_counter(), _cpu()
    _run(*command)
    seconds = time.perf_counter() - started, _cpu() - used
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()]
    stored = hashlib.sha256((work / "trivial-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    assert (digests == [stored]) == (case == HIT), f"{case} is none"
    return seconds


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run(*argv: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WHB_"))}
    done = subprocess.run(argv, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"


def measure(work: Path, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """The medians and the differences, by isolation and clock."""
    builds: dict[str, dict[str, list[tuple[float, float]]]] = {
        name: {case: [] for case in SYSTEMS} for name in ISOLATION
    }
    for _ in range(rounds):
        for name, options in ISOLATION.items():
            for case, seconds in builds[name].items():
                seconds.append(build(work, case, options))
    return {
        name: {clock: _figures(cases, number) for number, clock in enumerate(("clock", "cpu"))}
        for name, cases in builds.items()
    }


def _figures(cases: Mapping[str, list[tuple[float, float]]], clock: int) -> dict[str, float]:
    medians = {case: statistics.median(each[clock] for each in seconds) for case, seconds in cases.items()}
    over = {f"{case} over alone": medians[case] - medians[ALONE] for case in SYSTEMS if case != ALONE}
    return {name: round(seconds, 3) for name, seconds in {**medians, **over}.items()}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "whb-wrapper")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    prepare(options.work)
    print(json.dumps({"rounds": options.rounds, "seconds": measure(options.work, options.rounds)}, indent=2))


if __name__ == "__main__":
    main()
