"""The look at the files of the wheelhouse: is each wheel, with its sidecar, and each stub what its record says?

A file whose size and modification time are as noted is taken for right; any other is hashed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.wheelhouse.stored import Seen

if TYPE_CHECKING:
    from wheelhouse_builder.wheelhouse.stored import Facts


class Trouble(StrEnum):
    """What can be wrong with a file of the wheelhouse."""

    MISSING = "missing"  # it was published, and there is no file
    CHANGED = "changed"  # the content is not what the record says
    FOREIGN = "foreign"  # there is a wheel, and no record


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is not as it should be, and what to do about it."""

    path: Path
    trouble: Trouble

    @property
    def remedy(self) -> str:
        """What to do next."""
        wheel = self.path.name.endswith(".whl")
        again = "run the same command again: it is fetched or built anew" if wheel else "`whb stub` makes it again"
        return {
            Trouble.MISSING: "build again to have it back" if wheel else again,
            Trouble.CHANGED: f"remove it (rm {self.path}) and {again}",
            Trouble.FOREIGN: "whb did not put it there and does not publish it, but pip's --find-links would see it: "
            "move it away",
        }[self.trouble]

    def __str__(self) -> str:
        path = str(self.path)
        return f"{path if path.isprintable() else repr(path)} is {self.trouble}: {self.remedy}"


class Look(NamedTuple):
    """What was found of one wheel or stub."""

    there: bool  # all its files, and right
    trouble: Trouble | None
    seen: Seen  # to be noted; nothing is known of a file that is gone or wrong


def look_at(root: Path, facts: Facts, *, thorough: bool = False) -> Look:
    """Look at the two files of a wheel, or the one of a stub. A record without a file is no trouble if unpublished."""
    path = f"{root}/{facts.filename}"
    try:
        status = os.stat(path)  # noqa: PTH116  # a Path takes ten times as long, and there may be 100,000 wheels
    except FileNotFoundError:  # its admission was interrupted, or someone removed it
        return Look(False, Trouble.MISSING if facts.published else None, Seen())
    try:
        seen, sidecar = Seen(status.st_mtime_ns), f"{path}.metadata"
        if not facts.is_stub:
            beside = os.stat(sidecar)  # noqa: PTH116
            seen = Seen(status.st_mtime_ns, beside.st_mtime_ns, beside.st_size)
        if status.st_size != facts.size:
            return Look(False, Trouble.CHANGED, Seen())
        known = Seen() if thorough else facts.seen
        if seen[1:] != known[1:] and sha256_of(Path(sidecar)) != facts.metadata_sha256:
            return Look(False, Trouble.CHANGED, Seen())
        if seen.mtime_ns != known.mtime_ns and sha256_of(Path(path)) != facts.sha256:
            return Look(False, Trouble.CHANGED, Seen())
    except FileNotFoundError:
        return Look(False, Trouble.CHANGED, Seen())
    return Look(True, None, seen)
