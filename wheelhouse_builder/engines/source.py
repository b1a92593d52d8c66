"""What every engine asks of an unpacked source before it builds it, and of the raw wheel afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from wheelhouse_builder.artifact import SourceTree
from wheelhouse_builder.engines.cross.backends import profile_for
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.project.build_system import read_build_system

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from packaging.tags import Tag

    from wheelhouse_builder.artifact import Source
    from wheelhouse_builder.project.build_system import BuildSystem
    from wheelhouse_builder.target import Target


def build_system_of(tree: Path) -> BuildSystem:
    """How a source is built. Raises `JobError` for what is no buildable source."""
    if not any((tree / name).is_file() for name in ("pyproject.toml", "setup.py")):
        raise JobError("not a buildable source: it has no pyproject.toml and no setup.py", everywhere=True)
    return read_build_system(tree)


def wants_rust(tree: Path, system: BuildSystem) -> bool:
    """Whether a build runs cargo."""
    return profile_for(system).rust or (tree / "Cargo.toml").is_file()


def given_settings(source: Source) -> Mapping[str, str | Sequence[str]]:
    """The config settings that a front end gave, as front ends hand them on: a repeated one is a list."""
    given = source.config_settings if isinstance(source, SourceTree) else ()
    return {name: list(values) if len(values) > 1 else values[0] for name, values in given}


def tags_of(filename: str) -> frozenset[Tag]:
    """The tags of a raw wheel. Raises `JobError` for what is not the name of a wheel: a backend may choose any."""
    try:
        return parse_wheel_filename(filename)[-1]
    except InvalidWheelFilename as error:
        raise JobError(f"the build backend made {filename!r}, which is not the name of a wheel: {error}") from error


def check_tag(filename: str, target: Target) -> None:
    """Refuse a raw wheel that the backend made for something else than the target. Raises `JobError`."""
    tags = tags_of(filename)
    allowed = (target.linux_tag, "any", *target.platform_tags)
    wrong = sorted({str(tag) for tag in tags if tag.platform not in allowed})
    if wrong:
        raise JobError(
            f"the build backend made {filename}, which is not for {target}",
            hint="it takes the platform from somewhere else than sysconfig; a recipe may help (docs: write a recipe)",
        )
