"""The cross engine's pure parts: build systems, profiles, the description of a target's Python, wrappers, raw tags."""

from __future__ import annotations

import importlib.util
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from wheelhouse_builder.engines.cross import interpreter, zig
from wheelhouse_builder.engines.cross.backends import profile_for, profiles
from wheelhouse_builder.engines.cross.interpreter import (
    HostPython,
    describe_target,
    musl_pyconfig,
    tree_identity,
)
from wheelhouse_builder.engines.cross.sandbox import Sandbox
from wheelhouse_builder.engines.source import check_tag
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.project.build_system import read_build_system
from wheelhouse_builder.target import Arch, Target

ARM = Target.parse("cp312-musllinux_1_2_aarch64")
AMD = Target.parse("cp312-musllinux_1_2_x86_64")


# build systems and their profiles


def tree(folder: Path, text: str | None) -> Path:
    if text is not None:
        (folder / "pyproject.toml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        (None, "setuptools"),  # PEP 517: no pyproject.toml is setuptools
        ("[tool.black]\n", "setuptools"),
        ('[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n', "setuptools"),
        ('[build-system]\nrequires = ["setuptools"]\n', "setuptools"),
        ('[build-system]\nrequires = ["maturin>=1"]\nbuild-backend = "maturin"\n', "maturin"),
        (
            '[build-system]\nrequires = ["Setuptools_Rust >= 1.7"]\nbuild-backend = "setuptools.build_meta"\n',
            "setuptools-rust",
        ),
        ('[build-system]\nrequires = ["meson-python"]\nbuild-backend = "mesonpy"\n', "meson-python"),
        (
            '[build-system]\nrequires = ["meson_python>=0.15"]\nbuild-backend = "own"\nbackend-path = ["."]\n',
            "meson-python",
        ),
        ('[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n', "plain"),
        ('[build-system]\nrequires = []\nbuild-backend = "backend:obj"\nbackend-path = ["."]\n', "plain"),
    ],
)
def test_the_profile_of_a_build_system(tmp_path: Path, text: str | None, profile: str) -> None:
    assert profile_for(read_build_system(tree(tmp_path, text))).name == profile


def test_the_last_profile_takes_everything_and_no_other_does() -> None:
    *others, last = profiles()
    assert not last.backends
    assert not last.requires
    assert all(profile.backends or profile.requires for profile in others)


# the target's Python


def host(folder: Path, header: str) -> HostPython:
    include = folder / "host-include"
    include.mkdir()
    (include / "Python.h").write_text("/* Python */")
    (include / "pyconfig.h").write_text(header)
    return HostPython(
        path=folder / "python",
        version="3.12.1",
        origin="test",
        include=include,
        pyconfig=include / "pyconfig.h",
        variables={"SIZEOF_LONG": 8, "HAVE_CLOSE_RANGE": 1},
    )


HEADER = (
    "#define SIZEOF_LONG 8\n#define HAVE_CLOSE_RANGE 1\n/* #undef HAVE_STRLCPY */\n#define HAVE_GCC_ASM_FOR_X64 1\n"
)


def test_the_header_says_what_musl_has() -> None:
    arm, amd = musl_pyconfig(HEADER, ARM), musl_pyconfig(HEADER, AMD)
    for text in (arm, amd):
        assert "#define SIZEOF_LONG 8\n" in text
        assert "/* #undef HAVE_CLOSE_RANGE */" in text
        assert "#define HAVE_STRLCPY 1" in text
    assert "/* #undef HAVE_GCC_ASM_FOR_X64 */" in arm
    assert "#define HAVE_GCC_ASM_FOR_X64 1" in amd
    assert musl_pyconfig(arm, ARM) == arm


def variables(path: Path) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.build_time_vars
    return found


def test_the_description_is_the_targets_and_holds_no_path_of_the_host(tmp_path: Path) -> None:
    described = describe_target(ARM, host(tmp_path, HEADER), tmp_path / "cache")
    found = variables(described.library / f"{ARM.sysconfigdata_name}.py")
    assert found["EXT_SUFFIX"] == ARM.ext_suffix
    assert found["SOABI"] == ARM.soabi
    assert found["LIBPYTHON"] == ""  # meson links extensions to libpython where it is not said
    assert found["HAVE_CLOSE_RANGE"] == 0
    assert found["HAVE_STRLCPY"] == 1
    assert found["SIZEOF_LONG"] == 8
    assert found["prefix"] == found["installed_base"] == str(described.prefix)
    assert not {"base", "platbase", "userbase"} & found.keys()
    assert (described.include / "Python.h").is_file()
    assert "HAVE_STRLCPY 1" in (described.include / "pyconfig.h").read_text()
    assert not [value for value in found.values() if str(tmp_path / "host-include") in str(value)]


def test_the_same_host_gives_the_same_description_and_another_header_another(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = describe_target(ARM, host(tmp_path / "a", HEADER), tmp_path / "cache")
    assert describe_target(ARM, host(tmp_path / "b", HEADER), tmp_path / "cache") == first
    (tmp_path / "c").mkdir()
    other = describe_target(ARM, host(tmp_path / "c", HEADER + "#define HAVE_NEW 1\n"), tmp_path / "cache")
    assert other.prefix != first.prefix


def test_a_target_tree_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"no CPython 3\.12"):
        describe_target(ARM, host(tmp_path, HEADER), tmp_path / "cache", tree=tmp_path)


def target_tree(folder: Path, *, host: str = "aarch64-unknown-linux-musl", more: str = "") -> Path:
    include, library = folder / "include/python3.12", folder / "lib/python3.12"
    include.mkdir(parents=True)
    library.mkdir(parents=True)
    (include / "Python.h").write_text("/* the tree's */")
    (include / "pyconfig.h").write_text(f"#define SIZEOF_LONG 8\n{more}")
    (library / "_sysconfigdata__linux_x.py").write_text(f"build_time_vars = {{'HOST_GNU_TYPE': {host!r}}}\n")
    return folder


def test_a_target_tree_is_used_as_it_is(tmp_path: Path) -> None:
    given = target_tree(tmp_path / "tree", more="#define HAVE_CLOSE_RANGE 1\n")
    described = describe_target(ARM, host(tmp_path, HEADER), tmp_path / "cache", tree=given)
    assert (described.include / "Python.h").read_text() == "/* the tree's */"
    assert (described.include / "pyconfig.h").read_bytes() == (given / "include/python3.12/pyconfig.h").read_bytes()
    found = variables(described.library / f"{ARM.sysconfigdata_name}.py")
    assert (found["EXT_SUFFIX"], found["HAVE_CLOSE_RANGE"]) == (ARM.ext_suffix, 1)


@pytest.mark.parametrize("machine", ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-gnu", ""])
def test_a_target_tree_of_another_machine_is_refused(tmp_path: Path, machine: str) -> None:
    with pytest.raises(MachineError, match=f"no CPython 3.12 for aarch64 musl: it was made for {machine}") as caught:
        tree_identity(ARM, target_tree(tmp_path, host=machine))
    assert caught.value.hint is not None


def test_a_target_tree_is_known_by_its_content_and_not_by_its_place(tmp_path: Path) -> None:
    first, same = (target_tree(tmp_path / name) for name in ("a", "b"))
    other = target_tree(tmp_path / "c", more="#define HAVE_NEW 1\n")
    assert tree_identity(ARM, first) == tree_identity(ARM, same) != tree_identity(ARM, other)


def test_jobs_that_describe_the_same_target_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    python = host(tmp_path, HEADER)
    with ThreadPoolExecutor(8) as pool:
        described = list(pool.map(lambda _: describe_target(ARM, python, tmp_path / "cache"), range(8)))
    assert len(set(described)) == 1
    assert [path.name for path in (tmp_path / "cache/targets").iterdir()] == [described[0].prefix.name]


# zig's wrappers


def test_a_cache_with_a_space_in_its_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"my cache, holds a space.* take CC apart") as caught:
        zig.ensure_zig(Arch.AARCH64, tmp_path / "my cache")
    assert "WHB_CACHE_DIR" in str(caught.value.hint)


@pytest.fixture
def tools(tmp_path: Path) -> zig.ZigTools:
    return zig.ensure_zig(Arch.AARCH64, tmp_path)


def test_the_wrappers_call_zig_itself_with_one_set_of_flags(tools: zig.ZigTools) -> None:
    for name in ("cc", "c++"):
        text = (tools.bin / name).read_text()
        assert re.search(rf"exec /.*/ziglang/zig {re.escape(name)} -target aarch64-linux-musl -g0 -s ", text)
        assert text.rstrip().endswith('"$@" -fno-sanitize=all')
        assert (tools.bin / name).stat().st_mode & 0o111


def test_the_wrappers_are_written_once(tools: zig.ZigTools, tmp_path: Path) -> None:
    before = (tools.bin / "cc").stat().st_mtime_ns
    assert zig.ensure_zig(Arch.AARCH64, tmp_path) == tools
    assert (tools.bin / "cc").stat().st_mtime_ns == before
    assert zig.ensure_zig(Arch.X86_64, tmp_path).bin != tools.bin


def test_zig_is_kept_beyond_the_environment_that_it_was_installed_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tools of the next environment are then the same."""
    cache = tmp_path / "cache"
    for environment in (tmp_path / "one", tmp_path / "other"):
        (environment / "ziglang/lib").mkdir(parents=True)
        (environment / "ziglang/zig").write_text("#!/bin/sh\n")
        monkeypatch.setattr(zig, "zig_binary", lambda folder=environment: folder / "ziglang/zig")
        zig.keep_zig(cache, Canceller())
        shutil.rmtree(environment)
    made = zig.ensure_zig(Arch.AARCH64, cache)
    assert made.zig.is_relative_to(cache)
    assert made.zig.is_file()
    assert (made.zig.parent / "lib").is_dir()
    assert f"exec {made.zig} " in (made.bin / "cc").read_text()
    assert not list(cache.glob("toolchains/ziglang-*/ziglang-*"))


def test_a_toolchain_is_not_warm_before_it_was_warmed(tools: zig.ZigTools) -> None:
    assert not zig.is_warm(tools)


def test_without_the_wheel_zig_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MachineError, match="zig is not installed"):
        zig.zig_binary()


# what the backend hands back


@pytest.mark.parametrize(
    "name", ["x-1-cp312-cp312-linux_aarch64.whl", "x-1-cp312-abi3-linux_aarch64.whl", "x-1-py3-none-any.whl"]
)
def test_a_raw_wheel_for_the_target(name: str) -> None:
    check_tag(name, ARM)


@pytest.mark.parametrize("name", ["x-1-cp312-cp312-linux_x86_64.whl", "x-1-cp312-cp312-manylinux_2_36_x86_64.whl"])
def test_a_raw_wheel_for_the_host(name: str) -> None:
    with pytest.raises(JobError, match="not for cp312-musllinux_1_2_aarch64"):
        check_tag(name, ARM)


@pytest.mark.parametrize("name", ["x.tar.gz", "x-1-py3-none-any.whl.txt", "x.whl", "-.whl"])
def test_what_is_no_wheel_is_refused(name: str) -> None:
    with pytest.raises(JobError, match="is not the name of a wheel"):
        check_tag(name, ARM)


def test_the_newest_python_of_a_version_manager_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    for version in ("3.12.9", "3.12.10", "3.13.1"):
        program = tmp_path / f"versions/{version}/bin/python3.12"
        program.parent.mkdir(parents=True)
        program.touch()
    found = [path.parts[-3] for origin, path in interpreter._candidates((3, 12), tmp_path) if origin == "pyenv"]
    assert found == ["3.12.10", "3.12.9"]


def test_debians_header_leads_to_the_one_of_the_architecture(tmp_path: Path) -> None:
    generic = tmp_path / "python3.11/pyconfig.h"
    real = tmp_path / "x86_64-linux-gnu/python3.11/pyconfig.h"
    for path in (generic, real):
        path.parent.mkdir(parents=True)
        path.touch()
    assert interpreter._real_pyconfig(generic, "x86_64-linux-gnu") == real
    assert interpreter._real_pyconfig(real, "") == real


# the sandbox


def test_what_is_around_a_command() -> None:
    whole = Sandbox(prefix=("unshare", "--net", "--pid"), files=("sh", "ro.sh"), inner=("unshare", "--map-user=7"))
    assert whole.around(["python", "x"], [Path("/work")]) == (
        ["unshare", "--net", "--pid", "sh", "ro.sh", "/work", "--", "unshare", "--map-user=7", "python", "x"]
    )
    assert Sandbox(prefix=("unshare", "--net")).around(["python"], [Path("/work")]) == ["unshare", "--net", "python"]
    assert Sandbox().around(["python"], [Path("/work")]) == ["python"]
    assert not Sandbox()
    assert whole.told == "have no network, cannot outlive whb, cannot write outside their folders"
    assert Sandbox().told == ""


def test_what_may_use_the_network_is_held_in_all_else() -> None:
    whole = Sandbox(prefix=("unshare", "--net", "--pid"), files=("sh", "ro.sh"))
    assert whole.around(["python", "--net"], [Path("/work")], network=True) == [
        *("unshare", "--pid", "sh", "ro.sh", "/work", "--", "python", "--net")
    ]
    assert Sandbox(prefix=("unshare", "--net")).around(["python"], [], network=True) == ["unshare", "python"]
