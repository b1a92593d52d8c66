"""A run goes on: what fails blocks only what needs it, what may pass is tried again, what hangs is ended."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.projects import PYPROJECT, c_extension, sdist
from tests.integration.test_bad_inputs import (
    FAST,
    OFF,
    running_builds,
    slow_project,
    start,
    wait_for,
    wait_until,
)
from tests.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration


def with_setup(name: str, *lines: str) -> dict[str, str]:
    """A project whose setup.py does something before it builds."""
    setup = ["import os, pathlib, signal, time", *lines, "from setuptools import setup", "setup()"]
    return c_extension(name) | {"setup.py": "\n".join(setup)}


def broken(folder: Path) -> Path:
    return sdist(folder, "broken", c_extension("broken", body="return not_declared_anywhere;"))


def packages(archives: Sequence[Path]) -> list[str]:
    return [part for path in archives for part in ("-P", f"{path.name.split('-')[0]} @ {path.as_uri()}")]


def run(
    whb: Whb, command: str, *archives: Path, cwd: Path, code: int, options: tuple[str, ...] = (), **environment: str
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Run it on these archives; the rows by name, and the events."""
    done = whb(command, *packages(archives), *FAST, "--json", *options, cwd=cwd, **OFF, **environment)
    assert done.returncode == code, done.stdout + done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    return rows, [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]


def test_one_that_fails_one_that_is_killed_and_the_rest_is_published(whb: Whb, tmp_path: Path) -> None:
    """The kernel's killer takes a whole build; the next try, with the machine for itself, has the memory."""
    marker = tmp_path / "was here"
    killed = f"pathlib.Path({str(marker)!r})"
    greedy = sdist(
        tmp_path,
        "greedy",
        with_setup("greedy", f"if not {killed}.exists(): {killed}.touch(); os.killpg(0, signal.SIGKILL)"),
    )
    user = make_wheel(tmp_path, name="user", requires=("broken",))
    good = make_wheel(tmp_path, name="good")
    rows, events = run(whb, "build", broken(tmp_path), greedy, user, good, cwd=tmp_path, code=1)
    assert {name: row["status"] for name, row in rows.items()} == {
        "broken": "failed",
        "good": "ready",
        "greedy": "ready",
        "user": "blocked",
    }
    assert rows["broken"]["kind"] == "compiler"
    assert rows["user"]["message"].startswith("blocked by broken")
    retried = [event for event in events if event["event"] == "job-retried"]
    assert [(event["kind"], event["alone"]) for event in retried] == [("out-of-memory", True)]
    assert "greedy" in retried[0]["title"]
    index = (tmp_path / "wheelhouse/simple/index.html").read_text()
    assert [name for name in rows if f">{name}<" in index] == ["good", "greedy"]


def test_what_hangs_is_ended_with_all_that_it_started(whb: Whb, tmp_path: Path) -> None:
    hung = sdist(tmp_path, "hung", with_setup("hung", "os.system('sleep 600 & sleep 600')"))
    rows, events = run(whb, "build", hung, cwd=tmp_path, code=1, WHB_JOB_TIMEOUT="4 s")
    assert rows["hung"]["kind"] == "time-out"
    assert "took too long: its limit is 4 s, by the setting job-timeout" in rows["hung"]["message"]
    assert "job-timeout" in rows["hung"]["hint"]
    assert not [event for event in events if event["event"] == "job-retried"]
    assert running_builds(whb, hung) == []


def test_a_refresh_does_not_try_what_is_known_to_fail(whb: Whb, tmp_path: Path) -> None:
    counter = tmp_path / "tries"
    files = with_setup("failing", f"open({str(counter)!r}, 'a').write('x')", "raise SystemExit('no')")
    archive = sdist(tmp_path, "failing", files)
    found = []
    for command, options in (("refresh", ()), ("refresh", ()), ("refresh", ("--retry",)), ("build", ())):
        before = counter.read_text() if counter.exists() else ""
        rows, _ = run(whb, command, archive, cwd=tmp_path, code=1, options=options)
        tried = counter.read_text() != before
        found.append((tried, "with the same inputs" in rows["failing"]["message"]))
    assert found == [(True, False), (False, True), (True, False), (True, False)]


def test_after_kill_9_only_what_was_not_finished_is_built(whb: Whb, tmp_path: Path) -> None:
    """Nothing half-done is left either."""
    counter, gate = tmp_path / "tries", tmp_path / "gate"
    done = sdist(tmp_path, "done", with_setup("done", f"open({str(counter)!r}, 'a').write('x')"))
    archives = (done, slow := slow_project(tmp_path, gate))
    process = start(whb, "build", *packages(archives), *FAST, "-j", "2", "--json", cwd=tmp_path)
    assert process.stderr is not None
    said = iter(process.stderr.readline, "")
    assert any('"job-finished"' in line and '"build done' in line for line in said)
    wait_for(gate.with_suffix(".here"))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: running_builds(whb, slow) == [])
    tries = counter.read_text()
    gate.touch()
    rows, _ = run(whb, "build", *archives, cwd=tmp_path, code=0)
    assert {name: row["decision"] for name, row in rows.items()} == {"done": "reuse", "slow": "build"}
    assert counter.read_text() == tries
    assert [path.name for path in (tmp_path / "wheelhouse/.whb/tmp").iterdir()] == []


def test_an_index_that_is_down_is_asked_again(whb: Whb, tmp_path: Path) -> None:
    """For build requirements; nobody listens at that address."""
    pyproject = PYPROJECT.format(name="lonely", module="lonely").replace("setuptools>=77", "nosuch-backend")
    archive = sdist(tmp_path, "lonely", {"pyproject.toml": pyproject})
    rows, events = run(whb, "build", archive, cwd=tmp_path, code=1, UV_INDEX_URL="http://127.0.0.1:9/simple/")
    assert rows["lonely"]["kind"] == "network"
    assert [event["delay"] for event in events if event["event"] == "job-retried"] == [2, 8]
