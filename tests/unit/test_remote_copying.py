"""Whole publications to a store in memory: killed at each write, resumed, rolled back, disputed."""

from __future__ import annotations

import contextlib
import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stores import Killed, MemoryStore, digest
from tests.wheels import make_wheel
from wheelhouse_builder.errors import Cancelled, DamagedError, WhbError
from wheelhouse_builder.events import JobFinished, Outcome
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.remote import manifest
from wheelhouse_builder.remote.copying import Copied, Copying, copy_generation
from wheelhouse_builder.remote.folder import FolderStore
from wheelhouse_builder.remote.items import DirectoryPages, Verify
from wheelhouse_builder.target import Target
from wheelhouse_builder.wheelhouse.generations import Generation, publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.events import Event

FIRST = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TARGET = Target.parse("cp312-musllinux_1_2_aarch64")


@dataclass(frozen=True)
class Published:
    """A wheelhouse with three generations: one project, a new version and a new project, a new version of that."""

    root: Path
    generations: tuple[Generation, ...]

    def copy(self, store: MemoryStore, number: int, *, verify: str = "quick", pages: str = "html") -> Copied:
        copying = Copying(store=store, verify=Verify(verify), pages=DirectoryPages(pages), workers=1)
        return copy_generation(copying, self.generations[number], self.root)

    def fresh(self, number: int, *, pages: str = "html") -> MemoryStore:
        store = MemoryStore()
        self.copy(store, number, pages=pages)
        return store


LOG = "browse/logs/one-1.0-py3-none-any.whl.log.gz"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Published:
    folder = tmp_path_factory.mktemp("remote")
    house, generations, log = Wheelhouse(folder / "wheelhouse"), [], folder / "log.gz"
    log.write_bytes(gzip.compress(b"built"))
    steps = [{"one": "1.0"}, {"one": "2.0", "two": "1.0"}, {"two": "1.1"}]
    for number, step in enumerate(steps):
        with house.lock():
            for name, version in step.items():
                wheel = make_wheel(folder, name=name, version=version)
                stored = house.admit(wheel, record_of(wheel, origin="built"), log=None if number else log)
            selections = {TARGET: [stored.filename]} if number == 1 else {}
            generation = publish(house, selections, now=FIRST + timedelta(days=number))
        assert generation is not None
        generations.append(generation)
    return Published(house.root, tuple(generations))


def pages_of(store: MemoryStore) -> dict[str, bytes]:
    """All but wheels, which stay, and the manifest."""
    return {key: data for key, data in store.objects.items() if ".whl" not in key and key != manifest.KEY}


def check_reader(store: MemoryStore) -> None:
    """What a client that comes now would meet: no page without its files, no listed project without its page."""
    for key, content in store.objects.items():
        if key.startswith("simple/") and key.endswith("/index.v1_json") and key.count("/") == 2:
            for file in json.loads(content)["files"]:
                assert digest(store.objects[file["filename"]]) == file["hashes"]["sha256"]
                assert digest(store.objects[f"{file['filename']}.metadata"]) == file["core-metadata"]["sha256"]
    for project in json.loads(store.objects.get("simple/index.v1_json", b'{"projects": []}'))["projects"]:
        assert f"simple/{project['name']}/index.html" in store.objects


def test_a_publication_has_all_that_the_generation_has(house: Published) -> None:
    store = house.fresh(1)
    top = house.generations[1].path
    expected = {f"simple/{n}/{p.name}" for n in ("one", "two") for p in (top / "simple" / n).iterdir()}
    expected |= {f"simple/{path.name}" for path in (top / "simple").glob("index.*")}
    beside = [path for folder in ("links", "browse") for path in top.glob(f"{folder}/*")]
    expected |= {path.relative_to(top).as_posix() for path in beside if path.is_file()} | {LOG}
    expected |= {"links/", "browse/", "simple/"}
    expected |= {f"requirements-{TARGET}.txt", f"pylock.{TARGET}.toml", "simple/one/", "simple/two/", manifest.KEY}
    wheels = {f"{n}-py3-none-any.whl{s}" for n in ("one-1.0", "one-2.0", "two-1.0") for s in ("", ".metadata")}
    assert store.objects.keys() == expected | wheels
    assert store.objects["simple/one/"] == (top / "simple/one/index.html").read_bytes()
    assert store.objects["simple/two/index.v1_json"] == (top / "simple/two/index.v1_json").read_bytes()
    assert store.headers["simple/one/"].content_type == "text/html; charset=utf-8"
    assert store.writes[-2:] == ["simple/index.v1_json.zst", manifest.KEY]
    assert gzip.decompress(store.objects[LOG]) == b"built"
    assert store.headers[LOG].content_type == "text/plain; charset=utf-8"
    assert store.headers[LOG].content_encoding == "gzip"
    assert store.headers["browse/style.css"].content_type == "text/css; charset=utf-8"
    assert store.headers["browse/script.js"].content_type == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(("pages", "kind"), [("html", "text/html; charset=utf-8"), ("json", "simple.v1+json")])
def test_a_key_that_ends_in_a_slash_has_the_page_that_was_asked_for(house: Published, pages: str, kind: str) -> None:
    store = house.fresh(0, pages=pages)
    assert {k for k in store.objects if k.endswith("/")} == {"simple/", "simple/one/", "links/", "browse/"}
    assert store.headers["simple/one/"].content_type.endswith(kind)
    assert store.headers["links/"].content_type == "text/html; charset=utf-8"


def test_other_directory_pages_replace_the_old_ones(house: Published) -> None:
    store = house.fresh(1)
    house.copy(store, 1, pages="none")
    assert pages_of(store) == pages_of(house.fresh(1, pages="none"))


def test_nothing_new_is_one_question(house: Published) -> None:
    store = house.fresh(1)
    store.asked.clear()
    writes = len(store.writes)
    copied = house.copy(store, 1)
    assert (copied.changed, store.asked, len(store.writes)) == (False, [manifest.KEY], writes)


def test_what_is_as_it_was_is_not_looked_at(house: Published) -> None:
    store = house.fresh(1)
    store.asked.clear()
    copied = house.copy(store, 2)
    assert {item.key for item in copied.uploads if ".whl" in item.key} == {
        "two-1.1-py3-none-any.whl",
        "two-1.1-py3-none-any.whl.metadata",
    }
    assert not any(key.startswith(("one-", "simple/one/")) for key in store.asked)
    assert "listing" not in store.asked


def test_every_state_on_the_way_is_one_that_clients_can_use(house: Published) -> None:
    for start, end in [(None, 1), (0, 2), (2, 0), (1, 0)]:
        store = MemoryStore() if start is None else house.fresh(start)
        store.after_each = check_reader
        house.copy(store, end)


def test_a_publication_killed_at_any_write_is_completed_by_the_next(house: Published) -> None:
    wanted = {number: pages_of(house.fresh(number)) for number in (0, 2)}
    for start, end in [(None, 2), (0, 2), (2, 0)]:
        lives = 0
        while True:
            store = MemoryStore() if start is None else house.fresh(start)
            store.lives = lives
            try:
                house.copy(store, end)
            except Killed:
                check_reader(store)
                store.lives = None
                house.copy(store, end)
                assert pages_of(store) == wanted[end]
                assert not house.copy(store, end).changed
            else:
                break
            lives += 1
        assert lives > 10


STEPS = st.tuples(st.integers(0, 2), st.none() | st.integers(0, 40), st.sampled_from(["html", "json", "none"]))


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=5), last=st.integers(0, 2), verify=st.sampled_from(Verify))
def test_whatever_happened_before_the_last_publication_is_what_is_there(
    house: Published, steps: list[tuple[int, int | None, str]], last: int, verify: Verify
) -> None:
    store = MemoryStore(after_each=check_reader)
    for number, lives, pages in steps:
        store.lives = lives
        with contextlib.suppress(Killed):
            house.copy(store, number, pages=pages)
    store.lives = None
    house.copy(store, last, verify=verify)
    assert pages_of(store) == pages_of(house.fresh(last))


def test_a_folder_is_what_a_store_without_directory_pages_is(house: Published, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "out")
    for number in (1, 0, 2):
        copy_generation(Copying(store=store, workers=2), house.generations[number], house.root)
        wanted = pages_of(house.fresh(number, pages="none"))
        there = {key: (store.root / key).read_bytes() for key in store.listing() if ".whl" not in key}
        assert there == wanted | {manifest.KEY: there[manifest.KEY]}


@pytest.mark.parametrize("suffix", ["", ".metadata"])
def test_other_content_under_a_wheels_name_ends_the_run_before_any_write(house: Published, suffix: str) -> None:
    name = f"two-1.0-py3-none-any.whl{suffix}"
    store = house.fresh(0)
    store.objects[name] = b"other"
    writes = len(store.writes)
    with pytest.raises(DamagedError, match=r"other content .*two-1\.0"):
        house.copy(store, 1)
    assert (store.objects[name], len(store.writes)) == (b"other", writes)


class Racing(MemoryStore):
    """Somebody else writes an object between our look and our write."""

    rival: tuple[str, bytes]

    def look(self, key: str, *, read: bool = False) -> object:  # type: ignore[override]  # whatever the base says
        found = super().look(key, read=read)
        if key == self.rival[0]:
            self.objects.setdefault(*self.rival)
        return found


def test_a_wheel_that_somebody_else_writes_meanwhile_is_taken_if_it_is_the_same(house: Published) -> None:
    name = "one-1.0-py3-none-any.whl"
    store = Racing()
    store.rival = (name, (house.root / name).read_bytes())
    house.copy(store, 0)
    assert pages_of(store) == pages_of(house.fresh(0))
    store = Racing()
    store.rival = (name, b"other")
    with pytest.raises(DamagedError, match=r"one-1\.0"):
        house.copy(store, 0)
    assert store.objects[name] == b"other"
    assert not pages_of(store)


def test_a_second_publisher_is_told_and_touches_no_page(house: Published) -> None:
    store = house.fresh(0)
    before = pages_of(store)

    def rival(there: MemoryStore) -> None:  # another run completes while ours uploads its wheels
        there.after_each = lambda store: None
        there.objects[manifest.KEY] += b"\n"

    store.after_each = rival
    with pytest.raises(WhbError, match="another `whb publish`"):
        house.copy(store, 1)
    assert pages_of(store) == before
    house.copy(store, 1)
    assert pages_of(store) == pages_of(house.fresh(1))


@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_listing_and_full_find_what_the_manifest_cannot_know(house: Published, damage: str) -> None:
    store = house.fresh(1)
    page = store.objects["simple/one/index.html"]
    if damage == "lost":
        del store.objects["simple/one/index.html"]
    else:
        store.objects["simple/one/index.html"] = page.replace(b"one", b"eno")
    assert not house.copy(store, 1).changed
    copied = house.copy(store, 1, verify="listing" if damage == "lost" else "full")
    assert [item.key for item in copied.uploads] == ["simple/one/index.html"]
    assert store.objects["simple/one/index.html"] == page


def test_a_dry_run_writes_nothing_and_says_what_it_would(house: Published) -> None:
    store = house.fresh(0)
    before = dict(store.objects)
    copying = Copying(store=store, pages=DirectoryPages.HTML, workers=1)
    dry = copy_generation(copying, house.generations[1], house.root, dry_run=True)
    assert store.objects == before
    assert dry == house.copy(store, 1)


def test_a_wheel_of_ours_that_is_not_what_its_page_says_is_not_uploaded(house: Published, tmp_path: Path) -> None:
    for path in house.root.glob("*.whl*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    broken = tmp_path / "two-1.0-py3-none-any.whl"
    broken.write_bytes(broken.read_bytes()[:-1] + b"x")
    store = MemoryStore()
    copying = Copying(store=store, workers=1)
    with pytest.raises(DamagedError, match=rf"{broken.name} is gone, or not what its page says"):
        copy_generation(copying, house.generations[1], tmp_path)
    assert not pages_of(store)
    broken.unlink()
    with pytest.raises(DamagedError, match="cannot be copied"):
        copy_generation(copying, house.generations[1], tmp_path)


def test_progress_is_told_and_ctrl_c_ends_it(house: Published) -> None:
    events: list[Event] = []
    canceller = Canceller()

    def rival(store: MemoryStore) -> None:
        canceller.cancel()

    store = MemoryStore(after_each=rival)
    copying = Copying(store=store, workers=2, listener=events.append, canceller=canceller)
    with pytest.raises(Cancelled):
        copy_generation(copying, house.generations[1], house.root)
    assert [e.outcome for e in events if isinstance(e, JobFinished)] == [Outcome.DONE, Outcome.CANCELLED]
    assert 1 <= len(store.writes) <= 2
