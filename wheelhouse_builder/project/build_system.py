"""The build system of a source tree: what builds it, and what that needs.

A project that names our build-backend wrapper says in `[tool.whb]` of its pyproject.toml which backend is the real one.
Whoever builds it for a target takes that, so neither the wrapper nor this distribution has to be where it builds.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from wheelhouse_builder import stub
from wheelhouse_builder.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WRAPPER = "wheelhouse_builder.backend"

# The name that a requirement begins with, from there to what may follow it (dependency specifiers).
# `packaging.requirements` would tell too, and costs every hook of the wrapper 15 ms.
_REQUIRED_NAME = re.compile(r"\s*([A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?)\s*(?:[\[(@;<>=!~].*)?", re.IGNORECASE | re.DOTALL)
_OURS = "wheelhouse-builder"

# PEP 517: what a tree without [build-system] is built with
_LEGACY_BACKEND = "setuptools.build_meta:__legacy__"
_LEGACY_REQUIRES = ("setuptools >= 40.8.0",)

_BACKEND = re.compile(r"\w+(\.\w+)*(:\w+(\.\w+)*)?")  # PEP 517's build-backend: `mod` or `mod:obj`

_REPORT = "report it to the package's authors"
_EXAMPLE = 'write build-backend = "setuptools.build_meta" (or what builds the project) under [tool.whb]'


@dataclass(frozen=True, kw_only=True)
class BuildSystem:
    """The `[build-system]` table of a source tree (PEP 518), with its defaults; of a wrapped project, the real one."""

    backend: str  # "setuptools.build_meta", "mod:obj"
    requires: tuple[str, ...]  # as written; of a wrapped project without wheelhouse-builder
    backend_path: tuple[str, ...] = ()  # relative to the tree
    wrapped: bool = False  # whether [build-system] names our wrapper
    key_exclude: tuple[str, ...] = ()  # patterns of what does not count for the project key

    @property
    def required_names(self) -> frozenset[str]:
        """The normalised names of the requirements. Raises `JobError` for what begins with none."""
        return frozenset(map(_required_name, self.requires))


def read_build_system(tree: Path) -> BuildSystem:
    """The build system of a source tree. Raises `JobError` if its tables are not valid, or for a stub (`whb stub`)."""
    content = read_pyproject(tree)
    table = content.get("build-system")
    if table is None:
        return BuildSystem(backend=_LEGACY_BACKEND, requires=_LEGACY_REQUIRES)
    match table:
        case {"requires": [*requires], **rest} if all(isinstance(item, str) for item in requires):
            backend = rest.get("build-backend", _LEGACY_BACKEND)
        case _:
            raise JobError("[build-system] of pyproject.toml has no list of strings called requires", hint=_REPORT)
    if not isinstance(backend, str):
        raise JobError("build-backend in pyproject.toml is not a string", hint=_REPORT)
    if backend == stub.BACKEND and (tree / stub.FACTS).is_file():
        raise JobError(
            "this is a stub of a wheelhouse, which holds no source: it hands out the wheels that are there",
            hint="resolve from an index that has the source, or use that wheelhouse as it is",
        )
    system = BuildSystem(backend=backend, requires=tuple(requires))
    if backend == WRAPPER:
        return _unwrapped(tree, system, table_of(content, "tool", "whb"))
    _ = system.required_names
    return replace(system, backend_path=_backend_path(tree, table_of(content, "build-system"), "[build-system]"))


def read_pyproject(tree: Path) -> Mapping[str, object]:
    """The pyproject.toml of a tree, empty if there is none. Raises `JobError` if it is unreadable or no TOML."""
    try:
        return tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise JobError(f"cannot read {tree / 'pyproject.toml'}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also of an integer that is too long
        raise JobError(f"pyproject.toml is not valid TOML: {error}", hint=_REPORT) from error


def table_of(content: object, *keys: str) -> Mapping[str, object]:
    """The table under these keys, empty where there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def _unwrapped(tree: Path, system: BuildSystem, table: Mapping[str, object]) -> BuildSystem:
    backend = table.get("build-backend")
    if backend is None:
        raise JobError(f"{WRAPPER} has no backend to wrap: [tool.whb] has no build-backend", hint=_EXAMPLE)
    if not isinstance(backend, str) or not _BACKEND.fullmatch(backend):
        raise JobError(f"[tool.whb] build-backend is no name of a backend: {backend!r}", hint=_EXAMPLE)
    if backend.partition(":")[0] == WRAPPER:
        raise JobError(f"[tool.whb] build-backend is {WRAPPER} itself, which would wrap itself", hint=_EXAMPLE)
    needed = tuple(text for text in system.requires if _required_name(text) != _OURS)
    return BuildSystem(
        backend=backend,
        requires=needed,
        backend_path=_backend_path(tree, table, "[tool.whb]"),
        wrapped=True,
        key_exclude=_strings(table, "key-exclude", "[tool.whb]"),
    )


def _required_name(text: str) -> str:
    found = _REQUIRED_NAME.fullmatch(text)
    if found is None:
        raise JobError(f"[build-system] requires holds no valid requirement: {text!r}", hint=_REPORT)
    return canonicalize_name(found[1])


def _backend_path(tree: Path, table: Mapping[str, object], where: str) -> tuple[str, ...]:
    """As PEP 517 has it: relative, and inside the tree after links are followed."""
    folders = _strings(table, "backend-path", where)
    for folder in folders:
        if "\0" in folder or os.path.isabs(folder) or not _is_inside(tree, tree / folder):  # noqa: PTH117
            raise JobError(f"{where} backend-path leads out of the project: {folder!r}", hint=_REPORT)
    return folders


def _is_inside(tree: Path, place: Path) -> bool:
    try:
        return place.resolve().is_relative_to(tree.resolve())
    except (OSError, RuntimeError):  # a link that leads round
        return False


def _strings(table: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise JobError(f"{where} {key} is not a list of strings: {value!r}", hint=_REPORT)
    return tuple(value)
