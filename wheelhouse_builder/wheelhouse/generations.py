"""Generations: each published state of the index, immutable, behind one link.

A generation is made whole under a temporary name, flushed, renamed, and becomes current by one swap of `.whb/current`.
What clients use on top (`simple`, `links`, the lock of each target) are links that go through `current` and never
change. So a publication that is killed at any point leaves the last generation in force.

The pages of a project that is as it was are the files of the generation before, under a second name.
"""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import DamagedError, UsageError
from wheelhouse_builder.index import locks
from wheelhouse_builder.index.build import fingerprints, index_files, project_pages
from wheelhouse_builder.wheelhouse import disk

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from packaging.utils import NormalizedName

    from wheelhouse_builder.target import Target
    from wheelhouse_builder.wheelhouse.records import StoredWheel
    from wheelhouse_builder.wheelhouse.store import Wheelhouse

KEEP = 10
_FOLDERS = ("simple", "links")
_MANIFEST = "manifest.json"  # for each project what its pages were made from
_LOCK_PATTERNS = ("requirements-*.txt", "pylock.*.toml")


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One published state of the index."""

    number: int
    path: Path

    @property
    def published(self) -> datetime:
        """When it was made (UTC)."""
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)


def publish(
    wheelhouse: Wheelhouse,
    selections: Mapping[Target, Iterable[str]],
    *,
    now: datetime | None = None,
    keep: int = KEEP,
) -> Generation | None:
    """Publish all wheels, under the lock; None if that is what is published already.

    `selections` gives, for each target whose lock is complete, the file names of the wheels that it installs; the locks
    of other targets stay as they are. `now` becomes the upload time of the wheels that are published for the first
    time. The last `keep` generations stay, and always the current and the one before it.
    Raises `DamagedError` when a wheel is not what its record says, `MachineError` when the disk refuses.
    """
    wheelhouse.require_sound()
    moment = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    with disk.writing(wheelhouse.root):
        before = current(wheelhouse)
        wheels = _marked(wheelhouse, moment)
        prints = fingerprints(wheels)
        shared = _shared(before, prints)
        files = _carried_over(before) | render(wheels, selections, {path.parent.name for path in shared.values()})
        files[_MANIFEST] = json.dumps(prints, indent=0).encode()
        if before is not None and _is_as_it_was(before, files, shared):
            _link_top(wheelhouse, before)
            return None
        after = _write(wheelhouse, files, shared)
        disk.link(wheelhouse.current, Path("generations", after.path.name), wheelhouse.scratch)
        _link_top(wheelhouse, after)
        _retire(wheelhouse, {after, before}, keep)
    return after


def roll_back(wheelhouse: Wheelhouse, number: int | None = None) -> Generation:
    """Make an older (or newer) generation current, under the lock, by one swap: by default the one before the current.

    The wheels stay: the next publication shows all of them again, under a new number.
    Raises `UsageError` when it is not kept, `DamagedError` when wheels that it names are gone or changed.
    """
    wanted = _wanted(wheelhouse, number)
    if lost := lost_wheels(wheelhouse, wanted):
        raise DamagedError(
            f"generation {wanted.number} needs wheels that are gone or changed: {', '.join(lost)}",
            hint="put them back as they were, or take another generation; `whb rollback --list` lists them",
        )
    with disk.writing(wheelhouse.root):
        disk.link(wheelhouse.current, Path("generations", wanted.path.name), wheelhouse.scratch)
        _link_top(wheelhouse, wanted)
    return wanted


def _wanted(wheelhouse: Wheelhouse, number: int | None) -> Generation:
    kept = {generation.number: generation for generation in all_generations(wheelhouse)}
    listed = f"kept are {', '.join(map(str, kept))}" if kept else "`whb index` publishes one"
    if number is None:
        before = previous(wheelhouse)
        if before is None:
            raise UsageError(f"{wheelhouse.root} has no generation before the current one", hint=listed)
        return before
    if number not in kept:
        raise UsageError(f"{wheelhouse.root} has no generation {number}", hint=listed)
    return kept[number]


def named_wheels(generation: Generation) -> dict[str, str]:
    """The wheels that a generation names, by file name, with the sha256 that it tells.

    Raises `DamagedError` when a page is missing or is not what `publish` wrote.
    """
    simple = generation.path / "simple"
    try:
        projects = json.loads((simple / "index.v1_json").read_bytes())["projects"]
        pages = [json.loads((simple / project["name"] / "index.v1_json").read_bytes()) for project in projects]
        return {file["filename"]: file["hashes"]["sha256"] for page in pages for file in page["files"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(
            f"generation {generation.number} is damaged: {error}",
            hint="`whb rollback --list` lists the generations; `whb index` publishes a new one",
        ) from error


def lost_wheels(wheelhouse: Wheelhouse, generation: Generation) -> list[str]:
    """Those of its wheels that are not there as the generation tells."""
    bad = {problem.path.name for problem in wheelhouse.check()}
    there = {wheel.filename: wheel.sha256 for wheel in wheelhouse.wheels() if wheel.filename not in bad}
    return sorted(name for name, sha256 in named_wheels(generation).items() if there.get(name) != sha256)


def render(
    wheels: Iterable[StoredWheel], selections: Mapping[Target, Iterable[str]], without: Container[str] = ()
) -> dict[str, bytes]:
    """The files of a generation by relative path: index, each page also as gzip, and locks; no pages for `without`.

    Pure; `KeyError` for a selected wheel that is not there.
    """
    by_name = {wheel.filename: wheel for wheel in wheels}
    pages = {path: text.encode() for path, text in index_files(by_name.values(), without).items()}
    texts = {}
    for target, filenames in selections.items():
        chosen = [by_name[filename] for filename in filenames]
        texts[locks.requirements_name(target)] = locks.requirements(target, chosen)
        texts[locks.pylock_name(target)] = locks.pylock(target, chosen)
    packed = {f"{path}.gz": gzip.compress(page, mtime=0) for path, page in pages.items()}
    return pages | packed | {path: text.encode() for path, text in texts.items()}


def current(wheelhouse: Wheelhouse) -> Generation | None:
    """The generation in force."""
    try:
        name = wheelhouse.current.readlink().name
    except FileNotFoundError:
        return None
    return Generation(number=int(name), path=wheelhouse.generations / name)


def previous(wheelhouse: Wheelhouse) -> Generation | None:
    """The newest generation that is older than the one in force."""
    now = current(wheelhouse)
    older = [generation for generation in all_generations(wheelhouse) if now and generation.number < now.number]
    return older[-1] if older else None


def all_generations(wheelhouse: Wheelhouse) -> list[Generation]:
    """Those that are kept, oldest first."""
    folders = [path for path in wheelhouse.generations.glob("*") if path.name.isdecimal()]
    return sorted((Generation(number=int(path.name), path=path) for path in folders), key=lambda found: found.number)


def _marked(wheelhouse: Wheelhouse, moment: datetime) -> list[StoredWheel]:
    """The wheels, those that no generation had yet with this moment as their time of first publication."""
    wheels = wheelhouse.wheels()
    if new := [wheel.filename for wheel in wheels if wheel.published_at is None]:
        wheelhouse.records.mark_published(new, moment)
    return [wheel if wheel.published_at else replace(wheel, published_at=moment) for wheel in wheels]


def _carried_over(before: Generation | None) -> dict[str, bytes]:
    if before is None:
        return {}
    return {path.name: path.read_bytes() for pattern in _LOCK_PATTERNS for path in before.path.glob(pattern)}


def _shared(before: Generation | None, prints: Mapping[NormalizedName, str]) -> dict[str, Path]:
    """The pages of `before` that are right for the projects as they are now, by relative path."""
    if before is None:
        return {}
    try:
        known = dict(json.loads((before.path / _MANIFEST).read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}
    shared = {}
    for name in prints:
        if known.get(name) == prints[name]:
            paths = [f"{page}{suffix}" for page in project_pages(name) for suffix in ("", ".gz")]
            if all((before.path / path).is_file() for path in paths):
                shared.update({path: before.path / path for path in paths})
    return shared


def _is_as_it_was(before: Generation, files: Mapping[str, bytes], shared: Mapping[str, Path]) -> bool:
    there = {path.relative_to(before.path).as_posix() for path in before.path.rglob("*") if path.is_file()}
    return there == {*files, *shared} and all((before.path / name).read_bytes() == files[name] for name in files)


def _write(wheelhouse: Wheelhouse, files: Mapping[str, bytes], shared: Mapping[str, Path]) -> Generation:
    number = max((generation.number for generation in all_generations(wheelhouse)), default=0) + 1
    path, unfinished = wheelhouse.generations / f"{number:06}", wheelhouse.scratch / f"generation-{number}"
    shutil.rmtree(unfinished, ignore_errors=True)
    for name, content in files.items():
        (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
        disk.write(unfinished / name, content)
    for name, source in shared.items():
        (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
        disk.share(source, unfinished / name)
    for folder in [unfinished, *(path for path in unfinished.rglob("*") if path.is_dir())]:
        disk.sync(folder)
    disk.rename(unfinished, path)
    return Generation(number=number, path=path)


def _link_top(wheelhouse: Wheelhouse, generation: Generation) -> None:
    """Make the links on top where one is missing, and remove those to locks that this generation does not have.

    They lead through `current`, so one that is there stays right.
    """
    lock_names = {path.name for pattern in _LOCK_PATTERNS for path in generation.path.glob(pattern)}
    for name in (*_FOLDERS, *sorted(lock_names)):
        if not _leads_through_current(wheelhouse.root / name):
            disk.link(wheelhouse.root / name, Path(".whb/current", name), wheelhouse.scratch)
    tops = {top for pattern in _LOCK_PATTERNS for top in wheelhouse.root.glob(pattern)}
    for top in sorted(tops):
        if top.name not in lock_names and _leads_through_current(top):
            disk.remove(top)


def _leads_through_current(top: Path) -> bool:
    return top.is_symlink() and top.readlink() == Path(".whb/current", top.name)


def _retire(wheelhouse: Wheelhouse, in_use: set[Generation | None], keep: int) -> None:
    for generation in all_generations(wheelhouse)[:-keep]:
        if generation not in in_use:
            retire(wheelhouse, generation)


def retire(wheelhouse: Wheelhouse, generation: Generation) -> None:
    """Remove a generation: out of sight in one step, then for good."""
    retired = wheelhouse.scratch / f"retired-{generation.path.name}"
    disk.rename(generation.path, retired)
    shutil.rmtree(retired)
