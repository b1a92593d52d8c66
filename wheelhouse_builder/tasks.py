"""The tasks of a plan: fetch, build, check what is there, and try the imports of each target.

Each task that gives a wheel gives it with the loader's verdict for every target that the task is for; the import check
of a target waits for all of them and judges what is new, as far as all that it needs is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import JobError, WhbError
from wheelhouse_builder.events import Level, Listener, Note
from wheelhouse_builder.metadata import fields_of
from wheelhouse_builder.plan import Action, Decision, Job, Plan
from wheelhouse_builder.schedule.blocking import blocked
from wheelhouse_builder.schedule.queue import Lane, Task
from wheelhouse_builder.verify.alpine import NoAlpine, find_alpine
from wheelhouse_builder.verify.imports import check_imports
from wheelhouse_builder.verify.loader import check_loader
from wheelhouse_builder.verify.verdict import Check, Method, Verdict
from wheelhouse_builder.wheelhouse.store import metadata_of

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.utils import NormalizedName

    from wheelhouse_builder.artifact import Wheel
    from wheelhouse_builder.builds import Build
    from wheelhouse_builder.fixing import Fixing
    from wheelhouse_builder.pipeline import Pipeline
    from wheelhouse_builder.settings import VerifySettings
    from wheelhouse_builder.target import Target
    from wheelhouse_builder.wheelhouse.store import Wheelhouse
    from wheelhouse_builder.wheelhouse.stored import StoredWheel


@dataclass(frozen=True, kw_only=True)
class Provided:
    """A wheel at hand, with the loader's verdicts, and how it was had."""

    path: Path
    verdicts: tuple[Verdict, ...]
    build: Build | None = None  # None: fetched, or in the wheelhouse before
    url: str | None = None  # where it was fetched from


Imports = Mapping[str, Verdict]  # by file name
Result = Provided | Imports
Ended = Mapping[str, Result | WhbError]  # by the id of the task
Blocked = Mapping["NormalizedName", tuple["NormalizedName", ...]]  # what is blocked, and by what

_SECONDS_TO_BUILD = 60.0  # when nothing is known
_SECONDS_TO_REUSE = 1.0  # what was built before: to hash it, and to look at it as a loader would
_SECONDS_TO_IMPORT = 1.0  # a wheel, in Alpine


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Makes the tasks of one plan."""

    plan: Plan
    wheelhouse: Wheelhouse
    stored: Mapping[str, StoredWheel]  # by file name
    pipeline: Pipeline
    verify: VerifySettings
    listener: Listener
    fixing: Fixing | None = None  # does jobs instead of the pipeline, where builds may be fixed

    def all(self) -> list[Task[Result]]:
        """Every task, with what it waits for."""
        building = self.plan.building()
        fetches: dict[Wheel, list[Target]] = defaultdict(list)
        unproved: dict[str, list[Target]] = defaultdict(list)
        for decision in self.plan.decisions:
            if decision.wheel:
                fetches[decision.wheel].append(decision.target)
            elif self._is_unproved(decision):
                unproved[str(decision.filename)].append(decision.target)
        return [
            *(self._fetch(wheel, targets) for wheel, targets in fetches.items()),
            *(self._check(filename, targets) for filename, targets in unproved.items()),
            *(self._job(job, builds=job.id in building) for job in self.plan.jobs),
            *filter(None, map(self._imports, self.plan.targets)),
        ]

    def provider(self, decision: Decision) -> str | None:
        """The id of the task that gives the wheel of a decision.

        None for what is impossible, and for what is in the wheelhouse with evidence.
        """
        if decision.wheel:
            return f"fetch-{decision.wheel.filename}"
        if self._is_unproved(decision):
            return f"check-{decision.filename}"
        return decision.job

    def blocked(self, target: Target, ended: Ended, failed: Collection[NormalizedName] = ()) -> Blocked:
        """Of the wheels that came for a target, those that need something that did not, or that has `failed`."""
        paths: dict[NormalizedName, Path] = {}
        missing = set(failed)
        new: set[NormalizedName] = set()
        for decision in self.plan.decisions:
            if decision.target != target:
                continue
            provider = self.provider(decision)
            result = ended[provider] if provider else None
            if isinstance(result, Provided):
                paths[decision.name] = result.path
                new.add(decision.name)
            elif result is None and decision.filename:
                paths[decision.name] = self.wheelhouse.root / decision.filename
            else:
                missing.add(decision.name)
        if not missing:
            return {}
        requires = cache(lambda name: _requirements(paths[name]) if name in paths else ())
        return blocked(new, missing, requires, target.marker_environment)

    @staticmethod
    def import_task(target: Target) -> str:
        """The id of the import check of a target."""
        return f"import-{target}"

    def _is_unproved(self, decision: Decision) -> bool:
        """Whether the wheelhouse has the wheel, but nobody has looked whether it loads there with this musl."""
        if decision.action is not Action.REUSE or decision.job:
            return False
        floor = f"musl {self.pipeline.musl_floor},"
        return not any(
            verdict.target == str(decision.target)
            and verdict.check is Check.LOADER
            and verdict.environment.startswith(floor)
            for verdict in self.stored[str(decision.filename)].verdicts
        )

    def _loader(self, wheel: Path, targets: list[Target], native: bool | None = None) -> tuple[Verdict, ...]:
        floor = self.pipeline.musl_floor
        return tuple(check_loader(wheel, target, musl_floor=floor, native=native) for target in targets)

    def _fetch(self, wheel: Wheel, targets: list[Target]) -> Task[Result]:
        def fetch(phase: Callable[[str], None], _: Ended) -> Provided:
            phase("download")
            path = self.pipeline.downloads.fetch(wheel)
            phase("verify")
            return _proved(Provided(path=path, verdicts=self._loader(path, targets), url=wheel.url))

        return Task(id=f"fetch-{wheel.filename}", title=f"fetch {wheel.filename}", run=fetch, lane=Lane.NETWORK)

    def _check(self, filename: str, targets: list[Target]) -> Task[Result]:
        def check(phase: Callable[[str], None], _: Ended) -> Provided:
            phase("verify")
            path = self.wheelhouse.root / filename
            return _proved(Provided(path=path, verdicts=self._loader(path, targets)))

        return Task(id=f"check-{filename}", title=f"check {filename}", run=check)

    def _job(self, job: Job, *, builds: bool) -> Task[Result]:
        def build(phase: Callable[[str], None], _: Ended) -> Provided:
            done, path = (self.fixing or self.pipeline).run(job, phase)
            return _proved(Provided(path=path, verdicts=self._loader(path, [job.target], done.native), build=done))

        likely = job.estimate.seconds if job.estimate else None
        return Task(
            id=job.id,
            title=f"{'build' if builds else 'reuse'} {job.title}",
            run=build,
            after=job.after,
            seconds=(_SECONDS_TO_BUILD if likely is None else likely) if builds else _SECONDS_TO_REUSE,
            guessed=builds and likely is None,
            log=self.pipeline.log(job),
        )

    def _imports(self, target: Target) -> Task[Result] | None:
        decisions = [decision for decision in self.plan.decisions if decision.target == target]
        providers = {decision.name: self.provider(decision) for decision in decisions}
        new = [provider for provider in providers.values() if provider]
        if not new or self.verify.engine == "off":
            return None

        def try_imports(phase: Callable[[str], None], earlier: Ended) -> Imports:
            blocked = self.blocked(target, earlier)
            names = {provider for name, provider in providers.items() if name not in blocked}
            results = [earlier[provider] for provider in new if provider in names]
            wanted = {result.path.name: result.path for result in results if isinstance(result, Provided)}
            kept = [self.wheelhouse.root / str(d.filename) for d in decisions if not providers[d.name] and d.filename]
            return self._try(target, wanted, kept, phase) if wanted else {}

        log = self.pipeline.logs / f"{self.import_task(target)}.log"
        return Task(
            id=self.import_task(target),
            title=f"import on Alpine, {target}",
            run=try_imports,
            after=tuple(dict.fromkeys(new)),
            seconds=_SECONDS_TO_IMPORT * len(set(new)),
            log=log,
        )

    def _try(
        self, target: Target, wanted: Mapping[str, Path], kept: list[Path], phase: Callable[[str], None]
    ) -> Imports:
        phase("look for Alpine")
        alpine = find_alpine(
            target,
            engine=self.verify.engine,
            image=self.verify.image,
            rootfs=str(self.verify.rootfs) if self.verify.rootfs else None,
            pull=not self.pipeline.downloads.offline,
            canceller=self.pipeline.canceller,
        )
        if isinstance(alpine, NoAlpine):
            text = f"{target}: no import check, only the loader's: {alpine.reason}"
            self.listener(Note(text=text, level=Level.WARNING))
            return {}
        phase(f"{alpine.name}, {len(wanted)} wheels")
        self.pipeline.logs.mkdir(parents=True, exist_ok=True)
        return check_imports(
            [*wanted.values(), *kept],
            target,
            alpine,
            wanted=wanted.keys(),
            log=self.pipeline.logs / f"{self.import_task(target)}.log",
            canceller=self.pipeline.canceller,
        )


def _requirements(wheel: Path) -> list[str]:
    """What a wheel says that it needs."""
    return fields_of(metadata_of(wheel)).get("requires_dist", [])


def _proved(provided: Provided) -> Provided:
    """The same, if the loader found nothing wrong. Raises `JobError`."""
    for verdict in provided.verdicts:
        if not verdict.passed:
            raise JobError(
                f"{provided.path.name} would not load on {verdict.target}: {verdict.problems[0]}",
                hint=None if provided.build else "build it from source with --no-binary, or set --musl-floor",
                tail="\n".join(verdict.problems),
                kind="would-not-load",
            )
    return provided


def verdicts_of(provided: Provided, target: Target, ended: Ended) -> tuple[Verdict, ...]:
    """What was found out about a wheel on one target in this run."""
    loader = tuple(verdict for verdict in provided.verdicts if verdict.target == str(target))
    imports = ended.get(Tasks.import_task(target))
    if isinstance(imports, WhbError):
        return (*loader, _not_done(target, imports))
    imported = imports.get(provided.path.name) if isinstance(imports, Mapping) else None
    return (*loader, imported) if imported else loader


def _not_done(target: Target, error: WhbError) -> Verdict:
    """An import check that began and came to no end proves nothing, so the wheel does not pass it."""
    problem = f"the import check could not be done: {error.message}"
    return Verdict(check=Check.IMPORT, target=str(target), method=Method.STATIC, environment="", problems=(problem,))
