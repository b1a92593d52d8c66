"""What a wheelhouse no longer needs: old generations, and wheels that no kept generation names.

A wheel is needed as long as a kept generation names it, and for a grace period after it came or was last published:
clients hold pages and locks for a while. Wheels without a record are somebody else's and stay.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from wheelhouse_builder.wheelhouse import disk
from wheelhouse_builder.wheelhouse.generations import (
    KEEP,
    Generation,
    all_generations,
    current,
    named_wheels,
    previous,
    retire,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from wheelhouse_builder.wheelhouse.store import Wheelhouse

GRACE = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What can go."""

    generations: tuple[Generation, ...] = ()
    files: tuple[Path, ...] = ()  # wheels and their sidecars
    records: tuple[str, ...] = ()  # by file name of the wheel
    size: int = 0  # bytes of all these files and generations


def find_garbage(
    wheelhouse: Wheelhouse, *, keep: int = KEEP, grace: timedelta = GRACE, now: datetime | None = None
) -> Garbage:
    """What nothing needs, when the last `keep` generations stay; the current one and that before it always do."""
    generations = all_generations(wheelhouse)
    kept = {*generations[-keep:], current(wheelhouse), previous(wheelhouse)}
    old = tuple(generation for generation in generations if generation not in kept)
    needed = {name for generation in generations if generation in kept for name in named_wheels(generation)}
    since = (now or datetime.now(UTC)) - grace
    used = _last_named(old)
    spare = [
        wheel.filename
        for wheel in wheelhouse.records.all()
        if wheel.filename not in needed
        and not _is_recent(wheelhouse.root / wheel.filename, used.get(wheel.filename), since)
    ]
    files = tuple(_files(wheelhouse, spare))
    size = sum(path.stat().st_size for path in files) + _freed_by(old)
    return Garbage(generations=old, files=files, records=tuple(spare), size=size)


def remove(wheelhouse: Wheelhouse, garbage: Garbage) -> None:
    """Remove it, under the lock. Who dies in between leaves less garbage, and never a wheel without its record."""
    with disk.writing(wheelhouse.root):
        for generation in garbage.generations:
            retire(wheelhouse, generation)
        for path in garbage.files:
            disk.remove(path)
        wheelhouse.records.remove(garbage.records)


def _last_named(generations: Iterable[Generation]) -> Mapping[str, datetime]:
    """For each wheel that these generations (oldest first) name, when the newest of them was published."""
    return {name: generation.published for generation in generations for name in named_wheels(generation)}


def _is_recent(wheel: Path, used: datetime | None, since: datetime) -> bool:
    if used is not None and used > since:
        return True
    return wheel.exists() and datetime.fromtimestamp(wheel.stat().st_mtime, UTC) > since


def _files(wheelhouse: Wheelhouse, wheels: Iterable[str]) -> Iterable[Path]:
    """The wheels first, then their sidecars, as far as they are there; and sidecars whose wheel nobody knows."""
    named = [wheelhouse.root / name for suffix in ("", ".metadata") for name in [f"{w}{suffix}" for w in wheels]]
    known = {wheel.filename for wheel in wheelhouse.records.all()}
    orphans = [
        path
        for path in sorted(wheelhouse.root.glob("*.whl.metadata"))
        if path.stem not in known and not path.with_suffix("").exists()
    ]
    return [path for path in [*named, *orphans] if path.is_file()]


def _freed_by(generations: Iterable[Generation]) -> int:
    """Bytes in the files of these generations that no other generation shares."""
    found = [path.stat() for generation in generations for path in generation.path.rglob("*") if path.is_file()]
    here = Counter(status.st_ino for status in found)
    return sum({status.st_ino: status.st_size for status in found if here[status.st_ino] == status.st_nlink}.values())
