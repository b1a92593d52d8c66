"""What build backends need beyond `[build-system] requires`, known without running them (`dynamic.toml`). Pure but for
reading the source.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from wheelhouse_builder.project.build_system import read_pyproject, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from wheelhouse_builder.project.build_system import BuildSystem

_WORD = re.compile(rb"\w+")


@dataclass(frozen=True, kw_only=True)
class _Known:
    """One entry of `dynamic.toml`; the file explains the fields."""

    backends: tuple[str, ...]
    requires: tuple[str, ...]
    gives: tuple[str, ...]
    limits: Mapping[str, tuple[str, ...]]
    unless: re.Pattern[bytes] | None


@dataclass(frozen=True, kw_only=True)
class Dynamic:
    """What is known of a source's dynamic build requirements."""

    requires: tuple[str, ...] = ()
    asked: bool = False  # whether its backend has to be asked for more


def dynamic_requirements(tree: Path, system: BuildSystem) -> Dynamic:
    """What is known for a source. A backend that lies in the source itself is asked in any case.

    Raises `JobError` for a pyproject.toml that cannot be read.
    """
    known = next((known for known in _known() if _matches(known, system)), None)
    if known is None:
        return Dynamic(asked=True)
    content = read_pyproject(tree)
    limits = {name: _limit(content, keys) for name, keys in known.limits.items()}
    return Dynamic(
        requires=tuple(f"{name}{limits.get(name, '')}" for name in known.gives),
        asked=bool(system.backend_path) or (known.unless is not None and _found(known.unless, tree)),
    )


def _matches(known: _Known, system: BuildSystem) -> bool:
    return system.backend.partition(":")[0] in known.backends or not system.required_names.isdisjoint(known.requires)


def _limit(content: Mapping[str, object], keys: tuple[str, ...]) -> str:
    """The limit in a table; none where it is something else, such as the name of a file that holds it."""
    text = table_of(content, *keys[:-1]).get(keys[-1])
    try:
        return str(SpecifierSet(text)) if isinstance(text, str) else ""
    except InvalidSpecifier:
        return ""


def _found(pattern: re.Pattern[bytes], tree: Path) -> bool:
    """Whether it is in setup.cfg, setup.py, or a module of the source that setup.py may import, going by its words."""
    setup = tree / "setup.py"
    words = set(_WORD.findall(setup.read_bytes())) if setup.is_file() else set()
    modules = (path for path in tree.rglob("*.py") if words and _module_name(path).encode() in words)
    files = (path for path in (setup, tree / "setup.cfg", *modules) if path.is_file() and not path.is_symlink())
    return any(pattern.search(path.read_bytes()) for path in files)


def _module_name(path: Path) -> str:
    return path.parent.name if path.stem == "__init__" else path.stem


@cache
def _known() -> tuple[_Known, ...]:
    text = (resources.files(__package__) / "dynamic.toml").read_text(encoding="utf-8")
    tables: list[dict[str, Any]] = tomllib.loads(text)["backend"]
    return tuple(
        _Known(
            backends=tuple(table.get("backends", ())),
            requires=tuple(table.get("requires", ())),
            gives=tuple(table.get("gives", ())),
            limits={name: tuple(keys) for name, keys in table.get("limits", {}).items()},
            unless=re.compile(table["unless"].encode()) if "unless" in table else None,
        )
        for table in tables
    )
