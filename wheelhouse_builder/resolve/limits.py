"""What the settings add to the requirements: `[constraints]`, what is on hold, and the moment that min-age counts from.

Pure.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from wheelhouse_builder.requirements.model import Origin, RequirementLine
from wheelhouse_builder.settings.kinds import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from packaging.utils import NormalizedName
    from packaging.version import Version

_SLACK = timedelta(minutes=5)  # by which a clock is put right in every-day life


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


def counting_from(now: datetime, earlier: Iterable[datetime]) -> tuple[datetime, str | None]:
    """What `min-age` counts from, and what to say of it: never a time before an earlier run began.

    A clock that was set back would else take versions away that were old enough before.
    """
    last = max(earlier, default=now)
    if last <= now:
        return now, None
    told = (
        f"the clock of this machine is at {now:%Y-%m-%d %H:%M} UTC, and an earlier run began at {last:%Y-%m-%d %H:%M}: "
        "min-age counts from that; set the clock right, or, if it was wrong then, put .whb/history.sqlite aside"
    )
    return last, told if last - now > _SLACK else None


def _line(text: str, file: str | None, key: str) -> RequirementLine:
    origin = Origin(file=Path(file) if file else None, number=0, key=key)
    return RequirementLine(origin=origin, text=text, requirement=Requirement(text), constraint=True)
