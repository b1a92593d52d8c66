"""The settings: one typed object. `settings_sources.load_settings` makes it.

Each option is declared once, as a field of a dataclass: its key in the file, its `WHB_*` variable and its command-line
flags come from there, and so do the test of the documentation and `--show-settings`. Every value knows its origin.
"""

from __future__ import annotations

import os
import sys
from dataclasses import Field, dataclass, field, fields
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.redact import redact
from wheelhouse_builder.settings.backend import WHEELHOUSE, BackendSettings
from wheelhouse_builder.settings.container import ContainerSettings
from wheelhouse_builder.settings.kinds import (
    ARCHS,
    COUNT,
    DURATION,
    ENGINES,
    FLOOR,
    LIMIT,
    MUSL,
    NAMES,
    PACKAGES,
    PATH,
    PATHS,
    PYTHONS,
    REQUIREMENTS,
    SWITCH,
    TEXT,
    Option,
    declare,
    one_of,
)
from wheelhouse_builder.settings.refresh import RefreshSettings
from wheelhouse_builder.settings.serve import ServeSettings
from wheelhouse_builder.target import NEWEST_PYTHON, OLDEST_PYTHON, Arch, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT = "default"


def _here() -> tuple[tuple[int, int], ...]:
    running = sys.version_info[:2]
    return (running if OLDEST_PYTHON <= running <= NEWEST_PYTHON else (3, 12),)


def default_cache() -> Path:
    """The user's cache folder for whb (XDG base directory specification)."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else _home() / ".cache") / "whb"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # HOME is not set, and the user has no entry in the password file; not all need the cache
        return Path("/nonexistent")  # as Debian names the home of who has none


@dataclass(frozen=True, kw_only=True)
class VerifySettings:
    """`[verify]`: where wheels are installed and imported. `{python}` and `{arch}` stand for 3.12 and amd64."""

    engine: str = field(
        default="auto",
        metadata=declare(one_of("auto", "docker", "podman", "chroot", "off"), "what runs Alpine for the import check"),
    )
    image: str = field(default="python:{python}-alpine", metadata=declare(TEXT, "the image that docker or podman runs"))
    rootfs: Path | None = field(
        default=None, metadata=declare(PATH, "an unpacked Alpine with Python, for chroot where no container engine is")
    )


@dataclass(frozen=True, kw_only=True)
class CrossSettings:
    """`[cross]`: the embedded engine. `target-trees` maps a target's name to an installed musl Python of it."""

    target_trees: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run shall do. All paths are absolute."""

    requirements: tuple[Path, ...] = field(
        default=(), metadata=declare(PATHS, "requirements files, or folders of projects", metavar="REQUIREMENTS.txt")
    )
    packages: tuple[str, ...] = field(
        default=(),
        metadata=declare(
            REQUIREMENTS,
            "a package, with a version if wanted, or a path or URL",
            "-P",
            "--package",
            metavar="PACKAGE",
            in_file=False,
        ),
    )
    constraints: tuple[Path, ...] = field(
        default=(), metadata=declare(PATHS, "a constraints file", "-c", "--constraint", metavar="FILE")
    )
    pythons: tuple[tuple[int, int], ...] = field(
        default_factory=_here,
        metadata=declare(
            PYTHONS, "a Python to build for, such as 3.12 (default: the running one)", "--python", metavar="X.Y"
        ),
    )
    archs: tuple[Arch, ...] = field(
        default=(Arch.X86_64, Arch.AARCH64),
        metadata=declare(
            ARCHS, "an architecture to build for: amd64 or arm64 (default: both)", "--arch", metavar="ARCH"
        ),
    )
    musl: tuple[int, int] = field(
        default=(1, 2), metadata=declare(MUSL, "the series of musl that wheels are tagged for", metavar="X.Y")
    )
    musl_floor: str | None = field(
        default=None,
        metadata=declare(FLOOR, "the oldest musl release that wheels must load on (default: 1.2.3)"),
    )
    wheelhouse: Path = field(
        default_factory=lambda: Path("wheelhouse").absolute(),
        metadata=declare(
            WHEELHOUSE, "the wheelhouse, a folder (default: wheelhouse)", "-w", "--wheelhouse", metavar="DIR"
        ),
    )
    cache: Path = field(
        default_factory=default_cache,
        metadata=declare(PATH, "downloads, toolchains, built libraries", "--cache-dir", metavar="DIR", key="cache-dir"),
    )
    engines: tuple[str, ...] = field(
        default=("cross",),
        metadata=declare(
            ENGINES,
            "what builds wheels; of several the next where one fails (default: cross)",
            "--engine",
            key="engine",
        ),
    )
    no_binary: tuple[str, ...] = field(
        default=(),
        metadata=declare(NAMES, "build these from source, though a wheel exists", "--no-binary", metavar="NAME|:all:"),
    )
    only_binary: tuple[str, ...] = field(
        default=(), metadata=declare(NAMES, "never build these", "--only-binary", metavar="NAME|:all:")
    )
    jobs: int = field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        metadata=declare(
            COUNT, "how many things to do at once (default: the number of CPUs)", "-j", "--jobs", metavar="N"
        ),
    )
    job_timeout: timedelta = field(
        default=timedelta(hours=6),
        metadata=declare(LIMIT, "the longest that one build may take (default: 6 hours)"),
    )
    offline: bool = field(default=False, metadata=declare(SWITCH, "use only what is in the cache", "--offline"))
    upgrade: bool = field(
        default=False,
        metadata=declare(SWITCH, "resolve again, even if the lock of an earlier run fits", "-U", "--upgrade"),
    )
    min_age: timedelta = field(
        default=timedelta(),
        metadata=declare(
            DURATION,
            "leave out what was uploaded to the index more recently, such as 3 days (default: 0 days)",
            "--min-age",
            metavar="TIME",
        ),
    )
    hold: tuple[str, ...] = field(
        default=(), metadata=declare(PACKAGES, "a package that stays at the version of the wheelhouse's lock")
    )
    backend: BackendSettings = field(default_factory=BackendSettings)
    verify: VerifySettings = VerifySettings()
    serve: ServeSettings = field(default_factory=ServeSettings)
    cross: CrossSettings = CrossSettings()
    container: ContainerSettings = field(default_factory=ContainerSettings)
    refresh: RefreshSettings = field(default_factory=RefreshSettings)
    package_constraints: Mapping[str, str] = field(default_factory=dict)  # [constraints]: by name, as `<2`
    package_tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # [packages.NAME], as written
    file: Path | None = field(default=None, compare=False)  # the settings file that was read
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)  # by name of the option

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every wanted Python on every wanted architecture, in a stable order."""
        return tuple(sorted({Target(python, arch, self.musl) for python, arch in product(self.pythons, self.archs)}))

    def origin(self, option: Option) -> str:
        """Where the value came from: `default`, a file, a variable or a flag."""
        return self.origins.get(option.name, DEFAULT)


# By the attribute of `Settings` that holds them ("": itself): the table of the file that they stand in, their class.
PARTS: dict[str, tuple[str, type]] = {
    "": ("", Settings),
    "backend": ("", BackendSettings),
    "verify": ("verify", VerifySettings),
    "serve": ("serve", ServeSettings),
    "container": ("container", ContainerSettings),
    "refresh": ("refresh", RefreshSettings),
}
TABLES = tuple(dict.fromkeys(table for table, _ in PARTS.values()))


def _declared() -> Iterator[Option]:
    for part, (table, owner) in PARTS.items():
        for item in fields(owner):
            if "kind" in item.metadata:
                yield _declare(part, table, item)


def _declare(part: str, table: str, item: Field[Any]) -> Option:
    declared = dict(item.metadata)
    key = declared.pop("key") or item.name.replace("_", "-")
    return Option(field=item.name, key=key, part=part, table=table, **declared)


OPTIONS: Mapping[str, Option] = {option.name: option for option in _declared()}  # by name, in the order of the fields


# Showing them


def value_of(settings: Settings, option: Option) -> object:
    """The value of one option."""
    return getattr(getattr(settings, option.part) if option.part else settings, option.field)


def settings_data(settings: Settings) -> dict[str, object]:
    """Every option by name: its value as a file would have it, and where it came from."""
    return {
        "settings": {
            option.name: {
                "value": _as_written(settings, option),
                "origin": settings.origin(option),
            }
            for option in OPTIONS.values()
        },
        "target-trees": {name: str(tree) for name, tree in settings.cross.target_trees.items()},
        "constraints": dict(settings.package_constraints),
        "packages": dict(settings.package_tables),
    }


def show_settings(settings: Settings) -> str:
    """The settings as TOML, each with where it came from as a comment."""
    from wheelhouse_builder.toml import toml_value  # noqa: PLC0415 - rarely needed

    lines: list[str] = []
    for option in OPTIONS.values():
        value = _as_written(settings, option)
        shown = f"{option.name} is not set" if value is None else f"{option.name} = {toml_value(value)}"
        stands = (
            option.in_file and value is not None and not (option.name == "constraints" and settings.package_constraints)
        )
        shown = shown if stands else f"# {shown}"
        lines.append(f"{shown}  # {settings.origin(option)}")
    lines += [
        f'cross.target-trees."{name}" = {toml_value(str(tree))}' for name, tree in settings.cross.target_trees.items()
    ]
    lines += [f"constraints.{name} = {toml_value(value)}" for name, value in settings.package_constraints.items()]
    lines += [f"# [packages.{name}] from the settings file" for name in settings.package_tables]
    return "\n".join(lines)


def _as_written(settings: Settings, option: Option) -> object:
    """The value as a file would have it."""
    kind, value = option.kind, value_of(settings, option)
    if option.name == "wheelhouse" and settings.backend.index:
        return redact(settings.backend.index)
    if kind.by_key:
        assert isinstance(value, dict)
        return dict(kind.show(item).split("=", 1) for item in value.items())
    if kind.many:
        assert isinstance(value, tuple)
        return [kind.show(item) for item in value]
    return kind.show(value) if value is not None and kind.toml is str else value
