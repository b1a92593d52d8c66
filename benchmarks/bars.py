"""Bar charts as SVG: text stays text, and colours are those of the reader's screen, light or dark."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, LABELS, NUMBERS = 640, 180, 70  # pixels: all, of which names and numbers
BAR, GAP, HEAD = 16, 12, 40
STYLE = """\
svg { background: #ffffff; font: 14px system-ui, sans-serif; }
text { fill: #1f2328; } .title { font-weight: 600; } .axis { stroke: #59636e; }
.series0 { fill: #0a6ebd; } .series1 { fill: #c2571a; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; } text { fill: #e6edf3; } .axis { stroke: #9198a1; }
.series0 { fill: #58a6ff; } .series1 { fill: #f0883e; }
}"""


@dataclass(frozen=True)
class Panel:
    """One quantity: for each label a value of each series."""

    title: str
    values: Mapping[str, Sequence[float]]
    decimals: int = 0


def chart(title: str, description: str, series: Sequence[str], panels: Sequence[Panel]) -> str:
    """The document. Panels stand below each other, each with a scale of its own that begins at 0."""
    parts, top = [], HEAD
    for number, name in enumerate(series):
        left = LABELS + 110 * number
        parts.append(f'<rect class="series{number}" x="{left}" y="{top - 24}" width="{BAR}" height="{BAR}"/>')
        parts.append(_text(left + BAR + 8, top - 11, name))
    for panel in panels:
        drawn, height = _panel(panel, top)
        parts += drawn
        top += height
    size = f'viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title description">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="description">{escape(description)}</desc>',
        f"<style>\n{STYLE}\n</style>",
    ]
    return "\n".join([*head, *parts, "</svg>\n"])


def _panel(panel: Panel, top: int) -> tuple[list[str], int]:
    """Its elements, and its height."""
    parts = [_text(LABELS, top + 16, panel.title, "title")]
    scale = (WIDTH - LABELS - NUMBERS) / max(value for values in panel.values.values() for value in values)
    y = first = top + 28
    for label, values in panel.values.items():
        parts.append(_text(LABELS - 10, y + BAR * len(values) / 2 + 5, label, "label", anchor="end"))
        for number, value in enumerate(values):
            width = max(value * scale, 1)
            parts.append(f'<rect class="series{number}" x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR - 1}"/>')
            parts.append(_text(LABELS + width + 6, y + 13, f"{value:,.{panel.decimals}f}"))
            y += BAR
        y += GAP
    parts.append(f'<line class="axis" x1="{LABELS}" x2="{LABELS}" y1="{first - 4}" y2="{y - GAP + 4}"/>')
    return parts, y + GAP - top


def _text(x: float, y: float, text: str, kind: str = "number", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
