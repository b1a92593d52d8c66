"""The page of one project for people: what there is of it, for which machines, and why to trust it.

Pure: the same wheels give the same page. The page lies at `simple/<project>/about.html`, beside what installers read.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING
from urllib.parse import quote

from packaging.utils import parse_wheel_filename

from wheelhouse_builder.index.coverage import PYTHONS, Cell, Kept, Standing, coverage, newest, standing
from wheelhouse_builder.index.model import Status
from wheelhouse_builder.index.provenance import provenance
from wheelhouse_builder.index.summary import Summary, summary_of
from wheelhouse_builder.index.web_page import BASE, DASH, Markup, fragment, hidden, moment, page, size_text, tag, text
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from packaging.version import Version

    from wheelhouse_builder.index.model import Mark, Project

_ROOT = "../../"
_SYMBOLS = {
    Standing.IMPORTED: "✓",
    Standing.LOADER: "◐",
    Standing.UNVERIFIED: "○",
    Standing.FAILED: "✕",
    Standing.MISSING: DASH,
}
_WORDS = {
    Standing.IMPORTED: "imported",
    Standing.LOADER: "loads",
    Standing.UNVERIFIED: "not verified",
    Standing.FAILED: "fails",
    Standing.MISSING: "missing",
}
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
    project: Project, wheels: Sequence[Kept], *, metadata: bytes | None = None, logs: Container[str] = ()
) -> str:
    """The page of a project; `wheels` are those behind `project.files`, in the same order.

    `metadata` is the METADATA of a wheel of its newest version (`coverage.newest`), `logs` names the wheels whose build
    log is kept.
    """
    version = newest(wheels)[0] if wheels else None
    by_version = [(number, list(group)) for number, group in groupby(wheels, key=lambda wheel: wheel.version)]
    sections = [_version(number, group, logs) for number, group in reversed(by_version)]
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
    pin = f"{name}=={version}"
    base = tag("span", BASE, class_="base")
    lines = {
        "pip": text("pip install --index-url ", base, f"/simple/ {pin}"),
        "pip, from the flat page": text("pip install --no-index --find-links ", base, f"/links/index.html {pin}"),
        "uv": text("uv pip install --default-index ", base, f"/simple/ {pin}"),
        "Dockerfile, from a folder": text(
            "RUN --mount=type=bind,source=wheelhouse,target=/wheelhouse \\\n"
            f"    pip install --no-cache-dir --no-index --find-links /wheelhouse {pin}"
        ),
    }
    shown = [text(tag("dt", label), tag("dd", tag("pre", tag("code", line)))) for label, line in lines.items()]
    note = text(
        tag(
            "span", tag("code", BASE), " is the address of this index with a slash at its end. ", class_="unless-known"
        ),
        "Over plain ",
        tag("code", "http://"),
        " pip also wants ",
        tag("code", "--trusted-host HOST"),
        ".",
    )
    return tag(
        "section",
        tag("h2", "Install", id="install"),
        tag("dl", *shown, class_="install"),
        tag("p", note, class_="quiet"),
        aria_labelledby="install",
    )


def _legend() -> Markup:
    entries = [
        text(tag("dt", _mark(which), " ", _WORDS[which], class_=which), tag("dd", _MEANINGS[which]))
        for which in Standing
    ]
    legend = tag("dl", *entries, class_="legend")
    return tag("details", tag("summary", "What the table says"), legend, class_="help")


def _mark(which: Standing) -> Markup:
    return tag("span", _SYMBOLS[which], class_="mark", aria_hidden="true")


def _version(version: Version, wheels: Sequence[Kept], logs: Container[str]) -> Markup:
    identifier = f"v{version}"
    reason = next((wheel.yanked for wheel in wheels if wheel.yanked is not None), None)
    badge = [" ", tag("span", "yanked", class_="badge")] if reason is not None else []
    first = min((wheel.published_at for wheel in wheels if wheel.published_at), default=None)
    told = [
        *([moment(first, "%Y-%m-%d")] if first else []),
        text(f"{len(wheels)} wheel{'s' * (len(wheels) != 1)}"),
        text(size_text(sum(wheel.size for wheel in wheels))),
    ]
    return text(
        "\n",
        tag(
            "section",
            tag("h3", str(version), *badge, id=identifier),
            tag("p", *_joined(told), class_="quiet"),
            tag("p", tag("strong", "Yanked:"), " ", reason, class_="notice") if reason is not None else "",
            _matrix(version, coverage(wheels)),
            *[_wheel(wheel, logs) for wheel in wheels],
            class_="version",
            aria_labelledby=identifier,
        ),
    )


def _joined(parts: Iterable[Markup]) -> Iterable[Markup]:
    for number, part in enumerate(parts):
        yield text(" · ", part) if number else part


def _matrix(version: Version, cells: Mapping[Target, Cell[Kept]]) -> Markup:
    pythons = [tag("th", hidden("Python "), f"{major}.{minor}", scope="col") for major, minor in PYTHONS]
    head = tag("thead", tag("tr", tag("td", hidden("Architecture")), *pythons))
    rows = []
    for arch in Arch:
        found = [_cell(cell) for target, cell in cells.items() if target.arch is arch]
        rows.append(tag("tr", tag("th", arch.docker, scope="row"), *found))
    caption = tag("caption", f"{version}: architectures and Python versions", class_="heard")
    return tag("table", caption, head, tag("tbody", *rows), class_="matrix")


def _cell(cell: Cell[Kept]) -> Markup:
    said = text(_mark(cell.standing), " ", tag("span", _WORDS[cell.standing], class_="word"))
    how = {"qemu": "emulated"}.get(cell.method or "", cell.method)
    if how:
        said = text(said, " ", tag("small", how))
    if cell.wheel is not None:
        said = tag("a", said, href=fragment(cell.wheel.filename))
    return tag("td", said, class_=cell.standing)


def _wheel(wheel: Kept, logs: Container[str]) -> Markup:
    _, _, build, _ = parse_wheel_filename(wheel.filename)
    seen = standing(wheel.verdicts)
    summary = tag(
        "summary",
        tag("span", wheel.filename, class_="file"),
        " ",
        tag("span", f"build {build[0]}{build[1]}", class_="badge plain") if build else "",
        " ",
        tag("span", wheel.origin, class_="origin"),
        " ",
        tag("span", _mark(seen), " ", _WORDS[seen], class_=f"seen {seen}"),
        " ",
        tag("span", size_text(wheel.size), class_="size"),
    )
    link = tag("a", wheel.filename, href=f"{_ROOT}{quote(wheel.filename)}")
    log = f"{_ROOT}browse/logs/{quote(wheel.filename)}.log.gz" if wheel.filename in logs else None
    told = [text(tag("dt", label), tag("dd", *values)) for label, values in provenance(wheel, link=link, log=log)]
    body = tag("div", tag("dl", *told), id=wheel.filename, class_="body")
    return text("\n", tag("details", summary, body, class_="wheel"))
