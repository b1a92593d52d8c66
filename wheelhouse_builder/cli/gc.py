"""`whb gc`: remove generations and wheels that nothing needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import add_settings

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.wheelhouse.retention import Garbage


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("--yes", action="store_true", help="do it; without this only tell what would go")
    add_settings(parser, ("wheelhouse", "refresh.keep-generations", "refresh.grace"))


def execute(invocation: Invocation) -> int:
    """Tell what nothing needs; with `--yes` remove it."""
    from wheelhouse_builder.cli.holding import holding
    from wheelhouse_builder.report.as_json import dump, garbage_data
    from wheelhouse_builder.wheelhouse.retention import find_garbage, remove

    console, options, refresh = invocation.console, invocation.options, invocation.settings.refresh
    with holding(invocation) as wheelhouse:
        garbage = find_garbage(wheelhouse, keep=refresh.keep_generations, grace=refresh.grace)
        if options.yes:
            remove(wheelhouse, garbage)
        if console.json:
            console.result(dump("garbage", garbage_data(wheelhouse, garbage, removed=options.yes)))
        else:
            _show(invocation, garbage)
    return 0


def _show(invocation: Invocation, garbage: Garbage) -> None:
    from wheelhouse_builder.report.table import file_size

    console, done = invocation.console, invocation.options.yes
    for generation in garbage.generations:
        console.result(f"generation {generation.number}")
    for name in (*(path.name for path in garbage.files), *(f"the record of {name}" for name in garbage.records)):
        console.result(name)
    if not (garbage.generations or garbage.files or garbage.records):
        console.say("nothing to remove")
        return
    console.say(f"{file_size(garbage.size)} {'freed' if done else 'would be freed; --yes does it'}")
