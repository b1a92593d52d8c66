"""Locks of earlier runs: kept for the same input until `--upgrade`, like cargo's and uv's.

So the same command again resolves nothing, and what a wheelhouse holds does not change behind the user's back.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import WhbError
from wheelhouse_builder.events import Level, Note
from wheelhouse_builder.files import write_atomically
from wheelhouse_builder.resolve.lock import Lock, read_lock
from wheelhouse_builder.resolve.uv import ResolveOptions, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.requirements.model import RequirementSet
    from wheelhouse_builder.target import Target

_NEWEST = "# newest upload: "
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
    lock = resolve(requirements, target, _with_what_was_taken(kept, options))
    newest = _newest_upload(lock) if options.min_age else None
    write_atomically(kept, f"{_NEWEST}{newest.isoformat()}\n{lock.text}".encode() if newest else lock.text.encode())
    return lock


def _with_what_was_taken(kept: Path, options: ResolveOptions) -> ResolveOptions:
    """The options, with a cut-off that takes no file of the kept lock away: the clock may have been set back since.

    Nothing younger comes in with them. By a clock that goes right they were old enough then, and are now.
    """
    newest = _noted_upload(kept) if options.cut_off else None
    if newest is None or options.cut_off is None or newest < options.cut_off:
        return options
    text = (
        f"what was taken last is from {newest:%Y-%m-%d %H:%M} UTC: by the clock of this machine that is too new for "
        "min-age, or yet to come. It stays, and nothing newer is taken; is the clock right?"
    )
    options.listener(Note(text=text, level=Level.WARNING))
    return replace(options, now=newest + timedelta(seconds=1) + options.min_age)


def _newest_upload(lock: Lock) -> datetime | None:
    files = [file for package in lock.pylock.packages for file in (*(package.wheels or ()), package.sdist)]
    return max((file.upload_time for file in files if file and file.upload_time), default=None)


def _noted_upload(kept: Path) -> datetime | None:
    """The first line of the lock: what else is in it comes from the index, and may look like anything."""
    try:
        with kept.open(encoding="utf-8") as stream:
            line = stream.readline().rstrip("\n")
        told = line.removeprefix(_NEWEST)
        return datetime.fromisoformat(told).astimezone(UTC) if told != line else None
    except (OSError, ValueError):
        return None


def _path(requirements: RequirementSet, target: Target, options: ResolveOptions) -> Path:
    """Where the lock is kept: by all that the result depends on, the index itself apart."""
    control = options.format_control
    indexes = sorted((name, value) for name, value in os.environ.items() if _INDEX_VARIABLE.fullmatch(name))
    age = (options.min_age,) if options.min_age else ()
    parts = (requirements.digest, str(target), sorted(control.no_binary), sorted(control.only_binary), indexes, *age)
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
    return options.cache / "locks" / f"{digest}.pylock.toml"
