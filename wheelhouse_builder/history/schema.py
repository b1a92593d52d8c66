"""The tables of the history, and the steps that make an older file one of ours."""

from __future__ import annotations

_TABLES = (
    """CREATE TABLE attempts (
        id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, name TEXT NOT NULL, version TEXT, target TEXT NOT NULL,
        strategy TEXT NOT NULL, key TEXT NOT NULL, inputs TEXT NOT NULL, outcome TEXT NOT NULL, kind TEXT NOT NULL,
        rule TEXT NOT NULL, message TEXT NOT NULL, hint TEXT NOT NULL, lines TEXT NOT NULL, started TEXT NOT NULL,
        seconds REAL NOT NULL, peak_memory INTEGER, size INTEGER, log TEXT
    ) STRICT""",
    "CREATE INDEX attempts_by_name ON attempts (name, target)",
    "CREATE INDEX attempts_by_key ON attempts (key)",
    """CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, command TEXT NOT NULL, started TEXT NOT NULL, seconds REAL NOT NULL,
        outcome TEXT NOT NULL, generation INTEGER, message TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE rows (
        run INTEGER NOT NULL REFERENCES runs (number), position INTEGER NOT NULL, name TEXT NOT NULL, version TEXT,
        target TEXT NOT NULL, status TEXT NOT NULL, action TEXT NOT NULL, reason TEXT NOT NULL, strategy TEXT,
        filename TEXT, size INTEGER, seconds REAL, message TEXT NOT NULL, kind TEXT NOT NULL,
        PRIMARY KEY (run, position)
    ) STRICT, WITHOUT ROWID""",
)

# By the version that a file has: the statements that make it one of the next. Version 0 is an empty file.
STEPS = (_TABLES,)
VERSION = len(STEPS)
