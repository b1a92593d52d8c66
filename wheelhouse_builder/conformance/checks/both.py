"""What the list, the pages of projects and the two formats say together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.conformance.checks.values import api_version
from wheelhouse_builder.conformance.model import Check, Exchange, Format, Level, Link, Page, each, shown
from wheelhouse_builder.conformance.pages import links_of, names_of
from wheelhouse_builder.conformance.vectors import SPEC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.conformance.model import Observed

_API = f"{SPEC}#json-based-simple-api-for-python-package-indexes"
_BASE = f"{SPEC}#base-html-api"
_SERVES = "all of the API endpoints will utilize content negotiation to select the serialization: the same data in both"

Pair = tuple[Page, Page]  # JSON, HTML


def _pairs(observed: Observed, *, projects: bool | None = None) -> Iterator[tuple[str, Pair]]:
    html = {page.name: page for page in observed.of(Format.HTML, projects=projects) if page.html}
    for page in observed.of(Format.JSON, projects=projects):
        if page.name in html and isinstance(page.json, dict):
            yield page.where, (page, html[page.name])


def _lists(observed: Observed) -> Iterator[tuple[str, Pair]]:
    return _pairs(observed, projects=False)


def _projects(observed: Observed) -> Iterator[tuple[str, Pair]]:
    return _pairs(observed, projects=True)


def _same(what: Callable[[Link], object]) -> Callable[[Pair], str | None]:
    """Whether the formats tell the same of each file."""

    def problem(pair: Pair) -> str | None:
        json, html = ({link.filename: what(link) for link in links_of(page)} for page in pair)
        for name in sorted(json.keys() & html.keys()):
            if json[name] != html[name]:
                return f"{name}: JSON tells {shown(json[name])}, HTML {shown(html[name])}"
        return None

    return problem


def _same_projects(pair: Pair) -> str | None:
    return _difference(*(set(names_of(page)) for page in pair))


def _same_files(pair: Pair) -> str | None:
    return _difference(*({link.filename for link in links_of(page)} for page in pair))


def _difference(json: set[str], html: set[str]) -> str | None:
    if json == html:
        return None
    only = [
        f"only in {form}: {', '.join(map(shown, sorted(names)[:3]))}"
        for form, names in (("JSON", json - html), ("HTML", html - json))
        if names
    ]
    return "; ".join(only)


def _same_hashes(pair: Pair) -> str | None:
    json, html = ({link.filename: link.hashes for link in links_of(page)} for page in pair)
    for name in sorted(json.keys() & html.keys()):
        for algorithm in json[name].keys() & html[name].keys():
            if json[name][algorithm].lower() != html[name][algorithm].lower():
                return f"{name}: other {algorithm} digests"
    return None


def _in_step(pair: Pair) -> str | None:
    json, html = pair
    meta = json.json.get("meta") if isinstance(json.json, dict) else None
    told = api_version(meta.get("api-version")) if isinstance(meta, dict) else None
    shown_there = html.html.metas.get("pypi:repository-version") if html.html else None
    if told is None or shown_there is None or api_version(shown_there) in {told, min(told, (1, 4))}:
        return None  # that a version is missing is told by others
    return f"JSON is {told[0]}.{told[1]}, HTML {shown(shown_there)}"


def _same_status(pair: Pair) -> str | None:
    json, html = pair
    status = json.json.get("project-status") if isinstance(json.json, dict) else None
    told = status.get("status", "active") if isinstance(status, dict) else "active"
    there = html.html.metas.get("pypi:project-status", "active") if html.html else "active"
    return None if told == there else f"JSON tells {shown(told)}, HTML {shown(there)}"


def _listed(observed: Observed) -> Iterator[tuple[str, Exchange | None]]:
    """Every project that was looked at: its page, or what came instead."""
    yield from ((name, None) for name in dict.fromkeys(page.name for page in observed.pages if page.name))
    yield from observed.missing.items()


def _forms(observed: Observed) -> Iterator[tuple[str, set[Format]]]:
    for name in dict.fromkeys(page.name for page in observed.pages):
        yield name or observed.base, {page.format for page in observed.pages if page.name == name}


CHECKS = (
    Check(
        id="both.json",
        level=Level.GOOD,
        says="Support all 3 content types (recommendation); new features come to JSON only (PEP 833)",
        link=f"{SPEC}#recommendations",
        examine=each(_forms, lambda forms: None if Format.JSON in forms else "no JSON"),
    ),
    Check(
        id="both.html",
        level=Level.GOOD,
        says="Support all 3 content types (recommendation); pip reads nothing else from file://",
        link=f"{SPEC}#recommendations",
        examine=each(_forms, lambda forms: None if Format.HTML in forms else "no HTML"),
    ),
    Check(
        id="both.pages",
        level=Level.MUST,
        says="Below the root URL is another URL for each individual project contained within a repository",
        link=_BASE,
        examine=each(_listed, lambda got: f"listed, but: {got.told}" if got else None),
    ),
    Check(id="both.list", level=Level.MUST, says=_SERVES, link=_API, examine=each(_lists, _same_projects)),
    Check(id="both.files", level=Level.MUST, says=_SERVES, link=_API, examine=each(_projects, _same_files)),
    Check(id="both.hashes", level=Level.MUST, says=_SERVES, link=_API, examine=each(_projects, _same_hashes)),
    Check(
        id="both.yanked",
        level=Level.MUST,
        says="a yanked file is marked in whatever form it is shown",
        link="https://packaging.python.org/en/latest/specifications/file-yanking/",
        examine=each(_projects, _same(lambda link: link.yanked)),
    ),
    Check(
        id="both.requires-python",
        level=Level.SHOULD,
        says=_SERVES,
        link=_API,
        examine=each(_projects, _same(lambda link: link.requires_python)),
    ),
    Check(
        id="both.core-metadata",
        level=Level.SHOULD,
        says=_SERVES,
        link=_API,
        examine=each(_projects, _same(lambda link: dict(link.metadata_hashes) or link.core_metadata)),
    ),
    Check(
        id="both.status",
        level=Level.MUST,
        says="A project always has exactly one status",
        link="https://packaging.python.org/en/latest/specifications/project-status-markers/",
        examine=each(_projects, _same_status),
    ),
    Check(
        id="both.version",
        level=Level.SHOULD,
        says="All serializations version numbers, within a major version, SHOULD be kept in sync (HTML stays 1.4)",
        link=f"{SPEC}#versioning",
        examine=each(_pairs, _in_step),
    ),
)
