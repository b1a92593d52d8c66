"""Copy a generation to a store, in an order that shows no client a page whose wheels are not there.

1. wheels and their metadata, each only if nothing is there under its key
2. the manifest forgets what it told of the units that are now written over
3. project pages, their compressed copies, links, locks and lists, the index itself
4. what the generation no longer has is removed, wheels never
5. the manifest tells what is there

Each page is written in one step and names only wheels of step 1, so whoever kills a run between any two steps leaves
every single page right: some projects new, the others and perhaps the list of projects as they were.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TYPE_CHECKING, TypeVar

from wheelhouse_builder.errors import Cancelled, DamagedError, WhbError
from wheelhouse_builder.events import JobFinished, JobPhase, JobStarted, Listener, Outcome, ignore
from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.remote import contents, manifest
from wheelhouse_builder.remote.items import DirectoryPages, Found, Item, Stage, Verify
from wheelhouse_builder.remote.plan import CopyPlan, Difference, difference, in_doubt, plan_copy
from wheelhouse_builder.remote.store import ABSENT, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from wheelhouse_builder.remote.store import Store
    from wheelhouse_builder.wheelhouse.generations import Generation

_FEW = 500  # objects: up to here each is asked for, beyond all are listed
_BATCH = 256  # requests that are handed to the threads at a time

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What was done, or with a dry run would be."""

    generation: int
    uploads: tuple[Item, ...] = ()
    removed: tuple[str, ...] = ()  # units that the generation no longer has

    @property
    def changed(self) -> bool:
        """Whether the destination is another now."""
        return bool(self.uploads or self.removed)


@dataclass(frozen=True, kw_only=True)
class Copying:
    """How to copy, and where to."""

    store: Store
    verify: Verify = Verify.QUICK
    pages: DirectoryPages = DirectoryPages.NONE
    workers: int = 16
    listener: Listener = ignore
    canceller: Canceller = field(default_factory=Canceller)


@dataclass(frozen=True, kw_only=True)
class _State:
    """What the destination's manifest tells, and what it shall tell."""

    before: Mapping[str, str | None]
    version: str | None
    now: Mapping[str, str]
    differs: Difference


def copy_generation(copying: Copying, generation: Generation, root: Path, *, dry_run: bool = False) -> Copied:
    """Make the destination show this generation of the wheelhouse at `root`.

    Raises `DamagedError` when another wheel is there under the name of one of ours, before any page is written, or when
    a file of ours is not what its page says; `WhbError` when another publication goes on at the same time; and what the
    store raises.
    """
    others = contents.other_items(generation, copying.pages)
    state = _state(copying, generation, others)
    if copying.verify is Verify.QUICK and not state.differs:
        return Copied(generation=generation.number)
    looked_at = state.differs.changed if copying.verify is Verify.QUICK else state.now.keys()
    projects = {
        unit: contents.project_items(generation, root, unit, copying.pages)
        for unit in sorted(looked_at - {item.key for item in others})
    }
    items = [item for unit in projects.values() for item in unit] + [o for o in others if o.key in looked_at]
    vouched = {i.key for unit in projects.keys() - state.differs.changed for i in projects[unit]}
    vouched |= {item.key for item in others if item.key not in state.differs.changed}
    plan = plan_copy(items, _examine(copying, items, vouched))
    _require_no_conflict(plan)
    if not dry_run:
        _write(copying, generation, plan, state, _stale(state, projects))
    removed = tuple(sorted(state.differs.gone))
    return Copied(generation=generation.number, uploads=plan.uploads, removed=removed)


def _state(copying: Copying, generation: Generation, others: Iterable[Item]) -> _State:
    found = copying.store.get(manifest.KEY)
    published = manifest.load(found[0]) if found else None
    before = published.units if published else {}
    now = contents.project_prints(generation, copying.pages) | {item.key: item.sha256 for item in others}
    version = found[1] if found else None
    return _State(before=before, version=version, now=now, differs=difference(before, now))


def _examine(copying: Copying, items: list[Item], vouched: set[str]) -> dict[str, Found]:
    """What is there of these items. What the manifest vouches for is taken for what it tells, if the size is right."""
    store, read = copying.store, copying.verify is Verify.FULL
    with _stage(copying, "look", "look at what is there", len(items)) as tick:
        listed = copying.verify is not Verify.QUICK or len(items) > _FEW
        sizes = store.listing() if listed else None

        def look(item: Item) -> Found | None:
            if sizes is not None:
                size = sizes.get(item.key)
                if size is None or size != item.size:
                    return None if size is None else Found(size=size, sha256=None)
                if item.key in vouched and not read:
                    return Found(size=size, sha256=item.sha256)
            return store.look(item.key, read=read)

        found = list(_in_threads(copying, look, items, tick))
    return {item.key: there for item, there in zip(items, found, strict=True) if there is not None}


def _require_no_conflict(plan: CopyPlan) -> None:
    if plan.conflicts:
        names = ", ".join(item.key for item in plan.conflicts[:5])
        more = f" and {len(plan.conflicts) - 5} more" if len(plan.conflicts) > 5 else ""
        raise DamagedError(
            f"other content is at the destination under the name of: {names}{more}",
            hint="a name stands for one content for ever, clients hold its hash: find out who wrote it, or publish "
            "under another prefix; no page was touched",
        )


def _stale(state: _State, projects: Mapping[str, Iterable[Item]]) -> tuple[str, ...]:
    """The pages that the destination has, or may have, and the generation has not."""
    gone: set[str] = set()
    for unit in state.differs.gone:
        gone |= contents.project_keys(unit) if contents.is_project(unit) else {unit}
    for unit, items in projects.items():
        if unit in state.differs.changed and unit in state.before:
            gone |= contents.project_keys(unit) - {item.key for item in items}
    return tuple(sorted(gone))


def _write(copying: Copying, generation: Generation, plan: CopyPlan, state: _State, stale: Sequence[str]) -> None:
    wheels = [item for item in plan.uploads if item.immutable]
    _upload(copying, Stage.WHEELS, wheels)
    version = state.version
    if state.differs:
        units = in_doubt(state.before, state.differs.changed | state.differs.gone)
        version = _tell(copying.store, manifest.Published(units=units), version or ABSENT)
    for stage, items in groupby(plan.uploads[len(wheels) :], key=lambda item: item.stage):
        _upload(copying, stage, list(items))
    _each(copying, "remove", "pages that are no longer there", stale, copying.store.delete)
    if state.differs:
        _tell(copying.store, manifest.Published(generation=generation.number, units=state.now), version)


def _tell(store: Store, published: manifest.Published, when: str | None) -> str | None:
    data = manifest.dump(published)
    try:
        return store.put(manifest.KEY, data, manifest.HEADERS, sha256=hashlib.sha256(data).hexdigest(), when=when)
    except Refused as refused:
        there = store.get(manifest.KEY)
        if there is not None and there[0] == data:  # our own first attempt, or a rival that is at the same point
            return there[1]
        raise WhbError(
            "another `whb publish` has written to this destination meanwhile",
            hint="let it end, then run the same command again; no wheel was overwritten",
        ) from refused


def _upload(copying: Copying, stage: Stage, items: Sequence[Item]) -> None:
    _each(copying, stage.name.lower(), stage.title, items, lambda item: _put(copying, item))


def _each(copying: Copying, job: str, title: str, work: Sequence[T], do: Callable[[T], object]) -> None:
    if work:
        with _stage(copying, job, f"{title}: {len(work)}", len(work)) as tick:
            for _ in _in_threads(copying, do, work, tick):
                pass


def _put(copying: Copying, item: Item) -> None:
    """One object; our own file is hashed before, the store hashes what arrives."""
    try:
        sound = sha256_of(item.source) == item.sha256
    except OSError:
        sound = False
    if not sound:
        hint = "`whb index --thorough` says what is wrong with the wheelhouse"
        raise DamagedError(f"{item.source} is gone, or not what its page says", hint=hint)
    when = ABSENT if item.immutable else None
    try:
        copying.store.put(item.key, item.source, item.headers, sha256=item.sha256, when=when)
    except Refused:  # somebody was faster, perhaps our own first attempt
        _require_same(copying.store, item, read=False)
    if copying.verify is Verify.FULL:
        _require_same(copying.store, item, read=True)


def _require_same(store: Store, item: Item, *, read: bool) -> None:
    found = store.look(item.key, read=read)
    if found != Found(size=item.size, sha256=item.sha256):
        raise DamagedError(
            f"{item.key} is at the destination with other content",
            hint="a name stands for one content for ever: find out who else writes there",
        )


def _in_threads(copying: Copying, do: Callable[[T], R], work: Iterable[T], tick: Callable[[], None]) -> Iterator[R]:
    """The results in order. The first error, or Ctrl-C, ends the batch that is under way and starts no other."""
    waiting = iter(work)
    with ThreadPoolExecutor(copying.workers) as pool:
        each = pool.map if copying.workers > 1 else map
        while batch := list(islice(waiting, _BATCH)):
            copying.canceller.check()
            for result in each(_unless_cancelled(copying.canceller, do), batch):
                tick()
                yield result


def _unless_cancelled(canceller: Canceller, do: Callable[[T], R]) -> Callable[[T], R]:
    def guarded(work: T) -> R:
        canceller.check()
        return do(work)

    return guarded


@contextmanager
def _stage(copying: Copying, job: str, title: str, count: int) -> Iterator[Callable[[], None]]:
    """Tell of a stage and, every hundredth of it, how far it is."""
    started, done, step = time.monotonic(), 0, max(count // 100, 1)

    def tick() -> None:
        nonlocal done
        done += 1
        if done % step == 0:
            copying.listener(JobPhase(job=job, phase=f"{done} of {count}"))

    copying.listener(JobStarted(job=job, title=title))
    outcome = Outcome.FAILED
    try:
        yield tick
        outcome = Outcome.DONE
    except Cancelled:
        outcome = Outcome.CANCELLED
        raise
    finally:
        seconds = time.monotonic() - started
        copying.listener(JobFinished(job=job, title=title, outcome=outcome, seconds=seconds))
