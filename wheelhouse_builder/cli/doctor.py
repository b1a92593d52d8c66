"""`whb doctor`: what this machine can build, what is missing, and how to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import TARGETS, add_settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.cli.console import Console
    from wheelhouse_builder.doctor import Finding


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("--install", action="store_true", help="get what is missing")
    add_settings(parser, (*TARGETS, "engine", "wheelhouse", "cache-dir"))


def execute(invocation: Invocation) -> int:
    """Print the findings; `MachineError.exit_code` if something needed is missing."""
    from wheelhouse_builder.cli.progress import brief_progress
    from wheelhouse_builder.doctor import State, inspect, install
    from wheelhouse_builder.errors import MachineError

    settings, console = invocation.settings, invocation.console
    if invocation.options.install:
        findings = install(settings, listener=brief_progress(console), canceller=invocation.canceller)
    else:
        findings = inspect(settings)
    missing = [finding for finding in findings if finding.state is State.MISSING]
    if console.json:
        from wheelhouse_builder.report.as_json import dump, findings_data

        console.result(dump("doctor", findings_data(findings)))
    else:
        _show(findings, console)
    return MachineError.exit_code if missing else 0


def _show(findings: Sequence[Finding], console: Console) -> None:
    from wheelhouse_builder.doctor import State
    from wheelhouse_builder.report.table import findings_table

    wanting = [finding for finding in findings if finding.state is not State.OK]
    shown = findings if console.verbosity >= 0 else [finding for finding in wanting if finding.state is State.MISSING]
    if shown:
        console.result(findings_table(shown))
    for finding in wanting:
        console.say(f"{finding.state} {finding.name}: {finding.remedy}")
    if any(finding.installable for finding in wanting):
        console.say("`whb doctor --install` gets what it can of this")
    elif not wanting:
        console.say("everything is there")
