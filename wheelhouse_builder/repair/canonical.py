"""The canonical form of a wheel: equal content gives equal bytes, whatever built it and wherever.

Members sorted, RECORD last and itself sorted, one time for all, modes 0644 or 0755, one compression level. Upstream
tools promise none of this (auditwheel #578, cibuildwheel #2344). What build backends put into a wheel at random is
replaced by something that follows from the content: the serial number and time of a CycloneDX document (PEP 770).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import time
import uuid
import zipfile
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename

from wheelhouse_builder.artifact import parse_wheel_name
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.repair import archive

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# A signature over RECORD does not outlive a change of RECORD (PEP 815 retired them).
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")
_MAX_SBOM_BYTES = 64 << 20


def canonicalise(
    source: Path, destination_dir: Path, *, epoch: int, build: int | None = None, source_tree: Path | None = None
) -> Path:
    """Write the canonical form of the wheel `source` into `destination_dir` and return its path.

    `epoch` is the time of all members, in seconds since 1970 (clamped to what zip can tell: 1980 to 2107). `build` sets
    the build tag, in the file name and in WHEEL. `source_tree` is where the wheel was built: SBOMs forget it. Members
    are streamed; no whole file is held in memory.
    Raises `JobError` for a file that is no wheel, or one with unsafe members.
    """
    destination = destination_dir / (source.name if build is None else with_build(source.name, build))
    dist_info = f"{dist_info_of(source)}/"
    rows: list[tuple[str, str, str]] = []
    with archive.open_wheel(source) as old, zipfile.ZipFile(destination, "x") as new:
        for info in archive.members(old, source):
            name = info.filename.removeprefix(dist_info) if info.filename.startswith(dist_info) else ""
            if name == "RECORD" or name in _SIGNATURES:
                continue
            content: Iterable[bytes] = archive.read(old, info)
            if name.startswith("sboms/") and name.endswith(".json") and info.file_size <= _MAX_SBOM_BYTES:
                content = [stable_sbom(b"".join(content), epoch, source_tree)]
            elif name == "WHEEL" and build is not None:
                content = [_with_build_line(b"".join(content), build)]
            executable = archive.mode_of(info) == 0o755
            rows.append(_write(new, info.filename, content, epoch=epoch, executable=executable, size=info.file_size))
        record = f"{dist_info}RECORD"
        _write(new, record, [archive.csv_text(sorted([*rows, (record, "", "")])).encode()], epoch=epoch)
    return destination


def dist_info_of(wheel: Path) -> str:
    """The name of a wheel's one `.dist-info` folder. Raises `JobError` when the name or the content is no wheel's."""
    parse_name(wheel.name)
    with archive.open_wheel(wheel) as opened:
        return dist_info_in(opened, wheel)


def dist_info_in(opened: zipfile.ZipFile, wheel: Path) -> str:
    """The same for a wheel that is open, under any name."""
    tops = {info.filename.partition("/")[0] for info in archive.members(opened, wheel) if "/" in info.filename}
    found = [top for top in tops if top.endswith(".dist-info")]
    if len(found) != 1:
        raise JobError(f"{wheel.name} has {len(found)} .dist-info folders; a wheel has one")
    return found[0]


def parse_name(filename: str) -> None:
    """Raise `JobError` unless this is a wheel's file name."""
    try:
        parse_wheel_name(filename)
    except InvalidWheelFilename as error:
        raise JobError(f"{filename!r} is not the name of a wheel: {error}") from None


def with_build(filename: str, build: int) -> str:
    """`cffi-2.1.1-cp312-…` → `cffi-2.1.1-1-cp312-…`; a build tag that is there is replaced."""
    parts = filename.split("-")
    return "-".join([*parts[:2], str(build), *parts[-3:]])


def stable_sbom(content: bytes, epoch: int, source_tree: Path | None = None) -> bytes:
    """A CycloneDX document with the serial number and time that follow from its content; anything else unchanged.

    Cargo's identifiers of local crates hold the path of the source tree (maturin's SBOM): `/source` stands for it.
    """
    if source_tree is not None:
        content = content.replace(b"file://" + os.fsencode(source_tree), b"file:///source")
    with contextlib.suppress(ValueError):  # not JSON: somebody else's format
        document = json.loads(content)
        if isinstance(document, dict) and document.get("bomFormat") == "CycloneDX":
            metadata = document.get("metadata")
            if isinstance(metadata, dict) and "timestamp" in metadata:
                metadata["timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(epoch, 0)))
            if document.pop("serialNumber", None) is not None:
                digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()
                document["serialNumber"] = f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}"
            return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"
    return content


def _with_build_line(content: bytes, build: int) -> bytes:
    lines = [line for line in content.decode().splitlines() if line and not line.startswith("Build:")]
    at = next((number for number, line in enumerate(lines) if line.startswith("Tag:")), len(lines))
    return "".join(f"{line}\n" for line in [*lines[:at], f"Build: {build}", *lines[at:]]).encode()


def _write(
    archive_file: zipfile.ZipFile,
    name: str,
    content: Iterable[bytes],
    *,
    epoch: int,
    executable: bool = False,
    size: int = 0,
) -> tuple[str, str, str]:
    """Write one member; return its line of RECORD."""
    digest, total = hashlib.sha256(), 0
    info = archive.new_member(name, executable, epoch)
    info.file_size = size  # lets zipfile choose the long form of the header for a huge member
    with archive_file.open(info, "w") as stream:
        for chunk in content:
            stream.write(chunk)
            digest.update(chunk)
            total += len(chunk)
    encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    return name, f"sha256={encoded}", str(total)
