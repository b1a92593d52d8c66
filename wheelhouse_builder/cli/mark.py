"""`whb mark`: the status of a project as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import add_settings

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation

_STATUSES = ("active", "archived", "deprecated", "quarantined")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("name", metavar="NAME", help="the project")
    parser.add_argument(
        "status",
        choices=_STATUSES,
        help="active: as any other; archived: takes no new files; deprecated: only says so; "
        "quarantined: takes none and offers none",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why, in one line; clients show it")
    add_settings(parser, ("wheelhouse",))


def execute(invocation: Invocation) -> int:
    """Note it and publish at once."""
    from packaging.utils import InvalidName, canonicalize_name

    from wheelhouse_builder.cli.holding import holding, say_current
    from wheelhouse_builder.errors import UsageError
    from wheelhouse_builder.index.model import Mark, Status
    from wheelhouse_builder.wheelhouse.marking import locks_naming, mark
    from wheelhouse_builder.wheelhouse.yanking import parse_reason

    options = invocation.options
    try:
        name = canonicalize_name(options.name, validate=True)
    except InvalidName:
        raise UsageError(f"{options.name!r} is no project's name", hint="name a project that `simple/` lists") from None
    reason = None if options.reason is None else parse_reason(options.reason)
    wanted = Mark(status=Status(options.status), reason=reason)
    with holding(invocation) as wheelhouse:
        changed = mark(wheelhouse, name, wanted) is not None
        say_current(invocation, wheelhouse, changed=changed, news=f"{name} is {wanted.status}")
        if wanted.status is Status.QUARANTINED:
            for lock in locks_naming(wheelhouse, name):
                invocation.console.complain(f"{lock} still names {name}: `whb build` without it makes a new one")
    return 0
