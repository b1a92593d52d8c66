"""Yanking (PEP 592): a version stays for who pins it, and nobody else gets it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.wheelhouse import disk
from wheelhouse_builder.wheelhouse.generations import Generation, publish

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from wheelhouse_builder.wheelhouse.store import Wheelhouse
    from wheelhouse_builder.wheelhouse.stored import StoredWheel


def parse_pin(text: str) -> tuple[NormalizedName, Version]:
    """`NAME==VERSION` and nothing more. Raises `UsageError`."""
    try:
        requirement = Requirement(text)
        (specifier,) = requirement.specifier
        version = Version(specifier.version)
    except (InvalidRequirement, InvalidVersion, ValueError):
        raise UsageError(f"{text!r} does not name one version", hint="write it as NAME==VERSION") from None
    if specifier.operator != "==" or requirement.extras or requirement.marker or requirement.url:
        raise UsageError(f"{text!r} does not name one version", hint="write it as NAME==VERSION")
    return canonicalize_name(requirement.name), version


def parse_reason(text: str) -> str:
    """A reason as one line. Raises `UsageError` when it says nothing or cannot be shown."""
    reason = " ".join(text.split())
    if not reason or not reason.isprintable():
        raise UsageError(f"{text!r} is no reason that an index can show", hint="say in one line why: clients show it")
    return reason


def yank(wheelhouse: Wheelhouse, name: NormalizedName, version: Version, reason: str | None) -> Generation | None:
    """Yank all files of a version, with those to come, and publish, under the lock; with None take the yank back.

    Returns the new generation; None if that is what is published already.
    Raises `UsageError` when the version is not there, and what `publish` raises.
    """
    files = wheels_of(wheelhouse, name, version)
    if reason is None and all(wheel.yanked is None for wheel in files):
        raise UsageError(f"{name}=={version} is not yanked", hint="`whb yank NAME==VERSION --reason TEXT` yanks")
    with disk.writing(wheelhouse.root):
        for spelled in {str(wheel.version): wheel.version for wheel in files}.values():  # 1.0 is 1, records hold texts
            wheelhouse.records.set_yank(name, spelled, reason)
    return publish(wheelhouse, {})


def wheels_of(wheelhouse: Wheelhouse, name: NormalizedName, version: Version) -> list[StoredWheel]:
    """The wheels of a version that are there, at least one. Raises `UsageError`."""
    if found := [wheel for wheel in _there(wheelhouse, name) if wheel.version == version]:
        return found
    raise UsageError(f"{name}=={version} is not in {wheelhouse.root}", hint=_close(wheelhouse, name))


def _there(wheelhouse: Wheelhouse, name: NormalizedName) -> list[StoredWheel]:
    return [wheel for wheel in wheelhouse.records.of_projects([name]) if (wheelhouse.root / wheel.filename).is_file()]


def _close(wheelhouse: Wheelhouse, name: NormalizedName) -> str:
    if versions := sorted({wheel.version for wheel in _there(wheelhouse, name)}):
        return f"of {name} there is {', '.join(map(str, versions))}"
    return names_close_to(wheelhouse, name)


def names_close_to(wheelhouse: Wheelhouse, name: NormalizedName) -> str:
    """What to do about a name that is no project's."""
    names = get_close_matches(name, {facts.name for facts in wheelhouse.records.facts()}, n=3)
    return f"did you mean {' or '.join(sorted(names))}?" if names else "name a project that `simple/` lists"
