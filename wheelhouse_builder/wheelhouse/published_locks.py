"""The locks that the generation in force offers: what clients install for each target."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

from packaging.version import Version

from wheelhouse_builder.artifact import parse_wheel_name
from wheelhouse_builder.index.locks import requirements_name
from wheelhouse_builder.target import Target
from wheelhouse_builder.wheelhouse.generations import current

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.utils import NormalizedName

    from wheelhouse_builder.wheelhouse.generations import Generation
    from wheelhouse_builder.wheelhouse.store import Wheelhouse

_NAME = re.compile(r"requirements-(.+)\.txt")
_PIN = re.compile(r"^(\S+)==(\S+) \\\n +--hash=sha256:([0-9a-f]{64})$", re.MULTILINE)  # as `index.locks` writes it


def locked_versions(wheelhouse: Wheelhouse, target: Target) -> dict[NormalizedName, Version]:
    """The version of each package in the lock of a target; none if it has no lock."""
    now = current(wheelhouse)
    pins = _pins(now, requirements_name(target)) if now else []
    return {cast("NormalizedName", name): Version(version) for name, version, _ in pins}


def published_versions(
    wheelhouse: Wheelhouse, target: Target, names: Iterable[NormalizedName]
) -> dict[NormalizedName, Version]:
    """The version of each of these packages that a target has: by its lock, or else the newest that fits it.

    A target has no lock, or an old one, while any package of it fails.
    """
    now, locked = current(wheelhouse), locked_versions(wheelhouse, target)
    fitting = {name: tuple(_fitting(now, name, target)) for name in names if name not in locked} if now else {}
    return locked | {name: max(versions) for name, versions in fitting.items() if versions}


def locked_wheels(wheelhouse: Wheelhouse) -> dict[Target, frozenset[str]]:
    """For each target that has a lock, the sha256 of the wheels that it names."""
    now = current(wheelhouse)
    if now is None:
        return {}
    names = filter(None, (_NAME.fullmatch(path.name) for path in sorted(now.path.iterdir())))
    return {Target.parse(name[1]): frozenset(sha256 for *_, sha256 in _pins(now, name[0])) for name in names}


def _pins(generation: Generation, filename: str) -> list[tuple[str, str, str]]:
    try:
        return _PIN.findall((generation.path / filename).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []


def _fitting(generation: Generation, name: NormalizedName, target: Target) -> Iterator[Version]:
    """The versions of a project's wheels for a target; none of a page that is not there or cannot be read."""
    try:
        files = json.loads((generation.path / "simple" / name / "index.v1_json").read_bytes())["files"]
        wheels = [parse_wheel_name(file["filename"]) for file in files if file["filename"].endswith(".whl")]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for _, version, _, tags in wheels:
        if target.fits(tags):
            yield version
