"""Locks of earlier runs: kept for the same input until `--upgrade`, like cargo's and uv's.

So the same command again resolves nothing, and what a wheelhouse holds does not change behind the user's back.
"""

from __future__ import annotations

import hashlib
import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import WhbError
from wheelhouse_builder.events import Note
from wheelhouse_builder.files import write_atomically
from wheelhouse_builder.resolve.lock import Lock, read_lock
from wheelhouse_builder.resolve.uv import ResolveOptions, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.requirements.model import RequirementSet
    from wheelhouse_builder.target import Target

_INDEX_VARIABLE = re.compile(r"(UV|PIP)_\w*(INDEX|FIND_LINKS)\w*")


def lock_for(requirements: RequirementSet, target: Target, options: ResolveOptions, *, upgrade: bool) -> Lock:
    """The lock of an earlier run with the same input, or (also with `upgrade`) a new one, which is kept.

    Raises like `resolve`.
    """
    kept = _path(requirements, target, options)
    if not upgrade and kept.is_file():
        try:
            lock = read_lock(kept, target)
        except WhbError:
            kept.unlink()  # damaged: resolve again
        else:
            day = datetime.fromtimestamp(kept.stat().st_mtime, UTC).date()
            options.listener(Note(text=f"{target}: resolved on {day}; --upgrade resolves again"))
            return lock
    lock = resolve(requirements, target, options)
    write_atomically(kept, lock.text.encode())
    return lock


def _path(requirements: RequirementSet, target: Target, options: ResolveOptions) -> Path:
    """Where the lock is kept: by all that the result depends on, the index itself apart."""
    control = options.format_control
    indexes = sorted((name, value) for name, value in os.environ.items() if _INDEX_VARIABLE.fullmatch(name))
    age = (options.min_age,) if options.min_age else ()
    parts = (requirements.digest, str(target), sorted(control.no_binary), sorted(control.only_binary), indexes, *age)
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
    return options.cache / "locks" / f"{digest}.pylock.toml"
