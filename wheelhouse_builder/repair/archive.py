"""A wheel as a zip file: read with distrust, written in one canonical form.

Whatever a build backend or a server handed over, only regular files with plain relative names come out of it, within
limits; and whatever goes in is written with a fixed order, time, mode and compression, so that equal content gives
equal bytes.
"""

from __future__ import annotations

import calendar
import csv
import io
import shutil
import stat
import time
import zipfile
from typing import TYPE_CHECKING, BinaryIO

from wheelhouse_builder.errors import JobError
from wheelhouse_builder.files import CHUNK_BYTES, EARLIEST_EPOCH, MAX_MEMBERS, MAX_UNPACKED_BYTES, reading_zip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_ODD_PARTS = frozenset({"", ".", ".."})
LATEST_EPOCH = calendar.timegm((2107, 12, 31, 23, 59, 58))  # a zip file tells no later time


def members(archive: zipfile.ZipFile, wheel: Path) -> list[zipfile.ZipInfo]:
    """The regular files of a wheel, sorted by name.

    Raises `JobError` for a name that leaves the folder or is not plain, a link, a name given twice or to a folder too,
    and for more members or bytes than any wheel has (`MAX_MEMBERS`, `MAX_UNPACKED_BYTES`).
    """
    files = [info for info in archive.infolist() if not info.filename.endswith("/")]
    if len(files) > MAX_MEMBERS or sum(info.file_size for info in files) > MAX_UNPACKED_BYTES:
        raise JobError(f"{wheel.name} unpacks to more than a wheel may hold")
    seen: set[str] = set()
    folders = {folder for info in files for folder in _folders(info.filename)}
    for info in files:
        if not is_plain(info.filename) or info.filename in seen or info.filename in folders:
            raise JobError(f"{wheel.name} holds a file with the unsafe or repeated name {info.filename!r}")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise JobError(f"{wheel.name} holds {info.filename!r}, which is no regular file")
        seen.add(info.filename)
    return sorted(files, key=lambda info: info.filename)


def is_plain(name: str) -> bool:
    """Whether a member's name is a relative path of ordinary parts, spelt the one way there is."""
    return "\\" not in name and name.isprintable() and _ODD_PARTS.isdisjoint(name.split("/"))


def _folders(name: str) -> Iterator[str]:
    while name := name.rpartition("/")[0]:
        yield name


def open_wheel(wheel: Path, stream: BinaryIO | None = None) -> zipfile.ZipFile:
    """Open a wheel for reading, or take it as `stream` where it is open. Raises `JobError` when it is no zip file."""
    with reading_zip(f"{wheel.name} is not a readable zip file"):
        return zipfile.ZipFile(stream or wheel)


def read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content of a member, in chunks. Raises `JobError` when it is damaged or encrypted."""
    what = f"{info.filename!r} in {str(archive.filename).rpartition('/')[2]} cannot be read"
    with reading_zip(what), archive.open(info) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def unpack(wheel: Path, destination: Path) -> None:
    """Unpack a wheel into an empty folder, keeping only whether a file is executable. Raises `JobError`."""
    with open_wheel(wheel) as archive:
        for info in members(archive, wheel):
            path = destination / info.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as stream:
                stream.writelines(read(archive, info))
            path.chmod(mode_of(info))


def pack(source: Path, wheel: Path, record: str) -> None:
    """Write the files under `source` to a wheel, uncompressed: a step on the way, for a tool that packs again.

    RECORD (called `record` in the archive) names every file, hashes left out, since that tool only looks at what is
    named there.
    """
    paths = {path.relative_to(source).as_posix(): path for path in source.rglob("*") if path.is_file()}
    rows = [[name, "", ""] for name in sorted(paths.keys() | {record})]
    (source / record).write_text(csv_text(rows), encoding="utf-8")
    paths[record] = source / record
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, path in sorted(paths.items()):
            info = new_member(name, path.stat().st_mode & 0o111 != 0, EARLIEST_EPOCH)
            info.compress_type = zipfile.ZIP_STORED
            info.file_size = path.stat().st_size
            with path.open("rb") as content, archive.open(info, "w") as stream:
                shutil.copyfileobj(content, stream, CHUNK_BYTES)


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """RECORD's form of CSV."""
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def mode_of(info: zipfile.ZipInfo) -> int:
    """0755 for what somebody may execute, else 0644."""
    return 0o755 if (info.external_attr >> 16) & 0o111 else 0o644


def new_member(name: str, executable: bool, epoch: int) -> zipfile.ZipInfo:
    """The header of a member in canonical form. `epoch` is in seconds since 1970, clamped to what zip can tell."""
    moment = time.gmtime(min(max(epoch, EARLIEST_EPOCH), LATEST_EPOCH))
    info = zipfile.ZipInfo(name, moment[:6])
    info.create_system = 3  # Unix, on every host
    info.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    info.compress_type = zipfile.ZIP_DEFLATED  # at zlib's default level, 6
    return info


def epoch_of(wheel: Path) -> int:
    """The newest time that a wheel's members carry, in seconds since 1970 (read as UTC)."""
    with open_wheel(wheel) as archive:
        return max((calendar.timegm(info.date_time) for info in archive.infolist()), default=EARLIEST_EPOCH)
