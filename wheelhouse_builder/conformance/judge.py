"""All checks, what each comes to on what was seen, and the score. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelhouse_builder.conformance.checks import (
    both,
    conditions,
    files,
    folder,
    html,
    html_files,
    http,
    json,
    json_files,
    negotiation,
    transfer,
)
from wheelhouse_builder.conformance.model import Check, Level, Observed, Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CHECKS: tuple[Check, ...] = (
    *html.CHECKS,
    *html_files.CHECKS,
    *json.CHECKS,
    *json_files.CHECKS,
    *both.CHECKS,
    *negotiation.CHECKS,
    *http.CHECKS,
    *conditions.CHECKS,
    *files.CHECKS,
    *transfer.CHECKS,
    *folder.CHECKS,
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A check and what it came to."""

    check: Check
    outcome: Outcome

    @property
    def failed(self) -> bool:
        """Whether the sentence is broken."""
        return self.outcome.result is Result.FAILED


@dataclass(frozen=True, kw_only=True)
class Score:
    """How many of the checks that apply are passed."""

    passed: int
    applicable: int

    def __str__(self) -> str:
        return f"{self.passed}/{self.applicable}"


def judge(observed: Observed) -> tuple[Judged, ...]:
    """Every check, in order."""
    return tuple(Judged(check=check, outcome=check.examine(observed)) for check in CHECKS)


def score(judged: Iterable[Judged], level: Level) -> Score:
    """The score of one level."""
    counted = [
        item for item in judged if item.check.level is level and item.outcome.result is not Result.NOT_APPLICABLE
    ]
    return Score(passed=sum(not item.failed for item in counted), applicable=len(counted))


def failing(judged: Sequence[Judged], lowest: Level) -> list[Judged]:
    """The broken sentences of this level and those above it."""
    levels = list(Level)
    counted = levels[: levels.index(lowest) + 1]
    return [item for item in judged if item.failed and item.check.level in counted]
