"""The effects that a wheelhouse has on the disk, each atomic and durable.

Everything new is made under a temporary name on the same file system, flushed, and then renamed: at any moment a file
is there whole or not at all. There is nothing here but the steps, so that tests can fail each of them in turn.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import MachineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PUBLIC = 0o644  # what is published may be read by any server


def write(path: Path, content: bytes) -> None:
    """Write a new file and flush it."""
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def copy(source: Path, path: Path) -> None:
    """Copy a file, flushed. No hard link: a wheelhouse and the cache must not be damaged together."""
    shutil.copyfile(source, path)
    path.chmod(_PUBLIC)
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def share(source: Path, path: Path) -> None:
    """Give a flushed file that never changes a second name; where the file system cannot, copy it."""
    try:
        path.hardlink_to(source)
    except OSError:
        copy(source, path)


def rename(source: Path, path: Path) -> None:
    """Move a file, link or folder to its name, replacing a file or link that has it."""
    source.replace(path)
    sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file or link, which may be gone already."""
    path.unlink(missing_ok=True)
    sync(path.parent)


def link(path: Path, target: Path, scratch: Path) -> None:
    """Make `path` a symbolic link to `target`, in one step also where a link is there."""
    temporary = scratch / f"{path.name}.link"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    rename(temporary, path)


def sync(folder: Path) -> None:
    """Flush the names in a folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def writing(root: Path) -> Iterator[None]:
    """Tell an operating system's refusal to write under `root` as our own error."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            raise UsageError(
                f"{root} cannot be a wheelhouse: {reason}", hint="give a folder with --wheelhouse"
            ) from error
        hint = {
            errno.ENOSPC: "free some space and run the same command again; what was finished is kept",
            errno.EDQUOT: "free some of your quota and run the same command again; what was finished is kept",
        }.get(error.errno or 0, "make it writable for you, or name another folder with --wheelhouse")
        raise MachineError(f"cannot write in the wheelhouse {root}: {reason}", hint=hint) from error
