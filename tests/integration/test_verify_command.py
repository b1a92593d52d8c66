"""`whb verify` and `whb doctor` as commands, with real Alpine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.wheels import make_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration


def test_a_wheelhouse_with_a_bad_wheel(whb: Whb, tmp_path: Path) -> None:
    make_wheel(tmp_path, name="good")
    make_wheel(tmp_path, name="broken", files={"broken.py": b"1 / 0\n"})
    done = whb("verify", str(tmp_path), "--python", "3.12", "--arch", "amd64", "--json", cwd=tmp_path)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["schema"] == "whb.verdicts/1"
    results = {
        (name.partition("-")[0], verdict["check"]): verdict["passed"]
        for name, verdicts in found["wheels"].items()
        for verdict in verdicts
    }
    assert results == {
        ("broken", "loader"): True,
        ("broken", "import"): False,
        ("good", "loader"): True,
        ("good", "import"): True,
    }


def test_good_wheels_on_two_architectures(whb: Whb, tmp_path: Path) -> None:
    make_wheel(tmp_path, name="needed")
    make_wheel(tmp_path, name="needs", files={"needs.py": b"import needed\n"}, requires=("needed",))
    done = whb.ok("verify", str(tmp_path), "--python", "3.12", cwd=tmp_path)
    assert done.stdout.count(" import ") == 4
    assert "docker whb-test/python:3.12-alpine-arm64" in done.stdout
    assert done.stderr.splitlines()[-1] == "2 wheels, 0 bad"


def test_without_alpine_the_loader_check_is_the_evidence(whb: Whb, tmp_path: Path) -> None:
    make_wheel(tmp_path, name="good")
    done = whb.ok("verify", str(tmp_path), "--arch", "amd64", cwd=tmp_path, WHB_VERIFY_ENGINE="off")
    assert "no import check" in done.stderr
    assert " import " not in done.stdout


def test_the_machine_that_runs_the_tests_is_complete(whb: Whb, tmp_path: Path) -> None:
    """`scripts/test` ran `whb doctor --install` before."""
    done = whb("doctor", "--python", "3.12", "--json", cwd=tmp_path)
    wanting = [finding for finding in json.loads(done.stdout)["findings"] if finding["state"] == "missing"]
    assert wanting == []
    assert done.returncode == 0
