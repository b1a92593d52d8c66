"""Does a source tree hold native code that its wheel must contain? Read from the project's files; nothing runs.

A native sdist that comes out as a pure wheel is a failure (a compiler was missing and the project shrugged), so the
answer must be yes only when it is sure. It takes two things together:

1. something that asks for a compiler: the build back end (maturin, meson-python, scikit-build-core …), a build
   requirement (setuptools-rust, cffi, Cython …) that the project's own settings use, or extension modules named in
   setup.py, setup.cfg or pyproject.toml;
2. sources for it, outside folders that hold tests, documentation, examples and the like.

C files alone (test fixtures, a documentation example) are not native, nor is a back end alone (meson-python and maturin
build pure projects too). What is optional by the project's own words (`optional=True`, a `BuildFailed` fall-back) still
counts: a build that has a compiler is expected to use it, and the caller has the last word.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SOURCE_SUFFIXES = frozenset({".c", ".cc", ".cpp", ".cxx", ".f", ".f90", ".pyx", ".rs", ".s", ".zig"})
_ASIDE = frozenset(
    {"test", "tests", "testing", "doc", "docs", "example", "examples", "bench", "benches", "benchmark", "benchmarks"}
    | {"fuzz", "tools", "ci", ".github"}
)
_NATIVE_BACKENDS = frozenset({"maturin", "mesonpy", "scikit_build_core", "py_build_cmake", "sipbuild"})
_NATIVE_REQUIREMENTS = frozenset({"setuptools-rust", "scikit-build"})
_EXTENSION_KEYWORDS = frozenset({"ext_modules", "cffi_modules", "rust_extensions", "cmake_source_dir"})
_EXTENSION_CLASSES = frozenset({"Extension", "RustExtension", "CMakeExtension", "Pybind11Extension", "cythonize"})
_MAX_FILES = 50_000


def native_sources(tree: Path) -> tuple[str, ...]:
    """The native sources of an unpacked sdist, relative to `tree` and sorted; empty if its wheel may be pure."""
    pyproject = _pyproject(tree)
    if not (_backend_compiles(pyproject) or _setuptools_compiles(tree, pyproject)):
        return ()
    return tuple(sorted(_sources(tree)))


def _pyproject(tree: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # missing or damaged: the build itself will say so
        return {}


def _backend_compiles(pyproject: dict[str, Any]) -> bool:
    tables = _table(pyproject, "build-system"), _table(pyproject, "tool", "whb")  # the latter: what our wrapper wraps
    backends = (str(table.get("build-backend", "")) for table in tables)
    return any(backend.partition(":")[0].partition(".")[0] in _NATIVE_BACKENDS for backend in backends)


def _setuptools_compiles(tree: Path, pyproject: dict[str, Any]) -> bool:
    requires = _table(pyproject, "build-system").get("requires")
    names = {_requirement_name(str(item)) for item in requires} if isinstance(requires, list) else set[str]()
    settings = _table(pyproject, "tool", "setuptools")
    return bool(
        names & _NATIVE_REQUIREMENTS
        or settings.keys() & {"ext-modules", "cffi-modules"}
        or _table(pyproject, "tool").keys() & {"setuptools-rust"}
        or _script_compiles(tree / "setup.py")
    )


def _script_compiles(script: Path) -> bool:
    """Whether setup.py names extension modules: a keyword, a key or a class that means one."""
    try:
        module = ast.parse(script.read_text(encoding="utf-8", errors="replace"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return False
    return any(_means_extension(node) for node in ast.walk(module))


def _means_extension(node: ast.AST) -> bool:
    match node:
        case ast.keyword(arg=str(name), value=value):
            return name in _EXTENSION_KEYWORDS and not _empty(value)
        case ast.Constant(value=str(name)):
            return name in _EXTENSION_KEYWORDS
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in _EXTENSION_CLASSES
    return False


def _empty(value: ast.expr) -> bool:
    match value:
        case ast.List(elts=[]) | ast.Tuple(elts=[]) | ast.Constant(value=None):
            return True
    return False


def _sources(tree: Path) -> Iterator[str]:
    for number, path in enumerate(tree.rglob("*")):
        if number >= _MAX_FILES:
            return
        relative = PurePosixPath(path.relative_to(tree).as_posix())
        aside = any(part.lower() in _ASIDE for part in relative.parts[:-1])
        if relative.suffix.lower() in _SOURCE_SUFFIXES and not aside and path.is_file():
            yield str(relative)


def _table(data: object, *keys: str) -> dict[str, Any]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _requirement_name(text: str) -> str:
    try:
        return canonicalize_name(Requirement(text).name)
    except InvalidRequirement:
        return ""
