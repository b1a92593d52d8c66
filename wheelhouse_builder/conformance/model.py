"""What was seen of an index, and what a check says of it, as values.

The observer (`observe.py`) asks and writes down; checks (`checks/`) are pure functions of what was written down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from wheelhouse_builder.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from wheelhouse_builder.conformance.html import HtmlPage

Subject = TypeVar("Subject")
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "application/vnd.pypi.simple.v1+html"
TEXT_TYPE = "text/html"
_MAX_FINDINGS = 20  # a check that fails everywhere is told with so many places


class Level(StrEnum):
    """How much a check weighs."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    GOOD = "GOOD"  # no word of a specification: what pip and uv need to work well


class Result(StrEnum):
    """What a check came to."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


class Format(StrEnum):
    """The two serialisations."""

    HTML = "HTML"
    JSON = "JSON"


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One question and its answer. A file of a folder is an answer 200 (or 404) without headers."""

    url: str
    method: str = "GET"
    asked: Mapping[str, str] = field(default_factory=dict)  # the headers that make this question another one
    status: int = 0  # 0: no whole answer came, see `error`
    headers: Mapping[str, str] = field(default_factory=dict)  # lower-case names; repeated ones joined by ", "
    body: bytes = b""  # as it was sent, still encoded
    size: int = 0  # bytes of the body, also when it was written to a sink
    final_url: str = ""  # after redirects
    error: str = ""

    @property
    def media_type(self) -> str:
        """`text/html` of `Text/HTML; charset=utf-8`"""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def told(self) -> str:
        """The answer in a few words: `200 text/html`."""
        return self.error or f"{self.status} {self.media_type}".strip()


@dataclass(frozen=True, kw_only=True)
class Page:
    """The project list (`name` is empty) or the page of a project, in one format, and what it says."""

    name: str
    format: Format
    exchange: Exchange
    html: HtmlPage | None = None
    json: object = None
    problem: str = ""  # why it cannot be read

    @property
    def where(self) -> str:
        """For people."""
        return f"{self.exchange.url} ({self.format})"


@dataclass(frozen=True, kw_only=True)
class Link:
    """A file as a page tells of it, whatever the format. Values that are not as specified are left out here."""

    filename: str
    url: str  # absolute
    hashes: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    requires_python: str | None = None
    core_metadata: bool = False
    metadata_hashes: Mapping[str, str] = field(default_factory=dict)
    yanked: str | None = None  # the reason, maybe empty
    signed: bool = False
    provenance: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileSeen:
    """A file that was fetched whole, and what the server answered to other questions about it, by their name."""

    link: Link
    project: str
    got: Exchange  # without body
    digests: Mapping[str, str] = field(default_factory=dict)  # with the algorithms that the page names
    metadata: bytes | None = None  # METADATA inside the wheel
    damage: str = ""  # why the wheel cannot be opened
    slices: Mapping[str, bytes] = field(default_factory=dict)  # what the ranges asked for have to be, by question
    asked: Mapping[str, Exchange] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Probed:
    """A page that was asked for in many ways, by their name."""

    where: str
    asked: Mapping[str, Exchange]


@dataclass(frozen=True, kw_only=True)
class FolderSeen:
    """What only a folder shows."""

    copies: Mapping[str, bool]  # compressed copies of pages, and whether they hold the page
    outside: Mapping[str, str]  # paths that leave the tree, and where to
    links: Mapping[str, Link] | None = None  # the flat page, by file name
    problems: tuple[str, ...] | None = None  # what a wheelhouse says of itself; None: it is no wheelhouse
    unlisted: tuple[str, ...] = ()  # folders of projects that the project list does not name


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything that was seen."""

    base: str  # the URL of the project list, with its slash
    pages: tuple[Page, ...]
    missing: Mapping[str, Exchange] = field(default_factory=dict)  # listed projects without a page
    files: tuple[FileSeen, ...] = ()
    probed: tuple[Probed, ...] = ()  # none for a folder
    folder: FolderSeen | None = None
    complete: bool = True  # every project of the list was looked at

    def of(self, form: Format, *, projects: bool | None = None) -> Iterable[Page]:
        """The pages in a format: of projects, the list, or both."""
        wanted = (page for page in self.pages if page.format is form)
        return [page for page in wanted if projects is None or bool(page.name) == projects]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One violation."""

    where: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a check came to; `seen` is how many things it looked at."""

    result: Result
    seen: int = 0
    failed: int = 0
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Check:
    """One sentence of a specification, and how to see whether it is kept."""

    id: str
    level: Level
    says: str
    link: str
    examine: Callable[[Observed], Outcome]

    @property
    def area(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]


def each(
    subjects: Callable[[Observed], Iterable[tuple[str, Subject]]], problem: Callable[[Subject], str | None]
) -> Callable[[Observed], Outcome]:
    """A check of every subject: `problem` says what is wrong with one, or None. Without subjects it does not apply."""

    def examine(observed: Observed) -> Outcome:
        seen, findings = 0, []
        for where, subject in subjects(observed):
            seen += 1
            if (what := problem(subject)) is not None:
                findings.append(Finding(where=redact(where), what=redact(what)))
        if not seen:
            return Outcome(result=Result.NOT_APPLICABLE)
        result = Result.FAILED if findings else Result.PASSED
        return Outcome(result=result, seen=seen, failed=len(findings), findings=tuple(findings[:_MAX_FINDINGS]))

    return examine


def shown(value: object) -> str:
    """A value from outside in a message: short, on one line."""
    try:
        text = repr(value)
    except RecursionError:
        return "a value that is nested too deep"
    return text if len(text) <= 120 else f"{text[:117]}..."
