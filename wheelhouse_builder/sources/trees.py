"""Source trees: local projects, told apart by their content and copied without what is no source."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.files import MAX_DEPTH, MAX_MEMBERS, raise_disk_error, sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# What version control, builds and tools leave in a source tree. Packages may be called `build` and `dist`, but not at
# the top.
# fmt: off
_LEFT_BEHIND = frozenset({
    ".git", ".hg", ".svn", ".bzr", "__pycache__", ".venv", ".tox", ".nox",
    ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis",
})
# fmt: on
_LEFT_BEHIND_AT_TOP = frozenset({"build", "dist", "venv", "PKG-INFO"})

_ONE_PROJECT = "is it the folder of one project?"
_CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"  # bford.info/cachedir; cargo's target has one


def source_tree_digest(path: Path) -> str:
    """sha256 (hexadecimal) over names, execute bits and contents of what `copy_tree` copies; links by their target.

    Raises `UsageError` for what cannot be read.
    """
    digest = hashlib.sha256()
    for name in tree_files(path):
        file = path / name
        with reading():
            if file.is_symlink():
                kind, content = "link", hashlib.sha256(os.fsencode(file.readlink())).hexdigest()
            else:
                kind, content = file_identity(file)
        digest.update(f"{kind}\0{name}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def file_identity(file: Path) -> tuple[str, str]:
    """What tells a file from another: whether it is a "program" or a "file", and its digest. Raises `UsageError`."""
    with reading():
        return "program" if file.stat().st_mode & 0o100 else "file", sha256_of(file)


def copy_tree(path: Path, destination: Path) -> None:
    """Copy a source tree without what version control, builds and tools left behind, to a new directory.

    Raises `UsageError` for what cannot be read, `JobError` (disk).
    """
    names = tree_files(path)
    try:
        destination.mkdir(parents=True)
        for name in names:
            target = destination / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path / name, target, follow_symlinks=False)
    except OSError as error:
        if Path(str(error.filename)).is_relative_to(path):
            raise _unreadable(error) from error
        raise_disk_error(error, destination)


def tree_files(path: Path, *, follow_links: bool = False) -> list[str]:
    """The names of a source tree's files and links, relative to it, sorted.

    `follow_links`: instead of a link to a folder, what is in the folder; a link to a folder that it lies in stays one.
    Raises `UsageError` for a folder that cannot be read, and for more or deeper folders and files than any project has.
    """
    above = (os.path.realpath(path),) if follow_links else None
    found: list[str] = []
    with reading():
        for number, name in enumerate(_walk(str(path), above)):  # folders too: there are as many as links make
            if number > MAX_MEMBERS:
                raise UsageError(f"{path} has more than {MAX_MEMBERS} files", hint=_ONE_PROJECT)
            if name is not None:
                found.append(name)
    return sorted(found)


def _walk(root: str, above: tuple[str, ...] | None) -> Iterator[str | None]:
    """Names of files and links, and None for each folder. `above`: the real path of `root`, None if links stay."""
    folders = [(root, "", above)]  # each with its name and the real paths of the folders that led there
    while folders:
        folder, relative, above = folders.pop()
        if relative.count("/") > MAX_DEPTH:
            raise UsageError(f"{root} has folders that are more than {MAX_DEPTH} deep", hint=_ONE_PROJECT)
        yield None
        with os.scandir(folder) as scan:
            entries = [entry for entry in scan if not _is_left_behind(entry.name, at_top=not relative)]
        if relative and _is_output(folder, {entry.name for entry in entries}):
            continue
        for entry in entries:
            name = relative + entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, f"{name}/", above and (*above, os.path.realpath(entry.path))))
            elif above and entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112 - raises nothing, round links too
                real = os.path.realpath(entry.path)
                if real in above:
                    yield name
                else:
                    folders.append((entry.path, f"{name}/", (*above, real)))
            elif entry.is_symlink() or entry.is_file():  # no sockets, no pipes: reading them would hang
                yield name


def _is_output(folder: str, names: set[str]) -> bool:
    """Whether a folder is a wheelhouse or some tool's cache: made from the source, not part of it."""
    if ".whb" in names:
        return True
    if "CACHEDIR.TAG" not in names:
        return False
    tag = Path(folder, "CACHEDIR.TAG")
    if not tag.is_file():
        return False
    with tag.open("rb") as stream:
        return stream.read(len(_CACHE_SIGNATURE)) == _CACHE_SIGNATURE


def _is_left_behind(name: str, *, at_top: bool) -> bool:
    if at_top and (name in _LEFT_BEHIND_AT_TOP or name.endswith(".whl")):  # where `pip wheel .` puts them
        return True
    return name in _LEFT_BEHIND or name.endswith((".egg-info", ".pyc"))


@contextmanager
def reading() -> Iterator[None]:
    """Tell that a project's file cannot be read as a `UsageError` that names it."""
    try:
        yield
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> UsageError:
    return UsageError(
        f"cannot read {error.filename}: {error.strerror}", hint="who builds a project must be able to read all of it"
    )
