"""RECORD: the wheel's own list of its files, held against what is there.

Installers use it to uninstall and do not compare the hashes, so a changed member goes unnoticed until it is imported.
The binary distribution format wants every file listed, with its hash, but RECORD itself and its signatures.
"""

from __future__ import annotations

import base64
import csv
import hashlib
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import JobError
from wheelhouse_builder.repair import archive
from wheelhouse_builder.repair.canonical import dist_info_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from zipfile import ZipFile, ZipInfo

_MAX_BYTES = 64 << 20
_UNLISTED = ("RECORD.jws", "RECORD.p7s")  # signatures over it (PEP 815 retired them)


def require_record(wheel: Path) -> None:
    """Read every member and compare it with RECORD; a row without a hash or size is taken as it is.

    Raises `JobError` when RECORD or WHEEL is missing, a file is not listed or listed and not there, or has another hash
    or size, and when a member cannot be read.
    """
    dist_info = dist_info_of(wheel)
    with archive.open_wheel(wheel) as opened:
        members = {info.filename: info for info in archive.members(opened, wheel)}
        for name in ("WHEEL", "RECORD"):
            if f"{dist_info}/{name}" not in members:
                raise JobError(f"{wheel.name} has no {dist_info}/{name}")
        rows = _rows(opened, members[f"{dist_info}/RECORD"], wheel)
        unlisted = {f"{dist_info}/{name}" for name in _UNLISTED}
        if strange := sorted((rows.keys() ^ members.keys()) - unlisted):
            there = "is not in RECORD" if strange[0] in members else "is in RECORD only"
            raise JobError(f"{wheel.name}: {strange[0]} {there}")
        for name, info in members.items():
            _require_row(wheel, name, archive.read(opened, info), rows.get(name, ("", "")))


def _rows(opened: ZipFile, info: ZipInfo, wheel: Path) -> Mapping[str, tuple[str, str]]:
    if info.file_size > _MAX_BYTES:
        raise JobError(f"{wheel.name} has {info.file_size} bytes of RECORD; that is no honest file")
    try:
        lines = b"".join(archive.read(opened, info)).decode().splitlines()
        rows = [row for row in csv.reader(lines) if row]
        found = {path: (digest, size) for path, digest, size in rows}
    except (ValueError, csv.Error) as error:
        raise JobError(f"the RECORD of {wheel.name} cannot be read: {error}") from None
    if len(found) != len(rows):
        raise JobError(f"the RECORD of {wheel.name} lists a file twice")
    return found


def _require_row(wheel: Path, name: str, content: Iterable[bytes], row: tuple[str, str]) -> None:
    told, told_size = row
    algorithm, _, expected = told.partition("=")
    if told and algorithm not in ("sha256", "sha384", "sha512"):
        raise JobError(f"{wheel.name}: RECORD has a hash of the kind {algorithm!r} for {name}")
    digest, size = hashlib.new(algorithm or "sha256"), 0
    for chunk in content:
        digest.update(chunk)
        size += len(chunk)
    found = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    if (told and found != expected.rstrip("=")) or (told_size and told_size != str(size)):
        raise JobError(f"{wheel.name}: {name} is not what RECORD says: the wheel is damaged, or was changed")
