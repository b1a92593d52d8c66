"""ELF files as values: what the dynamic loader would look at, and nothing else.

Sources: the System V gABI (dynamic section, symbol table) and the GNU extensions to it (version needs).
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection
from elftools.elf.segments import InterpSegment

from wheelhouse_builder.errors import JobError
from wheelhouse_builder.files import reading_zip
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

MAGIC = b"\x7fELF"

_IN_MEMORY = 8 << 20  # bytes of one wheel member that are kept in memory; larger ones go to a temporary file
_MACHINES = {"EM_X86_64": Arch.X86_64, "EM_AARCH64": Arch.AARCH64}
_EXPORTED_BINDINGS = frozenset({"STB_GLOBAL", "STB_WEAK", "STB_LOOS"})  # STB_LOOS is GNU_UNIQUE on Linux
_EXPORTED_VISIBILITIES = frozenset({"STV_DEFAULT", "STV_PROTECTED"})


@dataclass(frozen=True, kw_only=True)
class Undefined:
    """A symbol that some other file has to define; a weak one may stay undefined."""

    name: str
    weak: bool = False


@dataclass(frozen=True, kw_only=True)
class ElfFile:
    """One ELF file. `machine` is None for a processor that no target has; `machine_name` says which one it is."""

    machine: Arch | None
    machine_name: str  # as in EM_*: "ARM", "386"
    dynamic: bool  # the loader has something to do: a shared object or a dynamically linked program
    soname: str | None = None
    needed: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()  # DT_RUNPATH, else DT_RPATH; `$ORIGIN` as written
    interpreter: str | None = None  # set in programs
    undefined: tuple[Undefined, ...] = ()
    exported: frozenset[str] = frozenset()
    version_needs: frozenset[tuple[str, str]] = frozenset()  # of which library: ("libc.so.6", "GLIBC_2.17")
    debug: bool = False  # has .debug_* or .symtab: was not stripped


def read_elf(data: IO[bytes]) -> ElfFile:
    """The facts about the ELF file in `data` (seekable). Raises `JobError` if it cannot be read as one."""
    try:
        return _read(ELFFile(data))
    except Exception as error:  # pyelftools meets a damaged file with whatever its parser stumbled over
        raise JobError(f"not a readable ELF file: {str(error) or type(error).__name__}") from error


def wheel_elf_files(wheel: Path) -> Iterator[tuple[str, ElfFile]]:
    """Each ELF file of a wheel with its name in the archive, one at a time.

    A large member is spooled to a temporary file. Raises `JobError` for a damaged wheel or a damaged ELF file in it.
    """
    damaged = reading_zip(f"{wheel.name} is damaged", hint="fetch or build it again")
    with damaged, zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if (elf := _read_member(archive, member, wheel.name)) is not None:
                yield member.filename, elf


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, wheel: str) -> ElfFile | None:
    with archive.open(member) as stream, tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        head = stream.read(len(MAGIC))
        if head != MAGIC:
            return None
        spool.write(head)
        shutil.copyfileobj(stream, spool)
        spool.seek(0)
        try:
            return read_elf(spool)
        except JobError as error:
            raise JobError(
                f"{wheel}: {member.filename}: {error.message}", hint="fetch or build the wheel again"
            ) from error


def _read(elf: ELFFile) -> ElfFile:
    code = elf["e_machine"]
    dynamic = next((s for s in elf.iter_segments("PT_DYNAMIC") if isinstance(s, DynamicSegment)), None)
    common: dict[str, Any] = {
        "machine": _MACHINES.get(code) if elf.elfclass == 64 and elf.little_endian else None,
        "machine_name": str(code).removeprefix("EM_"),
        "interpreter": next((s.get_interp_name() for s in elf.iter_segments() if isinstance(s, InterpSegment)), None),
        "debug": any(s.name == ".symtab" or s.name.startswith((".debug_", ".zdebug_")) for s in elf.iter_sections()),
    }
    if dynamic is None:
        return ElfFile(dynamic=False, **common)
    tags: dict[str, list[str]] = {"needed": [], "soname": [], "runpath": [], "rpath": []}
    for tag in dynamic.iter_tags():
        kind = str(tag.entry.d_tag).removeprefix("DT_").lower()
        if kind in tags:
            tags[kind].append(getattr(tag, kind))
    undefined, exported = _symbols(elf, dynamic)
    return ElfFile(
        dynamic=True,
        soname=next(iter(tags["soname"]), None),
        needed=tuple(tags["needed"]),
        runpath=tuple(entry for path in tags["runpath"] or tags["rpath"] for entry in path.split(":") if entry),
        undefined=undefined,
        exported=exported,
        version_needs=_version_needs(elf),
        **common,
    )


def _symbols(elf: ELFFile, dynamic: DynamicSegment) -> tuple[tuple[Undefined, ...], frozenset[str]]:
    section = elf.get_section_by_name(".dynsym")
    table = section if isinstance(section, SymbolTableSection) else dynamic  # section headers can be stripped away
    undefined, exported = [], set()
    for symbol in table.iter_symbols():
        binding = symbol.entry.st_info.bind
        if not symbol.name or binding not in _EXPORTED_BINDINGS:
            continue
        if symbol.entry.st_shndx == "SHN_UNDEF":
            undefined.append(Undefined(name=symbol.name, weak=binding == "STB_WEAK"))
        elif symbol.entry.st_other.visibility in _EXPORTED_VISIBILITIES:
            exported.add(symbol.name)
    return tuple(undefined), frozenset(exported)


def _version_needs(elf: ELFFile) -> frozenset[tuple[str, str]]:
    needs: set[tuple[str, str]] = set()
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            if section.num_versions() > section.data_size:  # a damaged count would be believed for hours
                raise ValueError(f"{section.name} does not hold {section.num_versions()} entries")
            for library, versions in section.iter_versions():
                needs.update((str(library.name), version.name) for version in versions)
    return frozenset(needs)
