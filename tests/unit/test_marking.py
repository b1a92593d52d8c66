"""The status of a project (PEP 792): what pages, admission, gc, the plan and the command make of it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name

from tests.houses import copy_of
from tests.unit.test_generations import ARM, FIRST, add, tree
from tests.wheels import make_wheel
from wheelhouse_builder.cli import main
from wheelhouse_builder.errors import JobError, UsageError
from wheelhouse_builder.index.model import UNMARKED, Mark, Status
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.marking import locks_naming, mark
from wheelhouse_builder.wheelhouse.retention import find_garbage, remove
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.utils import NormalizedName

ONE = canonicalize_name("one")
QUARANTINED = Mark(status=Status.QUARANTINED, reason="malware")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    """`one` and `two`, published, with a lock that names both."""
    folder = tmp_path_factory.mktemp("made")
    house = Wheelhouse(folder / "wheelhouse")
    with house.lock():
        files = [add(house, folder, name) for name in ("one", "two")]
        publish(house, {ARM: files}, now=FIRST)
    return house


@pytest.fixture
def house(made: Wheelhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheelhouse:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return copy_of(made, tmp_path / "wheelhouse")


def page(house: Wheelhouse, name: str = "one") -> dict[str, object]:
    document = json.loads((house.root / "simple" / name / "index.v1_json").read_text())
    assert isinstance(document, dict)
    return document


def test_a_mark_is_published_at_once_and_taken_back(house: Wheelhouse) -> None:
    before = tree(house.root)
    with house.lock():
        assert mark(house, ONE, Mark(status=Status.DEPRECATED, reason="use two")) is not None
        assert page(house)["project-status"] == {"status": "deprecated", "reason": "use two"}
        assert "project-status" not in page(house, "two")
        assert mark(house, ONE, Mark(status=Status.DEPRECATED, reason="use two")) is None
        assert mark(house, ONE, UNMARKED) is not None
    assert tree(house.root) == before


def test_archived_project_takes_no_new_file_and_offers_what_it_has(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        mark(house, ONE, Mark(status=Status.ARCHIVED))
        with pytest.raises(JobError, match=r"one-2\.0.*one is archived") as caught:
            add(house, tmp_path, "one", "2.0")
        assert caught.value.hint == "`whb mark one active` opens it again"
        assert not (house.root / "one-2.0-py3-none-any.whl").exists()
        assert add(house, tmp_path, "one") == "one-1.0-py3-none-any.whl"  # the same again is no new file
        (house.root / "one-1.0-py3-none-any.whl").unlink()
        assert add(house, tmp_path, "one") == "one-1.0-py3-none-any.whl"  # nor is one that clients know
        add(house, tmp_path, "two", "2.0")
    assert len(list(page(house)["files"])) == 1  # type: ignore[call-overload]  # a list


def test_quarantined_project_takes_none_and_offers_none(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        mark(house, ONE, QUARANTINED)
        assert page(house)["files"] == []
        for content in tree(house.root / "links").values():
            assert b"one-1.0" not in content
        with pytest.raises(JobError, match=r"quarantined \(malware\)"):
            add(house, tmp_path, "one", "2.0")


def test_locks_that_name_a_quarantined_project_are_told_and_stay(house: Wheelhouse) -> None:
    lock = (house.root / f"requirements-{ARM}.txt").read_text()
    with house.lock():
        mark(house, ONE, QUARANTINED)
    assert (house.root / f"requirements-{ARM}.txt").read_text() == lock
    assert locks_naming(house, ONE) == [f"requirements-{ARM}.txt"]
    assert locks_naming(house, canonicalize_name("on")) == []


def test_gc_leaves_the_wheels_of_a_quarantined_project(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        mark(house, ONE, QUARANTINED)
        add(house, tmp_path, "two", "2.0")
        publish(house, {})
        remove(house, find_garbage(house, keep=1, grace=timedelta()))
        add(house, tmp_path, "two", "3.0")
        publish(house, {})
        remove(house, find_garbage(house, keep=1, grace=timedelta()))
        assert (house.root / "one-1.0-py3-none-any.whl").exists()
        mark(house, ONE, UNMARKED)
    assert len(list(page(house)["files"])) == 1  # type: ignore[call-overload]  # a list


@pytest.mark.parametrize(("name", "hint"), [("onw", "did you mean one?"), ("zzz", "name a project that")])
def test_mark_of_what_is_not_there(house: Wheelhouse, name: NormalizedName, hint: str) -> None:
    with house.lock(), pytest.raises(UsageError, match=f"{name} is not in") as caught:
        mark(house, name, QUARANTINED)
    assert (caught.value.hint or "").startswith(hint)


# the command


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_command_says_what_is_in_force_and_which_locks_still_name_it(
    house: Wheelhouse, capsys: pytest.CaptureFixture[str]
) -> None:
    head = f"{house.root}: generation"
    assert run(capsys, "mark", "One", "archived")[:2] == (0, f"{head} 2, one is archived\n")
    assert run(capsys, "mark", "one", "archived")[:2] == (0, f"{head} 2, as it was\n")
    code, out, err = run(capsys, "mark", "one", "quarantined", "--reason", " mal\n ware ")
    assert (code, out) == (0, f"{head} 3, one is quarantined\n")
    assert f"requirements-{ARM}.txt still names one" in err
    assert page(house)["project-status"] == {"status": "quarantined", "reason": "mal ware"}
    assert run(capsys, "mark", "one", "active")[:2] == (0, f"{head} 4, one is active\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("one", "gone"), "invalid choice"),
        (("one",), "required: status"),
        (("../one", "archived"), "is no project's name"),
        (("three", "archived"), "three is not in"),
        (("one", "archived", "--reason", " "), "is no reason"),
    ],
)
@pytest.mark.usefixtures("house")
def test_wrong_usage(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "mark", *arguments)
    assert (code, out) == (2, "")
    assert message in err


# names after gc


def test_gc_keeps_the_name_of_a_wheel_that_clients_know(house: Wheelhouse, tmp_path: Path) -> None:
    """A rebuild with other content gets a build tag; the very same wheel gets its old time."""
    known = house.records.by_filename("one-1.0-py3-none-any.whl")
    assert known is not None
    with house.lock():
        (house.root / known.filename).unlink()
        house.check()
        add(house, tmp_path, "two", "2.0")
        publish(house, {})
        add(house, tmp_path, "two", "3.0")
        publish(house, {})
        remove(house, find_garbage(house, keep=1, grace=timedelta()))
        assert house.check() == []
        assert find_garbage(house, keep=1, grace=timedelta()).records == ()
        other = make_wheel(tmp_path, name="one", files={"one.py": b"other"})
        assert house.admit(other, record_of(other, origin="built")).filename == "one-1.0-1-py3-none-any.whl"
        with pytest.raises(JobError, match="with other content"):
            house.admit(other, record_of(other, origin="fetched"))
        assert add(house, tmp_path, "one") == known.filename
        publish(house, {})
    again = house.records.by_filename(known.filename)
    assert again is not None
    assert again.published_at == known.published_at
    assert len(list(page(house)["files"])) == 2  # type: ignore[call-overload]  # a list
