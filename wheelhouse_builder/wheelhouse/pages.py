"""Page folders: the pages of one project, in a folder named by the hash of what it holds.

They never change, and any number of generations share one. What a publication adds is made in the scratch folder,
flushed, and put in place before a generation names it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from wheelhouse_builder.index.build import PAGES
from wheelhouse_builder.index.packing import MAX_BYTES, SUFFIXES
from wheelhouse_builder.wheelhouse import disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from wheelhouse_builder.wheelhouse.store import Wheelhouse

# Hexadecimal digits: 160 bits. The link to a folder has 58 bytes then; ext4 keeps up to 59 in the inode itself, a
# longer one takes a block of 4 KiB and more time.
_DIGITS = 40
_MADE_WITHIN = 2_000_000_000  # nanoseconds


def key_of(files: Mapping[str, bytes]) -> str:
    """The name of the folder that holds these files."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:_DIGITS]


def target_of(key: str) -> str:
    """Where the link in a generation's `simple/` leads."""
    return f"../../../pages/{key[:2]}/{key}"


def folder_of(wheelhouse: Wheelhouse, key: str) -> Path:
    """A page folder."""
    return wheelhouse.pages / key[:2] / key


class NewPages:
    """What one publication adds."""

    def __init__(self, wheelhouse: Wheelhouse) -> None:
        self._wheelhouse = wheelhouse
        self._scratch = wheelhouse.scratch / "pages"
        self._made: dict[str, list[str]] = {}
        shutil.rmtree(self._scratch, ignore_errors=True)

    def add(self, files: Mapping[str, bytes]) -> str:
        """Have a folder with these files, whole; returns its name."""
        key = key_of(files)
        if key not in self._made and not _holds(folder_of(self._wheelhouse, key), files):
            disk.make_folder(self._scratch / key, files)
            self._made[key] = list(files)
        return key

    def settle(self) -> None:
        """Flush the folders and put them in place. One that lost a file, or has a wrong one, is made whole."""
        if not self._made:
            return
        folders = {f"{self._scratch}/{key}": names for key, names in self._made.items()}
        disk.flush([*folders, *(f"{folder}/{name}" for folder, names in folders.items() for name in names)])
        changed = {self._wheelhouse.pages}
        for key, names in self._made.items():
            place = folder_of(self._wheelhouse, key)
            place.parent.mkdir(exist_ok=True)
            if place.is_dir():
                for name in names:
                    disk.move(self._scratch / key / name, place / name)
                changed.add(place)
            else:
                disk.move(self._scratch / key, place)
            changed.add(place.parent)
        disk.flush(changed)
        shutil.rmtree(self._scratch)
        self._made.clear()


def is_whole(folder: Path) -> bool:
    """Whether a page folder has its files, with the copies of those that are not too large for it.

    Files are made before their folder is complete: one that is newer was written by somebody else.
    """
    try:
        newest = folder.stat().st_mtime_ns + _MADE_WITHIN
        with os.scandir(folder) as found:
            there = {entry.name: entry.stat() for entry in found}
    except OSError:
        return False
    if any(status.st_mtime_ns > newest for status in there.values()):
        return False
    sizes = {name: status.st_size for name, status in there.items()}
    wanted = [f"{page}{suffix}" for page in PAGES for suffix in ("", *SUFFIXES) if sizes.get(page, 0) <= MAX_BYTES]
    return sizes.keys() >= {*PAGES, *wanted}


def all_folders(wheelhouse: Wheelhouse) -> Iterator[Path]:
    """Every page folder that is there."""
    yield from wheelhouse.pages.glob("??/*")


def remove(wheelhouse: Wheelhouse, folder: Path) -> None:
    """Remove a page folder: out of sight in one step, then for good."""
    if folder.is_dir():
        retired = wheelhouse.scratch / f"pages-{folder.name}"
        disk.move(folder, retired)
        shutil.rmtree(retired)


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except FileNotFoundError:
        return False
