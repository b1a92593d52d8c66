"""The shared libraries of this machine that a wheel needs which was built here, on musl."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.elf import read_elf, wheel_elf_files
from wheelhouse_builder.repair.musllinux import is_libc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wheelhouse_builder.target import Arch

_USUAL = "/lib:/usr/local/lib:/usr/lib"  # where musl's loader looks (ldso/dynlink.c, `sys_path`)


def library_folders(arch: Arch, etc: Path = Path("/etc")) -> tuple[Path, ...]:
    """Where musl's loader looks for libraries on this machine, first to last."""
    try:
        told = (etc / f"ld-musl-{arch}.path").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        told = _USUAL
    return tuple(Path(entry) for line in told.splitlines() for entry in line.split(":") if entry.startswith("/"))


def link_libraries(wheel: Path, folders: Sequence[Path], destination: Path) -> Path:
    """Make a folder with links to the libraries that the files of a wheel need and do not bring, and what those need.

    They are looked for on the absolute run paths of what needs them, then in `folders`. What is nowhere is left to
    `repair` to tell. Raises `JobError` for a wheel or a library that cannot be read.
    """
    destination.mkdir()
    files = dict(wheel_elf_files(wheel))
    settled = {posixpath.basename(name) for name in files}
    queue = list(files.values())
    for elf in queue:
        own = [Path(entry) for entry in elf.runpath if entry.startswith("/")]
        for name in elf.needed:
            if name in settled or is_libc(name) or "/" in name:
                continue
            settled.add(name)
            for path in _files((*own, *folders), name):
                (destination / name).symlink_to(path)
                with path.open("rb") as stream:
                    queue.append(read_elf(stream))
                break
    return destination


def _files(folders: Sequence[Path], name: str) -> Iterator[Path]:
    paths = (folder / name for folder in folders)
    return (path for path in paths if os.path.isfile(path))  # noqa: PTH113 - False also where nobody may look
