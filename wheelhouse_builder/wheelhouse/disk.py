"""The effects that a wheelhouse has on the disk, each atomic and durable.

Everything new is made under a temporary name on the same file system, flushed, and then renamed: at any moment a file
is there whole or not at all. There is nothing here but the steps, so that tests can fail each of them in turn.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import MachineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

_PUBLIC = 0o644  # what is published may be read by any server
_FEW = 64  # files and folders
_libc = ctypes.CDLL(None, use_errno=True)


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


def create(path: Path, content: bytes | Iterable[bytes | memoryview]) -> None:
    """Write a new file, with the folders above it; `flush` has to follow before anyone is told of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        stream.writelines([content] if isinstance(content, bytes) else content)


def make_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder with these new files; `flush` has to follow."""
    folder.mkdir(parents=True)
    with _opened(folder) as here:
        for name, content in files.items():
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=here)
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)


def make_links(folder: Path, targets: Mapping[str, str], earlier: Path | None) -> None:
    """Make a folder of symbolic links; `flush` has to follow.

    A link that the folder `earlier` has too is the same file under a second name: ext4 takes 0.15 s for ten thousand of
    them, and up to 2 s for as many new ones.
    """
    folder.mkdir(parents=True)
    with _opened(folder) as here, contextlib.ExitStack() as stack:
        there = stack.enter_context(_opened(earlier)) if earlier and earlier.is_dir() else None
        for name, target in targets.items():
            if there is None or not _share_link(name, target, there, here):
                os.symlink(target, name, dir_fd=here)


def _share_link(name: str, target: str, there: int, here: int) -> bool:
    try:
        if os.readlink(name, dir_fd=there) != target:
            return False
        os.link(name, name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
    except OSError:  # there is none, or the file system cannot
        return False
    return True


def flush(paths: Collection[Path | str]) -> None:
    """Flush new files and folders: one by one, or when there are many all that their file system holds, in one step.

    On ext4 fsync takes 0.3 ms a file, and syncfs 2 ms in all; but it also waits for what others wrote.
    """
    if len(paths) <= _FEW:
        for path in paths:
            sync(path)
        return
    with _opened(next(iter(paths))) as handle:
        if _libc.syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def move(source: Path, path: Path) -> None:
    """Move a file, link or folder to its name, replacing a file or link that has it; `flush` has to follow."""
    source.replace(path)


def rename(source: Path, path: Path) -> None:
    """The same, flushed."""
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


def sync(path: Path | str) -> None:
    """Flush the names in a folder, or a file."""
    with _opened(path) as handle:
        os.fsync(handle)


@contextlib.contextmanager
def _opened(path: Path | str) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY)
    try:
        yield handle
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
        if error.errno in (errno.EISDIR, errno.ENOTEMPTY):  # a folder has the name of one of our links
            place = error.filename2 or error.filename
            raise UsageError(f"a folder is in the way: {place}", hint="whb has a link there: move it away") from error
        hint = {
            errno.ENOSPC: "free some space and run the same command again; what was finished is kept",
            errno.EDQUOT: "free some of your quota and run the same command again; what was finished is kept",
        }.get(error.errno or 0, "make it writable for you, or name another folder with --wheelhouse")
        raise MachineError(f"cannot write in the wheelhouse {root}: {reason}", hint=hint) from error
