"""Labels on containers and volumes: by which job they are removed, and of which process they are.

A process that was killed removes nothing, so a later one does it, of those that it can know to be dead: of this start
of this machine and, where whb runs in a container itself, of the same one.
"""

from __future__ import annotations

import contextlib
import secrets
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import JobError

if TYPE_CHECKING:
    from wheelhouse_builder.oci import Oci

_JOB, _OWNER = "whb.job", "whb.owner"
_START_TIME = 19  # of the fields of /proc/PID/stat after the name; proc(5) counts it as the 22nd of all


def new_job() -> str:
    """A label, `name=value`, for what one job makes."""
    return f"{_JOB}={secrets.token_hex(8)}"


def create_options(job: str) -> tuple[str, ...]:
    """The options of `create` that label something as of this job and this process."""
    return ("--label", "whb", "--label", job, "--label", f"{_OWNER}={_owner()}")


def blank_labels() -> dict[str, str]:
    """What an image that is made from a container has in their place, for the containers that are made from it."""
    return {_JOB: "", _OWNER: ""}


@cache
def remove_left_behind(oci: Oci) -> None:
    """Remove containers and volumes of whb processes that are dead; once in this process. Raises as `Oci.call`."""
    ours = ("--quiet", "--filter", f"label={_OWNER}")
    for container in oci.call("ps", "--all", *ours).split():
        with contextlib.suppress(JobError):  # its own whb may just have removed it
            owner = oci.call("inspect", "--format", f'{{{{index .Config.Labels "{_OWNER}"}}}}', container)
            if is_dead(owner):
                oci.call("rm", "--force", "--volumes", container)
    for volume in oci.call("volume", "ls", *ours).split():
        with contextlib.suppress(JobError):
            owner = oci.call("volume", "inspect", "--format", f'{{{{index .Labels "{_OWNER}"}}}}', volume)
            if is_dead(owner):
                oci.call("volume", "rm", "--force", volume)


def is_dead(owner: str) -> bool:
    """Whether the process that a label names is known to have ended."""
    try:
        machine, pid, started = owner.rsplit(".", 2)
        return machine == _machine() and _started(int(pid)) != started
    except ValueError:  # another whb's way of writing it
        return False


def _owner() -> str:
    return f"{_machine()}.{_pid()}.{_started(_pid())}"


def _pid() -> int:
    return int(Path("/proc/self").readlink().name)  # as this /proc counts them


@cache
def _machine() -> str:
    """This start of this machine, and the namespace that process numbers are of."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}.{Path('/proc/self/ns/pid').readlink().name}"


def _started(pid: int) -> str | None:
    """When a process started, in ticks since the machine did; None if there is no such process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    return status.rpartition(")")[2].split()[_START_TIME]
