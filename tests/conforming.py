"""A conforming index in memory, over httpx or written to a folder, to be broken in one place by a test.

Written from the specifications and RFC 9110, on purpose not with the code of `whb serve`.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
import re
import tempfile
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from packaging.utils import canonicalize_name

from tests.wheels import make_wheel
from wheelhouse_builder.conformance.folder import FolderSource
from wheelhouse_builder.conformance.http import HttpSource
from wheelhouse_builder.process import Canceller

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = "https://index.test/simple/"
JSON, HTML, TEXT = "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+html", "text/html"
_ALIASES = {
    JSON: JSON,
    HTML: HTML,
    TEXT: TEXT,
    JSON.replace("v1", "latest"): JSON,
    HTML.replace("v1", "latest"): HTML,
}
_PREFERRED = (TEXT, HTML, JSON)  # of what is equally welcome, the last


@dataclass
class Answer:
    """What is sent; a test may change it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Index:
    """Documents and files, and what a test does to pages (`rewrite`) and to answers (`change`)."""

    documents: dict[str, Any]  # name → JSON document; "" is the list
    files: dict[str, bytes]  # name → content
    pages: dict[str, Any] = field(default_factory=dict)  # name → document that HTML is made from, if it is another
    rewrite: list[Callable[[str, str], str]] = field(default_factory=list)  # (name, HTML) → HTML
    change: list[Callable[[httpx.Request, Answer], None]] = field(default_factory=list)
    tagged_by: tuple[str, ...] = ("content-type", "content-encoding")  # pages that differ in these have other ETags

    def source(self) -> HttpSource:
        """The index over HTTP."""
        return HttpSource(BASE, canceller=Canceller(), transport=httpx.MockTransport(self.answer))

    def folder(self, root: Path) -> FolderSource:
        """The index as a static tree in `root`."""
        self.write(root)
        return FolderSource(root)

    def write(self, root: Path) -> None:
        """Write the static tree: simple/, links/ and the files."""
        for name in self.documents:
            folder = root / "simple" / name
            folder.mkdir(parents=True, exist_ok=True)
            for file, content in (("index.html", self.html(name)), ("index.v1_json", self.json(name))):
                (folder / file).write_bytes(content)
                (folder / f"{file}.gz").write_bytes(gzip.compress(content, mtime=0))
        for name, content in self.files.items():
            (root / name).write_bytes(content)
        (root / "links").mkdir()
        pages = [self.html(name).decode() for name in self.documents if name]
        anchors = re.findall(r"<a .*?</a>", "\n".join(pages))
        flat = "<!DOCTYPE html>" + "".join(anchors).replace('href="../../', 'href="../')
        (root / "links/index.html").write_text(flat, encoding="utf-8")

    def json(self, name: str) -> bytes:
        """The document of a page."""
        return json.dumps(self.documents[name]).encode()

    def html(self, name: str) -> bytes:
        """The page as HTML."""
        document = self.pages.get(name) or self.documents[name]
        anchors = [_anchor(file) for file in document.get("files", ())]
        if not name:
            anchors = [f'<a href="{name}/">{name}</a>' for name in (item["name"] for item in document["projects"])]
        metas = {"pypi:repository-version": "1.4"}
        if status := document.get("project-status"):
            metas |= {"pypi:project-status": status["status"]}
        head = "".join(f'<meta name="{name}" content="{escape(content)}">' for name, content in metas.items())
        text = f"<!DOCTYPE html><html><head>{head}</head><body>{'<br>'.join(anchors)}</body></html>"
        for rewrite in self.rewrite:
            text = rewrite(name, text)
        return text.encode("utf-8", "surrogateescape")

    def answer(self, request: httpx.Request) -> httpx.Response:
        """One request, answered."""
        answer = self._answer(request)
        for change in self.change:
            change(request, answer)
        return httpx.Response(answer.status, headers=answer.headers, stream=httpx.ByteStream(answer.body))

    def _answer(self, request: httpx.Request) -> Answer:
        path = request.url.path
        date = {"date": "Tue, 24 Nov 2026 20:00:00 GMT"}
        if not path.startswith("/simple"):
            answer = self._file(request, path.lstrip("/"))
        elif not path.endswith("/"):
            answer = Answer(301, {"location": f"{path}/"})
        else:
            answer = self._page(request, path.removeprefix("/simple/").rstrip("/"))
        answer.headers = date | answer.headers
        if request.method == "HEAD":
            answer.headers.setdefault("content-length", str(len(answer.body)))
            answer.body = b""
        return answer

    def _page(self, request: httpx.Request, name: str) -> Answer:
        if name and canonicalize_name(name) != name:
            return Answer(301, {"location": f"/simple/{canonicalize_name(name)}/"})
        if name not in self.documents:
            return Answer(404)
        media_type = _ALIASES.get(request.url.params.get("format", "")) or _negotiated(request.headers.get("accept"))
        headers = {"vary": "Accept, Accept-Encoding", "cache-control": "max-age=60"}
        if media_type is None:
            return Answer(406, headers)
        body = self.json(name) if media_type == JSON else self.html(name)
        headers["content-type"] = media_type
        if "gzip" in request.headers.get("accept-encoding", "").replace("gzip;q=0", ""):
            body = gzip.compress(body, mtime=0)
            headers["content-encoding"] = "gzip"
        return _conditional(request, Answer(200, headers, body), [name, *map(headers.get, self.tagged_by)])

    def _file(self, request: httpx.Request, name: str) -> Answer:
        body = self.files.get(name)
        if body is None:
            return Answer(404)
        headers = {"cache-control": "max-age=31536000, immutable", "accept-ranges": "bytes"}
        answer = _conditional(request, Answer(200, headers, body), [name])
        if request.method == "GET" and answer.status == 200:
            return _ranged(request, answer)
        return answer


def _conditional(request: httpx.Request, answer: Answer, identity: list[str | None]) -> Answer:
    """With validators; 304 if the client has it."""
    tag = f'"{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}"'
    answer.headers |= {"etag": tag, "last-modified": "Tue, 24 Nov 2026 12:00:00 GMT"}
    known = [item.strip().removeprefix("W/") for item in request.headers.get("if-none-match", "").split(",")]
    since = "if-none-match" not in request.headers and "if-modified-since" in request.headers
    if tag in known or since:
        lost = ("content-type", "content-encoding")
        return Answer(304, {name: value for name, value in answer.headers.items() if name not in lost})
    answer.headers["content-length"] = str(len(answer.body))
    return answer


def _ranged(request: httpx.Request, answer: Answer) -> Answer:
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if not found or request.headers.get("if-range", answer.headers["etag"]) != answer.headers["etag"]:
        return answer
    size = len(answer.body)
    first = int(found[1]) if found[1] else max(size - int(found[2]), 0)
    last = min(int(found[2]), size - 1) if found[1] and found[2] else size - 1
    if first >= size:
        return Answer(416, {"content-range": f"bytes */{size}"})
    body = answer.body[first : last + 1]
    headers = {"content-range": f"bytes {first}-{last}/{size}", "content-length": str(len(body))}
    return Answer(206, {**answer.headers, **headers}, body)


def _negotiated(accept: str | None) -> str | None:
    """The type to send (RFC 9110, section 12.5.1), None if none is acceptable; HTML for who does not say."""
    if accept is None or accept.strip() == "*/*":
        return TEXT
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        told = [part.removeprefix("q=") for part in parameters if part.startswith("q=")]
        weights[name] = float(told[0]) if told and re.fullmatch(r"[01](\.\d+)?", told[0]) else 1.0 if not told else 0.0

    def weight(media_type: str) -> float:
        exact = [weights[alias] for alias, actual in _ALIASES.items() if actual == media_type and alias in weights]
        wild = [weights[name] for name in (f"{media_type.partition('/')[0]}/*", "*/*") if name in weights]
        return max(exact) if exact else wild[0] if wild else 0.0

    best = max(_PREFERRED, key=lambda media_type: (weight(media_type), _PREFERRED.index(media_type)))
    return best if weight(best) > 0 else None


def _anchor(file: dict[str, Any]) -> str:
    metadata = file.get("core-metadata")
    told = f"sha256={metadata['sha256']}" if isinstance(metadata, dict) and "sha256" in metadata else "true"
    hashes = file.get("hashes") or {}
    attributes = {
        "href": f"{file['url']}#sha256={hashes['sha256']}" if "sha256" in hashes else file["url"],
        "data-requires-python": file.get("requires-python"),
        "data-core-metadata": told if metadata else None,
        "data-dist-info-metadata": told if metadata else None,
        "data-yanked": "" if file.get("yanked") is True else file.get("yanked") or None,
        "data-gpg-sig": {True: "true", False: "false"}.get(file.get("gpg-sig", "")),
        "data-provenance": file.get("provenance"),
        "data-upload-time": file.get("upload-time"),
    }
    written = " ".join(f'{name}="{escape(str(value))}"' for name, value in attributes.items() if value is not None)
    return f"<a {written}>{escape(str(file['filename']))}</a>"


def conforming() -> Index:
    """A new index that keeps to everything, in which every check has something to look at."""
    return copy.deepcopy(_INDEX)


def _make() -> Index:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wheels = [
            make_wheel(folder, version="1.0", requires_python=">=3.8,<4"),
            make_wheel(folder, version="1.1", tag="cp312-cp312-musllinux_1_2_aarch64"),
            make_wheel(folder, name="other-thing", version="2.0"),
        ]
        files = {wheel.name: wheel.read_bytes() for wheel in wheels}
    metadata = {
        "demo-1.0-py3-none-any.whl": ">=3.8,<4",
        "demo-1.1-cp312-cp312-musllinux_1_2_aarch64.whl": ">=3.8",
        "other_thing-2.0-py3-none-any.whl": ">=3.8",
    }
    described = {name: _described(name, files, python) for name, python in metadata.items()}
    files["demo-1.0.tar.gz"] = gzip.compress(b"no wheel", mtime=0)
    described["demo-1.0.tar.gz"] = _described("demo-1.0.tar.gz", files, None)
    described["demo-1.1-cp312-cp312-musllinux_1_2_aarch64.whl"]["yanked"] = "crashes"
    first = described["demo-1.0-py3-none-any.whl"]
    first["_whb"] = {"project-keys": {"ab12": "cp312-musllinux_1_2_aarch64"}}  # the index's own (PEP 691)
    first |= {"gpg-sig": True, "provenance": "https://index.test/demo-1.0-py3-none-any.whl.provenance"}
    files["demo-1.0-py3-none-any.whl.asc"] = b"-----BEGIN PGP SIGNATURE-----"
    files["demo-1.0-py3-none-any.whl.provenance"] = json.dumps({"version": 1, "attestation_bundles": [{}]}).encode()
    demo = [file for name, file in described.items() if name.startswith("demo")]
    other = [described["other_thing-2.0-py3-none-any.whl"]]
    documents = {
        "": {"meta": {"api-version": "1.4"}, "projects": [{"name": name} for name in ("demo", "evil", "other-thing")]},
        "demo": _document("demo", ["1.0", "1.1"], demo) | {"project-status": {"status": "active"}},
        "evil": _document("evil", ["6.6"], []) | {"project-status": {"status": "quarantined", "reason": "steals"}},
        "other-thing": _document("other-thing", ["2.0"], other),
    }
    return Index(documents=documents, files=files)


def _document(name: str, versions: list[str], files: list[dict[str, Any]]) -> dict[str, Any]:
    return {"meta": {"api-version": "1.4"}, "name": name, "versions": versions, "files": files}


def _described(name: str, files: dict[str, bytes], requires_python: str | None) -> dict[str, Any]:
    """The file as JSON tells it; its sidecar is put beside it."""
    described: dict[str, Any] = {
        "filename": name,
        "url": f"../../{name}",
        "hashes": {"sha256": hashlib.sha256(files[name]).hexdigest()},
        "size": len(files[name]),
        "upload-time": "2026-11-24T12:00:00.000000Z",
        "yanked": False,
        "gpg-sig": False,
        "provenance": None,
    }
    if name.endswith(".whl"):
        files[f"{name}.metadata"] = sidecar = _inside(files[name])
        described["core-metadata"] = {"sha256": hashlib.sha256(sidecar).hexdigest()}
        described["requires-python"] = requires_python
    return described


def _inside(wheel: bytes) -> bytes:
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("METADATA")))


_INDEX = _make()
