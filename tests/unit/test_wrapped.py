"""The wrapped backend: where it comes from, and whose turn it is."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.errors import MachineError, UsageError
from wheelhouse_builder.project.build_system import BuildSystem
from wheelhouse_builder.wrapper.wrapped import Wrapped, load_wrapped

if TYPE_CHECKING:
    from pathlib import Path

MODULE = "wrapped_for_tests"
SOURCE = """\
class Hooks:
    def build_wheel(self, *given):
        return given
hooks = Hooks()
hooks.inner = hooks
"""


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.startswith(MODULE)]:
        monkeypatch.delitem(sys.modules, name)


def system(backend: str, *backend_path: str) -> BuildSystem:
    return BuildSystem(backend=backend, requires=(), backend_path=backend_path, wrapped=True)


def write(path: Path, text: str = SOURCE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("backend", [f"{MODULE}:hooks", f"{MODULE}:hooks.inner"])
def test_an_object_of_a_module(backend: str, tmp_path: Path) -> None:
    write(tmp_path / f"{MODULE}.py")
    wrapped = load_wrapped(tmp_path, system(backend, "."))
    assert wrapped.has("build_wheel")
    assert not wrapped.has("build_sdist")
    assert wrapped.call("build_wheel", "x", None) == ("x", None)


def test_backend_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "installed" / f"{MODULE}.py", "WHERE = 'installed'")
    write(tmp_path / "tree/tools" / f"{MODULE}.py", "WHERE = 'tree'")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    assert load_wrapped(tmp_path / "tree", system(MODULE, "tools")).backend.WHERE == "tree"


def test_a_package_of_backend_path(tmp_path: Path) -> None:
    write(tmp_path / MODULE / "__init__.py", "")
    write(tmp_path / MODULE / "api.py", "WHERE = 'here'")
    assert load_wrapped(tmp_path, system(f"{MODULE}.api", ".")).backend.WHERE == "here"


def test_the_backend_has_to_come_from_backend_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PEP 517."""
    write(tmp_path / "installed" / f"{MODULE}.py", "")
    (tmp_path / "tree/tools").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "installed")
    with pytest.raises(UsageError, match="is not in backend-path"):
        load_wrapped(tmp_path / "tree", system(MODULE, "tools"))


def test_the_import_writes_nothing_into_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    write(tmp_path / f"{MODULE}.py")
    load_wrapped(tmp_path, system(MODULE, "."))
    assert [path.name for path in tmp_path.iterdir()] == [f"{MODULE}.py"]
    assert not sys.dont_write_bytecode


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=f"{MODULE} cannot be imported: No module named") as raised:
        load_wrapped(tmp_path, system(MODULE))
    assert raised.value.hint == "is it in [build-system] requires?"
    with pytest.raises(MachineError) as raised:
        load_wrapped(tmp_path, system(MODULE, "."))
    assert raised.value.hint == "is it in [tool.whb] backend-path?"


def test_a_module_that_lacks_another(tmp_path: Path) -> None:
    write(tmp_path / f"{MODULE}.py", "import not_installed.anywhere")
    with pytest.raises(MachineError, match="No module named 'not_installed'"):
        load_wrapped(tmp_path, system(MODULE, "."))


def test_a_fault_in_the_module_is_shown_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / f"{MODULE}.py", "1 / 0")
    with pytest.raises(ZeroDivisionError):
        load_wrapped(tmp_path, system(MODULE, "."))


def test_an_object_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path / f"{MODULE}.py")
    with pytest.raises(UsageError, match="has no attribute 'nothing'"):
        load_wrapped(tmp_path, system(f"{MODULE}:nothing", "."))


# Turns


class Hooks:
    """A backend that says when it was asked."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def build_wheel(self) -> str:
        self.asked.set()
        return "built"


def wrapped(root: Path, hooks: Hooks | None = None) -> Wrapped:
    return Wrapped(root=root, name=MODULE, backend=hooks or Hooks())


def test_a_build_waits_for_another_of_the_same_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As another process that holds the folder."""
    hooks = Hooks()
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    thread = threading.Thread(target=wrapped(tmp_path, hooks).call, args=("build_wheel",))
    thread.start()
    assert not hooks.asked.wait(0.2)
    os.close(other)
    thread.join(30)
    assert hooks.asked.is_set()
    assert capsys.readouterr().err == f"whb: waiting for another build of {tmp_path}\n"
    assert not list(tmp_path.iterdir())


def test_builds_of_other_trees_do_not_wait(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    other = os.open(tmp_path / "one", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    assert wrapped(tmp_path / "two").call("build_wheel") == "built"
    os.close(other)
    assert capsys.readouterr().err == ""


def test_where_folders_cannot_be_locked_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert wrapped(tmp_path).call("build_wheel") == "built"


def test_a_folder_that_may_not_be_read_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that may be searched alone builds without us, too."""

    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert wrapped(tmp_path).call("build_wheel") == "built"


def test_the_lock_is_given_back_by_a_build_that_fails(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(TypeError):
            wrapped(tmp_path).call("build_wheel", "too much")
    failing = wrapped(tmp_path)
    with pytest.raises(TypeError):
        failing.call("build_wheel", "too much")
    assert failing.call("build_wheel") == "built"
