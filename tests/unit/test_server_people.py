"""Search without a script, and build logs: only what the generation names, in the coding that is asked for."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from tests.asgi import ask, get
from tests.houses import add, copy_of, house_with, publish_all
from wheelhouse_builder.server.app import make_app
from wheelhouse_builder.server.snapshot import Snapshots
from wheelhouse_builder.wheelhouse.generations import current

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp

    from wheelhouse_builder.wheelhouse.store import Wheelhouse

WHEEL = "demo-1.0-py3-none-any.whl"
LOG = f"/browse/logs/{WHEEL}.log.gz"
TEXT = "building\nbuilt: ✓\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    return house_with(tmp_path_factory.mktemp("made") / "wheelhouse", "demo", "other")


@pytest.fixture
def house(made: Wheelhouse, tmp_path: Path) -> Wheelhouse:
    return copy_of(made, tmp_path / "wheelhouse")


def with_log(house: Wheelhouse, wheel: str) -> None:
    house.build_log(wheel).write_bytes(gzip.compress(TEXT.encode(), mtime=0))


def serve(house: Wheelhouse) -> ASGIApp:
    snapshots = Snapshots(house)
    assert snapshots.refresh()
    return make_app(snapshots)


@pytest.mark.parametrize("path", ["/browse/", "/browse/index.html"])
def test_search(house: Wheelhouse, path: str) -> None:
    app = serve(house)
    answer = get(app, f"{path}?q=De%20mo")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.facts["route"] == "browse"
    assert "1 project for “De mo”, of 2" in answer.text
    assert 'value="De mo"' in answer.text
    answer = get(app, f"{path}?q=DEM&x=1")
    assert "simple/demo/about.html" in answer.text
    assert "simple/other/about.html" not in answer.text
    assert answer.headers["x-whb-generation"] == "1"
    assert ask(app, "HEAD", f"{path}?q=DEM").headers == answer.headers
    assert get(app, f"{path}?q=DEM", {"If-None-Match": answer.headers["etag"]}).status == 304


@pytest.mark.parametrize("query", ["", "q=", "q=%20", "Q=demo", "&" * 100])
def test_without_a_query_it_is_the_page_that_was_published(house: Wheelhouse, query: str) -> None:
    app = serve(house)
    assert get(app, f"/browse/?{query}").body == (house.root / "browse" / "index.html").read_bytes()


def test_a_query_is_text(house: Wheelhouse) -> None:
    answer = get(serve(house), "/browse/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E%FF%00")
    assert answer.status == 200
    assert "<script>alert" not in answer.text


def test_search_follows_the_generation(house: Wheelhouse) -> None:
    snapshots = Snapshots(house)
    app = make_app(snapshots)
    assert snapshots.refresh()
    assert "simple/demo-two" not in get(app, "/browse/?q=demo").text
    add(house, "demo-two")
    publish_all(house)
    assert snapshots.refresh()
    assert "simple/demo-two" in get(app, "/browse/?q=demo").text


def test_a_generation_without_summaries_has_its_page(house: Wheelhouse) -> None:
    generation = current(house)
    assert generation is not None
    app = serve(house)
    (generation.path / "summaries.json").unlink()
    assert get(app, "/browse/?q=demo").body == (house.root / "browse" / "index.html").read_bytes()


def test_a_log_is_text(house: Wheelhouse) -> None:
    with_log(house, WHEEL)
    app = serve(house)
    answer = get(app, LOG)
    assert (answer.status, answer.text) == (200, TEXT)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    packed = get(app, LOG, {"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.body == house.build_log(WHEEL).read_bytes()
    assert packed.headers["etag"] != answer.headers["etag"]


def test_only_logs_of_wheels_that_are_published(house: Wheelhouse, tmp_path: Path) -> None:
    with_log(house, WHEEL)
    with_log(house, "secret-1.0-py3-none-any.whl")
    (house.state / "logs" / "job.log.gz").write_bytes(gzip.compress(b"secret"))
    house.build_log("other-1.0-py3-none-any.whl").write_bytes(gzip.compress(b"x" * 99)[:-9] + b"y" * 9)
    app = serve(house)
    for path in (
        "/browse/logs/secret-1.0-py3-none-any.whl.log.gz",
        "/browse/logs/other-1.0-py3-none-any.whl.log.gz",
        "/browse/logs/../job.log.gz",
        "/browse/logs/..%2fjob.log.gz",
        "/browse/logs/job.log.gz",
        "/browse/logs/.log.gz",
        "/browse/logs/",
        "/browse/logs",
        f"{LOG}/",
        f"/browse/logs/{WHEEL}",
    ):
        assert get(app, path).status == 404, path
