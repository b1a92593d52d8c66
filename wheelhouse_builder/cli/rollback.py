"""`whb rollback`: make an earlier generation of the index current again."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import add_settings
from wheelhouse_builder.errors import DamagedError, UsageError

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.wheelhouse.store import Wheelhouse


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("number", nargs="?", type=int, metavar="N", help="the generation (default: the one before)")
    parser.add_argument("--list", action="store_true", help="list the generations that are kept, and do nothing")
    add_settings(parser, ("wheelhouse",))


def execute(invocation: Invocation) -> int:
    """Swap, or list."""
    from wheelhouse_builder.cli.holding import holding, say_current, wheelhouse_of
    from wheelhouse_builder.wheelhouse.generations import current, roll_back

    options = invocation.options
    if options.list and options.number is not None:
        raise UsageError("--list rolls nothing back", hint="give a number or --list")
    if options.list:
        return _list(invocation, wheelhouse_of(invocation))
    with holding(invocation) as wheelhouse:
        before = current(wheelhouse)
        changed = roll_back(wheelhouse, options.number) != before
        say_current(invocation, wheelhouse, changed=changed, news=f"rolled back from {before.number if before else 0}")
    invocation.console.say("the next publication shows every wheel again: `whb yank` what nobody shall get")
    return 0


def _list(invocation: Invocation, wheelhouse: Wheelhouse) -> int:
    from wheelhouse_builder.report.as_json import dump, generations_data
    from wheelhouse_builder.wheelhouse.generations import all_generations, current, named_files

    console, generations, now = invocation.console, all_generations(wheelhouse), current(wheelhouse)
    if console.json:
        console.result(dump("generations", generations_data(wheelhouse, generations, now)))
        return 0
    for generation in generations:
        mark = "*" if generation == now else " "
        try:
            content = f"{len(named_files(generation))} files"
        except DamagedError:
            content = "damaged"
        with suppress(FileNotFoundError):  # a publication has retired it meanwhile
            console.result(f"{mark} {generation.number}  {generation.published:%Y-%m-%d %H:%M:%S} UTC  {content}")
    return 0
