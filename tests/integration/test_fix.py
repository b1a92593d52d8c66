"""`--fix` in earnest: a build that lacks zlib gets it from the recipe; the lines that are written do the same."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.integration.projects import c_extension, sdist
from tests.integration.test_bad_inputs import FAST, OFF

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration


def zipper(folder: Path) -> Path:
    """An extension that includes zlib.h and links libz without asking pkg-config for either; never built before."""
    files = c_extension(
        "zipper", includes=f"#include <zlib.h> // {uuid4()}", body="return PyLong_FromUnsignedLong(zlibCompileFlags());"
    )
    linked = files["pyproject.toml"].replace('["zipper.c"]', '["zipper.c"], libraries = ["z"]')
    return sdist(folder, "zipper", files | {"pyproject.toml": linked})


def run(whb: Whb, command: str, *options: str, cwd: Path, code: int) -> tuple[dict[str, Any], str]:
    """The report, and what was said."""
    done = whb(command, "requirements.txt", *FAST, "--json", *options, cwd=cwd, **OFF)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout), done.stderr


def test_what_lacks_a_library_is_built_with_it_and_published(whb: Whb, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(f"zipper @ {zipper(tmp_path).as_uri()}\n")
    fixes = tmp_path / "whb-fixes.toml"

    report, _ = run(whb, "refresh", cwd=tmp_path, code=1)
    (row,) = report["rows"]
    assert (row["kind"], row["status"]) == ("missing-library", "failed")
    assert "zlib" in row["hint"]
    assert not fixes.exists()

    report, said = run(whb, "refresh", "--fix", cwd=tmp_path, code=0)
    (row,) = report["rows"]
    assert (row["status"], report["changed"]) == ("ready", True)
    assert all(verdict["passed"] for verdict in row["verdicts"])
    assert str(fixes) in said
    assert str(fixes) in (tmp_path / "whb-report/report.md").read_text()
    written = tomllib.loads(fixes.read_text())["packages"]["zipper"]
    assert written["libraries"] == ["zlib"]

    report, _ = run(whb, "refresh", "--fix", cwd=tmp_path, code=0)
    assert not report["changed"]

    (tmp_path / "whb.toml").write_text(fixes.read_text())
    report, said = run(whb, "refresh", cwd=tmp_path, code=0)
    assert (report["changed"], report["rows"][0]["decision"]) == (False, "reuse")
    assert "whb-fixes.toml" not in said
