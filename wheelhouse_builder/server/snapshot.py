"""One generation in memory, and the one reference through which requests see it.

A request takes the snapshot once and keeps to it; a swap in between is for the next request. The server computes
nothing of a page and writes nothing: it needs no lock, no records, and works on a read-only mount.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.errors import DamagedError
from wheelhouse_builder.server.documents import Document, read_document
from wheelhouse_builder.wheelhouse import generations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from wheelhouse_builder.wheelhouse.generations import Generation
    from wheelhouse_builder.wheelhouse.store import Wheelhouse

_log = logging.getLogger(__name__)
_REMEDY = "`whb index` publishes a new generation, `whb rollback` goes back to one that is whole"
_TOP_PATTERNS = ("requirements-*.txt", "pylock.*.toml")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the index: as HTML, and as JSON where it has that form."""

    html: Document
    json: Document | None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that one generation serves."""

    generation: Generation
    identity: tuple[int, ...]  # tells generations apart, also those of one number
    pages: Mapping[str, Page]  # by the path of the URL: "/simple/", "/simple/demo/", "/links/"
    projects: Mapping[str, str]  # for each project the name of its page folder, which stands for its pages
    others: Mapping[str, Path]  # what else it names: locks, and what is under "/browse/", by the path of the URL

    @cached_property
    def header(self) -> tuple[bytes, bytes]:
        """Tells which generation an answer is of."""
        return b"x-whb-generation", str(self.generation.number).encode()

    def page_of(self, project: str) -> Page | None:
        """The page of a project by its normalised name."""
        return self.pages.get(f"/simple/{project}/")


def load(generation: Generation, before: Snapshot | None = None) -> Snapshot:
    """Read a generation; what is as it was in the snapshot `before` is taken over.

    Raises `DamagedError` when something is missing or is not what `publish` wrote.
    """
    try:
        return _load(generation, before)
    except DamagedError:
        raise
    except Exception as error:  # whatever lies there: the server goes on with what it has
        raise DamagedError(f"generation {generation.number} is damaged: {error}", hint=_REMEDY) from error


def _load(generation: Generation, before: Snapshot | None) -> Snapshot:
    simple = generation.path / "simple"
    projects = {name: entry.pages for name, entry in generations.read_manifest(generation).projects.items()}
    root = _read_page(simple)
    listed = {project["name"] for project in _json(root)["projects"]}
    if listed != projects.keys():
        raise ValueError(f"its list of projects and its manifest differ in {sorted(listed ^ projects.keys())[:3]}")
    pages = {"/simple/": root, "/links/": Page(read_document(generation.path / "links" / "index.html"), None)}
    for name, folder in projects.items():
        known = before and before.projects.get(name) == folder and before.page_of(name)
        pages[f"/simple/{name}/"] = known or _read_project(simple / name, name)
    return Snapshot(
        generation=generation,
        identity=_identity(generation),
        pages=pages,
        projects=projects,
        others=_others(generation.path),
    )


def _read_page(folder: Path) -> Page:
    return Page(read_document(folder / "index.html"), read_document(folder / "index.v1_json"))


def _read_project(folder: Path, name: str) -> Page:
    page = _read_page(folder)
    document = _json(page)
    if document["name"] != name or not all(file["filename"] and file["hashes"] for file in document["files"]):
        raise ValueError(f"{folder} holds no page of {name}")
    return page


def _json(page: Page) -> Any:
    assert page.json is not None
    return json.loads(page.json.plain)


def _others(root: Path) -> dict[str, Path]:
    """Plain files only: a link in these places is none of ours."""
    found = [path for pattern in _TOP_PATTERNS for path in root.glob(pattern)]
    found += [path for path in (root / "browse").rglob("*") if path.suffix not in {".gz", ".zst"}]
    urls = {f"/{path.relative_to(root).as_posix()}": path for path in found if path.is_file() and not path.is_symlink()}
    return urls | {url.removesuffix("index.html"): path for url, path in urls.items() if path.name == "index.html"}


def _identity(generation: Generation) -> tuple[int, ...]:
    status = generation.path.stat()
    return generation.number, status.st_dev, status.st_ino, status.st_mtime_ns


class Snapshots:
    """The snapshot in force. `refresh` swaps it; whoever reads `current` has a whole one."""

    def __init__(self, wheelhouse: Wheelhouse, *, on_problem: Callable[[str], None] = _log.error) -> None:
        """`on_problem` is told, once each, why a generation is not taken up."""
        self.wheelhouse = wheelhouse
        self.current: Snapshot | None = None
        self.problem: str | None = None  # why the generation that is published is not the one served
        self._on_problem = on_problem
        self._loading = threading.Lock()

    def refresh(self) -> bool:
        """Take up the published generation if it is another one; whether it was. Blocks: call it in a thread.

        Never raises for what is on the disk: a generation that is damaged changes nothing, the last good one stays in
        force, and `problem` says so.
        """
        with self._loading:
            try:
                found = self._look()
            except DamagedError as error:
                self._tell(f"{error.message}: {error.hint}")
                return False
            self._tell(None)
            if found is None:
                return False
            self.current = found
            return True

    def _look(self) -> Snapshot | None:
        """The published generation, read; None if it is the one in force."""
        try:
            generation = generations.current(self.wheelhouse)
            if generation is None:
                raise DamagedError(f"{self.wheelhouse.root} has no generation", hint="`whb index` publishes one")
            if self.current is not None and self.current.identity == _identity(generation):
                return None
        except (OSError, ValueError) as error:
            raise DamagedError(f"{self.wheelhouse.root}: {error}", hint=_REMEDY) from error
        return load(generation, self.current)

    def _tell(self, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            self._on_problem(problem)
        self.problem = problem
