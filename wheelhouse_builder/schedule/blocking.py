"""What cannot be used because something that it needs is not there. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from packaging.markers import Environment
    from packaging.utils import NormalizedName


def blocked(
    wheels: Collection[NormalizedName],
    missing: Collection[NormalizedName],
    requires: Callable[[NormalizedName], Iterable[str]],
    environment: Environment,
) -> dict[NormalizedName, tuple[NormalizedName, ...]]:
    """For each of the `wheels` that needs something `missing`, by itself or through others, what of it; sorted.

    `requires` gives the Requires-Dist lines of what is there, `environment` the values of markers for the target. What
    only an extra needs does not count, unless another wheel asks for that extra: an import goes without.
    """
    found: dict[NormalizedName, tuple[NormalizedName, ...]] = {}
    for name in sorted(wheels):
        needed = {other for other, _ in _reached(name, missing, requires, environment)}
        if lacking := needed & set(missing):
            found[name] = tuple(sorted(lacking))
    return found


_Node = tuple["NormalizedName", str]  # a package, and one of its extras ("": without)


def _reached(
    name: NormalizedName,
    missing: Collection[NormalizedName],
    requires: Callable[[NormalizedName], Iterable[str]],
    environment: Environment,
) -> set[_Node]:
    """All that a package needs, as far as that is known: of what is missing nobody can be asked."""
    reached: set[_Node] = set()
    left: list[_Node] = [(name, "")]
    while left:
        node = left.pop()
        if node not in reached:
            reached.add(node)
            if node[0] not in missing:
                left += _needs(requires(node[0]), environment, node[1])
    return reached


def _needs(lines: Iterable[str], environment: Environment, extra: str) -> Iterator[_Node]:
    values = cast("dict[str, str]", {**environment, "extra": extra})
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # pip will say so
        if requirement.marker is None or requirement.marker.evaluate(values):
            name = canonicalize_name(requirement.name)
            yield name, ""
            yield from ((name, extra) for extra in requirement.extras)
