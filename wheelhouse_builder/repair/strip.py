"""Take symbol tables and debug information out of an ELF file, whatever processor it is for.

The strippers at hand do not do it: binutils' knows only the host's processors, and `zig objcopy` (0.17.1) answers
"unimplemented". Linking with `-s` does it in the first place; this is for what was linked otherwise.

No loaded byte moves: sections are dropped from the section table, and the file is cut behind its last segment. Source:
the System V gABI, chapters 4 and 5. 64-bit little-endian files only: what our architectures have.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING

from wheelhouse_builder.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_IDENT = b"\x7fELF\x02\x01"  # 64 bit, little-endian
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_NOBITS, _REL, _RELA, _DYNSYM = 8, 9, 4, 11
_ALLOC, _INFO_LINK = 0x2, 0x40
_RESERVED_INDEX = 0xFF00  # st_shndx from here on is no section
_SYMBOL_BYTES = 24
_DROPPED_NAMES = frozenset({".symtab", ".symtab_shndx", ".strtab", ".gdb_index"})
_DROPPED_PREFIXES = (".debug", ".zdebug", ".rel.debug", ".rela.debug", ".gnu.debug", ".stab")


@dataclass(frozen=True, kw_only=True)
class _Section:
    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int

    @property
    def end(self) -> int:
        """Where its bytes end in the file."""
        return self.offset + (0 if self.type == _NOBITS else self.size)

    @property
    def loaded(self) -> bool:
        return bool(self.flags & _ALLOC)

    def packed(self) -> bytes:
        return _SECTION.pack(*(getattr(self, field) for field in self.__dataclass_fields__))


def strip(path: Path) -> None:
    """Strip the ELF file at `path` in place. Raises `JobError` when it is not a 64-bit little-endian ELF file."""
    with path.open("r+b") as file:
        if file.read(len(_IDENT)) != _IDENT:
            raise JobError(f"{path.name} cannot be stripped: not a 64-bit little-endian ELF file")
        table, names = _read_sections(file)
        keep = [number for number, section in enumerate(table) if not _is_dropped(section, names)]
        if len(keep) == len(table):
            return
        numbers = {old: new for new, old in enumerate(keep)}
        segments = _segments(file)
        loaded_end = max(
            [end for _, end in segments] + [section.end for section in table if section.loaded],
            default=_header_end(file),
        )
        for number, section in enumerate(table):
            if number not in numbers and section.end <= loaded_end and not _overlaps(section, segments):
                _overwrite(file, section.offset, bytes(section.size))
        kept = [_renumbered(table[number], numbers) for number in keep]
        for section in kept:
            if section.type == _DYNSYM:
                _renumber_symbols(file, section, numbers)
        end, kept = _move_up(file, kept, loaded_end)
        _write_table(file, kept, end, numbers)


def _read_sections(file: IO[bytes]) -> tuple[list[_Section], bytes]:
    (offset,) = _unpack(file, 0x28, "<Q")
    _, count, names_number = _unpack(file, 0x3A, "<HHH")
    fields = tuple(_Section.__dataclass_fields__)
    file.seek(offset)
    rows = [_SECTION.unpack(file.read(_SECTION.size)) for _ in range(count)]
    table = [_Section(**dict(zip(fields, row, strict=True))) for row in rows]
    return table, _content(file, table[names_number]) if table else b""


def _is_dropped(section: _Section, names: bytes) -> bool:
    name = names[section.name : names.find(b"\0", section.name)].decode(errors="replace")
    return not section.loaded and (name in _DROPPED_NAMES or name.startswith(_DROPPED_PREFIXES))


def _segments(file: IO[bytes]) -> list[tuple[int, int]]:
    """Where the segments begin and end in the file."""
    (offset,) = _unpack(file, 0x20, "<Q")
    (count,) = _unpack(file, 0x38, "<H")
    file.seek(offset)
    rows = [_SEGMENT.unpack(file.read(_SEGMENT.size)) for _ in range(count)]
    return [(row[2], row[2] + row[5]) for row in rows if row[5]]


def _header_end(file: IO[bytes]) -> int:
    (offset,) = _unpack(file, 0x20, "<Q")
    (count,) = _unpack(file, 0x38, "<H")
    return int(offset) + count * _SEGMENT.size


def _overlaps(section: _Section, segments: Sequence[tuple[int, int]]) -> bool:
    return any(section.offset < end and start < section.end for start, end in segments)


def _renumbered(section: _Section, numbers: Mapping[int, int]) -> _Section:
    names_section = section.type in (_REL, _RELA) or section.flags & _INFO_LINK
    info = numbers.get(section.info, 0) if names_section else section.info
    return replace(section, link=numbers.get(section.link, 0), info=info)


def _renumber_symbols(file: IO[bytes], table: _Section, numbers: Mapping[int, int]) -> None:
    content = bytearray(_content(file, table))
    for at in range(6, len(content), _SYMBOL_BYTES):  # st_shndx is the third field
        (number,) = struct.unpack_from("<H", content, at)
        if number < _RESERVED_INDEX:
            struct.pack_into("<H", content, at, numbers.get(number, 0))
    _overwrite(file, table.offset, bytes(content))


def _move_up(file: IO[bytes], kept: Sequence[_Section], end: int) -> tuple[int, list[_Section]]:
    """Move what is not loaded and lies behind the segments directly behind them; return the new end of the file."""
    moved = []
    for section in kept:
        if not section.loaded and section.offset >= end and section.size and section.type != _NOBITS:
            start = end + -end % max(section.align, 1)
            moved.append((section, start, _content(file, section)))
            end = start + section.size
    places = {section: start for section, start, _ in moved}
    for _, start, content in moved:
        _overwrite(file, start, content)
    return end, [replace(section, offset=places.get(section, section.offset)) for section in kept]


def _write_table(file: IO[bytes], sections: Sequence[_Section], end: int, numbers: Mapping[int, int]) -> None:
    offset = end + -end % 8
    file.truncate(end)
    _overwrite(file, end, bytes(offset - end) + b"".join(section.packed() for section in sections))
    (names_number,) = _unpack(file, 0x3E, "<H")
    _overwrite(file, 0x28, struct.pack("<Q", offset))
    _overwrite(file, 0x3C, struct.pack("<HH", len(sections), numbers[names_number]))


def _content(file: IO[bytes], section: _Section) -> bytes:
    file.seek(section.offset)
    return file.read(section.size)


def _overwrite(file: IO[bytes], offset: int, content: bytes) -> None:
    file.seek(offset)
    file.write(content)


def _unpack(file: IO[bytes], offset: int, form: str) -> tuple[int, ...]:
    file.seek(offset)
    return struct.unpack(form, file.read(struct.calcsize(form)))
