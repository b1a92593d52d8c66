"""The status of a project as a whole (PEP 792): archived, deprecated, quarantined, or active as all are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.wheelhouse import disk
from wheelhouse_builder.wheelhouse.generations import Generation, current, publish
from wheelhouse_builder.wheelhouse.yanking import names_close_to

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from wheelhouse_builder.index.model import Mark
    from wheelhouse_builder.wheelhouse.store import Wheelhouse


def mark(wheelhouse: Wheelhouse, name: NormalizedName, status: Mark) -> Generation | None:
    """Say this of a project, and publish, under the lock. Returns the new generation; None if it was said already.

    Raises `UsageError` when there is no such project, and what `publish` raises.
    """
    if not any((wheelhouse.root / facts.filename).is_file() for facts in wheelhouse.records.facts([name])):
        raise UsageError(f"{name} is not in {wheelhouse.root}", hint=names_close_to(wheelhouse, name))
    with disk.writing(wheelhouse.root):
        wheelhouse.records.set_mark(name, status)
    return publish(wheelhouse, {})


def locks_naming(wheelhouse: Wheelhouse, name: NormalizedName) -> list[str]:
    """The requirements files in force that name a project."""
    generation = current(wheelhouse)
    paths = sorted(generation.path.glob("requirements-*.txt")) if generation else []
    return [path.name for path in paths if name in _named(path.read_text(encoding="utf-8"))]


def _named(requirements: str) -> set[str]:
    names = set()
    for line in requirements.splitlines():
        try:
            names.add(Requirement(line.rstrip("\\").strip()).name)
        except InvalidRequirement:  # a comment, a hash
            continue
    return names
