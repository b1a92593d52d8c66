"""What the wrapper makes in a hook, with the real engine, real Alpine and real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import IMAGE, REPOSITORY, in_alpine
from tests.integration.projects import MODULE
from tests.integration.test_bad_inputs import SLOW, wait_for, wait_until
from tests.integration.test_cross import alpine_root
from tests.integration.test_repair import wheel_of, zig
from tests.integration.wrapped_projects import PROJECTS
from wheelhouse_builder.elf import wheel_elf_files
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.locking import locked
from wheelhouse_builder.sources.trees import source_tree_digest
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.verify.verdict import Check
from wheelhouse_builder.wheelhouse.store import Wheelhouse
from wheelhouse_builder.wrapper.produce import build_for
from wheelhouse_builder.wrapper.request import read_request
from wheelhouse_builder.wrapper.stored import fetch, find

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.conftest import Whb
    from tests.integration.frontends import FrontEnd
    from wheelhouse_builder.wrapper.request import Request

pytestmark = pytest.mark.integration

TARGETS = AMD, ARM = tuple(Target((3, 12), arch) for arch in Arch)


@pytest.fixture
def ours(whb: Whb, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of the tests, for requests that are made here."""
    monkeypatch.setenv("WHB_CACHE_DIR", str(whb.cache))
    monkeypatch.setenv("WHB_VERIFY_IMAGE", IMAGE)


def stamp(folder: Path) -> str:
    """What makes a source that no earlier run has built."""
    return str(folder.stat().st_mtime_ns)


def request(tree: Path, target: Target, **more: str) -> Request:
    return read_request({"whb.target": str(target), **{f"whb.{name}": value for name, value in more.items()}}, tree)


# for another target


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_a_wheel_is_built_for_a_target_kept_and_found_again(target: Target, ours: None, tmp_path: Path) -> None:
    tree = PROJECTS["tiny-c"].write(tmp_path / "tree", "tiny-c", stamp=stamp(tmp_path))
    before = {path: path.stat().st_mtime_ns for path in (tree, *tree.rglob("*"))}
    house, first, second = (tmp_path / name for name in ("house", "first", "second"))
    first.mkdir()
    second.mkdir()
    wheel = build_for(request(tree, target, store=str(house)), target, first)
    assert wheel.name == f"tiny_c-1.0-cp312-cp312-{target.platform_tag}.whl"
    assert {path: path.stat().st_mtime_ns for path in (tree, *tree.rglob("*"))} == before
    (stored,) = Wheelhouse(house).wheels()
    assert {verdict.check for verdict in stored.verdicts if verdict.passed} == {Check.LOADER, Check.IMPORT}
    assert list(house.glob("requirements-*")) == []
    found = find(request(tree, target, wheelhouse=str(house)), target)
    assert found is not None
    assert fetch(found, second).read_bytes() == wheel.read_bytes()


def test_what_was_built_with_other_settings_is_another_wheel(ours: None, tmp_path: Path) -> None:
    tree = PROJECTS["tiny-c"].write(tmp_path / "tree", "tiny-c", stamp=stamp(tmp_path))
    house = str(tmp_path / "house")
    plain, quiet, other = (
        replace(request(tree, ARM, store=house, wheelhouse=house), config_settings=given)
        for given in (None, {"--build-option": "--quiet"}, {"--build-option": "--verbose"})
    )
    names = [build_for(asked, ARM, tmp_path).name for asked in (plain, quiet)]
    found = [find(asked, ARM) for asked in (plain, quiet)]
    assert [each and each.offer.filename for each in found] == names
    assert find(other, ARM) is None


def test_without_a_store_nothing_is_left_but_the_build_cache(ours: None, tmp_path: Path) -> None:
    tree = PROJECTS["tiny-c"].write(tmp_path / "tree", "tiny-c", stamp=stamp(tmp_path))
    out = tmp_path / "out"
    out.mkdir()
    wheel = build_for(request(tree, ARM), ARM, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tree"]
    assert list(out.iterdir()) == [wheel]
    ((_, elf),) = wheel_elf_files(wheel)
    assert (elf.machine, elf.needed) == (Arch.AARCH64, (ARM.libc_soname,))


def test_what_the_compiler_said_is_whole(ours: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tree = PROJECTS["tiny-c"].write(tmp_path / "tree", "tiny-c", stamp=stamp(tmp_path))
    (tree / "tiny_c.c").write_text(f"/* {stamp(tmp_path)} */\n#include <no_such_header.h>\n")
    with pytest.raises(JobError, match="build backend"):
        build_for(request(tree, ARM), ARM, tmp_path)
    said = capfd.readouterr().err
    assert "tiny_c.c:2:10: fatal error: 'no_such_header.h' file not found" in said
    assert f"whb: start build tiny-c 1.0 for {ARM}" in said


def slow_tree(folder: Path) -> Path:
    """A wrapped project whose build waits for ever, and says that it has begun."""
    tree = folder / "tree"
    PROJECTS["tiny-c"].write(tree, "slow", stamp=stamp(folder))
    (tree / "pyproject.toml").write_text((tree / "pyproject.toml").read_text().partition("[project]")[0])
    (tree / "setup.cfg").write_text("[metadata]\nname = slow\nversion = 1.0\n")
    (tree / "slow.c").write_text(MODULE.format(module="slow", includes="", body="return 0;"))
    (tree / "setup.py").write_text(SLOW.format(gate=str(folder / "gate")))
    return tree


def is_building(whb: Whb, tree: Path) -> bool:
    """Whether a process is in the folder where the tree is built."""
    folder = whb.cache / "work" / f"{source_tree_digest(tree)[:16]}-{ARM}"
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_build_and_its_children(number: signal.Signals, whb: Whb, tmp_path: Path) -> None:
    tree = slow_tree(tmp_path)
    script = "import sys; from wheelhouse_builder import backend; backend.build_wheel('.', {'whb.target': sys.argv[1]})"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(ARM)],
        cwd=tree,
        env={**os.environ, "WHB_CACHE_DIR": str(whb.cache)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(tmp_path / "gate.here")
        assert is_building(whb, tree)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines()[-2] == "whb: error: interrupted"
    assert "Traceback" not in said
    assert not is_building(whb, tree)


def test_ctrl_c_to_pip_ends_the_build_and_its_children(
    whb: Whb, front_ends: Mapping[str, FrontEnd], tmp_path: Path
) -> None:
    tree, pip = slow_tree(tmp_path), front_ends["pip-26"]
    with subprocess.Popen(
        [pip.python, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, "-C", f"whb.target={ARM}", tree],
        env=pip.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        wait_for(tmp_path / "gate.here")
        assert is_building(whb, tree)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(60) != 0
    wait_until(lambda: not is_building(whb, tree))


# kept, in Alpine

# In place of a compiler: hands out what was cross-compiled before, and writes into the tree as many a backend does.
BACKEND = """\
import pathlib, shutil
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    (raw,) = pathlib.Path("raw").glob("*.whl")
    pathlib.Path("made_by_the_build.c").touch()
    return pathlib.Path(shutil.copy(raw, wheel_directory)).name
def build_sdist(sdist_directory, config_settings=None):
    raise NotImplementedError
"""
DEMO = """\
[build-system]
requires = ["wheelhouse-builder"]
build-backend = "wheelhouse_builder.backend"
[tool.whb]
build-backend = "demo_backend"
backend-path = ["."]
[project]
name = "demo"
version = "1.0"
"""
ANSWER = "int the_answer(void) { return 42; }"


@pytest.fixture(scope="module")
def store_extra(test_dir: Path) -> Path:
    """Wheels of all that the extra `store` needs on Alpine, fetched once."""
    wanted = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    requirements = [*wanted["dependencies"], *wanted["optional-dependencies"]["store"]]
    folder = test_dir / "store-extra"
    done = folder / "done"
    folder.mkdir(exist_ok=True)
    with locked(folder / "lock"):
        if not done.exists() or done.read_text() != json.dumps(requirements):
            platforms = [word for musl in ("1_2", "1_1") for word in ("--platform", f"musllinux_{musl}_{AMD.arch}")]
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
            command += ["--python-version", "3.12", "--implementation", "cp", *platforms, "--dest", str(folder)]
            subprocess.run([*command, *requirements], check=True)
            done.write_text(json.dumps(requirements))
    return folder


def demo_tree(folder: Path, target: Target, test_dir: Path) -> tuple[Path, Path]:
    """A project whose wheel is there, raw as a build on Alpine makes it, and the library that it was linked with."""
    headers = alpine_root(test_dir, target) / "include/python3.12"
    libraries, tree = folder / "libraries", folder / "tree"
    zig(target, libraries, ANSWER, "libanswer.so.1", "-Wl,-soname,libanswer.so.1", "-s")
    (libraries / "libanswer.so").symlink_to("libanswer.so.1")
    source = MODULE.format(
        module="demo", includes="int the_answer(void);", body="return PyLong_FromLong(the_answer());"
    )
    name = f"demo{target.ext_suffix}"
    extension = zig(target, folder, source, name, f"-I{headers}", f"-L{libraries}", "-lanswer", "-s")
    (tree / "raw").mkdir(parents=True)
    (tree / "pyproject.toml").write_text(DEMO)
    (tree / "demo_backend.py").write_text(BACKEND)
    wheel_of(target, tree / "raw", extension)
    return tree, libraries


def test_a_wheel_that_was_built_on_alpine_is_repaired_kept_and_found_again(
    front_ends: Mapping[str, FrontEnd], store_extra: Path, test_dir: Path, tmp_path: Path
) -> None:
    """Through pip as the image has it, which makes its build environment of our extra `store`."""
    tree, libraries = demo_tree(tmp_path, AMD, test_dir)
    script = """
export PIP_NO_INDEX=1 PIP_FIND_LINKS='/extra /own' PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_QUIET=1
cp -r /tree /tmp/first; cp -r /tree /tmp/second
cp /libraries/libanswer.so.1 /usr/local/lib/
pip wheel --no-deps -w /tmp/out -C whb.store=/tmp/house /tmp/first
cmp /tmp/out/*.whl /tmp/house/*.whl
rm /usr/local/lib/libanswer.so.1
export WHB_WHEELHOUSE=/tmp/house WHB_ON_MISS=fail
pip install /tmp/second
test -e /tmp/first/made_by_the_build.c
test ! -e /tmp/second/made_by_the_build.c
python -c 'from demo import demo; print(demo.answer())'
ls /tmp/house
"""
    own = front_ends["uv"].own
    mounts = ((tree, "/tree"), (libraries, "/libraries"), (store_extra, "/extra"), (own, "/own"))
    answer, *there = in_alpine("3.12", "amd64", script, *mounts).split()
    assert answer == "42"
    wheel = f"demo-1.0-cp312-cp312-{AMD.platform_tag}.whl"
    assert sorted(there) == ["browse", wheel, f"{wheel}.metadata", "links", "simple"]
