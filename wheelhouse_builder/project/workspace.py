"""uv workspaces: in the place of a workspace's root, all the projects in it.

The rules are uv's (docs: concepts, projects, workspaces): `[tool.uv.workspace]` has globs `members` and `exclude`; the
root is a project too if it has `[project]`. One without a build system, or with `package = false`, is no package: only
what it depends on is wanted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from wheelhouse_builder.errors import JobError, UsageError
from wheelhouse_builder.project.build_system import read_pyproject, table_of
from wheelhouse_builder.requirements.model import Origin
from wheelhouse_builder.requirements.syntax import parse_requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from wheelhouse_builder.requirements.model import RequirementLine, RequirementSet

_PACKAGES_HINT = "members and exclude under [tool.uv.workspace] are lists of globs of folders with a pyproject.toml"


def with_members(requirements: RequirementSet) -> RequirementSet:
    """The requirements, each workspace's root that the command line names replaced by the projects of the workspace.

    Raises `UsageError` for a workspace that is not valid.
    """
    lines: list[RequirementLine] = []
    for line in requirements.lines:
        named_here = line.origin.file is None and line.requirement is None
        lines += _expanded(line, line.path) if named_here and line.path and line.path.is_dir() else [line]
    return replace(requirements, lines=tuple(lines))


def _expanded(line: RequirementLine, root: Path) -> Iterator[RequirementLine]:
    content = _read(root)
    workspace = table_of(content, "tool", "uv").get("workspace")
    if workspace is None:
        yield line
        return
    if not isinstance(workspace, dict):
        raise UsageError(f"{root}: tool.uv.workspace is not a table", hint=_PACKAGES_HINT)
    if "project" in content:
        yield from _wanted(line, root, content)
    for member in _members(root, workspace):
        text = member.resolve().as_uri()  # a path could hold what ends one in a line
        yield from _wanted(replace(line, text=text), member, _read(member))


def _members(root: Path, workspace: Mapping[str, object]) -> list[Path]:
    found, excluded = (_matching(root, workspace, key) for key in ("members", "exclude"))
    members = []
    for folder in sorted(found - excluded - {root.resolve()}):
        if (folder / "pyproject.toml").is_file():
            members.append(folder)
        elif not folder.name.startswith("."):
            raise UsageError(f"{folder} is a workspace member without a pyproject.toml", hint=_PACKAGES_HINT)
    return members


def _matching(root: Path, workspace: Mapping[str, object], key: str) -> set[Path]:
    patterns = workspace.get(key, [])
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise UsageError(f"{root}: tool.uv.workspace.{key} is not a list of strings", hint=_PACKAGES_HINT)
    try:
        found = [path for pattern in patterns for path in _matches(root, pattern)]
    except (ValueError, NotImplementedError, OSError) as error:  # empty, absolute, not readable
        raise UsageError(f"{root}: tool.uv.workspace.{key}: {error}", hint=_PACKAGES_HINT) from None
    return {path.resolve() for path in found if path.is_dir()}


def _matches(root: Path, pattern: str) -> Iterable[Path]:
    if pattern and not PurePath(pattern).parts:  # ".", which `glob` falls over
        return [root]
    return root.glob(pattern)


def _wanted(line: RequirementLine, folder: Path, content: Mapping[str, object]) -> Iterator[RequirementLine]:
    """The line of a project, or lines for what one depends on that is no package."""
    uv = table_of(content, "tool", "uv")
    if uv.get("managed") is False:  # uv leaves it out of the workspace
        return
    if uv.get("package", "build-system" in content):
        yield line
        return
    dependencies = table_of(content, "project").get("dependencies", [])
    sources = {canonicalize_name(name): source for name, source in table_of(uv, "sources").items()}
    for text in dependencies if isinstance(dependencies, list) else ():
        dependency = parse_requirement(str(text), _origin(folder, str(text)))
        source = sources.get(dependency.name) if dependency.name else None
        if source is not None and table_of({"source": source}, "source").get("workspace") is not True:
            raise UsageError(  # an index could have another project of that name
                f"{folder}: {dependency.name} comes from [tool.uv.sources], which is read of packages alone",
                hint="give the project a [build-system], or the source as a requirement: NAME @ URL",
            )
        yield dependency


def _origin(folder: Path, text: str) -> Origin:
    file = folder / "pyproject.toml"
    lines = file.read_text(encoding="utf-8").splitlines()
    return Origin(file=file, number=next((number for number, line in enumerate(lines, start=1) if text in line), 1))


def _read(folder: Path) -> Mapping[str, object]:
    try:
        return read_pyproject(folder)
    except JobError as error:
        raise UsageError(f"{folder}: {error.message}") from error
