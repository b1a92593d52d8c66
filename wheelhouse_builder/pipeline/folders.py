"""The folders that jobs work in: one at a time has each, and nobody finds what another left there."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.locking import locked, locked_if_free

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wheelhouse_builder.plan import Job
    from wheelhouse_builder.process import Canceller


@contextmanager
def workplace(cache: Path, job: Job, canceller: Canceller) -> Iterator[Path]:
    """An empty folder whose path depends on the source and the target alone: paths leak into what is built.

    One process at a time has it; its content is removed afterwards. Raises `Cancelled`.
    """
    place = cache / "work" / f"{job.source.source_id[:16]}-{job.target}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(_lock_of(place), canceller):
        empty(place)
        try:
            yield place
        finally:
            _remove(place)


def empty(place: Path) -> None:
    """Make the folder anew."""
    _remove(place)
    place.mkdir()


def remove_left_behind(cache: Path) -> None:
    """Remove the work folders of processes that died: nobody else would, if their jobs are not wanted again."""
    for place in (cache / "work").glob("*/"):
        with locked_if_free(_lock_of(place)) as is_free:
            if is_free:
                _remove(place)


def _lock_of(place: Path) -> Path:
    """The lock file of a work folder."""
    return place.with_name(f"{place.name}.lock")


def _remove(folder: Path) -> None:
    """Remove a folder that a build wrote to; it may have made folders in it that nobody may write to."""
    for path, subfolders, _ in os.walk(folder):
        for name in subfolders:
            inner = Path(path, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    if folder.exists():
        shutil.rmtree(folder)
