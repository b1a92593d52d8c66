"""What a front end asks for: the project in the current directory, settings, what is for the wrapped backend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.project.build_system import WRAPPER, read_build_system
from wheelhouse_builder.project.key import Inputs, normalised, read_inputs
from wheelhouse_builder.settings_sources import load_settings
from wheelhouse_builder.wrapper.own import own_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wheelhouse_builder.project.build_system import BuildSystem
    from wheelhouse_builder.project.identity import Identity
    from wheelhouse_builder.project.key import ConfigSettings
    from wheelhouse_builder.settings import Settings
    from wheelhouse_builder.target import Target

PREFIX = "whb."  # of our own among the config settings


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of a hook."""

    root: Path  # the source tree, absolute
    system: BuildSystem
    settings: Settings
    config_settings: ConfigSettings  # for the wrapped backend: as given, without ours

    @cached_property
    def identity(self) -> Identity:
        """Who the project is, as far as its files say so."""
        from wheelhouse_builder.project.identity import read_identity  # noqa: PLC0415 - only where something is looked up

        return read_identity(self.root)

    @cached_property
    def inputs(self) -> Inputs | None:
        """What the project key is made of; None if the files do not say it. Raises `UsageError`."""
        from wheelhouse_builder.verify.symbols import DEFAULT_FLOOR  # noqa: PLC0415 - only where something is looked up

        inputs = _inputs_of(self.root, self.system, self.settings.musl_floor or DEFAULT_FLOOR)
        return inputs and replace(inputs, config_settings=normalised(self.config_settings))

    @property
    def is_sdist(self) -> bool:
        """Whether the tree is an sdist, unpacked by the front end for this build."""
        return (self.root / "PKG-INFO").is_file()

    @property
    def foreign_target(self) -> Target | None:
        """The target that is asked for, if that is not what this interpreter is."""
        wanted = self.settings.backend.target
        return None if wanted == own_target() else wanted


def read_request(config_settings: ConfigSettings, root: Path | None = None) -> Request:
    """The request for the project in `root`, by default the current directory, as PEP 517 has it.

    Raises `UsageError`, `JobError` (a pyproject.toml that is not valid).
    """
    tree = (root or Path()).absolute()
    system = read_build_system(tree)
    if not system.wrapped:  # a backend of the project that hands our hooks on would be asked by them, and so on
        raise UsageError(
            f"[build-system] of {tree / 'pyproject.toml'} names {system.backend}, not {WRAPPER}",
            hint=f'write build-backend = "{WRAPPER}" there, and the other backend under [tool.whb]',
        )
    own, others = split_config_settings(config_settings)
    settings = load_settings(config_settings=own, config_file=tree / "pyproject.toml")
    return Request(root=tree, system=system, settings=settings, config_settings=others)


def split_config_settings(config_settings: ConfigSettings) -> tuple[Mapping[str, object], ConfigSettings]:
    """Our own settings without their prefix, and the rest as it was given: None stays None, {} stays {}."""
    if not config_settings:
        return {}, config_settings
    own = {name.removeprefix(PREFIX): value for name, value in config_settings.items() if name.startswith(PREFIX)}
    return own, {name: value for name, value in config_settings.items() if not name.startswith(PREFIX)}


@cache  # the digest of the tree: once in a process
def _inputs_of(root: Path, system: BuildSystem, musl_floor: str) -> Inputs | None:
    return read_inputs(root, system, config_settings=None, musl_floor=musl_floor)
