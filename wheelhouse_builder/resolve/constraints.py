"""What the settings add to the requirements: `[constraints]`, and what is on hold. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from wheelhouse_builder.requirements.model import Origin, RequirementLine
from wheelhouse_builder.settings.kinds import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from packaging.utils import NormalizedName
    from packaging.version import Version


def constraint_lines(constraints: Mapping[str, str], origins: Mapping[str, str]) -> tuple[RequirementLine, ...]:
    """The lines of `[constraints]`; `origins` tells the file of each, by `constraints.NAME`."""
    return tuple(
        _line(f"{name}{specifier}", origins.get(f"constraints.{name}"), f"constraints.{name}")
        for name, specifier in constraints.items()
    )


def hold_lines(
    hold: Iterable[str], locked: Mapping[NormalizedName, Version], origin: str | None = None
) -> tuple[RequirementLine, ...]:
    """A pin for each package on hold that the lock of the wheelhouse has, at the version that is there."""
    return tuple(
        _line(f"{name}=={locked[name]}", origin, "hold") for name in map(canonicalize_name, hold) if name in locked
    )


def idle_holds(hold: Iterable[str], offered: Collection[NormalizedName]) -> Iterator[str]:
    """What to say of packages on hold that no target has: a name that is spelled wrong holds nothing."""
    for name in hold:
        if canonicalize_name(name) not in offered:
            hint = did_you_mean(canonicalize_name(name), sorted(offered))
            yield f"hold: nothing asks for {name}" + (f" ({hint})" if hint else "")


def _line(text: str, file: str | None, key: str) -> RequirementLine:
    origin = Origin(file=Path(file) if file else None, number=0, key=key)
    return RequirementLine(origin=origin, text=text, requirement=Requirement(text), constraint=True)
