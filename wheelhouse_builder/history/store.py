"""The history of one wheelhouse, in SQLite. Nothing depends on it but comfort, so it never ends a run.

One transaction a write, so that who dies at any moment leaves a file that can be read, and two processes may write. A
file that is damaged, or that a newer whb wrote, is set aside under another name by the next write; until then it counts
as empty.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from wheelhouse_builder.errors import PASSING_KINDS
from wheelhouse_builder.events import Level, Listener, Note, ignore
from wheelhouse_builder.history import schema
from wheelhouse_builder.history.estimates import Estimates, Sample
from wheelhouse_builder.history.model import (
    Attempt,
    AttemptOutcome,
    PastRow,
    RunOutcome,
    RunRecord,
)
from wheelhouse_builder.locking import locked
from wheelhouse_builder.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

T = TypeVar("T")

_BUSY_SECONDS = 30.0
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


class _Unusable(Exception):  # noqa: N818 - a state of the file
    """The file is damaged, of a newer version, or none of ours."""


class History:
    """What is remembered in `path`. Making one of these touches nothing.

    No method raises for what is wrong with the file or the disk: the listener is told, once for each.
    """

    def __init__(self, path: Path, listener: Listener = ignore) -> None:
        self.path = path
        self._listener = listener
        self._told: set[str] = set()
        self._unusable: int | None = None  # which file a read found to be so

    def create(self) -> None:
        """Make the file, or bring one of an older version to ours; look through it, and set it aside if need be."""
        self._write(_require_whole, None)

    # attempts

    def add(self, attempt: Attempt) -> None:
        """Note an attempt."""
        self._write(lambda connection: connection.execute(_ADD_ATTEMPT, _dump(attempt)), None)

    def attempts(
        self, *, name: NormalizedName | None = None, job: str | None = None, limit: int | None = None
    ) -> tuple[Attempt, ...]:
        """The attempts for a package or a job, newest first."""
        query = """SELECT * FROM attempts WHERE (:name IS NULL OR name = :name) AND (:job IS NULL OR job = :job)
            ORDER BY id DESC LIMIT :limit"""
        values = {"name": name, "job": job, "limit": -1 if limit is None else limit}
        return self._read(lambda connection: tuple(map(_attempt, connection.execute(query, values))), ())

    def durations(self) -> Estimates:
        """How long builds are likely to take."""
        return Estimates(self.samples())

    def samples(self) -> tuple[Sample, ...]:
        """What every build that is remembered took, oldest first."""
        query = "SELECT name, target, strategy, seconds FROM attempts WHERE outcome = 'built' ORDER BY id"

        def read(connection: sqlite3.Connection) -> tuple[Sample, ...]:
            return tuple(
                Sample(name=name, target=target, strategy=Strategy(strategy), seconds=seconds)
                for name, target, strategy, seconds in connection.execute(query)
            )

        return self._read(read, ())

    def known_failure(self, key: str, now: datetime, expiry: timedelta) -> Attempt | None:
        """The last attempt with this key, if it failed for a reason that lies in its inputs, less than `expiry` ago.

        So does one that took too long: whether it may take longer today is for the caller to say. A time that lies in
        the future counts as now: the clock may have been set back.
        """
        query = "SELECT * FROM attempts WHERE key = ? AND outcome != ? ORDER BY id DESC LIMIT 1"

        def read(connection: sqlite3.Connection) -> Attempt | None:
            row = connection.execute(query, (key, AttemptOutcome.CANCELLED)).fetchone()
            return _attempt(row) if row else None

        last = self._read(read, None) if key else None
        if last is None or last.outcome is AttemptOutcome.BUILT or last.kind in PASSING_KINDS:
            return None
        return last if now - min(last.started, now) < expiry else None

    def winner(self, name: NormalizedName, target: str) -> Strategy | None:
        """The strategy that built this package for this target last."""
        query = "SELECT strategy FROM attempts WHERE name = ? AND target = ? AND outcome = ? ORDER BY id DESC LIMIT 1"

        def read(connection: sqlite3.Connection) -> Strategy | None:
            row = connection.execute(query, (name, target, AttemptOutcome.BUILT)).fetchone()
            return Strategy(row["strategy"]) if row else None

        return self._read(read, None)

    def logs(self) -> frozenset[str]:
        """The names of the logs of the attempts that are remembered."""
        query = "SELECT log FROM attempts WHERE log IS NOT NULL"
        return self._read(lambda connection: frozenset(row["log"] for row in connection.execute(query)), frozenset())

    # runs

    def end_run(self, run: RunRecord, rows: Sequence[PastRow] = ()) -> RunRecord:
        """Note what a run came to; it comes back with its number."""

        def write(connection: sqlite3.Connection) -> RunRecord:
            number = connection.execute(_ADD_RUN, _dump(run)).lastrowid
            values = [_dump(row) | {"run": number, "position": position} for position, row in enumerate(rows)]
            connection.executemany(_ADD_ROW, values)
            return dataclasses.replace(run, number=number or 0)

        return self._write(write, run)

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

        return self._read(read, None)

    def runs(self, limit: int | None = None) -> tuple[RunRecord, ...]:
        """Every run, also those that failed, newest first."""
        query = "SELECT * FROM runs ORDER BY number DESC LIMIT ?"
        values = (-1 if limit is None else limit,)
        return self._read(lambda connection: tuple(map(_run, connection.execute(query, values))), ())

    def since(self) -> datetime | None:
        """The earliest start of the runs that are remembered, if older ones were forgotten."""
        query = "SELECT min(number) AS first, min(started) AS started FROM runs"  # one's clock may have been ahead

        def read(connection: sqlite3.Connection) -> datetime | None:
            row = connection.execute(query).fetchone()
            return datetime.fromisoformat(row["started"]) if row["started"] and row["first"] > 1 else None

        return self._read(read, None)

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

        self._write(write, None)

    # the file

    def _read(self, read: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        if not self.path.exists():
            return nothing
        try:
            with _connected(self.path) as connection:
                return read(connection) if _version(connection) == schema.VERSION else nothing
        except _Unusable as error:
            self._unusable = _identity(self.path)
            self._tell(f"{self.path} cannot be used: {error}; it counts as empty, and the next build sets it aside")
        except (sqlite3.OperationalError, OSError) as error:
            self._tell(f"{self.path} cannot be read: {error}; this run does without what it remembers")
        return nothing

    def _write(self, write: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        try:
            seen = _identity(self.path)
            try:
                if seen is not None and seen == self._unusable:
                    raise _Unusable("what is in it is not of a history")
                return _written(self.path, write)
            except _Unusable as error:
                self._set_aside(error, seen)
                return _written(self.path, write)
        except (_Unusable, sqlite3.OperationalError, OSError) as error:
            self._tell(f"{self.path} cannot be written: {error}; this run will not be remembered")
        return nothing

    def _set_aside(self, error: _Unusable, seen: int | None) -> None:
        """Rename the file, unless another process did so and began a new one."""
        with locked(self.path.with_name(f"{self.path.name}.lock")):
            if _identity(self.path) != seen:
                return
            aside = self.path.with_name(f"{self.path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
            for suffix in ("-journal", "-wal", "-shm"):  # a journal would be rolled back into the new file
                with contextlib.suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + suffix).rename(aside.with_name(aside.name + suffix))
            self.path.rename(aside)
        self._tell(f"{self.path} cannot be used: {error}; it is kept as {aside.name}, and a new one is begun")

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._listener(Note(text=text, level=Level.WARNING))


def _written(path: Path, write: Callable[[sqlite3.Connection], T]) -> T:
    with _connected(path) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        if (version := _version(connection)) < schema.VERSION:
            for statement in chain.from_iterable(schema.STEPS[version:]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {schema.VERSION}")
        return write(connection)


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection; what tells of the file, and not of the disk or of others who use it, is raised as `_Unusable`."""
    with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # no such table, no such column
                raise _Unusable(str(error)) from error
            raise
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise _Unusable(f"what is in it is not of a history: {error}") from error
        except sqlite3.DatabaseError as error:
            if type(error) is sqlite3.DatabaseError:  # no database, or a malformed one
                raise _Unusable(str(error)) from error
            raise


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= version <= schema.VERSION:
        raise _Unusable(f"it has version {version}; this whb knows version {schema.VERSION}")
    return version


def _require_whole(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _Unusable(found)


def _identity(path: Path) -> int | None:
    """What tells the file at a path from another that is put there."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


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
