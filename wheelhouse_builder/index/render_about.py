"""The page of one project for people: what there is of it, for which machines, and why to trust it.

Pure: the same wheels give the same page. The page lies at `simple/<project>/about.html`, beside what installers read.
"""

from __future__ import annotations

from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING
from urllib.parse import quote

from wheelhouse_builder.index.coverage import PYTHONS, Cell, Kept, Standing, coverage, newest, parsed, standing
from wheelhouse_builder.index.model import Status
from wheelhouse_builder.index.provenance import provenance
from wheelhouse_builder.index.summary import Summary, summary_of
from wheelhouse_builder.index.web_page import (
    BASE,
    Markup,
    escaped,
    fragment,
    hidden,
    moment,
    page,
    row,
    size_text,
    tag,
    text,
)
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

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
        _install(project.name, version) if version else "",
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


def _install(name: str, version: Version) -> Markup:
    return Markup(_install_frame().replace("\0", escaped(f"{name}=={version}")))


@cache
def _install_frame() -> Markup:
    """The lines that install a project, without its name and version."""
    base = tag("span", BASE, class_="base")
    lines = {
        "pip": text("pip install --index-url ", base, "/simple/ \0"),
        "pip, from the flat page": text("pip install --no-index --find-links ", base, "/links/index.html \0"),
        "uv": text("uv pip install --default-index ", base, "/simple/ \0"),
        "Dockerfile, from a folder": text(
            "RUN --mount=type=bind,source=wheelhouse,target=/wheelhouse \\\n"
            "    pip install --no-cache-dir --no-index --find-links /wheelhouse \0"
        ),
    }
    note = text(
        tag("span", tag("code", BASE), " is the address of this index. ", class_="unless-known"),
        text("Over plain ", tag("code", "http://"), " pip also wants ", tag("code", "--trusted-host HOST"), "."),
    )
    return tag(
        "section",
        tag("h2", "Install", id="install"),
        tag("dl", *(row(label, tag("pre", tag("code", line))) for label, line in lines.items()), class_="install"),
        tag("p", note, class_="quiet"),
        aria_labelledby="install",
    )


@cache
def _legend() -> Markup:
    entries = [text(tag("dt", _WORDS[which], class_=which), tag("dd", _MEANINGS[which])) for which in Standing]
    return tag("details", tag("summary", "What the table says"), tag("dl", *entries, class_="legend"), class_="help")


def _version(version: Version, wheels: Sequence[Kept], stub: Offered | None, logs: Container[str]) -> Markup:
    identifier = f"v{version}"
    reason = next((wheel.yanked for wheel in wheels if wheel.yanked is not None), None)
    first = min((wheel.published_at for wheel in wheels if wheel.published_at), default=None)
    told = f"{len(wheels)} wheel{'s' * (len(wheels) != 1)} · {size_text(sum(wheel.size for wheel in wheels))}"
    return text(
        "\n",
        tag(
            "section",
            tag("h3", str(version), _YANKED if reason is not None else "", id=identifier),
            tag("p", text(moment(first, "%Y-%m-%d"), " · ") if first else "", told, class_="quiet"),
            tag("p", tag("strong", "Yanked:"), " ", reason, class_="notice") if reason is not None else "",
            _matrix(version, coverage(wheels)),
            *[_wheel(wheel, logs) for wheel in wheels],
            _stub(stub) if stub else "",
            class_="version",
            aria_labelledby=identifier,
        ),
    )


def _stub(stub: Offered) -> Markup:
    link = tag("a", stub.filename, href=f"{_ROOT}{quote(stub.filename)}")
    told = "a stub: it holds no source, and installs one of these wheels or says which is missing"
    return text("\n", tag("p", link, " · ", told, class_="quiet", id=stub.filename))


def _matrix(version: Version, cells: Mapping[Target, Cell[Kept]]) -> Markup:
    rows = {arch: [_row_head(arch)] for arch in Arch}
    for target, cell in cells.items():
        rows[target.arch].append(_cell(cell) if cell.wheel else _EMPTY)
    caption = tag("caption", f"{version}: architectures and Python versions", class_="heard")
    body = tag("tbody", *(tag("tr", *found) for found in rows.values()))
    return tag("table", caption, _matrix_head(), body, class_="matrix")


@cache
def _matrix_head() -> Markup:
    pythons = [tag("th", hidden("Python "), f"{major}.{minor}", scope="col") for major, minor in PYTHONS]
    return tag("thead", tag("tr", tag("td", hidden("Architecture")), *pythons))


@cache
def _row_head(arch: Arch) -> Markup:
    return tag("th", arch.docker, scope="row")


def _cell(cell: Cell[Kept]) -> Markup:
    assert cell.wheel is not None
    said = _said(cell.standing, cell.method)
    return tag("td", tag("a", said, href=fragment(cell.wheel.filename)), class_=cell.standing)


@cache
def _said(which: Standing, method: str | None) -> Markup:
    how = {"qemu": "emulated"}.get(method or "", method)
    return text(_WORDS[which], text(" ", tag("small", how)) if how else "")


def _wheel(wheel: Kept, logs: Container[str]) -> Markup:
    build, seen, place = parsed(wheel.filename)[2], standing(wheel.verdicts), quote(wheel.filename)
    summary = tag(
        "summary",
        tag("span", wheel.filename, class_="file"),
        text(" ", tag("span", f"build {build[0]}{build[1]}", class_="badge plain")) if build else "",
        " ",
        tag("span", wheel.origin, class_="origin"),
        " ",
        tag("span", _WORDS[seen], class_=f"seen {seen}"),
        " ",
        tag("span", size_text(wheel.size), class_="size"),
    )
    link = tag("a", wheel.filename, href=f"{_ROOT}{place}")
    log = f"{_ROOT}browse/logs/{place}.log.gz" if wheel.filename in logs else None
    body = tag("div", tag("dl", *provenance(wheel, link=link, log=log)), id=wheel.filename, class_="body")
    return text("\n", tag("details", summary, body, class_="wheel"))
