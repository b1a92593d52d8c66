"""Versions that a wheelhouse yanked: as with any installer only who pins one gets it (PEP 592).

The index that resolves knows nothing of them, so they are excluded by constraints, and only where a lock has one: what
was resolved for other requirements stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelhouse_builder.errors import ResolveError
from wheelhouse_builder.requirements.model import Origin, RequirementLine, RequirementSet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from packaging.utils import NormalizedName

    from wheelhouse_builder.resolve.lock import Lock

Pin = tuple["NormalizedName", Version]


def lock_without(
    withdrawn: Mapping[Pin, str], requirements: RequirementSet, lock: Callable[[RequirementSet], Lock]
) -> Lock:
    """What `lock` gives for the requirements, without versions that are `withdrawn` (with the reason) and not pinned.

    Raises what `lock` raises; a `ResolveError` says what was excluded.
    """
    excluded: dict[Pin, str] = {}
    found = lock(requirements)
    while new := {pin: withdrawn[pin] for pin in _pins(found) if pin in withdrawn and not _pinned(pin, requirements)}:
        excluded |= new
        constraints = tuple(_exclusion(pin) for pin in excluded)
        try:
            found = lock(replace(requirements, lines=(*requirements.lines, *constraints)))
        except ResolveError as error:
            told = "".join(f"\n  {name} {version} is yanked: {why}" for (name, version), why in excluded.items())
            hint = "pin the version (NAME==VERSION) to have it all the same, or take the yank back: `whb yank --undo`"
            raise ResolveError(f"{error.message}\nin the wheelhouse{told}", hint=hint) from error
    return found


def _pins(lock: Lock) -> set[Pin]:
    packages = lock.pylock.packages
    return {(canonicalize_name(package.name), package.version) for package in packages if package.version is not None}


def _pinned(pin: Pin, requirements: RequirementSet) -> bool:
    name, version = pin
    asked = [line.requirement for line in requirements.lines if line.requirement and line.name == name]
    specifiers = [specifier for requirement in asked for specifier in requirement.specifier]
    return any(
        specifier.operator in {"==", "==="} and not specifier.version.endswith(".*") and specifier.contains(version)
        for specifier in specifiers
    )


def _exclusion(pin: Pin) -> RequirementLine:
    text = f"{pin[0]}!={pin[1]}"
    return RequirementLine(
        origin=Origin(file=None, number=0), text=text, requirement=Requirement(text), constraint=True
    )
