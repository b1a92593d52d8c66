"""The report as Markdown: for a terminal, a mail, and the summary page of a CI run. Pure.

What comes from outside is put where it cannot become markup: in code blocks and code spans, or with its special
characters escaped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wheelhouse_builder.index.web_page import DASH
from wheelhouse_builder.redact import redact
from wheelhouse_builder.report.model import ChangeKind, Status
from wheelhouse_builder.report.story import LEFT, Story, column, did
from wheelhouse_builder.report.table import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from wheelhouse_builder.errors import WhbError
    from wheelhouse_builder.report.model import Report, Row
    from wheelhouse_builder.report.story import Built, Failure, News, Unresolved

# A summary on GitHub may have 1 MiB, with what the other steps of the job wrote:
# https://docs.github.com/actions/reference/workflow-commands-for-github-actions#step-isolation-and-limits
_DETAILED_FAILURES = 40  # each with at most 16 kB of log lines
_SHOWN_FAILURES, _SHOWN_NEWS, _SHOWN_ROWS = 200, 500, 1000
_SHOWN_BUILT = 20
_OPEN_ROWS = 25  # of the matrix; a longer one is folded away
_LONGEST = 500  # characters of a message
_SPECIAL = re.compile(r"([\\`*{}\[\]<>#|~!&]|(?<!\w)_|_(?!\w))")
_START = re.compile(r"^(\d*)([-+=.)])")  # of a list, a rule, or an underlined heading
_MARKS = {"built": "✓", "fetched": "↓", "kept": "=", "failed": "✕", "impossible": "✕", "blocked": "◇"}


def report_markdown(report: Report) -> str:
    """The whole report, bounded: what is beyond a few hundred packages is counted."""
    story = Story(report)
    return "\n".join(_lines(story)).rstrip() + "\n"


def _lines(story: Story) -> Iterator[str]:
    report = story.report
    yield f"# Wheelhouse: {_escaped(story.title)}"
    yield ""
    yield from _error(report.error, story.state_kept) if report.error else (_escaped(story.lead),)
    yield ""
    yield " · ".join(f"{label}: {_escaped(value)}" for label, value in story.facts)
    yield from _part("What could not be resolved", [line for one in story.unresolved for line in _unresolved(one)])
    yield from _part("What failed", _failures(story))
    yield from _part("What changed", _news(story))
    retired = (f"- {_code(gone.filename)}: {_escaped(redact(gone.reason))}" for gone in report.retired)
    yield from _part("What left the index", _limited(list(retired), _SHOWN_NEWS))
    yield from _part("Warnings", [f"- {_escaped(redact(warning))}" for warning in report.warnings])
    yield from _part("Packages and targets", _matrix(story))
    yield from _part("Where the time went", _path(story))
    yield from _part("What was built", _built(story.built))


def _part(title: str, lines: Iterable[str]) -> Iterator[str]:
    lines = list(lines)
    if lines:
        yield from ("", f"## {title}", "", *lines)


def _limited(lines: Sequence[str], most: int) -> list[str]:
    more = len(lines) - most
    return [*lines[:most], *([f"- … and {more} more: report.html has all"] if more > 0 else [])]


def _error(error: WhbError, kept: str) -> Iterator[str]:
    yield f"**{_escaped(redact(error.message))}**"
    if error.hint:
        yield from ("", f"What to do: {_escaped(redact(error.hint))}")
    yield from ("", kept)


def _unresolved(found: Unresolved) -> Iterator[str]:
    yield f"### {column(found.target)}"
    yield from ("", *_block(found.message), "")
    if found.hint:
        yield f"**What to do:** {_escaped(found.hint)}  "
    yield from (LEFT, "")


def _failures(story: Story) -> list[str]:
    first, rest = story.failures[:_DETAILED_FAILURES], story.failures[_DETAILED_FAILURES:]
    detailed = [line for failure in first for line in _failure(failure, story.on(failure.targets))]
    others = [_failure_line(failure) for failure in rest]
    return detailed + _limited(others, _SHOWN_FAILURES)


def _failure_line(failure: Failure) -> str:
    return f"- **{_escaped(failure.title)}** ({_words(failure)}): {_escaped(failure.message)}"


def _words(failure: Failure) -> str:
    regressed = "regressed" if failure.regressed else ""
    return _escaped(" · ".join(filter(None, dict.fromkeys((regressed, failure.status, failure.kind)))))


def _failure(failure: Failure, targets: str) -> Iterator[str]:
    yield f"### {_escaped(failure.title)} — {_words(failure)}"
    yield ""
    yield f"{_escaped(failure.message)}  "
    if failure.hint:
        yield f"**What to do:** {_escaped(failure.hint)}  "
    yield f"Targets: {targets}  "
    for label, value in failure.facts:
        yield f"{label}: {_escaped(value)}  "
    if failure.log:
        yield f"Log: {_code(failure.log)}  "
    if failure.tail:
        yield from ("", *_block(failure.tail))
    yield ""


def _news(story: Story) -> Iterator[str]:
    """A line for each kind: what is said of a failure is said above."""
    for kind in ChangeKind:
        found = [item for item in story.news if item.kind is kind]
        if found:
            names = {name for item in found for name, _ in item.packages}
            yield f"- **{kind}** ({len(names)}): {'; '.join(map(_entry, found))}"


def _entry(news: News) -> str:
    packages = [_escaped(f"{name} {versions}".rstrip()) for name, versions in news.packages[:_SHOWN_NEWS]]
    more = len(news.packages) - _SHOWN_NEWS
    told = f" ({_escaped('; '.join(news.told))})" if news.told else ""
    return ", ".join(packages) + (f" and {more} more" if more > 0 else "") + told


def _matrix(story: Story) -> list[str]:
    if not story.matrix:
        return []
    head = ["Package", *map(column, story.targets)]
    rows = [
        [_named(name, cells.values()), *(_cell(cells.get(target)) for target in story.targets)]
        for name, cells in story.matrix.items()
    ]
    table = _table(head, rows[:_SHOWN_ROWS])
    more = len(rows) - _SHOWN_ROWS
    if more > 0:
        table += ["", f"… and {more} more: report.html has all"]
    return (
        table
        if len(rows) <= _OPEN_ROWS
        else [f"<details><summary>{len(rows)} packages</summary>", "", *table, "", "</details>"]
    )


def _named(name: str, rows: Iterable[Row]) -> str:
    versions = sorted({str(row.version) for row in rows if row.version})
    return f"{name} {', '.join(versions)}"


def _cell(row: Row | None) -> str:
    if row is None:
        return DASH
    word = did(row)
    more = f" {row.kind}" if row.status is not Status.READY and row.kind not in ("", word) else ""
    return f"{_MARKS[word]} {word}{more}"


def _path(story: Story) -> list[str]:
    if not story.path:
        return []
    head = ["Critical path", "from", "took", "why not before"]
    rows = [
        [step.span.title, duration(step.span.start), duration(step.span.seconds), step.because or ""]
        for step in story.path[-_SHOWN_NEWS:]
    ]
    return _table(head, rows)


def _built(built: Sequence[Built]) -> list[str]:
    if not built:
        return []
    head = ["Wheel", "strategy", "time", "size"]
    rows = [
        [item.row.filename or "", item.row.strategy or "", item.seconds, item.size] for item in built[:_SHOWN_BUILT]
    ]
    more = len(built) - _SHOWN_BUILT
    return _table(head, rows) + (["", f"… and {more} that took less time"] if more > 0 else [])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *([_escaped(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _escaped(text: str) -> str:
    """The text on one line, with nothing in it that Markdown or HTML takes for its own."""
    line = " ".join(text.split())
    if len(line) > _LONGEST:
        line = f"{line[:_LONGEST]}…"
    return _START.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", line))


def _code(text: str) -> str:
    """A code span on one line, whatever is in it."""
    text = " ".join(text.split()) or " "
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _block(text: str) -> Iterator[str]:
    """Lines as they are, whatever is in them."""
    fence = "`" * max(3, max(map(len, re.findall("`+", text)), default=0) + 1)
    yield from (f"{fence}text", *text.splitlines(), fence)
