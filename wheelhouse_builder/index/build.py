"""From the wheels of a project to its pages, and from all projects to the pages of all. Pure: values in, texts out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import wheelhouse_builder
from wheelhouse_builder.artifact import parse_wheel_name, project_in
from wheelhouse_builder.index import render_about, render_browse, render_html, render_json
from wheelhouse_builder.index.model import UNMARKED, File, Mark, Project, Status

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from wheelhouse_builder.index.coverage import Kept
    from wheelhouse_builder.index.wheels import Offered, Published

PAGES = ("index.html", "index.v1_json", "about.html")  # of a project


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """A project as the index shows it."""

    pages: Mapping[str, str]  # by the name of the file in `simple/<project>/`
    links: str  # its lines on the flat page
    summary: Mapping[str, Any]  # its part of the list for people


def render_project(
    name: NormalizedName,
    wheels: Iterable[Kept],
    mark: Mark = UNMARKED,
    *,
    stubs: Iterable[Offered] = (),
    metadata: bytes | None = None,
    logs: Container[str] = (),
) -> Rendering:
    """The pages of one project; equal wheels give equal pages.

    `index.html`, beside it the JSON form as `index.v1_json` (the name that bandersnatch's web server recipes look for),
    and `about.html` for people. Files are expected beside `simple` and `links`. A quarantined project offers none.
    `stubs` are of versions that have wheels.
    For the page for people, `metadata` is the METADATA of a wheel of its newest version, `logs` names the wheels whose
    build log is kept.
    """
    shown = [] if mark.status is Status.QUARANTINED else sorted(wheels, key=_place)
    beside = [] if mark.status is Status.QUARANTINED else sorted(stubs, key=_place)
    files = [*map(file_of, shown), *map(stub_file, beside)]
    project = Project(name=name, files=tuple(files), mark=mark)
    lines = [render_html.file_link(file) for file in project.files]
    return Rendering(
        pages={
            "index.html": render_html.project_page(project, lines),
            "index.v1_json": render_json.project_page(project),
            "about.html": render_about.about_page(project, shown, stubs=beside, metadata=metadata, logs=logs),
        },
        links=render_html.links_block(lines),
        summary=render_browse.summary(project, shown, metadata=metadata),
    )


def list_pages(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The pages that list all projects and what pages for people share, by relative path; `summaries` by name."""
    ordered = dict(sorted(summaries.items()))
    return {
        "simple/index.html": render_html.project_list(ordered),
        "simple/index.v1_json": render_json.project_list(ordered),
        "browse/index.html": render_browse.browse_page(ordered),
        **render_browse.assets(),
    }


@cache
def form() -> str:
    """A hash that changes when pages are written in another way: of the text of the modules that write them."""
    folder = resources.files("wheelhouse_builder.index")
    sources = sorted((item.name, item.read_bytes()) for item in folder.iterdir() if item.name.endswith(".py"))
    return hashlib.sha256(repr((wheelhouse_builder.__version__, sources)).encode()).hexdigest()


def _place(offered: Offered) -> tuple[Version, str]:
    return offered.version, offered.filename


def stub_file(stub: Offered) -> File:
    """The stub as a file on the page of its project."""
    project_in(stub.filename)
    return File(
        filename=stub.filename,
        url=f"../../{quote(stub.filename)}",
        sha256=stub.sha256,
        size=stub.size,
        requires_python=stub.requires_python,
        upload_time=stub.published_at,
        yanked=stub.yanked,
    )


def file_of(wheel: Published) -> File:
    """The wheel as a file on the page of its project."""
    parse_wheel_name(wheel.filename)  # what is no wheel's name gets into no page
    return File(
        filename=wheel.filename,
        url=f"../../{quote(wheel.filename)}",
        sha256=wheel.sha256,
        size=wheel.size,
        requires_python=wheel.requires_python,
        metadata_sha256=wheel.metadata_sha256,
        upload_time=wheel.published_at,
        yanked=wheel.yanked,
        project_keys=tuple(wheel.project_keys),
    )
