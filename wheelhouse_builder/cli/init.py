"""`whb init`: a settings file, and what runs `whb refresh` every night."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import TARGETS, add_settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.scaffold.surroundings import Surroundings
    from wheelhouse_builder.scaffold.writing import Written

_SERVICES = {
    "github": "a workflow for GitHub Actions, in .github/workflows",
    "gitlab": "a job for GitLab CI, in .gitlab",
    "systemd": "a service and its timer, in systemd",
    "cron": "a line for a crontab, whb-refresh.cron",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    for name, text in _SERVICES.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument("--force", action="store_true", help="write files that are there anew")
    add_settings(parser, ("requirements", *TARGETS))


def execute(invocation: Invocation) -> int:
    """Write what is not there, and say each file."""
    from wheelhouse_builder.report.as_json import dump
    from wheelhouse_builder.scaffold.render import Service, render
    from wheelhouse_builder.scaffold.surroundings import look_around
    from wheelhouse_builder.scaffold.writing import write

    options, console = invocation.options, invocation.console
    around = look_around(invocation.settings, Path.cwd())
    texts = render(around, [service for service in Service if getattr(options, service)])
    written = write(around, texts, force=options.force)
    if console.json:
        console.result(dump("init", {"files": [{"file": name, "result": done} for name, done in written.items()]}))
        return 0
    for name, done in written.items():
        console.result(f"{done:8} {name}")
    for line in _next_steps(around, written):
        console.say(line)
    return 0


def _next_steps(around: Surroundings, written: Mapping[str, Written]) -> Iterator[str]:
    """What a person does then."""
    from wheelhouse_builder.scaffold.render import GITLAB_TOP, SETTINGS_FILE
    from wheelhouse_builder.scaffold.writing import Written

    if written[SETTINGS_FILE] is Written.KEPT and around.settings_file != SETTINGS_FILE:
        yield f"the settings are in {around.settings_file}"
    elif not around.requirements:
        yield f"name what to build for in {SETTINGS_FILE}: there is neither a requirements.txt nor a project here"
    if written.get(GITLAB_TOP) is Written.KEPT:
        yield f"{GITLAB_TOP} has to include the job:\n  include:\n    - local: .gitlab/wheelhouse.yml"
    if Written.KEPT in written.values():
        yield "--force writes anew what was kept"
    yield "`whb plan` shows what a refresh would do; `whb refresh` does it"
