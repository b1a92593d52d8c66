from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name

from wheelhouse_builder.errors import PASSING_KINDS
from wheelhouse_builder.events import Event, Level, Note
from wheelhouse_builder.history import schema
from wheelhouse_builder.history.model import (
    Attempt,
    AttemptOutcome,
    PastRow,
    RunOutcome,
    RunRecord,
)
from wheelhouse_builder.history.store import History
from wheelhouse_builder.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 11, 29, 3, 0, 0, 250, tzinfo=UTC)
ARM = "cp312-musllinux_1_2_aarch64"
WEEK = timedelta(days=7)
FAILED = Attempt(
    job=f"cffi-2.1.1-{ARM}",
    name=canonicalize_name("cffi"),
    version="2.1.1",
    target=ARM,
    strategy=Strategy.CROSS,
    key="k",
    inputs={"zig": "0.17.1", "build requirement setuptools": "80.9.0"},
    outcome=AttemptOutcome.FAILED,
    kind="missing-library",
    rule="missing-header",
    message="the build failed: ffi.h was not found",
    hint="libffi has it",
    lines="c/_cffi_backend.c:15:10: fatal error: 'ffi.h' file not found",
    started=NOW,
    seconds=12.5,
    peak_memory=180 << 20,
    size=None,
    log="cffi.log.zst",
)
BUILT = dataclasses.replace(FAILED, outcome=AttemptOutcome.BUILT, kind="", rule="", message="", hint="", size=512)
RUN = RunRecord(command="refresh", started=NOW, seconds=60.0, outcome=RunOutcome.CHANGED, generation=3)
ROW = PastRow(
    name=canonicalize_name("cffi"),
    version="2.1.1",
    target=ARM,
    status="failed",
    action="build",
    strategy=Strategy.CROSS,
    message="no",
    kind="missing-library",
    seconds=12.5,
)


class Told:
    """Listens, and keeps the text of each warning."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: Event) -> None:
        assert isinstance(event, Note)
        assert event.level is Level.WARNING
        self.texts.append(event.text)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def history(tmp_path: Path, told: Told) -> History:
    return History(tmp_path / "history.sqlite", told)


def test_an_attempt_comes_back_as_it_went_in(history: History) -> None:
    plain = Attempt(
        job="x",
        name=canonicalize_name("x"),
        version=None,
        target=ARM,
        strategy=Strategy.EMULATED,
        key="",
        outcome=AttemptOutcome.TIMED_OUT,
        started=NOW,
        seconds=0.0,
    )
    history.add(FAILED)
    history.add(plain)
    assert history.attempts() == (plain, FAILED)
    assert history.attempts(name=FAILED.name) == history.attempts(job=FAILED.job) == (FAILED,)
    assert history.logs() == {"cffi.log.zst"}


def test_what_is_no_text_does_not_keep_an_attempt_out(history: History) -> None:
    history.add(dataclasses.replace(FAILED, message="a byte \udcff, a zero \0", inputs={"a": "\udcff"}))
    assert history.attempts()[0].message == "a byte ?, a zero \0"


def test_a_run_comes_back_with_its_number_and_rows(history: History) -> None:
    other = dataclasses.replace(ROW, name=canonicalize_name("a"), version=None, strategy=None, seconds=None)
    first = history.end_run(RUN, [ROW, other])
    second = history.end_run(dataclasses.replace(RUN, command="build", outcome=RunOutcome.UNCHANGED), [other])
    assert (first.number, second.number) == (1, 2)
    assert history.last_run() == (second, (other,))
    assert history.last_run(before=2) == history.last_run(command="refresh") == (first, (ROW, other))
    assert history.last_run(before=1) is None


def test_a_run_without_rows_is_nothing_to_compare_with(history: History) -> None:
    good = history.end_run(RUN, [ROW])
    failed = history.end_run(dataclasses.replace(RUN, outcome=RunOutcome.FAILED, message="the index is down"))
    assert history.last_run() == (good, (ROW,))
    assert history.runs() == (failed, good)


def test_without_a_file_there_is_nothing_and_none_is_made(history: History, told: Told) -> None:
    assert not history.attempts()
    assert not history.runs()
    assert not history.samples()
    assert history.last_run() is None
    assert history.winner(FAILED.name, ARM) is None
    assert history.known_failure("k", NOW, WEEK) is None
    assert not history.path.exists()
    assert told.texts == []


def test_the_winner_is_what_built_it_last(history: History) -> None:
    history.add(BUILT)
    history.add(dataclasses.replace(BUILT, strategy=Strategy.EMULATED))
    history.add(dataclasses.replace(FAILED, strategy=Strategy.NATIVE))
    history.add(dataclasses.replace(BUILT, target="cp313-musllinux_1_2_aarch64"))
    assert history.winner(FAILED.name, ARM) is Strategy.EMULATED


# the negative cache


def test_a_failure_is_known_until_it_expires(history: History) -> None:
    history.add(FAILED)
    assert history.known_failure("k", NOW + WEEK - timedelta(seconds=1), WEEK) == FAILED
    assert history.known_failure("k", NOW + WEEK, WEEK) is None
    assert history.known_failure("another", NOW, WEEK) is None


def test_a_failure_that_lies_in_the_future_is_of_now(history: History) -> None:
    """The clock was set back: it must not be known for longer than a failure of this moment."""
    history.add(dataclasses.replace(FAILED, started=NOW + timedelta(days=4000)))
    assert history.known_failure("k", NOW, WEEK) is not None
    assert history.known_failure("k", NOW, timedelta(0)) is None


@pytest.mark.parametrize("kind", sorted(PASSING_KINDS))
def test_what_may_pass_is_no_known_failure(history: History, kind: str) -> None:
    history.add(dataclasses.replace(FAILED, kind=kind))
    assert history.known_failure("k", NOW, WEEK) is None


def test_the_newest_attempt_decides(history: History) -> None:
    history.add(FAILED)
    history.add(dataclasses.replace(FAILED, outcome=AttemptOutcome.CANCELLED))
    assert history.known_failure("k", NOW, WEEK) == FAILED  # a run that was interrupted tells nothing
    history.add(BUILT)
    assert history.known_failure("k", NOW, WEEK) is None
    late = dataclasses.replace(FAILED, outcome=AttemptOutcome.TIMED_OUT, kind="time-out")
    history.add(late)
    assert history.known_failure("k", NOW, WEEK) == late


def test_without_a_key_nothing_is_known(history: History) -> None:
    history.add(dataclasses.replace(FAILED, key=""))
    assert history.known_failure("", NOW, WEEK) is None


# pruning


def test_pruning_keeps_the_last_runs_and_the_newest_attempts_of_each_kind(history: History) -> None:
    for day in range(10):
        moment = NOW + timedelta(days=day)
        history.add(dataclasses.replace(BUILT, started=moment, log=f"{day}"))
        history.end_run(dataclasses.replace(RUN, started=moment), [ROW])
    history.add(dataclasses.replace(FAILED, started=NOW))
    assert history.since() is None
    history.prune(keep_runs=2)
    assert history.since() == NOW + timedelta(days=8)
    assert [run.number for run in history.runs()] == [10, 9]
    assert history.last_run(before=10) == (dataclasses.replace(RUN, number=9, started=NOW + timedelta(days=8)), (ROW,))
    assert [attempt.log for attempt in history.attempts()] == ["cffi.log.zst", "9", "8", "7", "6", "5"]
    with contextlib.closing(sqlite3.connect(history.path)) as connection:
        assert connection.execute("SELECT count(*) FROM rows").fetchone() == (2,)


def test_a_run_whose_clock_was_ahead_makes_nothing_older_than_it_is(history: History) -> None:
    for ahead in (0, 4000, 1, 2):  # days
        for _ in range(3):
            history.add(dataclasses.replace(BUILT, started=NOW + timedelta(days=ahead)))
        history.end_run(dataclasses.replace(RUN, started=NOW + timedelta(days=ahead)))
    history.prune(keep_runs=3)
    assert history.since() == NOW + timedelta(days=1)
    assert len(history.attempts()) == 9


def test_with_few_runs_nothing_is_pruned(history: History) -> None:
    for _ in range(9):
        history.add(BUILT)
    history.end_run(RUN)
    history.prune(keep_runs=2)
    assert len(history.attempts()) == 9


# a file that is not what it should be


def _of_newer_version(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")


def _of_another_program(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.execute(f"PRAGMA user_version = {schema.VERSION}")
        connection.commit()


def _with_an_unknown_word(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE attempts SET strategy = 'moon'")
        connection.commit()


def _overwritten_within(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no database": lambda path: path.write_bytes(b"this is no database at all, and never was one" * 100),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "overwritten": _overwritten_within,
    "newer": _of_newer_version,
    "another program's": _of_another_program,
    "unknown words": _with_an_unknown_word,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_file_that_cannot_be_used_is_set_aside_and_work_goes_on(
    history: History, told: Told, damage: Callable[[Path], object]
) -> None:
    history.add(FAILED)
    damage(history.path)
    spoilt = history.path.read_bytes()
    assert history.attempts() == ()
    assert history.path.read_bytes() == spoilt  # who only looks writes nothing
    history.add(BUILT)
    assert history.attempts() == (BUILT,)
    (aside,) = history.path.parent.glob("history.sqlite.damaged-*")
    assert aside.read_bytes() == spoilt
    first, second = told.texts
    assert "counts as empty" in first
    assert aside.name in second


def test_making_it_finds_damage_that_nobody_reads(history: History, told: Told) -> None:
    history.add(FAILED)
    with history.path.open("r+b") as file:
        file.seek(3 * 4096)  # an index, which few ask
        file.write(b"\xff" * 4096)
    history.create()
    assert len(told.texts) == 1
    assert history.attempts() == ()


def test_a_new_file_of_another_process_is_not_set_aside(history: History, told: Told) -> None:
    history.path.write_bytes(b"no database" * 100)
    other = History(history.path)
    assert history.attempts() == ()
    other.add(FAILED)  # sets it aside
    history.add(BUILT)
    assert history.attempts() == (BUILT, FAILED)


def test_a_place_that_cannot_be_written_to_ends_no_run(tmp_path: Path, told: Told) -> None:
    history = History(tmp_path / "missing" / "history.sqlite", told)
    history.create()
    history.add(FAILED)
    assert history.end_run(RUN, [ROW]) == RUN
    assert len(told.texts) == 1
    assert "will not be remembered" in told.texts[0]


def test_many_may_write_at_once(history: History, told: Told) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: history.add(dataclasses.replace(FAILED, job=f"{number}")), range(8)))
    assert len(history.attempts()) == 8
    assert told.texts == []


def test_whoever_dies_while_writing_leaves_a_file_that_can_be_read(history: History, told: Told) -> None:
    history.add(FAILED)
    with contextlib.closing(sqlite3.connect(history.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM attempts")
    assert history.attempts() == (FAILED,)
    assert told.texts == []
