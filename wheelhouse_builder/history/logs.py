"""The logs of attempts that gave no wheel: `attempts/` among the wheelhouse's logs, packed with zstd.

That of a build that gave one is kept beside the wheel, as gzip, which every browser reads (`builds.packed_log`).
"""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.job_log import shown
from wheelhouse_builder.zstd import zstd

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

_SUFFIX = ".log.zst"
_LEVEL = 9  # 4 MB of compiler output in 0.1 s


def keep_log(log: Path, folder: Path, job: str, started: datetime) -> str | None:
    """Keep the log of an attempt, redacted and of a huge one both ends; its name, or None where there is nothing.

    The file is there whole or not at all. Raises `OSError`.
    """
    if not log.is_file() or not log.stat().st_size:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{job}.{started:%Y%m%dT%H%M%S.%fZ}{_SUFFIX}"
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(zstd.compress(shown(log), _LEVEL))
        Path(temporary).replace(folder / name)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return name


def read_log(path: Path) -> str:
    """The text of a log: packed as here, as gzip, or plain. Raises `OSError` if it cannot be read."""
    content = path.read_bytes()
    try:
        if path.suffix == ".zst":
            content = zstd.decompress(content)
        elif path.suffix == ".gz":
            content = gzip.decompress(content)
    except (zstd.ZstdError, zlib.error, EOFError) as error:
        raise OSError(f"{path} is damaged: {error}") from error
    return content.decode(errors="replace")


def prune_logs(folder: Path, keep: Collection[str], *, plain: datetime, packed: datetime) -> None:
    """Remove what is older: plain logs of jobs in `folder`, and packed ones of attempts that are not to be kept.

    A plain one is of use until the next run: what failed is packed by then, and what was built has its own.
    Raises `OSError`.
    """
    attempts = [path for path in folder.glob("attempts/*") if path.name not in keep]
    for paths, since in ((list(folder.glob("*.log")), plain), (attempts, packed)):
        for path in paths:
            if path.stat().st_mtime < since.timestamp():
                path.unlink(missing_ok=True)
