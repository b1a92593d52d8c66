"""The options of the command line. Those that are settings come from their one declaration in `settings.OPTIONS`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.redact import redact
from wheelhouse_builder.settings import OPTIONS, Settings
from wheelhouse_builder.settings.kinds import SWITCH
from wheelhouse_builder.settings_sources import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import NoReturn

_PREFIX = "setting:"

TARGETS = ("pythons", "archs")
PLANNING = (
    "requirements",
    "packages",
    "constraints",
    *TARGETS,
    "no-binary",
    "only-binary",
    "wheelhouse",
    "engine",
    "jobs",
    "offline",
    "upgrade",
    "min-age",
    "cache-dir",
)


class Parser(argparse.ArgumentParser):
    """argparse, with our errors instead of its exit."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(message, hint=f"`{self.prog} --help` lists the options")


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """The flags of these settings. Values stay text: all problems are told at once, later."""
    for name in names:
        option = OPTIONS[name]
        more: dict[str, object] = {"help": option.help}
        if option.kind is SWITCH:
            more |= {"action": argparse.BooleanOptionalAction}
        elif option.kind.choices:
            more |= {"metavar": "|".join(option.kind.choices)}
        else:
            more |= {"metavar": option.metavar}
        if option.kind.many:
            more |= {"action": "append"} if option.flags else {"nargs": "*"}
        if option.flags:
            more |= {"dest": _PREFIX + name, "default": None}
        parser.add_argument(*(option.flags or [_PREFIX + name]), **more)  # type: ignore[arg-type]  # built above


def add_fix(parser: argparse.ArgumentParser) -> None:
    """What a command that builds may do about what fails."""
    text = "add a missing C library that whb has a recipe for, build again, and write that to whb-fixes.toml for review"
    parser.add_argument("--fix", action="store_true", help=text)


def add_common(parser: argparse.ArgumentParser) -> None:
    """What every command understands."""
    group = parser.add_argument_group("common options")
    group.add_argument("--config-file", type=Path, metavar="FILE", help="read this instead of whb.toml")
    group.add_argument("--show-settings", action="store_true", help="print every setting and its source, then stop")
    group.add_argument("--json", action="store_true", help="print one JSON document")
    group.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="colours on standard error")
    group.add_argument("--no-progress", action="store_true", help="plain lines, even on a terminal")
    group.add_argument("-q", "--quiet", action="count", default=0, help="only what failed")
    group.add_argument("-v", "--verbose", action="count", default=0, help="more about what happens")


def read_settings(options: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """The settings under these options. Raises `UsageError`."""
    given = {name.removeprefix(_PREFIX): value for name, value in vars(options).items() if name.startswith(_PREFIX)}
    wheelhouse = given.get("wheelhouse")
    if isinstance(wheelhouse, str) and wheelhouse.startswith(("http://", "https://")):
        raise UsageError(
            f"--wheelhouse {redact(wheelhouse)} is an index, and whb works on a folder",
            hint="`whb publish` puts a folder where an index is served from",
        )
    return load_settings(given, environ=environ, config_file=options.config_file)
