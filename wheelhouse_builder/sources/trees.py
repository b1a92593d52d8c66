"""Source trees: local projects, told apart by their content and copied without what is no source."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path, PurePosixPath

from wheelhouse_builder.files import raise_disk_error, sha256_of

# What version control, builds and tools leave in a source tree. Packages may be called `build` and `dist`, but not at
# the top.
# fmt: off
_LEFT_BEHIND = frozenset({
    ".git", ".hg", ".svn", ".bzr", "__pycache__", ".venv", ".tox", ".nox",
    ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis",
})
# fmt: on
_LEFT_BEHIND_AT_TOP = frozenset({"build", "dist", "venv", "PKG-INFO"})


def source_tree_digest(path: Path) -> str:
    """sha256 (hexadecimal) over names, execute bits and contents of what `copy_tree` copies; links by their target."""
    digest = hashlib.sha256()
    for name in tree_files(path):
        file = path / name
        if file.is_symlink():
            kind, content = "link", hashlib.sha256(os.fsencode(file.readlink())).hexdigest()
        else:
            kind, content = "program" if file.stat().st_mode & 0o100 else "file", sha256_of(file)
        digest.update(f"{kind}\0{name}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def copy_tree(path: Path, destination: Path) -> None:
    """Copy a source tree without what version control, builds and tools left behind, to a new directory.

    Raises `JobError` (disk).
    """
    try:
        destination.mkdir(parents=True)
        for name in tree_files(path):
            target = destination / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path / name, target, follow_symlinks=False)
    except OSError as error:
        raise_disk_error(error, destination)


def tree_files(path: Path) -> list[str]:
    """The names of a source tree's files and links, relative to it, sorted."""
    found = []
    for folder, subfolders, files in os.walk(path):
        relative = PurePosixPath(Path(folder).relative_to(path).as_posix())
        at_top = relative == PurePosixPath()
        links = [name for name in subfolders if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118
        subfolders[:] = [name for name in subfolders if name not in links and not _is_left_behind(name, at_top)]
        for name in (*files, *links):
            if not _is_left_behind(name, at_top) and _is_file_or_link(os.path.join(folder, name)):  # noqa: PTH118
                found.append((relative / name).as_posix())
    return sorted(found)


def _is_left_behind(name: str, at_top: bool) -> bool:
    return name in _LEFT_BEHIND or name.endswith((".egg-info", ".pyc")) or (at_top and name in _LEFT_BEHIND_AT_TOP)


def _is_file_or_link(path: str) -> bool:
    """No sockets, no pipes: reading them would hang."""
    mode = os.lstat(path).st_mode
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)
