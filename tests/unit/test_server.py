"""What the server answers, called in-process: pages, conditions, codings, redirects, errors."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.asgi import ask, call, get, scope_of
from tests.houses import add, house_with, publish_all
from wheelhouse_builder.index import packing
from wheelhouse_builder.server.app import make_app
from wheelhouse_builder.server.replies import Policy
from wheelhouse_builder.server.snapshot import Snapshots
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
DEMO = "demo_pkg-1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    return house_with(tmp_path_factory.mktemp("server") / "wheelhouse", "demo-pkg", "other")


def app_of(house: Wheelhouse, **parts: Any) -> ASGIApp:
    snapshots = Snapshots(house)
    snapshots.refresh()
    return make_app(snapshots, **parts)


@pytest.fixture
def app(house: Wheelhouse) -> ASGIApp:
    return app_of(house)


def test_a_project_as_json(app: ASGIApp) -> None:
    answer = get(app, "/simple/demo-pkg/", {"Accept": JSON})
    assert answer.status == 200
    assert [file["filename"] for file in answer.json["files"]] == [DEMO]
    assert answer.headers == {
        "content-type": JSON,
        "content-length": str(len(answer.body)),
        "etag": answer.headers["etag"],
        "last-modified": answer.headers["last-modified"],
        "cache-control": "max-age=60, public, stale-if-error=86400",
        "vary": "Accept, Accept-Encoding",
        "access-control-allow-origin": "*",
        "x-content-type-options": "nosniff",
        "x-whb-generation": "1",
    }
    assert answer.facts == {"route": "project", "format": JSON, "encoding": "identity"}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [(JSON, JSON), (HTML, HTML), ("text/html", "text/html; charset=utf-8"), ("*/*", "text/html; charset=utf-8")],
)
@pytest.mark.parametrize("path", ["/simple/", "/simple/demo-pkg/"])
def test_each_form_under_its_name(app: ASGIApp, path: str, accept: str, content_type: str) -> None:
    answer = get(app, path, {"Accept": accept})
    assert answer.headers["content-type"] == content_type
    assert answer.body.startswith(b"{" if accept == JSON else b"<!DOCTYPE html>")


def test_latest_is_answered_with_the_version_that_it_is(app: ASGIApp) -> None:
    answer = get(app, "/simple/", {"Accept": "application/vnd.pypi.simple.latest+json"})
    assert answer.headers["content-type"] == JSON


def test_accept_in_several_lines_is_one_list(app: ASGIApp) -> None:
    answer = get(app, "/simple/", [("Accept", "text/html;q=0.1"), ("Accept", JSON)])
    assert answer.headers["content-type"] == JSON


def test_the_query_beats_accept(app: ASGIApp) -> None:
    for query in (f"format={JSON}", "format=application/vnd.pypi.simple.v1%2Bjson", f"x=1&format={JSON}"):
        assert get(app, f"/simple/?{query}", {"Accept": "text/html"}).headers["content-type"] == JSON
    assert get(app, "/simple/?information=1", {"Accept": JSON}).headers["content-type"] == JSON
    assert get(app, "/simple/?format=xml").status == 406
    assert get(app, "/simple/?" + "format=x&" * 99).status == 406


def test_406_says_what_there_is(app: ASGIApp) -> None:
    answer = get(app, "/simple/", {"Accept": "application/json"})
    assert answer.status == 406
    assert JSON in answer.text
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert get(app, "/links/", {"Accept": JSON}).status == 406  # it is HTML alone
    assert get(app, "/simple/", {"Accept-Encoding": "identity;q=0, br"}).status == 406


def test_the_flat_page(app: ASGIApp) -> None:
    answer = get(app, "/links/", {"Accept": f"{JSON}, {HTML}; q=0.1, text/html; q=0.01"})
    assert answer.headers["content-type"] == HTML
    assert f"../{DEMO}#sha256=" in answer.text


def test_packed_pages_have_entity_tags_of_their_own(app: ASGIApp) -> None:
    plain = get(app, "/simple/demo-pkg/", {"Accept": JSON})
    packed = get(app, "/simple/demo-pkg/", {"Accept": JSON, "Accept-Encoding": "gzip, deflate"})
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["etag"].endswith('-gz"')
    smallest = get(app, "/simple/demo-pkg/", {"Accept": JSON, "Accept-Encoding": "gzip, deflate, zstd"})
    assert smallest.headers["content-encoding"] == "zstd"
    assert packing.zstd.decompress(smallest.body) == plain.body
    assert smallest.headers["etag"].endswith('-zst"')
    assert "content-encoding" not in plain.headers
    known = {"Accept": JSON, "If-None-Match": plain.headers["etag"]}
    assert get(app, "/simple/demo-pkg/", known).status == 304
    assert get(app, "/simple/demo-pkg/", {**known, "Accept-Encoding": "gzip"}).status == 200
    assert get(app, "/simple/demo-pkg/", {"If-None-Match": plain.headers["etag"]}).status == 200  # that is the HTML


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("path", ["/simple/", "/simple/demo-pkg/", "/links/"])
def test_304_repeats_what_caches_keep(app: ASGIApp, path: str, coding: str) -> None:
    asked = {"Accept-Encoding": coding}
    whole = get(app, path, asked)
    for condition in (
        {"If-None-Match": whole.headers["etag"]},
        {"If-None-Match": f'"x", W/{whole.headers["etag"]}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": whole.headers["last-modified"]},
    ):
        answer = get(app, path, {**asked, **condition})
        assert (answer.status, answer.body) == (304, b"")
        for name in ("etag", "cache-control", "vary", "last-modified"):
            assert answer.headers[name] == whole.headers[name]
        assert "content-length" not in answer.headers
    assert get(app, path, {**asked, "If-Match": '"x"'}).status == 412


@pytest.mark.parametrize("path", ["/simple/", "/simple/demo-pkg/", "/links/", f"/{DEMO}", f"/{DEMO}.metadata"])
def test_head_is_get_without_the_body(app: ASGIApp, path: str) -> None:
    whole, head = get(app, path), ask(app, "HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers == whole.headers


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/simple", "simple/"),
        ("/links", "links/"),
        ("/simple/demo-pkg", "demo-pkg/"),
        ("/simple/Demo_Pkg/", "../demo-pkg/"),
        ("/simple/Demo.Pkg", "demo-pkg/"),
        ("/simple/demo-pkg/index.html", "./"),
        ("/simple/index.html", "./"),
        ("/", "browse/"),
    ],
)
def test_redirects_are_relative_and_keep_the_query(app: ASGIApp, path: str, location: str) -> None:
    answer = get(app, f"{path}?format=x&y=%0d", root_path="/pypi")
    assert answer.status == (302 if path == "/" else 301)
    assert answer.headers["location"] == f"{location}?format=x&y=%0d"


def test_the_prefix_itself_leads_in(app: ASGIApp) -> None:
    assert get(app, "", root_path="/a/pypi").headers["location"] == "pypi/browse/"
    assert get(app, "", root_path="/a/räder").headers["location"] == "r%C3%A4der/browse/"
    assert get(app, "/simple/demo-pkg/", root_path="/a/pypi").status == 200


@pytest.mark.parametrize("path", ["/simple/nothing/", "/simple/nothing", "/nothing", "/simple/demo-pkg/nothing", "//"])
def test_what_is_not_there(app: ASGIApp, path: str) -> None:
    answer = get(app, path)
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "BREW"])
def test_other_methods_are_told_which_there_are(app: ASGIApp, method: str) -> None:
    answer = ask(app, method, "/simple/")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_a_browser_may_read_from_anywhere_unless_reading_is_guarded(house: Wheelhouse, app: ASGIApp) -> None:
    answer = ask(app, "OPTIONS", "/simple/", {"Origin": "https://x", "Access-Control-Request-Method": "GET"})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "*")
    assert "GET" in answer.headers["access-control-allow-methods"]
    guarded = app_of(house, policy=Policy(private=True, max_age=5))
    for path in ("/simple/", f"/{DEMO}"):
        answer = get(guarded, path)
        assert "access-control-allow-origin" not in answer.headers
        assert "private" in answer.headers["cache-control"]
        assert "public" not in answer.headers["cache-control"]
    assert get(guarded, "/simple/").headers["cache-control"].startswith("max-age=5, ")


def test_before_anything_is_published(tmp_path: Path) -> None:
    app = make_app(Snapshots(Wheelhouse(tmp_path / "empty"), on_problem=lambda text: None))
    answer = get(app, "/simple/")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")


async def answerer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"here"})


def test_the_other_parts_answer_at_their_places(house: Wheelhouse) -> None:
    app = app_of(house, upload=answerer, routes={"/healthz": answerer})
    assert ask(app, "POST", "/legacy/").status == 299
    assert ask(app, "POST", "/").status == 299
    assert get(app, "/").status == 302
    assert get(app, "/healthz").status == 299
    assert ask(app, "POST", "/simple/").status == 405


def test_unknown_projects_go_upstream_and_ours_never(house: Wheelhouse) -> None:
    asked: list[str] = []

    def upstream(name: str) -> str | None:
        asked.append(name)
        return f"https://index.example/simple/{name}/" if name != "reserved" else None

    app = app_of(house, upstream=upstream)
    answer = get(app, "/simple/Some_Thing/", {"Accept": JSON})
    assert (answer.status, answer.headers["location"]) == (302, "https://index.example/simple/some-thing/")
    assert answer.headers["cache-control"] == "no-cache"  # the name may become ours in the next moment
    assert get(app, "/simple/reserved/").status == 404
    assert get(app, "/simple/demo-pkg/").status == 200
    assert get(app, "/simple/Demo-Pkg").status == 301
    assert get(app, "/nothing/").status == 404
    assert asked == ["some-thing", "reserved"]


def test_wrappers_stand_around_in_order(house: Wheelhouse) -> None:
    seen: list[str] = []

    def wrapper(name: str) -> Any:
        def wrap(app: ASGIApp) -> ASGIApp:
            async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
                seen.append(name)
                await app(scope, receive, send)

            return wrapped

        return wrap

    get(app_of(house, wrappers=[wrapper("outer"), wrapper("inner")]), "/simple/")
    assert seen == ["outer", "inner"]


def test_while_it_runs_it_takes_up_what_is_published(tmp_path: Path) -> None:
    house = house_with(tmp_path / "wheelhouse", "one")
    app = make_app(Snapshots(house), poll_seconds=0.001)

    async def run() -> list[str]:
        inbox: asyncio.Queue[Message] = asyncio.Queue()
        outbox: asyncio.Queue[Message] = asyncio.Queue()
        inbox.put_nowait({"type": "lifespan.startup"})

        async def serve() -> None:
            await app({"type": "lifespan", "state": {}}, inbox.get, outbox.put)

        server = asyncio.create_task(serve())
        assert (await outbox.get())["type"] == "lifespan.startup.complete"
        first = await call(app, scope_of("GET", "/simple/", {"Accept": JSON}))
        add(house, "two")
        publish_all(house)
        async with asyncio.timeout(20):
            while (await call(app, scope_of("GET", "/simple/two/"))).status == 404:
                await asyncio.sleep(0.001)
        second = await call(app, scope_of("GET", "/simple/", {"Accept": JSON}))
        inbox.put_nowait({"type": "lifespan.shutdown"})
        assert (await outbox.get())["type"] == "lifespan.shutdown.complete"
        await server
        return [first.headers["x-whb-generation"], second.headers["x-whb-generation"]]

    assert asyncio.run(run()) == ["1", "2"]


def test_a_request_ends_on_the_snapshot_that_it_began_on(tmp_path: Path) -> None:
    house = house_with(tmp_path / "wheelhouse", "one")
    snapshots = Snapshots(house)
    snapshots.refresh()
    app = make_app(snapshots)
    told: list[Message] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":  # the swap comes between headers and body
            add(house, "one", "2.0")
            publish_all(house)
            assert snapshots.refresh()
        told.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def run() -> None:
        await app(scope_of("GET", "/simple/one/", {"Accept": JSON}), receive, send)

    asyncio.run(run())
    assert dict(told[0]["headers"])[b"x-whb-generation"] == b"1"
    assert dict(told[0]["headers"])[b"content-length"] == str(len(told[1]["body"])).encode()
    assert json.loads(told[1]["body"])["versions"] == ["1.0"]
    assert get(app, "/simple/one/", {"Accept": JSON}).json["versions"] == ["1.0", "2.0"]


def test_a_text_too_large_for_memory_is_sent_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wheelhouse_builder.index.packing.MAX_BYTES", 10)
    house = house_with(tmp_path / "wheelhouse", "one")
    app = app_of(house)
    answer = get(app, "/simple/one/", {"Accept": JSON})
    assert answer.json["name"] == "one"
    assert ask(app, "HEAD", "/simple/one/", {"Accept": JSON}).body == b""
    assert get(app, "/simple/one/", {"Accept": JSON, "If-None-Match": answer.headers["etag"]}).status == 304
    for path in house.generations.rglob("index.v1_json"):
        path.unlink()
    assert get(app, "/simple/", {"Accept": JSON}).status == 503


names = st.sampled_from(
    ["accept", "accept-encoding", "range", "if-range", "if-none-match", "if-modified-since", "if-match", "host"]
)
texts = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40)
headers = st.lists(st.tuples(names, texts), max_size=5)
paths = (
    st.sampled_from(["/simple/", "/simple/demo-pkg/", "/links/", f"/{DEMO}", f"/{DEMO}.metadata", "/"])
    | st.lists(st.sampled_from(["", "..", "simple", "Demo_pkg", "%2e%2e", "%00", "%5c", DEMO, ".whb"])).map("/".join)
    | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
).map("/{}".format)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths, headers, st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"]))
def test_no_request_is_an_error_of_the_server(
    app: ASGIApp, path: str, headers: list[tuple[str, str]], method: str
) -> None:
    answer = ask(app, method, path, headers)
    assert answer.status in {200, 204, 206, 301, 302, 304, 404, 405, 406, 412, 416}
    for value in answer.headers.values():
        assert "\n" not in value
        assert "\r" not in value
