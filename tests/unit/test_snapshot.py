"""A generation in memory: read whole or not at all, taken over where nothing changed, swapped as one."""

from __future__ import annotations

import gzip
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.houses import add, copy_of, house_with, publish_all
from wheelhouse_builder.errors import DamagedError
from wheelhouse_builder.server.documents import read_document
from wheelhouse_builder.server.negotiation import Coding
from wheelhouse_builder.server.snapshot import Snapshots, load
from wheelhouse_builder.wheelhouse.generations import current, roll_back
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wheelhouse_builder.wheelhouse.generations import Generation


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    return house_with(tmp_path_factory.mktemp("made") / "wheelhouse", "one", "two")


@pytest.fixture
def house(made: Wheelhouse, tmp_path: Path) -> Wheelhouse:
    return copy_of(made, tmp_path / "wheelhouse")


def now(house: Wheelhouse) -> Generation:
    generation = current(house)
    assert generation is not None
    return generation


def test_a_generation_is_read_with_all_its_pages(house: Wheelhouse) -> None:
    snapshots = Snapshots(house)
    assert snapshots.refresh()
    assert snapshots.current is not None
    assert set(snapshots.current.pages) == {"/simple/", "/simple/one/", "/simple/two/", "/links/"}
    one = snapshots.current.pages["/simple/one/"]
    assert one.json is not None
    assert json.loads(one.json.plain)["name"] == "one"
    assert one.html.plain == (now(house).path / "simple/one/index.html").read_bytes()
    packed = one.json.codings[Coding.GZIP].body
    assert isinstance(packed, bytes)
    assert gzip.decompress(packed) == one.json.plain


def test_entity_tags_differ_between_codings_and_contents(house: Wheelhouse) -> None:
    snapshot = load(now(house))
    tags = [
        packed.etag
        for page in snapshot.pages.values()
        for document in (page.html, page.json)
        if document
        for packed in document.codings.values()
    ]
    assert len(set(tags)) == len(tags)
    again = load(now(house))
    assert again.pages["/simple/one/"].html.codings == snapshot.pages["/simple/one/"].html.codings


def test_a_refresh_without_news_keeps_the_snapshot(house: Wheelhouse) -> None:
    snapshots = Snapshots(house)
    snapshots.refresh()
    before = snapshots.current
    assert not snapshots.refresh()
    assert snapshots.current is before


def test_what_did_not_change_is_taken_over(house: Wheelhouse) -> None:
    snapshots = Snapshots(house)
    snapshots.refresh()
    before = snapshots.current
    add(house, "two", "2.0")
    publish_all(house)
    assert snapshots.refresh()
    after = snapshots.current
    assert before is not None
    assert after is not None
    assert after.pages["/simple/one/"] is before.pages["/simple/one/"]
    assert after.pages["/simple/two/"] is not before.pages["/simple/two/"]
    assert before.generation.number == 1  # who has the old one goes on with it
    assert after.generation.number == 2


def test_a_roll_back_is_taken_up(house: Wheelhouse) -> None:
    add(house, "two", "2.0")
    publish_all(house)
    snapshots = Snapshots(house)
    snapshots.refresh()
    with house.lock():
        roll_back(house)
    assert snapshots.refresh()
    assert snapshots.current is not None
    assert snapshots.current.generation.number == 1


def test_another_generation_of_the_same_number_is_noticed(house: Wheelhouse, tmp_path: Path) -> None:
    snapshots = Snapshots(house)
    snapshots.refresh()
    shutil.rmtree(house.root)
    house_with(house.root, "three")
    assert snapshots.refresh()
    assert snapshots.current is not None
    assert set(snapshots.current.projects) == {"three"}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def stale_gzip(path: Path) -> None:
    path.with_name("index.html.gz").write_bytes(gzip.compress(b"of another time"))


def bend(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "empty manifest": lambda path: (path / "manifest.json").write_bytes(b""),
    "manifest of something else": lambda path: (path / "manifest.json").write_bytes(b'{"form": 1, "projects": [1]}'),
    "a manifest without a bottom": lambda path: (path / "manifest.json").write_bytes(b"[" * 100_000),
    "no list of projects": lambda path: (path / "simple/index.v1_json").unlink(),
    "a list without a project": lambda path: (path / "simple/index.v1_json").write_bytes(b'{"projects": []}'),
    "no HTML page of a project": lambda path: (path / "simple/two/index.html").unlink(),
    "half a JSON page of a project": lambda path: cut(path / "simple/two/index.v1_json"),
    "the page of another project": lambda path: shutil.copy(
        path / "simple/one/index.v1_json", path / "simple/two/index.v1_json"
    ),
    "a packed copy of something else": lambda path: stale_gzip(path / "simple/two/index.html"),
    "half a packed copy": lambda path: cut(path / "simple/two/index.html.gz"),
    "a bent zstd copy": lambda path: bend(path / "simple/two/index.v1_json.zst"),
    "no flat page": lambda path: (path / "links/index.html").unlink(),
    "nothing left": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_generation_never_replaces_a_good_one(house: Wheelhouse, damage: str) -> None:
    told: list[str] = []
    snapshots = Snapshots(house, on_problem=told.append)
    snapshots.refresh()
    before = snapshots.current
    add(house, "two", "2.0")
    DAMAGES[damage](publish_all(house).path)
    assert not snapshots.refresh()
    assert not snapshots.refresh()
    assert snapshots.current is before
    assert len(told) == 1  # said once, not every second
    assert snapshots.problem == told[0]
    with house.lock():
        roll_back(house, 1)
    snapshots.refresh()
    assert snapshots.problem is None


def test_a_wheelhouse_without_a_generation_says_so(tmp_path: Path) -> None:
    told: list[str] = []
    snapshots = Snapshots(Wheelhouse(tmp_path / "nowhere"), on_problem=told.append)
    assert not snapshots.refresh()
    assert snapshots.current is None
    assert told == [f"{tmp_path / 'nowhere'} has no generation: `whb index` publishes one"]


def test_a_link_to_something_else_is_a_problem_and_no_crash(house: Wheelhouse) -> None:
    snapshots = Snapshots(house, on_problem=lambda text: None)
    snapshots.refresh()
    house.current.unlink()
    house.current.symlink_to("generations/no-number")
    assert not snapshots.refresh()
    assert snapshots.problem


def test_a_damaged_generation_raises(house: Wheelhouse) -> None:
    generation = now(house)
    (generation.path / "simple/one/index.html").unlink()
    with pytest.raises(DamagedError, match="generation 1 is damaged"):
        load(generation)


def test_small_texts_without_copies_are_packed(tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_bytes(b"<p>" * 500)
    codings = read_document(path).codings
    assert set(codings) == set(Coding)
    copy = codings[Coding.GZIP].body
    assert isinstance(copy, bytes)
    assert gzip.decompress(copy) == path.read_bytes()
    path.write_bytes(b"<p>")
    assert set(read_document(path).codings) == {Coding.IDENTITY}


def test_large_texts_stay_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_bytes(b"x" * (4 << 20) + b"y")
    whole = read_document(path).codings[Coding.IDENTITY]
    assert (whole.body, whole.size) == (path, (4 << 20) + 1)
    assert read_document(path).plain == path.read_bytes()
