"""The wrapped backend: imported into this process, and called with what the front end gave.

Not in a process of its own: the front end has made one for this call, with the environment that the backend needs.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.errors import MachineError, UsageError
from wheelhouse_builder.wrapper.telling import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.project.build_system import BuildSystem


@dataclass(frozen=True, kw_only=True)
class Wrapped:
    """The wrapped backend of the project in `root`."""

    root: Path
    name: str  # as [tool.whb] has it
    backend: Any

    def has(self, hook: str) -> bool:
        """Whether it has a hook."""
        return hasattr(self.backend, hook)

    @property
    def unsupported_operation(self) -> type[Exception] | None:
        """What it raises where it makes no sdists (PEP 517)."""
        exception: type[Exception] | None = getattr(self.backend, "UnsupportedOperation", None)
        return exception

    def call(self, hook: str, *arguments: object) -> Any:
        """Call a hook, once no other build of this tree runs: most backends write into it.

        Raises what it raises, and `UsageError` where it is not there.
        """
        function: Callable[..., Any] | None = getattr(self.backend, hook, None)
        if function is None:
            hint = "it names a module, or an object as module:object, such as setuptools.build_meta"
            raise UsageError(f"[tool.whb] build-backend {self.name} has no hook {hook}", hint=hint)
        with _in_turn(self.root):
            return function(*arguments)


def load_wrapped(root: Path, system: BuildSystem) -> Wrapped:
    """Import the backend that `[tool.whb]` names. Raises `MachineError` or `UsageError`, or what its import raises."""
    name, _, attributes = system.backend.partition(":")
    folders = [str(root / folder) for folder in system.backend_path]
    sys.path[:0] = folders
    backend: Any = _import(name, folders)
    if folders and not _comes_from(backend, folders):
        raise UsageError(
            f"[tool.whb] build-backend {name} is not in backend-path: it came from {getattr(backend, '__file__', None)}"
        )
    for attribute in filter(None, attributes.split(".")):
        try:
            backend = getattr(backend, attribute)
        except AttributeError as error:
            raise UsageError(f"[tool.whb] build-backend {system.backend!r}: {error}") from None
    return Wrapped(root=root, name=system.backend, backend=backend)


def _import(name: str, folders: list[str]) -> Any:
    writes = sys.dont_write_bytecode
    sys.dont_write_bytecode = writes or bool(folders)  # no __pycache__ in the source tree
    try:
        return importlib.import_module(name)
    except ImportError as error:
        hint = "is it in [tool.whb] backend-path?" if folders else "is it in [build-system] requires?"
        raise MachineError(f"the wrapped backend {name} cannot be imported: {error}", hint=hint) from None
    finally:
        sys.dont_write_bytecode = writes


def _comes_from(module: Any, folders: list[str]) -> bool:
    """PEP 517: the backend code must come from one of the folders of backend-path."""
    file = getattr(module, "__file__", None)
    return file is not None and any(Path(file).resolve().is_relative_to(Path(folder).resolve()) for folder in folders)


@contextmanager
def _in_turn(root: Path) -> Iterator[None]:
    """Hold the lock of the tree: on the folder itself, so nothing is written, and a process that dies frees it."""
    handle = None
    try:
        with suppress(OSError):  # a folder that may not be read, a file system that locks none: then as without us
            handle = os.open(root, os.O_RDONLY)
            _lock(handle, root)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _lock(handle: int, root: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell(f"waiting for another build of {root}")
        fcntl.flock(handle, fcntl.LOCK_EX)
