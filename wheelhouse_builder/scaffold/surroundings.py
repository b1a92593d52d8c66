"""What the files of `whb init` are made from: the settings, what lies in the folder, who runs whb and how."""

from __future__ import annotations

import os
import pwd
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet

import wheelhouse_builder
from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.target import NEWEST_PYTHON, OLDEST_PYTHON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wheelhouse_builder.settings import Settings
    from wheelhouse_builder.target import Arch

_PATTERNS = ("requirements*.txt", "requirements/*.txt")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """All paths of the project are relative to `folder` where they lie in it, and absolute elsewhere."""

    folder: Path
    requirements: tuple[str, ...]  # files; "." for the project in the folder
    others: tuple[str, ...]  # requirements files that are there, too
    pythons: tuple[tuple[int, int], ...]
    archs: tuple[Arch, ...]
    wheelhouse: str
    report: str  # the folder of the reports
    user: str
    command: tuple[str, ...]  # what starts whb
    path: str  # where programs are found: Pythons to build with, Rust, docker
    version: str  # of whb
    settings_file: str | None  # that has settings of whb already


def look_around(settings: Settings, folder: Path) -> Surroundings:
    """See what is there; what the settings say counts more.

    Raises `UsageError` for a pyproject.toml that is none, and for names that would be lines of their own in a file.
    """
    project = _project(folder / "pyproject.toml")
    requirements, others = _requirements(settings, folder, project)
    for path in (folder, settings.wheelhouse, settings.refresh.report, *requirements, *others):
        if not str(path).isprintable():
            raise UsageError(f"{str(path)!r} has characters that cannot be printed", hint="give it another name")
    return Surroundings(
        folder=folder,
        requirements=requirements,
        others=others,
        pythons=settings.pythons if "pythons" in settings.origins else (_python(settings, project),),
        archs=settings.archs,
        wheelhouse=_from(folder, settings.wheelhouse),
        report=_from(folder, settings.refresh.report),
        user=_user(),
        command=_command(),
        path=_path(os.environ.get("PATH", os.defpath)),
        version=wheelhouse_builder.__version__,
        settings_file=_settings_file(folder, project),
    )


def _project(file: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: {error}") from None


def _requirements(
    settings: Settings, folder: Path, project: Mapping[str, object]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those to build for, and what else is there: files for tests or documentation are seldom meant for images."""
    there = sorted(str(file.relative_to(folder)) for pattern in _PATTERNS for file in folder.glob(pattern))
    if settings.requirements:
        chosen = tuple(_from(folder, path) for path in settings.requirements)
    elif "requirements.txt" in there:
        chosen = ("requirements.txt",)
    else:
        chosen = (*there,) or ((".",) if "project" in project else ())
    return chosen, tuple(name for name in there if name not in chosen)


def _python(settings: Settings, project: Mapping[str, object]) -> tuple[int, int]:
    """The running Python if the project takes it, else the newest that it takes."""
    (default,) = settings.pythons
    table = project.get("project")
    try:
        wanted = SpecifierSet(str(table.get("requires-python", "")) if isinstance(table, dict) else "")
    except InvalidSpecifier:
        return default
    major = NEWEST_PYTHON[0]
    known = [default, *((major, minor) for minor in range(NEWEST_PYTHON[1], OLDEST_PYTHON[1] - 1, -1))]
    return next((python for python in known if wanted.contains("{}.{}.99".format(*python))), default)


def _from(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _user() -> str:
    """The name of who runs this, or the number: in a container there may be no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _command() -> tuple[str, ...]:
    """What starts this whb from anywhere."""
    script = Path(sys.executable).with_name("whb")
    return (str(script),) if script.exists() else (sys.executable, "-m", "wheelhouse_builder")


def _path(given: str) -> str:
    """The folders of PATH that mean the same from anywhere."""
    return ":".join(dict.fromkeys(name for name in given.split(":") if Path(name).is_absolute()))


def _settings_file(folder: Path, project: Mapping[str, object]) -> str | None:
    if (folder / "whb.toml").exists():
        return "whb.toml"
    tool = project.get("tool")
    return "pyproject.toml" if isinstance(tool, dict) and "whb" in tool else None
