"""Locks of earlier runs, with a resolver that counts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.locks import SDIST, TARGET, ask, lock
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
