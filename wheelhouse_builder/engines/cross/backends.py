"""Profiles: what each build backend needs beyond the generic environment, as data (`backends.toml`)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wheelhouse_builder.project.build_system import BuildSystem


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One entry of `backends.toml`."""

    name: str
    backends: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    rust: bool = False
    meson: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def matches(self, system: BuildSystem) -> bool:
        """Whether this profile is the one for a build system. A profile without conditions matches all."""
        if not self.backends and not self.requires:
            return True
        return system.backend.partition(":")[0] in self.backends or not system.required_names.isdisjoint(self.requires)


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
            meson=table.get("meson", False),
            environment=table.get("environment", {}),
        )
        for table in tables
    )


def profiles_text() -> str:
    """The text of `backends.toml`: part of the build key."""
    return (resources.files(__package__) / "backends.toml").read_text(encoding="utf-8")
