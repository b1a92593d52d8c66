"""`whb index`: publish what the wheelhouse holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import add_settings

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.wheelhouse.store import Wheelhouse


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument(
        "--thorough", action="store_true", help="read every file, also those whose size and time are as noted"
    )
    add_settings(parser, ("wheelhouse",))


def execute(invocation: Invocation) -> int:
    """Publish; what cannot be published is told."""
    from wheelhouse_builder.cli.holding import holding, say_current
    from wheelhouse_builder.wheelhouse.generations import note_lost_pages, publish

    thorough = invocation.options.thorough
    with holding(invocation) as wheelhouse:
        problems = wheelhouse.check(thorough=thorough)
        if problems:
            _require_records(wheelhouse)
        note_lost_pages(wheelhouse, thorough=thorough)
        changed = publish(wheelhouse, {}) is not None
        say_current(invocation, wheelhouse, changed=changed, news="published")
    for problem in problems:
        invocation.console.complain(f"not published: {problem}")
    return 0


def _require_records(wheelhouse: Wheelhouse) -> None:
    """Without its records a wheelhouse would be published as empty. Raises `DamagedError`."""
    from wheelhouse_builder.errors import DamagedError
    from wheelhouse_builder.wheelhouse.generations import current, named_files

    generation = current(wheelhouse)
    if generation is not None and not wheelhouse.records.facts() and named_files(generation):
        raise DamagedError(
            f"the records of {wheelhouse.root} know no wheel, and generation {generation.number} names some",
            hint=f"put {wheelhouse.records.path} back, or run `whb build` with the same requirements: that makes them",
        )
