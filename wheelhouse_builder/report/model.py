"""The report of a run: one row for each package and target, and what was published."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from wheelhouse_builder.errors import ResolveError, WhbError
    from wheelhouse_builder.plan import Action
    from wheelhouse_builder.report.spans import Span
    from wheelhouse_builder.strategy import Strategy
    from wheelhouse_builder.target import Target
    from wheelhouse_builder.verify.verdict import Verdict


class Status(StrEnum):
    """Whether the wheel is in the wheelhouse at the end."""

    READY = "ready"
    FAILED = "failed"
    BLOCKED = "blocked"  # something that it needs failed
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One package for one target."""

    name: NormalizedName
    version: Version | None
    target: Target
    action: Action
    reason: str  # why this action
    status: Status
    filename: str | None = None  # of the wheel, when it is there
    size: int | None = None  # bytes
    strategy: Strategy | None = None  # how this run came to the wheel, when it is there
    engine: str | None = None  # that built the wheel; None if it was fetched
    native_tools: str | None = None  # what ran natively in a container of another architecture
    seconds: float | None = None  # wall time of its job or download; None when nothing was done
    verdicts: tuple[Verdict, ...] = ()  # for this target
    message: str = ""  # why it failed
    hint: str = ""  # what to do about it
    log: Path | None = None
    tail: str = ""  # the decisive last lines of that log
    kind: str = ""  # the class of the failure, empty where it is not known
    blocked_by: tuple[NormalizedName, ...] = ()  # what it needs and is not there


class ChangeKind(StrEnum):
    """What became of a package for a target since the last run; in the order in which people want to know."""

    REGRESSED = "regressed"  # it was there, and this run failed to have it
    STILL_FAILING = "still failing"
    FIXED = "fixed"
    NEW = "new"
    UPDATED = "updated"
    REBUILT = "rebuilt"  # the same version, from other inputs
    REMOVED = "removed"  # nothing asks for it any more


@dataclass(frozen=True, kw_only=True)
class Change:
    """One package for one target that is not as it was."""

    kind: ChangeKind
    name: str
    target: str
    version: str | None = None  # now
    before: str | None = None  # the version of the last run
    good: datetime | None = None  # UTC: when it was last had, of what fails
    inputs: tuple[str, ...] = ()  # what its build has that the last good one had not: "setuptools 80.9.0 → 81.0.0"


@dataclass(frozen=True, kw_only=True)
class Before:
    """How a package was the last time, before this run."""

    size: int | None = None  # bytes, of its wheel
    seconds: float | None = None  # wall time of the last build that came to its end


@dataclass(frozen=True, kw_only=True)
class Changes:
    """This run against the last one of the same kind."""

    since: datetime  # UTC, of that run
    seconds: float  # wall time of that run
    size: int  # bytes, of all wheels that it had
    items: tuple[Change, ...]
    before: Mapping[tuple[str, str], Before]  # by name and target, of what was built or has another size

    def of(self, kind: ChangeKind) -> tuple[Change, ...]:
        """The changes of one kind."""
        return tuple(change for change in self.items if change.kind is kind)


@dataclass(frozen=True, kw_only=True)
class Retired:
    """A wheel that left the index, and why. The file stays until `whb gc` removes it."""

    filename: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole run."""

    rows: tuple[Row, ...]
    wheelhouse: Path
    generation: int | None  # the number of the published generation, None if nothing is published yet
    changed: bool  # whether this run published a new one
    seconds: float  # wall time
    started: datetime  # UTC
    command: str = "build"
    spans: tuple[Span, ...] = ()  # what the time went to
    changes: Changes | None = None  # None: no earlier run is known
    retired: tuple[Retired, ...] = ()
    warnings: tuple[str, ...] = ()
    unresolved: Mapping[Target, ResolveError] = field(default_factory=dict)  # targets that stay as they were, and why
    error: WhbError | None = None  # that ended the run before there was anything to report

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows without a wheel."""
        return tuple(row for row in self.rows if row.status is not Status.READY)
