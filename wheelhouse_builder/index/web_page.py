"""The frame of the pages for people, and the small pieces that they share.

Pages are static: no script is needed to read them, all links are relative, so they work from a folder, a bucket or
behind any prefix. Text becomes markup in `tag`, `text` and `escaped` alone; a policy in each page forbids scripts
and styles that do not come from the two files beside the list.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

DASH = "\N{EN DASH}"  # from … to, and nothing
BASE = "URL-OF-THIS-INDEX"  # reads well without a script; with one it is where the page came from
ASSETS = ("style.css", "script.js")
_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; base-uri 'none'; form-action 'self'"


_HOLE = re.compile(r"\0(\w+)\0")
_is_special = re.compile("[&<>\"']").search


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


class Frame:
    """Markup with holes, made once and filled many times: that takes a fraction of the time of making its elements."""

    def __init__(self, *parts: str) -> None:
        self._form = _HOLE.sub(r"%(\1)s", text(*parts).replace("%", "%%"))

    def filled(self, **values: str) -> Markup:
        """The markup with a value in each hole, escaped unless it is markup. Raises `KeyError` for a hole without."""
        safe = {name: value if value.__class__ is Markup else escaped(value) for name, value in values.items()}
        return Markup(self._form % safe)


def hole(name: str) -> Markup:
    """What stands in a frame for the value of this name, as text or in an attribute."""
    return Markup(f"\0{name}\0")


def escaped(said: str) -> str:
    """The text with its special characters as references, in an attribute too."""
    return escape(said) if _is_special(said) else said


def text(*parts: str) -> Markup:
    """The parts as markup, one after the other; those that are none yet are escaped."""
    return Markup(_joined(parts))


def tag(name: str, *parts: str, **attributes: str | bool | None) -> Markup:
    """An element. `class_` is `class`, `aria_label` is `aria-label`; what is None or False is left out."""
    written = name
    for key, value in attributes.items():
        if value is not None and value is not False:
            written += f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{escaped(value)}"'
    return Markup(f"<{written}>{_joined(parts)}</{name}>")


def _joined(parts: tuple[str, ...]) -> str:
    return "".join([part if part.__class__ is Markup else escaped(part) for part in parts])


@cache
def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def row(label: str, *values: str) -> Markup:
    """One entry of a description list."""
    return Markup(f"<dt>{escaped(label)}</dt><dd>{_joined(values)}</dd>")


def hidden(*parts: str) -> Markup:
    """Text for those who hear the page."""
    return tag("span", *parts, class_="heard")


def page(title: str, *content: str, root: str, query: str = "", partial: bool = False) -> str:
    """A whole page. `root` leads from it to the folder that holds `simple` and `browse`.

    `query` is in the search field; `partial` says that the page shows only what the query found.
    """
    main = tag("main", "\n", *content, id="content", data_partial=partial)
    return _frame(root).filled(title=title, query=query, main=main)


@cache
def _frame(root: str) -> Frame:
    """What is around the title, the query and the content of a page."""
    browse = f"{root}browse/"
    head = Markup(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="data:,">\n<link rel="stylesheet" href="{browse}style.css">\n'
        f'<script src="{browse}script.js" defer></script>\n<title>{hole("title")}</title>\n</head>\n<body>\n'
    )
    return Frame(head, _banner(browse), "\n", hole("main"), "\n", _footer(root), Markup("\n</body>\n</html>\n"))


def _banner(browse: str) -> Markup:
    field = Markup(
        f'<input type="search" id="q" name="q" value="{hole("query")}" autocomplete="off" spellcheck="false"'
        ' placeholder="Search projects">'
    )
    search = tag(
        "form",
        tag("label", "Search projects", for_="q", class_="heard"),
        field,
        tag("button", "Search", type="submit"),
        role="search",
        action=f"{browse}index.html",
        method="get",
    )
    home = tag("a", "Wheelhouse", href=f"{browse}index.html", class_="home")
    skip = tag("a", "Skip to content", href="#content", class_="skip")
    return text(skip, "\n", tag("header", tag("nav", home, aria_label="Site"), search))


def _footer(root: str) -> Markup:
    index = tag("a", "simple/", href=f"{root}simple/index.html")
    flat = tag("a", "links/", href=f"{root}links/index.html")
    return tag("footer", tag("p", "For installers: the index ", index, " and the flat page ", flat, "."))


@cache
def asset(name: str) -> str:
    """One of `ASSETS`."""
    return files(__package__).joinpath("data", name).read_text(encoding="utf-8")


def size_text(size: int) -> str:
    """`196.3 kB`: decimal, as file managers and indexes show it."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"


def duration_text(seconds: float) -> str:
    """`9.9 s`, `2 min 7 s`, `1 h 12 min`"""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


@lru_cache(maxsize=1024)  # what is published together has one time
def moment(when: datetime, form: str = "%Y-%m-%d %H:%M UTC") -> Markup:
    """A time (UTC) for people and for programs."""
    return tag("time", when.strftime(form), datetime=when.strftime("%Y-%m-%dT%H:%M:%SZ"))
