"""What is to be copied, decided from values alone: what the generation has, and what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wheelhouse_builder.remote.items import Found, Item


@dataclass(frozen=True, kw_only=True)
class CopyPlan:
    """The uploads in their order, what is there already, and what may not be overwritten."""

    uploads: tuple[Item, ...]
    there: tuple[Item, ...]
    conflicts: tuple[Item, ...]  # immutable, and there with other content


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Which units (a project, or a file beside the projects) are not as the destination's manifest says."""

    changed: frozenset[str]
    gone: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone)


def plan_copy(items: Iterable[Item], there: Mapping[str, Found]) -> CopyPlan:
    """What to do for these items where `there` is. Pages may be overwritten; wheels and their metadata never."""
    uploads, same, conflicts = [], [], []
    for item in sorted(items, key=lambda item: (item.stage, item.key)):
        found = there.get(item.key)
        if found is not None and (found.size, found.sha256) == (item.size, item.sha256):
            same.append(item)
        elif found is not None and item.immutable:
            conflicts.append(item)
        else:
            uploads.append(item)
    return CopyPlan(uploads=tuple(uploads), there=tuple(same), conflicts=tuple(conflicts))


def difference(before: Mapping[str, str | None], now: Mapping[str, str]) -> Difference:
    """From what a manifest tells of each unit (None: unknown) to what shall be."""
    return Difference(
        changed=frozenset(unit for unit, print_ in now.items() if before.get(unit) != print_),
        gone=frozenset(before.keys() - now.keys()),
    )


def in_doubt(before: Mapping[str, str | None], units: Iterable[str]) -> dict[str, str | None]:
    """What a manifest may still tell while these units are being written."""
    return {**before, **dict.fromkeys(units)}
