"""The file of a history, in SQLite: what is wrong with it is told, and ends nothing.

One transaction a write, so that who dies at any moment leaves a file that can be read, and two processes may write. A
file that is damaged, or that a newer whb wrote, is set aside under another name by the next write; until then it counts
as empty.
"""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from wheelhouse_builder.events import Level, Listener, Note
from wheelhouse_builder.history import schema
from wheelhouse_builder.locking import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

_BUSY_SECONDS = 30.0


class _Unusable(Exception):  # noqa: N818 - a state of the file
    """The file is damaged, of a newer version, or none of ours."""


class HistoryFile:
    """Reads and writes the file at `path`; making one of these touches nothing.

    Nothing is raised for what is wrong with the file or the disk: the listener is told, once for each.
    """

    def __init__(self, path: Path, listener: Listener) -> None:
        self.path = path
        self._listener = listener
        self._told: set[str] = set()
        self._unusable: int | None = None  # which file a read found to be so

    def read(self, read: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        """What `read` finds; `nothing` where there is no file, none of our version or none that can be read."""
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

    def write(self, write: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        """Do `write` in one transaction, with a new file where there is none to use; `nothing` if it cannot be done."""
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


def require_whole(connection: sqlite3.Connection) -> None:
    """Look through the whole file for damage, which then is set aside (for `HistoryFile.write`)."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _Unusable(found)


def _identity(path: Path) -> int | None:
    """What tells the file at a path from another that is put there."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
