"""A real Alpine to run things in: a container of docker or podman, or a root file system entered by chroot.

Each way gives the same: a folder of ours, read-only, at `FOLDER`; a `/tmp` to write to; no network; nothing is left.
"""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.oci import Oci
from wheelhouse_builder.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.target import Arch, Target

FOLDER = "/tmp/wheels"  # noqa: S108 - a mount point inside, not a file of ours
DEFAULT_IMAGE = "python:{python}-alpine"

_PROBE_SECONDS = 120  # the first Python under QEMU
_PROBE = "import platform, sys; print(platform.machine(), '%d.%d' % sys.version_info[:2])"
_INSIDE_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


class Alpine(Protocol):
    """Somewhere to run a command in Alpine with one target's Python."""

    @property
    def name(self) -> str:
        """For people: `docker python:3.12-alpine`."""

    def run(self, command: Sequence[str], *, folder: Path, timeout: float, canceller: Canceller | None = None) -> str:
        """Run `command` with `folder` read-only at `FOLDER`; returns its standard output. Raises as `process.run`."""


@dataclass(frozen=True, kw_only=True)
class NoAlpine:
    """There is none, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Container:
    """Alpine in a container."""

    oci: Oci
    image: str  # as the user names it
    image_id: str  # what is run: the name may mean the other architecture a moment later
    arch: Arch

    @property
    def name(self) -> str:
        return f"{self.oci.name} {self.image}"

    def run(self, command: Sequence[str], *, folder: Path, timeout: float, canceller: Canceller | None = None) -> str:
        mount = ["--volume", f"{folder}:{FOLDER}:ro"]
        return self.oci.run(self.image_id, command, arch=self.arch, options=mount, timeout=timeout, canceller=canceller)


@dataclass(frozen=True, kw_only=True)
class Chroot:
    """Alpine in a root file system. Mounts live in a mount namespace of their own and end with it; needs root.

    It keeps honest programs apart from this machine; against hostile ones a container does better.
    """

    root: Path

    @property
    def name(self) -> str:
        return f"chroot {self.root}"

    # $1 root, $2 scratch for /tmp, $3 folder, $4 its place inside; the rest is the command. The text is fixed.
    _ENTER = """set -e
    mount --make-rprivate /
    mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"
    mount -t proc proc "$1/proc"; mount --rbind -o ro /dev "$1/dev"
    mount --bind "$2" "$1/tmp"
    mount --bind "$3" "$1$4"; mount -o remount,ro,bind "$1$4"
    root=$1; shift 4; exec chroot "$root" "$@" """

    def run(self, command: Sequence[str], *, folder: Path, timeout: float, canceller: Canceller | None = None) -> str:
        with tempfile.TemporaryDirectory(prefix="whb-chroot-") as scratch:
            (Path(scratch) / Path(FOLDER).name).mkdir()
            argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", self._ENTER, "enter"]
            argv += [str(self.root), scratch, str(folder), FOLDER, *command]
            env = {"PATH": f"{os.environ.get('PATH', '')}:{_INSIDE_PATH}", "HOME": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108
            return run(argv, env=env, timeout=timeout, canceller=canceller, what=self.name).output


def find_alpine(
    target: Target,
    *,
    engine: str = "auto",
    image: str = DEFAULT_IMAGE,
    rootfs: str | None = None,
    pull: bool = True,
    canceller: Canceller | None = None,
) -> Alpine | NoAlpine:
    """Where imports for `target` can be tried, found out by running its Python there once; remembered per process.

    `engine` is docker, podman, chroot, off, or auto: the first of the three that works. `image` and `rootfs` may hold
    `{python}` (3.12) and `{arch}` (arm64). An image that is not here is pulled unless `pull` is false.
    """
    names = {"python": target.python_version, "arch": target.arch.docker}
    question = (target, engine, image.format(**names), rootfs and rootfs.format(**names), pull)
    with _lock:
        if question not in _found:
            _found[question] = _find(*question, canceller)
        return _found[question]


_lock = threading.Lock()
_found: dict[tuple[Target, str, str, str | None, bool], Alpine | NoAlpine] = {}


def _find(
    target: Target, engine: str, image: str, rootfs: str | None, pull: bool, canceller: Canceller | None
) -> Alpine | NoAlpine:
    if engine == "off":
        return NoAlpine(reason="switched off")
    reasons = []
    for way in ("docker", "podman", "chroot") if engine == "auto" else (engine,):
        try:
            if way == "chroot":
                alpine: Alpine = _chroot(rootfs)
            else:
                alpine = _container(Oci(program=way), image, target.arch, pull, canceller)
            _probe(alpine, target, canceller)
            return alpine
        except (JobError, MachineError) as error:
            reasons.append(" ".join([error.message, *_last_lines(error)]))
    return NoAlpine(reason="; ".join(reasons))


def _container(oci: Oci, image: str, arch: Arch, pull: bool, canceller: Canceller | None) -> Container:
    oci.version()
    identity = oci.image_id(image, arch)
    if identity is None and pull:
        oci.pull(image, arch, canceller)
        identity = oci.image_id(image, arch)
    if identity is None:
        raise MachineError(f"{oci.name} has no image {image} for {arch.docker}")
    return Container(oci=oci, image=image, image_id=identity, arch=arch)


def _chroot(rootfs: str | None) -> Chroot:
    if rootfs is None:
        raise MachineError("chroot: no root file system was named")
    root = Path(rootfs).resolve()
    if not (root / "etc/alpine-release").is_file():
        raise MachineError(f"chroot: {root} is not the root of an Alpine")
    if os.geteuid() != 0:
        raise MachineError("chroot: needs root")
    return Chroot(root=root)


def _probe(alpine: Alpine, target: Target, canceller: Canceller | None) -> None:
    """Raise `JobError` or `MachineError` unless the target's Python runs there."""
    with tempfile.TemporaryDirectory(prefix="whb-probe-") as empty:
        command = ["python3", "-c", _PROBE]
        output = alpine.run(command, folder=Path(empty), timeout=_PROBE_SECONDS, canceller=canceller).strip()
    if output != f"{target.arch} {target.python_version}":
        raise MachineError(
            f"{alpine.name} runs Python {output or 'nothing'}, not {target.arch} {target.python_version}"
        )


def _last_lines(error: JobError | MachineError) -> Iterator[str]:
    if isinstance(error, JobError) and error.tail:
        yield f"({error.tail.splitlines()[-1].strip()})"
