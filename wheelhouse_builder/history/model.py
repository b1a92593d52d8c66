"""What is remembered: each attempt to build something, and what each run came to, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from packaging.utils import NormalizedName

    from wheelhouse_builder.strategy import Strategy


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    BUILT = "built"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try to build one job by one strategy."""

    job: str  # its id
    name: NormalizedName
    version: str | None  # None of a local project whose build failed
    target: str
    strategy: Strategy
    key: str  # digest of all that shapes the result, as far as it was known; "" when it failed before that
    outcome: AttemptOutcome
    started: datetime  # UTC
    seconds: float  # wall time
    inputs: Mapping[str, str] = field(default_factory=dict)  # what the key is made of, named for people
    kind: str = ""  # class of the failure
    rule: str = ""  # id of the rule that knew it
    message: str = ""
    hint: str = ""
    lines: str = ""  # of the log: those that decide
    peak_memory: int | None = None  # bytes, of the largest process, or of a whole container
    size: int | None = None  # bytes, of the wheel
    log: str | None = None  # name of the log that is kept of it (`history.logs`)


class RunOutcome(StrEnum):
    """What a run came to as a whole; its rows tell of each package."""

    CHANGED = "changed"  # it published a generation
    UNCHANGED = "unchanged"
    FAILED = "failed"  # it came to no rows: the index was down, the requirements did not resolve


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run of a command that builds."""

    command: str  # build, refresh, build-backend
    started: datetime  # UTC
    seconds: float  # wall time
    outcome: RunOutcome
    generation: int | None = None  # in force afterwards
    message: str = ""  # why it failed, or why targets could not be resolved
    number: int = 0  # counts up; given by the history


@dataclass(frozen=True, kw_only=True)
class PastRow:
    """What a run came to for one package and one target: as its `report.model.Row`."""

    name: NormalizedName
    version: str | None
    target: str
    status: str
    action: str
    reason: str = ""  # why this action
    strategy: Strategy | None = None
    filename: str | None = None
    size: int | None = None  # bytes
    seconds: float | None = None  # wall time; None when nothing was done
    message: str = ""  # why it failed
    kind: str = ""  # class of the failure
