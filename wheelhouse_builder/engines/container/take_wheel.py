"""Runs inside the container, in the place of a repair: the wheel as it is, and the libraries that it needs beside it.

    take_wheel.py WHEEL WHEEL-FOLDER LIBRARY-FOLDER

Beside them it notes, in the file MEMORY, the most memory that the container had: who is outside cannot meter it.
Which shared libraries an ELF file needs, and where they are, only the image's own loader knows. Repair itself is the
same for all engines and needs nothing of the image (`repair.musllinux`). Standard library only.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

RESOLVED = re.compile(r"^\s*(\S+) => (/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)
OF_MUSL = ("libc.", "ld-musl-")
ELF = b"\x7fELF"
MEMORY = ".memory-peak"
# Bytes, with what is cached of files, as control groups of version 2 and of version 1 have it.
PEAKS = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")


def main(wheel: Path, wheels: Path, libraries: Path) -> None:
    libraries.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(wheel) as archive:
        for number, name in enumerate(archive.namelist()):
            with archive.open(name) as member:
                if member.read(len(ELF)) != ELF:
                    continue
            file = Path(scratch, str(number))
            file.write_bytes(archive.read(name))
            for soname, path in needed(file).items():
                if not soname.startswith(OF_MUSL):
                    shutil.copyfile(path, libraries / Path(soname).name)
    for peak in PEAKS:
        with suppress(OSError):
            Path(libraries, MEMORY).write_text(Path(peak).read_text(encoding="ascii"), encoding="ascii")
            break
    shutil.move(str(wheel), wheels / wheel.name)


def needed(file: Path) -> dict[str, str]:
    """Where each shared library is that a file needs, itself or through others.

    musl's ldd fails where the symbols of Python itself are not found, which is as it should be; what it says counts.
    """
    said = subprocess.run(["ldd", str(file)], capture_output=True, text=True, errors="replace", check=False)  # noqa: S607
    return dict(RESOLVED.findall(said.stdout))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
