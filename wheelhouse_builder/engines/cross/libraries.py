"""C libraries that packages link: built once per architecture, static and position-independent, kept in the cache.

A library's prefix is `<cache>/libraries/<name>-<version>-<key>/<arch>`, where the key covers the recipe (the source's
checksum is in it) and the compilers; a prefix that is there is whole. Builds are configured for /usr and staged, so no
path of this machine gets into the archives, and the prefix holds headers, archives and .pc files only.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from wheelhouse_builder.artifact import RemoteFile
from wheelhouse_builder.engines.cross.crates import fetch_crate
from wheelhouse_builder.engines.cross.pkgconfig import write_pkg_config
from wheelhouse_builder.engines.cross.rust import find_rust
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.files import settle
from wheelhouse_builder.locking import locked
from wheelhouse_builder.process import Canceller, base_environment, run
from wheelhouse_builder.recipes.model import BuildSystem, LibraryRecipe, UrlSource
from wheelhouse_builder.recipes.store import load_library
from wheelhouse_builder.sources.archives import unpack_sdist
from wheelhouse_builder.sources.downloads import Downloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from wheelhouse_builder.engines.cross.zig import ZigTools

# Counted up when this module makes something else of the same recipe.
_REVISION = "1"

_FLAGS = "-O2 -fPIC"
_EPOCH = "315532800"  # 1980-01-01: the time that OpenSSL writes into libcrypto
_NEEDED = {
    BuildSystem.AUTOTOOLS: ("make",),
    BuildSystem.CMAKE: ("cmake", "make"),
    BuildSystem.OPENSSL: ("perl", "make"),
    BuildSystem.SOURCES: (),
}


def ensure_libraries(
    names: Iterable[str],
    tools: ZigTools,
    *,
    cache: Path,
    jobs: int,
    offline: bool,
    log: Path,
    canceller: Canceller,
    phase: Callable[[str], None],
) -> dict[str, Path]:
    """Have these libraries for the tools' architecture; the prefix of each. `phase` is told what is being built.

    Raises `UsageError` (no such recipe), `MachineError` (cargo, make or perl is missing), `JobError`, `Cancelled`.
    """
    prefixes = {}
    for recipe in map(load_library, names):
        prefix = library_prefix(recipe, tools, cache)
        if not prefix.is_dir():
            phase(f"library {recipe.name}")
            build_library(recipe, tools, cache=cache, jobs=jobs, offline=offline, log=log, canceller=canceller)
        prefixes[recipe.name] = prefix
    return prefixes


def library_prefix(recipe: LibraryRecipe, tools: ZigTools, cache: Path) -> Path:
    """Where a library is, or will be."""
    # The wrapper holds the flags. Where zig itself lies does not matter, and the folder names the architecture.
    compiler = (tools.bin / "cc").read_text(encoding="utf-8").replace(str(tools.zig), "zig")
    compiler = compiler.replace(tools.arch, "")
    parts = (_REVISION, recipe.digest, tools.version, compiler)
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return cache / "libraries" / f"{recipe.name}-{recipe.version}-{key}" / tools.arch


def build_library(
    recipe: LibraryRecipe,
    tools: ZigTools,
    *,
    cache: Path,
    jobs: int,
    offline: bool,
    log: Path,
    canceller: Canceller,
) -> Path:
    """Build one library, if no other process has done it meanwhile; its prefix. Raises as `ensure_libraries`."""
    prefix = library_prefix(recipe, tools, cache)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with locked(prefix.with_name(f".{tools.arch}.lock"), canceller):
        if prefix.is_dir():
            return prefix
        _require_programs(recipe)
        # The same path each time: zig's object cache knows its sources by path.
        work = prefix.with_name(f".{tools.arch}.work")
        shutil.rmtree(work, ignore_errors=True)
        build = _Build(recipe=recipe, tools=tools, work=work, jobs=jobs, log=log, canceller=canceller)
        work.mkdir()
        _unpack(build, cache, offline=offline)
        _BUILDERS[recipe.build_system](build)
        _check(build)
        settle(_keep_what_serves(build.stage / "usr"), prefix)
        shutil.rmtree(work)
    return prefix


def _require_programs(recipe: LibraryRecipe) -> None:
    for program in _NEEDED[recipe.build_system]:
        if shutil.which(program) is None:
            raise MachineError(
                f"{program} is not on this machine, and the C library {recipe.name} is built with it",
                hint=f"install {program} with the system's package manager (`apt-get install {program}`)",
            )


# One build


@dataclass(frozen=True, kw_only=True)
class _Build:
    recipe: LibraryRecipe
    tools: ZigTools
    work: Path
    jobs: int
    log: Path
    canceller: Canceller

    @property
    def source(self) -> Path:
        """A copy of the library's source, to be built in."""
        return self.work / "source"

    @property
    def stage(self) -> Path:
        """DESTDIR: the library is installed to `usr` below it."""
        return self.work / "stage"

    def run(self, *argv: str, env: Mapping[str, str] | None = None) -> None:
        """Run a step in the source folder."""
        path = f"{self.tools.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        environment = {
            **self.tools.environment,
            **write_pkg_config(self.work / "pkg-config", ()),
            # By name: what a build writes down of its compiler must not hold our paths.
            "CC": "cc",
            "CXX": "c++",
            "AR": "ar",
            "RANLIB": "ranlib",
            "PATH": path,
            "SOURCE_DATE_EPOCH": _EPOCH,
            "DESTDIR": str(self.stage),
            **(env or {"CFLAGS": _FLAGS, "CXXFLAGS": _FLAGS}),
        }
        what = f"building the C library {self.recipe.name} ({Path(argv[0]).name})"
        run(
            argv,
            env=base_environment(environment),
            cwd=self.source,
            log=self.log,
            canceller=self.canceller,
            what=what,
        )


def _unpack(build: _Build, cache: Path, *, offline: bool) -> None:
    source = build.recipe.source
    if isinstance(source, UrlSource):
        suffix = ".zip" if source.url.endswith(".zip") else ".tar.gz"
        # The name of an sdist is what Downloads takes; the digest is what it goes by.
        name, filename = canonicalize_name(build.recipe.name), f"{build.recipe.name}-0{suffix}"
        file = RemoteFile(name=name, version=None, filename=filename, url=source.url, sha256=source.sha256)
        with closing(Downloads(cache=cache, offline=offline, canceller=build.canceller)) as downloads:
            top = unpack_sdist(downloads.fetch(file), build.work / "unpacked")
        (top / source.path).rename(build.source)
        return
    rust = find_rust(cache)
    if rust is None:
        raise MachineError(
            f"cargo is not on this machine, and it fetches the source of the C library {build.recipe.name}",
            hint="`whb doctor --install` gets it",
        )
    crate = fetch_crate(
        source, cargo=rust.cargo, cache=cache, log=build.log, canceller=build.canceller, offline=offline
    )
    shutil.copytree(crate / source.path, build.source)


def _autotools(build: _Build) -> None:
    options = ("--prefix=/usr", "--disable-shared", "--enable-static", "--disable-dependency-tracking")
    build.run("./configure", "--quiet", *options, *build.recipe.options)  # crosses by CONFIG_SITE
    build.run("make", f"-j{build.jobs}")
    build.run("make", "install", f"DESTDIR={build.stage}")


def _cmake(build: _Build) -> None:
    options = {
        "CMAKE_TOOLCHAIN_FILE": build.tools.cmake_toolchain,
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_INSTALL_PREFIX": "/usr",
        "CMAKE_INSTALL_LIBDIR": "lib",
        "CMAKE_POSITION_INDEPENDENT_CODE": "ON",
        "BUILD_SHARED_LIBS": "OFF",
    }
    build.run(
        "cmake", "-B", "whb-build", *(f"-D{name}={value}" for name, value in options.items()), *build.recipe.options
    )
    build.run("cmake", "--build", "whb-build", "--parallel", str(build.jobs))
    build.run("cmake", "--install", "whb-build")


def _openssl(build: _Build) -> None:
    # OPENSSLDIR is compiled in: /etc/ssl holds Alpine's CA certificates and openssl.cnf.
    places = ("--prefix=/usr", "--libdir=lib", "--openssldir=/etc/ssl")
    no_flags = {"CFLAGS": ""}  # in the environment they would replace Configure's own, -O3 among them
    configure = ("perl", "./Configure", f"linux-{build.tools.arch}", *places, *build.recipe.options, "-fPIC")
    build.run(*configure, env=no_flags)
    build.run("make", f"-j{build.jobs}", "build_libs", env=no_flags)
    build.run("make", "install_dev", f"DESTDIR={build.stage}", env=no_flags)


def _sources(build: _Build) -> None:
    recipe = build.recipe
    files = sorted(str(path.relative_to(build.source)) for glob in recipe.compile for path in build.source.glob(glob))
    if not files:
        raise JobError(f"library {recipe.name}: nothing matches {', '.join(recipe.compile)}", log=build.log)
    for file in files:  # `zig cc -c` with several files writes one object and says nothing (0.17.1)
        build.run("cc", *_FLAGS.split(), *recipe.options, "-c", file)
    usr, archive = build.stage / "usr", recipe.archives[0]
    (usr / "lib/pkgconfig").mkdir(parents=True)
    build.run("ar", "rcs", str(usr / "lib" / archive), *(f"{Path(file).stem}.o" for file in files))
    for header in recipe.headers:
        (usr / "include" / header).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(build.source / header, usr / "include" / header)
    for name in recipe.pkg_config:
        text = (
            "prefix=/usr\nlibdir=${prefix}/lib\nincludedir=${prefix}/include\n\n"
            f"Name: {name}\nDescription: {recipe.name}\nVersion: {recipe.version}\n"
            f"Libs: -L${{libdir}} -l{Path(archive).stem.removeprefix('lib')}\nCflags: -I${{includedir}}\n"
        )
        (usr / "lib/pkgconfig" / f"{name}.pc").write_text(text, encoding="utf-8")


_BUILDERS: Mapping[BuildSystem, Callable[[_Build], None]] = {
    BuildSystem.AUTOTOOLS: _autotools,
    BuildSystem.CMAKE: _cmake,
    BuildSystem.OPENSSL: _openssl,
    BuildSystem.SOURCES: _sources,
}


# What came out


def _check(build: _Build) -> None:
    """Raise `JobError` if the build did not give what the recipe promises."""
    recipe, usr = build.recipe, build.stage / "usr"
    promised = [f"include/{name}" for name in recipe.headers] + [f"lib/{name}" for name in recipe.archives]
    missing = [path for path in promised if not (usr / path).is_file()]
    if missing:
        raise JobError(f"library {recipe.name} was built, but {', '.join(missing)} is not there", log=build.log)
    environment = base_environment(write_pkg_config(build.work / "check", [usr]))
    for name in recipe.pkg_config:
        argv = (environment["PKG_CONFIG"], "--print-errors", "--cflags", "--libs", name)
        flags = run(argv, env=environment, what=f"pkg-config {name}", canceller=build.canceller).output.split()
        strays = [flag for flag in flags if flag[:2] in {"-I", "-L"} and not flag[2:].startswith(f"{usr}/")]
        if strays:
            raise JobError(f"library {recipe.name}: pkg-config {name} leads elsewhere: {strays}", log=build.log)


def _keep_what_serves(usr: Path) -> Path:
    """The same folder with headers, archives and .pc files only."""
    for entry in usr.iterdir():
        if entry.name not in {"include", "lib"}:
            shutil.rmtree(entry)
    for entry in (usr / "lib").iterdir():
        if entry.name != "pkgconfig" and entry.suffix != ".a":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    return usr
