"""The environment that one build runs in: a virtual environment with the build requirements, and chosen variables.

Build requirements are installed *without* the target's variables, since they run on the host; hooks run *with* them,
in a sandbox, and with a home and a temporary folder of their own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import uv

from wheelhouse_builder.engines.cross.sandbox import Sandbox, sandbox
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.process import Canceller, base_environment, network_environment, run
from wheelhouse_builder.resolve.uv import is_unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


# What a build could write down, or sort by, of the machine that it runs on.
_SAME_EVERYWHERE = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "dumb", "USER": "whb", "LOGNAME": "whb"}

_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - what programs write to by these very names


@dataclass(kw_only=True)
class BuildEnvironment:
    """A virtual environment for one build."""

    path: Path  # of the virtual environment
    scratch: Path
    cache: Path  # whb's
    log: Path
    canceller: Canceller
    variables: Mapping[str, str]  # for the hooks
    indexes: Mapping[str, str]  # the variables that tell uv where packages are
    writable: tuple[Path, ...]  # the folders that hooks may write to, apart from the machine's temporary ones
    offline: bool = False
    network: bool = False  # whether hooks may use the network
    _sandbox: Sandbox = field(default_factory=sandbox)

    @classmethod
    def create(cls, python: Path, *, machine: str | None, **rest: object) -> BuildEnvironment:
        """Make the virtual environment. `machine`: what `os.uname()` shall answer in hooks (None: the truth)."""
        environment = cls(**rest)  # type: ignore[arg-type]  # the fields, by name
        environment._uv("venv", "--quiet", "--no-project", "--python", str(python), str(environment.path))
        if machine is not None:
            environment._answer_for_target(machine)
        return environment

    @property
    def python_executable(self) -> str:
        """The environment's interpreter."""
        return str(self.path / "bin/python")

    def install(self, lock: str) -> None:
        """Install build requirements, given as requirement lines with hashes."""
        if not lock.strip():
            return
        file = self.scratch / "build-requirements.txt"
        file.write_text(lock, encoding="utf-8")
        options = ["--offline"] if self.offline else []
        python = ["--python", self.python_executable]
        self._uv("pip", "install", "--quiet", *options, *python, "--require-hashes", "--no-deps", "-r", str(file))

    def runner(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        """Run a hook (the signature is `pyproject_hooks.SubprocessRunner`'s): logged, cancellable, in the sandbox."""
        env = {**self._environ(), **(extra_environ or {})}
        folder = Path(cwd) if cwd else None
        what = "the build backend"
        # What is read-only here, in a container say, cannot be made writable in the sandbox.
        writable = [place for place in (*map(Path, _TEMPORARY), *self.writable) if os.access(place, os.W_OK)]
        held = self._sandbox.around(cmd, writable, network=self.network)
        run(held, env=env, cwd=folder, log=self.log, canceller=self.canceller, what=what)

    def _environ(self) -> dict[str, str]:
        """What hooks see, and all of it: of the environment of whoever runs whb, PATH and the way to the network."""
        home, temporary = self.scratch / "home", self.scratch / "tmp"
        for folder in (home, temporary):
            folder.mkdir(exist_ok=True)
        path = f"{self.path / 'bin'}{os.pathsep}{self.variables['PATH']}"
        own = {"PATH": path, "HOME": str(home), "TMPDIR": str(temporary)}
        return {**_SAME_EVERYWHERE, **(network_environment() if self.network else {}), **self.variables, **own}

    def _answer_for_target(self, machine: str) -> None:
        (site,) = self.path.glob("lib/python3*/site-packages")
        module = resources.files(__package__) / "target_machine.py"
        (site / "_whb_target_machine.py").write_bytes(module.read_bytes())
        (site / "_whb_target_machine.pth").write_text("import _whb_target_machine\n", encoding="utf-8")
        self.variables = {**self.variables, "WHB_TARGET_MACHINE": machine}

    def _uv(self, *arguments: str) -> None:
        own = {"UV_CACHE_DIR": str(self.cache / "uv"), "UV_PYTHON_DOWNLOADS": "never"}
        environment = base_environment({**self.indexes, **own})
        try:
            run([uv.find_uv_bin(), *arguments], env=environment, log=self.log, canceller=self.canceller, what="uv")
        except JobError as error:
            raise JobError(
                f"the build requirements cannot be installed ({error.message})",
                log=error.log,
                tail=error.tail,
                kind="network" if is_unreachable(error.tail) else error.kind,
            ) from error
