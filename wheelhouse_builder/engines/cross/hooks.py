"""The hooks of a source's build backend (PEP 517), called in a build environment; every failure of theirs as one error.

The backend is the one that `read_build_system` names: of a project that wraps its backend in ours, the wrapped one.
"""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import JobError, WhbError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pyproject_hooks import BuildBackendHookCaller

    from wheelhouse_builder.engines.cross.environment import BuildEnvironment
    from wheelhouse_builder.project.build_system import BuildSystem


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Calls the hooks. All raise `JobError` when the backend fails, `Cancelled`."""

    system: BuildSystem
    environment: BuildEnvironment
    tree: Path
    log: Path

    def get_requires_for_build_wheel(self, config_settings: Mapping[str, str | Sequence[str]]) -> set[str]:
        """What the backend needs beyond `[build-system] requires`."""
        with self._calling():
            return set(self._caller().get_requires_for_build_wheel(config_settings))

    def build_wheel(self, folder: Path, config_settings: Mapping[str, str | Sequence[str]]) -> Path:
        """Have a wheel made in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        with self._calling():
            answer = os.fspath(self._caller().build_wheel(str(folder), config_settings))
        path = folder / os.path.basename(answer)  # noqa: PTH119 - the backend's answer must not lead elsewhere
        if not path.is_file():
            raise JobError(f"the build backend says that it made {path.name}, and did not", log=self.log)
        return path

    def _caller(self) -> BuildBackendHookCaller:
        from pyproject_hooks import BuildBackendHookCaller  # noqa: PLC0415 - of an extra

        return BuildBackendHookCaller(
            str(self.tree),
            self.system.backend,
            backend_path=self.system.backend_path,
            runner=self.environment.runner,
            python_executable=self.environment.python_executable,
        )

    @contextmanager
    def _calling(self) -> Iterator[None]:
        from pyproject_hooks import BackendUnavailable, BuildBackendWarning  # noqa: PLC0415

        # The backend's warnings are for the package's authors, and in the log: pyproject_hooks would repeat them here.
        warnings.filterwarnings("ignore", category=BuildBackendWarning)
        try:
            yield
        except WhbError:
            raise
        except BackendUnavailable as error:
            message = f"the build backend {self.system.backend!r} is not available"
            hint = "is what holds it among the requires of [build-system]?"
            raise JobError(message, hint=hint, log=self.log, tail=error.traceback) from error
        except Exception as error:  # whatever a backend answers, or leaves for an answer
            raise JobError(f"the build backend failed: {type(error).__name__}: {error}", log=self.log) from error
