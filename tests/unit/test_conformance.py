"""Every check has an index that passes it and one that fails it: the conforming one, and the same with one defect."""

from __future__ import annotations

import gzip
import importlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conforming import BASE, Answer, Index, conforming
from tests.defects import DEFECTS, header, replaced, sent
from wheelhouse_builder.conformance.html import read_html
from wheelhouse_builder.conformance.http import HttpSource, require_url
from wheelhouse_builder.conformance.judge import CHECKS, failing, judge, score
from wheelhouse_builder.conformance.model import Exchange, FolderSeen, Format, Level, Observed, Result
from wheelhouse_builder.conformance.observe import Sample, observe
from wheelhouse_builder.conformance.pages import links_of, names_of, read_page, zstd_module
from wheelhouse_builder.errors import Cancelled, MachineError, UsageError
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.report.conformance import conformance_data, conformance_table, failures_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_ALL = Sample(projects=None, files=20)


def failed(observed: Observed) -> set[str]:
    return {item.check.id for item in judge(observed) if item.failed}


def seen(index: Index) -> Observed:
    return observe(index.source(), _ALL)


def test_the_conforming_index_passes_everything() -> None:
    results = {item.check.id: item.outcome.result for item in judge(seen(conforming()))}
    of_folders = {name for name in results if name.startswith("folder.")} | {"html.files.upload-time"}
    assert {name for name, result in results.items() if result is not Result.PASSED} == of_folders


@pytest.mark.parametrize("check", DEFECTS)
def test_a_defect_is_found(check: str) -> None:
    mutate, also = DEFECTS[check]
    index = conforming()
    mutate(index)
    assert failed(seen(index)) == {check, *also}


def _outside(tree: Path) -> None:
    secret = tree.parent / "secret"
    secret.write_text("secret", encoding="utf-8")
    (tree / "simple/demo/index.v1_json.gz").unlink()
    (tree / "simple/demo/index.v1_json.gz").symlink_to(secret)


def _rewrite(page: Path, old: bytes, new: bytes) -> None:
    content = page.read_bytes().replace(old, new)
    page.write_bytes(content)
    page.with_name(f"{page.name}.gz").write_bytes(gzip.compress(content))


def _copy_project(tree: Path) -> None:
    (tree / "simple/forgotten").mkdir()
    (tree / "simple/forgotten/index.html").write_bytes((tree / "simple/demo/index.html").read_bytes())


FOLDER_DEFECTS: dict[str, Callable[[Path], object]] = {
    "folder.confined": _outside,
    "folder.copies": lambda tree: (tree / "simple/index.html.gz").write_bytes(gzip.compress(b"another")),
    "html.files.upload-time": lambda tree: _rewrite(tree / "simple/demo/index.html", b"data-upload-time", b"data-time"),
    "folder.links": lambda tree: (tree / "links/index.html").write_text("<!DOCTYPE html>", encoding="utf-8"),
    "folder.listed": _copy_project,
}


def test_the_conforming_folder_passes_everything(tmp_path: Path) -> None:
    judged = judge(observe(conforming().folder(tmp_path / "tree"), _ALL))
    assert [item.check.id for item in judged if item.failed] == []
    passed = {item.check.id for item in judged if item.outcome.result is Result.PASSED}
    assert passed >= {*FOLDER_DEFECTS, "json.files.size", "html.files.text", "files.metadata.same"}


@pytest.mark.parametrize("check", FOLDER_DEFECTS)
def test_a_defect_of_a_folder_is_found(check: str, tmp_path: Path) -> None:
    source = conforming().folder(tmp_path / "tree")
    FOLDER_DEFECTS[check](tmp_path / "tree")
    assert failed(observe(source, _ALL)) == {check}


def test_a_copy_in_zstd_is_looked_into(tmp_path: Path) -> None:
    zstd = importlib.import_module(zstd_module() or "compression.zstd")
    source, page = conforming().folder(tmp_path / "tree"), tmp_path / "tree/simple/demo/index.html"
    copy = page.with_name("index.html.zst")
    copy.write_bytes(zstd.compress(page.read_bytes()))
    assert failed(observe(source, _ALL)) == set()
    copy.write_bytes(copy.read_bytes()[:-4])
    assert failed(observe(source, _ALL)) == {"folder.copies"}


def test_a_wheelhouse_tells_what_is_wrong_with_it() -> None:
    def folder(*problems: str) -> Observed:
        return Observed(base="file:///x/", pages=(), folder=FolderSeen(copies={}, outside={}, problems=problems))

    assert "folder.wheelhouse" not in failed(folder())
    assert "folder.wheelhouse" in failed(folder("x.whl is missing"))


def test_every_check_has_a_defect_and_its_own_name() -> None:
    names = [check.id for check in CHECKS]
    assert len(names) == len(set(names))
    assert set(names) == {*DEFECTS, *FOLDER_DEFECTS, "folder.wheelhouse"}
    assert all(check.link.startswith("https://") and check.says for check in CHECKS)


def test_a_link_out_of_the_tree_is_not_read(tmp_path: Path) -> None:
    index = conforming()
    index.documents["demo"]["files"][0]["url"] = "../../../secret.whl"
    (tmp_path / "secret.whl").write_bytes(b"secret")
    observed = observe(index.folder(tmp_path / "tree"), _ALL)
    assert {"folder.confined", "files.found"} <= failed(observed)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (Answer(401), "netrc"),
        (Answer(404), "URL"),
        (Answer(503), "URL"),
    ],
)
def test_an_index_that_cannot_be_read(answer: Answer, hint: str) -> None:
    index = conforming()
    sent(replaced(answer))(index)
    with pytest.raises(MachineError) as error:
        seen(index)
    assert hint in (error.value.hint or "")
    assert str(answer.status) in error.value.message


def test_an_index_that_cannot_be_reached() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    source = HttpSource(BASE, canceller=Canceller(), transport=httpx.MockTransport(refuse))
    with pytest.raises(MachineError, match="Connection refused"):
        observe(source, _ALL)


def test_a_project_that_is_named_and_not_there() -> None:
    with pytest.raises(UsageError, match="nothing-here"):
        observe(conforming().source(), Sample(names=("Nothing.Here",)))


@pytest.mark.parametrize("name", ["/etc", "a/../../b", "..", "", "a b"])
def test_a_name_that_is_a_path_is_not_followed(name: str, tmp_path: Path) -> None:
    index = conforming()
    index.documents[""]["projects"].append({"name": name})
    index.pages[""] = {**index.documents[""], "projects": index.documents[""]["projects"][:-1]}
    observed = observe(index.folder(tmp_path / "tree"), _ALL)
    assert failed(observed) == {"json.list"}
    with pytest.raises(UsageError, match="no project"):
        observe(index.source(), Sample(names=(name,)))


def test_an_index_without_a_list() -> None:
    index = conforming()
    sent(replaced(Answer(404)), lambda request: request.url.path == "/simple/")(index)
    observed = observe(index.source(), Sample(names=("demo",)))
    assert {page.name for page in observed.pages} == {"demo"}
    assert failed(observed) == set()


def test_what_a_url_holds_is_not_told() -> None:
    index = conforming()
    for file in index.documents["demo"]["files"]:
        file["url"] += "?token=secret"
    sent(replaced(Answer(500)), lambda request: b"secret" in request.url.query)(index)
    observed = seen(index)
    assert "files.found" in failed(observed)
    assert "secret" not in json.dumps(conformance_data(observed, judge(observed)))


def test_a_document_that_is_nested_too_deep() -> None:
    for depth in (200, 400, 900, 950, 980, 990, 2000):
        judged_page(b'{"meta":' + b"[" * depth + b"]" * depth + b"}", Format.JSON, "demo")


def test_the_sample_is_spread_over_the_list() -> None:
    index = conforming()
    names = [f"p{number:03}" for number in range(100)]
    index.documents[""]["projects"] = [{"name": name} for name in names]
    for name in names:
        index.documents[name] = {"meta": {"api-version": "1.4"}, "name": name, "versions": [], "files": []}
    observed = observe(index.source(), Sample(projects=4))
    assert {page.name for page in observed.pages} == {"", "p000", "p025", "p050", "p075"}
    assert not observed.complete


def test_credentials_stay_at_the_origin_of_the_index() -> None:
    asked: list[tuple[str, bool]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.host, "authorization" in request.headers))
        if request.url.host == "index.test":
            location = f"https://elsewhere.test{request.url.path}"
            return httpx.Response(302, headers={"location": location}, stream=httpx.ByteStream(b""))
        return httpx.Response(200, stream=httpx.ByteStream(b"<!DOCTYPE html>"))

    transport = httpx.MockTransport(answer)
    source = HttpSource(
        "https://u:p@index.test/simple", credentials=("u", "p"), canceller=Canceller(), transport=transport
    )
    assert source.page("", Format.HTML).status == 200
    assert asked == [("index.test", True), ("elsewhere.test", False)]
    assert "u:p" not in source.base


def test_a_lost_connection_is_made_again() -> None:
    index, asked = conforming(), iter(range(1000))

    def answer(request: httpx.Request) -> httpx.Response:
        if next(asked) % 2 == 0:
            raise httpx.ReadError("Connection reset by peer")
        return index.answer(request)

    source = HttpSource(BASE, canceller=Canceller(), transport=httpx.MockTransport(answer))
    assert failed(observe(source, _ALL)) == set()


def test_redirects_end() -> None:
    index = conforming()
    sent(replaced(Answer(302, {"location": BASE})))(index)
    assert "redirects" in index.source().page("", Format.HTML).error


def test_an_answer_has_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wheelhouse_builder.conformance.http.MAX_PAGE_BYTES", 10)
    answer = conforming().source().page("demo", Format.JSON)
    assert answer.error == "more than 10 bytes"
    with pytest.raises(MachineError, match="more than 10 bytes"):
        seen(conforming())


def test_an_answer_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wheelhouse_builder.conformance.http._DEADLINE_SECONDS", -1.0)
    assert "no end" in conforming().source().page("demo", Format.JSON).error


def test_a_large_page_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wheelhouse_builder.conformance.observe._MAX_PROBED_BYTES", 1)
    assert seen(conforming()).probed == ()


def test_a_question_can_be_interrupted() -> None:
    canceller = Canceller()
    canceller.cancel()
    with pytest.raises(Cancelled):
        HttpSource(BASE, canceller=canceller, transport=httpx.MockTransport(conforming().answer)).page("", Format.HTML)


@pytest.mark.parametrize("url", ["ftp://x/", "https://", "http://[/", "https://x:99999999/"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UsageError):
        require_url(url)


def test_what_is_not_applicable_is_not_counted() -> None:
    judged = judge(Observed(base=BASE, pages=()))
    assert {item.outcome.result for item in judged} == {Result.NOT_APPLICABLE}
    assert all(score(judged, level).applicable == 0 for level in Level)
    assert failures_text(judged) == ""


def test_the_report_says_where_what_and_why() -> None:
    index = conforming()
    DEFECTS["files.cache-control"][0](index)
    observed = seen(index)
    judged = judge(observed)
    assert failing(judged, Level.SHOULD) == []
    assert [item.check.id for item in failing(judged, Level.GOOD)] == ["files.cache-control"]
    text = failures_text(judged)
    assert "GOOD files.cache-control: 3 of 4 failed" in text
    assert "https://index.test/demo-1.0-py3-none-any.whl\n    no Cache-Control" in text
    assert "rfc8246" in text
    data = json.loads(json.dumps(conformance_data(observed, judged)))
    assert data["score"]["GOOD"]["passed"] == data["score"]["GOOD"]["applicable"] - 1
    assert "all" in conformance_table(judged)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_KEYS = (
    "meta",
    "api-version",
    "name",
    "files",
    "filename",
    "url",
    "hashes",
    "sha256",
    "size",
    "yanked",
    "versions",
    "core-metadata",
    "provenance",
    "requires-python",
    "upload-time",
    "gpg-sig",
    "project-status",
    "status",
    "reason",
    "projects",
    "dist-info-metadata",
    "tracks",
    "namespaces",
)
_SHAPED = st.recursive(
    _JSON | st.sampled_from(["1.4", "demo-1.0-py3-none-any.whl", "http://[", "quarantined", "1.0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=6),
    max_leaves=20,
)


def judged_page(body: bytes, form: Format, name: str) -> None:
    """What is on the page does not matter: it is read and judged."""
    exchange = Exchange(url=f"{BASE}{name}", status=200, body=body, final_url=f"{BASE}{name}")
    page = read_page(name, exchange, form)
    names_of(page)
    links_of(page)
    other = read_page(name, exchange, Format.HTML if form is Format.JSON else Format.JSON)
    judge(Observed(base=BASE, pages=(page, other)))


@settings(max_examples=50, deadline=None)
@given(document=_SHAPED, name=st.sampled_from(["", "demo"]))
def test_no_document_makes_the_checker_fall(document: object, name: str) -> None:
    judged_page(json.dumps(document).encode(), Format.JSON, name)


@settings(max_examples=50, deadline=None)
@given(file=st.dictionaries(st.sampled_from(_KEYS), _SHAPED, max_size=10), status=_SHAPED)
def test_no_file_makes_the_checker_fall(file: dict[str, Any], status: object) -> None:
    page = {
        "meta": {"api-version": "1.4"},
        "name": "demo",
        "versions": ["1.0"],
        "files": [file],
        "project-status": status,
    }
    judged_page(json.dumps(page).encode(), Format.JSON, "demo")


_TAGS = st.sampled_from(
    (
        *(
            "<a href='",
            "../x-1.whl",
            "#sha256=",
            "data-yanked",
            "'",
            '"',
            ">",
            "<",
            "</a>",
            "<meta name=",
            "<![x[",
            "<![",
        ),
        *(
            "pypi:project-status",
            "<base href=http://[>",
            "data-core-metadata=",
            "<!DOCTYPE",
            "&#xD800;",
            "<!--",
            "<![CDATA[",
        ),
    )
)


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(_TAGS | st.text(max_size=5), max_size=20), name=st.sampled_from(["", "demo"]))
def test_no_html_makes_the_checker_fall(parts: list[str], name: str) -> None:
    judged_page("".join(parts).encode("utf-8", "surrogatepass"), Format.HTML, name)


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=64), coding=st.sampled_from(["gzip", "zstd", "deflate", "br", "GZIP", ""]))
def test_no_encoding_makes_the_checker_fall(body: bytes, coding: str) -> None:
    exchange = Exchange(url=BASE, status=200, body=body, headers={"content-encoding": coding})
    judge(Observed(base=BASE, pages=(read_page("demo", exchange),)))


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(
        ["etag", "vary", "content-range", "location", "content-type", "content-length", "cache-control"]
    ),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    status=st.sampled_from([200, 206, 301, 304, 404, 416, 500]),
)
def test_no_answer_makes_the_checker_fall(name: str, value: str, status: int) -> None:
    index = conforming()
    asked = iter(range(10_000))
    sent(header(name, value))(index)
    sent(lambda answer: setattr(answer, "status", status), lambda _: next(asked) > 8)(index)
    with suppress(MachineError, UsageError):
        judge(observe(index.source(), Sample(projects=1, files=1)))


def test_a_page_says_what_is_not_html() -> None:
    page = read_html("<a href=x>one<a href=y>two</a></a><a href=z>", BASE)
    assert len(page.problems) == 3
    assert [anchor.url for anchor in page.anchors] == [f"{BASE}y"]
