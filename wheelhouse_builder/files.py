"""Files and archives, whatever is in them: digests, writing that shows a whole file or none, limits."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from wheelhouse_builder.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 1 << 20  # read at a time: nothing is held in memory whole

# Limits for archives from outside: the largest sdists and wheels in use have some 40 000 members and 1 GB.
MAX_MEMBERS = 200_000
MAX_DEPTH = 200  # folders in each other: many libraries go down by recursion
MAX_UNPACKED_BYTES = 8 << 30

EARLIEST_EPOCH = 315_532_800  # 1980-01-01 UTC: a zip file tells no earlier time


def sha256_of(path: Path) -> str:
    """The digest of a file, in hexadecimal. Raises `OSError`."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def reading_zip(what: str, *, hint: str | None = None) -> Iterator[None]:
    """Tell that a zip file is damaged or encrypted as a `JobError`: `what`, and why. Raises `OSError` of the disk."""
    try:
        yield
    except _zip_damage() as error:
        # bzip2 and a place before the start of the file are told as errors of the operating system, too
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise JobError(f"{what}: {error}", hint=hint) from error


def _zip_damage() -> tuple[type[Exception], ...]:
    """What `zipfile` and the decompressors under it meet a damaged file with."""
    import lzma  # noqa: PLC0415 - hooks of the wrapper load this module, and mostly read no zip file
    import struct  # noqa: PLC0415
    import zipfile  # noqa: PLC0415
    import zlib  # noqa: PLC0415

    # RuntimeError: NotImplementedError is one
    return zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, struct.error, OSError


def settle(made: Path, final: Path) -> None:
    """Give a finished folder its name, once all in it is on the disk: after a power cut the name stands for the whole.

    Raises `OSError`, also where the name is taken.
    """
    for path in (made, *made.rglob("*")):
        if not path.is_symlink():
            _flush(path)
    made.rename(final)
    _flush(final.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that readers see the old content or the new, never a part."""
    import tempfile  # noqa: PLC0415 - as above

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())  # else a power cut may leave the name without the content
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def raise_disk_error(error: OSError, path: Path) -> NoReturn:
    """Tell the operating system's refusal to write `path`, in whb's cache, as a `JobError`."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        raise JobError(
            f"no space left on the disk for {path}",
            hint="free some; WHB_CACHE_DIR chooses another disk",
            kind="disk-full",
        ) from error
    raise JobError(f"cannot write {path}: {error.strerror or error}") from error
