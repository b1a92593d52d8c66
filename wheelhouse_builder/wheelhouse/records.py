"""What the wheelhouse knows about its wheels and stubs, in SQLite.

A wheel is served only if it has a record. One connection per operation: any thread may ask, and nothing stays open.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.version import InvalidVersion, Version

from wheelhouse_builder.errors import DamagedError, MachineError
from wheelhouse_builder.index.model import UNMARKED, Mark, Status
from wheelhouse_builder.verify.verdict import Check, Method, Verdict
from wheelhouse_builder.wheelhouse import disk, schema
from wheelhouse_builder.wheelhouse.stored import Facts, Seen, StoredStub, StoredWheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

_version = lru_cache(1 << 14)(Version)  # the wheels of a version have it in common
_BUSY_SECONDS = 30.0
_WHEEL = ".whl"


class Base(NamedTuple):
    """The generation that the changes are counted from."""

    number: int
    manifest: str  # its sha256


class Changes(NamedTuple):
    """The projects that may look otherwise than in the base, and how far that was read."""

    names: frozenset[NormalizedName]
    until: int


_COLUMNS = tuple(field.name for field in dataclasses.fields(StoredWheel) if field.name != "yanked")
_SELECT = f"SELECT {', '.join(_COLUMNS)}, reason AS yanked FROM wheels LEFT JOIN yanks USING (name, version)"  # noqa: S608  # constants
_NAMED = "name IN (SELECT value FROM json_each(:names))"
_WRITTEN = (*_COLUMNS, *Seen._fields)
_INSERT = f"INSERT OR REPLACE INTO wheels ({', '.join(_WRITTEN)}) VALUES (:{', :'.join(_WRITTEN)})"  # noqa: S608  # constants
_FACTS = f"""
SELECT filename, name, sha256, size, metadata_sha256, published_at IS NOT NULL, {", ".join(Seen._fields)} FROM wheels
WHERE NOT collected AND @ UNION ALL
SELECT filename, name, sha256, size, NULL, published_at IS NOT NULL, mtime_ns, 0, 0 FROM stubs
WHERE NOT collected AND @ ORDER BY filename
"""  # noqa: S608  # constants
_STUB_COLUMNS = tuple(field.name for field in dataclasses.fields(StoredStub) if field.name != "yanked")
_STUBS = "SELECT stubs.*, reason AS yanked FROM stubs LEFT JOIN yanks USING (name, version)"
_INSERT_STUB = (
    f"INSERT OR REPLACE INTO stubs ({', '.join(_STUB_COLUMNS)}, mtime_ns) "  # noqa: S608  # constants
    f"VALUES (:{', :'.join(_STUB_COLUMNS)}, :mtime_ns)"
)
_BEGIN_ANEW = (
    "move it away and run the same command again: the wheels are checked, fetched or built anew, and get new "
    "publication times"
)


class Records:
    """The records of one wheelhouse. Every method raises `DamagedError` if the file is not what it should be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Make the file, or bring one of an older version to ours, in one transaction; under the wheelhouse's lock.

        A new one is made under another name: SQLite begins with an empty file, and one that a full disk left so is
        no records, which every later run would have to take for lost ones.
        """
        if self.path.exists():
            self._migrate()
            return
        made = Records(self.path.with_name(f"{self.path.name}.new"))
        made.path.unlink(missing_ok=True)
        made._migrate()
        disk.rename(made.path, self.path)

    def _migrate(self) -> None:
        with self._connection() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version < schema.VERSION:
                connection.executescript(schema.migration(version))

    def all(self) -> tuple[StoredWheel, ...]:
        """The record of every wheel that is kept, by file name; none when there is no file yet."""
        if not self.path.exists():
            return ()
        with self.transaction() as connection:
            return tuple(map(_load, connection.execute(f"{_SELECT} WHERE NOT collected ORDER BY filename")))

    def of_projects(self, names: Iterable[NormalizedName]) -> tuple[StoredWheel, ...]:
        """The records of the wheels that are kept of these projects, by file name."""
        if not self.path.exists():
            return ()
        query = f"{_SELECT} WHERE NOT collected AND {_NAMED} ORDER BY filename"
        with self.transaction() as connection:
            return tuple(map(_load, connection.execute(query, {"names": json.dumps(list(names))})))

    def by_filename(self, filename: str) -> StoredWheel | None:
        """The record of one wheel, also of one that gc removed: its name stays taken."""
        with self.transaction() as connection:
            rows = connection.execute(f"{_SELECT} WHERE filename = ?", (filename,))
            row = rows.fetchone()
        return None if row is None else _load(row)

    def by_filenames(self, filenames: Iterable[str]) -> dict[str, StoredWheel]:
        """The records of these wheels, as far as there are any, also of those that gc removed."""
        query = f"{_SELECT} WHERE filename IN (SELECT value FROM json_each(:names))"  # noqa: S608  # constants
        with self.transaction() as connection:
            rows = connection.execute(query, {"names": json.dumps(list(filenames))})
            return {row["filename"]: _load(row) for row in rows}

    def names(self) -> frozenset[str]:
        """Every project that has or had a wheel here."""
        with self.transaction() as connection:
            return frozenset(row["name"] for row in connection.execute("SELECT DISTINCT name FROM wheels"))

    def add(self, wheel: StoredWheel, seen: Seen) -> StoredWheel:
        """Write a record, in place of one of the same file name.

        If that was of the same content, the time of first publication stays, and the project keys are added to its own.
        """
        values = _dump(wheel) | seen._asdict()
        with self.transaction() as connection:
            old = connection.execute(
                "SELECT published_at, project_keys FROM wheels WHERE filename = ? AND sha256 = ?",
                (wheel.filename, wheel.sha256),
            ).fetchone()
            if old:
                values["published_at"] = old["published_at"] or values["published_at"]
                project_keys = dict(json.loads(old["project_keys"])) | dict(wheel.project_keys)
                values["project_keys"] = json.dumps(list(project_keys.items()))
            connection.execute(_INSERT, values)
            for told in ("uses", "retired"):  # who takes it in again asks for it
                connection.execute(f"DELETE FROM {told} WHERE filename = ?", (wheel.filename,))  # noqa: S608  # constants
            stored = connection.execute(f"{_SELECT} WHERE filename = ?", (wheel.filename,)).fetchone()
            return _load(stored)

    def remove(self, filenames: Iterable[str]) -> None:
        """Forget these files; of one that was published the name stays taken: clients hold its hash."""
        with self.transaction() as connection:
            for table, names in _by_table(filenames):
                rows = [(filename,) for filename in names]
                gone = f"DELETE FROM {table} WHERE filename = ? AND published_at IS NULL"  # noqa: S608  # constants
                connection.executemany(gone, rows)
                connection.executemany(f"UPDATE {table} SET collected = 1 WHERE filename = ?", rows)  # noqa: S608
                for told in ("uses", "retired"):
                    connection.executemany(f"DELETE FROM {told} WHERE filename = ?", rows)  # noqa: S608  # constants

    def set_yank(self, name: NormalizedName, version: Version, reason: str | None) -> None:
        """Note why a version is yanked, for all its files, also those to come; None takes it back."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM yanks WHERE name = ? AND version = ?", (name, str(version)))
            if reason is not None:
                connection.execute("INSERT INTO yanks VALUES (?, ?, ?)", (name, str(version), reason))

    def yanks(self) -> dict[tuple[NormalizedName, Version], str]:
        """Every yanked version, with the reason; none when there is no file yet."""
        if not self.path.exists():
            return {}
        with self.transaction() as connection:
            rows = connection.execute("SELECT name, version, reason FROM yanks").fetchall()
            return {(row["name"], _version(row["version"])): row["reason"] for row in rows}

    def set_mark(self, name: NormalizedName, mark: Mark) -> None:
        """Note what is said of a project as a whole."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM marks WHERE name = ?", (name,))
            if mark != UNMARKED:
                connection.execute("INSERT INTO marks VALUES (?, ?, ?)", (name, str(mark.status), mark.reason))

    def marks(self) -> dict[NormalizedName, Mark]:
        """What is said of projects; of the others nothing is."""
        if not self.path.exists():
            return {}
        with self.transaction() as connection:
            rows = connection.execute("SELECT name, status, reason FROM marks").fetchall()
        return {row["name"]: Mark(status=Status(row["status"]), reason=row["reason"]) for row in rows}

    def set_verdicts(self, filename: str, verdicts: Iterable[Verdict]) -> None:
        """Put these verdicts in place of those that a wheel has."""
        with self.transaction() as connection:
            text = _dump_verdicts(verdicts)
            connection.execute("UPDATE wheels SET verdicts = ? WHERE filename = ?", (text, filename))

    def mark_published(self, filenames: Iterable[str], moment: datetime) -> None:
        """Note the time of first publication of the files that have none yet."""
        text = moment.astimezone(UTC).isoformat()
        with self.transaction() as connection:
            for table, names in _by_table(filenames):
                first = f"UPDATE {table} SET published_at = ? WHERE filename = ? AND published_at IS NULL"  # noqa: S608
                connection.executemany(first, [(text, filename) for filename in names])

    # stubs

    def stubs(self, names: Iterable[NormalizedName] | None = None) -> tuple[StoredStub, ...]:
        """The record of every stub that is kept of these projects, or of all, by file name."""
        if not self.path.exists():
            return ()
        query = f"{_STUBS} WHERE NOT collected AND {'1' if names is None else _NAMED} ORDER BY filename"
        with self.transaction() as connection:
            return tuple(map(_load_stub, connection.execute(query, {"names": json.dumps(list(names or ()))})))

    def stub(self, filename: str) -> StoredStub | None:
        """The record of one stub, also of one that gc removed: its name stays taken."""
        with self.transaction() as connection:
            row = connection.execute(f"{_STUBS} WHERE filename = ?", (filename,)).fetchone()
        return None if row is None else _load_stub(row)

    def add_stub(self, stub: StoredStub, mtime_ns: int) -> None:
        """Write the record of a stub, in place of one of the same file name."""
        values = dataclasses.asdict(stub) | {"version": str(stub.version), "mtime_ns": mtime_ns}
        values["published_at"] = stub.published_at and stub.published_at.astimezone(UTC).isoformat()
        with self.transaction() as connection:
            connection.execute(_INSERT_STUB, values)

    # the files

    def facts(self, names: Iterable[NormalizedName] | None = None) -> list[Facts]:
        """What it takes to look at the files of these projects, or of all, by file name."""
        if not self.path.exists():
            return []
        query = _FACTS.replace("@", "1" if names is None else _NAMED)
        with self.transaction() as connection:
            connection.row_factory = None
            rows = connection.execute(query, {"names": json.dumps(list(names or ()))}).fetchall()
        return [Facts._make((*row[:5], bool(row[5]), Seen._make(row[6:]))) for row in rows]

    def set_seen(self, seen: Mapping[str, Seen]) -> None:
        """Note how these files were when their content was right."""
        with self.transaction() as connection:
            connection.executemany(
                "UPDATE wheels SET mtime_ns = ?, metadata_mtime_ns = ?, metadata_size = ? WHERE filename = ?",
                [(*found, filename) for filename, found in seen.items() if filename.endswith(_WHEEL)],
            )
            connection.executemany(
                "UPDATE stubs SET mtime_ns = ? WHERE filename = ?",
                [(found.mtime_ns, filename) for filename, found in seen.items() if not filename.endswith(_WHEEL)],
            )

    # what is to be published

    def changes(self) -> Changes:
        """The projects that may look otherwise than in the base."""
        with self.transaction() as connection:
            rows = connection.execute("SELECT id, name FROM changes").fetchall()
        return Changes(frozenset(row["name"] for row in rows), max((row["id"] for row in rows), default=0))

    def note_changes(self, names: Iterable[str]) -> None:
        """Have the next publication look at these projects."""
        with self.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO changes (name) VALUES (?)", [(name,) for name in names])

    def base(self) -> Base | None:
        """The generation that the changes are counted from."""
        with self.transaction() as connection:
            row = connection.execute("SELECT number, manifest FROM base").fetchone()
        return None if row is None else Base(*row)

    def set_base(self, base: Base, until: int) -> None:
        """Count from this generation; it shows the changes up to `until`."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM base")
            connection.execute("INSERT INTO base VALUES (?, ?)", base)
            connection.execute("DELETE FROM changes WHERE id <= ?", (until,))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction on records of a version that we know.

        An older file is read as a copy in memory that was brought to ours; who writes has called `create`.
        """
        with self._connection() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version < 1:
                raise DamagedError(f"{self.path} holds no records", hint=_BEGIN_ANEW)
            if version > schema.VERSION:
                raise DamagedError(
                    f"{self.path} has version {version} of the records; this whb knows version {schema.VERSION}",
                    hint="use the whb that wrote it, or another wheelhouse",
                )
            with _as_ours(connection, version) as ours, ours:
                yield ours

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS)) as connection:
                connection.row_factory = sqlite3.Row
                yield connection
        except sqlite3.OperationalError as error:
            raise MachineError(
                f"cannot use {self.path}: {error}", hint="is it writable, and is the disk full?"
            ) from error
        except (sqlite3.DatabaseError, InvalidVersion, ValueError, TypeError, KeyError) as error:
            raise DamagedError(f"{self.path} is damaged: {error}", hint=_BEGIN_ANEW) from error


@contextlib.contextmanager
def _as_ours(connection: sqlite3.Connection, version: int) -> Iterator[sqlite3.Connection]:
    if version == schema.VERSION:
        yield connection
        return
    with contextlib.closing(sqlite3.connect(":memory:")) as copy:
        connection.backup(copy)
        (version,) = copy.execute("PRAGMA user_version").fetchone()  # a writer may have made it ours by now
        copy.executescript(schema.migration(version))
        copy.execute("PRAGMA query_only = 1")
        copy.row_factory = sqlite3.Row
        yield copy


def _dump(wheel: StoredWheel) -> dict[str, Any]:
    values = {name: getattr(wheel, name) for name in _COLUMNS}
    return values | {
        "version": str(wheel.version),
        "project_keys": json.dumps(wheel.project_keys),
        "notes": json.dumps(wheel.notes),
        "verdicts": _dump_verdicts(wheel.verdicts),
        "published_at": wheel.published_at.astimezone(UTC).isoformat() if wheel.published_at else None,
    }


def _load(row: sqlite3.Row) -> StoredWheel:
    values = dict(zip((*_COLUMNS, "yanked"), row, strict=True))  # a name is searched for in each row
    return StoredWheel(
        **values
        | {
            "version": _version(values["version"]),
            "project_keys": tuple((key, target) for key, target in json.loads(values["project_keys"])),
            "notes": tuple(json.loads(values["notes"])),
            "verdicts": _load_verdicts(values["verdicts"]),
            "published_at": _moment(values["published_at"]),
        }
    )


def _load_stub(row: sqlite3.Row) -> StoredStub:
    values = {name: row[name] for name in (*_STUB_COLUMNS, "yanked")}
    known = {"version": _version(values["version"]), "published_at": _moment(values["published_at"])}
    return StoredStub(**values | known)


def _by_table(filenames: Iterable[str]) -> list[tuple[str, list[str]]]:
    """The table of wheels and that of stubs, each with its files."""
    wheels: list[str] = []
    stubs: list[str] = []
    for filename in filenames:
        (wheels if filename.endswith(_WHEEL) else stubs).append(filename)
    return [("wheels", wheels), ("stubs", stubs)]


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _dump_verdicts(verdicts: Iterable[Verdict]) -> str:
    return json.dumps([dataclasses.asdict(verdict) for verdict in verdicts])


@lru_cache(1 << 10)  # many wheels were checked in the same way, or not at all
def _load_verdicts(text: str) -> tuple[Verdict, ...]:
    return tuple(map(_load_verdict, json.loads(text)))


def _load_verdict(values: dict[str, Any]) -> Verdict:
    return Verdict(
        check=Check(values["check"]),
        target=values["target"],
        method=Method(values["method"]),
        environment=values["environment"],
        problems=tuple(values["problems"]),
        notes=tuple(values["notes"]),
    )
