"""Profiles: what each build backend needs beyond the generic environment, as data (`backends.toml`)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from wheelhouse_builder.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# PEP 517: what a tree without [build-system] is built with
_LEGACY_BACKEND = "setuptools.build_meta:__legacy__"
_LEGACY_REQUIRES = ("setuptools >= 40.8.0",)

_REPORT = "report it to the package's authors"


@dataclass(frozen=True, kw_only=True)
class BuildSystem:
    """The `[build-system]` table of a source tree (PEP 518), with its defaults."""

    backend: str
    requires: tuple[str, ...]

    @property
    def required_names(self) -> frozenset[str]:
        """The normalised names of the requirements."""
        return frozenset(canonicalize_name(Requirement(text).name) for text in self.requires)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One entry of `backends.toml`."""

    name: str
    backends: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    rust: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def matches(self, system: BuildSystem) -> bool:
        """Whether this profile is the one for a build system. A profile without conditions matches all."""
        if not self.backends and not self.requires:
            return True
        return system.backend.partition(":")[0] in self.backends or not system.required_names.isdisjoint(self.requires)


def read_build_system(tree: Path) -> BuildSystem:
    """The build system of a source tree. Raises `JobError` if its table is not valid."""
    try:
        table = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8")).get("build-system")
    except FileNotFoundError:
        table = None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise JobError(f"pyproject.toml is not valid TOML: {error}", hint=_REPORT) from error
    if table is None:
        return BuildSystem(backend=_LEGACY_BACKEND, requires=_LEGACY_REQUIRES)
    match table:
        case {"requires": [*requires], **rest} if all(isinstance(item, str) for item in requires):
            backend = rest.get("build-backend", _LEGACY_BACKEND)
        case _:
            raise JobError("[build-system] of pyproject.toml has no list of strings called requires", hint=_REPORT)
    if not isinstance(backend, str):
        raise JobError("build-backend in pyproject.toml is not a string", hint=_REPORT)
    system = BuildSystem(backend=backend, requires=tuple(requires))
    try:
        _ = system.required_names
    except InvalidRequirement as error:
        raise JobError(f"[build-system] requires holds no valid requirement: {error}", hint=_REPORT) from error
    return system


def profile_for(system: BuildSystem) -> Profile:
    """The profile of a build system: the first in `backends.toml` that matches."""
    return next(profile for profile in profiles() if profile.matches(system))


@cache
def profiles() -> tuple[Profile, ...]:
    """All profiles, in the order of the file."""
    text = (resources.files(__package__) / "backends.toml").read_text(encoding="utf-8")
    tables: list[dict[str, Any]] = tomllib.loads(text)["profile"]
    return tuple(
        Profile(
            name=table["name"],
            backends=tuple(table.get("backends", ())),
            requires=tuple(table.get("requires", ())),
            rust=table.get("rust", False),
            environment=table.get("environment", {}),
        )
        for table in tables
    )


def profiles_text() -> str:
    """The text of `backends.toml`: part of the build key."""
    return (resources.files(__package__) / "backends.toml").read_text(encoding="utf-8")
