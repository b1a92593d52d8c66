"""`wheelhouse_builder.backend` around each build backend: built, for another target, stored, and taken from there."""

from __future__ import annotations

import io
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.integration.frontends import FRONT_ENDS, PIPS, FrontEnd, ok
from tests.integration.wrapped_projects import NATIVE, PROJECTS, PURE, under_git, write
from wheelhouse_builder.elf import read_elf
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.integration

TARGET = Target((3, 12), Arch.AARCH64)
# Each front end builds something for another target.
BUILDS_WITH = dict(zip(PROJECTS, ("pip-26", "uv", "pip-25", "uv", "build", "pip-22", "uv", "uv"), strict=True))


def members(wheel: Path) -> dict[str, bytes]:
    """What is in a wheel, but for what tells of the rest."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def answer(python: Path, wheel: Path, into: Path) -> str:
    """What the module of a wheel says."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(into)
    module = wheel.name.partition("-")[0]
    script = f"import sys; sys.path.insert(0, {str(into)!r}); import {module}; print({module}.answer())"
    return subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", PROJECTS)
def test_a_miss_gives_the_wheel_of_the_wrapped_backend(
    name: str, front_ends: Mapping[str, FrontEnd], tmp_path: Path
) -> None:
    """Compared with the same project without the wrapper."""
    front_end, kept = front_ends["uv"], front_ends["uv"].kept
    made = {}
    for wrapped in (False, True):
        tree = write(tmp_path / str(wrapped) / "tree", name, kept, wrapped=wrapped)
        pyproject = (tree / "pyproject.toml").read_bytes()
        ok(front_end.wheel(tree, tmp_path / str(wrapped) / "out"))
        (made[wrapped],) = (tmp_path / str(wrapped) / "out").glob("*.whl")
        assert (tree / "pyproject.toml").read_bytes() == pyproject
    assert made[True].name == made[False].name
    ours, theirs = (members(made[each]) for each in (True, False))
    assert ours.keys() == theirs.keys()
    texts = [each for each in ours if ".dist-info/" in each or each.endswith(".py")]
    assert {each: ours[each] for each in texts if "sbom" not in each} == {
        each: theirs[each] for each in texts if "sbom" not in each
    }
    if name != "tiny-cffi":  # it needs cffi to run
        assert answer(front_end.python, made[True], tmp_path / "site") == "42"


def test_two_builds_of_one_tree_at_once(front_ends: Mapping[str, FrontEnd], tmp_path: Path) -> None:
    """setuptools compiles below the tree: who comes second waits."""
    front_end = front_ends["uv"]
    tree = write(tmp_path / "tree", "tiny-c", front_end.kept)
    files = {path.name: path.read_bytes() for path in tree.iterdir()}
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda out: ok(front_end.wheel(tree, tmp_path / out)), ("one", "other")))
    for out in ("one", "other"):
        (made,) = (tmp_path / out).glob("*.whl")
        assert answer(front_end.python, made, tmp_path / f"site-{out}") == "42"
    assert {name: (tree / name).read_bytes() for name in files} == files


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A project that was built for another target and stored, once for all tests."""

    tree: Path
    out: Path
    said: str
    house: Path

    @property
    def wheel(self) -> Path:
        """The only wheel that the front end handed out."""
        (found,) = self.out.glob("*.whl")
        return found


@dataclass(frozen=True, kw_only=True)
class Yard:
    """Builds each project at most once."""

    front_ends: Mapping[str, FrontEnd]
    folder: Path
    done: dict[str, Stored] = field(default_factory=dict)

    def stored(self, name: str) -> Stored:
        """Build for the target, from a source that no earlier run has built, into a store of its own."""
        if name not in self.done:
            front_end, folder = self.front_ends[BUILDS_WITH[name]], self.folder / name
            stamp = str(self.folder.stat().st_mtime_ns)
            tree = write(folder / "tree", name, front_end.kept, stamp=stamp)
            spy, store = folder / "spy", folder / "store"
            config = (f"whb.target={TARGET}", f"whb.store={store}")
            said = ok(front_end.wheel(tree, folder / "out", *config, SPY=str(spy)))
            assert not spy.exists()  # it is not asked in the front end's own environment
            self.done[name] = Stored(tree=tree, out=folder / "out", said=said, house=store)
        return self.done[name]


@pytest.fixture(scope="module")
def yard(front_ends: Mapping[str, FrontEnd], tmp_path_factory: pytest.TempPathFactory) -> Yard:
    return Yard(front_ends=front_ends, folder=tmp_path_factory.mktemp("yard"))


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wheel_for_another_target(name: str, yard: Yard) -> None:
    made = yard.stored(name)
    machines = {
        read_elf(io.BytesIO(data)).machine for each, data in members(made.wheel).items() if each.endswith(".so")
    }
    if name in PURE:
        assert made.wheel.name.endswith("-py3-none-any.whl")
        assert not machines
    else:
        assert made.wheel.name.endswith(f"-{TARGET.platform_tag}.whl")
        assert machines == {Arch.AARCH64}
    assert (made.house / made.wheel.name).read_bytes() == made.wheel.read_bytes()
    if BUILDS_WITH[name] not in PIPS:  # they show what a backend says only when it fails
        assert str(TARGET) in made.said


@pytest.mark.parametrize("name", PROJECTS)
def test_the_same_tree_for_that_target_hits(name: str, yard: Yard, tmp_path: Path) -> None:
    """Whatever the front end; neither the backend nor a build is asked for."""
    made = yard.stored(name)
    names = list(FRONT_ENDS)
    front_end = yard.front_ends[names[(names.index(BUILDS_WITH[name]) + 1) % len(names)]]
    environ = {"WHB_TARGET": str(TARGET), "WHB_WHEELHOUSE": str(made.house), "WHB_ON_MISS": "fail"}
    ok(front_end.wheel(made.tree, tmp_path / "out", **environ, SPY=str(tmp_path / "spy")))
    (found,) = (tmp_path / "out").glob("*.whl")
    assert found.read_bytes() == made.wheel.read_bytes()
    assert not (tmp_path / "spy").exists()


@pytest.mark.parametrize("name", PROJECTS)
def test_its_sdist_for_that_target_hits(name: str, yard: Yard, tmp_path: Path) -> None:
    made = yard.stored(name)
    tree = under_git(made.tree) if name == "tiny-meson" else made.tree
    ok(yard.front_ends["uv"].sdist(tree, tmp_path / "sdist"))
    (archive,) = (tmp_path / "sdist").glob("*.tar.gz")
    config = (f"whb.target={TARGET}", f"whb.wheelhouse={made.house}", "whb.on-miss=fail")
    front_end = yard.front_ends[PIPS[list(PROJECTS).index(name) % len(PIPS)]]
    ok(front_end.wheel(archive, tmp_path / "out", *config, SPY=str(tmp_path / "spy")))
    (found,) = (tmp_path / "out").glob("*.whl")
    assert found.read_bytes() == made.wheel.read_bytes()


def test_a_store_for_ones_own_target_keeps_no_wheel_for_glibc(
    front_ends: Mapping[str, FrontEnd], tmp_path: Path
) -> None:
    """The front end gets it all the same."""
    front_end = front_ends["uv"]
    tree = write(tmp_path / "tree", "tiny-c", front_end.kept)
    said = ok(front_end.wheel(tree, tmp_path / "out", f"whb.store={tmp_path / 'store'}"))
    (made,) = (tmp_path / "out").glob("*.whl")
    assert made.name.endswith("-linux_x86_64.whl")
    assert not list(tmp_path.glob("store/*.whl"))
    assert made.name in said


def test_uv_installs_no_wheel_for_another_machine(yard: Yard, tmp_path: Path) -> None:
    made = yard.stored(NATIVE[0])
    config = (f"whb.target={TARGET}", f"whb.wheelhouse={made.house}")
    done = yard.front_ends["uv"].install(made.tree, tmp_path / "prefix", *config)
    assert done.returncode != 0
    assert "not compatible" in done.stderr
