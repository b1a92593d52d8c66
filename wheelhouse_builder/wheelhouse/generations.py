"""Generations: each published state of the index, immutable, behind one link.

A generation is made whole under a temporary name, flushed, renamed, and becomes current by one swap of `.whb/current`.
What clients use on top (`simple`, `links`, the lock of each target) are links that go through `current` and never
change. So a publication that is killed at any point leaves the last generation in force.

The pages of a project lie in a page folder, which generations share: publication renders the projects that changed
since the base, the generation that the records count changes from, and links the rest.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import DamagedError, UsageError
from wheelhouse_builder.index import locks
from wheelhouse_builder.wheelhouse import disk, edition
from wheelhouse_builder.wheelhouse.manifest import MANIFEST, Manifest, page_keys, parse_manifest, sha256
from wheelhouse_builder.wheelhouse.pages import NewPages, folder_of, is_whole, target_of
from wheelhouse_builder.wheelhouse.pages import remove as remove_pages
from wheelhouse_builder.wheelhouse.records import Base
from wheelhouse_builder.wheelhouse.soundness import look_at

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from wheelhouse_builder.target import Target
    from wheelhouse_builder.wheelhouse.edition import Edition, Start
    from wheelhouse_builder.wheelhouse.store import Wheelhouse
    from wheelhouse_builder.wheelhouse.stored import StoredWheel

KEEP = 10
_FOLDERS = ("simple", "links", "browse")
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
    without: Collection[Target] = (),
) -> Generation | None:
    """Publish what changed, under the lock; None if that is what is published already.

    `selections` gives, for each target whose lock is complete, the file names of the wheels that it installs; the locks
    of other targets stay as they are, but for those `without` one from now on. `now` becomes the upload time of the
    wheels that are published for the first time. The last `keep` generations stay, and always the current and the one
    before it.
    Files are looked at as far as their project changed: `Wheelhouse.check` finds what happened behind whb's back.
    Raises `DamagedError` when a wheel is not what its record says, `MachineError` when the disk refuses, `KeyError` for
    a selected wheel that is not there.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    with disk.writing(wheelhouse.root):
        changes, start = wheelhouse.records.changes(), _start(wheelhouse)
        wheels = wheelhouse.sound_wheels(moment, changes.names if start else None)
        before, pages = current(wheelhouse), NewPages(wheelhouse)
        chosen = _carried_over(before, without) | _locks(wheelhouse, selections)
        stubs = wheelhouse.stubs_beside(wheels, moment, changes.names if start else None)
        draft = edition.edit(start or edition.NOTHING, changes.names, wheels, stubs, wheelhouse, pages)
        pages.settle()
        as_it_was = before is not None and _is_as_it_was(before, draft, chosen)
        after = before if before is not None and as_it_was else _write(wheelhouse, draft, chosen)
        wheelhouse.records.set_base(Base(after.number, sha256(draft.manifest)), changes.until)
        if not as_it_was:
            disk.link(wheelhouse.current, Path("generations", after.path.name), wheelhouse.scratch)
        _link_top(wheelhouse, after)
        if not as_it_was:
            _remove_old(wheelhouse, {after, before}, keep)
    return None if as_it_was else after


def note_lost_pages(wheelhouse: Wheelhouse, *, thorough: bool = False) -> None:
    """Have the next publication render the projects whose page folder is not whole, under the lock.

    `thorough`: render every project, and so put right each page that has other bytes.
    """
    start = _start(wheelhouse)
    if start is not None:
        folders = {name: folder_of(wheelhouse, entry.pages) for name, entry in start.projects.items()}
        wheelhouse.records.note_changes(name for name, folder in folders.items() if thorough or not is_whole(folder))


def roll_back(wheelhouse: Wheelhouse, number: int | None = None) -> Generation:
    """Make an older (or newer) generation current, under the lock, by one swap: by default the one before the current.

    The wheels stay: the next publication shows all of them again, under a new number.
    Raises `UsageError` when it is not kept, `DamagedError` when wheels that it names are gone or changed.
    """
    wanted = _wanted(wheelhouse, number)
    if lost := lost_files(wheelhouse, wanted):
        raise DamagedError(
            f"generation {wanted.number} needs files that are gone or changed: {', '.join(lost)}",
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


def read_manifest(generation: Generation) -> Manifest:
    """Which page folder each project has. Raises `DamagedError`."""
    try:
        return parse_manifest((generation.path / MANIFEST).read_bytes())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(generation, error) from error


def named_files(generation: Generation, known: dict[str, dict[str, str]] | None = None) -> dict[str, str]:
    """The wheels and stubs that a generation names, by file name, with the sha256 that it tells.

    `known` keeps what page folders name from one call to the next: generations share most of them.
    Raises `DamagedError` when a page is missing or is not what `publish` wrote.
    """
    simple, known = generation.path / "simple", {} if known is None else known
    named: dict[str, str] = {}
    try:
        for project in json.loads((simple / "index.v1_json").read_bytes())["projects"]:
            folder = simple / project["name"]
            key = folder.readlink().name if folder.is_symlink() else str(folder)
            if key not in known:
                files = json.loads((folder / "index.v1_json").read_bytes())["files"]
                known[key] = {file["filename"]: file["hashes"]["sha256"] for file in files}
            named |= known[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(generation, error) from error
    return named


def _damaged(generation: Generation, error: Exception) -> DamagedError:
    return DamagedError(
        f"generation {generation.number} is damaged: {error}",
        hint="`whb rollback --list` lists the generations; `whb index` publishes a new one",
    )


def lost_files(wheelhouse: Wheelhouse, generation: Generation) -> list[str]:
    """Those of its wheels and stubs that are not there as the generation tells."""
    known = {facts.filename: facts for facts in wheelhouse.records.facts()}

    def is_there(name: str, sha256: str) -> bool:
        facts = known.get(name)
        return facts is not None and facts.sha256 == sha256 and look_at(wheelhouse.root, facts).there

    return sorted(name for name, sha256 in named_files(generation).items() if not is_there(name, sha256))


def current(wheelhouse: Wheelhouse) -> Generation | None:
    """The generation in force; None if there is none, or if `.whb/current` is no link to a generation.

    Raises `PermissionError` when this user must not look.
    """
    try:
        link = wheelhouse.current.readlink()
    except PermissionError:
        raise
    except OSError:
        return None
    if link.parent != Path("generations") or not link.name.isdecimal():
        return None
    return Generation(number=int(link.name), path=wheelhouse.generations / link.name)


def previous(wheelhouse: Wheelhouse) -> Generation | None:
    """The newest generation that is older than the one in force."""
    now = current(wheelhouse)
    older = [generation for generation in all_generations(wheelhouse) if now and generation.number < now.number]
    return older[-1] if older else None


def all_generations(wheelhouse: Wheelhouse) -> list[Generation]:
    """Those that are kept, oldest first."""
    folders = [path for path in wheelhouse.generations.glob("*") if path.name.isdecimal()]
    return sorted((Generation(number=int(path.name), path=path) for path in folders), key=lambda found: found.number)


def _start(wheelhouse: Wheelhouse) -> Start | None:
    base = wheelhouse.records.base()
    return edition.read_start(wheelhouse.generations / f"{base.number:06}", base) if base else None


def _locks(wheelhouse: Wheelhouse, selections: Mapping[Target, Iterable[str]]) -> dict[str, bytes]:
    selected = {target: list(filenames) for target, filenames in selections.items()}
    there = wheelhouse.records.by_filenames({name for names in selected.values() for name in names})
    texts = {}
    for target, filenames in selected.items():
        chosen = [_selected(wheelhouse, filename, there) for filename in filenames]
        texts[locks.requirements_name(target)] = locks.requirements(target, chosen).encode()
        texts[locks.pylock_name(target)] = locks.pylock(target, chosen).encode()
    return texts


def _selected(wheelhouse: Wheelhouse, filename: str, there: Mapping[str, StoredWheel]) -> StoredWheel:
    if not (wheelhouse.root / filename).is_file():
        raise KeyError(filename)
    return there[filename]


def _carried_over(before: Generation | None, without: Collection[Target]) -> dict[str, bytes]:
    if before is None:
        return {}
    gone = {name(target) for target in without for name in (locks.requirements_name, locks.pylock_name)}
    return {name: (before.path / name).read_bytes() for name in _lock_names(before) - gone}


def _is_as_it_was(before: Generation, draft: Edition, chosen: Mapping[str, bytes]) -> bool:
    """Whether the generation in force holds just this. The pages of its projects are in place."""
    wanted = {MANIFEST: draft.manifest, **draft.lists, **chosen}
    targets = {name: target_of(entry.pages) for name, entry in draft.projects.items()}
    try:
        return (
            all((before.path / name).read_bytes() == content for name, content in wanted.items())
            and _lock_names(before) == chosen.keys()
            and edition.has_flat_page(before.path, draft)
            and {p.name: str(p.readlink()) for p in (before.path / "simple").iterdir() if p.is_symlink()} == targets
        )
    except OSError:
        return False


def _write(wheelhouse: Wheelhouse, draft: Edition, chosen: Mapping[str, bytes]) -> Generation:
    number = max((generation.number for generation in all_generations(wheelhouse)), default=0) + 1
    path, unfinished = wheelhouse.generations / f"{number:06}", wheelhouse.scratch / f"generation-{number}"
    shutil.rmtree(unfinished, ignore_errors=True)
    edition.write(draft, chosen, unfinished)
    disk.rename(unfinished, path)
    return Generation(number=number, path=path)


def _link_top(wheelhouse: Wheelhouse, generation: Generation) -> None:
    """Make the links on top where one is missing, and remove those to what this generation does not have.

    They lead through `current`, so one that is there stays right. The folder is not listed: it may hold 200,000 files.
    """
    there = _top_names(generation)
    for name in sorted(there):
        if not _leads_through_current(wheelhouse.root / name):
            disk.link(wheelhouse.root / name, Path(".whb/current", name), wheelhouse.scratch)
    known = {name for kept in all_generations(wheelhouse) for name in _lock_names(kept)}
    for name in sorted((known | {*_FOLDERS}) - there):
        if _leads_through_current(wheelhouse.root / name):
            disk.remove(wheelhouse.root / name)


def _top_names(generation: Generation) -> set[str]:
    """What clients see of it on top. Generations of whb before there were pages for people have no `browse`."""
    return _lock_names(generation) | {name for name in _FOLDERS if (generation.path / name).is_dir()}


def _lock_names(generation: Generation) -> set[str]:
    return {path.name for pattern in _LOCK_PATTERNS for path in generation.path.glob(pattern)}


def _leads_through_current(top: Path) -> bool:
    return top.is_symlink() and top.readlink() == Path(".whb/current", top.name)


def _remove_old(wheelhouse: Wheelhouse, in_use: set[Generation | None], keep: int) -> None:
    for generation in all_generations(wheelhouse)[:-keep]:
        if generation not in in_use:
            remove_generation(wheelhouse, generation)


def remove_generation(wheelhouse: Wheelhouse, generation: Generation) -> None:
    """Remove a generation, with the page folders that only it names: out of sight in one step, then for good."""
    retired = wheelhouse.scratch / f"retired-{generation.path.name}"
    disk.rename(generation.path, retired)
    keys = _page_keys(retired)
    for kept in all_generations(wheelhouse):
        keys -= _page_keys(kept.path)
    for key in keys:
        remove_pages(wheelhouse, folder_of(wheelhouse, key))
    shutil.rmtree(retired)


def kept_page_keys(wheelhouse: Wheelhouse, without: Collection[Generation] = ()) -> set[str]:
    """The names of the page folders that a generation has, other than those `without`."""
    kept = [generation for generation in all_generations(wheelhouse) if generation not in without]
    return {key for generation in kept for key in _page_keys(generation.path)}


def _page_keys(generation: Path) -> set[str]:
    """The names of the page folders that this generation has. If its manifest is gone, its links still tell."""
    try:
        return page_keys((generation / MANIFEST).read_bytes())
    except OSError:
        return {link.readlink().name for link in (generation / "simple").glob("*") if link.is_symlink()}
