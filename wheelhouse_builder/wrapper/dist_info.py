"""The metadata folder of a wheel, as `prepare_metadata_for_build_wheel` hands it out."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from wheelhouse_builder.errors import DamagedError
from wheelhouse_builder.files import reading_zip

# "The RECORD file … need not be generated" and says nothing of a folder alone (PEP 517); the others sign it.
_LEFT_OUT = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s"})


def extract_dist_info(wheel: Path, folder: Path) -> str:
    """Write the `.dist-info` folder of a wheel below `folder`; returns its name. Raises `JobError`, `DamagedError`."""
    with reading_zip(f"{wheel.name} cannot be read"), ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if _is_of_dist_info(PurePosixPath(name))]
        tops = {PurePosixPath(name).parts[0] for name in members}
        if len(tops) != 1:
            raise DamagedError(f"{wheel.name} has {len(tops)} .dist-info folders")
        archive.extractall(folder, [name for name in members if PurePosixPath(name).name not in _LEFT_OUT])
    return tops.pop()


def _is_of_dist_info(path: PurePosixPath) -> bool:
    return len(path.parts) > 1 and path.parts[0].endswith(".dist-info") and ".." not in path.parts
