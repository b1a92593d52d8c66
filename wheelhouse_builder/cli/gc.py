"""`whb gc`: remove generations and wheels that nothing needs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import add_settings
from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.wheelhouse.retention import Garbage

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("--keep", type=int, metavar="N", help="how many generations stay (default: 10)")
    parser.add_argument(
        "--grace", metavar="TIME", help="how long a wheel stays after its last use, as 12h or 4w (default: 30d)"
    )
    parser.add_argument("--yes", action="store_true", help="do it; without this only tell what would go")
    add_settings(parser, ("wheelhouse",))


def parse_grace(text: str) -> timedelta:
    """`12h`, `30d`, `4w`. Raises `UsageError`."""
    found = re.fullmatch(r"([0-9]{1,5})([hdw])", text)
    if found is None:
        raise UsageError(f"{text!r} is no time", hint="write it as 12h, 30d or 4w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def execute(invocation: Invocation) -> int:
    """Tell what nothing needs; with `--yes` remove it."""
    from wheelhouse_builder.cli.holding import holding
    from wheelhouse_builder.report.as_json import dump, garbage_data
    from wheelhouse_builder.wheelhouse.generations import KEEP
    from wheelhouse_builder.wheelhouse.retention import GRACE, find_garbage, remove

    console, options = invocation.console, invocation.options
    keep = KEEP if options.keep is None else options.keep
    if keep < 1:
        raise UsageError("--keep is below 1", hint="the generation in force always stays")
    grace = GRACE if options.grace is None else parse_grace(options.grace)
    with holding(invocation) as wheelhouse:
        garbage = find_garbage(wheelhouse, keep=keep, grace=grace)
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
