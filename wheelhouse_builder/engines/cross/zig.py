"""zig as the C and C++ compiler for musl: wrapper scripts, a CMake toolchain file, a CONFIG_SITE file.

The wrappers call the zig binary directly (`python -m ziglang` would start a Python for each compilation, and
cargo-zigbuild's wrapper costs ten times zig itself).
"""

from __future__ import annotations

import hashlib
import platform
import shlex
import shutil
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import MachineError
from wheelhouse_builder.files import settle, write_atomically
from wheelhouse_builder.locking import locked
from wheelhouse_builder.process import Canceller, base_environment, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wheelhouse_builder.target import Arch

SHELL = Path("/bin/sh")

# One set of flags: zig keeps compiler_rt and libc stubs per set, and a cold one costs a minute.
#   -fno-sanitize=all  UBSan traps are on by default and kill valid programs; stands last, since order counts
#   -g0 -s             debug info is on by default and holds the paths of whichever build filled the cache
#   -Wno-date-time     zig turns __DATE__ into an error
_FLAGS = "-g0 -s -Wno-date-time"

# Build systems add a target of their own spelling (cc-rs passes a Rust triple): only ours counts. They also name
# processors in gcc's words, where zig has its own (cpu_features, and underscores in names); `native` would be the
# processor of the machine that happens to build, and -mtune, which zig takes for -march, changes no result.
_FILTER = r"""#!/bin/sh
cpu() {
  name=$1 features=
  case $name in *+*) features=${name#*+} name=${name%%+*} ;; esac
  while :; do
    case $name in *-*) name=${name%%-*}_${name#*-} ;; *) break ;; esac
  done
  case $name in
    armv8_a) name=generic ;;
    armv[89]*_a)
      level=${name#armv}
      level=${level%_a}
      case $level in *.*) level=${level%.*}_${level#*.} ;; esac
      name=generic+v${level}a ;;
  esac
  IFS=+
  for feature in $features; do
    case $feature in
      fp16) name=$name+fullfp16 ;;
      simd) name=$name+neon ;;
      no*) name=$name-${feature#no} ;;
      *) name=$name+$feature ;;
    esac
  done
  unset IFS
}
skip=
for argument do
  shift
  if [ -n "$skip" ]; then skip=; continue; fi
  case $argument in
    --target=*|-mtune=*|-march=native|-mcpu=native) ;;
    -target|--target) skip=1 ;;
    -march=*|-mcpu=*) cpu "${argument#*=}"; set -- "$@" "${argument%%=*}=$name" ;;
    *) set -- "$@" "$argument" ;;
  esac
done
"""

_COMPILER = """\
exec {zig} {command} -target {target} {flags} "$@" -fno-sanitize=all
"""

_TOOL = """\
#!/bin/sh
exec {zig} {command} "$@"
"""

_CONFIG_SITE = """\
# autoconf scripts that packages call without --host must cross-compile too, and must not run what they compiled
host_alias={target}
build_alias={machine}-pc-linux-gnu
cross_compiling=yes
"""

_CMAKE = """\
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR {arch})
set(CMAKE_C_COMPILER {bin}/cc)
set(CMAKE_CXX_COMPILER {bin}/c++)
set(CMAKE_AR {bin}/ar CACHE FILEPATH "")
set(CMAKE_RANLIB {bin}/ranlib CACHE FILEPATH "")
# what lies in /usr is not for the target; programs are found by PATH, what recipes name by CMAKE_PREFIX_PATH
set(CMAKE_FIND_USE_CMAKE_SYSTEM_PATH FALSE)
# zig's linker writes no dependency file
set(CMAKE_C_LINKER_DEPFILE_SUPPORTED FALSE)
set(CMAKE_CXX_LINKER_DEPFILE_SUPPORTED FALSE)
"""

# What builds link: extensions, and the static programs of configure and CMake probes. The latter with the CFLAGS of a
# build and, as in the configure of libffi, with none: without -fPIC a program takes another set of zig's libraries.
_PROGRAMS = {
    "extension in C": ("cc", "x.c", "int answer(void) { return 42; }\n", ["-shared", "-fPIC", "-O2"]),
    "program in C": ("cc", "x.c", "int main(void) { return 0; }\n", ["-O2", "-fPIC"]),
    "bare program in C": ("cc", "x.c", "int main(void) { return 0; }\n", []),
    "extension in C++": (
        "c++",
        "x.cc",
        '#include <string>\nextern "C" unsigned long length(const char *s) { return std::string(s).size(); }\n',
        ["-shared", "-fPIC", "-O2"],
    ),
}


@dataclass(frozen=True, kw_only=True)
class ZigTools:
    """The compilers for one architecture, on disk."""

    arch: Arch
    bin: Path  # folder with cc, c++, ar and ranlib, which are scripts
    shell: Path  # that runs them
    zig: Path
    version: str  # of ziglang
    cmake_toolchain: Path
    environment: Mapping[str, str]  # what a build with these compilers needs


def zig_version() -> str | None:
    """The version of the installed ziglang, None if it is not installed. Starts no subprocess."""
    try:
        return metadata.version("ziglang")
    except metadata.PackageNotFoundError:
        return None


def zig_binary() -> Path:
    """The zig binary of the ziglang wheel. Raises `MachineError` if it is not installed."""
    spec = util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise MachineError("zig is not installed", hint="pip install 'wheelhouse-builder[build]'")
    return Path(spec.origin).parent / "zig"


def keep_zig(cache: Path, canceller: Canceller) -> None:
    """Put the installed zig below `cache`, once for each version; `ensure_zig` takes it from there.

    Under each new path zig compiles its own libraries, minutes of work, and front ends make a new environment for each
    build: so what is kept serves all. Raises `MachineError` if zig is not installed, `Cancelled`.
    """
    kept = _kept(cache)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with locked(kept.with_name(f"{kept.name}.lock"), canceller):
        if not kept.exists():
            with TemporaryDirectory(dir=kept.parent, prefix="ziglang-") as scratch:
                settle(shutil.copytree(zig_binary().parent, Path(scratch, kept.name)), kept)


def _kept(cache: Path) -> Path:
    return cache / "toolchains" / f"ziglang-{zig_version()}"


def ensure_zig(arch: Arch, cache: Path, shell: Path = SHELL) -> ZigTools:
    """Write (once) the wrappers for one architecture, scripts of this shell, below `cache`. Raises `MachineError`."""
    if any(char.isspace() for char in str(cache)):
        raise MachineError(
            f"the path of the cache, {cache}, holds a space, and build systems take CC apart at spaces",
            hint="choose another one with WHB_CACHE_DIR or --cache-dir",
        )
    version = zig_version() or "unknown"
    kept = _kept(cache) / "zig"
    zig = kept if kept.exists() else zig_binary()
    program = shlex.quote(str(zig))
    target = arch.multiarch
    scripts = {
        "bin/cc": _FILTER + _COMPILER.format(zig=program, command="cc", target=target, flags=_FLAGS),
        "bin/c++": _FILTER + _COMPILER.format(zig=program, command="c++", target=target, flags=_FLAGS),
        "bin/ar": _TOOL.format(zig=program, command="ar"),
        "bin/ranlib": _TOOL.format(zig=program, command="ranlib"),
    }
    files = {
        **{name: script_of(shell, text) for name, text in scripts.items()},
        "config.site": _CONFIG_SITE.format(target=target, machine=platform.machine()),
    }
    identity = hashlib.sha256("\0".join([version, _CMAKE, *files.values()]).encode()).hexdigest()[:12]
    root = cache / "toolchains" / f"zig-{version}-{arch}-{identity}"
    files["toolchain.cmake"] = _CMAKE.format(arch=arch, bin=root / "bin")
    for name, text in files.items():
        if not (root / name).exists():
            write_atomically(root / name, text.encode(), mode=0o755 if name.startswith("bin/") else 0o644)
    return ZigTools(
        arch=arch,
        bin=root / "bin",
        shell=shell,
        zig=zig,
        version=version,
        cmake_toolchain=root / "toolchain.cmake",
        environment={
            **zig_caches(cache),
            "CC": str(root / "bin/cc"),
            "CXX": str(root / "bin/c++"),
            "AR": str(root / "bin/ar"),
            "RANLIB": str(root / "bin/ranlib"),
            "CONFIG_SITE": str(root / "config.site"),
        },
    )


def script_of(shell: Path, text: str) -> str:
    """A script for /bin/sh as one of another shell, which takes the same."""
    return text.replace(f"#!{SHELL}\n", f"#!{shell}\n", 1)


def wrappers_text() -> str:
    """What the wrappers are made of, without the paths of this machine: part of the build key."""
    return f"{_FLAGS}\n{_FILTER}{_COMPILER}{_TOOL}{_CONFIG_SITE}"


def toolchain_file_text() -> str:
    """What CMake is told, without the paths of this machine: part of the build key."""
    return _CMAKE


def zig_caches(cache: Path) -> dict[str, str]:
    """Where zig keeps objects and its own libraries: below whb's cache, for all builds."""
    folder = str(cache / "zig")
    return {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}


def is_warm(tools: ZigTools) -> bool:
    """Whether `warm()` was run for these tools."""
    return _warm_marker(tools).exists()


def warm(tools: ZigTools, *, log: Path, canceller: Canceller) -> None:
    """Have zig compile its libraries for this architecture now, minutes once, rather than in the first build."""
    scratch = tools.bin.parent / "warm"
    scratch.mkdir(exist_ok=True)
    with locked(scratch / "lock", canceller):
        if is_warm(tools):
            return  # another job did it meanwhile
        for what, (compiler, name, source, options) in _PROGRAMS.items():
            (scratch / name).write_text(source, encoding="utf-8")
            argv = [str(tools.bin / compiler), *options, str(scratch / name), "-o", str(scratch / "out")]
            environment = base_environment(tools.environment)
            run(argv, env=environment, log=log, canceller=canceller, what=f"zig: a first {what} for {tools.arch}")
        write_atomically(_warm_marker(tools), b"")


def warm_zig(arch: Arch, cache: Path, *, log: Path, canceller: Canceller, phase: Callable[[str], None]) -> ZigTools:
    """zig's tools for an architecture, warm; `phase` is told where that takes minutes.

    Raises `MachineError` without zig, `JobError`, `Cancelled`.
    """
    tools = ensure_zig(arch, cache)
    if not is_warm(tools):
        phase("zig: first use, compiling its libraries")
        warm(tools, log=log, canceller=canceller)
    return tools


def _warm_marker(tools: ZigTools) -> Path:
    """In zig's own cache: where that is emptied, the marker goes too."""
    return Path(tools.environment["ZIG_GLOBAL_CACHE_DIR"]) / f"warm-{tools.bin.parent.name}"
