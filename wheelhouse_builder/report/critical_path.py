"""What a run waited for from its start to its end: the spans that have to get shorter to make it shorter. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from wheelhouse_builder.report.spans import RUN_LANE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wheelhouse_builder.report.spans import Span

# What is freed and what starts in its place are two threads of a busy machine: so far apart are they at most.
_SLACK_SECONDS = 0.25


class Because(StrEnum):
    """Why a step did not start before the one that precedes it on the path had ended."""

    RESULT = "needs its result"
    ROOM = "waits for its place"  # in the lane: as many run at once as the machine has processors
    ORDER = "follows it"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One span of the path. `because` is about the step before it; None for the first."""

    span: Span
    because: Because | None = None


def critical_path(spans: Sequence[Span]) -> tuple[Step, ...]:
    """From the span that ended last back to the first: each time the one whose end let it start."""
    steps: list[Step] = []
    span = max(spans, key=lambda each: (each.end, each.start), default=None)
    while span is not None:
        before, because = _let_it_start(span, spans)
        steps.append(Step(span=span, because=because))
        span = before
    return tuple(reversed(steps))


def _let_it_start(span: Span, others: Sequence[Span]) -> tuple[Span | None, Because | None]:
    ended = [other for other in others if other.end <= span.start + _SLACK_SECONDS and other.start < span.start]
    last = max((other.end for other in ended), default=0.0)
    nearest = [other for other in ended if other.end >= last - _SLACK_SECONDS]
    reasons = (
        (Because.RESULT, [other for other in nearest if other.id in span.after]),
        (Because.ROOM, [other for other in nearest if other.lane == span.lane != RUN_LANE]),
        (Because.ORDER, nearest),
    )
    for because, found in reasons:
        if found:
            return max(found, key=lambda other: (other.end, other.seconds, other.id)), because
    return None, None
