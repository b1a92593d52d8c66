"""A whole run: resolve, plan, do, admit, publish. What `whb plan` and `whb build` are made of."""

from __future__ import annotations

import sysconfig
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from wheelhouse_builder.admission import admit_all
from wheelhouse_builder.artifact import parse_wheel_name
from wheelhouse_builder.builds import Builds
from wheelhouse_builder.engines.cross.engine import CrossEngine
from wheelhouse_builder.engines.cross.interpreter import find_python
from wheelhouse_builder.engines.cross.sandbox import sandbox
from wheelhouse_builder.engines.ladder import Ladder
from wheelhouse_builder.events import Level, Note, RunPhase, RunPlanned, once
from wheelhouse_builder.fixing import FILE_NAME, Fixing
from wheelhouse_builder.history.estimates import Estimates, Sample
from wheelhouse_builder.history.known import KnownFailures
from wheelhouse_builder.history.logs import prune_logs
from wheelhouse_builder.history.recording import Recording
from wheelhouse_builder.history.store import History
from wheelhouse_builder.index.model import Status as ProjectStatus
from wheelhouse_builder.pipeline import Pipeline
from wheelhouse_builder.plan import Action, Plan, make_plan, with_estimates
from wheelhouse_builder.project.workspace import with_members
from wheelhouse_builder.redact import redact
from wheelhouse_builder.report.changes import compare
from wheelhouse_builder.report.model import Report, Retired, Row, Status
from wheelhouse_builder.report.past import past_row, run_record
from wheelhouse_builder.report.rows import make_row
from wheelhouse_builder.report.spans import Recorder
from wheelhouse_builder.requirements.format_control import FormatControl
from wheelhouse_builder.requirements.read import read_requirements
from wheelhouse_builder.resolve.indexes import index_urls
from wheelhouse_builder.resolve.kept import lock_for
from wheelhouse_builder.resolve.limits import constraint_lines, counting_from, hold_lines, idle_holds
from wheelhouse_builder.resolve.selection import Selection, select
from wheelhouse_builder.resolve.uv import ResolveOptions, yank_reason
from wheelhouse_builder.resolve.withdrawn import lock_without
from wheelhouse_builder.schedule.limits import limit_of
from wheelhouse_builder.schedule.local import LocalExecutor, room_for
from wheelhouse_builder.schedule.queue import run_tasks
from wheelhouse_builder.sources.credentials import credentials_for
from wheelhouse_builder.sources.downloads import Downloads
from wheelhouse_builder.tasks import Tasks
from wheelhouse_builder.verify.symbols import DEFAULT_FLOOR
from wheelhouse_builder.wheelhouse.generations import current, publish
from wheelhouse_builder.wheelhouse.published_locks import published_versions
from wheelhouse_builder.wheelhouse.retention import find_garbage, remove
from wheelhouse_builder.wheelhouse.retiring import Retiring, note_run, retire_unused, what_can_go
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from wheelhouse_builder.artifact import SourceTree
    from wheelhouse_builder.builds import Build
    from wheelhouse_builder.engines.base import Engine
    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.history.estimates import Estimate
    from wheelhouse_builder.plan import Job
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.report.model import Changes
    from wheelhouse_builder.requirements.model import RequirementSet
    from wheelhouse_builder.resolve.lock import Lock
    from wheelhouse_builder.settings import Settings
    from wheelhouse_builder.target import Target
    from wheelhouse_builder.wheelhouse.generations import Generation


def plan_run(settings: Settings, *, listener: Listener, canceller: Canceller) -> Plan:
    """Resolve and plan; nothing is built, and nothing but whb's cache is written.

    Raises `UsageError`, `ResolveError`, `MachineError`, `DamagedError` or `Cancelled`.
    """
    run = _Run.of(settings, listener, canceller, builds=False)
    plan = run.plan(run.select())
    had = {(decision.name, decision.target): decision.filename for decision in plan.decisions}
    coming = [str(decision.filename) for decision in plan.of(Action.FETCH)]
    gone = what_can_go(run.wheelhouse, had, run.started, settings.refresh.retire_after, coming)
    return replace(plan, retiring=gone.reasons)


def build_run(
    settings: Settings,
    *,
    listener: Listener,
    canceller: Canceller,
    command: str = "build",
    tidies: bool = False,
    skips_known: bool = False,
    fixes: bool = False,
) -> Report:
    """Do the whole job. What fails is in the report; raises like `plan_run` when there is nothing to report on.

    Reports and the history name the run after the `command`.
    `tidies`: wheels that nothing needs leave the index, and files that are past their grace go, as `[refresh]` says.
    `skips_known`: what failed with the same inputs is not tried again, for as long as `[refresh]` says.
    `fixes`: a build that lacks a C library of which there is a recipe is done once more with it.
    When it is cancelled, what was built by then is in the build cache, and the wheelhouse is as it was.
    """
    run = _Run.of(settings, listener, canceller, command=command, skips_known=skips_known)
    selections = run.select()  # before the wheelhouse is touched: what cannot be resolved leaves no trace
    with closing(run.pipeline.downloads), run.wheelhouse.lock(listener=run.recorder, canceller=canceller):
        return run.build(selections, tidies=tidies, fixes=fixes)


def build_tree(settings: Settings, tree: SourceTree, *, listener: Listener, canceller: Canceller) -> Report:
    """Build one project alone, without what it depends on, for each target; admit it and publish it.

    The locks in the wheelhouse stay as they are: they are of whole environments. Raises like `build_run`.
    """
    alone = replace(settings, requirements=(), packages=(), constraints=(), package_constraints={}, hold=())
    run = _Run.of(alone, listener, canceller, command="build-backend")
    selection = Selection(name=tree.name, version=tree.version, choice=tree, reason="a local project")
    with closing(run.pipeline.downloads), run.wheelhouse.lock(listener=run.recorder, canceller=canceller):
        return run.build({target: [selection] for target in settings.targets}, locks=False)


@dataclass(kw_only=True)
class _Run:
    """What the steps of one run share."""

    settings: Settings
    requirements: RequirementSet
    wheelhouse: Wheelhouse
    history: History
    estimates: Callable[[], Estimates]
    pipeline: Pipeline
    resolving: ResolveOptions
    recorder: Recorder
    canceller: Canceller
    started: datetime
    command: str

    @classmethod
    def of(
        cls,
        settings: Settings,
        listener: Listener,
        canceller: Canceller,
        *,
        command: str = "build",
        builds: bool = True,
        skips_known: bool = False,
    ) -> _Run:
        started, recorder = datetime.now(UTC), Recorder(listener)
        requirements = with_members(
            read_requirements(settings.requirements, constraints=settings.constraints, extra=settings.packages)
        )
        limits = constraint_lines(settings.package_constraints, settings.origins)
        requirements = replace(requirements, lines=(*requirements.lines, *limits))
        wheelhouse = Wheelhouse(settings.wheelhouse)
        history = History(wheelhouse.history, recorder)
        logs = wheelhouse.attempt_log_folder
        estimates = cache(lambda: Estimates(_samples(history, Builds(settings.cache).all())))
        known = KnownFailures(history=history, logs=logs, now=started, expiry=settings.refresh.retry_after)
        resolving = ResolveOptions(
            cache=settings.cache,
            offline=settings.offline,
            min_age=settings.min_age,
            now=_counting_from(history, started, recorder) if settings.min_age else None,
            format_control=requirements.format_control(FormatControl.parse(settings.no_binary, settings.only_binary)),
            indexes=requirements,
            listener=once(recorder),
            canceller=canceller,
        )
        return cls(
            settings=settings,
            requirements=requirements,
            wheelhouse=wheelhouse,
            history=history,
            estimates=estimates,
            pipeline=_pipeline(
                settings,
                resolving,
                wheelhouse,
                history,
                estimates,
                builds=builds,
                known=known if skips_known else None,
            ),
            resolving=resolving,
            recorder=recorder,
            canceller=canceller,
            started=started,
            command=command,
        )

    # plan

    def plan(self, selections: Mapping[Target, list[Selection]]) -> Plan:
        """Every decision, from what the locks offer and what is there."""
        self.wheelhouse.require_sound()
        marks = self.wheelhouse.records.marks()
        quarantined = {name: mark.reason for name, mark in marks.items() if mark.status is ProjectStatus.QUARANTINED}
        stored, cached = self.wheelhouse.wheels(), self.pipeline.builds.all()
        plan = make_plan(selections, stored, cached, cache(self.pipeline.request_keys), quarantined)

        def likely(job: Job) -> Estimate | None:
            return self.estimates().of(job.source.name, str(job.target), self.pipeline.first(job))

        return with_estimates(plan, likely)

    def select(self) -> Mapping[Target, list[Selection]]:
        """What the lock of each target offers, after resolving where no earlier lock fits."""
        settings, yanks = self.settings, self.wheelhouse.records.yanks()
        self.recorder(RunPhase(phase="resolve"))

        def selected(target: Target) -> list[Selection]:
            host = find_python(target.python, settings.cache)
            options = replace(self.resolving, python=host.path if host else None)
            here = published_versions(self.wheelhouse, target, map(canonicalize_name, settings.hold))
            held = hold_lines(settings.hold, here, settings.origins.get("hold"))
            wanted = replace(self.requirements, lines=(*self.requirements.lines, *held))

            def locked(requirements: RequirementSet) -> Lock:
                return lock_for(requirements, target, options, upgrade=settings.upgrade)

            lock = lock_without(yanks, wanted, locked)
            offered = list(select(lock, options.format_control))
            before = published_versions(self.wheelhouse, target, [one.name for one in offered])
            _tell_yanked(before, offered, target, options)
            return offered

        sysconfig.get_config_vars()  # filled at first use, and not by two threads at once (cpython#92452)
        with ThreadPoolExecutor() as pool:
            offers = dict(zip(settings.targets, pool.map(selected, settings.targets), strict=True))
        for text in idle_holds(settings.hold, {one.name for offered in offers.values() for one in offered}):
            self.recorder(Note(text=text, level=Level.WARNING))
        return offers

    # build

    def build(
        self,
        selections: Mapping[Target, list[Selection]],
        *,
        locks: bool = True,
        tidies: bool = False,
        fixes: bool = False,
    ) -> Report:
        """Plan, do, admit and publish, under the wheelhouse's lock."""
        self.history.create()
        plan = self.plan(selections)
        if "cross" in self.settings.engines and plan.of(Action.BUILD) and not sandbox().files:
            held = sandbox().told or "are not held at all"
            self.recorder(Note(text=f"builds {held}; more is possible: see `whb doctor`", level=Level.WARNING))
        if plan.jobs:
            self.pipeline.remove_left_behind()
        stored = {wheel.filename: wheel for wheel in self.wheelhouse.wheels()}
        tasks = Tasks(
            plan=plan,
            wheelhouse=self.wheelhouse,
            stored=stored,
            pipeline=self.pipeline,
            verify=self.settings.verify,
            listener=self.recorder,
            fixing=self._fixing() if fixes else None,
        )
        todo, room = tasks.all(), room_for(self.settings.jobs)
        self.recorder(RunPhase(phase="build"))
        self.recorder(RunPlanned(jobs=tuple(task.planned for task in todo), room=room))
        with LocalExecutor(self.settings.jobs) as executor:
            ended = run_tasks(todo, executor, listener=self.recorder, canceller=self.canceller)
        self.recorder(RunPhase(phase="publish"))
        admitted = admit_all(tasks, ended)
        seconds = {span.id: span.seconds for span in self.recorder.spans()}
        rows = tuple(make_row(decision, tasks, ended, admitted, seconds) for decision in plan.decisions)
        published, gone = self._publish(rows, _complete(plan.targets, rows) if locks else {}, tidies=tidies)
        generation = published or current(self.wheelhouse)
        report = Report(
            rows=rows,
            wheelhouse=self.settings.wheelhouse,
            generation=generation.number if generation else None,
            changed=published is not None,
            seconds=self.recorder.elapsed,
            command=self.command,
            started=self.started,
            changes=self._changes(rows, whole=tidies),
            spans=self.recorder.spans(),
            warnings=tuple(self.recorder.warnings),
            retired=tuple(Retired(filename=name, reason=why) for name, why in sorted(gone.reasons.items())),
        )
        self._remember(report)
        return report

    def _fixing(self) -> Fixing:
        settings, pipeline = self.settings, self.pipeline

        def make_ladder(tables: Mapping[str, Mapping[str, object]]) -> Ladder:
            fixed = replace(settings, package_tables=tables)
            engines = tuple(_engines(fixed, self.resolving, pipeline.downloads, builds=True))
            return Ladder(engines=engines, listener=self.recorder)

        return Fixing(
            pipeline=pipeline,
            tables=settings.package_tables,
            make_ladder=make_ladder,
            file=(settings.file or Path("whb.toml").absolute()).with_name(FILE_NAME),
            listener=self.recorder,
        )

    # the history

    def _changes(self, rows: Iterable[Row], *, whole: bool) -> Changes | None:
        """This run against the last one of its command; `whole`: what it was not asked for, nobody wants."""
        last = self.history.last_run(command=self.command)
        if last is None:
            return None
        tries = cache(lambda name: self.history.attempts(name=name))
        return compare(rows, last, tries, began=self.started, whole=whole)

    def _remember(self, report: Report) -> None:
        """Note what the run came to, and forget what is older than the last runs."""
        self.history.end_run(run_record(report, self.started), [past_row(row) for row in report.rows])
        self.history.prune()
        if since := self.history.since():
            with suppress(OSError):  # they go the next time
                prune_logs(self.wheelhouse.logs, self.history.logs(), since)

    def _publish(
        self, rows: Iterable[Row], complete: Mapping[Target, list[str]], *, tidies: bool
    ) -> tuple[Generation | None, Retiring]:
        """Publish one generation, of what came and without what goes."""
        house, refresh, gone = self.wheelhouse, self.settings.refresh, Retiring()
        had = {(row.name, row.target): row.filename for row in rows}
        note_run(house, had, self.started)
        if tidies:
            gone = retire_unused(house, had, self.started, refresh.retire_after)
        published = publish(house, complete, keep=refresh.keep_generations, without=gone.targets)
        if tidies:
            remove(house, find_garbage(house, keep=refresh.keep_generations, grace=refresh.grace))
        return published, gone


def _samples(history: History, builds: Iterable[Build]) -> Iterator[Sample]:
    """What builds took: for this wheelhouse, and of packages that are new to it for any other of this machine."""
    known = history.samples()
    names = {sample.name for sample in known}
    for build in builds:
        name = parse_wheel_name(build.filename)[0]
        if build.rung and name not in names:
            yield Sample(name=name, target=build.built_for, strategy=build.rung, seconds=build.seconds)
    yield from known


def _counting_from(history: History, started: datetime, recorder: Recorder) -> datetime:
    """What min-age counts from."""
    moment, told = counting_from(started, [run.started for run in history.runs()])
    if told:
        recorder(Note(text=told, level=Level.WARNING))
    return moment


def _tell_yanked(
    before: Mapping[NormalizedName, Version], now: list[Selection], target: Target, options: ResolveOptions
) -> None:
    """Name the versions that went back since upstream yanked the one that the wheelhouse has."""
    back = [(one.name, before[one.name], one.version) for one in now if one.version and one.name in before]
    for name, old, new in back:
        if new < old and (reason := yank_reason(name, old, target, options)):
            text = f"{name} {old} is yanked upstream ({redact(reason)}): {new} is taken"
            options.listener(Note(text=text, level=Level.WARNING))


def _pipeline(
    settings: Settings,
    resolving: ResolveOptions,
    wheelhouse: Wheelhouse,
    history: History,
    estimates: Callable[[], Estimates],
    *,
    builds: bool,
    known: KnownFailures | None,
) -> Pipeline:
    downloads = Downloads(
        settings.cache,
        offline=settings.offline,
        canceller=resolving.canceller,
        listener=resolving.listener,
        credentials=credentials_for(index_urls(resolving.indexes)),
    )
    return Pipeline(
        ladder=Ladder(
            engines=tuple(_engines(settings, resolving, downloads, builds=builds)), listener=resolving.listener
        ),
        downloads=downloads,
        builds=Builds(settings.cache),
        cache=settings.cache,
        logs=wheelhouse.logs,
        musl_floor=settings.musl_floor or DEFAULT_FLOOR,
        canceller=resolving.canceller,
        recording=Recording(history=history, logs=wheelhouse.attempt_log_folder),
        known=known,
        limit=lambda name, strategy: limit_of(
            estimates().longest(name, strategy), settings.job_timeout.total_seconds()
        ),
        winner=lambda name, target: history.winner(name, str(target)),
    )


def _engines(settings: Settings, resolving: ResolveOptions, downloads: Downloads, *, builds: bool) -> Iterator[Engine]:
    common: dict[str, Any] = {
        "cache": settings.cache,
        "jobs": settings.jobs,
        "canceller": resolving.canceller,
        "listener": resolving.listener,
        "resolving": replace(resolving, format_control=FormatControl()),  # what is asked for speaks not of build tools
        "package_tables": settings.package_tables,
    }
    for name in settings.engines:
        if name == "container":
            from wheelhouse_builder.engines.container.engine import WAYS, ContainerEngine  # noqa: PLC0415 - if used

            own: dict[str, Any] = {"downloads": downloads, "settings": settings.container, "pulls": builds}
            yield from (ContainerEngine(strategy=way, **own, **common) for way in WAYS)
        else:
            yield CrossEngine(target_trees=settings.cross.target_trees, **common)


def _complete(targets: Iterable[Target], rows: Iterable[Row]) -> dict[Target, list[str]]:
    """For each target of which nothing is missing, the wheels that it installs: what its lock is made of."""
    rows = list(rows)
    return {
        target: [str(row.filename) for row in rows if row.target == target]
        for target in targets
        if all(row.status is Status.READY for row in rows if row.target == target)
    }
