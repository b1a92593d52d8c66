from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.houses import copy_of
from tests.wheels import make_wheel
from wheelhouse_builder.errors import DamagedError
from wheelhouse_builder.index.packing import zstd
from wheelhouse_builder.target import Target
from wheelhouse_builder.wheelhouse import disk
from wheelhouse_builder.wheelhouse.generations import Generation, all_generations, current, note_lost_pages, publish
from wheelhouse_builder.wheelhouse.records import Records
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of
from wheelhouse_builder.wheelhouse.stubs import admit_stub, stub_of

if TYPE_CHECKING:
    from collections.abc import Callable

ARM = Target.parse("cp312-musllinux_1_2_aarch64")
AMD = Target.parse("cp312-musllinux_1_2_x86_64")
FIRST, LATER = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2026, 2, 3, tzinfo=UTC)


PAGES = (
    "simple/index.html",
    "simple/index.v1_json",
    "simple/one/index.html",
    "simple/one/index.v1_json",
    "simple/one/about.html",
    "links/index.html",
    "browse/index.html",
    "browse/script.js",
    "browse/style.css",
)
COPIES = ("", ".gz", ".zst")


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return Wheelhouse(tmp_path / "wheelhouse")


def add(house: Wheelhouse, tmp_path: Path, name: str, version: str = "1.0") -> str:
    wheel = make_wheel(tmp_path, name=name, version=version)
    return house.admit(wheel, record_of(wheel, origin="built")).filename


def tree(root: Path) -> dict[str, bytes]:
    """What a client can see: every file under `root`, links followed, whb's own folder left out."""
    found = {}
    for folder, folders, files in os.walk(root, followlinks=True):
        if ".whb" in folders:
            folders.remove(".whb")
        found.update({str(Path(folder, name).relative_to(root)): Path(folder, name).read_bytes() for name in files})
    return found


def listed(house: Wheelhouse) -> list[str]:
    document = json.loads((house.root / "simple" / "index.v1_json").read_text())
    return [project["name"] for project in document["projects"]]


def published(house: Wheelhouse, **selections: list[str]) -> Generation:
    """What `whb index` does."""
    targets = {"arm": ARM, "amd": AMD}
    house.check()
    note_lost_pages(house)
    generation = publish(house, {targets[name]: chosen for name, chosen in selections.items()}, now=FIRST)
    assert generation is not None
    return generation


def test_publication_is_seen_through_fixed_links(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        one = add(house, tmp_path, "one")
        generation = published(house, arm=[one])
    assert (generation.number, generation.path) == (1, house.generations / "000001")
    assert current(house) == generation
    tops = {path.name: str(path.readlink()) for path in house.root.iterdir() if path.is_symlink()}
    assert tops == {
        name: f".whb/current/{name}"
        for name in ("simple", "links", "browse", f"requirements-{ARM}.txt", f"pylock.{ARM}.toml")
    }
    assert listed(house) == ["one"]
    assert set(tree(house.root)) == {
        one,
        f"{one}.metadata",
        *(f"{page}{suffix}" for page in PAGES for suffix in COPIES),
        f"requirements-{ARM}.txt",
        f"pylock.{ARM}.toml",
    }


def test_whatever_lies_in_a_wheelhouse_is_documented(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        one = add(house, tmp_path, "one")
        stub = stub_of(house, canonicalize_name("one"), Version("1.0"), "/wheelhouse")
        admit_stub(house, stub)
        published(house, arm=[one])
    page = Path(__file__).parents[2] / "docs/reference/wheelhouse.md"
    documented = {line.split()[0].strip("/") for line in page.read_text().splitlines() if line.startswith(" " * 6)}
    kinds = {one: "*.whl", f"{one}.metadata": "*.whl.metadata", stub.filename: "*.tar.gz"}
    there = {kinds.get(path.name, path.name.replace(str(ARM), "TARGET")) for path in house.root.iterdir()}
    assert there == documented


def test_nothing_new_is_no_generation(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        one = add(house, tmp_path, "one")
        published(house, arm=[one])
        assert publish(house, {ARM: [one]}, now=LATER) is None
        assert publish(house, {}, now=LATER) is None
    assert len(all_generations(house)) == 1


def test_upload_time_is_that_of_the_first_publication(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        add(house, tmp_path, "one")
        published(house)
        add(house, tmp_path, "two")
        publish(house, {}, now=LATER)
    times = {
        name: json.loads((house.root / "simple" / name / "index.v1_json").read_text())["files"][0]["upload-time"]
        for name in ("one", "two")
    }
    assert times == {"one": "2026-01-02T03:04:05.000000Z", "two": "2026-02-03T00:00:00.000000Z"}


def test_locks_of_other_targets_are_carried_over(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        one = add(house, tmp_path, "one")
        published(house, arm=[one])
        two = add(house, tmp_path, "two")
        published(house, amd=[one, two])
    assert "two" not in (house.root / f"requirements-{ARM}.txt").read_text()
    assert "two==1.0" in (house.root / f"requirements-{AMD}.txt").read_text()


def test_equal_wheelhouses_publish_equal_bytes(tmp_path: Path) -> None:
    trees = []
    for order in (("one", "two"), ("two", "one")):
        house = Wheelhouse(tmp_path / "-".join(order))
        with house.lock():
            files = {name: add(house, tmp_path, name) for name in order}
            published(house, arm=[files[name] for name in order])
        trees.append(tree(house.root))
    assert trees[0] == trees[1]


def test_pages_are_packed_as_they_are(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        add(house, tmp_path, "one")
        published(house)
    for page in PAGES:
        content = (house.root / page).read_bytes()
        packed = (house.root / f"{page}.gz").read_bytes()
        assert gzip.decompress(packed) == content
        assert packed[4:8] == b"\0\0\0\0"  # no time: equal pages are equal files
        assert zstd.decompress((house.root / f"{page}.zst").read_bytes()) == content


def inodes(house: Wheelhouse, project: str) -> set[int]:
    return {path.stat().st_ino for path in (house.root / "simple" / project).iterdir()}


def test_pages_of_other_projects_are_shared_with_the_generation_before(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        add(house, tmp_path, "one")
        add(house, tmp_path, "two")
        published(house)
        before = {name: inodes(house, name) for name in ("one", "two")}
        add(house, tmp_path, "two", "2.0")
        published(house)
    assert inodes(house, "one") == before["one"]
    assert inodes(house, "two").isdisjoint(before["two"])


def test_sharing_gives_what_writing_anew_would(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        for name in ("one", "two", "three"):
            add(house, tmp_path, name)
            publish(house, {}, now=FIRST)
    anew = Wheelhouse(tmp_path / "anew")
    with anew.lock():
        for name in ("one", "two", "three"):
            add(anew, tmp_path, name)
        publish(anew, {}, now=FIRST)
    assert tree(house.root) == tree(anew.root)


def test_where_there_are_no_hard_links_links_are_made_anew(
    house: Wheelhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with house.lock():
        add(house, tmp_path, "one")
        published(house)
        page = (house.root / "simple/one/index.html").read_bytes()
        add(house, tmp_path, "two")
        published(house)
    assert (house.root / "simple/one/index.html").read_bytes() == page


LOSSES = ["manifest.json", "summaries.json", "links", "links/index.html.zst", "browse/index.html", "simple/index.html"]


@pytest.mark.parametrize("lost", [*LOSSES, "simple/one"])
def test_generation_that_lost_a_file_is_published_anew(house: Wheelhouse, tmp_path: Path, lost: str) -> None:
    with house.lock():
        add(house, tmp_path, "one")
        generation = published(house)
        whole = tree(house.root)
        path = generation.path / lost
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        published(house)
    assert tree(house.root) == whole


@pytest.mark.parametrize("page", ["index.html", "index.v1_json.gz", "about.html.zst"])
@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"wrong")])
def test_page_folder_that_lost_a_file_is_made_whole(
    house: Wheelhouse, tmp_path: Path, page: str, harm: Callable[[Path], object]
) -> None:
    """What is gone `whb index` finds; what is wrong is put right when its project is rendered."""
    with house.lock():
        add(house, tmp_path, "one")
        published(house)
        whole = tree(house.root)
        harm(house.root / "simple/one" / page)
        note_lost_pages(house)
        if (house.root / "simple/one" / page).exists():
            house.records.note_changes(["one"])
        assert publish(house, {}) is None
        assert tree(house.root) == whole
        assert publish(house, {}) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"one": 1}', b'{"form": 1}'])
def test_manifest_that_says_nothing_is_no_harm(house: Wheelhouse, tmp_path: Path, content: bytes) -> None:
    with house.lock():
        add(house, tmp_path, "one")
        generation = published(house)
        whole = tree(house.root)
        (generation.path / "manifest.json").write_bytes(content)
        published(house)
    assert tree(house.root) == whole


def test_project_that_is_gone_has_no_page(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        add(house, tmp_path, "one")
        two = add(house, tmp_path, "two")
        published(house)
        (house.root / two).unlink()
        published(house)
    assert not (house.root / "simple" / "two").exists()
    assert (house.root / "simple" / "one" / "index.html").is_file()


def test_missing_wheel_is_not_published(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        one = add(house, tmp_path, "one")
        add(house, tmp_path, "two")
        published(house)
        (house.root / one).unlink()
        published(house)
    assert listed(house) == ["two"]


def test_damaged_wheel_stops_publication(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        published_before = add(house, tmp_path, "one")
        published(house)
        add(house, tmp_path, "two")
        (house.root / published_before).unlink()
        (house.root / published_before).write_bytes(b"damaged")
        house.check()
        with pytest.raises(DamagedError, match=r"one-1\.0"):
            publish(house, {})
    assert listed(house) == ["one"]


def test_old_generations_are_retired(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        for number in range(5):
            add(house, tmp_path, "one", f"{number}.0")
            publish(house, {}, keep=3)
    assert [generation.number for generation in all_generations(house)] == [3, 4, 5]


def test_current_and_previous_are_never_retired(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        for number in range(4):
            add(house, tmp_path, "one", f"{number}.0")
            publish(house, {})
        disk.link(house.current, Path("generations/000001"), house.scratch)  # as a roll-back does
        add(house, tmp_path, "two")
        publish(house, {}, keep=1)
    assert [generation.number for generation in all_generations(house)] == [1, 5]
    assert listed(house) == ["one", "two"]


class Dying:
    """Counts the effects that others can see, and dies at the one with a given number.

    Of files in the scratch folder the first and the flush count: what lies between looks the same to everyone.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.at: int | None = None
        monkeypatch.setattr(disk, "_FEW", 0)  # one flush is one effect
        monkeypatch.setattr(disk, "_libc", self)
        for name in ("write", "copy", "make_links", "flush", "sync", "move", "rename", "remove", "link"):
            monkeypatch.setattr(disk, name, self._wrap(getattr(disk, name)))
        for name in ("add", "remove", "set_base", "set_yank", "set_mark", "set_seen", "note_changes"):
            monkeypatch.setattr(Records, name, self._wrap(getattr(Records, name)))

    def syncfs(self, handle: int) -> int:
        return 0

    def _wrap(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                raise KeyboardInterrupt
            return effect(*args)

        return counted


@pytest.mark.parametrize("first", [True, False])
def test_a_generation_is_published_whole_or_not_at_all(
    house: Wheelhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """Die at each effect in turn: clients see the old state or the new, and the next run makes it good."""

    made = house
    with made.lock():
        files = [add(made, tmp_path, "one")]
        if not first:
            publish(made, {ARM: files}, now=FIRST)
        files.append(add(made, tmp_path, "two"))

    def outcome(house: Wheelhouse) -> tuple[list[str] | None, str | None]:
        if not (house.root / "simple").exists():
            return None, None
        lock = house.root / f"requirements-{ARM}.txt"
        return listed(house), lock.read_text() if lock.exists() else None

    dying = Dying(monkeypatch)
    house = copy_of(made, tmp_path / "whole")
    before = outcome(house)
    with house.lock():
        dying.count = 0
        publish(house, {ARM: files}, now=FIRST, keep=1)
        effects = dying.count
    after, wanted = outcome(house), tree(house.root)
    assert effects > 10
    assert before != after
    states = set()
    for number in range(1, effects + 1):
        house = copy_of(made, tmp_path / f"dying-{number}")
        with house.lock():
            dying.count, dying.at = 0, number
            with pytest.raises(KeyboardInterrupt):
                publish(house, {ARM: files}, now=FIRST, keep=1)
            dying.at = None
        seen = outcome(house)
        assert seen[0] in (before[0], after[0])
        assert seen[1] in (before[1], after[1])
        states.add(seen[0] == after[0])
        with house.lock():
            publish(house, {ARM: files}, now=LATER, keep=1)
        assert tree(house.root) == wanted
        assert list(house.scratch.iterdir()) == []
    assert states == {True, False}
