"""Wheels that left the index although their files are there, and when each wheel was last asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wheelhouse_builder.wheelhouse.records import Records


class Retirement(NamedTuple):
    """Why and when a wheel left the index."""

    reason: str
    at: datetime  # UTC


def retired_wheels(records: Records) -> dict[str, Retirement]:
    """Those that are retired, by file name; none when there are no records yet."""
    if not records.path.exists():
        return {}
    with records.transaction() as connection:
        rows = connection.execute("SELECT filename, reason, at FROM retired ORDER BY filename").fetchall()
    return {row["filename"]: Retirement(row["reason"], datetime.fromisoformat(row["at"])) for row in rows}


def retire(records: Records, reasons: Mapping[str, str], moment: datetime) -> None:
    """Have the next publication leave these wheels out, under the lock; why is given by file name."""
    text = moment.astimezone(UTC).isoformat()
    query = "INSERT OR REPLACE INTO retired SELECT filename, name, ?, ? FROM wheels WHERE filename = ?"
    with records.transaction() as connection:
        connection.executemany(query, [(reason, text, filename) for filename, reason in reasons.items()])


def bring_back(records: Records, filenames: Iterable[str]) -> None:
    """Have the next publication show these wheels again, under the lock; their time of rest is forgotten."""
    rows = [(filename,) for filename in filenames]
    with records.transaction() as connection:
        connection.executemany("DELETE FROM retired WHERE filename = ?", rows)
        connection.executemany("DELETE FROM uses WHERE filename = ?", rows)


def note_uses(records: Records, filenames: Iterable[str], moment: datetime) -> None:
    """Note that these wheels were asked for, under the lock."""
    text = moment.astimezone(UTC).isoformat()
    with records.transaction() as connection:
        rows = [(filename, text) for filename in filenames]
        connection.executemany("INSERT OR REPLACE INTO uses VALUES (?, ?)", rows)


def last_uses(records: Records) -> dict[str, datetime]:
    """When each wheel was last asked for, by file name; of some it was never noted. None when there are no records."""
    if not records.path.exists():
        return {}
    with records.transaction() as connection:
        rows = connection.execute("SELECT filename, at FROM uses").fetchall()
    return {row["filename"]: datetime.fromisoformat(row["at"]) for row in rows}
