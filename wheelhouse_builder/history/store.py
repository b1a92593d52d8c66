"""The history of one wheelhouse: what is asked of it, and what is written to it.

Nothing depends on it but comfort, so it never ends a run (`history.file`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.errors import PASSING_KINDS
from wheelhouse_builder.events import Listener, ignore
from wheelhouse_builder.history.estimates import Sample
from wheelhouse_builder.history.file import HistoryFile, require_whole
from wheelhouse_builder.history.model import Attempt, AttemptOutcome, PastRow, RunOutcome, RunRecord
from wheelhouse_builder.strategy import Strategy

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

_KEEP_ATTEMPTS = 5  # of each package, target, strategy and outcome, however old
KEEP_RUNS = 60

_ATTEMPT = tuple(field.name for field in dataclasses.fields(Attempt))
_RUN = tuple(field.name for field in dataclasses.fields(RunRecord) if field.name != "number")
_ROW = tuple(field.name for field in dataclasses.fields(PastRow))


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES (:{', :'.join(columns)})"  # noqa: S608  # constants


_ADD_ATTEMPT = _insert("attempts", _ATTEMPT)
_ADD_RUN = _insert("runs", _RUN)
_ADD_ROW = _insert("rows", ("run", "position", *_ROW))
_FORGET = """
DELETE FROM attempts WHERE started < (SELECT min(started) FROM runs) AND id NOT IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY name, target, strategy, outcome ORDER BY id DESC) AS age
        FROM attempts
    ) WHERE age <= :keep
)
"""


class History:
    """What is remembered in `path`. Making one of these touches nothing.

    No method raises for what is wrong with the file or the disk: the listener is told, once for each.
    """

    def __init__(self, path: Path, listener: Listener = ignore) -> None:
        self.path = path
        self._file = HistoryFile(path, listener)

    def create(self) -> None:
        """Make the file, or bring one of an older version to ours; look through it, and set it aside if need be."""
        self._file.write(require_whole, None)

    # attempts

    def add(self, attempt: Attempt) -> None:
        """Note an attempt."""
        self._file.write(lambda connection: connection.execute(_ADD_ATTEMPT, _dump(attempt)), None)

    def attempts(self, *, name: NormalizedName | None = None, job: str | None = None) -> tuple[Attempt, ...]:
        """The attempts for a package or a job, newest first."""
        query = """SELECT * FROM attempts WHERE (:name IS NULL OR name = :name) AND (:job IS NULL OR job = :job)
            ORDER BY id DESC"""
        values = {"name": name, "job": job}
        return self._file.read(lambda connection: tuple(map(_attempt, connection.execute(query, values))), ())

    def samples(self) -> tuple[Sample, ...]:
        """What every build that is remembered took, oldest first."""
        query = "SELECT name, target, strategy, seconds FROM attempts WHERE outcome = 'built' ORDER BY id"

        def read(connection: sqlite3.Connection) -> tuple[Sample, ...]:
            return tuple(
                Sample(name=name, target=target, strategy=Strategy(strategy), seconds=seconds)
                for name, target, strategy, seconds in connection.execute(query)
            )

        return self._file.read(read, ())

    def known_failure(self, key: str, now: datetime, expiry: timedelta) -> Attempt | None:
        """The last attempt with this key, if it failed for a reason that lies in its inputs, less than `expiry` ago.

        So does one that took too long: whether it may take longer today is for the caller to say. A time that lies in
        the future counts as now: the clock may have been set back.
        """
        query = "SELECT * FROM attempts WHERE key = ? AND outcome != ? ORDER BY id DESC LIMIT 1"

        def read(connection: sqlite3.Connection) -> Attempt | None:
            row = connection.execute(query, (key, AttemptOutcome.CANCELLED)).fetchone()
            return _attempt(row) if row else None

        last = self._file.read(read, None) if key else None
        if last is None or last.outcome is AttemptOutcome.BUILT or last.kind in PASSING_KINDS:
            return None
        return last if now - min(last.started, now) < expiry else None

    def winner(self, name: NormalizedName, target: str) -> Strategy | None:
        """The strategy that built this package for this target last."""
        query = "SELECT strategy FROM attempts WHERE name = ? AND target = ? AND outcome = ? ORDER BY id DESC LIMIT 1"

        def read(connection: sqlite3.Connection) -> Strategy | None:
            row = connection.execute(query, (name, target, AttemptOutcome.BUILT)).fetchone()
            return Strategy(row["strategy"]) if row else None

        return self._file.read(read, None)

    def logs(self) -> frozenset[str]:
        """The names of the logs of the attempts that are remembered."""
        query = "SELECT log FROM attempts WHERE log IS NOT NULL"
        return self._file.read(
            lambda connection: frozenset(row["log"] for row in connection.execute(query)), frozenset()
        )

    # runs

    def end_run(self, run: RunRecord, rows: Sequence[PastRow] = ()) -> RunRecord:
        """Note what a run came to; it comes back with its number."""

        def write(connection: sqlite3.Connection) -> RunRecord:
            number = connection.execute(_ADD_RUN, _dump(run)).lastrowid
            values = [_dump(row) | {"run": number, "position": position} for position, row in enumerate(rows)]
            connection.executemany(_ADD_ROW, values)
            return dataclasses.replace(run, number=number or 0)

        return self._file.write(write, run)

    def last_run(
        self, *, before: int | None = None, command: str | None = None
    ) -> tuple[RunRecord, tuple[PastRow, ...]] | None:
        """The last run that came to rows, before the one of that number, by that command."""
        query = """SELECT * FROM runs WHERE outcome != :failed AND (:before IS NULL OR number < :before)
            AND (:command IS NULL OR command = :command) ORDER BY number DESC LIMIT 1"""
        values = {"failed": RunOutcome.FAILED, "before": before, "command": command}

        def read(connection: sqlite3.Connection) -> tuple[RunRecord, tuple[PastRow, ...]] | None:
            row = connection.execute(query, values).fetchone()
            if row is None:
                return None
            rows = connection.execute("SELECT * FROM rows WHERE run = ? ORDER BY position", (row["number"],))
            return _run(row), tuple(map(_row, rows))

        return self._file.read(read, None)

    def runs(self) -> tuple[RunRecord, ...]:
        """Every run, also those that failed, newest first."""
        query = "SELECT * FROM runs ORDER BY number DESC"
        return self._file.read(lambda connection: tuple(map(_run, connection.execute(query))), ())

    def since(self) -> datetime | None:
        """The earliest start of the runs that are remembered, if older ones were forgotten."""
        query = "SELECT min(number) AS first, min(started) AS started FROM runs"  # one's clock may have been ahead

        def read(connection: sqlite3.Connection) -> datetime | None:
            row = connection.execute(query).fetchone()
            return datetime.fromisoformat(row["started"]) if row["started"] and row["first"] > 1 else None

        return self._file.read(read, None)

    def prune(self, keep_runs: int = KEEP_RUNS) -> None:
        """Forget what is older than the last runs, but for the newest attempts of each kind: estimates need them."""
        oldest = "SELECT number FROM runs ORDER BY number DESC LIMIT 1 OFFSET ?"

        def write(connection: sqlite3.Connection) -> None:
            row = connection.execute(oldest, (keep_runs - 1,)).fetchone()
            if row is None:
                return
            connection.execute("DELETE FROM rows WHERE run < ?", (row["number"],))
            connection.execute("DELETE FROM runs WHERE number < ?", (row["number"],))
            connection.execute(_FORGET, {"keep": _KEEP_ATTEMPTS})

        self._file.write(write, None)


def _dump(value: Attempt | RunRecord | PastRow) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, str):  # a log may hold bytes that are no text
        return str(value).encode(errors="replace").decode()
    return json.dumps(dict(value)) if isinstance(value, Mapping) else value


def _attempt(row: sqlite3.Row) -> Attempt:
    values = {name: row[name] for name in _ATTEMPT}
    return Attempt(
        **values
        | {
            "strategy": Strategy(row["strategy"]),
            "outcome": AttemptOutcome(row["outcome"]),
            "started": datetime.fromisoformat(row["started"]),
            "inputs": json.loads(row["inputs"]),
        }
    )


def _run(row: sqlite3.Row) -> RunRecord:
    values = {name: row[name] for name in (*_RUN, "number")}
    started = datetime.fromisoformat(row["started"])
    return RunRecord(**values | {"outcome": RunOutcome(row["outcome"]), "started": started})


def _row(row: sqlite3.Row) -> PastRow:
    values = {name: row[name] for name in _ROW}
    return PastRow(**values | {"strategy": row["strategy"] and Strategy(row["strategy"])})
