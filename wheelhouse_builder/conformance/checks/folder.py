"""A static tree, read where it lies: what only the disk shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.conformance.model import Check, FolderSeen, Level, Link, each
from wheelhouse_builder.conformance.pages import links_of
from wheelhouse_builder.conformance.vectors import SPEC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wheelhouse_builder.conformance.model import Observed

_BASE = f"{SPEC}#base-html-api"
_HERE = "https://nginx.org/en/docs/http/ngx_http_gzip_static_module.html"


def _folders(observed: Observed) -> Iterator[tuple[str, FolderSeen]]:
    if observed.folder is not None:
        yield observed.base, observed.folder


def _copies(observed: Observed) -> Iterator[tuple[str, bool]]:
    yield from (observed.folder.copies if observed.folder else {}).items()


def _flat(observed: Observed) -> Iterator[tuple[str, tuple[Link, Link | None]]]:
    """Every file of a page, with what the flat page tells of it."""
    if observed.folder is None or observed.folder.links is None:
        return
    for page in observed.pages:
        if page.name:
            for link in links_of(page):
                yield f"{page.where}: {link.filename}", (link, observed.folder.links.get(link.filename))


def _same_link(pair: tuple[Link, Link | None]) -> str | None:
    link, flat = pair
    if flat is None:
        return "not on the flat page"
    different = [name for name in link.hashes.keys() & flat.hashes.keys() if link.hashes[name] != flat.hashes[name]]
    if different:
        return f"other {', '.join(different)} on the flat page"
    return None if link.yanked == flat.yanked else "yanked on one of the two pages only"


def _problems(observed: Observed) -> Iterator[tuple[str, FolderSeen]]:
    yield from ((where, folder) for where, folder in _folders(observed) if folder.problems is not None)


def _outside(folder: FolderSeen) -> str | None:
    return "; ".join(f"{path} leads to {real}" for path, real in sorted(folder.outside.items())[:5]) or None


def _unlisted(folder: FolderSeen) -> str | None:
    names = folder.unlisted
    return f"{len(names)} projects have a page and are not listed: {', '.join(names[:5])}" if names else None


CHECKS = (
    Check(
        id="folder.confined",
        level=Level.GOOD,
        says="nothing leads out of the tree: a web server that follows links would publish it",
        link="https://nginx.org/en/docs/http/ngx_http_core_module.html#disable_symlinks",
        examine=each(_folders, _outside),
    ),
    Check(
        id="folder.copies",
        level=Level.MUST,
        says="a compressed copy decompresses to its page: a web server sends it in its place",
        link=_HERE,
        examine=each(_copies, lambda same: None if same else "it is not the page"),
    ),
    Check(
        id="folder.links",
        level=Level.GOOD,
        says="the flat page for --find-links tells the same as the pages of projects",
        link="https://pip.pypa.io/en/stable/cli/pip_install/#cmdoption-f",
        examine=each(_flat, _same_link),
    ),
    Check(
        id="folder.listed",
        level=Level.MUST,
        says="a single anchor element per project in the repository",
        link=_BASE,
        examine=each(_folders, _unlisted),
    ),
    Check(
        id="folder.wheelhouse",
        level=Level.GOOD,
        says="every wheel of a wheelhouse is there, as its record says",
        link="https://packaging.python.org/en/latest/specifications/binary-distribution-format/",
        examine=each(_problems, lambda folder: "; ".join((folder.problems or ())[:5]) or None),
    ),
)
