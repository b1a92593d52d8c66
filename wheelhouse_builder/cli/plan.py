"""`whb plan`: what a build would do, and why. Builds nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import PLANNING, add_settings
from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    add_settings(parser, PLANNING)


def execute(invocation: Invocation) -> int:
    """Print the plan; 1 if something is impossible."""
    require_input(invocation.settings)
    from wheelhouse_builder.cli.progress import progress
    from wheelhouse_builder.cli.progress.standing import time_left
    from wheelhouse_builder.plan import Action
    from wheelhouse_builder.report.as_json import dump, plan_data
    from wheelhouse_builder.report.table import plan_table
    from wheelhouse_builder.run import plan_run
    from wheelhouse_builder.schedule.forecast import forecast_of
    from wheelhouse_builder.schedule.local import room_for

    console = invocation.console
    with progress(console) as listener:
        plan = plan_run(invocation.settings, listener=listener, canceller=invocation.canceller)
    outlook = forecast_of(plan, room_for(invocation.settings.jobs))
    console.result(dump("plan", plan_data(plan, outlook)) if console.json else plan_table(plan))
    counted = ", ".join(f"{len(plan.of(action))} {action}" for action in Action if plan.of(action))
    jobs = "1 job" if len(plan.jobs) == 1 else f"{len(plan.jobs)} jobs"
    builds = f", {time_left(outlook)}" if plan.building() else ""
    console.say(f"\n{counted or 'nothing to do'}; {jobs}{builds}")
    for filename, reason in sorted(plan.retiring.items()):
        console.say(f"a refresh retires {filename}: {reason}")
    return 1 if plan.of(Action.IMPOSSIBLE) else 0


def require_input(settings: Settings) -> None:
    """Raise `UsageError` if there is nothing to resolve."""
    if not (settings.requirements or settings.packages):
        hint = "name a requirements file, the folder of a project, a package with -P, or `requirements` in whb.toml"
        raise UsageError("nothing to build is named", hint=hint)
