"""Which wheels leave the index: those that upstream ships by now, and those that nothing has asked for in a long time.

Uploaded wheels never do, and none of a package that a target failed to have: its last good wheel stays. What a target
that could not be resolved wants nobody knows: all that fits it stays. A retired wheel that is asked for again comes
back; its file stays for the grace period (`retention`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from wheelhouse_builder.wheelhouse.published_locks import locked_wheels
from wheelhouse_builder.wheelhouse.retired import bring_back, last_uses, note_uses, retire, retired_wheels

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta

    from packaging.utils import NormalizedName

    from wheelhouse_builder.target import Target
    from wheelhouse_builder.wheelhouse.store import Wheelhouse
    from wheelhouse_builder.wheelhouse.stored import StoredWheel

# What a run has for each package and target that it was asked for: the file name, None where it failed to have any.
Had = Mapping[tuple["NormalizedName", "Target"], str | None]


@dataclass(frozen=True, kw_only=True)
class Retiring:
    """What leaves the index."""

    reasons: Mapping[str, str] = field(default_factory=dict)  # by file name of the wheel
    targets: frozenset[Target] = frozenset()  # that nothing asks for: their lock names one of them, and goes as well


def note_run(wheelhouse: Wheelhouse, had: Had, moment: datetime, unresolved: Collection[Target]) -> None:
    """Note what a run asked for, and have it published (again), under the lock.

    What is there for the `unresolved` targets counts as asked for.
    """
    if back := retired_wheels(wheelhouse.records).keys() & set(had.values()):
        bring_back(wheelhouse.records, sorted(back))
    note_uses(wheelhouse.records, sorted(_wanted(wheelhouse, had, unresolved)), moment)


def retire_unused(
    wheelhouse: Wheelhouse, had: Had, moment: datetime, after: timedelta, unresolved: Collection[Target]
) -> Retiring:
    """Retire what can go after a run that had this, under the lock; `note_run` came before, with the same `unresolved`.

    `after`: how long nothing must have asked for a wheel. The next publication leaves them out.
    """
    shelf = _Shelf.of(wheelhouse, had, unresolved)
    never = [wheel.filename for wheel in shelf.idle if wheel.filename not in shelf.uses]
    later = [wheel.filename for wheel in shelf.idle if shelf.uses.get(wheel.filename, moment) > moment]  # by the clock
    note_uses(wheelhouse.records, never + later, moment)  # of these the time counts from now
    gone = _what_can_go(shelf, had, moment, after)
    retire(wheelhouse.records, gone.reasons, moment)
    return gone


def what_can_go(
    wheelhouse: Wheelhouse, had: Had, moment: datetime, after: timedelta, coming: Collection[str] = ()
) -> Retiring:
    """The same, before anything is done; `coming` are the wheels that the run fetches."""
    return _what_can_go(_Shelf.of(wheelhouse, had, unresolved=()), had, moment, after, coming)


@dataclass(frozen=True, kw_only=True)
class _Shelf:
    """What the wheelhouse knows of the wheels that a run had no need of."""

    idle: tuple[StoredWheel, ...] = ()  # in the index, and not uploaded
    fetched: frozenset[str] = frozenset()
    uses: Mapping[str, datetime] = field(default_factory=dict)
    locks: Mapping[Target, frozenset[str]] = field(default_factory=dict)  # the sha256 that each names

    @classmethod
    def of(cls, wheelhouse: Wheelhouse, had: Had, unresolved: Collection[Target]) -> _Shelf:
        kept = _wanted(wheelhouse, had, unresolved) | retired_wheels(wheelhouse.records).keys()
        wheels = wheelhouse.wheels()
        idle = tuple(wheel for wheel in wheels if wheel.filename not in kept and wheel.origin != "uploaded")
        if not idle:
            return cls()
        return cls(
            idle=idle,
            fetched=frozenset(wheel.filename for wheel in wheels if wheel.origin == "fetched"),
            uses=last_uses(wheelhouse.records),
            locks=locked_wheels(wheelhouse),
        )


def _what_can_go(shelf: _Shelf, had: Had, moment: datetime, after: timedelta, coming: Collection[str] = ()) -> Retiring:
    theirs = shelf.fetched | {*coming}
    elsewhere = {
        sha256 for target in shelf.locks.keys() - {target for _, target in had} for sha256 in shelf.locks[target]
    }
    reasons = {
        wheel.filename: why
        for wheel in shelf.idle
        if wheel.sha256 not in elsewhere and (why := _superseded(wheel, had, theirs))
    }
    for wheel in shelf.idle:
        last = shelf.uses.get(wheel.filename, moment)
        if wheel.filename not in reasons and moment - last >= after:
            reasons[wheel.filename] = f"no target has asked for it since {last:%Y-%m-%d}"
    hashes = {wheel.sha256 for wheel in shelf.idle if wheel.filename in reasons}
    targets = frozenset(target for target, named in shelf.locks.items() if named & hashes)
    return Retiring(reasons=reasons, targets=targets)


def _wanted(wheelhouse: Wheelhouse, had: Had, unresolved: Collection[Target]) -> set[str]:
    """The wheels that a run has, and those of packages that it failed to have for a target, with what its lock names.

    The lock of a target that lacks something stays as it was, so what it names has to stay, too. An unresolved target
    may lack any package.
    """
    wanted = {filename for filename in had.values() if filename}
    failing: dict[NormalizedName, list[Target]] = defaultdict(list)
    for (name, target), filename in had.items():
        if filename is None:
            failing[name].append(target)
    lacking = {*unresolved, *(target for targets in failing.values() for target in targets)}
    if not lacking:
        return wanted
    kept = {sha256 for target, named in locked_wheels(wheelhouse).items() if target in lacking for sha256 in named}
    return wanted | {
        wheel.filename
        for wheel in wheelhouse.wheels()
        if wheel.sha256 in kept or any(target.fits(wheel.tags) for target in (*unresolved, *failing[wheel.name]))
    }


def _superseded(wheel: StoredWheel, had: Had, fetched: Collection[str]) -> str | None:
    """Why a wheel that was built can go: each target that it is for has a fetched one of the same version."""
    if wheel.origin != "built":
        return None
    instead = {filename for (name, target), filename in had.items() if name == wheel.name and target.fits(wheel.tags)}
    theirs = {name for name in instead if name in fetched and parse_wheel_filename(str(name))[1] == wheel.version}
    return f"upstream ships {', '.join(sorted(map(str, theirs)))}" if theirs and theirs == instead else None
