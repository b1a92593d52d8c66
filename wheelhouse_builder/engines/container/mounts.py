"""Folders of this machine in a container, at the very paths that they have here.

A service that shares no files with this machine gets copies, in volumes of its own, which end with the job.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.engines.container.labels import create_options
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.oci import mount_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import PurePosixPath

    from wheelhouse_builder.engines.container.preflight import Place
    from wheelhouse_builder.process import Canceller

_COPY_SECONDS = 1800
_OWN_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A folder of this machine, read-only in the container unless it is `writable`."""

    path: Path
    writable: bool = False
    inside: PurePosixPath | None = None  # where it is in the container; None: where it is here

    @property
    def target(self) -> str:
        """Where it is in the container."""
        return str(self.inside or self.path)

    def options(self, *, volume: str | None = None) -> tuple[str, ...]:
        """The options of `create` that mount it, or what a volume holds of it."""
        kind, source = ("bind", str(self.path)) if volume is None else ("volume", volume)
        return mount_option(kind, source, self.target, writable=self.writable)


@contextmanager
def mounted(
    place: Place, mounts: Iterable[Mount], label: str, *, canceller: Canceller | None = None
) -> Iterator[tuple[str, ...]]:
    """The options of `create` that put these folders into a container of the place.

    What the container leaves in a writable one is here afterwards, and this user's. `label` is the job's: what is made
    for it carries it, and all that does is removed at the end.
    Raises `JobError` if a copy fails, or as `Oci.call`.
    """
    wanted = _one_a_target(mounts)
    writable = [mount for mount in wanted if mount.writable]
    if place.shares_files:
        try:
            yield tuple(option for mount in wanted for option in mount.options())
        except BaseException:
            with contextlib.suppress(JobError, MachineError):
                _take_over(place, writable)
            raise
        _take_over(place, writable)
        return
    volumes = {mount: f"whb-{secrets.token_hex(8)}" for mount in wanted}
    try:
        _fill(place, volumes, label, canceller)
        yield tuple(option for mount, volume in volumes.items() for option in mount.options(volume=volume))
        _bring_back(place, {mount: volumes[mount] for mount in writable}, label, canceller)
    finally:
        with contextlib.suppress(JobError, MachineError):  # a later run removes what is left
            place.oci.remove(label)


def _one_a_target(mounts: Iterable[Mount]) -> list[Mount]:
    """One mount for each path in the container, the writable one where there are two."""
    return list({mount.target: mount for mount in sorted(mounts, key=lambda mount: mount.writable)}.values())


def _fill(place: Place, volumes: dict[Mount, str], label: str, canceller: Canceller | None) -> None:
    for volume in volumes.values():
        place.oci.call("volume", "create", *create_options(label), volume)
    with _holder(place, volumes, label) as holder:
        for mount in volumes:
            place.oci.call(
                "cp", f"{mount.path}/.", f"{holder}:{mount.target}", timeout=_COPY_SECONDS, canceller=canceller
            )


def _bring_back(place: Place, volumes: dict[Mount, str], label: str, canceller: Canceller | None) -> None:
    with _holder(place, volumes, label) as holder:
        for mount in volumes:
            place.oci.call(
                "cp", f"{holder}:{mount.target}/.", str(mount.path), timeout=_COPY_SECONDS, canceller=canceller
            )


@contextmanager
def _holder(place: Place, volumes: dict[Mount, str], label: str) -> Iterator[str]:
    """A container that never runs: what `cp` reaches the volumes by."""
    options = [
        option for mount, volume in volumes.items() for option in replace(mount, writable=True).options(volume=volume)
    ]
    create = ["create", *create_options(label), "--network", "none", "--platform", f"linux/{place.arch.docker}"]
    container = place.oci.call(*create, *options, place.image_id, "true")
    try:
        yield container
    finally:
        with contextlib.suppress(JobError, MachineError):
            place.oci.call("rm", "--force", container)


def _take_over(place: Place, writable: Sequence[Mount]) -> None:
    """Give this user what root made in the container, and is root's here too: docker without user namespaces."""
    foreign = [mount for mount in writable if os.geteuid() != 0 and _has_roots(mount.path)]
    if foreign:
        paths = [mount.target for mount in foreign]
        command = ["find", *paths, "-user", "0", "-exec", "chown", "-h", f"{os.geteuid()}:{os.getegid()}", "{}", "+"]
        options = ["--cap-add", "CHOWN", *(option for mount in foreign for option in mount.options())]
        place.oci.run(place.image_id, command, arch=place.arch, options=options, timeout=_OWN_SECONDS)


def _has_roots(folder: Path) -> bool:
    """Whether anything below a folder is root's."""
    return any(
        Path(place, name).lstat().st_uid == 0 for place, folders, files in os.walk(folder) for name in folders + files
    )
