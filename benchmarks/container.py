"""The figures of the container engine, ratios of one run: accelerated and not, whb and cibuildwheel, both engines.

    python -m benchmarks.container [--cryptography] [--rounds N] [--work DIR] [--images NAME:{arch}]

From the root of the repository, as root, with what `scripts/test` sets up. Every build starts with toolchains, sources,
crates and C libraries at hand and nothing built, and without the import check, which both engines share; each is done
once unmeasured, so that zig has what it keeps (cryptography and pure emulation are not). Builds take turns in every
round. CPU time of compilers is that of zig and its like below whb and in its container (benchmarks.accounting). Prints
Markdown, medians, and on standard error each build with the load of the machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.accounting import accounted, descendants
from benchmarks.trio import TRIO
from tests.integration.docker import docker
from tests.integration.projects import c_extension, sdist
from wheelhouse_builder.settings import default_cache

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

COMPILERS = ("zig", "rustc", "cc1", "cc1plus", "as", "ld", "collect2")
REPOSITORY = Path(__file__).parents[1]
AMD64, ARM64 = "amd64", "arm64"
CONTAINER, CROSS = "container", "cross"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One build."""

    package: str
    arch: str
    engine: str = CONTAINER
    accelerate: bool = True

    def __str__(self) -> str:
        emulated = "" if self.accelerate else ", pure emulation"
        return f"{self.package}, {self.arch}, {self.engine}{emulated}"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What it took, in seconds."""

    wall: float
    cibuildwheel: float  # of the wall time; 0 for the other engine
    compilers: float  # CPU


class Watcher(threading.Thread):
    """Finds the processes that a build comes from: whb itself, and the first one of its container."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__()
        self._process = process
        self.roots = {process.pid}

    def run(self) -> None:
        """Look until the container is found, or the build has ended: each look costs a client of docker."""
        told = '{{.State.Pid}} {{index .Config.Labels "whb.owner"}}'
        while self._process.poll() is None and len(self.roots) == 1:
            for container in docker("ps", "--quiet", "--filter", "label=whb.owner").stdout.split():
                pid, _, owner = (
                    docker("inspect", "--format", told, container, check=False).stdout.strip().partition(" ")
                )
                if f".{self._process.pid}." in owner and pid != "0":
                    self.roots.add(int(pid))
            time.sleep(0.5)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where things are."""

    work: Path
    cache: Path
    images: str
    tiny: Path  # an sdist with one small C file

    def build(self, case: Case) -> Cost:
        """Build one package from its sdist; exits if that fails. The wheelhouse is kept, see `wheelhouse`."""
        folder = self.folder(case)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        clock = folder / "clock"
        clock.touch()
        # part of the build key, so that nothing that was built before is taken
        stamp = f'[packages.{case.package}.environment]\nBENCHMARK = "{time.time_ns()}"\n'
        (folder / "whb.toml").write_text(stamp, encoding="utf-8")
        wanted = f"tiny @ {self.tiny.as_uri()}" if case.package == "tiny" else case.package
        options = {
            "-P": wanted,
            "--no-binary": case.package,
            "--python": "3.12",
            "--arch": case.arch,
            "--engine": case.engine,
        }
        argv = [sys.executable, "-m", "benchmarks.clocked", str(clock), "build", "-q", *chain(*options.items())]
        environ = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "WHB_CACHE_DIR": str(self.cache),
            "WHB_VERIFY_ENGINE": "off",
            "WHB_CONTAINER_IMAGES": ",".join(f"{arch}={self.images.format(arch=arch)}" for arch in (AMD64, ARM64)),
            "WHB_CONTAINER_ACCELERATE": str(case.accelerate).lower(),
        }
        with accounted() as ended:
            started = time.monotonic()
            process = subprocess.Popen(
                argv, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            watcher = Watcher(process)
            watcher.start()
            told, _ = process.communicate()
            wall = time.monotonic() - started
            watcher.join()
        if process.returncode:
            sys.exit(f"{case} failed:\n{told}")
        waited = [float(line) for line in clock.read_text(encoding="utf-8").split()]
        compilers = [one.seconds for one in descendants(ended, watcher.roots) if one.program in COMPILERS]
        return Cost(wall=wall, cibuildwheel=sum(waited), compilers=sum(compilers))

    def folder(self, case: Case) -> Path:
        """What a build leaves."""
        return self.work / str(case).replace(", ", "-").replace(" ", "-")

    def wheelhouse(self, case: Case) -> Path:
        """The wheelhouse that it made."""
        return self.folder(case) / "wheelhouse"

    def wheel(self, case: Case) -> Path:
        """The wheel that it made."""
        return next(self.wheelhouse(case).glob(f"{case.package}-*.whl"))


def cases(trio: Iterable[str]) -> list[Case]:
    """All that is measured."""
    found = [Case(package="tiny", arch=AMD64), Case(package="cffi", arch=ARM64, accelerate=False)]
    for package in trio:
        found += [
            Case(package=package, arch=arch, engine=engine) for engine in (CROSS, CONTAINER) for arch in (AMD64, ARM64)
        ]
    return found


def figures(costs: Mapping[Case, Cost], trio: Iterable[str]) -> list[tuple[str, float, str]]:
    """What was measured, its value, what the design wants."""
    cffi, arm_cffi, tiny = (
        costs[Case(package=name, arch=arch)] for name, arch in (("cffi", AMD64), ("cffi", ARM64), ("tiny", AMD64))
    )
    pure = costs[Case(package="cffi", arch=ARM64, accelerate=False)]
    found = [
        ("cffi, arm64: accelerated over pure emulation, wall", arm_cffi.wall / pure.wall, "<= 0.35"),
        ("cffi: compilers on arm64 over amd64, CPU", arm_cffi.compilers / cffi.compilers, "<= 1.2"),
        ("whb over its cibuildwheel, seconds (tiny, amd64)", tiny.wall - tiny.cibuildwheel, "<= 2"),
        ("whb over its cibuildwheel, seconds (cffi, arm64)", arm_cffi.wall - arm_cffi.cibuildwheel, "<= 2"),
        ("tiny extension on amd64, wall seconds", tiny.wall, "<= 10"),
    ]
    if "bcrypt" in trio:
        one, other = (costs[Case(package="bcrypt", arch=arch)].wall for arch in (ARM64, AMD64))
        found.insert(2, ("bcrypt: arm64 over amd64, wall", one / other, "<= 2"))
    container, cross = (
        sum(costs[Case(package=name, arch=ARM64, engine=engine)].wall for name in trio) for engine in (CONTAINER, CROSS)
    )
    return [*found, (f"{', '.join(trio)}, arm64: container engine over embedded, wall", container / cross, ">= 3")]


def show(costs: Mapping[Case, Cost], trio: Iterable[str]) -> None:
    """Two tables in Markdown."""
    print("| | measured | wanted |\n| --- | ---: | ---: |")
    for what, value, wanted in figures(costs, trio):
        print(f"| {what} | {value:.2f} | {wanted} |")
    print("\n| build | wall s | of it cibuildwheel | compilers, CPU s |\n| --- | ---: | ---: | ---: |")
    for case, cost in costs.items():
        waited = f"{cost.cibuildwheel:.1f}" if cost.cibuildwheel else ""
        print(f"| {case} | {cost.wall:.1f} | {waited} | {cost.compilers:.1f} |")


def differences(bench: Bench, trio: Iterable[str]) -> list[str]:
    """What the wheels of the two engines do not have in common, of what they shall."""
    found = []
    for package in trio:
        for arch in (AMD64, ARM64):
            one, other = (
                contents(bench.wheel(Case(package=package, arch=arch, engine=engine))) for engine in (CROSS, CONTAINER)
            )
            found += [
                f"{package}, {arch}: {what}: {one[what]} and {other[what]}" for what in one if one[what] != other[what]
            ]
    return found


def contents(wheel: Path) -> dict[str, object]:
    """What must not depend on the engine."""
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(archive.namelist())
        texts = {
            name.rsplit("/", 1)[-1]: archive.read(name).decode()
            for name in names
            if ".dist-info/" in name and name.endswith(("/METADATA", "/WHEEL", "/entry_points.txt"))
        }
    return {"name": wheel.name, "files": names, **texts}


def verify(bench: Bench, done: Collection[Case]) -> str:
    """The loader verification of all wheels: what it says. Exits if one does not pass."""
    for case in done:
        argv = [sys.executable, "-m", "wheelhouse_builder", "verify", str(bench.wheel(case)), "--python", "3.12"]
        environ = {**os.environ, "WHB_VERIFY_ENGINE": "off"}
        told = subprocess.run(argv, env=environ, check=False, capture_output=True, text=True)
        if told.returncode:
            sys.exit(f"{case}: the wheel does not load:\n{told.stdout}\n{told.stderr}")
    return f"All {len(done)} wheels pass the loader verification."


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".test/container"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--images", default="whb-test/musllinux_1_2:{arch}")
    parser.add_argument("--cryptography", action="store_true", help="all three of the trio: half an hour more")
    options = parser.parse_args()
    cache = Path(os.environ.get("WHB_CACHE_DIR", default_cache())).absolute()
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    bench = Bench(work=work, cache=cache, images=options.images, tiny=sdist(work, "tiny", c_extension("tiny")))
    trio = TRIO if options.cryptography else TRIO[:2]
    rounds: dict[Case, list[Cost]] = defaultdict(list)
    for number in range(options.rounds + 1):
        for case in cases(trio):
            if number or (case.package != "cryptography" and case.accelerate):
                cost = bench.build(case)
                print(f"{number} {case}: {cost}; load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
                rounds[case] += [cost] if number else []
    costs = {
        case: Cost(
            **{
                name: statistics.median(getattr(cost, name) for cost in found)
                for name in ("wall", "cibuildwheel", "compilers")
            }
        )
        for case, found in rounds.items()
    }
    show(costs, trio)
    print(f"\n{verify(bench, list(costs))}")
    same = "The wheels of the two engines have the same files, tags and metadata."
    print("\n".join(differences(bench, trio)) or same)


if __name__ == "__main__":
    main()
