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
from wheelhouse_builder.oci import Oci

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
    tell: Callable[[str], None] = lambda text: None,
    canceller: Canceller | None = None,
) -> Place:
    """Where wheels for the target are built. An image that is not there is pulled if `pull`; `tell` hears of that.

    What is found for an architecture and an image is remembered in this process.
    Raises `MachineError` for whatever is missing, and `UsageError` for a host that the program cannot have.
    """
    oci = service_for(target.arch, settings)
    question = (oci, image_for(target, settings), target.arch, pull)
    with _locks[question]:
        if question not in _answers:
            _answers[question] = _look(*question, tell, canceller)
    place = _answers[question]
    _require_python(place, target)
    return place


_Question = tuple[Oci, str, "Arch", bool]
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


def _look(
    oci: Oci, image: str, arch: Arch, pull: bool, tell: Callable[[str], None], canceller: Canceller | None
) -> Place:
    version = require_service(oci)
    image_id = oci.image_id(image, arch) or _pulled(oci, image, arch, pull, tell, canceller)
    emulated = oci.architecture() is not arch
    facts = _facts(oci, image, image_id, arch, emulated, canceller)
    place = Place(
        oci=oci,
        arch=arch,
        version=version,
        image=image,
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


def _pulled(
    oci: Oci, image: str, arch: Arch, pull: bool, tell: Callable[[str], None], canceller: Canceller | None
) -> str:
    how = f"`{oci.program} pull --platform linux/{arch.docker} {image}`"
    if not pull:
        raise NoImageError(f"{oci.name} has no image {image} for {arch.docker}", hint=f"{how} gets it")
    tell(f"getting the image {image} for {arch.docker}")
    try:
        oci.pull(image, arch, canceller)
    except JobError as error:
        reason = error.tail.splitlines()[-1].strip() if error.tail else error.message
        raise NoImageError(
            f"{oci.name} has no image {image} for {arch.docker} and cannot get it: {reason}",
            hint=f"{how} must work here; container.images names another image",
        ) from error
    if identity := oci.image_id(image, arch):
        return identity
    raise MachineError(
        f"the image {image} is not for {arch.docker}", hint=f"name one that is: container.images, {arch.docker} = …"
    )


def _facts(
    oci: Oci, image: str, image_id: str, arch: Arch, emulated: bool, canceller: Canceller | None
) -> dict[str, list[str]]:
    """What the image says about itself."""

    def run(*options: str) -> str:
        command = ["-euc", _PROBE]
        options = ("--entrypoint", "/bin/sh", *options)
        return oci.run(image_id, command, arch=arch, options=options, timeout=_PROBE_SECONDS, canceller=canceller)

    with tempfile.TemporaryDirectory(prefix="whb-seen-") as folder:
        Path(folder, "seen").touch()
        try:
            said = run("--mount", f"type=bind,source={folder},target={_SEEN},ro")
        except JobError:  # a service elsewhere has no such folder
            try:
                said = run()
            except JobError as error:
                raise _why_not(oci, image, arch, emulated, error) from error
    facts: dict[str, list[str]] = defaultdict(list)
    for line in said.splitlines():
        name, _, value = line.partition(" ")
        facts[name].append(value)
    return facts


def _why_not(oci: Oci, image: str, arch: Arch, emulated: bool, error: JobError) -> MachineError:
    foreign = _NO_EXEC.search(error.tail) or (emulated and _NO_INTERPRETER.search(error.tail))
    if not foreign:
        said = error.tail.splitlines()[-1].strip() if error.tail else error.message
        return MachineError(
            f"{oci.name} cannot run {image}: {said}", hint=f"`{oci.program} run --rm {image} true` must work"
        )
    if not emulated:
        return MachineError(
            f"the image {image} says that it is for {arch.docker}, and holds programs of another architecture",
            hint=f"name one that is: container.images, {arch.docker} = …",
        )
    where = f" on {oci.host}" if oci.host else ""
    how = f"`{oci.program} run --privileged --rm tonistiigi/binfmt --install {arch.docker}`"
    here = "" if oci.host else "`whb doctor --engine container --install`, or "
    return NoEmulationError(
        f"{oci.name} runs no programs of {arch.docker}: QEMU is not registered with binfmt_misc and the flag F{where}",
        hint=f"{here}{how}{where}; or name a machine that runs {arch.docker}: container.hosts",
    )


def _require_fit(place: Place, machines: list[str]) -> None:
    if machines != [str(place.arch)]:
        raise MachineError(
            f"the image {place.image} says that it is for {place.arch.docker}, and runs as {', '.join(machines)}",
            hint=f"name one that is: container.images, {place.arch.docker} = …",
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
