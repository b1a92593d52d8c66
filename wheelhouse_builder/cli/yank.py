"""`whb yank`: withdraw a version; who pins it still gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import add_settings

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument(
        "pin", metavar="NAME==VERSION", help="the version; all its files are yanked, also those to come"
    )
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--reason", metavar="TEXT", help="why, in one line; clients show it")
    choice.add_argument("--undo", action="store_true", help="take the yank back")
    add_settings(parser, ("wheelhouse",))


def execute(invocation: Invocation) -> int:
    """Note it and publish at once."""
    from wheelhouse_builder.cli.holding import holding, say_current
    from wheelhouse_builder.wheelhouse.yanking import parse_pin, parse_reason, yank

    options = invocation.options
    name, version = parse_pin(options.pin)
    reason = None if options.undo else parse_reason(options.reason)
    with holding(invocation) as wheelhouse:
        changed = yank(wheelhouse, name, version, reason) is not None
        news = f"{name} {version} is {'no longer ' if options.undo else ''}yanked"
        say_current(invocation, wheelhouse, changed=changed, news=news)
    return 0
