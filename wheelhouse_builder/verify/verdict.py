"""The verdict: one check of one wheel for one target, and how it was had."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Check(StrEnum):
    """What was checked."""

    LOADER = "loader"  # each symbol of each ELF file resolves, as musl's loader would resolve it
    IMPORT = "import"  # installed and imported in Alpine


class Method(StrEnum):
    """How the evidence was had."""

    STATIC = "static"  # the files were read; nothing ran
    NATIVE = "native"  # it ran on a processor of the target's kind
    QEMU = "qemu"  # it ran under emulation


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`passed` without a problem; `notes` are worth knowing but no fault (a module wants an optional dependency)."""

    check: Check
    target: str  # str(Target)
    method: Method
    environment: str  # for people: "musl 1.2.2, CPython 3.12", "docker python:3.12-alpine"
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the check found no problem."""
        return not self.problems
