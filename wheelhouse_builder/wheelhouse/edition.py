"""What the next generation holds: that of the base, with the pages of what changed since then.

The cost of pages grows with what changed. Only the lists of all projects are written anew, from the summaries; the flat
page is spliced from that of the base.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.index import packing
from wheelhouse_builder.index.build import form, list_pages, render_project
from wheelhouse_builder.index.coverage import newest
from wheelhouse_builder.index.model import UNMARKED
from wheelhouse_builder.index.render_html import links_frame
from wheelhouse_builder.wheelhouse import disk
from wheelhouse_builder.wheelhouse.manifest import (
    MANIFEST,
    SUMMARIES,
    Entry,
    Manifest,
    dump_summaries,
    parse_manifest,
    sha256,
)
from wheelhouse_builder.wheelhouse.pages import NewPages, target_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

    from wheelhouse_builder.wheelhouse.records import Base
    from wheelhouse_builder.wheelhouse.store import Wheelhouse
    from wheelhouse_builder.wheelhouse.stored import StoredStub, StoredWheel

LINKS = "links/index.html"
LOGS, _LOGS_TARGET = "browse/logs", "../../../logs/wheels"  # they never change and go with their wheel
_HEAD, _TAIL = (part.encode() for part in links_frame())


@dataclass(frozen=True, kw_only=True)
class Start:
    """The generation that the next one starts from, or nothing at all."""

    path: Path | None = None
    projects: Mapping[str, Entry]
    summaries: Mapping[str, Mapping[str, Any]]


NOTHING = Start(projects={}, summaries={})


@dataclass(frozen=True, kw_only=True)
class Edition:
    """The next generation, before it has a number."""

    start: Start
    projects: Mapping[str, Entry]
    blocks: Mapping[str, bytes]  # of the projects that were rendered: their lines on the flat page
    lists: Mapping[str, bytes]  # the pages that list all projects, packed, and the summaries
    manifest: bytes


def how_written() -> str:
    """The form of the pages of today: other code or other libraries write other bytes."""
    return sha256(f"{form()} {packing.FORM}".encode())


def read_start(folder: Path, base: Base | None) -> Start | None:
    """What the base gives to start from; None if it is not there, not as it was noted, or of another form."""
    if base is None:
        return None
    try:
        content = (folder / MANIFEST).read_bytes()
        if sha256(content) != base.manifest:
            return None
        manifest = parse_manifest(content)
        told = (folder / SUMMARIES).read_bytes()
        whole = is_flat_page(folder, manifest.projects)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if manifest.form != how_written() or sha256(told) != manifest.summaries or not whole:
        return None
    return Start(path=folder, projects=manifest.projects, summaries=json.loads(told))


def is_flat_page(folder: Path, projects: Mapping[str, Entry]) -> bool:
    """Whether a generation has the flat page of these projects, by its length, and its copies. Raises `OSError`."""
    page = folder / LINKS
    sizes = {path.name: path.stat().st_size for path in page.parent.iterdir()}
    size = len(_HEAD) + sum(entry.links for entry in projects.values()) + len(_TAIL)
    copies = {f"{page.name}{suffix}" for suffix in packing.SUFFIXES if size <= packing.MAX_BYTES}
    return sizes.get(page.name) == size and sizes.keys() == {page.name, *copies}


def has_flat_page(folder: Path, edition: Edition) -> bool:
    """Whether a generation has its flat page: by the bytes if every project was rendered. Raises `OSError`."""
    if not is_flat_page(folder, edition.projects):
        return False
    if edition.blocks.keys() != edition.projects.keys():
        return True
    return all((folder / name).read_bytes() == b"".join(parts) for name, parts in _flat_files(edition).items())


def edit(
    start: Start,
    changed: Collection[NormalizedName],
    wheels: Iterable[StoredWheel],
    stubs: Iterable[StoredStub],
    wheelhouse: Wheelhouse,
    pages: NewPages,
) -> Edition:
    """Render the projects of `wheels`, which are all wheels of those that `changed`; the others are as in `start`.

    `stubs` are of the same projects.
    """
    marks = wheelhouse.records.marks()
    kept = {name: entry for name, entry in start.projects.items() if name not in changed}
    summaries = {name: start.summaries[name] for name in kept}
    beside: dict[str, list[StoredStub]] = {}
    for stub in stubs:
        beside.setdefault(stub.name, []).append(stub)
    blocks: dict[str, bytes] = {}
    for name, found in groupby(sorted(wheels, key=lambda wheel: wheel.name), key=lambda wheel: wheel.name):
        group = list(found)
        metadata = wheelhouse.metadata(newest(group)[1][0].filename)
        logs = {wheel.filename for wheel in group if wheelhouse.has_build_log(wheel.filename)}
        mark, extra = marks.get(name, UNMARKED), beside.get(name, [])
        rendering = render_project(name, group, mark, stubs=extra, metadata=metadata, logs=logs)
        files: dict[str, bytes] = {}
        for page, text in rendering.pages.items():
            files |= packing.packed(page, text.encode())
        blocks[name] = rendering.links.encode()
        kept[name] = Entry(pages=pages.add(files), links=len(blocks[name]))
        summaries[name] = dict(rendering.summary)
    projects, told = dict(sorted(kept.items())), dump_summaries(dict(sorted(summaries.items())))
    lists = {SUMMARIES: told}
    for page, text in list_pages(summaries).items():
        lists |= packing.packed(page, text.encode())
    manifest = Manifest(form=how_written(), projects=projects, summaries=sha256(told))
    return Edition(start=start, projects=projects, blocks=blocks, lists=lists, manifest=manifest.dump())


def write(edition: Edition, locks: Mapping[str, bytes], folder: Path) -> None:
    """Write it as a folder, flushed; the page folders are in place already."""
    files: dict[str, bytes | list[bytes | memoryview]] = {MANIFEST: edition.manifest, **edition.lists, **locks}
    files |= _flat_files(edition)
    targets = {name: target_of(entry.pages) for name, entry in edition.projects.items()}
    disk.make_links(folder / "simple", targets, edition.start.path and edition.start.path / "simple")
    for name, content in files.items():
        disk.create(folder / name, content)
    (folder / LOGS).symlink_to(_LOGS_TARGET)
    paths = [folder / name for name in files]
    disk.flush([*paths, *{path.parent for path in paths}])


def _flat_files(edition: Edition) -> dict[str, list[bytes | memoryview]]:
    """The flat page in parts, with its copies."""
    flat = list(_flat_page(edition))
    if sum(map(len, flat)) > packing.MAX_BYTES:
        return {LINKS: flat}
    return {name: [content] for name, content in packing.packed(LINKS, b"".join(flat)).items()}


def _flat_page(edition: Edition) -> Iterator[bytes | memoryview]:
    """The flat page in parts: lines that were rendered now, and runs of lines as the base has them."""
    yield _HEAD
    if edition.start.path is None:
        yield from (edition.blocks[name] for name in edition.projects)
    else:
        with (edition.start.path / LINKS).open("rb") as stream:
            page = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        places, place = {}, len(_HEAD)
        for name, entry in edition.start.projects.items():
            places[name], place = place, place + entry.links
        first = last = 0
        for name, entry in edition.projects.items():
            if name not in edition.blocks and places[name] == last:
                last += entry.links
                continue
            yield page[first:last]
            first = last = 0
            if name in edition.blocks:
                yield edition.blocks[name]
            else:
                first, last = places[name], places[name] + entry.links
        yield page[first:last]
    yield _TAIL
