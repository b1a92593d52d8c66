"""Rust for musl: a toolchain that has the target's standard library, or gets it.

In this order: a toolchain that has it; `rustup target add`; building it from the toolchain's own source (rust-src) into
whb's cache, never into the system. The standard library that rustup ships has embedded bitcode (packages that link with
LTO want it) and a panic_abort compiled with panic=abort (packages whose profile says so want it): ours has both too.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sysconfig
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.cached import answer_about
from wheelhouse_builder.engines.cross.zig import script_of
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.events import Level, Listener, Note
from wheelhouse_builder.files import settle, write_atomically
from wheelhouse_builder.locking import locked
from wheelhouse_builder.process import Canceller, base_environment, run
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wheelhouse_builder.engines.cross.zig import ZigTools

_INSTALL_HINT = "`whb doctor --install` gets it"

_RUSTC = """\
#!/bin/sh
exec {rustc} --sysroot {sysroot} "$@"
"""

_PANIC_ABORT = """\
#!/bin/sh
case " $* " in *" --crate-name panic_abort "*) exec "$@" -C panic=abort ;; *) exec "$@" ;; esac
"""

_LINKER = """\
#!/bin/sh
exec {wrapper} zig cc -- -target {target} -g0 -s "$@"
"""

_PROGRAM = """\
#!/bin/sh
exec {program} "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Rust:
    """A Rust toolchain of the host."""

    cargo: Path
    rustc: Path
    version: str  # 1.96.0
    commit: str  # what a standard library must match
    host: str  # x86_64-unknown-linux-gnu
    sysroot: Path
    cache: Path  # where whb keeps the standard libraries that it built

    @property
    def own_sysroot(self) -> Path:
        """The sysroot in whb's cache: the toolchain's, linked, with the standard libraries that whb built."""
        identity = hashlib.sha256(f"{self.sysroot}\0{self.version}\0{self.commit}".encode()).hexdigest()[:12]
        return self.cache / "rust" / f"{self.version}-{identity}"

    @property
    def sources(self) -> Path | None:
        """The standard library's source, if the toolchain has it."""
        library = self.sysroot / "lib/rustlib/src/rust/library"
        return library if (library / "std/Cargo.toml").is_file() else None

    def std_origin(self, arch: Arch) -> str | None:
        """Where the standard library for this architecture's musl comes from, None if there is none."""
        if _has_std(self.sysroot, arch):
            return "the toolchain's"
        return "built by whb" if _has_std(self.own_sysroot, arch) else None


def _std_folder(sysroot: Path, arch: Arch) -> Path:
    return sysroot / "lib/rustlib" / arch.rust_triple / "lib"


def _has_std(sysroot: Path, arch: Arch) -> bool:
    return any(_std_folder(sysroot, arch).glob("libstd-*.rlib"))


def find_rust(cache: Path) -> Rust | None:
    """The toolchain to use: one with a musl standard library, else one whose source is there, else any; or None."""
    found = list(_toolchains(cache))
    return min(found, key=_rank, default=None)


def _rank(rust: Rust) -> int:
    if all(rust.std_origin(arch) for arch in Arch):
        return 0
    if any(rust.std_origin(arch) for arch in Arch):
        return 1
    return 2 if rust.sources else 3


def _toolchains(cache: Path) -> Iterator[Rust]:
    seen: set[Path] = set()
    for folder in _bin_folders():
        rustc, cargo = folder / "rustc", folder / "cargo"
        if not (os.access(rustc, os.X_OK) and os.access(cargo, os.X_OK)) or rustc.resolve() in seen:
            continue
        seen.add(rustc.resolve())
        try:
            answer = answer_about(rustc, "rustc", cache, lambda rustc=rustc: _ask(rustc))  # type: ignore[misc]
        except (JobError, MachineError, OSError, KeyError):
            continue  # no compiler that runs here
        yield Rust(
            cargo=cargo,
            rustc=rustc,
            version=answer["release"],
            commit=answer["commit-hash"],
            host=answer["host"],
            sysroot=Path(answer["sysroot"]),
            cache=cache,
        )


def _bin_folders() -> Iterator[Path]:
    """rustup's toolchains themselves, the default first (its shims start slowly and may download), then PATH."""
    home = Path(os.environ.get("RUSTUP_HOME", Path.home() / ".rustup"))
    try:
        default = tomllib.loads((home / "settings.toml").read_text(encoding="utf-8")).get("default_toolchain", "")
    except (FileNotFoundError, tomllib.TOMLDecodeError):
        default = ""
    for toolchain in sorted((home / "toolchains").glob("*"), key=lambda path: (path.name != default, path.name)):
        if "nightly" not in toolchain.name or toolchain.name == default:
            yield toolchain / "bin"
    shims = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "bin"
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and Path(folder) != shims:
            yield Path(folder)


def _ask(rustc: Path) -> dict[str, str]:
    environment = base_environment()
    lines = run([rustc, "-vV"], env=environment, timeout=60).output.splitlines()
    answer = dict(line.split(": ", 1) for line in lines if ": " in line)
    sysroot = run([rustc, "--print", "sysroot"], env=environment, timeout=60).output.strip()
    return {name: answer[name] for name in ("release", "commit-hash", "host")} | {"sysroot": sysroot}


# The standard library for musl


def ensure_std(rust: Rust, arch: Arch, *, log: Path, canceller: Canceller, listener: Listener) -> None:
    """Have the standard library for this architecture: the toolchain's, rustup's, or built from source.

    Raises `MachineError` if none of the three can be.
    """
    if rust.std_origin(arch):
        return
    rust.own_sysroot.mkdir(parents=True, exist_ok=True)
    with locked(rust.own_sysroot / "lock", canceller):
        if rust.std_origin(arch) is None:  # else another job did it meanwhile
            _get_std(rust, arch, log=log, canceller=canceller, listener=listener)


def _get_std(rust: Rust, arch: Arch, *, log: Path, canceller: Canceller, listener: Listener) -> None:
    rustup = shutil.which("rustup")
    if rustup and rust.sysroot.parent.name == "toolchains":
        try:
            argv = [rustup, "target", "add", "--toolchain", rust.sysroot.name, arch.rust_triple]
            run(argv, env=base_environment({"HOME": str(Path.home())}), log=log, canceller=canceller, timeout=600)
        except JobError:
            listener(
                Note(text=f"rustup has no server to get {arch.rust_triple} from (log: {log})", level=Level.WARNING)
            )
        if _has_std(rust.sysroot, arch):
            return
    if rust.sources is None:
        raise MachineError(
            f"Rust {rust.version} ({rust.rustc}) has neither a standard library for {arch.rust_triple} nor its source",
            hint=f"`rustup target add {arch.rust_triple}`, or install rust-src; {_INSTALL_HINT}",
        )
    listener(Note(text=f"building Rust's standard library for {arch.rust_triple} from {rust.sources}, a minute, once"))
    _build_std(rust, arch, log=log, canceller=canceller)


def _build_std(rust: Rust, arch: Arch, *, log: Path, canceller: Canceller) -> None:
    own = rust.own_sysroot
    with tempfile.TemporaryDirectory(dir=own, prefix="build.") as scratch:
        work = Path(scratch)
        (work / "src").mkdir()
        (work / "src/lib.rs").touch()
        (work / "Cargo.toml").write_text('[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n')
        write_atomically(work / "rustc-wrapper", _PANIC_ABORT.encode(), mode=0o755)
        environment = base_environment(
            {
                "CARGO_HOME": str(work / "cargo"),
                "RUSTC": str(rust.rustc),
                "RUSTC_WRAPPER": str(work / "rustc-wrapper"),
                "RUSTC_BOOTSTRAP": "1",  # -Zbuild-std is unstable, and the only way
                "RUSTFLAGS": f"-C target-feature=-crt-static -C embed-bitcode=yes --remap-path-prefix={work}=/std",
            }
        )
        argv = [str(rust.cargo), "build", "--release", "-Zbuild-std=std,panic_abort,proc_macro"]
        argv += ["--target", arch.rust_triple, *_vendored(rust)]
        run(argv, env=environment, cwd=work, log=log, canceller=canceller, what=f"building std for {arch.rust_triple}")
        built = work / "lib"
        built.mkdir()
        for library in (work / "target" / arch.rust_triple / "release/deps").glob("*.rlib"):
            if not library.name.startswith("libempty"):
                shutil.copy2(library, built)
        for entry in (rust.sysroot / "lib/rustlib").iterdir():
            link = own / "lib/rustlib" / entry.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if entry.name != arch.rust_triple and not link.exists():
                link.symlink_to(entry)
        folder = _std_folder(own, arch)
        folder.parent.mkdir(parents=True, exist_ok=True)
        settle(built, folder)


def _vendored(rust: Rust) -> list[str]:
    """Options that take std's own dependencies from beside its source, where a distribution ships them.

    Else cargo downloads them, checked against the checksums in std's Cargo.lock.
    """
    vendor = rust.sources / "vendor" if rust.sources else None
    if vendor is None or not vendor.is_dir():
        return []
    source = ["--config", "source.crates-io.replace-with='std'", "--config", f"source.std.directory='{vendor}'"]
    return ["--offline", *source]


# What a build needs


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """A container on this machine's kernel: the host's compilers are not there for what runs natively."""

    zigbuild: Path  # cargo-zigbuild, by which zig stands for them
    loader: Path  # the host's dynamic linker, its libraries beside it


def rust_environment(
    rust: Rust,
    tools: ZigTools,
    *,
    cargo_home: Path,
    remap: Mapping[str, str],
    path: str,
    elsewhere: Elsewhere | None = None,
) -> dict[str, str]:
    """The environment that makes cargo, rustc, cc-rs, setuptools-rust and maturin build for the tools' architecture.

    `remap` says which paths must not reach the output, and what stands for them there; `path` is the PATH to extend.
    Raises `MachineError` if the standard library or cargo-zigbuild is missing.
    """
    if rust.std_origin(tools.arch) is None:
        raise MachineError(
            f"Rust {rust.version} has no standard library for {tools.arch.rust_triple}", hint=_INSTALL_HINT
        )
    triple = tools.arch.rust_triple
    folder = _wrappers(rust, tools, elsewhere)
    flags = ["-C", "target-feature=-crt-static"]  # a cdylib for musl is else refused (PyO3#1109)
    flags += [f"--remap-path-prefix={path}={name}" for path, name in remap.items()]
    host, key = rust.host.replace("-", "_"), triple.replace("-", "_")
    return {
        "CARGO": str(rust.cargo),
        "RUSTC": str(folder / "rustc"),
        "CARGO_HOME": str(cargo_home),
        "CARGO_NET_OFFLINE": "true",
        "CARGO_BUILD_TARGET": triple,
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),  # so that paths may hold spaces
        f"CARGO_TARGET_{key.upper()}_LINKER": str(folder / "linker"),
        f"CARGO_TARGET_{host.upper()}_LINKER": str(folder / "host-cc"),
        f"CC_{key}": str(tools.bin / "cc"),
        f"CXX_{key}": str(tools.bin / "c++"),
        f"AR_{key}": str(tools.bin / "ar"),
        f"CC_{host}": str(folder / "host-cc"),
        f"CXX_{host}": str(folder / "host-c++"),
        "CARGO_ZIGBUILD_ZIG_PATH": str(tools.zig),  # inside a build environment it cannot import ziglang
        "MATURIN_NO_INSTALL_RUST": "1",
        "PATH": f"{folder}{os.pathsep}{path}",
    }


def _wrappers(rust: Rust, tools: ZigTools, elsewhere: Elsewhere | None) -> Path:
    wrapper = shlex.quote(str(elsewhere.zigbuild) if elsewhere else cargo_zigbuild())
    zig_host = f"{wrapper} zig {{}} -- -target {rust.host.split('-', 1)[0]}-linux-gnu"
    host_c, host_cxx = shutil.which("gcc") or shutil.which("cc"), shutil.which("g++") or shutil.which("c++")
    if elsewhere:
        host_c = host_cxx = None
        loader, libraries = shlex.quote(str(elsewhere.loader)), shlex.quote(str(elsewhere.loader.parent))
        zig_host += f" -Wl,--dynamic-linker={loader} -Wl,-rpath,{libraries}"
    sysroot = rust.sysroot if _has_std(rust.sysroot, tools.arch) else rust.own_sysroot
    scripts = {
        "cargo": _PROGRAM.format(program=shlex.quote(str(rust.cargo))),
        "rustc": _RUSTC.format(rustc=shlex.quote(str(rust.rustc)), sysroot=shlex.quote(str(sysroot))),
        "linker": _LINKER.format(wrapper=wrapper, target=tools.arch.multiarch),
        "host-cc": _PROGRAM.format(program=host_c or zig_host.format("cc")),
        "host-c++": _PROGRAM.format(program=host_cxx or zig_host.format("c++")),
    }
    files = {name: script_of(tools.shell, text) for name, text in scripts.items()}
    identity = hashlib.sha256("\0".join(files.values()).encode()).hexdigest()[:12]
    folder = rust.cache / "toolchains" / f"rust-{rust.version}-{tools.arch}-{identity}"
    for name, text in files.items():
        if not (folder / name).exists():
            write_atomically(folder / name, text.encode(), mode=0o755)
    return folder


def cargo_zigbuild() -> str:
    """Where cargo-zigbuild is. Raises `MachineError` if it is not installed."""
    beside = Path(sysconfig.get_path("scripts")) / "cargo-zigbuild"
    found = str(beside) if beside.is_file() else shutil.which("cargo-zigbuild")
    if found is None:
        raise MachineError("cargo-zigbuild is not installed", hint="pip install 'wheelhouse-builder[build]'")
    return found
