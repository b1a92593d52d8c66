"""What a setting may be: how its value is read, shown and named in the file, the environment and the command line."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.target import Arch, parse_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Units of time in seconds, longest first; a month and a year have no one length.
_UNITS = {"week": 604_800, "day": 86_400, "hour": 3600, "minute": 60, "second": 1}
_FOR_EVER = timedelta(days=99_999)
_UNIT_NAMES = {"w": "week", "d": "day", "h": "hour", "min": "minute", "s": "second"}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a value is read. Every source ends in `parse`, which takes one item as text and raises `UsageError`."""

    parse: Callable[[str], object]
    show: Callable[[Any], str] = str  # the inverse of `parse`
    what: str  # for messages: "a string"
    toml: type = str  # the TOML type of one item
    many: bool = False
    needed: bool = False  # of a list: it may not be empty
    by_key: bool = False  # a table in the file, KEY=VALUE elsewhere; the value is a mapping
    separator: str | None = ","  # between items in a variable (None: white space); a comma also on the command line
    is_path: bool = False  # relative to the file that names it
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting: what it is called in the file, in the environment and on the command line."""

    field: str  # the attribute
    key: str  # in the file
    part: str  # the attribute of the settings that holds it, "" for themselves
    table: str  # in the file, "" for the top
    kind: Kind
    help: str
    flags: tuple[str, ...]
    metavar: str | None
    in_file: bool  # `packages` in a file are the tables of that name

    @property
    def name(self) -> str:
        """The key with its table: `verify.engine`."""
        return f"{self.table}.{self.key}" if self.table else self.key

    @property
    def variable(self) -> str:
        """`WHB_VERIFY_ENGINE`"""
        return "WHB_" + self.name.replace(".", "_").replace("-", "_").upper()

    @property
    def flag(self) -> str:
        """The long flag, for messages; the metavar of a positional argument."""
        return self.flags[-1] if self.flags else self.metavar or self.name


def did_you_mean(text: str, known: Iterable[str], *, near: float = 0.6) -> str | None:
    """`did you mean pythons?`, or None if nothing known is as `near` as that (`difflib`: from 0 to 1)."""
    from difflib import get_close_matches  # noqa: PLC0415 - for mistakes alone

    close = get_close_matches(text, list(known), n=1, cutoff=near)
    return f"did you mean {close[0]}?" if close else None


def one_of(*choices: str) -> Kind:
    def parse(text: str) -> str:
        if text not in choices:
            raise UsageError(f"{text!r} is none of {', '.join(choices)}", hint=did_you_mean(text, choices))
        return text

    return Kind(parse=parse, what="a string", choices=choices)


def _parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(f"{text!r} is not a whole number above zero")
    return int(text)


def _parse_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{text!r} is not a whole number")
    return int(text)


def _parse_switch(text: str) -> bool:
    match text.strip().lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off" | "":
            return False
    raise UsageError(f"{text!r} is neither true nor false")


def parse_path(text: str) -> Path:
    """A path, `~` expanded. Raises `UsageError`."""
    if not text or "\0" in text:
        raise UsageError(f"{text!r} is not a path")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # `~name` of nobody
        raise UsageError(f"{text!r} is not a path: there is no such user") from None


def _parse_musl(text: str) -> tuple[int, int]:
    if text != "1.2":
        raise UsageError(f"unknown musl {text!r}", hint="use 1.2: the series of every Alpine since 3.13")
    return (1, 2)


def _parse_floor(text: str) -> str:
    parts = text.split(".")
    if parts[:2] != ["1", "2"] or len(parts) != 3 or not (parts[2].isascii() and parts[2].isdigit()):
        raise UsageError(f"unknown musl release {text!r}", hint="write it as 1.2.5")
    return text


def is_location(text: str) -> bool:
    """Whether a package is given by a path or a URL, with its name before it or not."""
    return "/" in text or text.startswith(".")


def parse_duration(text: str) -> timedelta:
    """`3 days`, `12h`, `30 min`, `4w`. Raises `UsageError`."""
    found = re.fullmatch(r"([0-9]{1,5}) ?([a-z]+)", text.strip().lower())
    unit = _UNIT_NAMES.get(found[2]) or found[2].removesuffix("s") if found else ""
    if found is None or unit not in _UNITS:
        raise UsageError(f"{text!r} is no time", hint="write it as 3 days, 12 hours, 30 min or 4w")
    return min(timedelta(seconds=int(found[1]) * _UNITS[unit]), _FOR_EVER)


def _parse_limit(text: str) -> timedelta:
    limit = parse_duration(text)
    if not limit:
        raise UsageError(f"{text!r} leaves no time", hint="write it as 6 hours, 90 min or 2 days")
    return limit


def show_duration(duration: timedelta) -> str:
    """In the largest unit up to days that gives a whole number: `30 days`, `36 hours`."""
    seconds = int(duration.total_seconds())
    unit, size = next((unit, size) for unit, size in _UNITS.items() if unit != "week" and seconds % size == 0)
    return f"{seconds // size} {unit}" + ("" if seconds == size else "s")


def _parse_requirement(text: str) -> str:
    if is_location(text):
        return text  # as in a requirements file: who reads those looks at it
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - costs 10 ms, rarely needed

    try:
        Requirement(text)
    except InvalidRequirement as error:
        hint = "write it as cffi, 'cffi>=1.17' or ./project"
        raise UsageError(f"{text!r} is not a requirement: {str(error).splitlines()[0]}", hint=hint) from None
    return text


def _parse_name(text: str) -> str:
    if text in {":all:", ":none:"}:
        return text
    try:
        return canonicalize_name(text, validate=True)
    except ValueError:
        raise UsageError(f"{text!r} is not a package name", hint="use a name, :all: or :none:") from None


def _parse_plain_name(text: str) -> str:
    try:
        return canonicalize_name(text, validate=True)
    except ValueError:
        raise UsageError(f"{text!r} is not a package name") from None


def many_of(kind: Kind, *, needed: bool = False) -> Kind:
    """A list; in the file, one string is a list of one."""
    return replace(
        kind,
        what="a string or a list of strings",
        many=True,
        needed=needed,
        separator=os.pathsep if kind.is_path else kind.separator,
    )


def by_arch(kind: Kind) -> Kind:
    """A value for each architecture."""

    def parse(text: str) -> tuple[Arch, object]:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{text!r} names no architecture", hint=f"write it as arm64={text}")
        return Arch.parse(name), kind.parse(value.strip())

    def show(item: tuple[Arch, object]) -> str:
        return f"{item[0].docker}={kind.show(item[1])}"

    return Kind(parse=parse, show=show, what="a table of strings", many=True, by_key=True)


TEXT = Kind(parse=str, what="a string")
PATH = Kind(parse=parse_path, what="a string", is_path=True)
COUNT = Kind(parse=_parse_count, what="a whole number", toml=int)
NUMBER = Kind(parse=_parse_number, what="a whole number", toml=int)
SWITCH = Kind(parse=_parse_switch, show=lambda value: str(value).lower(), what="true or false", toml=bool)
MUSL = Kind(parse=_parse_musl, show=lambda value: ".".join(map(str, value)), what="a string")
FLOOR = Kind(parse=_parse_floor, what="a string")
PATHS = many_of(PATH)
PYTHONS = many_of(Kind(parse=parse_python, show=lambda value: ".".join(map(str, value)), what=""), needed=True)
ARCHS = many_of(Kind(parse=Arch.parse, what=""), needed=True)
ENGINES = many_of(one_of("cross", "container"), needed=True)
NAMES = many_of(Kind(parse=_parse_name, what=""))
PACKAGES = many_of(Kind(parse=_parse_plain_name, what=""))
DURATION = Kind(parse=parse_duration, show=show_duration, what="a time such as '3 days'")
LIMIT = Kind(parse=_parse_limit, show=show_duration, what="a time such as '6 hours'")
REQUIREMENTS = many_of(Kind(parse=_parse_requirement, what="", separator=None))


def declare(
    kind: Kind, text: str, *flags: str, metavar: str | None = None, key: str | None = None, in_file: bool = True
) -> dict[str, object]:
    """What a field of a settings class says about itself, as its metadata."""
    return {"kind": kind, "help": text, "flags": flags, "metavar": metavar, "key": key, "in_file": in_file}
