"""`whb build .`: a company's own projects, by the same command as everything else, for both architectures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import in_alpine
from tests.integration.frontends import ok
from tests.integration.wrapped_projects import PROJECTS
from wheelhouse_builder.project.build_system import read_build_system
from wheelhouse_builder.project.key import read_inputs
from wheelhouse_builder.target import Target
from wheelhouse_builder.verify.symbols import DEFAULT_FLOOR
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.integration.conftest import Whb
    from tests.integration.frontends import FrontEnd

pytestmark = pytest.mark.integration

AMD, ARM = (Target.parse(f"cp312-musllinux_1_2_{arch}") for arch in ("x86_64", "aarch64"))
BOTH = ("--python", "3.12", "--arch", "amd64", "--arch", "arm64")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that every user, also of a container, can read."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    return tmp_path


def stamped(folder: Path, name: str, **more: object) -> Path:
    """A wrapped project whose wheels are in no cache."""
    return PROJECTS[name].write(folder, name, stamp=os.urandom(8).hex(), **more)  # type: ignore[arg-type]  # by name


def key(tree: Path, target: Target) -> str:
    inputs = read_inputs(tree, read_build_system(tree), musl_floor=DEFAULT_FLOOR)
    assert inputs is not None
    return inputs.key(target)


def keys_of(wheelhouse: Path, name: str) -> dict[str, str]:
    """The project keys that the index tells, by target."""
    files = json.loads((wheelhouse / "simple" / name / "index.v1_json").read_text())["files"]
    return {target: key for file in files for key, target in file["_whb"]["project-keys"].items()}


def answer_in_alpine(wheelhouse: Path, arch: str, name: str) -> str:
    module = name.replace("-", "_")
    script = f"pip install -q --no-index --find-links /w {name}; python -c 'import {module}; print({module}.answer())'"
    return in_alpine("3.12", arch, script, (wheelhouse, "/w")).strip()


def test_the_project_here_is_built_for_both_architectures(
    whb: Whb, front_ends: Mapping[str, FrontEnd], folder: Path
) -> None:
    """With setuptools at hand, and no index that could have `wheelhouse-builder`."""
    tree = stamped(folder / "tree", "tiny-c")
    there = front_ends["build"].kept.wheels
    assert not list(there.glob("wheelhouse_builder*"))
    (folder / "index.txt").write_text(f"--no-index\n--find-links {there}\n")
    before = sorted(tree.rglob("*"))
    done = whb.ok("build", ".", str(folder / "index.txt"), *BOTH, "-w", str(folder / "house"), cwd=tree)
    assert sorted(tree.rglob("*")) == before
    assert keys_of(folder / "house", "tiny-c") == {str(target): key(tree, target) for target in (AMD, ARM)}
    wheels = Wheelhouse(folder / "house").wheels()
    assert [wheel.filename for wheel in wheels] == [
        f"tiny_c-1.0-cp312-cp312-musllinux_1_2_{arch}.whl" for arch in ("aarch64", "x86_64")
    ]
    assert all(len(wheel.verdicts) == 2 for wheel in wheels)  # the loader's, and that of the import
    assert "tiny-c" in done.stderr.rpartition("--no-index")[2]
    for arch in ("amd64", "arm64"):
        assert answer_in_alpine(folder / "house", arch, "tiny-c") == "42"
    again = whb.ok("build", str(tree), *BOTH, "-w", str(folder / "house"), cwd=folder)
    assert again.stdout.split().count("reuse") == 2


def test_a_project_and_its_sdist_have_one_key_and_a_wheelhouse_inside_does_not_count(
    whb: Whb, front_ends: Mapping[str, FrontEnd], folder: Path
) -> None:
    """The default wheelhouse lies in the project; and the sdist is made by our own hook."""
    tree = stamped(folder / "tree", "tiny-hatch")
    ok(front_ends["build"].sdist(tree, folder / "sdist"))
    (archive,) = (folder / "sdist").glob("*.tar.gz")
    arguments = ("build", "--python", "3.12", "--arch", "amd64")
    whb.ok(*arguments, "-P", str(archive), cwd=folder)
    whb.ok(*arguments, ".", cwd=tree)
    again = whb.ok(*arguments, "-P", "./", cwd=tree)
    assert "reuse" in again.stdout.split()
    assert keys_of(folder / "wheelhouse", "tiny-hatch") == keys_of(tree / "wheelhouse", "tiny-hatch")
    assert keys_of(tree / "wheelhouse", "tiny-hatch") == {str(AMD): key(tree, AMD)}


def test_each_backend_is_called_as_if_it_were_not_wrapped(
    whb: Whb, front_ends: Mapping[str, FrontEnd], folder: Path
) -> None:
    """In one run, which takes them side by side."""
    names = ("tiny-rust", "tiny-maturin", "tiny-meson", "tiny-cffi", "tiny-flit", "tiny-spy")
    trees = {name: stamped(folder / name, name) for name in names}
    shutil.copyfile(front_ends["build"].kept.cargo_lock, trees["tiny-maturin"] / "Cargo.lock")
    whb.ok("build", *map(str, trees.values()), "--python", "3.12", "--arch", "arm64", cwd=folder)
    found = {name: keys_of(folder / "wheelhouse", name) for name in names}
    assert found == {name: {str(ARM): key(tree, ARM)} for name, tree in trees.items()}


WORKSPACE = """\
[project]
name = "everything"
version = "1"
requires-python = ">=3.11"
dependencies = ["tiny-hatch"]
[tool.uv.sources]
tiny-hatch = { workspace = true }
[tool.uv.workspace]
members = ["packages/*"]
exclude = ["packages/broken"]
"""


def test_all_projects_of_a_workspace_are_built_and_resolve_to_each_other(whb: Whb, folder: Path) -> None:
    root = folder / "root"
    stamped(root / "packages/c", "tiny-c")
    upper = stamped(root / "packages/upper", "tiny-hatch")
    text = (upper / "pyproject.toml").read_text().replace("[project]", '[project]\ndependencies = ["tiny-c"]')
    (upper / "pyproject.toml").write_text(f"{text}[tool.uv.sources]\ntiny-c = {{ workspace = true }}\n")
    (root / "packages/broken").mkdir()
    (root / "pyproject.toml").write_text(WORKSPACE)
    whb.ok("build", ".", "--python", "3.12", "--arch", "amd64", cwd=root)
    house = root / "wheelhouse"
    assert sorted(wheel.filename for wheel in Wheelhouse(house).wheels()) == [
        "tiny_c-1.0-cp312-cp312-musllinux_1_2_x86_64.whl",
        "tiny_hatch-1.0-py3-none-any.whl",
    ]
    assert keys_of(house, "tiny-c") == {str(AMD): key(root / "packages/c", AMD)}
    assert answer_in_alpine(house, "amd64", "tiny-hatch") == "42"
    lock = (house / f"requirements-{AMD}.txt").read_text()
    assert lock.index("tiny-c==1.0") < lock.index("tiny-hatch==1.0")


# what goes wrong


def message(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode in {1, 2}, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("backend", "told"),
    [
        ("wheelhouse_builder.backend", "[tool.whb] build-backend is wheelhouse_builder.backend itself"),
        ("", "[tool.whb] build-backend is no name of a backend: ''"),
        ("gone.backend", "the build backend 'gone.backend' is not available"),
        ("tiny_backend:gone", "the build backend 'tiny_backend:gone' is not available"),
    ],
)
def test_a_wrapped_backend_that_is_none_fails_its_job(backend: str, told: str, whb: Whb, folder: Path) -> None:
    tree = stamped(folder / "tree", "tiny-hatch", whb={"build-backend": backend})
    done = whb("build", ".", "--python", "3.12", "--arch", "amd64", cwd=tree)
    assert done.returncode == 1
    assert told in message(done)


def test_a_backend_path_that_leads_out_of_the_project(whb: Whb, folder: Path) -> None:
    tree = stamped(folder / "tree", "tiny-spy", whb={"backend-path": ["../backend"]})
    done = whb("build", ".", "--python", "3.12", "--arch", "amd64", cwd=tree)
    assert "[tool.whb] backend-path leads out of the project: '../backend'" in message(done)


def test_a_folder_that_is_no_project(whb: Whb, folder: Path) -> None:
    (folder / "empty").mkdir()
    done = whb("build", "./empty", cwd=folder)
    assert done.returncode == 2
    assert "is no project: it has no pyproject.toml nor setup.cfg nor setup.py" in message(done)


def test_a_file_that_cannot_be_read_is_named(whb: Whb, folder: Path) -> None:
    """By a root that, like other users, reads what it may."""
    tree = stamped(folder / "tree", "tiny-c")
    (tree / "secret.c").touch(mode=0)
    command = [sys.executable, "-m", "wheelhouse_builder", "build", ".", "--python", "3.12", "--arch", "amd64"]
    done = subprocess.run(
        ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command],
        cwd=tree,
        env={**os.environ, "WHB_CACHE_DIR": str(whb.cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"cannot read {tree}/secret.c: Permission denied" in message(done)
    assert not (tree / "wheelhouse").exists()
