"""The history of a wheelhouse, as runs write it: what it remembers, and that no end of a run damages it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.history.logs import read_log
from wheelhouse_builder.history.model import AttemptOutcome, RunOutcome
from wheelhouse_builder.history.store import History
from wheelhouse_builder.strategy import Strategy
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "demo"
version = "1.0"
"""
BACKEND = """\
import os, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    print("fetching https://me:secret@host/x", flush=True)
    if os.path.exists("broken"):
        raise SystemExit("error: broken")
    name, info = "demo-1.0-py3-none-any.whl", "demo-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("demo.py", "")
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: demo\\nVersion: 1.0\\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "/RECORD", "")
    return name
"""
TARGET = "cp312-musllinux_1_2_x86_64"
BUILD = ("./demo", "--python", "3.12", "--arch", "amd64", "-w", "house")
# Notes attempts until it is ended; each number is printed once that many are noted.
WRITER = """\
import sys
from dataclasses import replace
from pathlib import Path
from tests.unit.test_history import BUILT
from wheelhouse_builder.history.store import History
history = History(Path(sys.argv[1]), lambda event: print(event.text, flush=True))
for number in range(int(sys.argv[2])):
    history.add(replace(BUILT, job=f"{sys.argv[3]}-{number}"))
    print(number + 1, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a project that takes no build requirements, and whose wheel is in no cache."""
    project = tmp_path / "demo"
    project.mkdir()
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "backend.py").write_text(f"{BACKEND}# {os.urandom(8).hex()}\n")
    return tmp_path


def quick(whb: Whb, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return whb(*arguments, cwd=folder, WHB_VERIFY_ENGINE="off")


def writer(path: Path, number: int, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(number), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=os.curdir)


def test_what_builds_took_and_came_to_is_remembered(whb: Whb, folder: Path) -> None:
    assert quick(whb, "build", *BUILD, folder=folder).returncode == 0
    (folder / "demo" / "broken").touch()
    planned = quick(whb, "plan", *BUILD, "--json", folder=folder)
    (job,) = json.loads(planned.stdout)["jobs"]
    assert job["estimate"] == "measured, 1 build"
    assert job["seconds"] > 0
    assert quick(whb, "build", *BUILD, folder=folder).returncode == 1
    house = Wheelhouse(folder / "house")
    history = History(house.history)
    failed, built = history.attempts()
    assert (built.outcome, built.strategy, built.version) == (AttemptOutcome.BUILT, Strategy.CROSS, "1.0")
    assert built.peak_memory is not None
    assert built.peak_memory > 5 << 20  # a Python
    assert failed.outcome is AttemptOutcome.FAILED
    assert failed.lines.endswith("error: broken")
    assert failed.key not in (built.key, "")
    assert {name for name in built.inputs if built.inputs[name] != failed.inputs[name]} == {"source"}
    log = read_log(house.attempt_log_folder / str(failed.log))
    assert "fetching https://***@host/x" in log
    assert [run.outcome for run in history.runs()] == [RunOutcome.UNCHANGED, RunOutcome.CHANGED]
    last = history.last_run()
    assert last is not None
    assert [(row.name, row.target, row.status) for row in last[1]] == [("demo", TARGET, "failed")]


def test_a_damaged_history_is_set_aside_by_a_build_and_left_alone_by_a_plan(whb: Whb, folder: Path) -> None:
    assert quick(whb, "build", *BUILD, folder=folder).returncode == 0
    history = Wheelhouse(folder / "house").history
    history.write_bytes(b"the disk failed here" * 500)
    spoilt = history.read_bytes()
    (folder / "demo" / "new.py").touch()  # so that there is something to estimate
    planned = quick(whb, "plan", *BUILD, folder=folder)
    assert planned.returncode == 0
    assert "counts as empty" in planned.stderr
    assert history.read_bytes() == spoilt
    done = quick(whb, "build", *BUILD, folder=folder)
    assert done.returncode == 0
    (aside,) = history.parent.glob("history.sqlite.damaged-*Z")
    assert done.stderr.count(aside.name) == 1
    assert aside.read_bytes() == spoilt
    assert len(History(history).runs()) == 1
    assert aside.name not in quick(whb, "build", *BUILD, folder=folder).stderr


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    processes = [writer(path, 20, name) for name in ("a", "b")]
    assert all(process.communicate()[0].split()[-1] == "20" for process in processes)
    assert len(History(path).attempts()) == 40


def test_who_is_killed_while_writing_loses_nothing_that_was_noted(tmp_path: Path) -> None:
    path, noted = tmp_path / "history.sqlite", 0
    for round_ in range(5):
        with writer(path, 10**6, f"{round_}") as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(5)]
            time.sleep(round_ / 1000)  # into another step of a write each time
            os.kill(process.pid, signal.SIGKILL)
            said += process.stdout.readlines()
        assert all(line.strip().isdecimal() for line in said if line.endswith("\n"))
        noted += len([line for line in said if line.endswith("\n")])
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert len(History(path).attempts()) >= noted


def test_on_a_full_disk_a_run_goes_on_without_its_history(tmp_path: Path) -> None:
    """The limit of a process on the size of a file stands for the disk: SQLite sees a write that fails."""
    path = tmp_path / "history.sqlite"
    full = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n{WRITER}"
    command = [sys.executable, "-c", full, str(path), "200", "a"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.count("will not be remembered") == 1
    assert said.split()[-1] == "200"
    kept = len(History(path).attempts())
    assert 0 < kept < 200
