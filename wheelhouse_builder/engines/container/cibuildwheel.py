"""cibuildwheel, run on one source: its configuration, its command, and what its log and its exit codes say.

What a package says to cibuildwheel itself does not count (it skips musllinux, tests with files that its sdist lacks,
installs with yum): an own configuration file replaces all of that. Nor does cibuildwheel repair or audit, since repair
is the same for all engines; in its place the wheel is taken as it is, with the libraries that it needs.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import stat
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.tags import Tag

from wheelhouse_builder.engines.container.take_wheel import MEMORY
from wheelhouse_builder.engines.source import tags_of
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.module_command import module_command
from wheelhouse_builder.process import Canceller, run, tail_of
from wheelhouse_builder.toml import toml_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wheelhouse_builder.oci import Oci
    from wheelhouse_builder.target import Arch, Target

# Paths in the container
_PURE = "/tmp/cibuildwheel/built_wheel"  # noqa: S108 - cibuildwheel's own: the wheel before its repair
_WHEELS = "/output"  # likewise: those that are finished
_LIBRARIES = "/libraries"

_IMPORTED = "bashlex bracex build certifi dependency_groups filelock humanize packaging platformdirs pyproject_hooks"
# cibuildwheel's own programs run in the source's folder, where a `json.py` may lie; those of the build are as always.
_SAFE_PATH = "PYTHONSAFEPATH"
_NOT_A_PLATFORM_WHEEL = 5
_ENDED = range(11)  # by itself (cibuildwheel/errors.py); what is above came from a signal
_MEANINGS = {
    0: "the source is not for this Python, as its requires-python says",  # but for its siblings, which were built
    2: "cibuildwheel does not take the source or its configuration",
    3: "the source is not for this Python, as its requires-python says",
    6: "the build made one wheel twice, under one name",
    8: "the wheel that was built could not be taken out of the container",
    10: "the build backend made no wheel",
}
_TOO_OLD = 7
_BEFORE, _BUILDING = "Running before_build", "Building wheel"
# What it prints, and what that is called in progress.
_STEPS = {
    "Starting container image": "start the container",
    "Copying project into container": "copy the source into the container",
    "Setting up build environment": "look at the container's Python",
    _BEFORE: "before-build",
    _BUILDING: "build",
    "Repairing wheel": "take the wheel out",
}
_PLACEHOLDER = re.compile(r"\{(?:project|package)\}")
_COPY_SECONDS = 600
_LONGEST_NUMBER = 20  # bytes
_OWN_CHARACTERS = 1 << 16  # more than cibuildwheel says before a build


@dataclass(frozen=True, kw_only=True)
class Aim:
    """One target of an order, and what holds for it alone."""

    target: Target
    environment: Mapping[str, str]
    config_settings: Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What cibuildwheel shall build, in what, with what."""

    aims: tuple[Aim, ...]  # of one architecture
    tree: Path
    image: str
    create_args: tuple[str, ...]  # for the container
    path: tuple[str, ...]  # folders in the container that come before its PATH; no Python may be in them
    uv: bool  # whether uv is there, to be the front end
    take_wheel: Path  # the program of that name, in the container
    before_build: str = ""  # a shell command, with cibuildwheel's placeholders

    @property
    def targets(self) -> tuple[Target, ...]:
        """What it is for."""
        return tuple(aim.target for aim in self.aims)

    @property
    def arch(self) -> Arch:
        """The one of all targets."""
        return self.targets[0].arch


@dataclass(frozen=True, kw_only=True)
class Made:
    """What came of it."""

    wheels: Mapping[Target, Path]
    libraries: Path  # the folder with the shared libraries that they need, out of the image
    peak_memory: int | None = None  # bytes that the container had at the most, as far as it says that


def identifier(target: Target) -> str:
    """`cp312-musllinux_aarch64`: cibuildwheel's name of a target."""
    return f"{target.interpreter}-musllinux_{target.arch}"


def configuration(order: Order, program: str) -> str:
    """The configuration file, as text; `program` is docker or podman."""
    common = {
        "build": [identifier(target) for target in order.targets],
        f"musllinux-{order.arch}-image": order.image,
        "container-engine": {
            "name": program,
            "create-args": [*order.create_args, "--env", f"{_SAFE_PATH}=1"],
            "disable-host-mount": True,
        },
        "build-frontend": "uv" if order.uv else "build",
        "dependency-versions": "latest",  # no constraints: they would be for what is in the folder of requirements
        "repair-wheel-command": f"python -I {shlex.quote(str(order.take_wheel))} {{wheel}} {{dest_dir}} {_LIBRARIES}",
        "audit-command": "",
        "before-build": order.before_build,
    }
    own = [_table("[[tool.cibuildwheel.overrides]]", _override(aim, order.path)) for aim in order.aims]
    return "".join([_table("[tool.cibuildwheel]", common), *own])


def _table(head: str, values: Mapping[str, object]) -> str:
    return "\n".join([head, *(f"{name} = {toml_value(value)}" for name, value in values.items()), ""])


def _override(aim: Aim, path: Sequence[str]) -> dict[str, object]:
    environment = {name: _literal(value) for name, value in {_SAFE_PATH: "", **aim.environment}.items()}
    environment["PATH"] = ":".join([*map(_literal, path), "$PATH"])
    return {
        "select": identifier(aim.target),
        "environment": environment,
        "config-settings": {name: _texts(value) for name, value in aim.config_settings.items()},
    }


def _literal(value: str) -> str:
    """A text that cibuildwheel, which puts it between double quotes and reads it as bash does, takes as it stands."""
    for special in '\\"$`':
        value = value.replace(special, f"\\{special}")
    return value


def _texts(value: str | Sequence[str]) -> list[str]:
    """Texts that cibuildwheel, which puts paths in for `{project}` and `{package}`, hands on as they stand."""
    return [_PLACEHOLDER.sub(r"#\g<0>", text) for text in ([value] if isinstance(value, str) else value)]


def keep_files(folder: Path) -> None:
    """Leave regular files only: a build put there what it liked, links to files of ours, or pipes that nobody fills."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not stat.S_ISREG(path.lstat().st_mode):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def taken_peak(note: Path) -> int | None:
    """The bytes that a note from the container tells, which goes: it is no library. None for what is no number."""
    try:
        with note.open("rb") as stream:
            text = stream.read(_LONGEST_NUMBER)
    except FileNotFoundError:
        return None
    note.unlink()
    return int(text) if text.strip().isdigit() else None


def step_of(line: str) -> str | None:
    """What cibuildwheel begins to do, if a line of its log says that."""
    return next((step for start, step in _STEPS.items() if line.startswith(start)), None)


def meaning_of(code: int) -> str:
    """Why there is no wheel, by cibuildwheel's exit code (cibuildwheel/errors.py), for people."""
    return _MEANINGS.get(code, "the build in the container failed")


def before_the_build(log: str) -> str:
    """What cibuildwheel and the container's client say before anything of the package runs, which may say anything."""
    return log.partition(f"\n{_BEFORE}")[0].partition(f"\n{_BUILDING}")[0]


def python_of(line: str, targets: Sequence[Target]) -> Target | None:
    """The target that cibuildwheel begins with, if a line of its log says that."""
    return next((target for target in targets if line == f"Building {identifier(target)} wheel"), None)


def wheels_for(targets: Sequence[Target], wheels: Sequence[Path]) -> dict[Target, Path]:
    """Which raw wheel is whose; one that serves several Pythons (abi3, pure) is the lowest one's.

    Raises `JobError` for what is not the name of a wheel.
    """
    found: dict[Target, Path] = {}
    for target in sorted(targets):
        fitting = (wheel for wheel in wheels if wheel not in found.values() and _fits(wheel, target))
        if wheel := next(fitting, None):
            found[target] = wheel
    return found


def _fits(wheel: Path, target: Target) -> bool:
    """By interpreter and ABI. Raw wheels have no platform that installs."""
    tags = tags_of(wheel.name)
    places = {"any": "any"}
    return target.fits(Tag(tag.interpreter, tag.abi, places.get(tag.platform, target.platform_tag)) for tag in tags)


@dataclass(frozen=True, kw_only=True)
class Cibuildwheel:
    """Runs it for one job, in a folder that it makes."""

    oci: Oci
    scratch: Path
    log: Path
    epoch: int  # SOURCE_DATE_EPOCH
    phase: Callable[[str], None]
    canceller: Canceller

    def build(self, order: Order, job: str) -> Made:
        """Build for all targets of an order; at least for the first. What is labelled `job` is the caller's to remove.

        Raises `JobError`, `MachineError` or `Cancelled`.
        """
        self.scratch.mkdir()
        file, out, libraries = (self.scratch / name for name in ("cibuildwheel.toml", "wheels", "libraries"))
        file.write_text(configuration(order, self.oci.program), encoding="utf-8")
        start = self.log.stat().st_size if self.log.exists() else 0
        code = self._run(order, job, file, out)
        if code:
            self._fetch(job, _WHEELS, out)
        if code == _NOT_A_PLATFORM_WHEEL:
            self._fetch(job, _PURE, out)
        keep_files(out)
        wheels = wheels_for(order.targets, sorted(out.glob("*.whl")))
        if min(order.targets) not in wheels:
            raise self._error(code, start)
        self._fetch(job, _LIBRARIES, libraries)
        keep_files(libraries)
        return Made(wheels=wheels, libraries=libraries, peak_memory=taken_peak(libraries / MEMORY))

    def _run(self, order: Order, job: str, file: Path, out: Path) -> int:
        """Run it to its end; the exit code."""
        command = [*_supervised(self.oci, job), *module_command("cibuildwheel", *_IMPORTED.split()), str(order.tree)]
        command += ["--platform", "linux", "--archs", str(order.arch)]
        command += ["--config-file", str(file), "--output-dir", str(out)]
        done = run(
            command,
            env={
                **self.oci.environment,
                "SOURCE_DATE_EPOCH": str(self.epoch),
                "CIBW_CACHE_PATH": str(self.scratch / "cache"),
                "CIBW_DEBUG_KEEP_CONTAINER": "1",  # a pure wheel is wanted, too, and cibuildwheel leaves it in there
            },
            cwd=order.tree,  # of which all is copied
            log=self.log,
            canceller=self.canceller,
            what="cibuildwheel",
            accepted=_ENDED,
            each_line=_Told(self.phase, order.targets),
        )
        return done.exit_code

    def _fetch(self, job: str, folder: str, destination: Path) -> None:
        """Copy a folder out of the container, if it is there."""
        destination.mkdir(exist_ok=True)
        for container in self.oci.call("ps", "--all", "--quiet", "--filter", f"label={job}").split():
            with contextlib.suppress(JobError):
                self.oci.call("cp", f"{container}:{folder}/.", str(destination), timeout=_COPY_SECONDS)

    def _error(self, code: int, start: int) -> JobError | MachineError:
        """What went wrong. `start` is where cibuildwheel's part of the log begins."""
        if code == _TOO_OLD:
            return MachineError(f"{self.oci.name} is too old for cibuildwheel", hint="docker 20.10 or podman 3 will do")
        self.oci.version()  # a service that is gone is told as such
        with self.log.open(encoding="utf-8", errors="replace") as log:
            log.seek(start)
            said = before_the_build(log.read(_OWN_CHARACTERS))
        if trouble := self.oci.trouble(said):
            return trouble
        return JobError(meaning_of(code), log=self.log, tail=tail_of(self.log))


def _supervised(oci: Oci, job: str) -> list[str]:
    """What ends the container with cibuildwheel, and both with this process."""
    setpriv = shutil.which("setpriv")
    script = Path(str(resources.files(__package__))) / "supervise.sh"
    start = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
    return [*start, "/bin/sh", str(script), oci.program, job]


@dataclass
class _Told:
    """Tells a phase for each line that begins one."""

    phase: Callable[[str], None]
    targets: tuple[Target, ...]
    current: Target | None = None
    last: str = ""

    def __call__(self, line: str) -> None:
        self.current = python_of(line, self.targets) or self.current
        if step := step_of(line):
            which = f", Python {self.current.python_version}" if self.current and len(self.targets) > 1 else ""
            if self.last != (phase := f"{step}{which}"):  # uv says in the same words that it builds
                self.phase(phase)
            self.last = phase
