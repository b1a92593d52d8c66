"""Locks of earlier runs, with a resolver that counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.locks import SDIST, TARGET, ask, digest, lock
from wheelhouse_builder.events import Event, Note
from wheelhouse_builder.requirements.format_control import FormatControl
from wheelhouse_builder.resolve import kept
from wheelhouse_builder.resolve.kept import lock_for
from wheelhouse_builder.resolve.uv import ResolveOptions
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.requirements.model import RequirementSet
    from wheelhouse_builder.resolve.lock import Lock

RESULT = lock(SDIST)


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    """The targets that were resolved."""
    asked: list[Target] = []

    def resolve(requirements: RequirementSet, target: Target, options: ResolveOptions) -> Lock:
        asked.append(target)
        return RESULT

    monkeypatch.setattr(kept, "resolve", resolve)
    return asked


def test_the_same_question_is_resolved_once_and_its_day_is_told(tmp_path: Path, resolved: list[Target]) -> None:
    told: list[Event] = []
    requirements, options = ask(tmp_path, "cffi"), ResolveOptions(cache=tmp_path / "cache", listener=told.append)
    assert lock_for(requirements, TARGET, options, upgrade=False) == RESULT
    assert told == []
    assert lock_for(requirements, TARGET, options, upgrade=False) == RESULT
    (note,) = told
    assert isinstance(note, Note)
    assert "--upgrade resolves again" in note.text
    assert resolved == [TARGET]


def test_upgrade_asks_again(tmp_path: Path, resolved: list[Target]) -> None:
    requirements, options = ask(tmp_path, "cffi"), ResolveOptions(cache=tmp_path / "cache")
    for _ in range(2):
        lock_for(requirements, TARGET, options, upgrade=True)
    assert len(resolved) == 2


def test_whatever_shapes_the_lock_asks_again(
    tmp_path: Path, resolved: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ResolveOptions(cache=tmp_path / "cache")
    other = ResolveOptions(cache=tmp_path / "cache", format_control=FormatControl.parse(no_binary=["cffi"]))
    aged = [ResolveOptions(cache=tmp_path / "cache", min_age=timedelta(days=days)) for days in (3, 4)]
    lock_for(ask(tmp_path, "cffi"), TARGET, options, upgrade=False)
    lock_for(ask(tmp_path, "bcrypt"), TARGET, options, upgrade=False)
    lock_for(ask(tmp_path, "cffi"), Target.parse("cp313-musllinux_1_2_aarch64"), options, upgrade=False)
    lock_for(ask(tmp_path, "cffi"), TARGET, other, upgrade=False)
    for old_enough in aged:
        lock_for(ask(tmp_path, "cffi"), TARGET, old_enough, upgrade=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mine/simple")
    lock_for(ask(tmp_path, "cffi"), TARGET, options, upgrade=False)
    assert len(resolved) == 7


def test_a_damaged_lock_is_resolved_again(tmp_path: Path, resolved: list[Target]) -> None:
    requirements, options = ask(tmp_path, "cffi"), ResolveOptions(cache=tmp_path / "cache")
    lock_for(requirements, TARGET, options, upgrade=False)
    (path,) = (tmp_path / "cache" / "locks").iterdir()
    path.write_text("lock-version = ")
    assert lock_for(requirements, TARGET, options, upgrade=False) == RESULT
    assert len(resolved) == 2
    assert path.read_text() == RESULT.text


# min-age, and a clock that is set

NOW = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
AGE = timedelta(days=3)


def night(folder: Path, now: datetime, told: list[Event]) -> ResolveOptions:
    return ResolveOptions(cache=folder / "cache", min_age=AGE, now=now, listener=told.append)


@pytest.fixture
def cut_offs(monkeypatch: pytest.MonkeyPatch) -> list[datetime | None]:
    """The cut-off of each resolution; what is found was uploaded nine days ago, and has a name that lies about it."""
    asked: list[datetime | None] = []
    uploaded = f"{NOW - timedelta(days=9):%Y-%m-%dT%H:%M:%S.5Z}"
    url = "https://host/newest upload: 2099-01-01/cffi-2.1.1.tar.gz"
    found = lock(f'sdist = {{ url = "{url}", upload-time = {uploaded}, hashes = {{ sha256 = "{digest("a")}" }} }}')

    def resolve(requirements: RequirementSet, target: Target, options: ResolveOptions) -> Lock:
        asked.append(options.cut_off)
        return found

    monkeypatch.setattr(kept, "resolve", resolve)
    return asked


def test_by_a_clock_that_was_set_back_what_was_taken_stays_and_nothing_newer_comes(
    tmp_path: Path, cut_offs: list[datetime | None]
) -> None:
    told: list[Event] = []
    lock_for(ask(tmp_path, "cffi"), TARGET, night(tmp_path, NOW, told), upgrade=True)
    assert told == []
    lock_for(ask(tmp_path, "cffi"), TARGET, night(tmp_path, NOW - timedelta(days=2000), told), upgrade=True)
    (note,) = told
    assert isinstance(note, Note)
    assert "from 2026-11-20 03:00 UTC" in note.text
    taken = NOW - timedelta(days=9) + timedelta(seconds=0.5)
    assert cut_offs == [NOW - AGE, taken + timedelta(seconds=1)]


def test_a_clock_that_was_ahead_once_opens_nothing(tmp_path: Path, cut_offs: list[datetime | None]) -> None:
    told: list[Event] = []
    lock_for(ask(tmp_path, "cffi"), TARGET, night(tmp_path, NOW + timedelta(days=3650), told), upgrade=True)
    lock_for(ask(tmp_path, "cffi"), TARGET, night(tmp_path, NOW, told), upgrade=True)
    assert cut_offs[-1] == NOW - AGE
    assert told == []


@pytest.mark.parametrize(
    "text", ["", "# newest upload: soon\n", "# newest upload: 2026\n", "\xff", "lock-version = '1.0'\n"]
)
def test_a_kept_lock_that_tells_no_upload_time_is_not_asked(
    tmp_path: Path, cut_offs: list[datetime | None], text: str
) -> None:
    told: list[Event] = []
    lock_for(ask(tmp_path, "cffi"), TARGET, night(tmp_path, NOW, told), upgrade=True)
    (path,) = (tmp_path / "cache" / "locks").iterdir()
    path.write_text(text, encoding="latin-1")
    lock_for(ask(tmp_path, "cffi"), TARGET, night(tmp_path, NOW - timedelta(days=99), told), upgrade=True)
    assert cut_offs[-1] == NOW - timedelta(days=99) - AGE


def test_a_lock_with_an_upload_time_is_read_as_any(tmp_path: Path, cut_offs: list[datetime | None]) -> None:
    told: list[Event] = []
    first = lock_for(ask(tmp_path, "cffi"), TARGET, night(tmp_path, NOW, told), upgrade=True)
    assert lock_for(ask(tmp_path, "cffi"), TARGET, night(tmp_path, NOW, told), upgrade=False) == first
    assert len(cut_offs) == 1
