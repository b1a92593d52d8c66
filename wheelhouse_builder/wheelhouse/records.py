"""What the wheelhouse knows about its wheels, in SQLite.

A wheel is served only if it has a record. One connection per operation: any thread may ask, and nothing stays open.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from packaging.utils import parse_wheel_filename
from packaging.version import InvalidVersion, Version

from wheelhouse_builder.errors import DamagedError, MachineError
from wheelhouse_builder.verify.verdict import Check, Method, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from packaging.tags import Tag
    from packaging.utils import NormalizedName

SCHEMA_VERSION = 2
_BUSY_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class StoredWheel:
    """A wheel in the wheelhouse, and how it came there."""

    filename: str
    name: NormalizedName
    version: Version
    sha256: str  # hexadecimal
    size: int  # bytes
    metadata_sha256: str  # of its METADATA, which lies beside it as `<filename>.metadata`
    requires_python: str | None = None
    origin: str  # "fetched", "built" or "uploaded"
    url: str | None = None  # where it was fetched from
    source_sha256: str | None = None  # of the sdist or source tree that it was built from
    request_key: str | None = None  # all that shapes the build, before its build requirements are known
    build_key: str | None = None  # the same with them
    built_for: str | None = None  # str(Target)
    engine: str | None = None
    seconds: float | None = None  # wall time of the build
    notes: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    published_at: datetime | None = None  # UTC, of the first generation that had it; never changes
    yanked: str | None = None  # why its version is yanked; kept for the version, with the files that are still to come

    @property
    def tags(self) -> frozenset[Tag]:
        """The compatibility tags in the file name."""
        return parse_wheel_filename(self.filename)[-1]


_COLUMNS = tuple(field.name for field in dataclasses.fields(StoredWheel) if field.name != "yanked")
_YANKS = "CREATE {} TABLE yanks (name TEXT, version TEXT, reason TEXT NOT NULL, PRIMARY KEY (name, version)) STRICT;"
_SCHEMA = """
CREATE TABLE wheels (
    filename TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    metadata_sha256 TEXT NOT NULL, requires_python TEXT, origin TEXT NOT NULL, url TEXT, source_sha256 TEXT,
    request_key TEXT, build_key TEXT, built_for TEXT, engine TEXT, seconds REAL, notes TEXT NOT NULL,
    verdicts TEXT NOT NULL, published_at TEXT, mtime_ns INTEGER NOT NULL
) STRICT;
"""
# By the version that a file has: what makes it one of the next. Version 0 is an empty file.
_STEPS = (_SCHEMA, _YANKS.format(""))
_SELECT = "SELECT wheels.*, reason AS yanked FROM wheels LEFT JOIN yanks USING (name, version)"
_INSERT = """
INSERT OR REPLACE INTO wheels VALUES (
    :filename, :name, :version, :sha256, :size, :metadata_sha256, :requires_python, :origin, :url, :source_sha256,
    :request_key, :build_key, :built_for, :engine, :seconds, :notes, :verdicts, :published_at, :mtime_ns
)
"""


class Records:
    """The records of one wheelhouse. Every method raises `DamagedError` if the file is not what it should be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Make the file, or bring one of an older version to ours, in one transaction."""
        with self._connection() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version < SCHEMA_VERSION:
                steps = "".join(_STEPS[version:])
                connection.executescript(f"BEGIN IMMEDIATE;{steps}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")

    def all(self) -> tuple[StoredWheel, ...]:
        """Every record, by file name; none when there is no file yet."""
        if not self.path.exists():
            return ()
        with self._open() as connection:
            return tuple(map(_load, connection.execute(f"{_SELECT} ORDER BY filename")))

    def by_filename(self, filename: str) -> StoredWheel | None:
        """The record of one wheel."""
        with self._open() as connection:
            rows = connection.execute(f"{_SELECT} WHERE filename = ?", (filename,))
            row = rows.fetchone()
        return None if row is None else _load(row)

    def of_project(self, name: NormalizedName) -> tuple[StoredWheel, ...]:
        """The records of one project; none when there is no file yet."""
        if not self.path.exists():
            return ()
        with self._open() as connection:
            return tuple(map(_load, connection.execute(f"{_SELECT} WHERE wheels.name = ?", (name,))))

    def names(self) -> frozenset[str]:
        """Every project that has or had a wheel here."""
        with self._open() as connection:
            return frozenset(row["name"] for row in connection.execute("SELECT DISTINCT name FROM wheels"))

    def add(self, wheel: StoredWheel, mtime_ns: int) -> StoredWheel:
        """Write a record, in place of one of the same file name; the time of first publication stays."""
        values = _dump(wheel) | {"mtime_ns": mtime_ns}
        with self._open() as connection:
            old = connection.execute(
                "SELECT published_at FROM wheels WHERE filename = ? AND sha256 = ?", (wheel.filename, wheel.sha256)
            ).fetchone()
            values["published_at"] = old[0] if old and old[0] else values["published_at"]
            connection.execute(_INSERT, values)
            stored = connection.execute(f"{_SELECT} WHERE filename = ?", (wheel.filename,)).fetchone()
            return _load(stored)

    def remove(self, filenames: Iterable[str]) -> None:
        """Forget these wheels."""
        with self._open() as connection:
            connection.executemany("DELETE FROM wheels WHERE filename = ?", [(filename,) for filename in filenames])

    def set_yank(self, name: NormalizedName, version: Version, reason: str | None) -> None:
        """Note why a version is yanked, for all its files, also those to come; None takes it back."""
        with self._open() as connection:
            connection.execute("DELETE FROM yanks WHERE name = ? AND version = ?", (name, str(version)))
            if reason is not None:
                connection.execute("INSERT INTO yanks VALUES (?, ?, ?)", (name, str(version), reason))

    def set_verdicts(self, filename: str, verdicts: Iterable[Verdict]) -> None:
        """Put these verdicts in place of those that a wheel has."""
        with self._open() as connection:
            text = _dump_verdicts(verdicts)
            connection.execute("UPDATE wheels SET verdicts = ? WHERE filename = ?", (text, filename))

    def mark_published(self, filenames: Iterable[str], moment: datetime) -> None:
        """Note the time of first publication of the wheels that have none yet."""
        with self._open() as connection:
            connection.executemany(
                "UPDATE wheels SET published_at = ? WHERE filename = ? AND published_at IS NULL",
                [(moment.astimezone(UTC).isoformat(), filename) for filename in filenames],
            )

    def times(self) -> dict[str, int]:
        """The modification time in nanoseconds of each file when its content was last known to be right."""
        if not self.path.exists():
            return {}
        with self._open() as connection:
            return dict(connection.execute("SELECT filename, mtime_ns FROM wheels"))

    def set_times(self, times: Mapping[str, int]) -> None:
        """Note that the content was right at these modification times."""
        with self._open() as connection:
            connection.executemany(
                "UPDATE wheels SET mtime_ns = ? WHERE filename = ?", [(ns, name) for name, ns in times.items()]
            )

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A transaction on records of a version that we know. One of version 1 can be read; `create` makes it ours."""
        with self._connection() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 1:
                connection.execute(_YANKS.format("TEMPORARY"))
            elif version != SCHEMA_VERSION:
                raise DamagedError(
                    f"{self.path} has version {version} of the records; this whb knows version {SCHEMA_VERSION}",
                    hint="use the whb that wrote it, or another wheelhouse",
                )
            with connection:
                yield connection

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
            raise DamagedError(
                f"{self.path} is damaged: {error}",
                hint="move it away and run the same command again: the wheels are checked, fetched or built anew, "
                "and get new publication times",
            ) from error


def _dump(wheel: StoredWheel) -> dict[str, Any]:
    values = {name: getattr(wheel, name) for name in _COLUMNS}
    return values | {
        "version": str(wheel.version),
        "notes": json.dumps(wheel.notes),
        "verdicts": _dump_verdicts(wheel.verdicts),
        "published_at": wheel.published_at.astimezone(UTC).isoformat() if wheel.published_at else None,
    }


def _load(row: sqlite3.Row) -> StoredWheel:
    values = {name: row[name] for name in (*_COLUMNS, "yanked")}
    return StoredWheel(
        **values
        | {
            "version": Version(values["version"]),
            "notes": tuple(json.loads(values["notes"])),
            "verdicts": tuple(map(_load_verdict, json.loads(values["verdicts"]))),
            "published_at": _moment(values["published_at"]),
        }
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _dump_verdicts(verdicts: Iterable[Verdict]) -> str:
    return json.dumps([dataclasses.asdict(verdict) for verdict in verdicts])


def _load_verdict(values: dict[str, Any]) -> Verdict:
    return Verdict(
        check=Check(values["check"]),
        target=values["target"],
        method=Method(values["method"]),
        environment=values["environment"],
        problems=tuple(values["problems"]),
        notes=tuple(values["notes"]),
    )
