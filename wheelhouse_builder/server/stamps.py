"""Whether files changed since they were looked at: certificates, secrets, sockets under a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Stamps = tuple[tuple[int, ...], ...]


def stamps_of(paths: Iterable[Path]) -> Stamps:
    """What tells one content of these files from the next; a file that is not there has an empty stamp."""
    return tuple(map(_stamp, paths))


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
