from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from tests.wheels import make_wheel
from wheelhouse_builder.elf import ElfFile
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.repair.musllinux import patchelf_options, repair
from wheelhouse_builder.repair.strip import strip
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Target.parse("cp312-musllinux_1_2_aarch64")
LIBC = "libc.musl-aarch64.so.1"
SHARED = ElfFile(machine=Arch.AARCH64, machine_name="AARCH64", dynamic=True, needed=(LIBC,))


@pytest.mark.parametrize(
    ("name", "changes", "options"),
    [
        ("a.so", {}, []),
        ("a.so", {"needed": ("libc.so", "libz.so.1")}, ["--replace-needed", "libc.so", LIBC]),
        ("a.abi3.so", {"needed": ()}, ["--add-needed", LIBC]),
        ("libx.so.1.2", {"needed": ("libz.so.1",)}, ["--add-needed", LIBC]),
        ("static-pie", {"needed": ()}, []),
        ("a.so", {"needed": ("ld-musl-aarch64.so.1",)}, []),
        ("a.so", {"needed": ("libc.so.6",)}, []),  # glibc: refused elsewhere, never made to look right
        ("a.so", {"runpath": ("/build/lib",)}, ["--remove-rpath"]),
        ("a.so", {"runpath": ("$ORIGIN/../x.libs", "/usr/lib")}, ["--set-rpath", "$ORIGIN/../x.libs"]),
        ("a.so", {"runpath": ("$ORIGIN/../x.libs",)}, []),
        ("program", {"dynamic": False, "needed": ()}, []),
    ],
)
def test_what_patchelf_changes(name: str, changes: dict[str, object], options: list[str]) -> None:
    assert patchelf_options(name, dataclasses.replace(SHARED, **changes), LIBC) == options  # type: ignore[arg-type]  # a table of mixed values


def repaired(tmp_path: Path, wheel: Path) -> Path:
    return repair(
        wheel, TARGET, library_dirs=[], scratch=tmp_path / "scratch", epoch=1_700_000_000, log=tmp_path / "log"
    )


def test_pure_wheels_are_only_made_canonical(tmp_path: Path) -> None:
    wheel = repaired(tmp_path, make_wheel(tmp_path))
    assert wheel.name == "demo-1.0-py3-none-any.whl"
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    "platform", ["linux_x86_64", "manylinux_2_17_aarch64", "musllinux_1_3_aarch64", "any.linux_x86_64"]
)
def test_wheels_for_another_platform_are_refused(tmp_path: Path, platform: str) -> None:
    with pytest.raises(JobError, match="not for linux_aarch64") as caught:
        repaired(tmp_path, make_wheel(tmp_path, tag=f"cp312-cp312-{platform}"))
    assert platform in caught.value.message


def test_platform_wheel_with_nothing_compiled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="holds nothing compiled"):
        repaired(tmp_path, make_wheel(tmp_path, tag="cp312-cp312-linux_aarch64"))


def test_damaged_elf_files_are_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, tag="cp312-cp312-linux_aarch64", files={"demo.so": b"\x7fELF rubbish"})
    with pytest.raises(JobError, match=r"demo\.so.*not a readable ELF file"):
        repaired(tmp_path, wheel)


def test_only_elf_files_are_stripped(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"text")
    with pytest.raises(JobError, match="text cannot be stripped"):
        strip(path)
    assert path.read_bytes() == b"text"
