"""From the wheels of a wheelhouse to the files of its index. Pure: values in, texts out."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from packaging.utils import canonicalize_name, parse_wheel_filename

from wheelhouse_builder.index import render_html, render_json
from wheelhouse_builder.index.model import File, Project

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from packaging.utils import NormalizedName
    from packaging.version import Version


_SAMPLE = Project(
    name=canonicalize_name("sample"),
    files=(
        File(
            filename="sample-1-py3-none-any.whl",
            url="url",
            sha256="hash",
            size=1,
            requires_python="python",
            metadata_sha256="metadata",
            upload_time=datetime(2026, 1, 1, tzinfo=UTC),
            yanked="reason",
        ),
    ),
)


class Published(Protocol):
    """What the index tells of a wheel (`wheelhouse.records.StoredWheel`)."""

    @property
    def filename(self) -> str: ...
    @property
    def name(self) -> NormalizedName: ...
    @property
    def version(self) -> Version: ...
    @property
    def sha256(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def requires_python(self) -> str | None: ...
    @property
    def metadata_sha256(self) -> str: ...
    @property
    def published_at(self) -> datetime | None: ...
    @property
    def yanked(self) -> str | None: ...


def fingerprints(wheels: Iterable[Published]) -> dict[NormalizedName, str]:
    """For each project what its pages depend on, as a hash: what it knows of its wheels, and how pages are written."""
    facts: dict[NormalizedName, list[tuple[object, ...]]] = {}
    for wheel in sorted(wheels, key=lambda wheel: wheel.filename):
        known = (wheel.filename, wheel.sha256, wheel.size, wheel.requires_python, wheel.metadata_sha256)
        facts.setdefault(wheel.name, []).append((*known, str(wheel.published_at), wheel.yanked))
    form = repr((render_html.project_page(_SAMPLE), render_json.project_page(_SAMPLE)))
    return {name: hashlib.sha256(repr((form, found)).encode()).hexdigest() for name, found in facts.items()}


def project_pages(name: str) -> tuple[str, str]:
    """Where the pages of a project are, HTML and JSON."""
    return f"simple/{name}/index.html", f"simple/{name}/index.v1_json"


def index_files(wheels: Iterable[Published], without: Container[str] = ()) -> dict[str, str]:
    """The pages of the index of these wheels, by relative path.

    `simple/index.html` and `simple/<project>/index.html`, beside each the JSON form as `index.v1_json` (the name that
    bandersnatch's web server recipes look for), and `links/index.html`, one flat page. The wheels are expected beside
    `simple` and `links`. Equal wheels give equal pages. Of the projects `without` only the entries on the pages of all.
    """
    ordered = sorted(wheels, key=lambda wheel: (wheel.name, wheel.version, wheel.filename))
    projects = [
        Project(name=name, files=tuple(file_of(wheel, "../../") for wheel in group))
        for name, group in groupby(ordered, key=lambda wheel: wheel.name)
        if name not in without
    ]
    names = list(dict.fromkeys(wheel.name for wheel in ordered))
    pages = {
        "simple/index.html": render_html.project_list(names),
        "simple/index.v1_json": render_json.project_list(names),
        "links/index.html": render_html.links_page(file_of(wheel, "../") for wheel in ordered),
    }
    for project in projects:
        html, json = project_pages(project.name)
        pages |= {html: render_html.project_page(project), json: render_json.project_page(project)}
    return pages


def file_of(wheel: Published, prefix: str) -> File:
    """The wheel as a file of the index; `prefix` leads from the page to the wheels."""
    parse_wheel_filename(wheel.filename)  # what is no wheel's name gets into no page
    return File(
        filename=wheel.filename,
        url=prefix + quote(wheel.filename),
        sha256=wheel.sha256,
        size=wheel.size,
        requires_python=wheel.requires_python,
        metadata_sha256=wheel.metadata_sha256,
        upload_time=wheel.published_at,
        yanked=wheel.yanked,
    )
