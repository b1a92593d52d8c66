"""`whb refresh`: the scheduled job, from whb.toml alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import PLANNING, add_fix, add_settings
from wheelhouse_builder.cli.plan import require_input

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.cli.console import Console
    from wheelhouse_builder.report.model import Report

_SHOWN = 20  # packages of which the same is said; the report has all


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    add_settings(parser, (*(name for name in PLANNING if name != "upgrade"), "refresh.report"))
    parser.add_argument("--retry", action="store_true", help="try once more what failed with the same inputs")
    add_fix(parser)


def execute(invocation: Invocation) -> int:
    """Refresh; 1 if something is not there at the end, 3 if a target is unresolved, 4 if reports are not there."""
    settings, console = invocation.settings, invocation.console
    require_input(settings)
    from wheelhouse_builder.cli.build import exit_code, show, step_summary
    from wheelhouse_builder.cli.progress import progress
    from wheelhouse_builder.plan import Action
    from wheelhouse_builder.refresh import refresh

    with progress(console) as listener:
        report, files = refresh(
            settings,
            listener=listener,
            canceller=invocation.canceller,
            retry=invocation.options.retry,
            fixes=invocation.options.fix,
            summary=step_summary(),
        )
    show(report, console, [row for row in report.rows if row.action is not Action.REUSE])
    _tell(report, files, console)
    return exit_code(report, files)


def _tell(report: Report, files: Sequence[Path], console: Console) -> None:
    """What changed since the last refresh, what became of the index, and where all of it is told."""
    from wheelhouse_builder.cli.build import from_here
    from wheelhouse_builder.report.story import Story

    for news in Story(report).news:
        names = [f"{name} {versions}".rstrip() for name, versions in news.packages]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        told = f" ({'; '.join(news.told)})" if news.told else ""
        console.say(f"{news.kind}: {', '.join(names[:_SHOWN])}{more}{told}")
    for retired in report.retired:
        console.say(f"retired {retired.filename}: {retired.reason}")
    if report.generation is None:
        console.say(f"nothing is published in {from_here(report.wheelhouse)} yet")
    else:
        state = "published" if report.changed else "unchanged"
        console.say(f"{from_here(report.wheelhouse)}: generation {report.generation}, {state}")
    if files:
        console.say(f"report: {from_here(files[0])}")
