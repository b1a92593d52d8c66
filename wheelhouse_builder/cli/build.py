"""`whb build`: the main job, from requirements to a published wheelhouse."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import PLANNING, add_fix, add_settings
from wheelhouse_builder.cli.plan import require_input

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.cli.console import Console
    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.report.model import Report, Row
    from wheelhouse_builder.report.story import Failure
    from wheelhouse_builder.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    add_settings(parser, PLANNING)
    add_fix(parser)
    parser.add_argument("--report", type=Path, metavar="DIR", help="write report.html, report.md and report.json there")


def execute(invocation: Invocation) -> int:
    """Build and publish; 1 if something is not there at the end, 4 if reports that were asked for are not."""
    settings, console = invocation.settings, invocation.console
    require_input(settings)
    from wheelhouse_builder.cli.progress import progress

    with progress(console) as listener:
        report, files = _build(invocation, listener)
    show(report, console, report.rows)
    for line in next_steps(report, settings):
        console.say(line)
    if files:
        console.say(f"report: {from_here(files[0])}")
    return exit_code(report, files)


def exit_code(report: Report, files: Sequence[Path] | None) -> int:
    """That of a run whose report was to be in these files; None: in none."""
    from wheelhouse_builder.errors import MachineError, ResolveError

    if files is not None and not files:
        return MachineError.exit_code
    if report.unresolved:
        return ResolveError.exit_code
    return 1 if report.failed else 0


def _build(invocation: Invocation, listener: Listener) -> tuple[Report, Sequence[Path] | None]:
    """What the run came to, and the files that tell it, if some are asked for."""
    from wheelhouse_builder.reporting import reported
    from wheelhouse_builder.run import build_run

    settings, folder = invocation.settings, invocation.options.report
    fixes = invocation.options.fix
    run = partial(build_run, settings, listener=listener, canceller=invocation.canceller, fixes=fixes)
    if folder is None:
        return run(), None
    place = settings.wheelhouse
    return reported(run, command="build", wheelhouse=place, folder=folder, listener=listener, summary=step_summary())


def step_summary() -> Path | None:
    """The file whose text GitHub shows with the step that runs."""
    named = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(named) if named else None


def show(report: Report, console: Console, rows: Sequence[Row]) -> None:
    """The table of these rows, what failed and why, and what it came to. With `-q` only what failed."""
    from wheelhouse_builder.report.annotations import errors_for_ci
    from wheelhouse_builder.report.as_json import dump, report_data
    from wheelhouse_builder.report.story import Story
    from wheelhouse_builder.report.table import report_table, summary

    shown = replace(report, rows=tuple(rows) if console.verbosity >= 0 else report.failed)
    if console.json:
        console.result(dump("report", report_data(report)))
    elif shown.rows:
        console.result(report_table(shown))
    story = Story(report)
    for found in story.unresolved:
        console.complain(f"\n{console.paint('unresolved', 'red')} {found.target}: {found.message}")
        if found.hint:
            console.complain(f"hint: {found.hint}")
    for failure in story.failures:
        _show_failure(failure, console)
    for title, text in errors_for_ci(report):
        console.annotate(title, text)
    console.say(f"\n{summary(report)}")


def _show_failure(failure: Failure, console: Console) -> None:
    from wheelhouse_builder.cli.console import quoted

    targets, status = ", ".join(map(str, failure.targets)), console.paint(str(failure.status), "red")
    console.complain(f"\n{status} {failure.title} for {targets}: {failure.message}")
    if failure.hint:
        console.complain(f"hint: {failure.hint}")
    if failure.log:
        console.complain(f"log: {failure.log}")
    if failure.tail:
        console.complain(quoted(failure.tail))


def next_steps(report: Report, settings: Settings) -> Iterator[str]:
    """What a person does after the run."""
    from wheelhouse_builder.report.model import Status
    from wheelhouse_builder.settings.kinds import is_location

    wheelhouse = from_here(report.wheelhouse)
    if report.generation is None:
        yield f"nothing is published in {wheelhouse} yet"
        return
    news = "published" if report.changed else "as it was"
    yield f"{wheelhouse}: generation {report.generation}, {news}"
    if report.failed:
        yield "run the same command again after the cause is gone: what is ready is kept"
    missing = {row.name for row in report.rows if row.status is not Status.READY}
    ready = sorted({str(row.name) for row in report.rows} - missing)
    if report.rows and not ready:
        return
    packages, files = list(settings.packages), [file for file in settings.requirements if not file.is_dir()]
    if len(files) < len(settings.requirements) or any(map(is_location, packages)):
        packages = ready  # pip would build what is there once more: names lead it to the wheels
    if missing:
        packages, files = ready, []  # pip installs all that it is asked for, or nothing
    inputs = [part for file in files for part in ("-r", from_here(file))] + packages
    yield "install from it, with no network and no compiler:"
    yield "  " + shlex.join(["pip", "install", "--no-index", "--find-links", wheelhouse, *inputs])
    index = (report.wheelhouse / "simple").as_uri()
    yield "  " + shlex.join(["pip", "install", "--index-url", index, *inputs])


def from_here(path: Path) -> str:
    """The path relative to the current folder, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
