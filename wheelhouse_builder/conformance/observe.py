"""Look at an index: its list, a sample of its projects, some files in depth, one page in every way that HTTP knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name, is_normalized_name

from wheelhouse_builder.conformance.folder import FolderSource, compressed_copies, unlisted_projects
from wheelhouse_builder.conformance.model import Exchange, FileSeen, FolderSeen, Format, Link, Observed, Page, Probed
from wheelhouse_builder.conformance.pages import links_of, names_of, read_page
from wheelhouse_builder.conformance.probe import look_at_file, probe_page
from wheelhouse_builder.conformance.source import ELSEWHERE
from wheelhouse_builder.errors import MachineError, UsageError
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from wheelhouse_builder.conformance.source import Source

_MAX_PROBED_BYTES = 1 << 20  # a larger page is not asked for thirty times


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How much of an index is looked at. The same index gives the same sample."""

    projects: int | None = 20  # None: all
    names: tuple[str, ...] = ()  # these, whatever the list says
    files: int = 10  # in depth: fetched whole


def observe(source: Source, sample: Sample, say: Callable[[str], object] = lambda _: None) -> Observed:
    """Everything that checks need. `say` is told what is looked at.

    Raises `MachineError` when the index cannot be reached or shows no list, `UsageError` for a name that is no project.
    """
    root = _representations(source, "")
    _require_reached(source, root, sample)
    lists = [read_page("", exchange, form) for exchange, form in root.values() if _good(exchange)]
    listed = sorted({name for page in lists for name in names_of(page)})
    names = _chosen(listed, sample)
    pages, missing = _project_pages(source, names, say)
    _require_named(sample, missing)
    links = _chosen_files([page for page in pages if page.name], sample.files)
    http = not isinstance(source, FolderSource)
    probed = tuple(_probed(source, lists, pages, say)) if http else ()
    files = tuple(_files(source, links, say, probing=http))
    return Observed(
        base=source.base,
        pages=_distinct([*lists, *pages]),
        missing=missing,
        files=files,
        probed=probed,
        folder=_folder(source, listed, names) if isinstance(source, FolderSource) else None,
        complete=set(listed) <= set(names),
    )


def _representations(source: Source, name: str) -> dict[Format, tuple[Exchange, Format | None]]:
    """Each form, asked for; over HTTP the answer itself tells its form, in a folder the file's name."""
    forced = isinstance(source, FolderSource)
    found = {form: source.page(name, form) for form in (Format.JSON, Format.HTML)}
    return {form: (exchange, form if forced else None) for form, exchange in found.items() if exchange is not None}


def _good(exchange: Exchange) -> bool:
    return exchange.status == 200 and not exchange.error


def _require_reached(source: Source, root: dict[Format, tuple[Exchange, Format | None]], sample: Sample) -> None:
    answers = [exchange for exchange, _ in root.values()]
    worst = answers[0]
    without_list = worst.status == 404 and sample.names  # there are indexes that have none
    if without_list or any(map(_good, answers)):
        return
    hint = "is the URL that of the project list, as in https://HOST/simple/? Without a list, --project names projects"
    if worst.status in {401, 403}:
        hint = "give user name and password in the URL, or in ~/.netrc"
    elif not worst.status:
        hint = "does it run, and does this machine reach it?"
    raise MachineError(f"{source.base} cannot be read as an index: {worst.told}", hint=hint)


def _require_named(sample: Sample, missing: dict[str, Exchange]) -> None:
    lost = [name for name in map(canonicalize_name, sample.names) if name in missing]
    if lost:
        raise UsageError(f"the index has no project {', '.join(lost)}", hint="--project names one that it has")


def _chosen(listed: Sequence[str], sample: Sample) -> list[str]:
    """The projects named, or a sample spread over the list."""
    if bad := [name for name in sample.names if not is_normalized_name(canonicalize_name(name))]:
        raise UsageError(f"{bad[0]!r} is no project's name", hint="letters, digits, '.', '-' and '_'")
    if sample.names:
        return list(dict.fromkeys(map(canonicalize_name, sample.names)))
    if sample.projects is None or sample.projects >= len(listed):
        return list(listed)
    return [listed[number * len(listed) // sample.projects] for number in range(sample.projects)]


def _project_pages(
    source: Source, names: Iterable[str], say: Callable[[str], object]
) -> tuple[list[Page], dict[str, Exchange]]:
    pages, missing = [], {}
    for name in names:
        say(f"page {name}")
        answers = list(_representations(source, name).values())
        found = [read_page(name, exchange, form) for exchange, form in answers if _good(exchange)]
        pages += found
        if not found:
            missing[name] = answers[0][0]
    return pages, missing


def _distinct(pages: Iterable[Page]) -> tuple[Page, ...]:
    """Each page once: an index that has one form gives it whatever is asked for."""
    return tuple({(page.name, page.format): page for page in pages}.values())


def _chosen_files(pages: Sequence[Page], count: int) -> list[tuple[str, Link]]:
    """Files spread over projects: the first of each, then the second of each, and so on. JSON tells more than HTML."""
    best: dict[str, list[Link]] = {}
    for page in sorted(pages, key=lambda page: page.format is Format.JSON):
        best[page.name] = links_of(page) or best.get(page.name, [])
    rounds = max(map(len, best.values()), default=0)
    ordered = [(name, links[n]) for n in range(rounds) for name, links in sorted(best.items()) if n < len(links)]
    return ordered[:count]


def _files(
    source: Source, links: Iterable[tuple[str, Link]], say: Callable[[str], object], *, probing: bool
) -> Iterable[FileSeen]:
    for project, link in links:
        say(f"file {link.filename}")
        seen = look_at_file(source, link, project, probing=probing)
        if seen.got.error != ELSEWHERE:
            yield seen


def _probed(
    source: Source, lists: Sequence[Page], pages: Sequence[Page], say: Callable[[str], object]
) -> Iterable[Probed]:
    """The list and one project's page, unless they are large."""
    with_files = [page for page in pages if links_of(page)] or list(pages)
    smallest = min(with_files, key=lambda page: page.exchange.size, default=None)
    for page in (*lists[:1], smallest):
        if page is not None and page.exchange.size <= _MAX_PROBED_BYTES:
            say(f"questions about {page.name or 'the project list'}")
            yield probe_page(source, source.base + (f"{page.name}/" if page.name else ""), page.name)


def _folder(source: FolderSource, listed: Collection[str], names: Iterable[str]) -> FolderSeen:
    copies = compressed_copies(source, names)
    flat = source.tree / "links" / "index.html"
    links = None
    if flat.is_file():
        page = read_page("links", source.fetch(flat.as_uri(), {}), Format.HTML)
        links = {link.filename: link for link in links_of(page)}
    wheelhouse = Wheelhouse(source.tree)
    problems = tuple(map(str, wheelhouse.check())) if wheelhouse.state.is_dir() else None
    return FolderSeen(
        copies=copies,
        outside=dict(source.outside),
        links=links,
        problems=problems,
        unlisted=unlisted_projects(source, set(listed)),
    )
