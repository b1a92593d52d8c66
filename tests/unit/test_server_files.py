"""Wheels and what lies beside the index: what was published is served, byte for byte, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.asgi import ask, get
from tests.houses import add, copy_of, house_with, publish_all
from wheelhouse_builder.index.model import Mark, Status
from wheelhouse_builder.server.app import make_app
from wheelhouse_builder.server.snapshot import Snapshots
from wheelhouse_builder.wheelhouse.generations import current, roll_back
from wheelhouse_builder.wheelhouse.yanking import yank

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp

    from wheelhouse_builder.wheelhouse.store import Wheelhouse

WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    """For tests that change nothing."""
    return house_with(tmp_path_factory.mktemp("files") / "wheelhouse", "demo")


@pytest.fixture
def house(still: Wheelhouse, tmp_path: Path) -> Wheelhouse:
    """The same, to be changed."""
    return copy_of(still, tmp_path / "wheelhouse")


def serve(house: Wheelhouse) -> ASGIApp:
    snapshots = Snapshots(house)
    assert snapshots.refresh()
    return make_app(snapshots)


def now(house: Wheelhouse) -> Path:
    generation = current(house)
    assert generation is not None
    return generation.path


def test_a_wheel(still: Wheelhouse) -> None:
    app, content = serve(still), (still.root / WHEEL).read_bytes()
    answer = get(app, f"/{WHEEL}", {"Accept-Encoding": "gzip"})
    assert (answer.status, answer.body) == (200, content)
    page = get(app, "/simple/demo/", {"Accept": "application/vnd.pypi.simple.v1+json"}).json
    assert answer.headers == {
        "etag": f'"sha256-{page["files"][0]["hashes"]["sha256"]}"',
        "last-modified": answer.headers["last-modified"],
        "accept-ranges": "bytes",
        "cache-control": "max-age=31536000, immutable, public",
        "content-type": "application/octet-stream",
        "content-length": str(len(content)),
        "access-control-allow-origin": "*",
        "x-content-type-options": "nosniff",
    }
    assert answer.facts["route"] == "file"


def test_its_metadata(still: Wheelhouse) -> None:
    app = serve(still)
    answer = get(app, f"/{WHEEL}.metadata")
    assert answer.body == (still.root / f"{WHEEL}.metadata").read_bytes()
    assert answer.headers["cache-control"] == "max-age=31536000, immutable, public"
    assert get(app, f"/{WHEEL}.metadata", {"If-None-Match": answer.headers["etag"]}).status == 304
    assert answer.facts["route"] == "metadata"


def test_what_the_client_has_is_not_sent_again(still: Wheelhouse) -> None:
    app = serve(still)
    whole = get(app, f"/{WHEEL}")
    for condition in ({"If-None-Match": whole.headers["etag"]}, {"If-Modified-Since": whole.headers["last-modified"]}):
        answer = get(app, f"/{WHEEL}", {**condition, "Range": "bytes=0-1"})
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == whole.headers["etag"]
        assert answer.headers["cache-control"] == whole.headers["cache-control"]
    assert get(app, f"/{WHEEL}", {"If-Match": '"other"'}).status == 412


@pytest.mark.parametrize(
    ("header", "part"), [("bytes=0-3", slice(0, 4)), ("bytes=10-", slice(10, None)), ("bytes=-5", slice(-5, None))]
)
def test_one_range(still: Wheelhouse, header: str, part: slice) -> None:
    content = (still.root / WHEEL).read_bytes()
    answer = get(serve(still), f"/{WHEEL}", {"Range": header})
    assert (answer.status, answer.body) == (206, content[part])
    first = content.index(answer.body) if part.start == 0 else range(len(content))[part].start
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.body) - 1}/{len(content)}"
    assert answer.headers["etag"].startswith('"sha256-')


def test_several_ranges(still: Wheelhouse) -> None:
    content = (still.root / WHEEL).read_bytes()
    answer = get(serve(still), f"/{WHEEL}", {"Range": "bytes=0-1,10-11,999999-"})
    assert answer.status == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges; boundary=")
    parts = answer.body.split(b"--" + answer.headers["content-type"].partition("=")[2].encode())
    assert [part.partition(b"\r\n\r\n")[2] for part in parts[1:-1]] == [content[:2] + b"\r\n", content[10:12] + b"\r\n"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=5-2"},
        {"Range": "lines=1-2"},
        {"Range": "nonsense"},
        {"Range": "bytes=0-1", "If-Range": '"other"'},
        {"Range": "bytes=0-1", "If-Range": "W/{etag}"},
        {"Range": "bytes=0-1", "If-Range": "Mon, 01 Jan 2024 00:00:00 GMT"},
        {"Range": "bytes=99999999-", "If-Range": '"other"'},
    ],
)
def test_a_range_that_cannot_be_meant_gives_the_whole_file(still: Wheelhouse, headers: dict[str, str]) -> None:
    app, content = serve(still), (still.root / WHEEL).read_bytes()
    etag = get(app, f"/{WHEEL}").headers["etag"]
    answer = get(app, f"/{WHEEL}", {name: value.replace("{etag}", etag) for name, value in headers.items()})
    assert (answer.status, answer.body) == (200, content)


@pytest.mark.parametrize("validator", ["etag", "last-modified"])
def test_a_download_goes_on_if_the_file_is_the_same(still: Wheelhouse, validator: str) -> None:
    app = serve(still)
    told = get(app, f"/{WHEEL}").headers[validator]
    assert get(app, f"/{WHEEL}", {"Range": "bytes=3-", "If-Range": told}).status == 206


def test_a_range_behind_the_end(still: Wheelhouse) -> None:
    size = (still.root / WHEEL).stat().st_size
    answer = get(serve(still), f"/{WHEEL}", {"Range": f"bytes={size}-"})
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{size}")


def test_head_has_no_ranges(still: Wheelhouse) -> None:
    answer = ask(serve(still), "HEAD", f"/{WHEEL}", {"Range": "bytes=0-1"})
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str((still.root / WHEEL).stat().st_size)


def test_what_is_not_published_is_not_there(house: Wheelhouse) -> None:
    admitted = add(house, "demo", "2.0")
    foreign = house.root / "foreign-1.0-py3-none-any.whl"
    foreign.write_bytes(b"PK")
    app = serve(house)
    for name in (admitted, f"{admitted}.metadata", foreign.name, "demo-1.0-py2-none-any.whl", "demo.whl", "x.metadata"):
        assert get(app, f"/{name}").status == 404


def test_wheels_of_an_older_generation_are_still_there(house: Wheelhouse) -> None:
    """After a roll-back, clients hold pages that name what the current generation does not."""
    newer = add(house, "demo", "2.0")
    other = add(house, "other", "1.0")
    publish_all(house)
    with house.lock():
        roll_back(house)
    app = serve(house)
    assert get(app, "/simple/demo/").headers["x-whb-generation"] == "1"
    assert get(app, f"/{newer}").status == 200
    assert get(app, f"/{newer}.metadata").status == 200
    assert get(app, f"/{other}").status == 200


@pytest.mark.parametrize(
    "target",
    [
        f"/../wheelhouse/{WHEEL}",
        f"/simple/../{WHEEL}",
        f"/%2e%2e/wheelhouse/{WHEEL}",
        f"/..%2f{WHEEL}",
        f"/.%5c{WHEEL}",
        f"/%00{WHEEL}",
        f"/{WHEEL}%00",
        f"/{WHEEL}%00.whl",
        f"//{WHEEL}",
        f"/./{WHEEL}",
        f"/{WHEEL}/",
        f"/simple/{WHEEL}",
        f"/simple/demo/{WHEEL}",
        f"/{WHEEL.upper()}",
        "/.whb/records.sqlite",
        "/.whb/current/manifest.json",
        "/simple/demo/../../.whb/records.sqlite",
        "/simple/demo/..%2f..%2f..%2fmanifest.json",
        "/simple/../manifest.json",
        "/manifest.json",
        "/browse/../manifest.json",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/simple/demo/%2fetc%2fpasswd",
        "/simple/%2e%2e/",
        "/simple/demo/index.v1_json.gz",
    ],
)
def test_tricks_with_paths_find_nothing(still: Wheelhouse, target: str) -> None:
    assert get(serve(still), target).status == 404


def test_a_link_in_place_of_a_file_is_not_followed(house: Wheelhouse, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes((house.root / WHEEL).read_bytes())
    for name in (WHEEL, f"{WHEEL}.metadata"):
        (house.root / name).unlink()
        (house.root / name).symlink_to(secret)
    folder = now(house)
    (folder / "browse").mkdir(exist_ok=True)
    for place in (folder / "browse/leak.html", folder / "simple/demo/leak.txt", folder / "requirements-leak.txt"):
        place.symlink_to(secret)
    app = serve(house)
    for target in (WHEEL, f"{WHEEL}.metadata", "browse/leak.html", "simple/demo/leak.txt", "requirements-leak.txt"):
        assert get(app, f"/{target}").status == 404, target


@pytest.mark.parametrize("suffix", ["", ".metadata"])
def test_a_file_that_is_gone_or_another_is_404_and_in_the_log(
    house: Wheelhouse, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    app, path = serve(house), house.root / f"{WHEEL}{suffix}"
    path.write_bytes(path.read_bytes()[:-1])
    assert get(app, f"/{path.name}").status == 404
    assert "is not what it was" in caplog.text
    path.unlink()
    assert get(app, f"/{path.name}").status == 404
    assert "cannot be read" in caplog.text


def test_what_lies_beside_the_index(house: Wheelhouse) -> None:
    folder = now(house)
    (folder / "browse").mkdir(exist_ok=True)
    texts = {
        "requirements-cp312-musllinux_1_2_aarch64.txt": "text/plain; charset=utf-8",
        "pylock.cp312-musllinux_1_2_aarch64.toml": "application/toml",
        "browse/index.html": "text/html; charset=utf-8",
        "simple/demo/about.html": "text/html; charset=utf-8",
        "simple/demo/build-1.log": "text/plain; charset=utf-8",
    }
    for name in texts:
        (folder / name).write_text(f"{name} {'.' * 500}")
        (folder / f"{name}.gz").unlink(missing_ok=True)
        (folder / f"{name}.zst").unlink(missing_ok=True)
    (folder / "simple/demo/secret.sqlite").write_text("x")
    app = serve(house)
    for name, media_type in texts.items():
        answer = get(app, f"/{name}")
        assert (answer.status, answer.headers["content-type"]) == (200, media_type)
        assert answer.text.startswith(name)
        assert answer.headers["cache-control"].startswith("max-age=60")
        assert get(app, f"/{name}", {"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip"
        assert get(app, f"/{name}", {"If-None-Match": answer.headers["etag"]}).status == 304
    assert get(app, "/browse/").text.startswith("browse/index.html")
    assert get(app, "/browse").headers["location"] == "browse/"
    assert get(app, "/").headers["location"] == "browse/"
    assert get(app, "/simple/demo/secret.sqlite").status == 404
    assert get(app, "/simple/nothing/about.html").status == 404


def test_a_text_that_went_away_is_404(house: Wheelhouse, caplog: pytest.LogCaptureFixture) -> None:
    lock = now(house) / "requirements-x.txt"
    lock.write_text("x")
    app = serve(house)
    lock.unlink()
    assert get(app, "/requirements-x.txt").status == 404
    assert "cannot be read" in caplog.text


def test_a_yanked_wheel_is_still_there(house: Wheelhouse) -> None:
    with house.lock():
        yank(house, canonicalize_name("demo"), Version("1.0"), "broken")
    app = serve(house)
    page = get(app, "/simple/demo/", {"Accept": "application/vnd.pypi.simple.v1+json"}).json
    assert page["files"][0]["yanked"] == "broken"
    assert get(app, f"/{WHEEL}").status == 200


def test_nothing_of_a_project_in_quarantine_is_there(house: Wheelhouse) -> None:
    other = add(house, "other")
    house.records.set_mark(canonicalize_name("demo"), Mark(status=Status.QUARANTINED, reason="malware"))
    publish_all(house)
    app = serve(house)
    assert get(app, "/simple/demo/").status == 200
    assert get(app, f"/{WHEEL}").status == 404  # though the generation before names it
    assert get(app, f"/{WHEEL}.metadata").status == 404
    assert get(app, f"/{other}").status == 200
