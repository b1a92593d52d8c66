"""`whb refresh` of thirty small packages of which ten fail in ten ways: what is published, what is said of the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.failing_projects import SETTINGS, WAYS
from tests.integration.projects import c_extension, sdist

if TYPE_CHECKING:
    import argparse

GOOD = tuple(f"good-{number:02}" for number in range(20))
ARCHS = {"amd64": "x86_64", "arm64": "aarch64"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("--work", type=Path, help="a folder that is kept")


def measure(options: argparse.Namespace) -> None:
    """Print what came of each package; ends with an error if one is not as it should be."""
    with tempfile.TemporaryDirectory(prefix="whb-failures-") as scratch:
        project = (options.work or Path(scratch)).absolute()
        generate(project)
        started = time.perf_counter()
        argv = [sys.executable, "-m", "wheelhouse_builder", "refresh", "-q"]
        environ = {**os.environ, "WHB_VERIFY_ENGINE": "off"}
        done = subprocess.run(argv, cwd=project, env=environ, capture_output=True, check=False)
        seconds = time.perf_counter() - started
        rows = json.loads((project / "whb-report" / "report.json").read_bytes())["rows"]
        index = json.loads((project / "wheelhouse/simple/index.v1_json").read_bytes())
    published = {entry["name"] for entry in index["projects"]}
    wrong = [row for row in rows if (row["status"], row["kind"]) != expected(row["name"], row["target"])]
    failed = [row for row in rows if row["status"] != "ready"]
    print(f"{len(rows)} rows in {seconds:.0f} s, exit code {done.returncode}")
    print(f"published: {len(published & set(GOOD))} of {len(GOOD)} good packages")
    print(f"failures: {len(failed)} rows of {len({row['name'] for row in failed})} packages")
    for row in failed:
        print(f"  {row['name']:14} {row['target']:28} {row['kind'] or '-':20} {row['message'].splitlines()[0][:90]}")
    for row in wrong:
        print(f"WRONG: {row['name']} {row['target']}: {row['status']}, {row['kind']}")
    if wrong or done.returncode != 1 or not published >= set(GOOD):
        raise SystemExit(f"{len(wrong)} rows are not what they should be")


def generate(project: Path) -> None:
    """Write the packages and the settings."""
    project.mkdir(parents=True, exist_ok=True)
    files = {**{name: way.files for name, way in WAYS.items()}, **{name: c_extension(name) for name in GOOD}}
    paths = [sdist(project, name, content) for name, content in files.items()]
    (project / "requirements.txt").write_text("".join(f"./{path.name}\n" for path in paths), encoding="utf-8")
    settings = f'requirements = ["requirements.txt"]\npythons = ["3.12"]\n{SETTINGS}'
    (project / "whb.toml").write_text(settings, encoding="utf-8")


def expected(name: str, target: str) -> tuple[str, str | None]:
    """The status and the class that a row should have."""
    way = WAYS.get(name)
    fails = way is not None and any(target.endswith(ARCHS[arch]) for arch in way.archs)
    return ("failed", way.kind) if way and fails else ("ready", None)
