"""Stubs among the wheels: published, looked at, withdrawn, collected, served and copied as wheels are."""

from __future__ import annotations

import json
import os
import resource
import shutil
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.asgi import ask, get
from tests.houses import MOMENT, add, add_stub, publish_all
from tests.stores import MemoryStore
from wheelhouse_builder.cli import main
from wheelhouse_builder.cli.stub import _write
from wheelhouse_builder.errors import DamagedError, JobError, UsageError
from wheelhouse_builder.index.model import Mark, Status
from wheelhouse_builder.remote.copying import Copying, copy_generation
from wheelhouse_builder.remote.items import DirectoryPages, Stage, Verify, headers_of
from wheelhouse_builder.server.app import make_app
from wheelhouse_builder.server.snapshot import Snapshots
from wheelhouse_builder.wheelhouse import disk
from wheelhouse_builder.wheelhouse.generations import (
    Generation,
    current,
    lost_files,
    named_files,
    note_lost_pages,
    publish,
    roll_back,
)
from wheelhouse_builder.wheelhouse.marking import mark
from wheelhouse_builder.wheelhouse.retention import find_garbage, remove
from wheelhouse_builder.wheelhouse.soundness import Trouble
from wheelhouse_builder.wheelhouse.store import Wheelhouse
from wheelhouse_builder.wheelhouse.stubs import stub_of
from wheelhouse_builder.wheelhouse.yanking import yank

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

DEMO, ONE = canonicalize_name("demo"), Version("1.0")
WHEEL, STUB = "demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz"
LATER = MOMENT + timedelta(days=1)
URL = "http://wheels.example/simple/"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two versions, and a stub of the older one: not published yet, and published. Not to be changed."""
    house = Wheelhouse(tmp_path_factory.mktemp("stubs") / "wheelhouse")
    add(house)
    add(house, version="2.0")
    publish_all(house)
    assert add_stub(house) == STUB
    published = house.root.with_name("published")
    shutil.copytree(house.root, published, symlinks=True)
    publish_all(Wheelhouse(published), now=LATER)
    return house.root, published


@pytest.fixture
def house(made: tuple[Path, Path], tmp_path: Path) -> Wheelhouse:
    """The first of them, to be changed."""
    return Wheelhouse(Path(shutil.copytree(made[0], tmp_path / "wheelhouse", symlinks=True)))


@pytest.fixture
def published(made: tuple[Path, Path], tmp_path: Path) -> Wheelhouse:
    """The second, to be changed."""
    return Wheelhouse(Path(shutil.copytree(made[1], tmp_path / "wheelhouse", symlinks=True)))


def now(house: Wheelhouse) -> Generation:
    generation = current(house)
    assert generation is not None
    return generation


def page(house: Wheelhouse) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((house.root / "simple" / "demo" / "index.v1_json").read_bytes())
    return document


def names(house: Wheelhouse) -> list[str]:
    return [file["filename"] for file in page(house)["files"]]


# publication


def test_a_stub_is_on_every_page(published: Wheelhouse) -> None:
    stub = published.root / STUB
    (record,) = published.records.stubs()
    document = page(published)
    assert document["files"][-1] == {
        "filename": STUB,
        "url": f"../../{STUB}",
        "hashes": {"sha256": record.sha256},
        "size": stub.stat().st_size,
        "requires-python": ">=3.8",
        "upload-time": "2026-01-03T03:04:05.000000Z",
    }
    assert document["versions"] == ["1.0", "2.0"]
    html = (published.root / "simple" / "demo" / "index.html").read_text(encoding="utf-8")
    flat = (published.root / "links" / "index.html").read_text(encoding="utf-8")
    for text, place in ((html, "../../"), (flat, "../")):
        assert f'<a href="{place}{STUB}#sha256={record.sha256}" data-requires-python="&gt;=3.8" data-size="' in text
    about = (published.root / "simple" / "demo" / "about.html").read_text(encoding="utf-8")
    assert about.count(f'<a href="../../{STUB}">{STUB}</a> · a stub: it holds no source') == 1


def test_only_the_project_of_a_stub_is_rendered_again(house: Wheelhouse) -> None:
    add(house, "other")
    publish_all(house)
    links = {name: (now(house).path / "simple" / name).readlink() for name in ("demo", "other")}
    add_stub(house, version="2.0")
    publish_all(house)
    assert (now(house).path / "simple" / "other").readlink() == links["other"]
    assert (now(house).path / "simple" / "demo").readlink() != links["demo"]


def test_the_same_stub_again_is_no_news(published: Wheelhouse) -> None:
    (before,) = published.records.stubs()
    add_stub(published)
    with published.lock():
        assert publish(published, {}, now=LATER + timedelta(days=1)) is None
    assert published.records.stubs() == (before,)


def test_all_pages_written_anew_are_the_same(published: Wheelhouse) -> None:
    with published.lock():
        note_lost_pages(published, thorough=True)
        assert publish(published, {}) is None


def test_a_stub_is_looked_at_once(published: Wheelhouse, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr("wheelhouse_builder.wheelhouse.soundness.sha256_of", read.append)
    with published.lock():
        assert published.check() == []
    assert read == []


def test_wheels_are_taken_in_beside_a_stub(published: Wheelhouse) -> None:
    assert add(published, requires=("other",)) == "demo-1.0-1-py3-none-any.whl"
    assert add(published, version="3.0") == "demo-3.0-py3-none-any.whl"
    publish_all(published)
    assert len(names(published)) == 5


# one name, one content


def test_a_name_stands_for_one_content(published: Wheelhouse) -> None:
    with pytest.raises(JobError, match=rf"{STUB} is in .*wheelhouse with other content") as caught:
        add_stub(published, place="https://moved.example/simple/")
    assert "WHB_WHEELHOUSE" in (caught.value.hint or "")
    assert len(published.records.stubs()) == 1


def test_a_stub_that_nobody_saw_may_be_made_anew(house: Wheelhouse) -> None:
    (house.root / STUB).unlink()
    add_stub(house, place="https://moved.example/simple/")
    publish_all(house)
    assert STUB in names(house)


def test_who_dies_while_a_stub_is_taken_in_leaves_no_file_without_a_record(
    house: Wheelhouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for effect in ("write", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(disk, effect, _die)
            with pytest.raises(KeyboardInterrupt):
                add_stub(house, version="2.0")
        assert not (house.root / "demo-2.0.tar.gz").exists()
        assert house.check() == []
    add_stub(house, version="2.0")
    publish_all(house)
    assert "demo-2.0.tar.gz" in names(house)


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_sdist_that_somebody_put_there_is_not_replaced(house: Wheelhouse) -> None:
    (house.root / "demo-2.0.tar.gz").write_bytes(b"the real one")
    with pytest.raises(JobError, match="with other content"):
        add_stub(house, version="2.0")
    assert (house.root / "demo-2.0.tar.gz").read_bytes() == b"the real one"


def test_a_version_without_wheels_has_no_stub(house: Wheelhouse) -> None:
    with pytest.raises(UsageError, match=r"demo==3\.0 is not in") as caught:
        stub_of(house, DEMO, Version("3.0"), URL)
    assert caught.value.hint == "of demo there is 1.0, 2.0"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"Name: other")])
def test_no_stub_is_made_of_damaged_metadata(damage: Callable[[Path], object], house: Wheelhouse) -> None:
    damage(house.root / f"{WHEEL}.metadata")
    with pytest.raises(DamagedError, match=f"the metadata of {WHEEL} is gone or damaged"):
        stub_of(house, DEMO, ONE, URL)


@pytest.mark.parametrize("status", [Status.ARCHIVED, Status.QUARANTINED])
def test_a_closed_project_takes_no_stub(status: Status, house: Wheelhouse) -> None:
    with house.lock():
        mark(house, DEMO, Mark(status=status))
    with pytest.raises(JobError, match=f"demo is {status}"):
        add_stub(house, version="2.0")


def test_a_closed_project_takes_the_stub_that_it_had(published: Wheelhouse) -> None:
    with published.lock():
        mark(published, DEMO, Mark(status=Status.ARCHIVED))
    (published.root / STUB).unlink()
    add_stub(published)
    assert (published.root / STUB).is_file()


# what wheels are withdrawn from, a stub is too


@pytest.mark.parametrize("pin", ["1", "1.0.0"])
def test_a_version_may_be_spelled_otherwise(pin: str, house: Wheelhouse) -> None:
    """A stub has the spelling of the wheels, so that there is one, and what is told of the version holds for it."""
    assert add_stub(house, version=pin) == STUB


def test_a_stub_is_yanked_with_its_version(published: Wheelhouse) -> None:
    with published.lock():
        yank(published, DEMO, ONE, "bad")
    assert [(file["filename"], file.get("yanked")) for file in page(published)["files"]] == [
        (WHEEL, "bad"),
        ("demo-2.0-py3-none-any.whl", None),
        (STUB, "bad"),
    ]


def test_a_quarantined_project_offers_no_stub(published: Wheelhouse) -> None:
    with published.lock():
        mark(published, DEMO, Mark(status=Status.QUARANTINED))
    assert names(published) == []
    assert STUB not in (published.root / "links" / "index.html").read_text(encoding="utf-8")


def test_a_stub_goes_with_the_last_wheel_of_its_version_and_comes_back_with_it(published: Wheelhouse) -> None:
    """It could only fail, and installers would prefer a newer version that fails to an older one that works."""
    wheel, first = (published.root / WHEEL).read_bytes(), published.records.stubs()[0].published_at
    (published.root / WHEEL).unlink()
    with published.lock():
        published.check()
        assert publish(published, {}) is not None
    assert (names(published), page(published)["versions"]) == (["demo-2.0-py3-none-any.whl"], ["2.0"])
    (published.root / WHEEL).write_bytes(wheel)
    with published.lock():
        published.check()
        publish(published, {})
    assert STUB in names(published)
    assert published.records.stubs()[0].published_at == first


def test_a_stub_that_is_not_offered_was_not_published(house: Wheelhouse) -> None:
    (house.root / WHEEL).unlink()
    with house.lock():
        house.check()
        publish(house, {})
    assert house.records.stubs()[0].published_at is None


def test_a_project_of_stubs_alone_has_no_page(tmp_path: Path) -> None:
    house = Wheelhouse(tmp_path / "wheelhouse")
    add(house)
    add(house, "other")
    add_stub(house)
    (house.root / WHEEL).unlink()
    publish_all(house)
    assert [path.name for path in (house.root / "simple").iterdir() if path.is_dir()] == ["other"]


# damage


def test_a_stub_that_changed_is_not_published(house: Wheelhouse) -> None:
    (house.root / STUB).write_bytes(b"another")
    with house.lock(), pytest.raises(DamagedError, match=f"{STUB} is damaged") as caught:
        publish(house, {})
    assert "`whb stub` makes it again" in (caught.value.hint or "")


def test_damage_that_size_and_time_do_not_show_is_found(published: Wheelhouse) -> None:
    path = published.root / STUB
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + b"!")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert published.check() == []
    assert [(p.path, p.trouble) for p in published.check(thorough=True)] == [(path, Trouble.CHANGED)]


def test_a_stub_that_is_gone_is_told_and_no_longer_offered(published: Wheelhouse) -> None:
    (published.root / STUB).unlink()
    with published.lock():
        (problem,) = published.check()
        publish(published, {})
    assert (problem.trouble, problem.remedy) == (Trouble.MISSING, "`whb stub` makes it again")
    assert STUB not in names(published)


def test_a_copied_wheelhouse_notes_its_stubs_anew(published: Wheelhouse) -> None:
    os.utime(published.root / STUB, ns=(1, 1))
    with published.lock():
        assert published.check() == []
    seen = {facts.filename: facts.seen for facts in published.records.facts()}
    assert seen[STUB] == (1, 0, 0)


# generations


def test_a_generation_names_its_stubs(published: Wheelhouse) -> None:
    assert named_files(now(published))[STUB] == published.records.stubs()[0].sha256
    assert lost_files(published, now(published)) == []


def test_there_is_no_way_back_to_a_generation_whose_stub_is_gone(published: Wheelhouse) -> None:
    (published.root / STUB).unlink()
    with published.lock():
        published.check()
        publish(published, {})
        with pytest.raises(DamagedError, match=STUB):
            roll_back(published)


def test_gc_keeps_a_stub_that_a_generation_names(published: Wheelhouse) -> None:
    assert find_garbage(published, grace=timedelta()).files == ()


def withdrawn(house: Wheelhouse) -> Wheelhouse:
    """Only an old generation names the stub."""
    (house.root / WHEEL).unlink()
    with house.lock():
        house.check()
        publish(house, {})
    add(house, "other")
    publish_all(house)
    return house


def test_gc_removes_a_stub_that_nothing_names(published: Wheelhouse) -> None:
    withdrawn(published)
    assert published.root / STUB not in find_garbage(published, keep=1).files  # its grace
    with published.lock():
        garbage = find_garbage(published, keep=1, grace=timedelta(), now=LATER.replace(year=2100))
        assert published.root / STUB in garbage.files
        assert STUB in garbage.records
        remove(published, garbage)
    assert not (published.root / STUB).exists()
    assert (published.records.stubs(), STUB in {facts.filename for facts in published.records.facts()}) == ((), False)


def test_the_name_of_a_stub_stays_taken_when_it_is_gone(published: Wheelhouse) -> None:
    withdrawn(published)
    with published.lock():
        remove(published, find_garbage(published, keep=1, grace=timedelta(), now=LATER.replace(year=2100)))
    add(published)
    with pytest.raises(JobError, match="with other content"):
        add_stub(published, place="https://moved.example/simple/")
    add_stub(published)
    publish_all(published)
    assert STUB in names(published)


# the server


def serve(house: Wheelhouse) -> ASGIApp:
    snapshots = Snapshots(house)
    assert snapshots.refresh()
    return make_app(snapshots)


def test_a_stub_is_served_as_it_is(published: Wheelhouse) -> None:
    app, content = serve(published), (published.root / STUB).read_bytes()
    answer = get(app, f"/{STUB}", {"Accept-Encoding": "gzip, zstd"})
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["cache-control"] == "max-age=31536000, immutable, public"
    assert "content-encoding" not in answer.headers
    assert answer.facts["route"] == "file"
    assert get(app, f"/{STUB}", {"If-None-Match": answer.headers["etag"]}).status == 304
    assert get(app, f"/{STUB}", {"Range": "bytes=0-9"}).body == content[:10]
    assert (ask(app, "HEAD", f"/{STUB}").status, ask(app, "HEAD", f"/{STUB}").body) == (200, b"")


def test_a_stub_of_an_older_page_is_served(published: Wheelhouse) -> None:
    withdrawn(published)
    assert get(serve(published), f"/{STUB}").status == 200


def test_a_stub_of_a_quarantined_project_is_not_served(published: Wheelhouse) -> None:
    with published.lock():
        mark(published, DEMO, Mark(status=Status.QUARANTINED))
    assert get(serve(published), f"/{STUB}").status == 404


@pytest.mark.parametrize(
    "path",
    [
        f"/{STUB}.metadata",
        "/demo-2.0.tar.gz",
        "/other.tar.gz",
        "/.tar.gz",
        "/-.tar.gz",
        "/demo-x.tar.gz",
        f"/simple/demo/{STUB}",
        f"/{'d' * 300}-1.0.tar.gz",
        "/..%2fdemo-1.0.tar.gz",
        "/.whb-1.0.tar.gz",
    ],
)
def test_no_other_sdist_is_served(path: str, published: Wheelhouse) -> None:
    (published.root / "demo-2.0.tar.gz").write_bytes(b"nobody published it")
    assert get(serve(published), path).status == 404


# elsewhere


def test_a_stub_is_copied_before_the_pages_and_never_over_another(published: Wheelhouse) -> None:
    store = MemoryStore()
    copying = Copying(store=store, verify=Verify.QUICK, pages=DirectoryPages.HTML, workers=1)
    copied = copy_generation(copying, now(published), published.root)
    (item,) = [item for item in copied.uploads if item.key == STUB]
    assert (item.stage, item.immutable, item.sha256) == (Stage.WHEELS, True, published.records.stubs()[0].sha256)
    assert f"{STUB}.metadata" not in {item.key for item in copied.uploads}


def test_a_stub_is_not_said_to_be_encoded() -> None:
    headers = headers_of(STUB)
    assert (headers.content_type, headers.content_encoding) == ("application/octet-stream", None)
    assert headers.cache_control == headers_of(WHEEL).cache_control


# the command


def test_a_stub_is_written_where_it_is_wanted(
    house: Wheelhouse, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["stub", "Demo==2.0", "-o", "new/out"]) == 0
    assert capfd.readouterr().out == "new/out/demo-2.0.tar.gz\n"
    made = (tmp_path / "new" / "out" / "demo-2.0.tar.gz").read_bytes()
    assert made == stub_of(house, DEMO, Version("2.0"), str(tmp_path / "wheelhouse")).content
    assert main(["stub", "demo==2.0", "-o", "new/out"]) == 0
    assert [stub.filename for stub in house.records.stubs()] == [STUB]


def test_a_disk_that_is_full_keeps_no_part_of_a_stub(house: Wheelhouse, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    stub = stub_of(house, DEMO, ONE, URL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            _write(stub, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_real_sdist_is_not_written_over(
    house: Wheelhouse, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / STUB).write_bytes(b"the real one")
    assert main(["stub", "demo==1.0", "-o", "."]) == 2
    assert "demo-1.0.tar.gz is there with other content" in capfd.readouterr().err
    assert (tmp_path / STUB).read_bytes() == b"the real one"


def test_a_folder_that_is_none_is_told(house: Wheelhouse, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    (tmp_path / STUB).mkdir()
    for folder in ("file", "file/below", "."):
        assert main(["stub", "demo==1.0", "-o", folder]) == 2
        assert f"error: {Path(folder, STUB)} cannot be written: " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://wheels.example", URL),
        (URL, URL),
        ("https://wheels.example/team/", "https://wheels.example/team/simple/"),
        ("/wheelhouse", "/wheelhouse"),
    ],
)
def test_a_stub_is_published_with_the_place_of_its_wheels(
    url: str, place: str, house: Wheelhouse, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["stub", "demo==2.0", "--publish", "--url", url]) == 0
    assert capfd.readouterr().out == f"{house.root}: generation 2, demo-2.0.tar.gz is published\n"
    assert names(house)[-1] == "demo-2.0.tar.gz"
    content = (house.root / "demo-2.0.tar.gz").read_bytes()
    assert content == stub_of(house, DEMO, Version("2.0"), place).content
    assert main(["stub", "demo==2.0", "--publish", "--url", url]) == 0
    assert capfd.readouterr().out == f"{house.root}: generation 2, as it was\n"


def test_a_stub_as_json(house: Wheelhouse, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["stub", "demo==2.0", "--publish", "--url", "/w", "-o", "out", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document == {
        "schema": "whb.stub/1",
        "filename": "demo-2.0.tar.gz",
        "sha256": house.records.stubs()[1].sha256,
        "path": "out/demo-2.0.tar.gz",
        "wheelhouse": str(house.root),
        "generation": 2,
        "changed": True,
    }
    assert main(["stub", "demo==1.0", "-o", "out", "--json"]) == 0
    assert json.loads(capfd.readouterr().out).keys() == {"schema", "filename", "sha256", "path"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["demo==1.0"], 2, "nothing is to be done with the stub"),
        (["demo==1.0", "--publish"], 2, "--url is missing"),
        (["demo==1.0", "--publish", "--url", "ftp://host/"], 2, "it has to begin with http"),
        (["demo==1.0", "--publish", "--url", "https://me:secret@host/"], 2, "has a user or a password in it"),
        (["demo==1.0", "--publish", "--url", "wheelhouse"], 2, "it has to begin with http"),
        (["demo", "-o", "."], 2, "does not name one version"),
        (["demo==9", "-o", "."], 2, "demo==9 is not in"),
        (["demo==1.0", "-o", ".", "-w", "nothing"], 2, "nothing is no wheelhouse"),
    ],
)
def test_what_cannot_be_is_told(
    arguments: list[str], code: int, told: str, house: Wheelhouse, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["stub", *arguments]) == code
    assert told in capfd.readouterr().err
    assert [stub.published_at for stub in house.records.stubs()] == [None]
