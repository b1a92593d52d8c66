"""What musl, libpython and zlib export, by version: data made out of real packages by `scripts/update-symbols`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wheelhouse_builder.target import Arch

# The versions that the lists know. Alpine went from 1.1.24 (3.12) to 1.2.2 (3.13), so the first is what musllinux_1_2
# promises in practice; 1.2.4 is in no Debian release and is held to what 1.2.3 has.
MUSL_FLOORS = ("1.2.2", "1.2.3", "1.2.5", "1.2.6")
# What a wheel may ask for where nothing else is said: the musl of Alpine 3.16 (2022), far older than any that is still
# supported. The tag musllinux_1_2 promises more, but upstream wheels (Pillow: qsort_r) do not keep to it.
DEFAULT_FLOOR = "1.2.3"


def known_floor(text: str) -> str:
    """The newest known musl that is not newer than `text`: what a wheel for that floor may use.

    Raises `UsageError` for a version older than all known ones, of another series, or that is none.
    """
    try:
        floor = Version(text)
    except InvalidVersion:
        floor = Version("0")
    known = [name for name in MUSL_FLOORS if Version(name) <= floor]
    if not known or floor.release[:2] != Version(known[-1]).release[:2]:
        raise UsageError(f"unknown musl version {text!r}", hint=f"use one of {', '.join(MUSL_FLOORS)}")
    return known[-1]


@cache
def musl_exports(arch: Arch, floor: str) -> frozenset[str]:
    """Every symbol that musl offers to a dynamically linked file from version `floor` on. Raises `UsageError`.

    What musl once had it keeps: the large-file names (`open64` …) that 1.2.4 stopped exporting are still resolved by
    its loader for files that were linked before (musl's WHATSNEW for 1.2.4; `get_lfs64` in ldso/dynlink.c).
    """
    limit = MUSL_FLOORS.index(known_floor(floor))
    return frozenset(name for name, first in _musl(arch).items() if MUSL_FLOORS.index(first) <= limit)


def first_musl(symbol: str, arch: Arch) -> str | None:
    """The oldest known musl that has `symbol`; None if none has it."""
    return _musl(arch).get(symbol)


@cache
def python_exports(minor: int) -> frozenset[str]:
    """Every symbol that libpython 3.`minor` exports. Raises `UsageError` for a minor that the data does not know."""
    if minor not in known_minors():
        raise UsageError(f"the exports of CPython 3.{minor} are not known", hint="scripts/update-symbols adds them")
    return frozenset(name for name, (first, last) in _libpython().items() if first <= minor <= last)


@cache
def known_minors() -> tuple[int, ...]:
    """The minor versions of CPython 3 that the data knows, oldest first."""
    bounds = _libpython().values()
    return tuple(range(min(first for first, _ in bounds), max(last for _, last in bounds) + 1))


@cache
def zlib_exports() -> frozenset[str]:
    """Every symbol of libz.so.1, the one library beside musl that a musllinux wheel may expect on the system."""
    return frozenset(name for (name,) in _rows("zlib.txt"))


@cache
def _musl(arch: Arch) -> dict[str, str]:
    return {name: first for name, first in _rows(f"musl-{arch}.txt")}  # noqa: C416 - typed: two columns


@cache
def _libpython() -> dict[str, tuple[int, int]]:
    return {
        name: (int(first.removeprefix("3.")), int(last.removeprefix("3.")))
        for name, first, last in _rows("libpython.txt")
    }


def _rows(name: str) -> Iterator[list[str]]:
    from importlib import resources  # noqa: PLC0415 - costs 10 ms, and who wants the floor alone reads nothing

    text = (resources.files(__package__) / "data" / name).read_text(encoding="utf-8")
    return (line.split() for line in text.splitlines() if line and not line.startswith("#"))
