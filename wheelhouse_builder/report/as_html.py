"""The report as one page that needs nothing else: no script, no file beside it, light and dark, on any screen. Pure."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from wheelhouse_builder.index.web_page import DASH, Markup, asset, tag, text
from wheelhouse_builder.redact import redact
from wheelhouse_builder.report.model import ChangeKind, Status
from wheelhouse_builder.report.story import LEFT, Story, column, did
from wheelhouse_builder.report.table import duration, verdict_word
from wheelhouse_builder.report.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from wheelhouse_builder.errors import WhbError
    from wheelhouse_builder.report.model import Report, Row
    from wheelhouse_builder.report.story import Built, Failure, News, Unresolved

_SHOWN_BUILT = 10


def report_html(report: Report) -> str:
    """The page."""
    story = Story(report)
    sections = [section for section in _sections(story) if section[2]]
    jumps = [tag("a", title, href=f"#{name}") for name, title, _ in sections]
    main = tag(
        "main",
        tag("h1", f"Wheelhouse: {story.title}"),
        tag("p", story.lead, class_="lead") if not report.error else _error(report.error, story.state_kept),
        tag("ul", *(tag("li", f"{label} ", tag("b", value)) for label, value in story.facts), class_="facts"),
        tag("nav", *jumps, class_="jumps", aria_label="Parts of the report") if len(jumps) > 1 else text(),
        *(tag("section", tag("h2", title, id=name), content) for name, title, content in sections),
        id="content",
    )
    return _page(f"{story.title} · Wheelhouse", main)


def _page(title: str, main: Markup) -> str:
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        '<link rel="icon" href="data:,">\n'
    )
    return f"{head}{tag('title', title)}\n<style>{style}</style>\n</head>\n<body>\n{main}\n</body>\n</html>\n"


@cache
def _style() -> str:
    """The look of the pages of an index, and what a report has besides."""
    own = files(__package__).joinpath("data", "report.css").read_text(encoding="utf-8")
    return f"\n{asset('style.css')}{own}"


def _error(error: WhbError, kept: str) -> Markup:
    hint = tag("p", "What to do: ", redact(error.hint)) if error.hint else text()
    return tag("div", tag("p", redact(error.message)), hint, tag("p", kept), class_="notice", role="alert")


def _sections(story: Story) -> Iterator[tuple[str, str, Markup]]:
    """Each with the name of its place; what is empty is left out."""
    report = story.report
    yield "unresolved", "What could not be resolved", text(*map(_unresolved, story.unresolved))
    yield "failed", "What failed", text(*_failures(story))
    yield "changed", "What changed", _news(story)
    yield "retired", "What left the index", _retired(report)
    yield "warnings", "Warnings", _list(map(redact, report.warnings))
    yield "packages", "Packages and targets", _grid(story)
    yield "time", "Where the time went", _time(story)
    yield "built", "What was built", _built(story.built)


def _unresolved(found: Unresolved) -> Markup:
    return tag(
        "article",
        tag("h3", column(found.target)),
        tag("p", found.message, class_="why"),
        tag("p", tag("b", "What to do: "), found.hint) if found.hint else text(),
        tag("p", LEFT),
        class_="failure",
    )


def _failures(story: Story) -> Iterator[Markup]:
    placed: set[str] = set()  # a package that fails in several ways is found at the first
    for failure in story.failures:
        yield _failure(
            failure, story.on(failure.targets), place=None if failure.name in placed else _place(failure.name)
        )
        placed.add(failure.name)


def _failure(failure: Failure, targets: str, *, place: str | None) -> Markup:
    badges = [tag("span", "regressed", class_="badge red")] if failure.regressed else []
    badges += [
        tag("span", word, class_="badge plain") for word in dict.fromkeys((failure.status, failure.kind)) if word
    ]
    facts = [("Targets", targets), *failure.facts]
    if failure.log:
        facts.append(("Log", failure.log))
    return tag(
        "article",
        tag("h3", failure.title, *badges),
        tag("p", failure.message, class_="why"),
        tag("p", tag("b", "What to do: "), failure.hint) if failure.hint else text(),
        _lines(failure),
        tag("dl", *(text(tag("dt", label), tag("dd", value)) for label, value in facts)),
        id=place,
        class_="failure blocked" if failure.status is Status.BLOCKED else "failure",
    )


def _lines(failure: Failure) -> Markup:
    if not failure.tail:
        return text()
    label = f"Decisive lines of the log of {failure.title}"
    return tag("pre", tag("code", failure.tail), tabindex="0", role="region", aria_label=label)


def _place(name: str) -> str:
    return f"failed-{name}"


def _news(story: Story) -> Markup:
    parts = []
    for kind in ChangeKind:
        found = [item for item in story.news if item.kind is kind]
        if found:
            names = {name for item in found for name, _ in item.packages}
            parts += [tag("dt", f"{kind} ({len(names)})"), tag("dd", tag("ul", *map(_entry, found)))]
    return tag("dl", *parts, class_="news") if parts else text()


def _entry(news: News) -> Markup:
    fails = news.kind in {ChangeKind.REGRESSED, ChangeKind.STILL_FAILING}
    parts: list[str] = []
    for name, versions in news.packages:
        shown = tag("a", name, href=f"#{_place(name)}") if fails else name
        parts += [", " if parts else "", shown, f" {versions}" if versions else ""]
    return tag("li", *parts, *((" ", tag("small", "; ".join(news.told))) if news.told else ()))


def _retired(report: Report) -> Markup:
    return _list(text(tag("code", gone.filename), f": {redact(gone.reason)}") for gone in report.retired)


def _list(entries: Iterable[str]) -> Markup:
    items = [tag("li", entry) for entry in entries]
    return tag("ul", *items) if items else text()


def _grid(story: Story) -> Markup:
    if not story.matrix:
        return text()
    head = tag("tr", tag("th", "Package", scope="col"), *(tag("th", column(t), scope="col") for t in story.targets))
    rows = [
        tag("tr", _name(name, cells.values()), *(_cell(cells.get(target)) for target in story.targets))
        for name, cells in story.matrix.items()
    ]
    caption = tag("caption", "What each package came to on each target", class_="heard")
    table = tag("table", caption, tag("thead", head), tag("tbody", *(text("\n", row) for row in rows)), class_="grid")
    return _scroll(table, "Packages and targets")


def _scroll(content: Markup, label: str) -> Markup:
    """What may be wider than the screen, for the keyboard too."""
    return tag("div", content, class_="scroll", tabindex="0", role="region", aria_label=label)


def _name(name: str, rows: Iterable[Row]) -> Markup:
    versions = sorted({str(row.version) for row in rows if row.version})
    return tag("th", name, " ", tag("small", ", ".join(versions)), scope="row")


def _cell(row: Row | None) -> Markup:
    if row is None:
        return tag("td", tag("span", "not asked for", class_="heard"), class_="none")
    word = did(row)
    if row.status is not Status.READY:
        more = text(" ", tag("small", row.kind)) if row.kind not in ("", word) else text()
        return tag("td", tag("a", word, href=f"#{_place(row.name)}"), more, class_=word)
    small = " ".join(filter(None, (row.strategy if word == "built" else "", _unproved(row))))
    return tag("td", word, *((" ", tag("small", small)) if small else ()), class_=word)


def _unproved(row: Row) -> str:
    """What is not proved of a wheel that is there."""
    return "" if any(verdict.check == "import" for verdict in row.verdicts) else "not imported"


def _time(story: Story) -> Markup:
    if not story.path:
        return text()
    picture = timeline(story.report.spans, [step.span.id for step in story.path])
    steps = [
        (
            text(step.span.title),
            text(duration(step.span.start)),
            text(duration(step.span.seconds)),
            text(step.because or ""),
        )
        for step in story.path
    ]
    table = _table(("Critical path", "from", "took", "why not before"), steps, "steps", right={1, 2})
    told = (
        f"The outlined bars are the critical path: what the run waited for from its start to its end. "
        f"The others had time. {len(story.report.spans)} jobs and phases ran."
    )
    return text(
        tag("p", told, class_="quiet"), _scroll(picture, "Timeline of the run"), _scroll(table, "The critical path")
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[Markup]], kind: str, *, right: set[int]) -> Markup:
    side = dict.fromkeys(right, "n")
    heads = [tag("th", label, scope="col", class_=side.get(number)) for number, label in enumerate(head)]
    body = [
        tag("tr", *(tag("td", cell, class_=side.get(number)) for number, cell in enumerate(cells))) for cells in rows
    ]
    return tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body), class_=kind)


def _built(built: Sequence[Built]) -> Markup:
    if not built:
        return text()
    head = ("Wheel", "strategy", "time", "size", "checks")
    rows = [
        (
            text(item.row.filename or DASH),
            text(item.row.strategy or ""),
            text(item.seconds),
            text(item.size),
            text(", ".join(map(verdict_word, item.row.verdicts))),
        )
        for item in built
    ]
    first, rest = rows[:_SHOWN_BUILT], rows[_SHOWN_BUILT:]
    shown = _scroll(_table(head, first, "listed", right={2, 3}), "What took longest to build")
    if not rest:
        return shown
    more = _scroll(_table(head, rest, "listed", right={2, 3}), "What else was built")
    return text(shown, tag("details", tag("summary", f"{len(rest)} more"), more))
