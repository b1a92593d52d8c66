"""docs/how-to/build-backend.md, done as it is printed, on tiny projects."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.integration.projects import MODULE
from tests.integration.web import free_port, serving_files
from tests.integration.wrapped_projects import PROJECTS
from tests.pages import blocks, commands, section, tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.integration.conftest import Whb
    from tests.integration.frontends import FrontEnd

pytestmark = pytest.mark.integration

PAGE = "docs/how-to/build-backend.md"
TARGET = "cp312-musllinux_1_2_aarch64"
PROJECT = """
[project]
name = "demo"
version = "1.0"
requires-python = ">=3.11"
[tool.setuptools]
py-modules = []
ext-modules = [{ name = "demo", sources = ["demo.c"] }]
"""


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A folder, and `pip`, `python`, `uv` and `whb` on PATH that know no index but a folder of wheels."""

    folder: Path
    environ: Mapping[str, str]

    def run(self, command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the page."""
        env = {**self.environ, **environ}
        argv = ["sh", "-ec", command]
        return subprocess.run(argv, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def ok(self, command: str, **environ: str) -> str:
        """The same, expected to go well; all it said."""
        done = self.run(command, **environ)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def environment(self) -> None:
        """A new one to install into."""
        shutil.rmtree(self.folder.parent / "venv", ignore_errors=True)
        self.ok('uv venv --quiet --python "$PYTHON" ../venv')

    def answer(self) -> str:
        """What the installed module says."""
        return self.ok("../venv/bin/python -c 'import demo; print(demo.answer())'")


def desk(whb: Whb, front_ends: Mapping[str, FrontEnd], root: Path) -> Desk:
    """One whose folder is empty."""
    programs, folder, build = root / "bin", root / "folder", front_ends["build"]
    (root / "home").mkdir()
    programs.mkdir()
    folder.mkdir()
    (pip,) = build.python.parent.parent.glob("lib/*/site-packages/pip")
    for name, command in {
        "python": f"'{build.python}'",
        "pip": f"'{root}/venv/bin/python' '{pip}'",
        "uv": f"'{build.kept.program('uv', 'uv')}'",
        "whb": f"'{sys.executable}' -m wheelhouse_builder",
    }.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    links = f'find-links = ["{build.kept.wheels}", "{build.own}"]\n'
    (root / "uv.toml").write_text(f"{links}no-index = true\n", encoding="utf-8")
    environ = {
        **build.environment(),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(root / "home"),
        "PYTHON": str(build.python),
        "UV_CACHE_DIR": str(root / "home/uv"),
        "UV_CONFIG_FILE": str(root / "uv.toml"),
        "VIRTUAL_ENV": str(root / "venv"),
    }
    made = Desk(folder=folder, environ=environ)
    made.environment()
    return made


@pytest.fixture(scope="module")
def project(whb: Whb, front_ends: Mapping[str, FrontEnd], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A project with the page's settings, of a source that no earlier run has built; its wheelhouse is served."""
    root = tmp_path_factory.mktemp("desk")
    made = desk(whb, front_ends, root)
    with serving_files(made.folder / "wheelhouse") as address:
        url = f"http://{address}/simple/"
        system = blocks(section(PAGE, "Set it up"))[0].replace("https://wheels.example/simple/", url)
        (made.folder / "pyproject.toml").write_text(system + PROJECT, encoding="utf-8")
        source = MODULE.format(module="demo", includes="", body="return PyLong_FromLong(42);")
        (made.folder / "demo.c").write_text(f"{source}/* {root.stat().st_mtime_ns} */\n", encoding="utf-8")
        yield made


def wheels(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.whl"))


AARCH64, X86_64 = (f"demo-1.0-cp312-cp312-musllinux_1_2_{machine}.whl" for machine in ("aarch64", "x86_64"))


def test_a_front_end_fills_the_wheelhouse(project: Desk) -> None:
    """pip builds for the target and stores; what uv then gets is that."""
    _, by_pip, by_uv, _ = commands(section(PAGE, "Fill the wheelhouse"))
    assert f"{AARCH64} is for {TARGET}" in project.ok(f"{by_pip} -v")
    assert wheels(project.folder / "dist") == wheels(project.folder / "wheelhouse") == [AARCH64]
    stored = (project.folder / "wheelhouse" / AARCH64).read_bytes()
    shutil.rmtree(project.folder / "dist")
    project.ok(by_uv, WHB_ON_MISS="fail")
    assert (project.folder / "dist" / AARCH64).read_bytes() == stored


def test_whb_fills_it_for_all_targets(project: Desk) -> None:
    build, *_ = commands(section(PAGE, "Fill the wheelhouse"))
    assert "2 of 2 ready" in project.ok(build)
    assert wheels(project.folder / "wheelhouse") == [AARCH64, X86_64]


def test_on_glibc_nothing_native_is_stored(project: Desk) -> None:
    *_, store = commands(section(PAGE, "Fill the wheelhouse"))
    assert "linux_x86_64.whl is not stored" in project.ok(f"{store} -v")
    assert "demo-1.0-cp311-cp311-linux_x86_64.whl" in wheels(project.folder / "dist")
    assert wheels(project.folder / "wheelhouse") == [AARCH64, X86_64]


def test_what_becomes_of_a_miss(project: Desk) -> None:
    """This interpreter is for glibc, so all is a miss."""
    install, never = commands(section(PAGE, "Take wheels from it"))
    (rows,) = tables(section(PAGE, "Take wheels from it"))
    down = f"http://127.0.0.1:{free_port()}/simple/"
    for row in rows:
        asked = {} if row["on-miss"] == "not set" else {"WHB_ON_MISS": row["on-miss"]}
        for column, wheelhouse in (("a miss", {}), ("the wheelhouse is down or damaged", {"WHB_WHEELHOUSE": down})):
            project.environment()
            done = project.run(f"{install} -v", **asked, **wheelhouse)
            assert (done.returncode == 0) == row[column].startswith("is built"), (row, column, done.stderr)
            told = "Connection refused" in done.stdout + done.stderr
            assert told == bool(wheelhouse), (row, column, done.stderr)
    project.environment()
    done = project.run(never)
    assert (done.returncode, "no wheel of demo 1.0" in done.stdout + done.stderr) == (1, True)


def test_an_editable_install_is_the_real_backends(project: Desk) -> None:
    (edit,) = commands(section(PAGE, "Editable"))
    project.environment()
    project.ok(edit, WHB_ON_MISS="fail")
    assert project.answer() == "42\n"


def change_answer(project: Desk, answer: int) -> None:
    source = project.folder / "demo.c"
    source.write_text(re.sub(r"\(4\d\)", f"({answer})", source.read_text(encoding="utf-8")), encoding="utf-8")


def test_a_changed_source_gets_a_build_tag(project: Desk) -> None:
    change_answer(project, 43)
    project.ok("whb build .")
    tagged = AARCH64.replace("demo-1.0-", "demo-1.0-1-")
    assert tagged in wheels(project.folder / "wheelhouse")
    for answer, wheel in ((43, tagged), (42, AARCH64)):
        change_answer(project, answer)
        project.ok(f"pip wheel . --no-deps -w dist/{answer} -C whb.target={TARGET} -C whb.on-miss=fail")
        assert wheels(project.folder / f"dist/{answer}") == [wheel]


def test_an_sdist_is_found_by_the_key_of_its_checkout(project: Desk) -> None:
    sdist, check = commands(section(PAGE, "Source distributions"))
    (exclude,) = (block for block in blocks(section(PAGE, "Source distributions")) if "key-exclude" in block)
    shutil.rmtree(project.folder / "dist")
    change_answer(project, 44)
    (project.folder / "tests").mkdir()
    (project.folder / "tests/notes.txt").write_text("not in the sdist\n", encoding="utf-8")
    project.ok("whb build .")
    project.ok(sdist)
    assert project.run(check).returncode == 1
    pyproject = project.folder / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    pyproject.write_text(text.replace("[tool.whb]\n", f"[tool.whb]\n{exclude}"), encoding="utf-8")
    shutil.rmtree(project.folder / "dist")
    project.ok("whb build .")
    project.ok(sdist)
    project.ok(check)


def test_ci_takes_what_it_made(project: Desk) -> None:
    """Here for another target: this interpreter has no wheel."""
    build, take = commands(section(PAGE, "In CI"))
    project.ok(build)
    assert (project.folder.parent / "report.json").read_text(encoding="utf-8").startswith("{")
    wheel = take.replace("pip install .", f"pip wheel . --no-deps -w dist/taken -C whb.target={TARGET}")
    project.ok(wheel)
    assert len(wheels(project.folder / "dist/taken")) == 1


@pytest.fixture
def workspace(whb: Whb, front_ends: Mapping[str, FrontEnd], tmp_path: Path) -> Desk:
    """A uv workspace of two wrapped members, pure, with a backend in the tree that tells of its calls."""
    made = desk(whb, front_ends, tmp_path)
    (line,) = blocks(section(PAGE, "Workspaces"))[1].splitlines()
    key, _, path = line.partition(" = ")
    root = '[project]\nname = "root"\nversion = "1"\nrequires-python = ">=3.11"\n'
    members = '[tool.uv.workspace]\nmembers = ["members/*"]\n'
    (made.folder / "pyproject.toml").write_text(root + members, encoding="utf-8")
    member = made.folder / "members/tiny-spy"
    PROJECTS["tiny-spy"].write(member, "tiny-spy", stamp=str(tmp_path.stat().st_mtime_ns), whb={key: path.strip('"')})
    return made


def test_members_of_a_workspace_share_a_wheelhouse(workspace: Desk, tmp_path: Path) -> None:
    (build,) = commands(section(PAGE, "Workspaces"))
    workspace.ok(f"{build} --python 3.12 --arch amd64")
    assert wheels(workspace.folder / "wheelhouse") == ["tiny_spy-1.0-py3-none-any.whl"]
    member = workspace.folder / "members/tiny-spy"
    spy = {"SPY": str(tmp_path / "spy"), "WHB_ON_MISS": "fail"}
    (workspace.folder / "members/tiny-spy/dist").mkdir()
    workspace.ok(f"cd '{member}'; pip wheel . --no-deps -w ../../dist", **spy)
    assert not (tmp_path / "spy").exists()
    workspace.ok(f"cd '{member}'; uv sync --no-editable --python \"$PYTHON\"", **spy)
    assert not (tmp_path / "spy").exists()
    workspace.ok(f"cd '{member}'; uv sync --python \"$PYTHON\"", **spy)
    assert '["build_editable"' in (tmp_path / "spy").read_text(encoding="utf-8")
