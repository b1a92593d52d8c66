"""A whole run: resolve, plan, do, admit, publish. What `whb plan`, `whb build` and `whb refresh` are made of."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from wheelhouse_builder.plan import Action, Plan
from wheelhouse_builder.resolve.selection import Selection
from wheelhouse_builder.run.assembly import assemble
from wheelhouse_builder.run.offers import Offers, offers_of
from wheelhouse_builder.run.steps import build, plan_of
from wheelhouse_builder.wheelhouse.retiring import what_can_go

if TYPE_CHECKING:
    from wheelhouse_builder.artifact import SourceTree
    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.report.model import Report
    from wheelhouse_builder.settings import Settings


def plan_run(settings: Settings, *, listener: Listener, canceller: Canceller) -> Plan:
    """Resolve and plan; nothing is built, and nothing but whb's cache is written.

    Raises `UsageError`, `ResolveError`, `MachineError`, `DamagedError` or `Cancelled`.
    """
    run = assemble(settings, listener, canceller, command="plan", pulls=False)
    plan = plan_of(run, offers_of(run))
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
    leaves_unresolved: bool = False,
) -> Report:
    """Do the whole job. What fails is in the report; raises like `plan_run` when there is nothing to report on.

    Reports and the history name the run after the `command`.
    `tidies`: wheels that nothing needs leave the index, and files that are past their grace go, as `[refresh]` says.
    `skips_known`: what failed with the same inputs is not tried again, for as long as `[refresh]` says.
    `fixes`: a build that lacks a C library of which there is a recipe is done once more with it.
    `leaves_unresolved`: a target that cannot be resolved stays as it is, which the report tells, while the others are
    built; where none can be, `ResolveError` is raised all the same.
    When it is cancelled, what was built by then is in the build cache, and the wheelhouse is as it was.
    """
    run = assemble(settings, listener, canceller, command=command, skips_known=skips_known)
    # before the wheelhouse is touched: what cannot be resolved leaves no trace
    offers = offers_of(run, leaves_unresolved=leaves_unresolved)
    with closing(run.pipeline.downloads), run.wheelhouse.lock(listener=run.recorder, canceller=canceller):
        return build(run, offers, tidies=tidies, fixes=fixes)


def build_tree(settings: Settings, tree: SourceTree, *, listener: Listener, canceller: Canceller) -> Report:
    """Build one project alone, without what it depends on, for each target; admit it and publish it.

    The locks in the wheelhouse stay as they are: they are of whole environments. Raises like `build_run`.
    """
    alone = replace(settings, requirements=(), packages=(), constraints=(), package_constraints={}, hold=())
    run = assemble(alone, listener, canceller, command="build-backend")
    selection = Selection(name=tree.name, version=tree.version, choice=tree, reason="a local project")
    with closing(run.pipeline.downloads), run.wheelhouse.lock(listener=run.recorder, canceller=canceller):
        return build(run, Offers(by_target={target: [selection] for target in settings.targets}), locks=False)
