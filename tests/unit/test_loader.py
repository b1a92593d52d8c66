"""The loader check, one defect at a time; the wheels are made of ELF files that `tests.elf` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.elf import MACHINES, make_elf
from tests.wheels import make_wheel
from wheelhouse_builder.errors import JobError, UsageError
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.verify.loader import check_loader
from wheelhouse_builder.verify.verdict import Check, Method, Verdict

DATA = Path(__file__).parents[1] / "data/elf"
X86 = Target((3, 12), Arch.X86_64)
ARM = Target((3, 12), Arch.AARCH64)
MUSL = "libc.musl-x86_64.so.1"
EXT = "demo/_x.cpython-312-x86_64-linux-musl.so"


def check(
    tmp_path: Path,
    files: dict[str, bytes],
    *,
    target: Target = X86,
    tag: str | None = None,
    floor: str = "1.2.2",
    native: bool | None = None,
) -> Verdict:
    tag = tag or f"{target.interpreter}-{target.interpreter}-{target.platform_tag}"
    return check_loader(make_wheel(tmp_path, tag=tag, files=files), target, musl_floor=floor, native=native)


def problems(tmp_path: Path, files: dict[str, bytes], **options: object) -> tuple[str, ...]:
    return check(tmp_path, files, **options).problems  # type: ignore[arg-type]  # the options of check


def test_a_good_wheel(tmp_path: Path) -> None:
    extension = make_elf(
        needed=(MUSL,), undefined=("malloc", "PyModule_Create2"), weak=("_ITM_deregisterTMCloneTable",)
    )
    verdict = check(tmp_path, {EXT: extension})
    assert verdict == Verdict(
        check=Check.LOADER,
        target="cp312-musllinux_1_2_x86_64",
        method=Method.STATIC,
        environment="musl 1.2.2, CPython 3.12",
    )
    assert verdict.passed


@pytest.mark.parametrize("target", [X86, ARM])
def test_what_a_real_linker_wrote(tmp_path: Path, target: Target) -> None:
    files = {
        f"demo/extension.{target.soabi}.so": (DATA / f"extension-{target.arch}.so").read_bytes(),
        "extension.libs/libdep.so.1": make_elf(machine=MACHINES[target.arch], exported=("dep",)),
    }
    assert problems(tmp_path, files, target=target) == ()


def test_linked_against_glibc(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, {EXT: make_elf(needed=("libc.so.6",), versions=(("libc.so.6", "GLIBC_2.17"),))})
    assert found == f"{EXT}: was linked against glibc (libc.so.6, GLIBC_2.17)"


def test_a_real_file_for_glibc(tmp_path: Path) -> None:
    found = problems(tmp_path, {EXT: (DATA / "glibc.so").read_bytes()})
    assert any("was linked against glibc (libc.so.6, GLIBC_2.2.5)" in problem for problem in found)


def test_a_program_with_the_loader_of_glibc(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, {"demo/tool": make_elf(interpreter="/lib64/ld-linux-x86-64.so.2")})
    assert found == "demo/tool: was linked against glibc (/lib64/ld-linux-x86-64.so.2)"


def test_libgcc_has_a_version_called_glibc_of_its_own(tmp_path: Path) -> None:
    libgcc = "demo.libs/libgcc_s-1.so.1"
    extension = make_elf(
        needed=("libgcc_s-1.so.1",),
        runpath="$ORIGIN/../demo.libs",
        undefined=("__register_frame",),
        versions=(("libgcc_s-1.so.1", "GLIBC_2.0"),),
    )
    assert problems(tmp_path, {EXT: extension, libgcc: make_elf(exported=("__register_frame",))}) == ()


@pytest.mark.parametrize(
    ("machine", "name"), [(MACHINES[Arch.AARCH64], "aarch64"), (40, "ARM")], ids=["other target", "no target"]
)
def test_another_machine(tmp_path: Path, machine: int, name: str) -> None:
    assert problems(tmp_path, {EXT: make_elf(machine=machine)}) == (f"{EXT}: is for {name}, not x86_64",)


def test_an_unresolved_symbol(tmp_path: Path) -> None:
    assert problems(tmp_path, {EXT: make_elf(undefined=("nowhere",))}) == (
        f"{EXT}: needs nowhere, which nothing defines",
    )


def test_a_symbol_newer_than_the_floor(tmp_path: Path) -> None:
    files = {EXT: make_elf(needed=(MUSL,), undefined=("statx",))}
    (found,) = problems(tmp_path, files)
    assert found == f"{EXT}: needs statx: musl ≥ 1.2.5 has it, the floor is 1.2.2 (hint: raise musl-floor)"
    assert problems(tmp_path, files, floor="1.2.5") == ()


def test_an_unknown_floor(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown musl version"):
        check(tmp_path, {EXT: make_elf()}, floor="1.1")


def test_debug_information_is_noted(tmp_path: Path) -> None:
    verdict = check(tmp_path, {EXT: make_elf(debug=True), "demo/_good.so": make_elf()})
    assert (verdict.problems, verdict.notes) == ((), (f"not stripped: {EXT}",))
    verdict = check(tmp_path, {EXT: make_elf(debug=True), "a.so": make_elf(debug=True), "b.so": make_elf(debug=True)})
    assert verdict.notes == (f"not stripped: {EXT} and 2 more",)


def test_a_missing_library(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, {EXT: make_elf(needed=("libgone.so.1",), undefined=("gone",))})
    assert found == f"{EXT}: needs libgone.so.1, which is neither in the wheel nor part of musl"


def test_the_libc_of_another_architecture_is_no_part_of_musl(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, {EXT: make_elf(needed=("libc.musl-aarch64.so.1",))})
    assert "neither in the wheel nor part of musl" in found


def test_a_library_off_the_run_path(tmp_path: Path) -> None:
    files = {
        EXT: make_elf(needed=("libdep.so",), undefined=("dep",)),
        "demo.libs/libdep.so": make_elf(exported=("dep",)),
    }
    (found,) = problems(tmp_path, files)
    assert found == f"{EXT}: needs libdep.so, which is in the wheel as demo.libs/libdep.so, but not on its run path"


def test_libraries_of_libraries_inherit_the_run_path(tmp_path: Path) -> None:
    files = {
        EXT: make_elf(needed=("liba.so",), runpath="$ORIGIN/../demo.libs", undefined=("a",)),
        "demo.libs/liba.so": make_elf(needed=("libb.so",), exported=("a",), undefined=("b",)),
        "demo.libs/libb.so": make_elf(exported=("b",), needed=("liba.so",)),
    }
    assert problems(tmp_path, files) == ()


def test_a_symbol_may_come_from_a_library_that_another_one_brought(tmp_path: Path) -> None:
    files = {
        EXT: make_elf(needed=("liba.so",), runpath="${ORIGIN}/../demo.libs", undefined=("b",)),
        "demo.libs/liba.so": make_elf(needed=("libb.so",), runpath="$ORIGIN"),
        "demo.libs/libb.so": make_elf(exported=("b",)),
    }
    assert problems(tmp_path, files) == ()


def test_a_symbol_of_a_library_that_is_not_loaded_does_not_count(tmp_path: Path) -> None:
    files = {EXT: make_elf(undefined=("dep",)), "demo.libs/libdep.so": make_elf(exported=("dep",))}
    assert problems(tmp_path, files) == (f"{EXT}: needs dep, which nothing defines",)


def test_zlib_comes_from_the_system_and_is_noted(tmp_path: Path) -> None:
    verdict = check(tmp_path, {EXT: make_elf(needed=("libz.so.1",), undefined=("inflate",))})
    assert verdict.passed
    assert verdict.notes == (f"needs libz.so.1 from the system, which python:3.X-alpine has: {EXT}",)


@pytest.mark.parametrize("library", ["libc.so", MUSL, "ld-musl-x86_64.so.1", "libm.so", "libpthread.so"])
def test_names_that_mean_musl(tmp_path: Path, library: str) -> None:
    assert problems(tmp_path, {EXT: make_elf(needed=(library,), undefined=("sin",))}) == ()


def test_a_program_runs_without_libpython(tmp_path: Path) -> None:
    program = make_elf(interpreter="/lib/ld-musl-x86_64.so.1", undefined=("Py_Main",))
    (found,) = problems(tmp_path, {"demo-1.0.data/scripts/tool": program})
    assert found == "demo-1.0.data/scripts/tool: needs Py_Main, which nothing defines"


def test_members_under_data_are_where_they_get_installed(tmp_path: Path) -> None:
    files = {
        f"demo-1.0.data/platlib/{EXT}": make_elf(needed=("libd.so",), runpath="$ORIGIN/../demo.libs", undefined=("d",)),
        "demo.libs/libd.so": make_elf(exported=("d",)),
    }
    assert problems(tmp_path, files) == ()


# Python


def test_a_version_specific_wheel_promises_that_python(tmp_path: Path) -> None:
    files = {EXT: make_elf(undefined=("PyUnicode_AsUnicode",))}  # gone in 3.12
    assert problems(tmp_path, files) == (f"{EXT}: needs PyUnicode_AsUnicode, which nothing defines",)
    assert problems(tmp_path, files, target=Target((3, 11), Arch.X86_64)) == ()


def test_an_abi3_wheel_promises_all_later_ones(tmp_path: Path) -> None:
    verdict = check(tmp_path, {EXT: make_elf(undefined=("PyModule_Create2",))}, tag="cp39-abi3-musllinux_1_2_x86_64")
    assert verdict.passed
    assert verdict.environment == "musl 1.2.2, CPython 3.11, 3.12, 3.13, 3.14"
    (found, *_) = problems(
        tmp_path, {EXT: make_elf(undefined=("PyUnicode_AsUnicode",))}, tag="cp39-abi3-musllinux_1_2_x86_64"
    )
    assert found == f"{EXT}: needs PyUnicode_AsUnicode, which CPython 3.12, 3.13, 3.14 does not have"


@pytest.mark.parametrize(
    ("symbol", "message"),
    [
        ("PyUnicode_New", "which is not in the stable ABI"),
        ("PyType_GetModuleByDef", "which the stable ABI has since 3.13, not in 3.11"),
    ],
)
def test_an_abi3_wheel_uses_only_the_stable_abi(tmp_path: Path, symbol: str, message: str) -> None:
    files = {"demo/_x.abi3.so": make_elf(undefined=(symbol,))}
    found = problems(tmp_path, files, tag="cp311-abi3-musllinux_1_2_x86_64")
    assert found == (f"demo/_x.abi3.so: uses {symbol}, {message}",)
    assert problems(tmp_path, files) == ()  # for a wheel of one Python it is no fault


# Tags


@pytest.mark.parametrize("platform", ["linux_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"])
def test_a_tag_that_is_not_for_musl(tmp_path: Path, platform: str) -> None:
    (found,) = problems(tmp_path, {EXT: make_elf()}, tag=f"cp312-cp312-{platform}")
    assert found.endswith(f"is tagged {platform}, not musllinux")


@pytest.mark.parametrize("tag", ["cp311-cp311-musllinux_1_2_x86_64", "cp312-cp312-musllinux_1_3_x86_64"])
def test_a_tag_that_does_not_fit_the_target(tmp_path: Path, tag: str) -> None:
    (found,) = problems(tmp_path, {EXT: make_elf()}, tag=tag)
    assert found.endswith("does not install on cp312-musllinux_1_2_x86_64")


def test_a_name_that_is_no_wheel(tmp_path: Path) -> None:
    path = tmp_path / "demo.whl"
    path.write_bytes(b"")
    with pytest.raises(JobError, match="not the name of a wheel"):
        check_loader(path, X86)


# Pure wheels


@pytest.mark.parametrize("native", [None, False])
def test_a_pure_wheel_passes_with_a_note(tmp_path: Path, native: bool | None) -> None:
    verdict = check(tmp_path, {"demo.py": b""}, tag="py3-none-any", native=native)
    assert (verdict.problems, verdict.notes) == ((), ("pure wheel: no ELF file to check",))


def test_a_pure_wheel_from_native_sources(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, {"demo.py": b""}, tag="py3-none-any", native=True)
    assert found == "a pure wheel came out of an sdist with native code: no extension was built"


def test_a_damaged_wheel(tmp_path: Path) -> None:
    path = make_wheel(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(JobError, match=r"demo-1\.0-py3-none-any\.whl is damaged"):
        check_loader(path, X86)
