"""What a build in a container wants, looked at before anything is built: by running the image once, not by guessing.

Each thing that is missing is one `MachineError`, whose hint is the command that mends it.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.engines.container.images import image_for
from wheelhouse_builder.errors import JobError, MachineError, UsageError
from wheelhouse_builder.oci import Oci, mount_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.settings.container import ContainerSettings
    from wheelhouse_builder.target import Arch, Target

_OLDEST = {"docker": (20, 10), "podman": (3, 0)}  # what cibuildwheel takes (cibuildwheel/oci_container.py)
_PROBE_SECONDS = 120  # the first program under QEMU, on a busy machine
_SEEN = "/tmp/whb-seen"  # noqa: S108 - a mount point inside, not a file of ours
_LEAST_SPACE = 256 << 20  # bytes, for the files of one build beside the image
# One fact a line: its name, then the value. Plain sh, since the image may be anything.
_PROBE = f"""echo "machine $(uname -m)"
for python in /opt/python/*; do if [ -x "$python/bin/python" ]; then echo "python ${{python##*/}}"; fi; done
for program in cc cargo; do if command -v "$program" >/dev/null; then echo "program $program"; fi; done
if [ -f {_SEEN}/seen ]; then echo "shares files"; fi
df -Pk / | while read -r device size used free rest; do echo "free $free"; done"""
# As runc and crun say it when the very first program of an image cannot be started. Without the flag F the kernel looks
# for QEMU in the image.
_NO_EXEC = re.compile(r"exec format error", re.IGNORECASE)
_NO_INTERPRETER = re.compile(r"exec (?:user|container) process.*no such file|exec /bin/sh: no such file", re.IGNORECASE)


class NoImageError(MachineError):
    """The image is not there."""


class NoEmulationError(MachineError):
    """The service runs no programs of a foreign architecture."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """An image that runs in a container service, and what is in it."""

    oci: Oci
    arch: Arch
    version: str  # of the service
    image: str  # as the settings name it
    image_id: str
    emulated: bool  # its programs run under QEMU
    shares_files: bool  # a path here is the same file there: the service is on this machine and may read it
    pythons: frozenset[str]  # as the folders in /opt/python: "cp312-cp312"
    has_compiler: bool
    has_cargo: bool
    free: int  # bytes in the service's store

    @property
    def name(self) -> str:
        """For people: `whb-test/musllinux:arm64 in docker at ssh://pi`."""
        return f"{self.image} in {self.oci.name}"

    @property
    def told(self) -> str:
        """For people, in one line."""
        run = "emulated" if self.emulated else "native"
        return f"{self.name}: {run}, {self.free / (1 << 30):.1f} GiB free"


def prepare(
    settings: ContainerSettings,
    target: Target,
    *,
    pull: bool,
    cache: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
    canceller: Canceller | None = None,
) -> Place:
    """Where wheels for the target are built. An image that is not there is pulled if `pull`; `tell` hears of that.

    Whether the service shares files is tried in `cache`, where all that is mounted lies (None: where temporary files
    do). What is found for an architecture and an image is remembered in this process.
    Raises `MachineError` for whatever is missing, and `UsageError` for a host that the program cannot have.
    """
    look = _Look(
        oci=service_for(target.arch, settings),
        image=image_for(target, settings),
        arch=target.arch,
        cache=cache,
        tell=tell,
        canceller=canceller,
    )
    question = (look.oci, look.image, look.arch)
    with _locks[question]:
        if question not in _answers:
            _answers[question] = look.place(pull=pull)
    place = _answers[question]
    _require_python(place, target)
    return place


_Question = tuple[Oci, str, "Arch"]
_answers: dict[_Question, Place] = {}
_locks: defaultdict[_Question, threading.Lock] = defaultdict(threading.Lock)


def service_for(arch: Arch, settings: ContainerSettings) -> Oci:
    """What runs containers of the architecture. Raises `UsageError` for a host that podman cannot have."""
    host = settings.hosts.get(arch, "")
    if settings.engine == "podman" and host and "://" not in host:
        raise UsageError(
            f"{host!r} is no host for podman, which has no contexts",
            hint="write it as ssh://user@host/run/user/1000/podman/podman.sock",
        )
    return Oci(program=settings.engine, host=host)


def require_service(oci: Oci) -> str:
    """The version of a service that answers and is new enough. Raises `MachineError`."""
    version = oci.version()
    found = re.match(r"(\d+)\.(\d+)", version)
    oldest = _OLDEST[oci.program]
    if found and (int(found[1]), int(found[2])) < oldest:
        wanted = ".".join(map(str, oldest))
        raise MachineError(
            f"{oci.name} {version} is too old: cibuildwheel wants {wanted}",
            hint=f"install {oci.program} {wanted} or later",
        )
    return version


@dataclass(frozen=True, kw_only=True)
class _Look:
    """At one image in one service."""

    oci: Oci
    image: str
    arch: Arch
    cache: Path | None
    tell: Callable[[str], None]
    canceller: Canceller | None

    def place(self, *, pull: bool) -> Place:
        """What is there. Raises `MachineError`."""
        version = require_service(self.oci)
        image_id = self.oci.image_id(self.image, self.arch) or self._pulled(pull=pull)
        emulated = self.oci.architecture() is not self.arch
        facts = self._facts(image_id, emulated=emulated)
        place = Place(
            oci=self.oci,
            arch=self.arch,
            version=version,
            image=self.image,
            image_id=image_id,
            emulated=emulated,
            shares_files="files" in facts["shares"],
            pythons=frozenset(facts["python"]),
            has_compiler="cc" in facts["program"],
            has_cargo="cargo" in facts["program"],
            free=max((int(free) << 10 for free in facts["free"] if free.isdigit()), default=0),
        )
        _require_fit(place, facts["machine"])
        return place

    def _pulled(self, *, pull: bool) -> str:
        missing = f"{self.oci.name} has no image {self.image} for {self.arch.docker}"
        how = f"`{self.oci.program} pull --platform linux/{self.arch.docker} {self.image}`"
        if not pull:
            raise NoImageError(missing, hint=f"{how} gets it")
        self.tell(f"getting the image {self.image} for {self.arch.docker}")
        try:
            self.oci.pull(self.image, self.arch, self.canceller)
        except JobError as error:
            hint = f"{how} must work here; container.images names another image"
            raise NoImageError(f"{missing} and cannot get it: {_said(error)}", hint=hint) from error
        if identity := self.oci.image_id(self.image, self.arch):
            return identity
        raise MachineError(f"the image {self.image} is not for {self.arch.docker}", hint=_name_another(self.arch))

    def _facts(self, image_id: str, *, emulated: bool) -> dict[str, list[str]]:
        """What the image says about itself."""
        if self.cache is not None:
            self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="whb-seen-", dir=self.cache) as folder:
            Path(folder, "seen").touch()
            try:
                said = self._run(image_id, *mount_option("bind", folder, _SEEN, writable=False))
            except JobError:  # a service elsewhere has no such folder
                try:
                    said = self._run(image_id)
                except JobError as error:
                    raise self._why_not(error, emulated=emulated) from error
        facts: dict[str, list[str]] = defaultdict(list)
        for line in said.splitlines():
            name, _, value = line.partition(" ")
            facts[name].append(value)
        return facts

    def _run(self, image_id: str, *options: str) -> str:
        return self.oci.run(
            image_id,
            ["-euc", _PROBE],
            arch=self.arch,
            options=["--entrypoint", "/bin/sh", *options],
            timeout=_PROBE_SECONDS,
            canceller=self.canceller,
        )

    def _why_not(self, error: JobError, *, emulated: bool) -> MachineError:
        oci, image, arch = self.oci, self.image, self.arch.docker
        if not (_NO_EXEC.search(error.tail) or (emulated and _NO_INTERPRETER.search(error.tail))):
            hint = f"`{oci.program} run --rm {image} true` must work"
            return MachineError(f"{oci.name} cannot run {image}: {_said(error)}", hint=hint)
        if not emulated:
            told = f"the image {image} says that it is for {arch}, and holds programs of another architecture"
            return MachineError(told, hint=_name_another(self.arch))
        where = f" on {oci.host}" if oci.host else ""
        here = "" if oci.host else "`whb doctor --engine container --install`, or "
        how = f"{here}`{oci.program} run --privileged --rm tonistiigi/binfmt --install {arch}`{where}"
        return NoEmulationError(
            f"{oci.name} runs no programs of {arch}: QEMU is not registered with binfmt_misc and the flag F{where}",
            hint=f"{how}; or name a machine that runs {arch}: container.hosts",
        )


def _require_fit(place: Place, machines: list[str]) -> None:
    if machines != [str(place.arch)]:
        raise MachineError(
            f"the image {place.image} says that it is for {place.arch.docker}, and runs as {', '.join(machines)}",
            hint=_name_another(place.arch),
        )
    if place.free < _LEAST_SPACE:
        raise MachineError(
            f"the store of {place.oci.name} has only {place.free >> 20} MiB left",
            hint=place.oci.how_to_make_room(),
        )


def _require_python(place: Place, target: Target) -> None:
    if f"{target.interpreter}-{target.interpreter}" not in place.pythons:
        there = ", ".join(sorted(place.pythons)) or "nothing"
        raise MachineError(
            f"the image {place.image} has no Python {target.python_version}: /opt/python holds {there}",
            hint=f"name one that has: container.images, {place.arch.docker} = …; or leave {target.python_version} out",
        )


def _name_another(arch: Arch) -> str:
    return f"name one that is: container.images, {arch.docker} = …"


def _said(error: JobError) -> str:
    return error.tail.splitlines()[-1].strip() if error.tail else error.message
