"""Writes small ELF files with exactly the facts that a test is about; `read_elf` reads back what was asked for."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from wheelhouse_builder.target import Arch

MACHINES = {Arch.X86_64: 62, Arch.AARCH64: 183}
_GLOBAL, _WEAK = 1, 2
_STRTAB, _NOBITS_PROGBITS, _DYNAMIC, _DYNSYM, _VERNEED = 3, 1, 6, 11, 0x6FFFFFFE


class Strings:
    """A string table."""

    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        offset = len(self.data)
        self.data += text.encode() + b"\0"
        return offset


@dataclass(kw_only=True)
class Section:
    name: str
    kind: int
    data: bytes
    link: int = 0
    info: int = 0
    entry_size: int = 0
    offset: int = 0


def make_elf(
    *,
    machine: int = MACHINES[Arch.X86_64],
    needed: tuple[str, ...] = (),
    soname: str | None = None,
    runpath: str | None = None,
    interpreter: str | None = None,
    undefined: tuple[str, ...] = (),
    weak: tuple[str, ...] = (),
    exported: tuple[str, ...] = (),
    versions: tuple[tuple[str, str], ...] = (),
    debug: bool = False,
) -> bytes:
    """A shared object (a program with `interpreter`) for the loader's eyes only: it holds no code."""
    strings = Strings()
    tags = [(1, strings.add(library)) for library in needed]
    tags += [(14, strings.add(soname))] if soname else []
    tags += [(29, strings.add(runpath))] if runpath else []
    symbols = bytes(24)
    for names, binding, where in ((undefined, _GLOBAL, 0), (weak, _WEAK, 0), (exported, _GLOBAL, 1)):
        for name in names:
            symbols += struct.pack("<IBBHQQ", strings.add(name), binding << 4 | 2, 0, where, 0, 0)
    needs = _version_needs(versions, strings)
    sections = [
        Section(name="", kind=0, data=b""),
        Section(name=".dynstr", kind=_STRTAB, data=strings.data),
        Section(name=".dynsym", kind=_DYNSYM, data=symbols, link=1, info=1, entry_size=24),
        Section(name=".gnu.version_r", kind=_VERNEED, data=needs, link=1, info=len(versions)),
        Section(name=".debug_info" if debug else ".comment", kind=_NOBITS_PROGBITS, data=b"made by a test\0"),
        Section(name=".interp", kind=_NOBITS_PROGBITS, data=(interpreter or "").encode() + b"\0"),
        Section(name=".dynamic", kind=_DYNAMIC, data=bytes(16 * (len(tags) + 4)), link=1, entry_size=16),
    ]
    return _layout(machine, sections, tags, program=interpreter is not None)


def _version_needs(versions: tuple[tuple[str, str], ...], strings: Strings) -> bytes:
    data = b""
    for number, (library, version) in enumerate(versions, start=1):
        following = 0 if number == len(versions) else 32
        data += struct.pack("<HHIII", 1, 1, strings.add(library), 16, following)
        data += struct.pack("<IHHII", 0, 0, number + 1, strings.add(version), 0)
    return data


def _layout(machine: int, sections: list[Section], tags: list[tuple[int, int]], *, program: bool) -> bytes:
    names = Strings()
    offsets = [names.add(section.name) if section.name else 0 for section in sections]
    offsets.append(names.add(".shstrtab"))
    sections.append(Section(name=".shstrtab", kind=_STRTAB, data=names.data))
    position = 64 + 3 * 56
    for section in sections:
        section.offset = position
        position += -(-len(section.data) // 16) * 16
    strtab, symtab, interp, dynamic = (sections[number] for number in (1, 2, 5, 6))
    tags = [*tags, (5, strtab.offset), (10, len(strtab.data)), (6, symtab.offset), (0, 0)]
    dynamic.data = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, position, 0, 64, 56, 3, 64, len(sections), 7)
    segments = _segment(1, 0, position) + _segment(2, dynamic.offset, len(dynamic.data))
    segments += _segment(3, interp.offset, len(interp.data)) if program else bytes(56)
    body = b"".join(section.data.ljust(-(-len(section.data) // 16) * 16, b"\0") for section in sections)
    table = b"".join(
        struct.pack(
            "<IIQQQQIIQQ",
            *(offset, section.kind, 2, section.offset, section.offset, len(section.data)),
            *(section.link, section.info, 1, section.entry_size),
        )
        for offset, section in zip(offsets, sections, strict=True)
    )
    return header + segments + body + table


def _segment(kind: int, offset: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, 4, offset, offset, offset, size, size, 1)
