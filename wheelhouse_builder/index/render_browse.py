"""The list of all projects for people, and its search.

`browse/index.html` is complete, so any file server has it; a script filters its rows. `whb serve` answers `?q=` with
the same page made for what the query finds, so that the search works without a script too. Each project's part is a
small summary that the manifest keeps, so a publication looks at the projects that changed and no other. Pure.
"""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from packaging.utils import canonicalize_name

from wheelhouse_builder.index.coverage import PYTHONS, Standing, coverage, newest
from wheelhouse_builder.index.model import Status
from wheelhouse_builder.index.summary import summary_of
from wheelhouse_builder.index.web_page import ASSETS, DASH, Markup, asset, page, tag
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wheelhouse_builder.index.coverage import Kept
    from wheelhouse_builder.index.model import Project

    Summary = Mapping[str, Any]  # what `summary` gives

LONGEST_QUERY = 200  # characters
_LONGEST_SUMMARY = 90
_MANY = 100  # projects: more are shown by their first letter
_INSTALLS = (Standing.IMPORTED, Standing.LOADER, Standing.UNVERIFIED)


def summary(project: Project, wheels: Sequence[Kept], *, metadata: bytes | None = None) -> dict[str, Any]:
    """What the list shows of a project, fit for JSON; `wheels` and `metadata` are those of `about_page`.

    `version` is the one that an installer takes by itself, `pythons` says where it installs, `changed` is the day when
    the last wheel came, `note` what is to be known before one takes it.
    """
    version, current = newest(wheels) if wheels else ("", [])
    cells = coverage(current)
    line = (summary_of(metadata).text if metadata else None) or ""
    if len(line) > _LONGEST_SUMMARY:
        line = f"{line[:_LONGEST_SUMMARY].rstrip(' …')}…"
    yanked = "yanked" if any(wheel.yanked is not None for wheel in current) else ""
    times = [wheel.published_at for wheel in wheels if wheel.published_at]
    return {
        "version": str(version),
        "summary": line,
        "wheels": len(wheels),
        "pythons": [
            _ranges([t.python for t, cell in cells.items() if t.arch is arch and cell.standing in _INSTALLS])
            for arch in Arch
        ],
        "changed": f"{max(times):%Y-%m-%d}" if times else "",
        "note": yanked if project.mark.status is Status.ACTIVE else str(project.mark.status),
    }


def _ranges(pythons: Sequence[tuple[int, int]]) -> str:
    """`3.11, 3.13`; neighbours as their ends with a dash."""
    runs: list[list[tuple[int, int]]] = []
    for python in (python for python in PYTHONS if python in pythons):
        if runs and PYTHONS.index(python) == PYTHONS.index(runs[-1][-1]) + 1:
            runs[-1].append(python)
        else:
            runs.append([python])
    ends = [dict.fromkeys((run[0], run[-1])) for run in runs]
    return ", ".join(DASH.join(f"{major}.{minor}" for major, minor in pair) for pair in ends)


def assets() -> dict[str, str]:
    """The files that the pages for people share, by relative path."""
    return {f"browse/{name}": asset(name) for name in ASSETS}


def browse_page(summaries: Mapping[str, Summary], query: str = "") -> str:
    """The list of all projects, or of those that a query finds; `summaries` by name, in order."""
    query = " ".join(query[:LONGEST_QUERY].split())
    found = search(summaries, query) if query else summaries
    parts = [("", list(found))]
    if len(found) > _MANY:
        parts = [(letter, list(group)) for letter, group in groupby(found, key=_letter)]
    told = f"{_count(len(found), 'project')}, {_count(sum(told['wheels'] for told in found.values()), 'wheel')}"
    if query:
        told = f"{_count(len(found), 'project')} for “{query}”, of {len(summaries):,}"
    return page(
        f"{query} · Wheelhouse" if query else "Wheelhouse",
        tag("h1", "Projects"),
        tag("p", told, id="count", class_="quiet", role="status"),
        tag("p", tag("a", "All projects", href="index.html")) if query else "",
        _letters([letter for letter, _ in parts]) if len(parts) > 1 else "",
        *(_part(letter, [(name, found[name]) for name in names]) for letter, names in parts if names),
        tag("p", "No project has that in its name or summary.", class_="nothing", hidden=bool(found or not query)),
        root="../",
        query=query,
        partial=bool(query),
    )


def search(summaries: Mapping[str, Summary], query: str) -> dict[str, Summary]:
    """Those projects that have each word of the query in their name, however it is spelt, or in their summary."""
    words = [(canonicalize_name(word), word) for word in query.casefold().split()]
    return {
        name: told
        for name, told in summaries.items()
        if all(spelt in name or word in told["summary"].casefold() for spelt, word in words)
    }


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _letter(name: str) -> str:
    return name[0].upper() if name[0].isalpha() else f"0{DASH}9"


def _letters(letters: Iterable[str]) -> Markup:
    links = [tag("a", letter, href=f"#{quote(letter)}") for letter in letters]
    return tag("nav", *links, class_="letters", aria_label="Projects by first letter")


def _part(letter: str, projects: Iterable[tuple[str, Summary]]) -> Markup:
    heading = tag("h2", letter, id=letter) if letter else ""
    heads = ("Project", "Version", *(arch.docker for arch in Arch), "Wheels", "Updated")
    head = tag("tr", *(tag("th", label, scope="col") for label in heads))
    caption = tag("caption", f"Projects, {letter}" if letter else "Projects", class_="heard")
    rows = Markup("".join(_row(name, told) for name, told in projects))
    table = tag("table", caption, tag("thead", head), "\n", tag("tbody", "\n", rows), class_="projects")
    return tag("div", heading, table, "\n", class_="part")


def _row(name: str, told: Summary) -> str:
    """One row on one line, as short as it can be: there may be ten thousand."""
    line = f"<p>{escape(told['summary'], quote=False)}" if told["summary"] else ""
    note = f" <b>{escape(told['note'])}</b>" if told["note"] else ""
    cells = (
        f"{escape(told['version'])}{note}",
        *(escape(found) or DASH for found in told["pythons"]),
        str(told["wheels"]),
        escape(told["changed"]),
    )
    first = f'<tr><th scope=row><a href="../simple/{quote(name)}/about.html">{escape(name)}</a>{line}'
    return f"{first}<td>{'<td>'.join(cells)}\n"
