"""The tables of the records, and the steps that make an older file one of ours.

`changes` names the projects that may look otherwise than in the generation that `base` tells of. Triggers fill it, so
nobody who writes a record can forget to: publication then looks at these projects and at no other. A name that changes
again gets a new id, so that a publication clears only what it has seen.
"""

from __future__ import annotations

_WHEELS = """
CREATE TABLE wheels (
    filename TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    metadata_sha256 TEXT NOT NULL, requires_python TEXT, origin TEXT NOT NULL, url TEXT, source_sha256 TEXT,
    request_key TEXT, build_key TEXT, built_for TEXT, engine TEXT, seconds REAL, notes TEXT NOT NULL,
    verdicts TEXT NOT NULL, published_at TEXT, mtime_ns INTEGER NOT NULL
) STRICT;
"""
_YANKS = "CREATE TABLE yanks (name TEXT, version TEXT, reason TEXT NOT NULL, PRIMARY KEY (name, version)) STRICT;"
# `collected`: gc removed the file, and the name stays taken, since clients hold its hash.
_CHANGES = """
ALTER TABLE wheels ADD COLUMN metadata_mtime_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE wheels ADD COLUMN metadata_size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE wheels ADD COLUMN collected INTEGER NOT NULL DEFAULT 0;
CREATE INDEX wheels_by_name ON wheels (name);
CREATE TABLE marks (name TEXT PRIMARY KEY, status TEXT NOT NULL, reason TEXT) STRICT;
CREATE TABLE changes (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE base (number INTEGER NOT NULL, manifest TEXT NOT NULL) STRICT;
"""
# What pages show of a wheel. The time of first publication is written by publication itself, while it looks.
_SHOWN = """name, version, sha256, size, metadata_sha256, requires_python, origin, url, source_sha256, request_key,
    build_key, built_for, engine, seconds, notes, verdicts, collected"""


def _trigger(table: str, event: str, row: str) -> str:
    name = f"{table}_{event.split(maxsplit=1)[0].lower()}"
    note = f"INSERT OR REPLACE INTO changes (name) VALUES ({row}.name)"  # noqa: S608  # constants
    return f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {note}; END;\n"


_TRIGGERS = "".join(
    (
        *(_trigger(table, "INSERT", "new") for table in ("wheels", "yanks", "marks")),
        *(_trigger(table, "DELETE", "old") for table in ("wheels", "yanks", "marks")),
        _trigger("wheels", f"UPDATE OF {_SHOWN}", "new"),
        _trigger("yanks", "UPDATE", "new"),
        _trigger("marks", "UPDATE", "new"),
    )
)

_KEYS = f"""
ALTER TABLE wheels ADD COLUMN project_keys TEXT NOT NULL DEFAULT '[]';
DROP TRIGGER wheels_update;
{_trigger("wheels", f"UPDATE OF {_SHOWN}, project_keys", "new")}
"""
# Sdists that a wheelhouse offers beside its wheels; `collected` as of wheels.
_STUBS = """
CREATE TABLE stubs (
    filename TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    requires_python TEXT, published_at TEXT, mtime_ns INTEGER NOT NULL, collected INTEGER NOT NULL DEFAULT 0
) STRICT;
""" + "".join(
    (
        _trigger("stubs", "INSERT", "new"),
        _trigger("stubs", "DELETE", "old"),
        _trigger("stubs", "UPDATE OF name, version, sha256, size, requires_python, collected", "new"),
    )
)

_NATIVE_TOOLS = f"""
ALTER TABLE wheels ADD COLUMN native_tools TEXT;
DROP TRIGGER wheels_update;
{_trigger("wheels", f"UPDATE OF {_SHOWN}, project_keys, native_tools", "new")}
"""

# When a run last selected a wheel, and which left the index since none did: `retiring`. The file stays for its grace.
_RETIRED = """
CREATE TABLE uses (filename TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT;
CREATE TABLE retired (
    filename TEXT PRIMARY KEY, name TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
""" + "".join((_trigger("retired", "INSERT", "new"), _trigger("retired", "DELETE", "old")))

# By the version that a file has: what makes it one of the next. Version 0 is an empty file.
STEPS = (_WHEELS, _YANKS, _CHANGES + _TRIGGERS, _KEYS + _STUBS, _NATIVE_TOOLS, _RETIRED)
VERSION = len(STEPS)


def migration(version: int) -> str:
    """The SQL that makes a file of this version one of ours, in one transaction."""
    return f"BEGIN IMMEDIATE;{''.join(STEPS[version:])}PRAGMA user_version = {VERSION};COMMIT;"
