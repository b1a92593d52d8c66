"""Source distributions unpacked with limits: each member is checked against where it would land."""

from __future__ import annotations

import calendar
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn

from wheelhouse_builder.errors import JobError
from wheelhouse_builder.files import (
    CHUNK_BYTES,
    EARLIEST_EPOCH,
    MAX_DEPTH,
    MAX_MEMBERS,
    MAX_UNPACKED_BYTES,
    raise_disk_error,
)

MAX_RATIO = 200  # unpacked : packed; gzip cannot reach it with text, only with a bomb
RATIO_FREE_BYTES = 64 << 20  # small archives of zeros hurt nobody

_BAD_DATA = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


def unpack_sdist(archive: Path, destination: Path) -> Path:
    """Unpack a .tar.gz or .zip (also .tar.bz2, .tar.xz) into an empty directory, and return its one top directory.

    Modes become 644 or 755; times are kept, since `make` goes by them. Raises `JobError` naming archive and member for
    whatever would land outside, is no file, directory or link, or breaks a limit.
    """
    unpacker = _Unpacker(archive, destination)
    try:
        (_feed_zip if archive.name.endswith(".zip") else _feed_tar)(archive, unpacker)
        return unpacker.finish()
    except _BAD_DATA as error:
        raise _damaged(archive, f"damaged archive: {error}") from None
    except OSError as error:
        if error.errno is None:  # how gzip and bz2 report bad data
            raise _damaged(archive, f"damaged archive: {error}") from None
        raise_disk_error(error, destination)


def _damaged(archive: Path, problem: str) -> JobError:
    return JobError(f"{archive.name} is refused: {problem}", hint="a good sdist is not like this: tell its project")


class _Unpacker:
    """Writes members below one directory, within limits.

    Links are made last, so that no file is ever written through one. Python's own `data` filter (PEP 706) is not relied
    upon: early 3.11 has none, and it could be got round before 3.11.13 and 3.12.11 (CVE-2025-4517).
    """

    def __init__(self, archive: Path, destination: Path) -> None:
        self._archive = archive
        self._packed = archive.stat().st_size
        self._destination = destination
        self._members = 0
        self._bytes = 0
        self._tops: set[str] = set()
        self._folders: set[Path] = set()  # those that are there
        self._links: dict[tuple[str, ...], tuple[str, bool]] = {}

    def refuse(self, member: str, problem: str) -> NoReturn:
        raise _damaged(self._archive, f"member {member!r} {problem}")

    def directory(self, member: str) -> None:
        """Make a directory, and those above it."""
        parts = self._place(member)
        if parts:
            self._make_folder(member, self._destination.joinpath(*parts))

    def file(self, member: str, stream: IO[bytes], *, executable: bool, mtime: int) -> None:
        """Write a file; a later member of the same name replaces an earlier one."""
        parts = self._place(member)
        target = self._destination.joinpath(*parts)
        if len(parts) < 2 or target in self._folders:
            self.refuse(member, "is a file where a directory should be")
        self._links.pop(parts, None)
        self._make_folder(member, target.parent)
        with target.open("wb") as unpacked:
            for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
                self._count(len(chunk))
                unpacked.write(chunk)
        target.chmod(0o755 if executable else 0o644)
        os.utime(target, (mtime, mtime))

    def link(self, member: str, target: str, *, hard: bool) -> None:
        """Remember a link, for `finish`."""
        self._links[self._place(member)] = (target, hard)

    def finish(self) -> Path:
        """Make the links, and return the one top directory."""
        for parts, (target, hard) in self._links.items():
            self._make_link(parts, target, hard)
        top = self._destination / min(self._tops, default="")
        if len(self._tops) != 1 or not top.is_dir():
            raise _damaged(self._archive, f"{len(self._tops)} entries at its top instead of one directory")
        return top

    def _place(self, member: str) -> tuple[str, ...]:
        """Where a member lands, as path components below the destination."""
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise _damaged(self._archive, f"more than {MAX_MEMBERS} members")
        path = PurePosixPath(member)
        if path.is_absolute() or ".." in path.parts:
            self.refuse(member, "would land outside of the destination")
        if len(path.parts) > MAX_DEPTH:
            self.refuse(f"{member[:100]}…", f"lies deeper than {MAX_DEPTH} folders")
        self._tops.update(path.parts[:1])
        return path.parts

    def _count(self, number: int) -> None:
        self._bytes += number
        if self._bytes > MAX_UNPACKED_BYTES:
            raise _damaged(self._archive, f"it unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB")
        if self._bytes > RATIO_FREE_BYTES and self._bytes > MAX_RATIO * self._packed:
            raise _damaged(self._archive, f"it unpacks to more than {MAX_RATIO} times its size, like a zip bomb")

    def _make_folder(self, member: str, folder: Path) -> None:
        if folder in self._folders:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            self.refuse(member, "lies below a file")
        self._folders.update((folder, *folder.parents))

    def _make_link(self, parts: tuple[str, ...], target: str, hard: bool) -> None:
        """`..` only at the start: after a name it could climb out through another link."""
        member = "/".join(parts)
        goal = PurePosixPath(target)
        ups = sum(1 for _ in takewhile(lambda part: part == "..", goal.parts))
        depth = 0 if hard else len(parts) - 2  # a hard link's target counts from the top of the archive
        place = self._destination.joinpath(*parts)
        if len(parts) < 2 or place in self._folders:
            self.refuse(member, "is a link where a directory should be")
        if goal.is_absolute() or ".." in goal.parts[ups:] or ups > depth:
            self.refuse(member, f"is a link to {target!r}, outside of the archive")
        self._make_folder(member, place.parent)
        place.unlink(missing_ok=True)
        if not hard:
            place.symlink_to(target)
            return
        original = self._destination.joinpath(*goal.parts)
        if original.is_symlink() or not original.is_file():
            self.refuse(member, f"is a hard link to {target!r}, which is no file of the archive")
        self._count(original.stat().st_size)
        shutil.copy2(original, place)


def _feed_tar(archive: Path, unpacker: _Unpacker) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdir():
                unpacker.directory(member.name)
            elif member.issym() or member.islnk():
                unpacker.link(member.name, member.linkname, hard=member.islnk())
            elif member.isreg() and (stream := tar.extractfile(member)) is not None:
                executable = bool(member.mode & 0o100)
                unpacker.file(member.name, stream, executable=executable, mtime=int(member.mtime))
            else:
                unpacker.refuse(member.name, "is neither a file nor a directory nor a link")


def _feed_zip(archive: Path, unpacker: _Unpacker) -> None:
    with zipfile.ZipFile(archive) as container:
        for info in container.infolist():
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                unpacker.refuse(info.filename, "is neither a file nor a directory")
            if info.flag_bits & 1:
                unpacker.refuse(info.filename, "is encrypted")
            if info.is_dir():
                unpacker.directory(info.filename)
                continue
            with container.open(info) as stream:
                unpacker.file(info.filename, stream, executable=bool(mode & 0o100), mtime=_zip_time(info))


def source_date_epoch(archive: Path) -> int:
    """The newest modification time in an sdist, in seconds since 1970; at least 1980-01-01, which zip can hold."""
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as container:
            times = [_zip_time(info) for info in container.infolist()]
    else:
        with tarfile.open(archive) as tar:
            times = [int(member.mtime) for member in tar]
    return max([EARLIEST_EPOCH, *times])


def _zip_time(info: zipfile.ZipInfo) -> int:
    """A zip member's time as if it were UTC: zip does not say which zone it is."""
    try:
        return calendar.timegm(info.date_time)
    except ValueError:  # month 0 and the like
        return EARLIEST_EPOCH
