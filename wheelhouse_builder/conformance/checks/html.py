"""The HTML pages: PEP 503 and what came after it, up to version 1.4, where PEP 833 froze them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from wheelhouse_builder.conformance.checks.values import (
    STATUSES,
    api_version,
    version_problem,
)
from wheelhouse_builder.conformance.model import Check, Format, Level, each, shown
from wheelhouse_builder.conformance.pages import html_files
from wheelhouse_builder.conformance.vectors import SPEC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.conformance.html import Anchor, HtmlPage
    from wheelhouse_builder.conformance.model import Observed, Page


BASE = f"{SPEC}#base-html-api"

_PEP629 = "https://peps.python.org/pep-0629/#specification"

_STATUS = "https://packaging.python.org/en/latest/specifications/project-status-markers/"

_PEP792 = "https://peps.python.org/pep-0792/#html-index"

_VERSION, _STATUS_META = "pypi:repository-version", "pypi:project-status"


def _pages(observed: Observed) -> Iterator[tuple[str, Page]]:
    yield from ((page.where, page) for page in observed.of(Format.HTML))


def _read(observed: Observed) -> Iterator[tuple[str, HtmlPage]]:
    yield from ((page.where, page.html) for page in observed.of(Format.HTML) if page.html)


def projects(observed: Observed) -> Iterator[tuple[str, HtmlPage]]:
    """The pages of projects."""
    yield from ((page.where, page.html) for page in observed.of(Format.HTML, projects=True) if page.html)


def _roots(observed: Observed) -> Iterator[tuple[str, HtmlPage]]:
    yield from ((page.where, page.html) for page in observed.of(Format.HTML, projects=False) if page.html)


def _entries(observed: Observed) -> Iterator[tuple[str, tuple[str, Anchor]]]:
    for where, page in _roots(observed):
        yield from ((f"{where}: {anchor.text or anchor.raw}", (observed.base, anchor)) for anchor in page.anchors)


def _with_meta(name: str) -> Callable[[Observed], Iterator[tuple[str, HtmlPage]]]:
    return lambda observed: ((where, page) for where, page in _read(observed) if name in page.metas)


def _doctype(page: HtmlPage) -> str | None:
    return None if page.doctype.strip().lower() == "doctype html" else f"the document type is {shown(page.doctype)}"


def _valid(page: Page) -> str | None:
    if page.html is None:
        return page.problem
    return "; ".join(page.html.problems[:3]) or None


def _frozen(page: HtmlPage) -> str | None:
    version = api_version(page.metas[_VERSION])
    return f"{page.metas[_VERSION]} is above 1.4" if version and version > (1, 4) else None


def _unique_projects(page: HtmlPage) -> str | None:
    return _doubles([canonicalize_name(anchor.text) for anchor in page.anchors])


def _unique_files(page: HtmlPage) -> str | None:
    return _doubles([anchor.filename for anchor in page.anchors])


def _doubles(names: list[str]) -> str | None:
    doubles = sorted({name for name in names if names.count(name) > 1}) if len(names) != len(set(names)) else []
    return f"more than one anchor for {', '.join(map(shown, doubles[:5]))}" if doubles else None


def _entry_text(entry: tuple[str, Anchor]) -> str | None:
    _, anchor = entry
    path = urlsplit(anchor.target).path.removesuffix("index.html").rstrip("/")
    folder = unquote(path.rpartition("/")[2])
    same = bool(anchor.text) and canonicalize_name(anchor.text) == canonicalize_name(folder)
    return None if same else f"the text {shown(anchor.text)} is not the name of the project at {shown(anchor.target)}"


def _entry_url(entry: tuple[str, Anchor]) -> str | None:
    base, anchor = entry
    expected = f"{base}{canonicalize_name(anchor.text)}/"
    if unquote(urlsplit(anchor.target).path) == unquote(urlsplit(expected).path):
        return None
    return f"the link leads to {shown(anchor.target)}, the project's URL is {shown(expected)}"


def _file_text(anchor: Anchor) -> str | None:
    return None if anchor.text == anchor.filename else f"the text is {shown(anchor.text)}, the file {anchor.filename!r}"


def _status(page: HtmlPage) -> str | None:
    status = page.metas[_STATUS_META]
    return None if status in STATUSES else f"{shown(status)} is none of {', '.join(sorted(STATUSES))}"


def _status_version(page: HtmlPage) -> str | None:
    version = api_version(page.metas.get(_VERSION, "1.0"))
    return None if version and version >= (1, 4) else f"the version is {shown(page.metas.get(_VERSION))}"


def _quarantined(observed: Observed) -> Iterator[tuple[str, HtmlPage]]:
    for where, page in _with_meta(_STATUS_META)(observed):
        if page.metas[_STATUS_META] == "quarantined":
            yield where, page


def _no_files(page: HtmlPage) -> str | None:
    return f"the project is quarantined and offers {len(page.anchors)} files" if page.anchors else None


CHECKS = (
    Check(
        id="html.doctype",
        level=Level.MUST,
        says="the root URL MUST be a valid HTML5 page; a project's URL must respond with a valid HTML5 page",
        link=BASE,
        examine=each(_read, _doctype),
    ),
    Check(
        id="html.valid",
        level=Level.MUST,
        says="a valid HTML5 page: UTF-8, anchors closed and not nested, no attribute twice",
        link=BASE,
        examine=each(_pages, _valid),
    ),
    Check(
        id="html.version",
        level=Level.SHOULD,
        says="a meta tag on the responses of every successful request to a simple API page",
        link=_PEP629,
        examine=each(_read, lambda page: None if _VERSION in page.metas else f"no meta {_VERSION}"),
    ),
    Check(
        id="html.version.form",
        level=Level.MUST,
        says="a content that is a version number, further constrained to ONLY be Major.Minor",
        link=_PEP629,
        examine=each(_with_meta(_VERSION), lambda page: version_problem(page.metas[_VERSION])),
    ),
    Check(
        id="html.version.frozen",
        level=Level.SHOULD,
        says="if a future PEP introduces version 1.5, the HTML representation will retain 1.4",
        link="https://peps.python.org/pep-0833/#specification",
        examine=each(_with_meta(_VERSION), _frozen),
    ),
    Check(
        id="html.list.unique",
        level=Level.MUST,
        says="a single anchor element per project in the repository",
        link=BASE,
        examine=each(_roots, _unique_projects),
    ),
    Check(
        id="html.list.text",
        level=Level.MUST,
        says="The text of the anchor tag MUST be the name of the project",
        link=BASE,
        examine=each(_entries, _entry_text),
    ),
    Check(
        id="html.list.url",
        level=Level.MUST,
        says="the href attribute MUST link to the URL for that project: /<normalized name>/, which MUST end with a /",
        link=BASE,
        examine=each(_entries, _entry_url),
    ),
    Check(
        id="html.files.unique",
        level=Level.MUST,
        says="a single anchor element per file for the project",
        link=BASE,
        examine=each(projects, _unique_files),
    ),
    Check(
        id="html.files.text",
        level=Level.MUST,
        says="the text of the anchor tag MUST match the final path component (the filename) of the URL",
        link=BASE,
        examine=each(html_files, _file_text),
    ),
    Check(
        id="html.status",
        level=Level.MUST,
        says="a pypi:project-status meta tag with a content of the project's status marker",
        link=_PEP792,
        examine=each(_with_meta(_STATUS_META), _status),
    ),
    Check(
        id="html.status.version",
        level=Level.MUST,
        says="The per-project index MUST define the pypi:repository-version as 1.4",
        link=_PEP792,
        examine=each(_with_meta(_STATUS_META), _status_version),
    ),
    Check(
        id="html.status.quarantined",
        level=Level.MUST,
        says="The index MUST NOT offer any distributions of a quarantined project for download",
        link=_STATUS,
        examine=each(_quarantined, _no_files),
    ),
)
