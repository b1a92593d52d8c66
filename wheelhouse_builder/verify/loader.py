"""The loader check: would musl's dynamic loader load each ELF file of a wheel? Nothing runs; any architecture.

Every file that no other file of the wheel needs is loaded as musl's `dlopen` would: its libraries breadth first, each
looked up by file name on the run paths of what needs it (musl hands a DT_RUNPATH down to the libraries of libraries,
ldso/dynlink.c `load_library`), then every symbol against all that is loaded, musl at its floor, and libpython.
Rules from PEP 656 (only musl, and zlib by auditwheel's policy, may come from the system) and PEP 513 (no libpython).
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from wheelhouse_builder.elf import wheel_elf_files
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.verify.stable_abi import audit, minimum_minor
from wheelhouse_builder.verify.symbols import (
    DEFAULT_FLOOR,
    first_musl,
    known_floor,
    known_minors,
    musl_exports,
    python_exports,
    zlib_exports,
)
from wheelhouse_builder.verify.verdict import Check, Method, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from packaging.tags import Tag

    from wheelhouse_builder.elf import ElfFile
    from wheelhouse_builder.target import Target

_ZLIB = "libz.so.1"
# The names that musl's loader takes for itself, whatever follows the dot (ldso/dynlink.c, `reserved`).
_MUSL_PARTS = frozenset({"c", "pthread", "rt", "m", "dl", "util", "xnet"})
_GLIBC_ONLY = ("ld-linux", "libanl.so", "libcrypt.so", "libnsl.so", "libresolv.so", "libnss_")


def check_loader(
    wheel: Path, target: Target, *, musl_floor: str = DEFAULT_FLOOR, native: bool | None = None
) -> Verdict:
    """Whether the files of `wheel` load on `target` with a musl of `musl_floor` or newer.

    `native`: whether the sdist holds native code (None: not known); a wheel without any ELF file is then a problem.
    Raises `JobError` if the wheel cannot be read, `UsageError` for an unknown musl version.
    """
    floor = known_floor(musl_floor)
    tags = _tags(wheel)
    minors = _promised_minors(tags, target)
    problems = list(_tag_problems(wheel, tags, target))
    try:
        files = {_installed(name): elf for name, elf in wheel_elf_files(wheel)}
    except JobError as error:
        raise JobError(f"{error.message}; it cannot be verified", hint=error.hint) from error
    if not files and native:
        problems.append("a pure wheel came out of an sdist with native code: no extension was built")
    for name, elf in files.items():
        problems += _identity_problems(name, elf, target)
    machine = _Machine(target=target, floor=floor, asked_floor=musl_floor, minors=minors)
    for root in _roots(files):
        problems += _Process(files=files, root=root, machine=machine).problems()
    if any(tag.abi == "abi3" for tag in tags):
        for name, elf in files.items():
            problems += audit(name, elf, minimum_minor(tags))
    return Verdict(
        check=Check.LOADER,
        target=str(target),
        method=Method.STATIC,
        environment=f"musl {musl_floor}, CPython {', '.join(f'3.{minor}' for minor in minors)}",
        problems=tuple(dict.fromkeys(problems)),
        notes=tuple(_notes(files)),
    )


@dataclass(frozen=True, kw_only=True)
class _Machine:
    """What is there before the wheel: musl and one or more Pythons."""

    target: Target
    floor: str  # a member of MUSL_FLOORS
    asked_floor: str  # as the user wrote it
    minors: tuple[int, ...]

    def missing(self, symbol: str, *, program: bool) -> str | None:
        """Why this machine does not define `symbol`; None if it does. A `program` runs without libpython."""
        if symbol in musl_exports(self.target.arch, self.floor):
            return None
        without = [minor for minor in self.minors if program or symbol not in python_exports(minor)]
        if not without:
            return None
        if first := first_musl(symbol, self.target.arch):
            return f"needs {symbol}: musl ≥ {first} has it, the floor is {self.asked_floor} (hint: raise musl-floor)"
        if len(without) < len(self.minors):
            return f"needs {symbol}, which CPython {', '.join(f'3.{minor}' for minor in without)} does not have"
        return f"needs {symbol}, which nothing defines"


@dataclass(frozen=True, kw_only=True)
class _Process:
    """One `dlopen` of `root`: the files of the wheel that get loaded, and what is missing."""

    files: Mapping[str, ElfFile]
    root: str
    machine: _Machine
    _unfound: list[str] = field(default_factory=list)

    @cached_property
    def loaded(self) -> tuple[str, ...]:
        """The members that get loaded, breadth first, the root first."""
        needed_by: dict[str, str | None] = {self.root: None}
        queue = [self.root]
        for name in queue:
            for library in self.files[name].needed:
                if _from_system(library, self.machine.target):
                    continue
                found = self._find(library, name, needed_by)
                if found is None:
                    self._unfound.append(f"{name}: needs {_library_problem(library, self.files)}")
                elif found not in needed_by:
                    needed_by[found] = name
                    queue.append(found)
        return tuple(queue)

    def _find(self, library: str, name: str, needed_by: Mapping[str, str | None]) -> str | None:
        """The member that `library` means for `name`: one loaded under that name, else one on the run paths."""
        already = next((member for member in needed_by if posixpath.basename(member) == library), None)
        user: str | None = name
        while already is None and user is not None:
            candidates = (posixpath.join(folder, library) for folder in _folders(user, self.files[user].runpath))
            already = next((path for path in candidates if path in self.files), None)
            user = needed_by[user]
        return already

    def problems(self) -> Iterator[str]:
        """What keeps the root from loading."""
        loaded = self.loaded
        yield from self._unfound
        if self._unfound:
            return  # everything that the missing libraries define would be told again, symbol by symbol
        defined = frozenset[str]().union(*(self.files[name].exported for name in loaded))
        if any(_ZLIB in self.files[name].needed for name in loaded):
            defined |= zlib_exports()
        program = self.files[self.root].interpreter is not None
        for name in loaded:
            for symbol in self.files[name].undefined:
                if not symbol.weak and symbol.name not in defined:
                    reason = self.machine.missing(symbol.name, program=program)
                    if reason is not None:
                        yield f"{name}: {reason}"


def _roots(files: Mapping[str, ElfFile]) -> list[str]:
    """What gets opened by itself: every dynamic file that no other one needs."""
    needed = {library for elf in files.values() for library in elf.needed}
    return [name for name, elf in files.items() if elf.dynamic and posixpath.basename(name) not in needed]


def _folders(member: str, runpath: tuple[str, ...]) -> Iterator[str]:
    here = posixpath.dirname(member)
    for entry in runpath:
        if entry.startswith(("$ORIGIN", "${ORIGIN}")):
            below = entry.removeprefix("${ORIGIN}").removeprefix("$ORIGIN").lstrip("/")
            yield posixpath.normpath(posixpath.join(here, below))


def _is_musl(library: str, target: Target) -> bool:
    if library.startswith("ld-musl-") or library == "libc.so":
        return True
    if library.startswith("libc.musl-"):
        return library == target.libc_soname
    stem, dot, rest = library.removeprefix("lib").partition(".")
    return library.startswith("lib") and bool(dot) and stem in _MUSL_PARTS and rest == "so"


def _is_glibc(library: str) -> bool:
    stem, _, rest = library.removeprefix("lib").partition(".")
    return library.startswith(_GLIBC_ONLY) or (stem in _MUSL_PARTS and rest.startswith("so."))


def _from_system(library: str, target: Target) -> bool:
    return library == _ZLIB or _is_musl(library, target) or _is_glibc(library)  # glibc's are told by name already


def _library_problem(library: str, files: Mapping[str, ElfFile]) -> str:
    elsewhere = [name for name, elf in files.items() if library in (posixpath.basename(name), elf.soname)]
    if elsewhere:
        return f"{library}, which is in the wheel as {elsewhere[0]}, but not on its run path"
    return f"{library}, which is neither in the wheel nor part of musl"


def _identity_problems(name: str, elf: ElfFile, target: Target) -> Iterator[str]:
    """A file for another machine or another libc."""
    if elf.dynamic and elf.machine is not target.arch:
        yield f"{name}: is for {elf.machine or elf.machine_name}, not {target.arch}"
    traces = [library for library in elf.needed if _is_glibc(library)]
    traces += sorted(  # asked of the libc: aarch64's libgcc has a GLIBC_2.0 of its own
        version
        for library, version in elf.version_needs
        if version.startswith("GLIBC_") and _from_system(library, target)
    )
    if elf.interpreter and "ld-musl" not in elf.interpreter:
        traces.append(elf.interpreter)
    if traces:
        yield f"{name}: was linked against glibc ({', '.join(traces)})"


def _notes(files: Mapping[str, ElfFile]) -> Iterator[str]:
    if not files:
        yield "pure wheel: no ELF file to check"
    kinds: dict[str, Callable[[ElfFile], bool]] = {
        f"needs {_ZLIB} from the system, which python:3.X-alpine has": lambda elf: _ZLIB in elf.needed,
        "not stripped": lambda elf: elf.debug,
        "object file or static program, nothing to resolve": lambda elf: not elf.dynamic,
    }
    for text, holds in kinds.items():
        names = [name for name, elf in files.items() if holds(elf)]
        if names:
            yield f"{text}: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _tags(wheel: Path) -> frozenset[Tag]:
    try:
        return parse_wheel_filename(wheel.name)[-1]
    except InvalidWheelFilename as error:
        raise JobError(f"{wheel.name} is not the name of a wheel: {error}") from error


def _tag_problems(wheel: Path, tags: frozenset[Tag], target: Target) -> Iterator[str]:
    foreign = sorted({tag.platform for tag in tags if tag.platform != "any" and "musllinux" not in tag.platform})
    if foreign:
        yield f"{wheel.name}: is tagged {', '.join(foreign)}, not musllinux"
    elif not target.fits(tags):
        yield f"{wheel.name}: does not install on {target}"


def _promised_minors(tags: frozenset[Tag], target: Target) -> tuple[int, ...]:
    """The Pythons that the tags promise, out of those that are known; the target's if they promise none."""
    if any(tag.abi == "abi3" for tag in tags):
        promised = [minor for minor in known_minors() if minor >= minimum_minor(tags)]
    else:
        promised = [minor for minor in known_minors() if any(tag.abi == f"cp3{minor}" for tag in tags)]
    return tuple(promised) or (target.python[1],)


def _installed(member: str) -> str:
    """Where an installer puts a member: `NAME.data/platlib/` and `purelib/` are the site folder itself (PEP 427)."""
    parts = member.split("/")
    data = len(parts) > 2 and parts[0].endswith(".data") and parts[1] in ("platlib", "purelib")
    return "/".join(parts[2:]) if data else member
