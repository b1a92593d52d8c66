"""Programs of another architecture in containers: QEMU, registered with this machine's kernel.

Sources: the kernel's Documentation/admin-guide/binfmt-misc.rst; QEMU's scripts/qemu-binfmt-conf.sh for the patterns.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from wheelhouse_builder.errors import MachineError
from wheelhouse_builder.target import Arch

FOLDER = Path("/proc/sys/fs/binfmt_misc")
PACKAGE = "qemu-user-static"  # Debian's, which registers at its installation where systemd or binfmt-support runs

_MAGIC = r"\x7fELF\x02\x01\x01" + r"\x00" * 9 + r"\x02\x00{machine}\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00" + r"\xff" * 8 + r"\xfe\xff\xff\xff"
_MACHINE = {Arch.X86_64: r"\x3e", Arch.AARCH64: r"\xb7"}  # the low byte of e_machine


def is_registered(arch: Arch, folder: Path = FOLDER) -> bool:
    """Whether the kernel runs programs of the architecture also where QEMU is not: in containers (the flag F)."""
    try:
        lines = (folder / _name(arch)).read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    flags = next((line.removeprefix("flags:") for line in lines if line.startswith("flags:")), "")
    return lines[0] == "enabled" and "F" in flags


def interpreter(arch: Arch) -> str | None:
    """The QEMU of the architecture on this machine; static, since it runs where no library of ours is."""
    return shutil.which(f"{_name(arch)}-static")


def register(arch: Arch, folder: Path = FOLDER) -> None:
    """Register QEMU for the architecture, in place of an entry without the flag F.

    Raises `MachineError` without root, QEMU or the file system binfmt_misc.
    """
    program = interpreter(arch)
    if program is None:
        raise MachineError(f"there is no {_name(arch)}-static", hint=f"`apt install {PACKAGE}`")
    # F: opened now, so that it need not exist in a container. C: set-uid programs keep their rights, which takes O
    line = f":{_name(arch)}:M::{_MAGIC.format(machine=_MACHINE[arch])}:{_MASK}:{program}:OCF"
    try:
        if (folder / _name(arch)).exists():
            (folder / _name(arch)).write_text("-1", encoding="ascii")
        (folder / "register").write_text(line, encoding="ascii")
    except OSError as error:
        raise MachineError(
            f"QEMU cannot be registered in {folder}: {error.strerror}",
            hint=f"as root; `mount -t binfmt_misc binfmt_misc {folder}` if that is empty",
        ) from error


def _name(arch: Arch) -> str:
    return f"qemu-{arch}"
