"""A run in which ten packages fail, each in its own way: the others are published, and each failure has its class."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.failing_projects import SETTINGS, WAYS
from tests.integration.projects import c_extension, sdist

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration


def test_every_failure_has_its_class_and_nothing_else_suffers(whb: Whb, tmp_path: Path) -> None:
    good = ("good-one", "good-two")
    files = {**{name: way.files for name, way in WAYS.items()}, **{name: c_extension(name) for name in good}}
    paths = [sdist(tmp_path, name, content) for name, content in files.items()]
    (tmp_path / "requirements.txt").write_text("".join(f"./{path.name}\n" for path in paths))
    (tmp_path / "whb.toml").write_text(f'requirements = ["requirements.txt"]\npythons = ["3.12"]\n{SETTINGS}')
    done = whb("refresh", "--arch", "arm64", "--json", cwd=tmp_path, WHB_VERIFY_ENGINE="off")
    assert done.returncode == 1, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert {name: row["kind"] for name, row in rows.items() if row["status"] != "ready"} == {
        name: way.kind for name, way in WAYS.items()
    }
    assert {name for name, row in rows.items() if row["status"] == "ready"} == set(good)
    index = json.loads((tmp_path / "wheelhouse/simple/index.v1_json").read_text())
    assert {project["name"] for project in index["projects"]} == set(good)
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    ended = [event for event in events if event["event"] == "job-finished" and event["outcome"] == "failed"]
    assert sorted(event["kind"] for event in ended) == sorted(way.kind for way in WAYS.values())
