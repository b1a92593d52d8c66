"""What a wheelhouse no longer needs: old generations, and wheels and stubs that no kept generation names.

A file is needed as long as a kept generation names it, and for a grace period after it came or was last published:
clients hold pages and locks for a while. So are those of a quarantined project, whose page names none. Wheels without a
record are somebody else's and stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from wheelhouse_builder.index.model import Status
from wheelhouse_builder.wheelhouse import disk, pages
from wheelhouse_builder.wheelhouse.generations import (
    KEEP,
    Generation,
    all_generations,
    current,
    kept_page_keys,
    named_files,
    previous,
    remove_generation,
)
from wheelhouse_builder.wheelhouse.retired import retired_wheels

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from wheelhouse_builder.wheelhouse.store import Wheelhouse

GRACE = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What can go."""

    generations: tuple[Generation, ...] = ()
    files: tuple[Path, ...] = ()  # wheels, their sidecars and build logs, and stubs
    records: tuple[str, ...] = ()  # by file name of the wheel or stub; the name of one that was published stays taken
    size: int = 0  # bytes of all these files and generations, and of the page folders that only they have


def find_garbage(
    wheelhouse: Wheelhouse, *, keep: int = KEEP, grace: timedelta = GRACE, now: datetime | None = None
) -> Garbage:
    """What nothing needs, when the last `keep` generations stay; the current one and that before it always do."""
    generations = all_generations(wheelhouse)
    kept = {*generations[-keep:], current(wheelhouse), previous(wheelhouse)}
    old = tuple(generation for generation in generations if generation not in kept)
    known: dict[str, dict[str, str]] = {}
    needed = {name for generation in generations if generation in kept for name in named_files(generation, known)}
    since = (now or datetime.now(UTC)) - grace
    used = {name: generation.published for generation in old for name in named_files(generation, known)}
    for name, retired in retired_wheels(wheelhouse.records).items():
        used[name] = max(used.get(name, retired.at), retired.at)
    quarantined = {name for name, mark in wheelhouse.records.marks().items() if mark.status is Status.QUARANTINED}
    spare = [
        facts.filename
        for facts in wheelhouse.records.facts()
        if facts.filename not in needed
        and facts.name not in quarantined
        and not _is_recent(wheelhouse.root / facts.filename, used.get(facts.filename), since)
    ]
    files = tuple(_files(wheelhouse, spare))
    size = sum(path.stat().st_size for path in files) + _freed_by(wheelhouse, old)
    return Garbage(generations=old, files=files, records=tuple(spare), size=size)


def remove(wheelhouse: Wheelhouse, garbage: Garbage) -> None:
    """Remove it, under the lock. Who dies in between leaves less garbage, and never a wheel without its record."""
    with disk.writing(wheelhouse.root):
        for generation in garbage.generations:
            remove_generation(wheelhouse, generation)
        for path in garbage.files:
            disk.remove(path)
        wheelhouse.records.remove(garbage.records)
        for folder in _unused_folders(wheelhouse, ()):
            pages.remove(wheelhouse, folder)


def _is_recent(wheel: Path, used: datetime | None, since: datetime) -> bool:
    if used is not None and used > since:
        return True
    return wheel.exists() and datetime.fromtimestamp(wheel.stat().st_mtime, UTC) > since


def _files(wheelhouse: Wheelhouse, wheels: Iterable[str]) -> Iterable[Path]:
    """The wheels first, then what belongs to them, as far as it is there; and that of wheels that nobody knows."""
    spare = list(wheels)
    named = [wheelhouse.root / name for suffix in ("", ".metadata") for name in [f"{w}{suffix}" for w in spare]]
    known = {facts.filename for facts in wheelhouse.records.facts()}
    logs = [wheelhouse.build_log(name) for name in (*spare, *sorted(wheelhouse.build_logs() - known))]
    orphans = [
        path
        for path in sorted(wheelhouse.root.glob("*.whl.metadata"))
        if path.stem not in known and not path.with_suffix("").exists()
    ]
    return [path for path in [*named, *orphans, *logs] if path.is_file()]


def _unused_folders(wheelhouse: Wheelhouse, without: Collection[Generation]) -> list[Path]:
    """The page folders that no generation has, when those `without` are gone; also what an interrupted run left."""
    used = kept_page_keys(wheelhouse, without)
    return [folder for folder in pages.all_folders(wheelhouse) if folder.name not in used]


def _freed_by(wheelhouse: Wheelhouse, generations: Collection[Generation]) -> int:
    """Bytes in the files of these generations and in the page folders that no other has."""
    folders = [*(generation.path for generation in generations), *_unused_folders(wheelhouse, generations)]
    found = [
        path.lstat() for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
    ]
    return sum(status.st_size for status in found)
