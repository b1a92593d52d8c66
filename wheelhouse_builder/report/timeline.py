"""The picture of a run: time to the right, what ran at once below each other, the critical path outlined. Pure: SVG.

Its colours are those of the page that it stands in (`data/report.css`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from wheelhouse_builder.events import Outcome
from wheelhouse_builder.index.web_page import Markup, tag, text
from wheelhouse_builder.report.spans import RUN_LANE
from wheelhouse_builder.report.table import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wheelhouse_builder.report.spans import Span

_WIDTH, _MARGIN = 1000, 12  # pixels
_ROW, _BAR, _TOP = 22, 18, 22
_CHARACTER = 6.2  # pixels of one, on average
_MOST_BARS = 800  # of those that took longest, so that a run of thousands of downloads stays a picture
_MOST_TICKS = 10
_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)  # seconds
_CLASSES = {Outcome.FAILED: "bad", Outcome.CANCELLED: "held"}


def timeline(spans: Sequence[Span], critical: Sequence[str]) -> Markup:
    """The picture; `critical` are the ids of the spans on the critical path, in their order."""
    shown = _shown(spans, frozenset(critical))
    end = max((span.end for span in shown), default=0.0) or 1.0
    scale = (_WIDTH - 2 * _MARGIN) / end
    rows = _rows(shown)
    height = _TOP + _ROW * (max(rows.values(), default=0) + 1)
    places = {span.id: (_MARGIN + span.start * scale, _TOP + _ROW * rows[span.id]) for span in shown}
    by_id = {span.id: span for span in shown}
    path = [by_id[name] for name in critical]
    return tag(
        "svg",
        *_axis(end, scale, height),
        *(_bar(span, places[span.id], scale, critical=span.id in critical) for span in shown),
        *(_link(first, second, places, scale) for first, second in pairwise(path)),
        class_="timeline",
        width=str(_WIDTH),
        height=str(height),
        viewBox=f"0 0 {_WIDTH} {height}",
        role="img",
        aria_label=f"What ran when, in {duration(end)}; the critical path is listed below",
    )


def _shown(spans: Iterable[Span], critical: frozenset[str]) -> list[Span]:
    longest = sorted(spans, key=lambda span: (span.id not in critical, -span.seconds))[:_MOST_BARS]
    return sorted(longest, key=lambda span: (span.start, span.id))


def _rows(spans: Iterable[Span]) -> dict[str, int]:
    """The first row that is free when a span starts: as many rows as ran at once."""
    ends: list[float] = []
    rows: dict[str, int] = {}
    for span in spans:
        row = next((number for number, end in enumerate(ends) if end <= span.start), len(ends))
        ends[row : row + 1] = [span.end]
        rows[span.id] = row
    return rows


def _axis(end: float, scale: float, height: int) -> Iterable[Markup]:
    step = next((tick for tick in _TICKS if end / tick <= _MOST_TICKS), _TICKS[-1])
    for second in range(0, int(end) + 1, step):
        x = f"{_MARGIN + second * scale:.1f}"
        yield tag("line", x1=x, x2=x, y1=str(_TOP - 6), y2=str(height))
        anchor = "end" if second * scale > _WIDTH - 60 else "start"
        yield tag("text", _clock(second), x=x, y="11", class_="axis", text_anchor=anchor)


def _clock(seconds: int) -> str:
    """`0`, `5 s`, `2:30`, `1:00:00`"""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s" if rest else "0"


def _bar(span: Span, place: tuple[float, int], scale: float, *, critical: bool) -> Markup:
    x, y = place
    width = max(span.seconds * scale, 1.0)
    phases = "; ".join(f"{phase} from {duration(start)}" for phase, start in span.phases)
    told = f"{span.title}: {duration(span.seconds)}, {span.outcome}" + (f" ({phases})" if phases else "")
    room = int((width - 8) / _CHARACTER)
    label = span.title if len(span.title) <= room else f"{span.title[: room - 1]}…" if room > 4 else ""
    classes = [_CLASSES.get(span.outcome, ""), "run" if span.lane == RUN_LANE else "", "critical" if critical else ""]
    return tag(
        "g",
        tag("title", told),
        tag("rect", x=f"{x:.1f}", y=str(y), width=f"{width:.1f}", height=str(_BAR), rx="2"),
        tag("text", label, x=f"{x + 4:.1f}", y=str(y + 13)) if label else text(),
        class_=" ".join(filter(None, classes)) or None,
    )


def _link(first: Span, second: Span, places: Mapping[str, tuple[float, int]], scale: float) -> Markup:
    """A line from the end of one to the start of the next, where they are in different rows."""
    (x1, y1), (x2, y2) = places[first.id], places[second.id]
    if y1 == y2:
        return text()
    down = y2 > y1
    end = x1 + first.seconds * scale
    start_y, end_y = (y1 + _BAR, y2) if down else (y1, y2 + _BAR)
    return tag("path", d=f"M{end:.1f} {start_y} L{x2:.1f} {end_y}", class_="link")
