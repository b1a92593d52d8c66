"""A project that our wrapper builds, for tests in this process: its backend lies in the tree and notes its calls."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from packaging.tags import sys_tags
from packaging.utils import canonicalize_name

from tests.wheels import ANY, make_wheel
from wheelhouse_builder.index.model import File
from wheelhouse_builder.index.model import Project as IndexProject
from wheelhouse_builder.index.render_json import project_page
from wheelhouse_builder.project.build_system import read_build_system
from wheelhouse_builder.project.key import read_inputs
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.verify.symbols import DEFAULT_FLOOR
from wheelhouse_builder.wrapper import hooks, own, request, stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pytest

TARGET = Target((3, 12), Arch.AARCH64)
MODULE = "noting_backend"
STATIC = 'name = "demo"\nversion = "1.0"'
REQUIRED_HOOKS = """\
from pathlib import Path
from tests.wheels import make_wheel
CALLS = []
def build_wheel(*arguments):
    CALLS.append(("build_wheel", *arguments))
    return make_wheel(Path(arguments[0]), files={"built.py": b""}).name
def build_sdist(*arguments):
    CALLS.append(("build_sdist", *arguments))
    return "demo-1.0.tar.gz"
"""
REQUIRES_HOOK = """\
def get_requires_for_build_wheel(*arguments):
    CALLS.append(("get_requires_for_build_wheel", *arguments))
    return ["more"]
"""
METADATA_HOOK = """\
def prepare_metadata_for_build_wheel(*arguments):
    CALLS.append(("prepare_metadata_for_build_wheel", *arguments))
    return "demo-1.0.dist-info"
"""
EDITABLE_HOOKS = """\
def build_editable(*arguments):
    CALLS.append(("build_editable", *arguments))
    return "demo-1.0-0.editable-py3-none-any.whl"
def prepare_metadata_for_build_editable(*arguments):
    CALLS.append(("prepare_metadata_for_build_editable", *arguments))
    return "demo-1.0.dist-info"
def get_requires_for_build_editable(*arguments):
    CALLS.append(("get_requires_for_build_editable", *arguments))
    return ["even-more"]
"""
ALL_HOOKS = REQUIRED_HOOKS + REQUIRES_HOOK + METADATA_HOOK + EDITABLE_HOOKS


@dataclass(frozen=True, kw_only=True)
class Project:
    """The tree of a project that is the current directory, and a wheelhouse beside it."""

    root: Path
    house: Path

    def write(
        self, backend: str = ALL_HOOKS, *, project: str = 'name = "demo"\nversion = "1.0"', **whb: object
    ) -> None:
        """Write the tree: `backend` is the source of the wrapped one, `whb` are keys of [tool.whb]."""
        keys = {"build-backend": MODULE, "backend-path": ["tools"], "wheelhouse": str(self.house)} | {
            key.replace("_", "-"): value for key, value in whb.items()
        }
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items() if value is not None)
        system = 'requires = ["wheelhouse-builder"]\nbuild-backend = "wheelhouse_builder.backend"'
        (self.root / "tools").mkdir(exist_ok=True)
        (self.root / f"tools/{MODULE}.py").write_text(backend)
        (self.root / "demo.py").write_text("ANSWER = 42\n")
        text = f"[build-system]\n{system}\n[tool.whb]\n{lines}[project]\n{project}\n"
        (self.root / "pyproject.toml").write_text(text)

    def key(self, target: Target = TARGET, config_settings: Mapping[str, object] | None = None) -> str:
        """The project key of the tree as it is."""
        system = read_build_system(self.root)
        inputs = read_inputs(self.root, system, config_settings=config_settings, musl_floor=DEFAULT_FLOOR)
        assert inputs is not None
        return inputs.key(target)

    def store(
        self,
        *,
        tag: str = ANY,
        name: str = "demo",
        version: str = "1.0",
        target: Target = TARGET,
        config_settings: Mapping[str, object] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Path:
        """Put a wheel of the tree as it is into the wheelhouse, and onto its page, alone."""
        folder = self.page.parent
        folder.mkdir(parents=True, exist_ok=True)
        wheel = make_wheel(self.house, name=name, version=version, tag=tag, files=files)
        file = File(
            filename=wheel.name,
            url=f"../../{wheel.name}",
            sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
            size=wheel.stat().st_size,
            project_keys=((self.key(target, config_settings), str(target)),),
        )
        self.page.write_text(project_page(IndexProject(name=canonicalize_name("demo"), files=(file,))))
        return wheel

    @property
    def page(self) -> Path:
        """The project's JSON page in the wheelhouse."""
        return self.house / "simple/demo/index.v1_json"

    def edit_page(self, **changes: object) -> None:
        """Change the first file that the page names."""
        document = json.loads(self.page.read_text())
        document["files"][0].update(changes)
        self.page.write_text(json.dumps(document))

    @property
    def calls(self) -> list[tuple[object, ...]]:
        """What the wrapped backend was asked in this process; empty also where it was not imported."""
        calls: list[tuple[object, ...]] = getattr(sys.modules.get(MODULE), "CALLS", [])
        return calls


def make_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose folder is the current directory, in what is as good as a new process."""
    root = tmp_path / "tree"
    root.mkdir()
    for name in [name for name in os.environ if name.startswith("WHB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(root)
    new_process()
    return Project(root=root, house=tmp_path / "house")


def new_process() -> None:
    """Forget what a process keeps: front ends call each hook in one of its own."""
    sys.modules.pop(MODULE, None)
    hooks._loaded.clear()
    for kept in (own.own_tags, own.own_target, request._inputs_of, stored._answer, stored._folder, stored._index):
        kept.cache_clear()


def run_on(monkeypatch: pytest.MonkeyPatch, target: Target | None, *, compiler: bool = False) -> None:
    """Make this interpreter as good as that of a musl target (None: as it is), with a compiler or without."""
    tags: Iterable[Any] = list(sys_tags()) if target is None else target.tags
    monkeypatch.setattr(own, "sys_tags", lambda: tags)
    version = sys.version_info[:2] if target is None else target.python
    monkeypatch.setattr(own, "sys", SimpleNamespace(version_info=version))
    for module in (hooks, own):
        monkeypatch.setattr(module, "has_compiler", lambda: compiler)
    new_process()
