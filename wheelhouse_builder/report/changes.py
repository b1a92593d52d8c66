"""What changed since the last run, and what is in a build that was not in the last good one. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelhouse_builder.history.model import AttemptOutcome
from wheelhouse_builder.plan import Action
from wheelhouse_builder.report.model import Before, Change, ChangeKind, Changes, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from packaging.utils import NormalizedName

    from wheelhouse_builder.history.model import Attempt, PastRow, RunRecord
    from wheelhouse_builder.report.model import Row

    Tries = Callable[[NormalizedName], Sequence[Attempt]]  # of a package, the newest first

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s\\;]+)", re.MULTILINE)
_DIGEST = re.compile(r"\b[0-9a-f]{40,}\b")
_SHOWN_OF_DIGEST = 12  # characters


def compare(
    rows: Iterable[Row],
    last: tuple[RunRecord, Sequence[PastRow]],
    tries: Tries,
    *,
    began: datetime,
    whole: bool = True,
) -> Changes:
    """This run against an earlier one.

    `tries` gives every try to build a package, those of this run among them; `began` is when this run did. A run that
    is not `whole` was asked for a part of what is wanted: then nothing is known of what it was not asked for.
    """
    record, past_rows = last
    past = {(row.name, row.target): row for row in past_rows}
    items: list[Change] = []
    before: dict[tuple[str, str], Before] = {}
    for row in rows:
        key = (row.name, str(row.target))
        then = past.pop(key, None)
        builds = _Builds.of(tries(row.name), key[1], began) if _was_built(row) else _Builds()
        if (then and then.size != row.size) or builds.good:
            before[key] = Before(size=then.size if then else None, seconds=builds.good.seconds if builds.good else None)
        if kind := _kind(row, then):
            items.append(_change(kind, row, then, builds, record.started))
    items += [
        Change(kind=ChangeKind.REMOVED, name=gone.name, target=gone.target, before=gone.version)
        for gone in past.values()
        if whole and gone.status == Status.READY
    ]
    order = list(ChangeKind)
    items.sort(key=lambda change: (order.index(change.kind), change.name, change.target))
    wheels = {row.filename: row.size or 0 for row in past_rows if row.filename}
    return Changes(
        since=record.started,
        seconds=record.seconds,
        size=sum(wheels.values()),
        items=tuple(items),
        before=before,
    )


def input_changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """What differs between the inputs of two builds, for people: `zig 0.16.0 → 0.17.1`.

    Of a value that lists pinned requirements each pin is looked at by itself.
    """
    found: list[str] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, ""), after.get(name, "")
        if old == new:
            continue
        pins, new_pins = dict(_PIN.findall(old)), dict(_PIN.findall(new))
        if pins or new_pins:
            found += _differences(pins, new_pins)
        else:
            found += _differences({name: old.strip() or "none"}, {name: new.strip() or "none"})
    return tuple(found)


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return [
        f"{name} {shortened(before.get(name, 'none'))} → {shortened(after.get(name, 'none'))}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def shortened(value: str) -> str:
    """The text with its digests short enough to be told from each other."""
    return _DIGEST.sub(lambda digest: f"{digest[0][:_SHOWN_OF_DIGEST]}…", value)


@dataclass(frozen=True, kw_only=True)
class _Builds:
    """Two tries to build one package for one target."""

    good: Attempt | None = None  # the last that came to a wheel, before this run
    newest: Attempt | None = None  # the last of all

    @classmethod
    def of(cls, tries: Sequence[Attempt], target: str, began: datetime) -> _Builds:
        mine = sorted((each for each in tries if each.target == target), key=lambda each: each.started)
        good = [each for each in mine if each.outcome is AttemptOutcome.BUILT and each.started < began]
        return cls(good=good[-1] if good else None, newest=mine[-1] if mine else None)

    def inputs(self) -> tuple[str, ...]:
        """What the newest has that the last good one had not."""
        if self.good is None or self.newest is None:
            return ()
        return input_changes(_inputs(self.good), _inputs(self.newest))


def _inputs(attempt: Attempt) -> Mapping[str, str]:
    return {"strategy": str(attempt.strategy), **attempt.inputs}


def _was_built(row: Row) -> bool:
    return row.action is Action.BUILD or row.status is not Status.READY


def _kind(row: Row, then: PastRow | None) -> ChangeKind | None:
    if then is None:
        return ChangeKind.NEW
    was_ready = then.status == Status.READY
    if row.status is not Status.READY:
        return ChangeKind.REGRESSED if was_ready else ChangeKind.STILL_FAILING
    if not was_ready:
        return ChangeKind.FIXED
    if str(row.version) != str(then.version):
        return ChangeKind.UPDATED
    return ChangeKind.REBUILT if row.action is Action.BUILD else None


def _change(kind: ChangeKind, row: Row, then: PastRow | None, builds: _Builds, last_run: datetime) -> Change:
    fails = kind in {ChangeKind.REGRESSED, ChangeKind.STILL_FAILING}
    good = builds.good.started if builds.good else last_run if kind is ChangeKind.REGRESSED else None
    return Change(
        kind=kind,
        name=row.name,
        target=str(row.target),
        version=str(row.version) if row.version else None,
        before=then.version if then else None,
        good=good if fails else None,
        inputs=builds.inputs() if fails or kind is ChangeKind.REBUILT else (),
    )
