"""One defect for each check of an index over HTTP: what it does to the conforming index, and what else it breaks."""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import re
import zipfile
from typing import TYPE_CHECKING, Any

from tests.conforming import BASE, HTML, JSON, TEXT, Answer, Index
from wheelhouse_builder.conformance.vectors import VECTORS

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

WHEEL = "demo-1.0-py3-none-any.whl"
Defect = tuple["Callable[[Index], object]", frozenset[str]]


def page(old: str, new: str, *, project: str | None = "demo") -> Callable[[Index], object]:
    """Other HTML on one page (None: on all)."""

    def rewrite(name: str, text: str) -> str:
        if project not in {None, name}:
            return text
        assert old in text, text
        return text.replace(old, new)

    return lambda index: index.rewrite.append(rewrite)


def matched(old: str, new: str, *, project: str = "demo", count: int = 1) -> Callable[[Index], object]:
    """Other HTML, by a regular expression, in its first places on one page."""
    return lambda index: index.rewrite.append(
        lambda name, text: re.sub(old, new, text, count=count) if name == project else text
    )


def document(change: Callable[[dict[str, Any]], object], name: str = "demo") -> Callable[[Index], object]:
    """Other JSON on one page, and HTML as it was."""

    def apply(index: Index) -> None:
        index.pages[name] = copy.deepcopy(index.documents[name])
        change(index.documents[name])

    return apply


def told(change: Callable[[dict[str, Any]], object], name: str = "demo") -> Callable[[Index], object]:
    """Another statement about the first file, in JSON."""
    return document(lambda page: change(page["files"][0]), name)


def sent(
    change: Callable[[Answer], object], when: Callable[[httpx.Request], bool] = lambda _: True
) -> Callable[[Index], object]:
    """Other answers to the questions `when` says."""

    def answer(request: httpx.Request, answer: Answer) -> None:
        if when(request):
            change(answer)

    return lambda index: index.change.append(answer)


def replaced(answer: Answer) -> Callable[[Answer], object]:
    """This answer in the place of the right one."""
    return lambda old: old.__dict__.update(answer.__dict__)


def header(name: str, value: str | None) -> Callable[[Answer], object]:
    """Another header, or none."""
    return lambda answer: answer.headers.pop(name, None) if value is None else answer.headers.update({name: value})


def is_page(request: httpx.Request) -> bool:
    return request.url.path.startswith("/simple") and request.url.path.endswith("/")


def is_file(request: httpx.Request) -> bool:
    return request.url.path.endswith(".whl")


def asks(name: str, value: str | None = None) -> Callable[[httpx.Request], bool]:
    """Whether the request has a header."""
    return lambda request: name in request.headers and value in {None, request.headers[name]}


def both(*tests: Callable[[httpx.Request], bool]) -> Callable[[httpx.Request], bool]:
    return lambda request: all(test(request) for test in tests)


def _evil(request: httpx.Request) -> bool:
    return request.url.path == "/simple/evil/"


def _has_one_tag(request: httpx.Request) -> bool:
    return "if-none-match" in request.headers and "," not in request.headers["if-none-match"]


def _head(request: httpx.Request) -> bool:
    return request.method == "HEAD"


def _status(status: int) -> Callable[[Answer], object]:
    return replaced(Answer(status))


def _whole(index: Index) -> Callable[[Answer], object]:
    return replaced(Answer(200, {"etag": '"x"'}, index.files[WHEEL]))


def _other_content(index: Index, **change: str) -> None:
    """The wheel with something else in METADATA; whatever tells of it is right."""
    with zipfile.ZipFile(io.BytesIO(index.files[WHEEL])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith("METADATA"))
    for old, new in change.items():
        members[name] = members[name].replace(f"{old}: ".encode(), f"{new}\nX-Old: ".encode())
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    index.files |= {WHEEL: output.getvalue(), f"{WHEEL}.metadata": members[name]}
    file = index.documents["demo"]["files"][0]
    file["hashes"] = {"sha256": hashlib.sha256(output.getvalue()).hexdigest()}
    file["size"] = len(output.getvalue())
    file["core-metadata"] = {"sha256": hashlib.sha256(members[name]).hexdigest()}


def _damaged(index: Index) -> None:
    index.files[WHEEL] = b"no zip file"
    file = index.documents["demo"]["files"][0]
    file |= {"hashes": {"sha256": hashlib.sha256(b"no zip file").hexdigest()}, "size": 11}


def _renamed(old: str, new: str) -> Callable[[Index], object]:
    """A file under another name, everywhere."""

    def apply(index: Index) -> None:
        for name in [name for name in index.files if name.startswith(old)]:
            index.files[name.replace(old, new)] = index.files.pop(name)
        for file in index.documents["demo"]["files"]:
            if file["filename"] == old:
                file |= {"filename": new, "url": f"../../{new}"}

    return apply


def _without_metadata(index: Index) -> None:
    for page_of in index.documents.values():
        for file in page_of.get("files", ()):
            file.pop("core-metadata", None)


def _broken_gzip(answer: Answer) -> None:
    if answer.body:
        answer.body = gzip.compress(b"something else", mtime=0)
        answer.headers["content-length"] = str(len(answer.body))


def _unpacked(answer: Answer) -> None:
    if answer.headers.pop("content-encoding", None) and answer.body:
        answer.body = gzip.decompress(answer.body)
        answer.headers["content-length"] = str(len(answer.body))


def _silent_on_python(index: Index) -> None:
    index.documents["other-thing"]["files"][0].pop("requires-python")


def _upper_case_hash(index: Index) -> None:
    file = index.documents["demo"]["files"][0]
    file["hashes"]["SHA512"] = hashlib.sha512(index.files[file["filename"]]).hexdigest()


def _no_json(index: Index) -> None:
    """The server knows HTML only."""

    def answer(request: httpx.Request, answer: Answer) -> None:
        if is_page(request) and answer.headers.get("content-type") == JSON:
            request.headers["accept"] = TEXT
            answer.__dict__.update(index._answer(request).__dict__)

    index.change.append(answer)


def _no_html(index: Index) -> None:
    def answer(request: httpx.Request, answer: Answer) -> None:
        if is_page(request) and answer.headers.get("content-type") in {HTML, TEXT}:
            request.headers["accept"] = JSON
            request.url = request.url.copy_with(query=None)
            answer.__dict__.update(index._answer(request).__dict__)

    index.change.append(answer)


def _vector_defects() -> dict[str, Callable[[Index], object]]:
    wrong = {"unknown": 300, "malformed": 500, "any": 500, "none": 500}
    types = {"json": TEXT, "text": JSON, "html": JSON}

    def when(accept: str | None) -> Callable[[httpx.Request], bool]:
        return lambda request: is_page(request) and not request.url.query and request.headers.get("accept") == accept

    found = {}
    for vector in VECTORS:
        first = "json" if "json" in vector.allowed else "text"
        change = _status(wrong[vector.name]) if vector.name in wrong else header("content-type", types[first])
        found[f"negotiation.{vector.name}"] = sent(
            change, both(when(vector.accept), lambda r: "range" not in r.headers)
        )
    return found


def _other_sidecar(index: Index) -> None:
    index.files[f"{WHEEL}.metadata"] = sidecar = index.files[f"{WHEEL}.metadata"] + b"\n"
    index.documents["demo"]["files"][0]["core-metadata"] = {"sha256": hashlib.sha256(sidecar).hexdigest()}


_FILE = {
    "filename": "demo-1.0.zip",
    "url": None,
    "hashes": {"sha256": "0" * 64},
    "size": 0,
    "upload-time": "2026-11-24T12:00:00Z",
}
_FIRST = f">{WHEEL}<"
_PYTHON = 'data-requires-python="&gt;=3.8,&lt;4"'
_MUTATIONS: dict[str, Callable[[Index], object]] = {
    "html.doctype": page("<!DOCTYPE html>", ""),
    "html.valid": page("<body>", '<body><p class="a" class="b">'),
    "html.version": page("pypi:repository-version", "other", project="other-thing"),
    "html.version.form": page('content="1.4"', 'content="1.4.0"', project="other-thing"),
    "html.version.frozen": page('content="1.4"', 'content="1.5"', project="other-thing"),
    "html.list.unique": page("<body>", '<body><a href="demo/">demo</a>', project=""),
    "html.list.text": page(">demo<", ">Demo project<", project=""),
    "html.list.url": page('"demo/"', '"demo"', project=""),
    "html.files.unique": matched(r"(<a .*?</a>)", r"\1\1"),
    "html.files.text": page(_FIRST, ">the wheel<"),
    "html.files.hash": lambda index: index.rewrite.append(lambda name, text: text.replace("#sha256=", "?x=")),
    "html.files.hash.form": page("#sha256=", "#sha256=0"),
    "html.files.hash.algorithm": page("#sha256=", "#sha257="),
    "html.files.hash.secure": matched("#sha256=.{32}.{32}", "#md5=" + "0" * 32),
    "html.files.requires-python.escaped": page(_PYTHON, 'data-requires-python=">=3.8,<4"'),
    "html.files.requires-python": page(_PYTHON, 'data-requires-python="three"'),
    "html.files.core-metadata": page('data-dist-info-metadata="sha256', 'data-dist-info-metadata="md5'),
    "html.files.core-metadata.value": page('metadata="sha256=', 'metadata="sha256:'),
    "html.files.core-metadata.hash": matched(r'-metadata="sha256=[0-9a-f]+"', '-metadata="true"', count=2),
    "html.files.gpg-sig": page('data-gpg-sig="true"', 'data-gpg-sig="yes"'),
    "html.files.gpg-sig.all": page(' data-gpg-sig="true"', ""),
    "html.files.provenance": page('data-provenance="https://index.test', 'data-provenance="'),
    "html.status": page('content="active"', 'content="alive"'),
    "html.status.version": page('content="1.4"', 'content="1.3"'),
    "html.status.quarantined": page(
        "<body>",
        f'<body><a href="../../evil-6.6.zip#sha256={"0" * 64}" data-upload-time="">evil-6.6.zip</a>',
        project="evil",
    ),
    "json.object": sent(
        lambda answer: setattr(answer, "body", gzip.compress(b"[]")), both(_evil, asks("accept", JSON))
    ),
    "json.api-version": document(lambda page: page["meta"].update({"api-version": 1.4})),
    "json.api-version.features": document(lambda page: page.update({"namespaces": []})),
    "json.rejected": document(lambda page: page["meta"].update({"tracks": []})),
    "json.list": document(lambda page: page["projects"].append({"id": 7}), ""),
    "json.list.unique": document(lambda page: page["projects"].append({"name": "DEMO"}), ""),
    "json.name": document(lambda page: page.update({"name": "Demo"})),
    "json.files": document(lambda page: page["files"].append("demo-1.0.zip")),
    "json.files.unique": document(lambda page: page["files"].append(page["files"][0])),
    "json.files.filename": document(lambda page: page["files"].append(_FILE)),
    "json.files.hashes": told(lambda file: file["hashes"].update({"sha512": 512})),
    "json.files.hashes.lowercase": _upper_case_hash,
    "json.files.hashes.secure": told(lambda file: file.update({"hashes": {}})),
    "json.files.requires-python": told(lambda file: file.update({"requires-python": "three"})),
    "json.files.core-metadata": told(lambda file: file.update({"core-metadata": "yes"})),
    "json.files.core-metadata.name": told(lambda file: file.update({"dist-info-metadata": file.pop("core-metadata")})),
    "json.files.core-metadata.hash": told(lambda file: file.update({"core-metadata": True})),
    "json.files.dist-info-metadata": told(lambda file: file.update({"dist-info-metadata": True})),
    "json.files.gpg-sig": told(lambda file: file.update({"gpg-sig": "true"})),
    "json.files.yanked": told(lambda file: file.update({"yanked": ""})),
    "json.files.size": told(lambda file: file.pop("size")),
    "json.files.upload-time": told(lambda file: file.update({"upload-time": "2026-11-24T12:00:00+00:00"})),
    "json.files.upload-time.there": told(lambda file: file.pop("upload-time")),
    "json.files.provenance": told(lambda file: file.update({"provenance": "demo.provenance"})),
    "json.versions": document(lambda page: page["versions"].append("1.0")),
    "json.versions.files": document(lambda page: page.update({"versions": ["1.1"]})),
    "json.versions.normalised": document(lambda page: page["versions"].append("1.2-alpha")),
    "json.status": document(lambda page: page["meta"].update({"project-status": page.pop("project-status")["status"]})),
    "json.status.quarantined": document(
        lambda page: page["files"].append({**_FILE, "filename": "evil-6.6.zip"}), "evil"
    ),
    "both.json": _no_json,
    "both.html": _no_html,
    "both.pages": lambda index: index.documents[""]["projects"].append({"name": "lost"}),
    "both.list": document(lambda page: page["projects"].pop(1), ""),
    "both.files": document(lambda page: page["files"].pop()),
    "both.hashes": matched("#sha256=.{64}", "#sha256=" + "0" * 64),
    "both.yanked": page("data-yanked", "data-other"),
    "both.requires-python": page(_PYTHON, ""),
    "both.core-metadata": matched(
        '-metadata="sha256=.{64}', '-metadata="sha256=' + "0" * 64, project="other-thing", count=2
    ),
    "both.status": page('content="active"', 'content="archived"'),
    "both.version": page('content="1.4"', 'content="1.2"', project="other-thing"),
    **_vector_defects(),
    "negotiation.latest": sent(
        header("content-type", JSON.replace("v1", "latest")), asks("accept", JSON.replace("v1", "latest"))
    ),
    "negotiation.absent": sent(header("content-type", HTML), lambda request: "accept" not in request.headers),
    "negotiation.format": sent(
        header("content-type", TEXT), both(asks("accept", TEXT), lambda request: bool(request.url.query))
    ),
    "http.content-type": sent(header("content-type", "application/json"), both(_evil, asks("accept", JSON))),
    "http.slash": sent(
        _status(404),
        lambda request: (
            not request.url.path.endswith("/") and "demo" not in request.url.path[8:] and "." not in request.url.path
        ),
    ),
    "http.unnormalised": sent(_status(500), lambda request: request.url.path.lower() != request.url.path),
    "http.unknown": sent(
        replaced(Answer(302, {"location": "https://elsewhere.test/"})), lambda request: "no-such" in request.url.path
    ),
    "http.vary": sent(header("vary", "Accept-Encoding"), is_page),
    "http.vary.encoding": sent(header("vary", "Accept"), is_page),
    "http.cache-control": sent(header("cache-control", None), is_page),
    "http.encoding": sent(_broken_gzip, both(is_page, asks("accept", JSON), asks("accept-encoding", "gzip"))),
    "http.encoding.refused": sent(
        header("content-encoding", "identity, gzip"), asks("accept-encoding", "gzip;q=0, zstd;q=0, identity")
    ),
    "http.encoding.gzip": sent(_unpacked, is_page),
    "http.head": sent(_status(405), both(is_page, _head)),
    "http.head.body": sent(lambda answer: setattr(answer, "body", b"body"), both(is_page, _head)),
    "http.head.length": sent(header("content-length", "7"), both(is_page, _head)),
    "http.date": sent(header("date", None)),
    "http.etag": sent(header("etag", None), is_page),
    "http.etag.encoding": lambda index: setattr(index, "tagged_by", ("content-type",)),
    "http.etag.format": lambda index: setattr(index, "tagged_by", ("content-encoding",)),
    "http.304": sent(
        _status(200), both(is_page, _has_one_tag, lambda request: "accept-encoding" not in request.headers)
    ),
    "http.304.list": sent(_status(200), both(is_page, lambda request: "," in request.headers.get("if-none-match", ""))),
    "http.304.encoded": sent(_status(200), both(is_page, asks("if-none-match"), asks("accept-encoding"))),
    "http.304.headers": sent(header("etag", None), both(is_page, asks("if-none-match"))),
    "http.304.mismatch": sent(_status(304), both(is_page, asks("if-none-match", '"whb-no-such-tag"'))),
    "http.304.since": sent(_status(200), both(is_page, asks("if-modified-since"))),
    "files.name": _renamed("demo-1.0.tar.gz", "demo-one.tar.gz"),
    "files.project": _renamed("demo-1.0.tar.gz", "demon-1.0.tar.gz"),
    "files.platform": _renamed(
        "demo-1.1-cp312-cp312-musllinux_1_2_aarch64.whl", "demo-1.1-cp312-cp312-linux_aarch64.whl"
    ),
    "files.metadata.advertised": _without_metadata,
    "files.found": lambda index: index.files.pop("demo-1.0.tar.gz"),
    "files.hash": lambda index: index.files.update({"demo-1.0.tar.gz": index.files["demo-1.0.tar.gz"][::-1]}),
    "files.size": told(lambda file: file.update({"size": file["size"] + 1})),
    "files.wheel": _damaged,
    "files.identity": lambda index: _other_content(index, Name="Name: another"),
    "files.requires-python.told": _silent_on_python,
    "files.requires-python": lambda index: _other_content(index, **{"Requires-Python": "Requires-Python: >=3.9"}),
    "files.metadata": lambda index: index.files.pop(f"{WHEEL}.metadata"),
    "files.metadata.hash": lambda index: index.documents["demo"]["files"][0].update(
        {"core-metadata": {"sha256": "0" * 64}}
    ),
    "files.metadata.same": _other_sidecar,
    "files.signature": lambda index: index.files.pop(f"{WHEEL}.asc"),
    "files.provenance": lambda index: index.files.update({f"{WHEEL}.provenance": b"{}"}),
    "files.length": sent(header("content-length", None), is_file),
    "files.validator": sent(
        lambda answer: [answer.headers.pop(name, None) for name in ("etag", "last-modified")], is_file
    ),
    "files.304": sent(_status(200), both(is_file, asks("if-none-match"))),
    "files.cache-control": sent(header("cache-control", None), is_file),
    "files.disposition": sent(header("content-disposition", 'attachment; filename="x.whl"'), is_file),
    "files.encoding": sent(header("content-encoding", "gzip"), both(is_file, asks("accept-encoding", "gzip"))),
    "files.head": sent(_status(405), both(is_file, _head, asks("accept-encoding", "identity"))),
    "files.ranges": lambda index: sent(_whole(index), both(is_file, asks("range")))(index),
    "files.ranges.told": sent(header("accept-ranges", None), both(is_file, _head)),
    "files.ranges.part": sent(header("content-range", "bytes 0-9/10"), both(is_file, asks("range", "bytes=0-9"))),
    "files.ranges.suffix": sent(_status(200), both(is_file, asks("range", "bytes=-10"))),
    "files.ranges.beyond": sent(lambda answer: answer.headers.pop("content-range") if answer.status == 416 else None),
    "files.if-range": sent(_status(206), both(is_file, asks("if-range", '"whb-no-such-tag"'))),
    "files.if-range.same": sent(
        _status(200),
        both(is_file, asks("range"), lambda request: request.headers.get("if-range", '"whb-no')[:7] != '"whb-no'),
    ),
}


# What a defect breaks beside its own check: the same fault seen from another side.
_ALSO: dict[str, set[str]] = {
    "html.version.form": {"both.version"},
    "html.version.frozen": {"both.version"},
    "html.list.text": {"both.list", "html.list.url"},
    "html.files.hash.form": {"both.hashes"},
    "html.files.hash.algorithm": {"html.files.hash.secure"},
    "html.files.requires-python": {"both.requires-python"},
    "html.files.core-metadata.value": {
        "both.core-metadata",
        "files.metadata.advertised",
        "html.files.core-metadata.hash",
    },
    "html.files.core-metadata.hash": {"both.core-metadata"},
    "html.status": {"both.status"},
    "html.status.version": {"both.version"},
    "html.status.quarantined": {"both.files", "files.found"},
    "json.files.requires-python": {"both.requires-python", "files.requires-python"},
    "json.files.core-metadata": {"both.core-metadata", "json.files.core-metadata.hash"},
    "json.files.core-metadata.name": {"json.files.dist-info-metadata"},
    "json.files.core-metadata.hash": {"both.core-metadata"},
    "json.status.quarantined": {"json.files.filename"},
    "negotiation.json": {"both.json"},
    "negotiation.any": {"negotiation.absent"},
    "negotiation.none": {"negotiation.absent"},
    "negotiation.latest": {"negotiation.latest-json"},
    "http.encoding": {"json.object"},
    "files.head": {"files.ranges.told"},
}
DEFECTS: dict[str, Defect] = {
    name: (mutation, frozenset(_ALSO.get(name, set()))) for name, mutation in _MUTATIONS.items()
}
assert BASE.startswith("https://")
