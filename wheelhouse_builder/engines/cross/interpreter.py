"""A host Python of the target's minor version, and the description of the target's Python made from it.

The hooks of a build backend run on the host interpreter; a generated `_sysconfigdata` module and a copy of the headers
tell them what the target's Python is like. `pyconfig.h` is the only platform header: the host's, with the few values
that differ on musl (`pyconfig.toml`). A target tree of the user's own, such as python-build-standalone's musl build,
is read instead when one is given.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.cached import answer_about
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.files import settle
from wheelhouse_builder.process import base_environment, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wheelhouse_builder.target import Target

_PROBE = """
import json, sys, sysconfig
print(json.dumps({
    "implementation": sys.implementation.name, "version": ".".join(map(str, sys.version_info[:3])),
    "abiflags": getattr(sys, "abiflags", ""), "include": sysconfig.get_path("include"),
    "pyconfig": sysconfig.get_config_h_filename(), "multiarch": sysconfig.get_config_var("MULTIARCH") or "",
    "variables": json.dumps({k: v for k, v in sysconfig.get_config_vars().items() if isinstance(v, int)}),
}))
"""


@dataclass(frozen=True, kw_only=True)
class HostPython:
    """An interpreter that runs here, with its headers."""

    path: Path
    version: str  # 3.12.1
    origin: str  # how it was found, for people
    include: Path  # folder with Python.h
    pyconfig: Path
    variables: Mapping[str, int]  # numeric build-time variables (SIZEOF_…, HAVE_…)


@dataclass(frozen=True, kw_only=True)
class TargetPython:
    """The description of a target's Python on disk: `lib/python3.X/_sysconfigdata….py` and `include/python3.X/`."""

    prefix: Path
    target: Target

    @property
    def library(self) -> Path:
        """The folder with the `_sysconfigdata` module; PYO3_CROSS_LIB_DIR wants this versioned one."""
        return self.prefix / "lib" / f"python{self.target.python_version}"

    @property
    def include(self) -> Path:
        """The folder with Python.h."""
        return self.prefix / "include" / f"python{self.target.python_version}"


def find_python(python: tuple[int, int], cache: Path) -> HostPython | None:
    """A CPython of this minor version with its headers, or None.

    uv's own search stops at a version manager's shim of a version that is not active, so the folders
    where version managers keep interpreters are looked into directly.
    """
    seen: set[Path] = set()
    for origin, path in _candidates(python, cache):
        if path.resolve() in seen or not os.access(path, os.X_OK):
            continue
        seen.add(path.resolve())
        found = _probe(path, origin, cache)
        if found and found.version.startswith(f"{python[0]}.{python[1]}.") and (found.include / "Python.h").is_file():
            return found
    return None


def _candidates(python: tuple[int, int], cache: Path) -> Iterator[tuple[str, Path]]:
    minor = f"{python[0]}.{python[1]}"
    name = f"python{minor}"
    home = Path.home()
    if sys.version_info[:2] == python:
        yield "the Python that runs whb", Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv"))
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and "shims" not in Path(folder).parts:
            yield "on PATH", Path(folder) / name
    managed = {
        "had by whb": (cache / "python", f"cpython-{minor}.*/bin/{name}"),
        "pyenv": (pyenv / "versions", f"{minor}.*/bin/{name}"),
        "uv": (
            Path(os.environ.get("XDG_DATA_HOME", home / ".local/share")) / "uv/python",
            f"cpython-{minor}.*/bin/{name}",
        ),
        "asdf": (home / ".asdf/installs/python", f"{minor}.*/bin/{name}"),
        "mise": (home / ".local/share/mise/installs/python", f"{minor}.*/bin/{name}"),
        "/opt/python": (Path("/opt/python"), f"cp{python[0]}{python[1]}-cp{python[0]}{python[1]}/bin/{name}"),
        "/usr/local": (Path("/usr/local/bin"), name),
    }
    for origin, (place, pattern) in managed.items():
        for path in sorted(place.glob(pattern), key=_numbers, reverse=True):
            yield origin, path


def _numbers(path: Path) -> list[int]:
    """What sorts 3.12.10 after 3.12.9."""
    return [int(number) for number in re.findall(r"\d+", str(path))]


def _probe(path: Path, origin: str, cache: Path) -> HostPython | None:
    try:
        answer = answer_about(
            path,
            "python",
            cache,
            lambda: json.loads(run([path, "-I", "-c", _PROBE], env=base_environment(), timeout=60).output),
        )
    except (JobError, MachineError, OSError, ValueError):
        return None  # not an interpreter that runs here
    if answer["implementation"] != "cpython" or answer["abiflags"]:
        return None  # free-threaded and debug builds have an ABI of their own
    return HostPython(
        path=path,
        version=answer["version"],
        origin=origin,
        include=Path(answer["include"]),
        pyconfig=_real_pyconfig(Path(answer["pyconfig"]), answer["multiarch"]),
        variables=json.loads(answer["variables"]),
    )


def _real_pyconfig(pyconfig: Path, multiarch: str) -> Path:
    """Debian's pyconfig.h only includes the one of the architecture, in a folder of its name."""
    beside = pyconfig.parent.parent / multiarch / pyconfig.parent.name / pyconfig.name
    return beside if multiarch and beside.is_file() else pyconfig


# The description of the target


def describe_target(target: Target, host: HostPython, cache: Path, *, tree: Path | None = None) -> TargetPython:
    """Write (once) what describes the target's Python; returns where.

    `tree` is the prefix of a real CPython for the target; without it the host's values are used, with musl's over them.
    Raises `MachineError` if `tree` is not a Python of the target.
    """
    if tree is not None:
        return _from_tree(target, tree, cache)
    header = musl_pyconfig(host.pyconfig.read_text(encoding="utf-8"), target)
    numbers = dict(host.variables) | _header_numbers(header)
    identity = hashlib.sha256(f"{target} {host.version} {header} {sorted(numbers.items())}".encode()).hexdigest()[:16]
    return _describe(target, identity, cache, host.include, header, numbers)


def _from_tree(target: Target, tree: Path, cache: Path) -> TargetPython:
    identity = tree_identity(target, tree)
    headers = TargetPython(prefix=tree, target=target).include
    header = (headers / "pyconfig.h").read_text(encoding="utf-8")
    return _describe(target, identity, cache, headers, header, _header_numbers(header))


def tree_identity(target: Target, tree: Path) -> str:
    """What tells one target tree from another: a digest of its description, wherever it lies.

    Raises `MachineError` if it is not a CPython of the target.
    """
    given = TargetPython(prefix=tree, target=target)
    modules = sorted(given.library.glob("_sysconfigdata_*.py"))
    pyconfig = given.include / "pyconfig.h"
    version, hint = target.python_version, "give the prefix of a musl build of it, or leave the setting out"
    wanted = f"no CPython {version} for {target.arch} musl"
    if not modules or not pyconfig.is_file() or not (given.include / "Python.h").is_file():
        lacking = f"lib/python{version}/_sysconfigdata_*.py or include/python{version}/Python.h"
        raise MachineError(f"{tree} is {wanted}: it lacks {lacking}", hint=hint)
    text = modules[0].read_text(encoding="utf-8")
    host = re.search(r"""['"]HOST_GNU_TYPE['"]: ['"]([^'"]*)""", text)
    if host is None or not re.fullmatch(rf"{target.arch}-.*musl", host[1]):
        raise MachineError(f"{tree} is {wanted}: it was made for {host[1] if host else 'nothing it tells'}", hint=hint)
    return hashlib.sha256(pyconfig.read_bytes() + text.encode()).hexdigest()[:16]


def _describe(
    target: Target, identity: str, cache: Path, headers: Path, pyconfig: str, numbers: Mapping[str, int]
) -> TargetPython:
    """The description with this identity, made whole under another name: several jobs may want it at once."""
    template = _sysconfigdata(
        TargetPython(prefix=Path("prefix"), target=target), numbers
    )  # other releases have another
    name = f"{target}-{hashlib.sha256(f'{identity} {template}'.encode()).hexdigest()[:16]}"
    described = TargetPython(prefix=cache / "targets" / name, target=target)
    if described.prefix.is_dir():
        return described
    described.prefix.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=described.prefix.parent, prefix=".new.") as scratch:
        made = TargetPython(prefix=Path(scratch, "prefix"), target=target)
        shutil.copytree(headers, made.include)
        (made.include / "pyconfig.h").write_text(pyconfig, encoding="utf-8")
        made.library.mkdir(parents=True)
        (made.library / f"{target.sysconfigdata_name}.py").write_text(_sysconfigdata(described, numbers))
        try:
            settle(made.prefix, described.prefix)
        except OSError:
            if not described.prefix.is_dir():  # else another job was first
                raise
    return described


def pyconfig_text() -> str:
    """The text of `pyconfig.toml`: part of the build key."""
    return (resources.files(__package__) / "pyconfig.toml").read_text(encoding="utf-8")


def musl_pyconfig(text: str, target: Target) -> str:
    """A glibc host's pyconfig.h → the target's."""
    table = tomllib.loads(pyconfig_text())
    for name, value in (table["musl"] | table[str(target.arch)]).items():
        line = rf"^(#\s*define {name}\b.*|/\*\s*#\s*undef {name} \*/|#\s*undef {name})$"
        wanted = f"/* #undef {name} */" if value is False else f"#define {name} {value}"
        text = re.sub(line, wanted, text, flags=re.MULTILINE)
    return text


def _header_numbers(header: str) -> dict[str, int]:
    """The numeric definitions of pyconfig.h, as sysconfig merges them into the build-time variables."""
    numbers = {name: int(value) for name, value in re.findall(r"^#\s*define (\w+) (-?\d+)$", header, re.MULTILINE)}
    return dict.fromkeys(re.findall(r"^/\*\s*#\s*undef (\w+) \*/$", header, re.MULTILINE), 0) | numbers


def _sysconfigdata(described: TargetPython, numbers: Mapping[str, int]) -> str:
    """One module with what build backends read; compilers and flags are left to the environment."""
    target, prefix = described.target, str(described.prefix)
    variables: dict[str, str | int] = {
        **numbers,
        **dict.fromkeys(
            ["BASECFLAGS", "BLDLIBRARY", "CONFIGURE_CFLAGS", "CONFIGURE_LDFLAGS", "CPPFLAGS", "LDFLAGS"], ""
        ),
        **dict.fromkeys(
            ["LIBS", "PY_CFLAGS", "PY_LDFLAGS", "SHLIBS", "SYSLIBS", "PYTHONFRAMEWORK", "LIBM", "LIBC", "LIBPYTHON"], ""
        ),
        "ABIFLAGS": "",
        "AR": "ar",
        "ARFLAGS": "rcs",
        "CC": "cc",
        "CCSHARED": "-fPIC",
        "CFLAGS": "-O2 -DNDEBUG",
        "CONFINCLUDEPY": str(described.include),
        "CXX": "c++",
        "EXE": "",
        "EXT_SUFFIX": target.ext_suffix,
        "HOST_GNU_TYPE": target.multiarch,
        "INCLUDEPY": str(described.include),
        "LDCXXSHARED": "c++ -shared",
        "LDLIBRARY": f"libpython{target.python_version}.a",
        "LDSHARED": "cc -shared",
        "LDVERSION": target.python_version,
        "LIBDEST": str(described.library),
        "LIBDIR": str(described.prefix / "lib"),
        "LIBPL": str(described.library),
        "MULTIARCH": target.multiarch,
        "OPT": "-DNDEBUG -O2",
        "Py_DEBUG": 0,
        "Py_ENABLE_SHARED": 0,
        "Py_GIL_DISABLED": 0,
        "RANLIB": "ranlib",
        "SHLIB_SUFFIX": ".so",
        "SOABI": target.soabi,
        "VERSION": target.python_version,
        # sysconfig merges this module over its own values: with these two, get_path("include") is the target's
        "installed_base": prefix,
        "installed_platbase": prefix,
        # PyO3 reads these; base, platbase and userbase must stay the build environment's own
        "prefix": prefix,
        "exec_prefix": prefix,
    }
    lines = "".join(f"    {name!r}: {value!r},\n" for name, value in sorted(variables.items()))
    return f"# Made by whb: what a build backend may know of {target}.\nbuild_time_vars = {{\n{lines}}}\n"
