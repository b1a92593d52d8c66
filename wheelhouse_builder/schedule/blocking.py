"""What cannot be used because something that it needs is not there. Pure."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from packaging.markers import Environment
    from packaging.utils import NormalizedName


_Node = tuple["NormalizedName", str]  # a package, and one of its extras ("": without)


def blocked(
    wheels: Collection[NormalizedName],
    missing: Collection[NormalizedName],
    requires: Callable[[NormalizedName], Iterable[str]],
    environment: Environment,
) -> dict[NormalizedName, tuple[NormalizedName, ...]]:
    """For each of the `wheels` that needs something `missing`, by itself or through others, what that is; sorted.

    `requires` gives the Requires-Dist lines of a package, none for one that is not there; `environment` has the values
    of markers for the target. Wheels may be missing themselves, since they fail: of what is missing, only that is named
    which lacks nothing itself. What only an extra needs does not count, unless another wheel asks for that extra.
    """
    needs = cache(lambda name: _reached(name, requires, environment))

    def lacking(name: NormalizedName) -> set[NormalizedName]:
        """What need each other fail together, and do not block each other."""
        return {other for other in missing if other != name and other in needs(name) and name not in needs(other)}

    first = {name for name in missing if not lacking(name)}
    return {name: tuple(sorted(found)) for name in sorted(wheels) if (found := lacking(name) & first)}


def _reached(
    name: NormalizedName, requires: Callable[[NormalizedName], Iterable[str]], environment: Environment
) -> frozenset[NormalizedName]:
    """All that a package needs, as far as that is known, and itself."""
    reached: set[_Node] = set()
    left: list[_Node] = [(name, "")]
    while left:
        node = left.pop()
        if node not in reached:
            reached.add(node)
            left += _needs(requires(node[0]), environment, node[1])
    return frozenset(reached_name for reached_name, _ in reached)


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
