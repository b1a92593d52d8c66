"""Get a host Python: by uv, from the system's packages, or compiled from a Debian source package; in this order.

Debian's source packages are checked by apt against the archive's signature, and newer suites have Pythons that the
running one lacks.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.engines.cross.interpreter import HostPython, find_python
from wheelhouse_builder.errors import JobError, MachineError, WhbError
from wheelhouse_builder.process import Canceller, base_environment, run
from wheelhouse_builder.sources.archives import unpack_sdist

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = 1800
_SOURCE_SUITES = ("trixie", "sid")
_NEEDED = ("build-essential", "libffi-dev", "libssl-dev", "xz-utils", "zlib1g-dev")
_CONFIGURE = ("--without-ensurepip", "--disable-test-modules", "--with-pkg-config=yes")


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    minor: str  # 3.14
    cache: Path
    log: Path
    canceller: Canceller

    def run(self, *argv: str | Path, cwd: Path | None = None) -> None:
        """Run one step, logged."""
        own = {"UV_CACHE_DIR": str(self.cache / "uv"), "HOME": str(Path.home()), "DEBIAN_FRONTEND": "noninteractive"}
        environment = base_environment(own)
        run(argv, env=environment, cwd=cwd, log=self.log, canceller=self.canceller, timeout=_SECONDS)


def install_python(python: tuple[int, int], cache: Path, *, log: Path, canceller: Canceller) -> HostPython:
    """Get a host Python of this minor version, with its headers.

    Raises `MachineError` saying what was tried, if no way leads to one.
    """
    wanted = _Wanted(minor=f"{python[0]}.{python[1]}", cache=cache, log=log, canceller=canceller)
    ways: dict[str, Callable[[_Wanted], None]] = {"uv": _with_uv}
    if os.geteuid() == 0 and shutil.which("apt-get"):
        ways |= {"the system's packages": _from_packages, "a source package": _from_source}
    for way in ways.values():
        try:
            way(wanted)
        except (JobError, MachineError):
            continue  # the log has the reason; the next way may do
        if found := find_python(python, cache):
            return found
    raise MachineError(
        f"no Python {wanted.minor} with its headers was found, nor could it be had by {', '.join(ways)} (log: {log})",
        hint=f"install it with pyenv (`pyenv install {wanted.minor}`) or your system's packages, headers included",
    )


def _with_uv(wanted: _Wanted) -> None:
    import uv  # noqa: PLC0415 - an extra, needed here only

    folder = wanted.cache / "python"
    wanted.run(uv.find_uv_bin(), "python", "install", "--no-bin", "--install-dir", folder, wanted.minor)


def _from_packages(wanted: _Wanted) -> None:
    name = f"python{wanted.minor}"
    wanted.run("apt-get", "install", "-y", "-q", f"{name}-dev", f"{name}-venv")


def _from_source(wanted: _Wanted) -> None:
    wanted.run("apt-get", "install", "-y", "-q", "--no-install-recommends", *_NEEDED)
    with tempfile.TemporaryDirectory(prefix="whb-python-") as scratch:
        folder = Path(scratch)
        archive = _fetch_source(wanted, folder)
        version = archive.name.split("_")[1].removesuffix(".orig.tar.xz")
        tree = unpack_sdist(archive, folder / "source")
        prefix = wanted.cache / "python" / f"cpython-{version}-source"
        stage = folder / "stage"
        wanted.run("./configure", "--quiet", f"--prefix={prefix}", *_CONFIGURE, cwd=tree)
        wanted.run("make", f"-j{os.cpu_count()}", cwd=tree)
        wanted.run("make", "altinstall", f"DESTDIR={stage}", cwd=tree)
        prefix.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(prefix, ignore_errors=True)
        shutil.move(stage / prefix.relative_to("/"), prefix)


def _fetch_source(wanted: _Wanted, folder: Path) -> Path:
    """The original source archive of the first suite that has this Python. apt's own lists stay as they are."""
    for suite in _SOURCE_SUITES:
        lists = folder / suite
        (lists / "partial").mkdir(parents=True)
        (folder / f"{suite}.sources").write_text(_source_list(suite), encoding="utf-8")
        options = [
            *("-o", f"Dir::Etc::sourcelist={folder / suite}.sources", "-o", "Dir::Etc::sourceparts=-"),
            *("-o", f"Dir::State::lists={lists}"),
        ]
        try:
            wanted.run("apt-get", *options, "-q", "update")
            wanted.run("apt-get", *options, "-q", "source", "--download-only", f"python{wanted.minor}", cwd=folder)
        except WhbError:
            wanted.canceller.check()  # a patch archive may be gone: the original is all that is wanted
        if found := sorted(folder.glob(f"python{wanted.minor}_*.orig.tar.xz")):
            return found[-1]
    raise MachineError(f"no Debian suite has a source package of Python {wanted.minor}")


def _source_list(suite: str) -> str:
    """This machine's mirror, as a list with nothing but the sources of one suite (deb822, sources.list(5))."""
    for file in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        stanza = file.read_text(encoding="utf-8").split("\n\n")[0]
        lines = dict(line.split(":", 1) for line in stanza.splitlines() if ":" in line and not line.startswith("#"))
        if "Types" in lines and "main" in lines.get("Components", "") and "debian" in lines.get("URIs", ""):
            return "".join(
                f"{name}:{value}\n" for name, value in (lines | {"Types": " deb-src", "Suites": f" {suite}"}).items()
            )
    raise MachineError("apt's list of sources is not in a form that whb reads")
