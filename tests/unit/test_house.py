"""The house of the design: which room stands above which, and what every room keeps to."""

from __future__ import annotations

import ast
import graphlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import wheelhouse_builder

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "wheelhouse_builder"
ROOT = Path(wheelhouse_builder.__file__).parent
STOREYS = (
    {"__main__"},
    {"cli", "backend"},
    {"wrapper", "refresh"},
    {"run", "reporting", "explain", "server", "remote"},
    {"report"},
    {"admission"},
    {"tasks"},
    {"fixing"},
    {"pipeline", "verification", "doctor", "conformance", "client_config", "scaffold"},
    {"schedule"},
    {"engines", "plan", "settings_sources"},
    {"wheelhouse", "history", "resolve", "diagnose", "project"},
    {"sources", "repair", "verify", "index", "builds", "cached", "recipes", "settings", "stub"},
    {"requirements", "elf", "interrupts", "locking", "oci"},
    {"process", "files", "job_log", "target"},
    {
        "artifact",
        "events",
        "errors",
        "metadata",
        "module_command",
        "redact",
        "strategy",
        "template",
        "toml",
        "zstd",
        "__init__",
    },
)
MODULES = {
    ".".join((PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


@cache
def imports_of(module: str) -> frozenset[str]:
    """All that a module imports, also in a function or for its types only: they too are knowledge of another room."""
    return frozenset(_imports(module, ast.parse(MODULES[module].read_text(encoding="utf-8"))))


def _imports(module: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def own_imports(module: str) -> set[str]:
    return {name for name in imports_of(module) if name in MODULES}


def room_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def storey_of(module: str) -> int:
    return next(number for number, rooms in enumerate(STOREYS) if room_of(module) in rooms)


def test_every_room_has_its_storey() -> None:
    placed = [room for rooms in STOREYS for room in rooms]
    assert sorted(placed) == sorted({room_of(module) for module in MODULES})


def test_nothing_imports_upward() -> None:
    upward = {
        f"{module} imports {name}"
        for module in MODULES
        for name in own_imports(module)
        if room_of(name) != room_of(module) and storey_of(name) <= storey_of(module)
    }
    assert upward == set()


def test_no_two_modules_import_each_other() -> None:
    graphlib.TopologicalSorter({module: own_imports(module) for module in MODULES}).prepare()


def test_subprocesses_are_started_in_one_place() -> None:
    """By `process.run`; what runs inside a container, or in a stub, cannot import it."""
    found = {module for module in MODULES if "subprocess" in imports_of(module)}
    inside = {f"{PACKAGE}.engines.container.take_wheel", f"{PACKAGE}.verify.inside"}
    assert found == {f"{PACKAGE}.process", f"{PACKAGE}.stub.stub_backend", *inside}
