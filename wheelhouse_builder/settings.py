"""The settings: one typed object. `settings_sources.load_settings` makes it.

Each option is declared once, as a field of a dataclass: its key in the file, its `WHB_*` variable and its command-line
flags come from there, and so do the test of the documentation and `--show-settings`. Every value knows its origin.
"""

from __future__ import annotations

import os
import sys
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.target import NEWEST_PYTHON, OLDEST_PYTHON, Arch, Target, parse_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

DEFAULT = "default"


# What a value may be


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a value is read. Every source ends in `parse`, which takes one item as text and raises `UsageError`."""

    parse: Callable[[str], object]
    show: Callable[[Any], str] = str  # the inverse of `parse`
    what: str  # for messages: "a string"
    toml: type = str  # the TOML type of one item
    many: bool = False
    separator: str | None = ","  # between items in a variable (None: white space); a comma also on the command line
    is_path: bool = False  # relative to the file that names it
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting: what it is called in the file, in the environment and on the command line."""

    field: str  # the attribute
    key: str  # in the file
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


def did_you_mean(text: str, known: Iterable[str]) -> str | None:
    """`did you mean pythons?`, or None if nothing known is near."""
    close = get_close_matches(text, list(known), n=1)
    return f"did you mean {close[0]}?" if close else None


def _one_of(*choices: str) -> Kind:
    def parse(text: str) -> str:
        if text not in choices:
            raise UsageError(f"{text!r} is none of {', '.join(choices)}", hint=did_you_mean(text, choices))
        return text

    return Kind(parse=parse, what="a string", choices=choices)


def _parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(f"{text!r} is not a whole number above zero")
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


def _many(kind: Kind) -> Kind:
    return Kind(
        parse=kind.parse, show=kind.show, what="a list of strings", many=True, is_path=kind.is_path,
        separator=os.pathsep if kind.is_path else kind.separator,
    )  # fmt: skip


TEXT = Kind(parse=str, what="a string")
PATH = Kind(parse=parse_path, what="a string", is_path=True)
COUNT = Kind(parse=_parse_count, what="a whole number", toml=int)
SWITCH = Kind(parse=_parse_switch, show=lambda value: str(value).lower(), what="true or false", toml=bool)
MUSL = Kind(parse=_parse_musl, show=lambda value: ".".join(map(str, value)), what="a string")
FLOOR = Kind(parse=_parse_floor, what="a string")
PATHS = _many(PATH)
PYTHONS = _many(Kind(parse=parse_python, show=lambda value: ".".join(map(str, value)), what=""))
ARCHS = _many(Kind(parse=Arch.parse, what=""))
NAMES = _many(Kind(parse=_parse_name, what=""))
REQUIREMENTS = _many(Kind(parse=_parse_requirement, what="", separator=None))


# The settings themselves


def _option(
    kind: Kind, text: str, *flags: str, metavar: str | None = None, key: str | None = None, in_file: bool = True
) -> dict[str, object]:
    return {"kind": kind, "help": text, "flags": flags, "metavar": metavar, "key": key, "in_file": in_file}


def _here() -> tuple[tuple[int, int], ...]:
    running = sys.version_info[:2]
    return (running if OLDEST_PYTHON <= running <= NEWEST_PYTHON else (3, 12),)


def default_cache() -> Path:
    """The user's cache folder for whb (XDG base directory specification)."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "whb"


@dataclass(frozen=True, kw_only=True)
class VerifySettings:
    """`[verify]`: where wheels are installed and imported. `{python}` and `{arch}` stand for 3.12 and amd64."""

    engine: str = field(
        default="auto",
        metadata=_option(_one_of("auto", "docker", "podman", "chroot", "off"), "what runs Alpine for the import check"),
    )
    image: str = field(default="python:{python}-alpine", metadata=_option(TEXT, "the image that docker or podman runs"))
    rootfs: Path | None = field(
        default=None, metadata=_option(PATH, "an unpacked Alpine with Python, for chroot where no container engine is")
    )


@dataclass(frozen=True, kw_only=True)
class CrossSettings:
    """`[cross]`: the embedded engine. `target-trees` maps a target's name to an installed musl Python of it."""

    target_trees: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run shall do. All paths are absolute."""

    requirements: tuple[Path, ...] = field(
        default=(), metadata=_option(PATHS, "requirements files", metavar="REQUIREMENTS.txt")
    )
    packages: tuple[str, ...] = field(
        default=(),
        metadata=_option(
            REQUIREMENTS,
            "a package, with a version if wanted, or a path or URL",
            "-P",
            "--package",
            metavar="PACKAGE",
            in_file=False,
        ),
    )
    constraints: tuple[Path, ...] = field(
        default=(), metadata=_option(PATHS, "a constraints file", "-c", "--constraint", metavar="FILE")
    )
    pythons: tuple[tuple[int, int], ...] = field(
        default_factory=_here,
        metadata=_option(
            PYTHONS, "a Python to build for, such as 3.12 (default: the running one)", "--python", metavar="X.Y"
        ),
    )
    archs: tuple[Arch, ...] = field(
        default=(Arch.X86_64, Arch.AARCH64),
        metadata=_option(
            ARCHS, "an architecture to build for: amd64 or arm64 (default: both)", "--arch", metavar="ARCH"
        ),
    )
    musl: tuple[int, int] = field(
        default=(1, 2), metadata=_option(MUSL, "the series of musl that wheels are tagged for", metavar="X.Y")
    )
    musl_floor: str | None = field(
        default=None,
        metadata=_option(FLOOR, "the oldest musl release that wheels must load on (default: 1.2.3)"),
    )
    wheelhouse: Path = field(
        default_factory=lambda: Path("wheelhouse").absolute(),
        metadata=_option(PATH, "the folder to publish to (default: wheelhouse)", "-w", "--wheelhouse", metavar="DIR"),
    )
    cache: Path = field(
        default_factory=default_cache,
        metadata=_option(PATH, "downloads, toolchains, built libraries", "--cache-dir", metavar="DIR", key="cache-dir"),
    )
    engine: str = field(
        default="cross",
        metadata=_option(_one_of("cross", "container"), "what builds wheels (default: cross)", "--engine"),
    )
    no_binary: tuple[str, ...] = field(
        default=(),
        metadata=_option(NAMES, "build these from source, though a wheel exists", "--no-binary", metavar="NAME|:all:"),
    )
    only_binary: tuple[str, ...] = field(
        default=(), metadata=_option(NAMES, "never build these", "--only-binary", metavar="NAME|:all:")
    )
    jobs: int = field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        metadata=_option(
            COUNT, "how many things to do at once (default: the number of CPUs)", "-j", "--jobs", metavar="N"
        ),
    )
    offline: bool = field(default=False, metadata=_option(SWITCH, "use only what is in the cache", "--offline"))
    upgrade: bool = field(
        default=False,
        metadata=_option(SWITCH, "resolve again, even if the lock of an earlier run fits", "-U", "--upgrade"),
    )
    verify: VerifySettings = VerifySettings()
    cross: CrossSettings = CrossSettings()
    package_tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # [packages.NAME], as written
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)  # by name of the option

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every wanted Python on every wanted architecture, in a stable order."""
        return tuple(sorted({Target(python, arch, self.musl) for python, arch in product(self.pythons, self.archs)}))

    def origin(self, option: Option) -> str:
        """Where the value came from: `default`, a file, a variable or a flag."""
        return self.origins.get(option.name, DEFAULT)


TABLES: dict[str, type] = {"": Settings, "verify": VerifySettings}


def _declared() -> Iterator[Option]:
    for table, owner in TABLES.items():
        for item in fields(owner):
            if "kind" in item.metadata:
                yield _declare(table, item)


def _declare(table: str, item: Field[Any]) -> Option:
    declared = dict(item.metadata)
    key = declared.pop("key") or item.name.replace("_", "-")
    return Option(field=item.name, key=key, table=table, **declared)


OPTIONS: Mapping[str, Option] = {option.name: option for option in _declared()}  # by name, in the order of the fields


# Showing them


def value_of(settings: Settings, option: Option) -> object:
    """The value of one option."""
    return getattr(getattr(settings, option.table) if option.table else settings, option.field)


def settings_data(settings: Settings) -> dict[str, object]:
    """Every option by name: its value as a file would have it, and where it came from."""
    return {
        "settings": {
            option.name: {
                "value": _as_written(option.kind, value_of(settings, option)),
                "origin": settings.origin(option),
            }
            for option in OPTIONS.values()
        },
        "target-trees": {name: str(tree) for name, tree in settings.cross.target_trees.items()},
        "packages": dict(settings.package_tables),
    }


def show_settings(settings: Settings) -> str:
    """The settings as TOML, each with where it came from as a comment."""
    from wheelhouse_builder.toml import toml_value  # noqa: PLC0415 - rarely needed

    lines: list[str] = []
    for option in OPTIONS.values():
        value = _as_written(option.kind, value_of(settings, option))
        shown = f"{option.name} is not set" if value is None else f"{option.name} = {toml_value(value)}"
        shown = shown if option.in_file and value is not None else f"# {shown}"
        lines.append(f"{shown}  # {settings.origin(option)}")
    lines += [
        f'cross.target-trees."{name}" = {toml_value(str(tree))}' for name, tree in settings.cross.target_trees.items()
    ]
    lines += [f"# [packages.{name}] from the settings file" for name in settings.package_tables]
    return "\n".join(lines)


def _as_written(kind: Kind, value: Any) -> object:
    """The value as a file would have it."""
    if kind.many:
        return [kind.show(item) for item in value]
    return kind.show(value) if value is not None and kind.toml is str else value
