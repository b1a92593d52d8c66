"""The report of a run: one row for each package and target, and what was published."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from wheelhouse_builder.plan import Action
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
    engine: str | None = None  # that built the wheel; None if it was fetched
    native_tools: str | None = None  # what ran natively in a container of another architecture
    seconds: float | None = None  # wall time of its job or download; None when nothing was done
    verdicts: tuple[Verdict, ...] = ()  # for this target
    message: str = ""  # why it failed
    hint: str = ""  # what to do about it
    log: Path | None = None
    tail: str = ""  # the decisive last lines of that log
    kind: str = ""  # the class of the failure, empty where it is not known


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole run."""

    rows: tuple[Row, ...]
    wheelhouse: Path
    generation: int | None  # the number of the published generation, None if nothing is published yet
    changed: bool  # whether this run published a new one
    seconds: float  # wall time

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows without a wheel."""
        return tuple(row for row in self.rows if row.status is not Status.READY)
