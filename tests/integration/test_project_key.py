"""The project key of a checkout and of the sdist that its own backend makes of it: one key, by real backends."""

from __future__ import annotations

import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.integration.frontends import ok
from tests.integration.wrapped_projects import PROJECTS, under_git
from wheelhouse_builder.project.build_system import read_build_system
from wheelhouse_builder.project.key import read_inputs
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.integration.frontends import FrontEnd

pytestmark = pytest.mark.integration

TARGET = Target.parse("cp312-musllinux_1_2_aarch64")
# What lies beside the source of a project: the first folder is in some sdists, the rest of the tree in none or in all.
BESIDE = {
    "tests/test_it.py": "",
    "tests/conftest.py": "",
    "tox.ini": "[tox]\n",
    "README.md": "# tiny\n",
    ".gitignore": "/build/\n*.so\n/target/\n",
    ".gitattributes": "*.c text\n",
    ".github/workflows/ci.yml": "on: push\n",
}
BUILT = {
    "build/lib/x.py": "",
    "dist/tiny-0.9.tar.gz": "",
    "target/CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n",
    "target/debug/x.o": "x",
    "tiny_c.cpython-311-x86_64-linux-gnu.so": "x",
    "tiny.egg-info/PKG-INFO": "x",
    "__pycache__/x.cpython-311.pyc": "x",
    "tiny-1.0-py3-none-any.whl": "x",
}
NOT_OF_THE_WHEEL = ["tests", "tox.ini", "*.md"]
HOLD_ALL = {"tiny-hatch", "tiny-meson"}  # whose backends put the whole tree into an sdist


def write(folder: Path, name: str, front_end: FrontEnd, **whb: object) -> Path:
    """A checkout as people have it, after some builds."""
    PROJECTS[name].write(folder, name, whb=whb)
    if name == "tiny-maturin":
        shutil.copyfile(front_end.kept.cargo_lock, folder / "Cargo.lock")
    if name == "tiny-c":
        (folder / "setup.cfg").write_text("# a comment\n[options]\nzip_safe=false\n")
    for member, text in BESIDE.items():
        (folder / member).parent.mkdir(parents=True, exist_ok=True)
        (folder / member).write_text(text)
    under_git(folder)
    for member, text in BUILT.items():
        (folder / member).parent.mkdir(parents=True, exist_ok=True)
        (folder / member).write_text(text)
    return folder


def sdist_of(tree: Path, front_end: FrontEnd, into: Path) -> Path:
    """Have the sdist made, and unpack it."""
    ok(front_end.sdist(tree, into))
    (archive,) = into.glob("*.tar.gz")
    with tarfile.open(archive) as members:
        members.extractall(into, filter="data")
    (folder,) = (path for path in into.iterdir() if path.is_dir())
    return folder


def key(tree: Path) -> str:
    inputs = read_inputs(tree, read_build_system(tree), musl_floor="1.2.3")
    assert inputs is not None
    return inputs.key(TARGET)


@pytest.mark.parametrize("name", PROJECTS)
def test_a_checkout_and_its_sdist_have_one_key(name: str, front_ends: Mapping[str, FrontEnd], tmp_path: Path) -> None:
    front_end = front_ends["uv" if name in {"tiny-c", "tiny-flit"} else "build"]
    excluded = [] if name in HOLD_ALL else NOT_OF_THE_WHEEL
    tree = write(tmp_path / "tree", name, front_end, **{"key-exclude": excluded})
    sdist = sdist_of(tree, front_end, tmp_path / "out")
    assert (sdist / "PKG-INFO").is_file()
    assert key(sdist) == key(tree)
    (sdist / "pyproject.toml").write_bytes((sdist / "pyproject.toml").read_bytes() + b"\n")
    assert key(sdist) != key(tree)


def test_an_sdist_that_leaves_something_out_has_another_key_without_key_exclude(
    front_ends: Mapping[str, FrontEnd], tmp_path: Path
) -> None:
    tree = write(tmp_path / "tree", "tiny-flit", front_ends["build"])
    assert key(sdist_of(tree, front_ends["build"], tmp_path / "out")) != key(tree)
