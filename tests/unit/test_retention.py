"""Roll-back, yank and gc: as functions, with each effect failing in turn, and as commands."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.houses import copy_of
from tests.unit.test_generations import ARM, FIRST, LATER, Dying, add, listed, tree
from wheelhouse_builder.cli import main
from wheelhouse_builder.errors import DamagedError, UsageError
from wheelhouse_builder.index.model import Mark, Status
from wheelhouse_builder.wheelhouse.generations import (
    all_generations,
    current,
    named_files,
    previous,
    publish,
    read_manifest,
    roll_back,
)
from wheelhouse_builder.wheelhouse.marking import mark
from wheelhouse_builder.wheelhouse.retention import find_garbage, remove
from wheelhouse_builder.wheelhouse.store import Wheelhouse
from wheelhouse_builder.wheelhouse.yanking import parse_pin, parse_reason, yank

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ONE, V1 = canonicalize_name("one"), Version("1.0")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    """Two generations: the first with `one`, the second with `two` too and a lock."""
    folder = tmp_path_factory.mktemp("made")
    house = Wheelhouse(folder / "wheelhouse")
    with house.lock():
        one = add(house, folder, "one")
        publish(house, {}, now=FIRST)
        two = add(house, folder, "two")
        publish(house, {ARM: [one, two]}, now=FIRST)
    return house


@pytest.fixture
def house(made: Wheelhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheelhouse:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return copy_of(made, tmp_path / "wheelhouse")


def numbers(house: Wheelhouse) -> list[int]:
    return [generation.number for generation in all_generations(house)]


def now(house: Wheelhouse) -> int:
    generation = current(house)
    assert generation is not None
    return generation.number


# roll-back


def test_roll_back_is_to_the_generation_before(house: Wheelhouse) -> None:
    with house.lock():
        assert roll_back(house).number == 1
    assert (now(house), listed(house)) == (1, ["one"])
    assert numbers(house) == [1, 2]
    assert not (house.root / f"requirements-{ARM}.txt").is_symlink()
    with house.lock(), pytest.raises(UsageError, match="no generation before"):
        roll_back(house)


def test_roll_back_goes_forward_too(house: Wheelhouse) -> None:
    before = tree(house.root)
    with house.lock():
        roll_back(house, 1)
        roll_back(house, 2)
    assert tree(house.root) == before


def test_next_publication_has_a_new_number(house: Wheelhouse) -> None:
    with house.lock():
        roll_back(house)
        generation = publish(house, {}, now=LATER)
    assert generation is not None
    assert (generation.number, listed(house)) == (3, ["one", "two"])
    before = previous(house)
    assert before is not None
    assert before.number == 2


def test_generation_that_is_not_kept(house: Wheelhouse) -> None:
    with house.lock(), pytest.raises(UsageError, match="no generation 7") as caught:
        roll_back(house, 7)
    assert caught.value.hint == "kept are 1, 2"


@pytest.mark.parametrize("damage", [lambda wheel: wheel.unlink(), lambda wheel: wheel.write_bytes(b"other")])
def test_roll_back_needs_its_wheels(house: Wheelhouse, damage: Callable[[Path], None]) -> None:
    damage(house.root / "one-1.0-py3-none-any.whl")
    with house.lock(), pytest.raises(DamagedError, match=r"needs files .* one-1\.0-py3-none-any\.whl$"):
        roll_back(house)
    assert now(house) == 2


@pytest.mark.parametrize("page", ["simple/index.v1_json", "simple/one/index.v1_json"])
def test_half_deleted_generation_is_refused(house: Wheelhouse, page: str) -> None:
    (house.generations / "000001" / page).unlink()
    with house.lock(), pytest.raises(DamagedError, match="generation 1 is damaged"):
        roll_back(house)
    assert now(house) == 2


# yank


def yanks(house: Wheelhouse) -> dict[str, object]:
    pages = [json.loads(path.read_text()) for path in (house.root / "simple").glob("*/index.v1_json")]
    return {page["name"]: page["files"][0].get("yanked") for page in pages}


def test_yank_is_published_at_once_and_taken_back(house: Wheelhouse) -> None:
    with house.lock():
        assert yank(house, ONE, V1, "<broken> & 'bad'") is not None
        assert yanks(house) == {"one": "<broken> & 'bad'", "two": None}
        for page in ("simple/one/index.html", "links/index.html"):
            assert 'data-yanked="&lt;broken&gt; &amp; &#x27;bad&#x27;"' in (house.root / page).read_text()
        assert yank(house, ONE, V1, "<broken> & 'bad'") is None
        assert yank(house, ONE, V1, None) is not None
    assert yanks(house) == {"one": None, "two": None}
    assert now(house) == 4


def test_yank_of_a_version_that_is_spelled_otherwise(house: Wheelhouse) -> None:
    with house.lock():
        yank(house, ONE, Version("1"), "broken")
    assert yanks(house) == {"one": "broken", "two": None}
    with house.lock():
        yank(house, ONE, Version("1.0.0"), None)
    assert yanks(house) == {"one": None, "two": None}


def test_yank_holds_for_files_to_come(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        yank(house, ONE, V1, "broken")
        add(house, tmp_path, "one")
        publish(house, {})
    assert yanks(house)["one"] == "broken"


@pytest.mark.parametrize(
    ("name", "version", "reason", "message", "hint"),
    [
        ("one", "1.1", "x", "one==1.1 is not in", "of one there is 1.0"),
        ("onw", "1.0", "x", "onw==1.0 is not in", "did you mean one?"),
        ("zzzzzz", "1.0", None, "zzzzzz==1.0 is not in", "name a project that `simple/` lists"),
        ("one", "1.0", None, "one==1.0 is not yanked", "`whb yank NAME==VERSION --reason TEXT` yanks"),
    ],
)
def test_yank_of_what_is_not_there(
    house: Wheelhouse, name: str, version: str, reason: str | None, message: str, hint: str
) -> None:
    with house.lock(), pytest.raises(UsageError, match=message) as caught:
        yank(house, canonicalize_name(name), Version(version), reason)
    assert caught.value.hint == hint


def test_pins() -> None:
    assert parse_pin("Zope.Interface == 8.0.0") == ("zope-interface", Version("8.0"))
    assert parse_pin("x==1.0+musl.1") == ("x", Version("1.0+musl.1"))


@pytest.mark.parametrize(
    "text",
    ["", "x", "x>=1", "x==1.*", "x===1", "x==1,==1.0", "x[a]==1", "x==1; python_version > '3'", "../x==1", "x @ y"],
)
def test_what_is_no_pin(text: str) -> None:
    with pytest.raises(UsageError, match="does not name one version"):
        parse_pin(text)


@given(st.text())
def test_a_reason_is_one_line_that_can_be_shown(text: str) -> None:
    try:
        reason = parse_reason(text)
    except UsageError:
        assert not text.strip() or not "".join(text.split()).isprintable()
    else:
        assert reason.isprintable()
        assert reason.encode()
        assert reason.split() == text.split()


# gc


def test_gc_removes_generations_beyond_those_to_keep(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        for number in range(3):
            add(house, tmp_path, "more", f"{number}")
            publish(house, {})
        garbage = find_garbage(house, keep=1)
        assert [generation.number for generation in garbage.generations] == [1, 2, 3]
        assert (garbage.files, garbage.records) == ((), ())
        assert garbage.size > 1000
        assert numbers(house) == [1, 2, 3, 4, 5]
        remove(house, garbage)
    assert numbers(house) == [4, 5]


def test_gc_frees_what_no_kept_generation_shares(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        add(house, tmp_path, "more")
        publish(house, {})
        garbage = find_garbage(house, keep=1)
    assert [generation.number for generation in garbage.generations] == [1]
    own = [path for path in (house.generations / "000001").rglob("*") if path.is_file() and path.parent.name != "one"]
    assert garbage.size == sum(path.stat().st_size for path in own)


def test_gc_keeps_the_current_and_the_previous_after_a_roll_back(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        for number in range(3):
            add(house, tmp_path, "more", f"{number}")
            publish(house, {})
        roll_back(house, 2)
        remove(house, find_garbage(house, keep=1))
    assert numbers(house) == [1, 2, 5]
    assert listed(house) == ["one", "two"]


def spare(house: Wheelhouse, tmp_path: Path) -> str:
    """A wheel that no generation names."""
    return add(house, tmp_path, "spare")


def test_gc_leaves_a_wheel_its_grace(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        name = spare(house, tmp_path)
        assert find_garbage(house).files == ()
        garbage = find_garbage(house, grace=timedelta())
        assert [path.name for path in garbage.files] == [name, f"{name}.metadata"]
        remove(house, garbage)
        assert find_garbage(house, grace=timedelta()).records == ()
        assert house.check() == []
    assert listed(house) == ["one", "two"]
    assert [wheel.name for wheel in house.wheels()] == ["one", "two"]


def test_gc_leaves_a_wheel_that_an_old_generation_named_its_grace(house: Wheelhouse, tmp_path: Path) -> None:
    """Age of the file is not enough: clients hold pages of generations that go now."""
    with house.lock():
        roll_back(house, 1)
        for folder in (house.generations / "000003", house.generations / "000004"):
            (folder / "simple").mkdir(parents=True)
            (folder / "simple" / "index.v1_json").write_text('{"projects": []}')
        two = house.root / "two-1.0-py3-none-any.whl"
        os.utime(two, (0, 0))
        assert find_garbage(house, keep=1).files == ()
        os.utime(house.generations / "000002", (0, 0))
        assert [path.name for path in find_garbage(house, keep=1).files] == [two.name, f"{two.name}.metadata"]


def test_gc_removes_sidecars_of_nothing_and_leaves_what_is_not_ours(house: Wheelhouse) -> None:
    sidecar, foreign = house.root / "x-1-py3-none-any.whl.metadata", house.root / "y-1-py3-none-any.whl"
    for path in (sidecar, foreign, house.root / f"{foreign.name}.metadata", house.root / "README"):
        path.write_text("x")
    with house.lock():
        garbage = find_garbage(house, grace=timedelta())
    assert garbage.files == (sidecar,)


def test_gc_stops_at_a_damaged_generation(house: Wheelhouse) -> None:
    (house.generations / "000001" / "simple" / "one" / "index.v1_json").write_text("[]")
    with house.lock(), pytest.raises(DamagedError, match="generation 1 is damaged"):
        find_garbage(house)


# generations of whb before page folders


def make_old(house: Wheelhouse) -> None:
    """Give each generation real folders of pages, a plain manifest and no page for people; the records know no base."""
    for generation in all_generations(house):
        projects = read_manifest(generation).projects
        for name in projects:
            folder = generation.path / "simple" / name
            pages = folder.resolve()
            folder.unlink()
            shutil.copytree(pages, folder)
            (folder / "about.html").unlink()
        (generation.path / "manifest.json").write_text(json.dumps({name: e.pages for name, e in projects.items()}))
        (generation.path / "summaries.json").unlink()
        shutil.rmtree(generation.path / "browse")
    shutil.rmtree(house.pages)
    with sqlite3.connect(house.records.path) as connection:
        connection.executescript("DELETE FROM base; DELETE FROM changes;")
    connection.close()


def test_generations_of_the_old_form_are_read_gone_back_to_and_published_over(
    house: Wheelhouse, tmp_path: Path
) -> None:
    whole, named = tree(house.root), named_files(all_generations(house)[0])
    make_old(house)
    assert named_files(all_generations(house)[0]) == named
    assert read_manifest(all_generations(house)[1]).projects.keys() == {"one", "two"}
    with house.lock():
        roll_back(house)
        assert listed(house) == ["one"]
        assert all(top.exists() for top in house.root.iterdir())  # no link leads nowhere
        publish(house, {}, now=LATER)
        assert listed(house) == ["one", "two"]
        publish(house, {ARM: [wheel.filename for wheel in house.wheels()]}, now=LATER)
        assert tree(house.root) == whole
        assert numbers(house) == [1, 2, 3, 4]
        remove(house, find_garbage(house, keep=1))
        assert (numbers(house), tree(house.root)) == ([3, 4], whole)


# each effect fails in turn


def all_whole(house: Wheelhouse) -> None:
    """What the current generation names is there."""
    generation = current(house)
    assert generation is not None
    there = {wheel.filename: wheel.sha256 for wheel in house.wheels()}
    assert named_files(generation).items() <= there.items()
    assert house.check() == []


@pytest.mark.parametrize("action", ["roll back", "yank", "mark", "gc"])
def test_dying_at_any_effect_leaves_the_old_state_or_the_new(
    house: Wheelhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    if action == "gc":
        with house.lock():
            add(house, tmp_path, "more")
            publish(house, {}, now=FIRST)
            spare(house, tmp_path)
    made = house

    def act(house: Wheelhouse) -> None:
        if action == "roll back":
            roll_back(house, 1)
        elif action == "yank":
            yank(house, ONE, V1, "broken")
        elif action == "mark":
            mark(house, ONE, Mark(status=Status.QUARANTINED))
        else:
            remove(house, find_garbage(house, keep=1, grace=timedelta()))

    dying = Dying(monkeypatch)
    house = copy_of(made, tmp_path / "whole")
    before = tree(house.root / "simple")
    with house.lock():
        dying.count = 0
        act(house)
        effects = dying.count
    after, wanted = tree(house.root / "simple"), tree(house.root)
    assert effects >= 2
    for number in range(1, effects + 1):
        house = copy_of(made, tmp_path / f"dying-{number}")
        with house.lock():
            dying.count, dying.at = 0, number
            with pytest.raises(KeyboardInterrupt):
                act(house)
            dying.at = None
        assert tree(house.root / "simple") in (before, after)
        with house.lock():
            act(house)
        all_whole(house)
        assert tree(house.root) == wanted
        assert list(house.scratch.iterdir()) == []


# the commands


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.usefixtures("house")
def test_commands_say_the_generation_and_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "wheelhouse"
    assert run(capsys, "index") == (0, f"{root}: generation 2, as it was\n", "")
    code, out, err = run(capsys, "rollback")
    assert (code, out) == (0, f"{root}: generation 1, rolled back from 2\n")
    assert "whb yank" in err
    assert run(capsys, "index") == (0, f"{root}: generation 3, published\n", "")
    assert run(capsys, "yank", "One==1.0", "--reason", "bad") == (0, f"{root}: generation 4, one 1.0 is yanked\n", "")
    code, out, _ = run(capsys, "yank", "one==1.0", "--undo")
    assert (code, out) == (0, f"{root}: generation 5, one 1.0 is no longer yanked\n")
    _, out, _ = run(capsys, "rollback", "--list")
    assert [line[:4].strip() for line in out.splitlines()] == ["1", "2", "3", "4", "* 5"]
    assert out.splitlines()[0].endswith("UTC  1 files")


@pytest.mark.usefixtures("house")
def test_gc_is_a_dry_run_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        run(capsys, "yank", "one==1.0", "--reason", "bad")
        run(capsys, "yank", "one==1.0", "--undo")
    code, out, err = run(capsys, "gc", "--keep", "1")
    assert (code, out.splitlines()[0]) == (0, "generation 1")
    assert "would be freed; --yes does it" in err
    _, out, _ = run(capsys, "gc", "--keep", "1", "--json")
    document = json.loads(out)
    assert (document["schema"], document["removed"], document["generations"]) == ("whb.garbage/1", False, [1, 2, 3, 4])
    assert document["bytes"] > 0
    _, _, err = run(capsys, "gc", "--keep", "1", "--yes")
    assert "freed" in err
    assert run(capsys, "gc", "--keep", "1") == (0, "", "nothing to remove\n")


def test_documents(house: Wheelhouse, capsys: pytest.CaptureFixture[str]) -> None:
    expected = {"schema": "whb.index/1", "wheelhouse": str(house.root), "generation": 1, "changed": True}
    assert json.loads(run(capsys, "rollback", "--json")[1]) == expected
    assert json.loads(run(capsys, "index", "--json")[1]) == expected | {"generation": 3}
    document = json.loads(run(capsys, "rollback", "--list", "--json")[1])
    assert [(found["number"], found["current"]) for found in document["generations"]] == [
        (1, False),
        (2, False),
        (3, True),
    ]


def test_index_tells_of_wheels_that_it_does_not_publish(house: Wheelhouse, capsys: pytest.CaptureFixture[str]) -> None:
    (house.root / "foreign-1-py3-none-any.whl").write_text("x")
    code, _, err = run(capsys, "index")
    assert code == 0
    assert "not published:" in err
    assert "foreign-1-py3-none-any.whl" in err


@pytest.mark.parametrize("page", ["simple/one/about.html", "simple/one/index.html.gz", "links/index.html"])
def test_a_thorough_index_finds_a_page_that_was_damaged_in_secret(
    house: Wheelhouse, page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, path = tree(house.root), house.root / page
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run(capsys, "index")[0] == 0
    assert tree(house.root) != whole
    assert run(capsys, "index", "--thorough")[0] == 0
    assert tree(house.root) == whole


def test_a_thorough_index_finds_a_wheel_that_was_damaged_in_secret(
    house: Wheelhouse, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = house.root / next(iter(house.wheels())).filename
    status = wheel.stat()
    wheel.write_bytes(wheel.read_bytes()[::-1])
    os.utime(wheel, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run(capsys, "index")[0] == 0
    code, _, err = run(capsys, "index", "--thorough")
    assert code == 5
    assert wheel.name in err


def test_generations_are_listed_while_a_build_has_the_lock(
    house: Wheelhouse, capsys: pytest.CaptureFixture[str]
) -> None:
    with house.lock():
        code, out, err = run(capsys, "rollback", "--list")
    assert (code, len(out.splitlines()), err) == (0, 2, "")


def test_an_index_without_records_is_not_published_as_empty(
    house: Wheelhouse, capsys: pytest.CaptureFixture[str]
) -> None:
    house.records.path.unlink()
    code, _, err = run(capsys, "index")
    assert code == 5
    assert "know no wheel" in err
    assert (now(house), listed(house)) == (2, ["one", "two"])


@pytest.mark.usefixtures("house")
def test_who_must_not_look_is_told_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.readlink", refuse)
    code, _, err = run(capsys, "publish", "elsewhere")
    assert code == 4
    assert ".whb/current: Permission denied" in err


def test_list_shows_a_damaged_generation(house: Wheelhouse, capsys: pytest.CaptureFixture[str]) -> None:
    (house.generations / "000001" / "simple" / "index.v1_json").unlink()
    assert run(capsys, "rollback", "--list")[1].splitlines()[0].endswith("damaged")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("index", "-w", "nowhere"), "is no wheelhouse"),
        (("rollback", "9"), "has no generation 9"),
        (("rollback", "x"), "invalid int value"),
        (("rollback", "1", "--list"), "--list rolls nothing back"),
        (("yank", "one==1.0"), "one of the arguments --reason --undo is required"),
        (("yank", "one==1.0", "--reason", " "), "is no reason"),
        (("yank", "one", "--undo"), "does not name one version"),
    ],
)
@pytest.mark.usefixtures("house")
def test_wrong_usage(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "hint: " in err
