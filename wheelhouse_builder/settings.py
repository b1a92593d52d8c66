"""The settings: one typed object out of defaults, a file, the environment and the command line, in rising order.

Each option is declared once, as a field of a dataclass: its key in the file, its `WHB_*` variable and its command-line
flags come from there, and so do the documentation test and `--show-settings`. Every value knows where it came from.
Nothing is guessed: an unknown key, a wrong type and a value that does not parse are errors, and all are told at once.
"""

from __future__ import annotations

import os
import sys
import tomllib
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
_NO_TABLES: Mapping[str, Mapping[str, object]] = {}
_UNREAD_TABLES = frozenset({"container", "refresh", "serve"})  # DESIGN.md names them; nothing interprets them yet


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


def _one_of(*choices: str) -> Kind:
    def parse(text: str) -> str:
        if text not in choices:
            raise UsageError(f"{text!r} is none of {', '.join(choices)}", hint=_did_you_mean(text, choices))
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


def _parse_path(text: str) -> Path:
    if not text or "\0" in text:
        raise UsageError(f"{text!r} is not a path")
    return Path(text).expanduser()


def _parse_musl(text: str) -> tuple[int, int]:
    if text != "1.2":
        raise UsageError(f"unknown musl {text!r}", hint="use 1.2: the series of every Alpine since 3.13")
    return (1, 2)


def _parse_floor(text: str) -> str:
    parts = text.split(".")
    if parts[:2] != ["1", "2"] or len(parts) != 3 or not (parts[2].isascii() and parts[2].isdigit()):
        raise UsageError(f"unknown musl release {text!r}", hint="write it as 1.2.5")
    return text


def _parse_requirement(text: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - costs 10 ms, rarely needed

    try:
        Requirement(text)
    except InvalidRequirement as error:
        raise UsageError(f"{text!r} is not a requirement: {str(error).splitlines()[0]}") from None
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
PATH = Kind(parse=_parse_path, what="a string", is_path=True)
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
            REQUIREMENTS, "a package, with a version if wanted", "-P", "--package", metavar="PACKAGE", in_file=False
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


_TABLES: dict[str, type] = {"": Settings, "verify": VerifySettings}


def _declared() -> Iterator[Option]:
    for table, owner in _TABLES.items():
        for item in fields(owner):
            if "kind" in item.metadata:
                yield _declare(table, item)


def _declare(table: str, item: Field[Any]) -> Option:
    declared = dict(item.metadata)
    key = declared.pop("key") or item.name.replace("_", "-")
    return Option(field=item.name, key=key, table=table, **declared)


OPTIONS: Mapping[str, Option] = {option.name: option for option in _declared()}  # by name, in the order of the fields


# Where values come from

_Values = dict[str, tuple[object, str]]  # option name → value, origin


def load_settings(
    command_line: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    config_file: Path | None = None,
) -> Settings:
    """Settings from all sources.

    `command_line` maps names of options to what argparse left: a string, a list of strings, a truth value or None (not
    given). `config_file` is read instead of `whb.toml` or `pyproject.toml` in `folder` (default: the current one).
    Requirements and packages of one source hide those of a lower one: `-P cffi` builds cffi and nothing else.
    Raises `UsageError`, with every problem of every source in one message.
    """
    problems: list[str] = []
    file = config_file or _find_file(folder or Path())
    from_file, trees, packages = _read_file(file, problems) if file else ({}, {}, _NO_TABLES)
    layers = [
        from_file,
        _read_environment(os.environ if environ is None else environ, problems),
        _read_command_line(command_line or {}, problems),
    ]
    values: _Values = {}
    for layer in layers:
        if "requirements" in layer or "packages" in layer:
            values.pop("requirements", None)
            values.pop("packages", None)
        values |= layer
    if both := set(_value(values, "no-binary")) & set(_value(values, "only-binary")) - {":none:"}:
        problems.append(f"no-binary and only-binary both name {', '.join(sorted(both))}")
    if problems:
        count = "" if len(problems) == 1 else f"{len(problems)} problems in the settings:\n"
        raise UsageError(count + "\n".join(problems))
    return _assemble(values, trees, packages)


def _value(values: _Values, name: str) -> Iterable[str]:
    return values[name][0] if name in values else ()  # type: ignore[return-value]  # both are lists of names


def _assemble(values: _Values, trees: Mapping[str, Path], packages: Mapping[str, Mapping[str, object]]) -> Settings:
    found: dict[str, dict[str, Any]] = {table: {} for table in _TABLES}
    for name, (value, _) in values.items():
        option = OPTIONS[name]
        found[option.table][option.field] = value
    return Settings(
        **found[""],
        verify=VerifySettings(**found["verify"]),
        cross=CrossSettings(target_trees=trees),
        package_tables=packages,
        origins={name: origin for name, (_, origin) in values.items()},
    )


def _find_file(folder: Path) -> Path | None:
    own, project = folder / "whb.toml", folder / "pyproject.toml"
    if own.exists():
        return own
    return project if project.exists() else None


def _read_file(
    file: Path, problems: list[str]
) -> tuple[_Values, Mapping[str, Path], Mapping[str, Mapping[str, object]]]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", hint="--config-file names the settings file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: {error}") from None
    if file.name == "pyproject.toml":
        tool = content.get("tool", {})
        content = tool.get("whb", {}) if isinstance(tool, dict) else {}
    values: _Values = {}
    for table in _TABLES:
        _read_table(file, table, _subtable(content, table, file, problems), values, problems)
    cross = _subtable(content, "cross", file, problems)
    problems += [_unknown(file, f"cross.{key}", ["cross.target-trees"]) for key in cross if key != "target-trees"]
    trees = _read_trees(file, _subtable(cross, "target-trees", file, problems, "cross."), problems)
    return values, trees, _read_packages(file, _subtable(content, "packages", file, problems), problems)


def _subtable(
    content: Mapping[str, object], name: str, file: Path, problems: list[str], above: str = ""
) -> Mapping[str, object]:
    value = content.get(name, {}) if name else content
    if isinstance(value, dict):
        return value
    problems.append(f"{file}: {above}{name} must be a table")
    return {}


def _read_table(file: Path, table: str, content: Mapping[str, object], values: _Values, problems: list[str]) -> None:
    known = {option.key: option for option in OPTIONS.values() if option.table == table and option.in_file}
    tables = set() if table else {*_TABLES, "cross", "packages", *_UNREAD_TABLES}
    for key, value in content.items():
        if key in tables:
            continue
        if (option := known.get(key)) is None:
            problems.append(_unknown(file, f"{table}.{key}" if table else key, [*OPTIONS, "cross"]))
            continue
        items = value if option.kind.many and isinstance(value, list) else [value]
        if any(type(item) is not option.kind.toml for item in items) or (option.kind.many and items is not value):
            problems.append(f"{file}: {option.name} must be {option.kind.what}, not {value!r}")
            continue
        _store(option, [str(item) for item in items], str(file), values, problems, folder=file.parent)


def _read_environment(environ: Mapping[str, str], problems: list[str]) -> _Values:
    values: _Values = {}
    for option in OPTIONS.values():
        if text := environ.get(option.variable, "").strip():
            items = text.split(option.kind.separator) if option.kind.many else [text]
            _store(option, [item.strip() for item in items if item.strip()], option.variable, values, problems)
    return values


def _read_command_line(given: Mapping[str, object], problems: list[str]) -> _Values:
    values: _Values = {}
    for name, value in given.items():
        option = OPTIONS[name]
        if value is None or value == []:
            continue
        items = [str(item) for item in value] if isinstance(value, list) else [str(value)]
        if option.kind.many and option.kind.separator == ",":
            items = [part.strip() for item in items for part in item.split(",")]
        _store(option, items, option.flag, values, problems)
    return values


def _store(
    option: Option, items: list[str], origin: str, values: _Values, problems: list[str], *, folder: Path | None = None
) -> None:
    """Parse the items of one option; a problem names the source and the option."""
    place = origin if folder is None else f"{origin}: {option.name}"
    parsed: list[object] = []
    for item in items:
        try:
            value = option.kind.parse(item)
        except UsageError as error:
            problems.append(f"{place}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
            continue
        parsed.append((folder or Path()).joinpath(value).absolute() if isinstance(value, Path) else value)
    if len(parsed) == len(items):
        values[option.name] = (_without_repeats(parsed) if option.kind.many else parsed[0], origin)


def _without_repeats(items: list[object]) -> tuple[object, ...]:
    """In order of first mention. `:none:` takes back what was said before it, as pip has it."""
    if ":none:" in items:
        items = items[len(items) - items[::-1].index(":none:") :]
    return tuple(dict.fromkeys(items))


def _read_trees(file: Path, content: Mapping[str, object], problems: list[str]) -> dict[str, Path]:
    trees: dict[str, Path] = {}
    for name, value in content.items():
        try:
            Target.parse(name)
        except UsageError as error:
            problems.append(f"{file}: cross.target-trees: {error.message} ({error.hint})")
            continue
        if isinstance(value, str) and value:
            trees[name] = file.parent.joinpath(_parse_path(value)).absolute()
        else:
            problems.append(f"{file}: cross.target-trees.{name} must be a path, not {value!r}")
    return trees


def _read_packages(
    file: Path, content: Mapping[str, object], problems: list[str]
) -> Mapping[str, Mapping[str, object]]:
    """`[packages.NAME]` tables under normalised names; what is in them is the recipes' business."""
    tables: dict[str, Mapping[str, object]] = {}
    for name, value in content.items():
        normal = canonicalize_name(name)
        if not isinstance(value, dict):
            problems.append(f"{file}: packages.{name} must be a table")
        elif normal in tables:
            problems.append(f"{file}: packages.{name}: {normal} is there twice")
        else:
            tables[normal] = value
    return tables


def _unknown(file: Path, name: str, known: Iterable[str]) -> str:
    suggestion = _did_you_mean(name, known)
    return f"{file}: unknown setting {name!r}" + (f" ({suggestion})" if suggestion else "")


def _did_you_mean(text: str, known: Iterable[str]) -> str | None:
    close = get_close_matches(text, list(known), n=1)
    return f"did you mean {close[0]}?" if close else None


# Showing them


def value_of(settings: Settings, option: Option) -> object:
    """The value of one option."""
    return getattr(getattr(settings, option.table) if option.table else settings, option.field)


def settings_data(settings: Settings) -> dict[str, object]:
    """Every option by name: its value as a file would have it, and where it came from."""
    shown: dict[str, object] = {}
    for option in OPTIONS.values():
        value: Any = value_of(settings, option)
        if option.kind.many:
            value = [option.kind.show(item) for item in value]
        elif value is not None and option.kind.toml is str:
            value = option.kind.show(value)
        shown[option.name] = {"value": value, "origin": settings.origin(option)}
    return {
        "settings": shown,
        "target-trees": {name: str(tree) for name, tree in settings.cross.target_trees.items()},
        "packages": dict(settings.package_tables),
    }


def show_settings(settings: Settings) -> str:
    """The settings as TOML, each with where it came from as a comment."""
    lines: list[str] = []
    for option in OPTIONS.values():
        value = value_of(settings, option)
        shown = f"{option.name} is not set" if value is None else f"{option.name} = {_as_toml(option.kind, value)}"
        shown = shown if option.in_file and value is not None else f"# {shown}"
        lines.append(f"{shown}  # {settings.origin(option)}")
    lines += [
        f'cross.target-trees."{name}" = {_quoted(str(tree))}' for name, tree in settings.cross.target_trees.items()
    ]
    lines += [f"# [packages.{name}] from the settings file" for name in settings.package_tables]
    return "\n".join(lines)


def _as_toml(kind: Kind, value: Any) -> str:
    shown = [kind.show(item) for item in value] if kind.many else [kind.show(value)]
    if kind.toml is str:
        shown = [_quoted(text) for text in shown]
    return f"[{', '.join(shown)}]" if kind.many else shown[0]


def _quoted(text: str) -> str:
    from json import dumps  # noqa: PLC0415 - a TOML basic string is written as a JSON string

    return dumps(text, ensure_ascii=False)
