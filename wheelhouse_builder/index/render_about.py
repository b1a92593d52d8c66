"""The page of one project for people: what there is of it, for which machines, and why to trust it.

Pure: the same wheels give the same page. The page lies at `simple/<project>/about.html`, beside what installers read.
"""

from __future__ import annotations

from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING
from urllib.parse import quote

from wheelhouse_builder.artifact import parse_wheel_name
from wheelhouse_builder.index.coverage import PYTHONS, Cell, Kept, Standing, coverage, newest, standing
from wheelhouse_builder.index.model import Status
from wheelhouse_builder.index.provenance import provenance
from wheelhouse_builder.index.summary import Summary, summary_of
from wheelhouse_builder.index.web_page import (
    BASE,
    Frame,
    Markup,
    hidden,
    hole,
    moment,
    page,
    row,
    size_text,
    tag,
    text,
)
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from packaging.version import Version

    from wheelhouse_builder.index.model import Mark, Project
    from wheelhouse_builder.index.wheels import Offered

_ROOT = "../../"
_YANKED = text(" ", tag("span", "yanked", class_="badge"))
_WORDS = {
    Standing.IMPORTED: "imported",
    Standing.LOADER: "loads",
    Standing.UNVERIFIED: "not verified",
    Standing.FAILED: "fails",
    Standing.MISSING: "missing",
}
_EMPTY = tag("td", _WORDS[Standing.MISSING], class_=Standing.MISSING)
_MEANINGS = {
    Standing.IMPORTED: "installed and imported on Alpine",
    Standing.LOADER: "the loader check passed: its files would load there; nothing ran",
    Standing.UNVERIFIED: "it installs there, and nobody has looked",
    Standing.FAILED: "a check found a problem",
    Standing.MISSING: "no wheel for it",
}
_STATUSES = {
    Status.ARCHIVED: "This project is archived: it is not expected to be updated.",
    Status.DEPRECATED: "This project is deprecated: something else should be used in its place.",
    Status.QUARANTINED: "This project is quarantined: it is held to be unsafe, and the index offers no file of it.",
}


def about_page(
    project: Project,
    wheels: Sequence[Kept],
    *,
    stubs: Sequence[Offered] = (),
    metadata: bytes | None = None,
    logs: Container[str] = (),
) -> str:
    """The page of a project; `wheels` and `stubs` are those behind `project.files`, in the same order.

    `metadata` is the METADATA of a wheel of its newest version (`coverage.newest`), `logs` names the wheels whose build
    log is kept.
    """
    version = newest(wheels)[0] if wheels else None
    by_version = [(number, list(group)) for number, group in groupby(wheels, key=lambda wheel: wheel.version)]
    beside = {stub.version: stub for stub in stubs}
    sections = [_version(number, group, beside.get(number), logs) for number, group in reversed(by_version)]
    versions = tag(
        "section", tag("h2", "Versions", id="versions"), _legend(), *sections, "\n", aria_labelledby="versions"
    )
    return page(
        f"{project.name} {version or ''}".rstrip(),
        _head(project.name, version, summary_of(metadata) if metadata else Summary()),
        _status(project.mark),
        _install().filled(pin=f"{project.name}=={version}") if version else "",
        versions if sections else tag("p", "There is no file of it."),
        "\n",
        root=_ROOT,
    )


def _head(name: str, version: Version | None, summary: Summary) -> Markup:
    links = [tag("li", tag("a", label, href=url, rel="noopener nofollow")) for label, url in summary.links]
    facts = [tag("li", summary.licence)] if summary.licence else []
    return text(
        tag("h1", name, *([" ", tag("span", str(version), class_="number")] if version else [])),
        "\n",
        tag("p", summary.text, class_="lead") if summary.text else "",
        tag("ul", *facts, *links, class_="facts") if facts or links else "",
        "\n",
    )


def _status(mark: Mark) -> Markup:
    if mark.status is Status.ACTIVE:
        return Markup()
    reason = f" Reason: {mark.reason}" if mark.reason else ""
    return tag("p", _STATUSES[mark.status], reason, class_="notice", role="note")


@cache
def _install() -> Frame:
    """The lines that install a project."""
    base, pin = tag("span", BASE, class_="base"), hole("pin")
    lines = {
        "pip": text("pip install --index-url ", base, "/simple/ ", pin),
        "pip, from the flat page": text("pip install --no-index --find-links ", base, "/links/index.html ", pin),
        "uv": text("uv pip install --default-index ", base, "/simple/ ", pin),
        "Dockerfile, from a folder": text(
            "RUN --mount=type=bind,source=wheelhouse,target=/wheelhouse \\\n"
            "    pip install --no-cache-dir --no-index --find-links /wheelhouse ",
            pin,
        ),
    }
    note = text(
        tag("span", tag("code", BASE), " is the address of this index. ", class_="unless-known"),
        text("Over plain ", tag("code", "http://"), " pip also wants ", tag("code", "--trusted-host HOST"), "."),
    )
    heading = tag("h2", "Install", id="install")
    listed = tag("dl", *(row(label, tag("pre", tag("code", line))) for label, line in lines.items()), class_="install")
    return Frame(tag("section", heading, listed, tag("p", note, class_="quiet"), aria_labelledby="install"))


@cache
def _legend() -> Markup:
    entries = [text(tag("dt", _WORDS[which], class_=which), tag("dd", _MEANINGS[which])) for which in Standing]
    return tag("details", tag("summary", "What the table says"), tag("dl", *entries, class_="legend"), class_="help")


def _version(version: Version, wheels: Sequence[Kept], stub: Offered | None, logs: Container[str]) -> Markup:
    reason = next((wheel.yanked for wheel in wheels if wheel.yanked is not None), None)
    first = min((wheel.published_at for wheel in wheels if wheel.published_at), default=None)
    rows: dict[str, list[Markup]] = {arch: [] for arch in Arch}
    for target, cell in coverage(wheels).items():
        rows[target.arch].append(_cell(cell) if cell.wheel else _EMPTY)
    return _version_frame().filled(
        version=str(version),
        badge=_YANKED if reason is not None else "",
        first=text(moment(first, "%Y-%m-%d"), " · ") if first else "",
        count=f"{len(wheels)} wheel{'s' * (len(wheels) != 1)}",
        size=size_text(sum(wheel.size for wheel in wheels)),
        notice=tag("p", tag("strong", "Yanked:"), " ", reason, class_="notice") if reason is not None else "",
        wheels=text(*[_wheel(wheel, logs) for wheel in wheels]),
        stub=_stub(stub) if stub else "",
        **{arch: text(*cells) for arch, cells in rows.items()},
    )


@cache
def _version_frame() -> Frame:
    """One version: its matrix, with a row of cells for each architecture, and its wheels."""
    version = hole("version")
    head = tag("h3", version, hole("badge"), id=f"v{version}")
    told = tag("p", hole("first"), hole("count"), " · ", hole("size"), class_="quiet")
    caption = tag("caption", version, ": architectures and Python versions", class_="heard")
    pythons = [tag("th", hidden("Python "), f"{major}.{minor}", scope="col") for major, minor in PYTHONS]
    columns = tag("thead", tag("tr", tag("td", hidden("Architecture")), *pythons))
    rows = [tag("tr", tag("th", arch.docker, scope="row"), hole(arch)) for arch in Arch]
    matrix = tag("table", caption, columns, tag("tbody", *rows), class_="matrix")
    content = (head, told, hole("notice"), matrix, hole("wheels"), hole("stub"))
    return Frame("\n", tag("section", *content, class_="version", aria_labelledby=f"v{version}"))


def _stub(stub: Offered) -> Markup:
    link = tag("a", stub.filename, href=f"{_ROOT}{quote(stub.filename)}")
    told = "a stub: it holds no source, and installs one of these wheels or says which is missing"
    return text("\n", tag("p", link, " · ", told, class_="quiet", id=stub.filename))


def _cell(cell: Cell[Kept]) -> Markup:
    assert cell.wheel is not None
    return _cell_frame(cell.standing, cell.method).filled(place=quote(cell.wheel.filename))


@cache
def _cell_frame(which: Standing, method: str | None) -> Frame:
    how = {"qemu": "emulated"}.get(method or "", method)
    said = text(_WORDS[which], text(" ", tag("small", how)) if how else "")
    return Frame(tag("td", tag("a", said, href=f"#{hole('place')}"), class_=which))


def _wheel(wheel: Kept, logs: Container[str]) -> Markup:
    build, place = parse_wheel_name(wheel.filename)[2], quote(wheel.filename)
    log = f"{_ROOT}browse/logs/{place}.log.gz" if wheel.filename in logs else None
    return _wheel_frame().filled(
        file=wheel.filename,
        badge=text(" ", tag("span", f"build {build[0]}{build[1]}", class_="badge plain")) if build else "",
        origin=wheel.origin,
        seen=_seen(standing(wheel.verdicts)),
        size=size_text(wheel.size),
        rows=text(*provenance(wheel, url=f"{_ROOT}{place}", log=log)),
    )


@cache
def _wheel_frame() -> Frame:
    summary = tag(
        "summary",
        tag("span", hole("file"), class_="file"),
        hole("badge"),
        " ",
        tag("span", hole("origin"), class_="origin"),
        " ",
        hole("seen"),
        " ",
        tag("span", hole("size"), class_="size"),
    )
    body = tag("div", tag("dl", hole("rows")), id=hole("file"), class_="body")
    return Frame("\n", tag("details", summary, body, class_="wheel"))


@cache
def _seen(which: Standing) -> Markup:
    return tag("span", _WORDS[which], class_=f"seen {which}")
