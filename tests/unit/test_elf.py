from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.elf import MACHINES, make_elf
from wheelhouse_builder import elf as elf_module
from wheelhouse_builder.elf import ElfFile, Undefined, read_elf, wheel_elf_files
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parents[1] / "data/elf"
names = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="_.-"), min_size=1, max_size=12)
many = st.lists(names, max_size=4, unique=True).map(tuple)


@settings(deadline=None, max_examples=40)
@given(
    arch=st.sampled_from(Arch),
    needed=many,
    soname=st.none() | names,
    undefined=many,
    weak=many,
    exported=many,
    versions=st.lists(st.tuples(names, names), max_size=4),
    debug=st.booleans(),
)
def test_reads_back_what_was_written(
    arch: Arch,
    needed: tuple[str, ...],
    soname: str | None,
    undefined: tuple[str, ...],
    weak: tuple[str, ...],
    exported: tuple[str, ...],
    versions: list[tuple[str, str]],
    debug: bool,
) -> None:
    data = make_elf(
        machine=MACHINES[arch],
        needed=needed,
        soname=soname,
        runpath="$ORIGIN/../a.libs:/opt/lib",
        undefined=undefined,
        weak=weak,
        exported=exported,
        versions=tuple(versions),
        debug=debug,
    )
    assert read_elf(io.BytesIO(data)) == ElfFile(
        machine=arch,
        machine_name="X86_64" if arch is Arch.X86_64 else "AARCH64",
        dynamic=True,
        soname=soname,
        needed=needed,
        runpath=("$ORIGIN/../a.libs", "/opt/lib"),
        undefined=(*(Undefined(name=name) for name in undefined), *(Undefined(name=name, weak=True) for name in weak)),
        exported=frozenset(exported),
        version_needs=frozenset(versions),
        debug=debug,
    )


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=400))
def test_garbage_is_no_elf_file(data: bytes) -> None:
    with pytest.raises(JobError, match="not a readable ELF file"):
        read_elf(io.BytesIO(b"\x7fELF" + data))


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_damage_is_told_as_an_error_of_ours(data: st.DataObject) -> None:
    whole = bytearray(make_elf(needed=("libc.so",), undefined=("malloc",), versions=(("libc.so", "V1"),)))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(JobError):  # any other exception fails the test
        assert isinstance(read_elf(io.BytesIO(bytes(whole))), ElfFile)


def test_a_machine_that_no_target_has() -> None:
    elf = read_elf(io.BytesIO(make_elf(machine=40)))
    assert (elf.machine, elf.machine_name) == (None, "ARM")


def test_a_program_has_an_interpreter() -> None:
    elf = read_elf(io.BytesIO(make_elf(interpreter="/lib/ld-musl-x86_64.so.1")))
    assert elf.interpreter == "/lib/ld-musl-x86_64.so.1"


@pytest.mark.parametrize(("arch", "size"), [(Arch.X86_64, 8192), (Arch.AARCH64, 8192)])
def test_what_a_real_linker_wrote(arch: Arch, size: int) -> None:
    path = DATA / f"extension-{arch}.so"
    assert path.stat().st_size < size
    with path.open("rb") as stream:
        elf = read_elf(stream)
    assert (elf.machine, elf.dynamic, elf.debug) == (arch, True, False)
    assert elf.needed == ("libdep.so.1", "libc.so")
    assert elf.runpath == ("$ORIGIN/../extension.libs",)
    assert {symbol.name for symbol in elf.undefined if not symbol.weak} == {"PyModule_Create2", "malloc", "dep"}
    assert [symbol.name for symbol in elf.undefined if symbol.weak] == ["maybe"]
    assert elf.exported == {"PyInit_extension"}


def test_what_a_linker_for_glibc_wrote() -> None:
    with (DATA / "glibc.so").open("rb") as stream:
        elf = read_elf(stream)
    assert "libc.so.6" in elf.needed
    assert ("libc.so.6", "GLIBC_2.2.5") in elf.version_needs


def test_a_stripped_section_table_leaves_the_dynamic_segment() -> None:
    with (DATA / "no-sections.so").open("rb") as stream:
        elf = read_elf(stream)
    assert elf.needed == ("libdep.so.1", "libc.so")
    assert "PyInit_extension" in elf.exported


def test_members_are_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elf_module, "_IN_MEMORY", 16)  # all of them go through a file
    wheel = tmp_path / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/x.so", make_elf(exported=("x",)))
        archive.writestr("a/__init__.py", "")
        archive.writestr("a/y.so", make_elf(exported=("y",)))
    assert [(name, set(elf.exported)) for name, elf in wheel_elf_files(wheel)] == [("a/x.so", {"x"}), ("a/y.so", {"y"})]


def corrupt(content: bytes) -> bytes:
    return content.replace(b"incompressible", b"incomprehensib")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-30], "a-1-py3-none-any.whl is damaged"),
        (corrupt, "a-1-py3-none-any.whl is damaged"),
        (lambda content: b"", "a-1-py3-none-any.whl is damaged"),
    ],
)
def test_a_damaged_wheel(tmp_path: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    wheel = tmp_path / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("a/x.so", make_elf() + b"incompressible")
    wheel.write_bytes(damage(wheel.read_bytes()))
    with pytest.raises(JobError, match=message):
        list(wheel_elf_files(wheel))


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    wheel = tmp_path / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("a/x.so", b"\x7fELF and then nothing")
    with pytest.raises(JobError, match=r"^a-1-py3-none-any\.whl: a/x\.so: not a readable ELF file"):
        list(wheel_elf_files(wheel))
