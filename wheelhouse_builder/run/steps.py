"""The steps of a run once it is known what the locks offer: plan, do, admit, publish, remember."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.admission import admit_all
from wheelhouse_builder.engines.cross.sandbox import sandbox
from wheelhouse_builder.events import Level, Note, RunPhase, RunPlanned
from wheelhouse_builder.fixing import FILE_NAME, Fixing
from wheelhouse_builder.history.logs import prune_logs
from wheelhouse_builder.index.model import Status as ProjectStatus
from wheelhouse_builder.pipeline.folders import remove_left_behind
from wheelhouse_builder.plan import Action, Plan, make_plan, with_estimates
from wheelhouse_builder.report.changes import compare
from wheelhouse_builder.report.model import Report, Retired, Row, Status
from wheelhouse_builder.report.past import past_row, run_record
from wheelhouse_builder.report.rows import make_row
from wheelhouse_builder.run.assembly import ladder_for
from wheelhouse_builder.schedule.local import LocalExecutor, room_for
from wheelhouse_builder.schedule.queue import run_tasks
from wheelhouse_builder.tasks import Tasks
from wheelhouse_builder.wheelhouse.generations import current, publish
from wheelhouse_builder.wheelhouse.retention import find_garbage, remove
from wheelhouse_builder.wheelhouse.retiring import Retiring, note_run, retire_unused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from wheelhouse_builder.engines.ladder import Ladder
    from wheelhouse_builder.fixing import Tables
    from wheelhouse_builder.history.estimates import Estimate
    from wheelhouse_builder.history.model import PastRow, RunRecord
    from wheelhouse_builder.plan import Job
    from wheelhouse_builder.report.model import Changes
    from wheelhouse_builder.run.assembly import Run
    from wheelhouse_builder.run.offers import Offers
    from wheelhouse_builder.target import Target
    from wheelhouse_builder.wheelhouse.generations import Generation

    Past = tuple[RunRecord, Sequence[PastRow]]

_LEFT = "as in the run before: the requirements cannot be resolved"


def plan_of(run: Run, offers: Offers) -> Plan:
    """Every decision, from what the locks offer and what is there. Raises `MachineError` or `DamagedError`."""
    run.wheelhouse.require_sound()
    marks = run.wheelhouse.records.marks()
    quarantined = {name: mark.reason for name, mark in marks.items() if mark.status is ProjectStatus.QUARANTINED}
    stored, cached = run.wheelhouse.wheels(), run.pipeline.builds.all()
    keys, why_not = cache(run.pipeline.request_keys), run.pipeline.ladder.why_not
    plan = make_plan(offers.by_target, stored, cached, keys, quarantined, why_not)

    def likely(job: Job) -> Estimate | None:
        return run.estimates().of(job.source.name, str(job.target), run.pipeline.first(job))

    return with_estimates(plan, likely)


def build(run: Run, offers: Offers, *, locks: bool = True, tidies: bool = False, fixes: bool = False) -> Report:
    """Plan, do, admit and publish, under the wheelhouse's lock, which the caller holds.

    `locks`: a target of which nothing is missing gets a lock. The others are as for `build_run`.
    """
    run.history.create()
    plan = plan_of(run, offers)
    rows = _do(run, plan, _fixing(run) if fixes else None)
    complete = _complete(plan.targets, rows) if locks else {}
    published, gone = _publish(run, rows, complete, offers.unresolved, tidies=tidies)
    generation = published or current(run.wheelhouse)
    last, left = _last_run(run, offers.unresolved)
    report = Report(
        rows=rows,
        wheelhouse=run.settings.wheelhouse,
        generation=generation.number if generation else None,
        changed=published is not None,
        seconds=run.recorder.elapsed,
        command=run.command,
        started=run.started,
        changes=_changes(run, rows, last, whole=tidies),
        spans=run.recorder.spans(),
        warnings=tuple(run.recorder.warnings),
        retired=tuple(Retired(filename=name, reason=why) for name, why in sorted(gone.reasons.items())),
        unresolved=offers.unresolved,
    )
    _remember(run, report, left)
    return report


def _do(run: Run, plan: Plan, fixing: Fixing | None) -> tuple[Row, ...]:
    """Do what is planned, and admit what came of it; a row for every decision."""
    if "cross" in run.settings.engines and plan.of(Action.BUILD) and not sandbox().files:
        held = sandbox().told or "are not held at all"
        run.recorder(Note(text=f"builds {held}; more is possible: see `whb doctor`", level=Level.WARNING))
    if plan.jobs:
        remove_left_behind(run.settings.cache)
    tasks = Tasks(
        plan=plan,
        wheelhouse=run.wheelhouse,
        stored={wheel.filename: wheel for wheel in run.wheelhouse.wheels()},
        pipeline=run.pipeline,
        verify=run.settings.verify,
        listener=run.recorder,
        fixing=fixing,
    )
    todo = tasks.all()
    run.recorder(RunPhase(phase="build"))
    run.recorder(RunPlanned(jobs=tuple(task.planned for task in todo), room=room_for(run.settings.jobs)))
    with LocalExecutor(run.settings.jobs) as executor:
        ended = run_tasks(todo, executor, listener=run.recorder, canceller=run.canceller)
    run.recorder(RunPhase(phase="publish"))
    admitted = admit_all(tasks, ended)
    seconds = {span.id: span.seconds for span in run.recorder.spans()}
    return tuple(make_row(decision, tasks, ended, admitted, seconds) for decision in plan.decisions)


def _fixing(run: Run) -> Fixing:
    settings, pipeline = run.settings, run.pipeline

    def make_ladder(tables: Tables) -> Ladder:
        return ladder_for(replace(settings, package_tables=tables), run.resolving, pipeline.downloads)

    return Fixing(
        pipeline=pipeline,
        tables=settings.package_tables,
        make_ladder=make_ladder,
        file=(settings.file or Path("whb.toml").absolute()).with_name(FILE_NAME),
        listener=run.recorder,
    )


def _complete(targets: Iterable[Target], rows: Iterable[Row]) -> dict[Target, list[str]]:
    """For each target of which nothing is missing, the wheels that it installs: what its lock is made of."""
    rows = list(rows)
    return {
        target: [str(row.filename) for row in rows if row.target == target]
        for target in targets
        if all(row.status is Status.READY for row in rows if row.target == target)
    }


def _publish(
    run: Run,
    rows: Iterable[Row],
    complete: Mapping[Target, list[str]],
    unresolved: Collection[Target],
    *,
    tidies: bool,
) -> tuple[Generation | None, Retiring]:
    """Publish one generation, of what came and without what goes."""
    house, refresh, gone = run.wheelhouse, run.settings.refresh, Retiring()
    had = {(row.name, row.target): row.filename for row in rows}
    note_run(house, had, run.started, unresolved)
    if tidies:
        gone = retire_unused(house, had, run.started, refresh.retire_after, unresolved)
    published = publish(house, complete, keep=refresh.keep_generations, without=gone.targets)
    if tidies:
        remove(house, find_garbage(house, keep=refresh.keep_generations, grace=refresh.grace))
    return published, gone


def _last_run(run: Run, unresolved: Collection[Target]) -> tuple[Past | None, list[PastRow]]:
    """The last run of this command, and apart from it what it had for the targets that are `unresolved` now."""
    last = run.history.last_run(command=run.command)
    if last is None:
        return None, []
    record, rows = last
    names = set(map(str, unresolved))
    return (record, [row for row in rows if row.target not in names]), [row for row in rows if row.target in names]


def _changes(run: Run, rows: Iterable[Row], last: Past | None, *, whole: bool) -> Changes | None:
    """This run against the last one; `whole`: what it was not asked for, nobody wants."""
    if last is None:
        return None
    tries = cache(lambda name: run.history.attempts(name=name))
    return compare(rows, last, tries, began=run.started, whole=whole)


def _remember(run: Run, report: Report, left: Iterable[PastRow]) -> None:
    """Note what the run came to, and forget what is older than the last runs.

    With it goes what it `left` as it was: the next run compares with that.
    """
    rows = [past_row(row) for row in report.rows]
    run.history.end_run(run_record(report), [*rows, *(replace(row, reason=_LEFT) for row in left)])
    run.history.prune()
    if since := run.history.since():
        with suppress(OSError):  # they go the next time
            prune_logs(run.wheelhouse.logs, run.history.logs(), plain=run.started, packed=since)
