"""The ladder with both engines in earnest: where one fails the other builds, which is remembered and shown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.projects import c_extension, sdist
from tests.integration.test_container_engine import IN_CONTAINERS, SETUPTOOLS, requirement, rows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

BOTH_ENGINES = {**IN_CONTAINERS, "WHB_ENGINE": "cross,container", "WHB_VERIFY_ENGINE": "off"}
TARGET = "cp312-musllinux_1_2_x86_64"
# As of a package whose set-up runs what it compiled: it is for a build on the target alone.
NATIVE_ONLY = """\
import os
from setuptools import Extension, setup
if "_PYTHON_HOST_PLATFORM" in os.environ:
    raise SystemExit("error: cannot run test program while cross compiling")
setup(name="native-only", version="1.0", ext_modules=[Extension("native_only", ["native_only.c"])])
"""
OTHER_VERSION = "from setuptools import setup\nsetup(name='renamed', version='2.0', py_modules=['renamed'])\n"


@dataclass(frozen=True)
class Ladder:
    """Builds for amd64 with both engines."""

    whb: Whb
    folder: Path

    def native_only(self) -> tuple[str, str]:
        """What only a container builds, of another content each time."""
        code = c_extension("native-only")["native_only.c"]
        stamp = f"# {self.folder.stat().st_mtime_ns}\n"
        files = {"pyproject.toml": stamp + SETUPTOOLS, "setup.py": NATIVE_ONLY, "native_only.c": code}
        return requirement("native-only", sdist(self.folder, "native-only", files))

    def build(self, *packages: str, **more: str) -> tuple[dict[str, dict[str, Any]], str]:
        """The rows by package, and what was told."""
        arguments = ("build", *packages, "--python", "3.12", "--arch", "amd64", "--json")
        done = self.whb(*arguments, cwd=self.folder, **{**BOTH_ENGINES, **more})
        assert "Traceback" not in done.stderr
        told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        notes = "\n".join(event["text"] for event in told if event["event"] == "note")
        return {name: row for (name, _), row in rows(done.stdout).items()}, notes


@pytest.fixture
def ladder(whb: Whb, tmp_path: Path) -> Ladder:
    return Ladder(whb, tmp_path)


def test_where_one_engine_fails_the_other_builds_and_is_the_first_the_next_time(ladder: Ladder) -> None:
    easy = requirement("easy", sdist(ladder.folder, "easy", c_extension("easy")))
    renamed = {"pyproject.toml": SETUPTOOLS, "setup.py": OTHER_VERSION, "renamed.py": ""}
    found, told = ladder.build(
        *ladder.native_only(), *easy, *requirement("renamed", sdist(ladder.folder, "renamed", renamed))
    )
    assert {name: (row["status"], row["strategy"]) for name, row in found.items()} == {
        "easy": ("ready", "cross"),
        "native-only": ("ready", "container-native"),
        "renamed": ("failed", None),
    }
    assert f"native-only 1.0 for {TARGET}: cross failed, container-native is tried" in told
    assert "renamed 1.0" not in told, "a wheel of another version is so on every engine"
    logs = ladder.folder / "wheelhouse/.whb/logs"
    assert "while cross compiling" in (logs / f"native-only-1.0-{TARGET}.cross.log").read_text()
    assert "while cross compiling" not in (logs / f"native-only-1.0-{TARGET}.log").read_text()

    again, told = ladder.build(*ladder.native_only(), *easy)
    assert {name: row["strategy"] for name, row in again.items()} == {
        "easy": "wheelhouse",
        "native-only": "container-native",
    }
    assert "cross failed" not in told


def test_an_engine_that_is_not_there_is_told_and_the_other_builds(ladder: Ladder) -> None:
    socket = ladder.folder / "no.sock"
    files = c_extension("lonely")
    files["pyproject.toml"] += f"# {ladder.folder.stat().st_mtime_ns}\n"
    lonely = requirement("lonely", sdist(ladder.folder, "lonely", files))
    found, told = ladder.build(*lonely, WHB_CONTAINER_HOSTS=f"amd64=unix://{socket}")
    assert (found["lonely"]["status"], found["lonely"]["strategy"]) == ("ready", "cross")
    assert str(socket) in told
    assert told.count("the other engines go on without it") == 1
