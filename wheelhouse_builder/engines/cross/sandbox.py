"""Where foreign code runs: without network, with process numbers of its own, and a file system that it cannot change.

Made of util-linux's `unshare` and `setpriv`; where a machine does not allow all of it, as much as it does allow.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import JobError
from wheelhouse_builder.process import base_environment, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Own process numbers, so that nothing of a build outlives it, not even whb's kill -9.
_NO_NETWORK = "--net"  # a network of its own, with nothing in it
_PROCESSES = (_NO_NETWORK, "--pid", "--fork", "--kill-child", "--mount-proc")
_NETWORK = (_NO_NETWORK,)
_AS_USER = ("--map-current-user",)  # where only root may do it as itself


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What to put around a command; falsy where this machine allows nothing of it."""

    prefix: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  # the program that makes the file system read-only; empty where it cannot be
    inner: tuple[str, ...] = ()  # what makes us ourselves again after that

    def __bool__(self) -> bool:
        return bool(self.prefix)

    def around(self, command: Sequence[str], writable: Sequence[Path], *, network: bool = False) -> list[str]:
        """The command, to be run in here. It may write below `writable`, which must exist, and nowhere else.

        `network`: it keeps the network, all else as before.
        """
        prefix = [option for option in self.prefix if not (network and option == _NO_NETWORK)]
        if not self.files:
            return [*prefix, *command]
        return [*prefix, *self.files, *map(str, writable), "--", *self.inner, *command]

    @property
    def told(self) -> str:
        """What a build cannot do in here, for people."""
        can_not = ["have no network"] if self.prefix else []
        can_not += ["cannot outlive whb"] if "--pid" in self.prefix else []
        can_not += ["cannot write outside their folders"] if self.files else []
        return ", ".join(can_not)


@cache
def sandbox() -> Sandbox:
    """The best that this machine allows, found out by trying."""
    for candidate in _candidates():
        with suppress(JobError):
            run(candidate.around(["true"], []), env=base_environment())
            return candidate
    return Sandbox()


def _candidates() -> Iterator[Sandbox]:
    unshare, setpriv = shutil.which("unshare"), shutil.which("setpriv")
    if unshare is None:
        return
    start = (setpriv, "--pdeathsig", "KILL", unshare) if setpriv else (unshare,)
    files = ("/bin/sh", str(Path(str(resources.files(__package__))) / "sandbox.sh"))
    if os.geteuid() == 0:
        yield Sandbox(prefix=(*start, *_PROCESSES), files=files)
    else:  # as root of a namespace, to mount; inside it in one more as ourselves
        back = (unshare, f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}")
        yield Sandbox(prefix=(*start, "--map-root-user", *_PROCESSES), files=files, inner=back)
    for options in (_PROCESSES, (*_AS_USER, *_PROCESSES), _NETWORK, (*_AS_USER, *_NETWORK)):
        yield Sandbox(prefix=(*start, *options))
