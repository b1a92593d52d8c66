"""`whb refresh` when nothing is new: 300 pinned packages for three Pythons and two architectures.

Two thirds of the packages are pure wheels, a third have a wheel for each target beside those for other systems, and
twenty are sdists, which the first run builds. The index is asked anew each time: it says of no page how long it holds.
Each round is a process of its own. Memory is measured in one more, whose time does not count: that of whb and of all
that it runs together, what they share counted once (PSS), looked at fifty times a second.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.refresh.upstream import Upstream, serving

if TYPE_CHECKING:
    import argparse

PACKAGES, SDISTS, VERSIONS = 300, 20, 5
PYTHONS, ARCHS = ("3.11", "3.12", "3.13"), ("x86_64", "aarch64")
SETTINGS = """\
requirements = ["requirements.txt"]
pythons = ["3.11", "3.12", "3.13"]
archs = ["amd64", "arm64"]
min-age = "3 days"
[verify]
engine = "off"
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("--work", type=Path, help="a folder that is kept, with what was generated and built")
    parser.add_argument("--rounds", type=int, default=5)


def measure(options: argparse.Namespace) -> None:
    """Print what a refresh takes."""
    with tempfile.TemporaryDirectory(prefix="whb-refresh-") as scratch:
        work = (options.work or Path(scratch)).absolute()
        project = work / "project"
        if not project.is_dir():
            generate(work)
        with serving(work) as index:
            first = refresh(project, index)
            rounds = [refresh(project, index) for _ in range(options.rounds)]
            peak = memory(start(project, index))
    assert not any(cost["changed"] for cost in rounds)
    seconds = [cost["seconds"] for cost in rounds]
    cpu = statistics.median(cost["cpu"] for cost in rounds)
    print(f"first run: {first['seconds']:.1f} s, {first['rows']} rows")
    print(
        f"nothing new: {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), CPU {cpu:.2f} s"
    )
    print(f"memory: {peak / 1e6:.0f} MB")


def generate(work: Path) -> None:
    """Write the index and the project."""
    chance, upstream = random.Random(7), Upstream(work)
    names = [f"package_{number:03}" for number in range(PACKAGES)]
    pins = {name: f"{chance.randrange(5)}.{chance.randrange(20)}.{chance.randrange(9)}" for name in names}
    for number, name in enumerate(names):
        requires = chance.sample(names[:number], min(number, chance.randrange(4)))
        versions = [pins[name], *(f"{9 + later}.0" for later in range(VERSIONS - 1))]
        if number < SDISTS:
            files = [upstream.sdist(name, version) for version in versions]
        else:
            tags = platform_tags() if number % 3 == 0 else ["py3-none-any"]
            files = [upstream.wheel(name, version, tag, requires) for version in versions for tag in tags]
        upstream.project(name.replace("_", "-"), files)
    project = work / "project"
    project.mkdir()
    (project / "whb.toml").write_text(SETTINGS, encoding="utf-8")
    lines = [f"{name.replace('_', '-')}=={version}\n" for name, version in pins.items()]
    (project / "requirements.txt").write_text("".join(lines), encoding="utf-8")


def platform_tags() -> list[str]:
    """The tags of the wheels that a compiled package has."""
    systems = [f"{libc}_{arch}" for libc in ("musllinux_1_2", "manylinux_2_28") for arch in ARCHS]
    systems += ["macosx_11_0_arm64", "win_amd64"]
    interpreters = [f"cp{python.replace('.', '')}" for python in PYTHONS]
    return [f"{interpreter}-{interpreter}-{system}" for interpreter in interpreters for system in systems]


def start(project: Path, index: str) -> subprocess.Popen[bytes]:
    """Start it."""
    environ = {**os.environ, "UV_DEFAULT_INDEX": index}
    environ.setdefault("WHB_CACHE_DIR", str(project.parent / "cache"))
    return subprocess.Popen([sys.executable, "-m", "wheelhouse_builder", "refresh", "-q"], cwd=project, env=environ)


def refresh(project: Path, index: str) -> dict[str, float]:
    """Run it to its end; what it says, and what it took. Exits if it fails."""
    started = time.perf_counter()
    process = start(project, index)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit("the refresh failed")
    report = json.loads((project / "whb-report" / "report.json").read_bytes())
    cpu = usage.ru_utime + usage.ru_stime  # with that of its children
    return {"seconds": seconds, "cpu": cpu, "rows": len(report["rows"]), "changed": report["changed"]}


def memory(process: subprocess.Popen[bytes]) -> int:
    """The peak of a process and all that it starts, together, in bytes."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_share, _family(process.pid))))
        time.sleep(0.02)
    return peak


def _family(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    family = [root]
    for member in family:
        family += children.get(member, [])
    return family


def _share(pid: int) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return 0
