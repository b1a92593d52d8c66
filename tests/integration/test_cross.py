"""The cross engine with real tools: host Pythons, the description of the target, and what a build sees and makes."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.conftest import REPOSITORY
from tests.integration.projects import MODULE, c_extension, sdist
from wheelhouse_builder.elf import read_elf
from wheelhouse_builder.engines.cross import zig
from wheelhouse_builder.engines.cross.interpreter import describe_target, find_python
from wheelhouse_builder.engines.cross.sandbox import sandbox
from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.process import base_environment, run
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

PYTHONS = ((3, 11), (3, 12), (3, 13))
TARGETS = [Target(python, arch) for python in PYTHONS for arch in Arch]
AMD, ARM = (Target((3, 12), arch) for arch in (Arch.X86_64, Arch.AARCH64))
SETUPTOOLS = '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'


# ---- host interpreters


def refuse(folder: Path) -> Path:
    """A folder with the answers that pyenv's shims give for versions that are not active."""
    folder.mkdir(parents=True)
    for python in PYTHONS:
        shim = folder / f"python{python[0]}.{python[1]}"
        shim.write_text("#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n")
        shim.chmod(0o755)
    return folder


@pytest.mark.parametrize("python", PYTHONS, ids=str)
@pytest.mark.parametrize("first", ["pyenv/shims", "bin", None])
def test_a_python_is_found_behind_shims_that_refuse_and_without_path(
    whb: Whb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: tuple[int, int], first: str | None
) -> None:
    """uv's own search stops at such a shim (toolchain L)."""
    path = f"{refuse(tmp_path / first)}{os.pathsep}{os.environ['PATH']}" if first else ""
    monkeypatch.setenv("PATH", path)
    found = find_python(python, whb.cache)
    assert found is not None
    version = run([found.path, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"], env={}).output.strip()
    assert version == found.version
    assert version.startswith(f"{python[0]}.{python[1]}.")
    assert "Py_PYTHON_H" in (found.include / "Python.h").read_text()
    assert "SIZEOF_LONG" in found.pyconfig.read_text()


def test_the_answer_is_kept_until_the_interpreter_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, folder = tmp_path / "calls", tmp_path / "bin"
    folder.mkdir()
    program = folder / "python3.99"
    answer = run([sys.executable, "-c", "import sys; print(sys.executable)"], env=base_environment()).output.strip()
    program.write_text(f'#!/bin/sh\necho x >> {calls}\nexec {answer} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    for _ in range(2):
        assert find_python((3, 99), tmp_path / "cache") is None  # it says what it really is
    assert calls.read_text() == "x\n"
    os.utime(program, ns=(1, 1))
    find_python((3, 99), tmp_path / "cache")
    assert calls.read_text() == "x\nx\n"


# ---- the description of the target, against real musl CPythons

# What our pyconfig.h may say otherwise than that of a musl CPython, and why it does not matter to an extension.
_INTERPRETER = "which optional libraries that interpreter's own modules were built with"
_RELEASE = "CPython's configure looks for it in some micro releases only"
DIFFERENCES = {
    "HAVE_BLUETOOTH_BLUETOOTH_H": _INTERPRETER,
    "HAVE_BZLIB_H": _INTERPRETER,
    "HAVE_GDBM_H": _INTERPRETER,
    "HAVE_LIBGDBM_COMPAT": _INTERPRETER,
    "HAVE_NCURSESW_CURSES_H": _INTERPRETER,
    "HAVE_NCURSESW_NCURSES_H": _INTERPRETER,
    "HAVE_NCURSESW_PANEL_H": _INTERPRETER,
    "HAVE_NDBM_H": _INTERPRETER,
    "HAVE_RL_COMPDISP_FUNC_T": _INTERPRETER,
    "PY_SQLITE_ENABLE_LOAD_EXTENSION": _INTERPRETER,
    "Py_RL_STARTUP_HOOK_TAKES_ARGS": _INTERPRETER,
    "WINDOW_HAS_FLAGS": _INTERPRETER,
    "HAVE_LINUX_LIMITS_H": _RELEASE,
    "HAVE_TTYNAME": _RELEASE,
    "HAVE_TTYNAME_R": _RELEASE,
    "HAVE_PREADV2": "musl has it since 1.2.5, the floor is older",
    "HAVE_PWRITEV2": "musl has it since 1.2.5, the floor is older",
}


def alpine_root(test_dir: Path, target: Target) -> Path:
    """The prefix of a real musl CPython."""
    return test_dir / f"alpine/{target.python_version}-{target.arch.docker}/usr/local"


def definitions(header: Path) -> dict[str, str | None]:
    """Name → value; None for what is undefined, whether or not the header mentions it."""
    text = header.read_text()
    found = dict(re.findall(r"^#\s*define (\w+)[ \t]*(.*)$", text, re.MULTILINE))
    return dict.fromkeys(re.findall(r"^/\*\s*#\s*undef (\w+) \*/", text, re.MULTILINE)) | found


def build_time_variables(module: Path) -> dict[str, Any]:
    """What a `_sysconfigdata` module says."""
    assignment = ast.parse(module.read_text()).body[-1]
    assert isinstance(assignment, ast.Assign)
    found: dict[str, Any] = ast.literal_eval(assignment.value)
    return found


def described(whb: Whb, target: Target, tmp_path: Path) -> tuple[Path, Path]:
    """Our pyconfig.h and `_sysconfigdata` of a target."""
    host = find_python(target.python, whb.cache)
    assert host is not None
    ours = describe_target(target, host, tmp_path)
    return ours.include / "pyconfig.h", ours.library / f"{target.sysconfigdata_name}.py"


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_the_header_differs_from_a_real_one_where_it_does_not_matter(
    whb: Whb, test_dir: Path, tmp_path: Path, target: Target
) -> None:
    ours = definitions(described(whb, target, tmp_path)[0])
    real = definitions(alpine_root(test_dir, target) / f"include/python{target.python_version}/pyconfig.h")
    different = {name: (ours.get(name), real.get(name)) for name in ours | real if ours.get(name) != real.get(name)}
    assert len(real) > 500
    assert {name: values for name, values in different.items() if name not in DIFFERENCES} == {}


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_the_variables_are_those_of_a_real_one(whb: Whb, test_dir: Path, tmp_path: Path, target: Target) -> None:
    ours = build_time_variables(described(whb, target, tmp_path)[1])
    (module,) = (alpine_root(test_dir, target) / f"lib/python{target.python_version}").glob("_sysconfigdata_*.py")
    real = build_time_variables(module)
    assert module.stem == target.sysconfigdata_name
    names = [name for name in real if name.startswith(("SIZEOF_", "ALIGNOF_"))]
    assert len(names) > 15
    for name in (*names, "EXT_SUFFIX", "SOABI", "MULTIARCH", "VERSION", "ABIFLAGS", "SHLIB_SUFFIX", "Py_DEBUG"):
        assert ours[name] == real[name], name


def test_each_difference_has_a_reason_and_is_one(whb: Whb, test_dir: Path, tmp_path: Path) -> None:
    """Nothing stays in the list that no target needs."""
    needed = set()
    for target in TARGETS:
        ours = definitions(described(whb, target, tmp_path)[0])
        real = definitions(alpine_root(test_dir, target) / f"include/python{target.python_version}/pyconfig.h")
        needed |= {name for name in DIFFERENCES if ours.get(name) != real.get(name)}
    assert needed == set(DIFFERENCES)


# ---- the compilers


@dataclass(frozen=True)
class Compiler:
    """A wrapper whose zig only tells its arguments."""

    tools: zig.ZigTools

    def __call__(self, *arguments: str) -> list[str]:
        own = ["cc", "-target", f"{self.tools.arch}-linux-musl", "-g0", "-s", "-Wno-date-time"]
        told = run([self.tools.bin / "cc", *arguments], env=base_environment()).output.splitlines()
        assert told[: len(own)] == own
        assert told[-1] == "-fno-sanitize=all"
        return told[len(own) : -1]


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    program = tmp_path / "my zig's"  # its path needs quotes
    program.write_text('#!/bin/sh\nfor argument do printf "%s\\n" "$argument"; done\n')
    program.chmod(0o755)
    monkeypatch.setattr(zig, "zig_binary", lambda: program)
    return Compiler(zig.ensure_zig(Arch.AARCH64, tmp_path / "cache"))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["-O2", "-c", "a b.c", "-DX='y'", ""], ["-O2", "-c", "a b.c", "-DX='y'", ""]),
        (["--target=aarch64-unknown-linux-musl", "-c"], ["-c"]),
        (["-target", "x86_64-linux-gnu", "-c"], ["-c"]),
        (["--target", "x86_64-linux-gnu", "-c"], ["-c"]),
        (["-march=native", "-mcpu=native", "-mtune=native", "-mtune=cortex-a72"], []),
        (["-march=armv8-a"], ["-march=generic"]),
        (["-march=armv8-a+crc+simd"], ["-march=generic+crc+neon"]),
        (["-march=armv8.2-a+fp16+nocrypto"], ["-march=generic+v8_2a+fullfp16-crypto"]),
        (["-march=armv9-a"], ["-march=generic+v9a"]),
        (["-mcpu=cortex-a53+crypto"], ["-mcpu=cortex_a53+crypto"]),
        (["-march=x86-64-v2"], ["-march=x86_64_v2"]),
        (["-march=haswell", "-mavx2"], ["-march=haswell", "-mavx2"]),
    ],
    ids=" ".join,
)
def test_arguments_reach_zig_in_its_words(compiler: Compiler, given: list[str], wanted: list[str]) -> None:
    assert compiler(*given) == wanted


FLAGS = {
    Arch.X86_64: ["-march=native", "-march=x86-64-v2", "-mtune=generic", "-msse4.2", "-march=skylake-avx512"],
    Arch.AARCH64: ["-march=native", "-march=armv8-a+crc+crypto", "-march=armv8.2-a+fp16+dotprod", "-mcpu=neoverse-n1"],
}


@pytest.mark.parametrize(("arch", "flag"), [(arch, flag) for arch, flags in FLAGS.items() for flag in flags])
def test_zig_takes_the_flags_that_gcc_takes(whb: Whb, tmp_path: Path, arch: Arch, flag: str) -> None:
    tools = zig.ensure_zig(arch, whb.cache)
    (tmp_path / "x.c").write_text("int answer(void) { return 42; }\n")
    run([tools.bin / "cc", flag, "-c", "x.c"], env=base_environment(tools.environment), cwd=tmp_path)
    with (tmp_path / "x.o").open("rb") as stream:
        assert read_elf(stream).machine is arch


# ---- isolation


def test_the_sandbox_has_no_network_and_process_numbers_of_its_own() -> None:
    script = (
        "import os, socket; print(os.getpid(), [name for _, name in socket.if_nameindex()], os.path.exists('/proc/1'))"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        connect = f"import socket; print(socket.socket().connect_ex(('127.0.0.1', {port})))"
        held = sandbox().around([sys.executable, "-c", connect], [])
        assert run(held, env=base_environment()).output.strip() != "0"
    held = sandbox().around([sys.executable, "-c", script], [])
    pid, interfaces, proc = run(held, env=base_environment()).output.split()
    assert (pid, interfaces, proc) == ("1", "['lo']", "True")


def test_the_sandbox_lets_nothing_be_written_but_where_it_may(tmp_path: Path) -> None:
    mine, yours = tmp_path / "mine", tmp_path / "yours"
    mine.mkdir()
    yours.mkdir()
    script = (
        "import os, sys\n"
        "for folder in sys.argv[1:]:\n"
        "    try: open(os.path.join(folder, 'whb-was-here'), 'w').close(); print('written')\n"
        "    except OSError as error: print(error.strerror)\n"
    )
    folders = [str(mine), str(yours), str(Path.home()), "/etc", str(REPOSITORY)]
    held = sandbox().around([sys.executable, "-c", script, *folders], [mine])
    output = run(held, env=base_environment(), cwd=mine).output.splitlines()
    assert output == ["written", *["Read-only file system"] * 4]
    assert (mine / "whb-was-here").exists()
    (mine / "after").touch()
    (yours / "after").touch()


def test_the_sandbox_sees_a_disk_that_is_mounted_below_a_folder_where_it_may_write(tmp_path: Path) -> None:
    """As where the cache is a disk of its own below /tmp, where every build may write. Other disks stay read-only."""
    upper, mine, yours = tmp_path / "tmp", tmp_path / "tmp/mine", tmp_path / "tmp/yours"
    for folder in (mine, yours):
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    try:
        (mine / "work").mkdir()
        script = f"touch {mine}/work/here; touch {yours}/here || echo refused"
        held = sandbox().around(["sh", "-c", script], [upper, mine / "work"])
        assert run(held, env=base_environment()).output.splitlines()[-1] == "refused"
        assert (mine / "work/here").exists()
    finally:
        for folder in (mine, yours):
            subprocess.run(["umount", folder], check=True)


def test_the_sandbox_of_a_user_who_is_not_root(tmp_path: Path) -> None:
    """The same isolation through a user namespace, and inside it the user is the user."""
    probe = (
        "from wheelhouse_builder.engines.cross.sandbox import sandbox; from wheelhouse_builder.process import *; "
        "held = sandbox(); print(held.told); print(run(held.around(['id', '-u'], []), env=base_environment()).output)"
    )
    package = tmp_path / "package"
    shutil.copytree(REPOSITORY / "wheelhouse_builder", package / "wheelhouse_builder")
    for path in (tmp_path, *tmp_path.parents):
        path.chmod(path.stat().st_mode | 0o055)
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    done = run([*user, "/usr/bin/python3", "-c", probe], env={**base_environment(), "PYTHONPATH": str(package)})
    told, uid = done.output.splitlines()[:2]
    assert "cannot write outside their folders" in told
    assert uid == "65534"


# ---- builds

PROBE = """\
import json, os, platform, sys, sysconfig
from setuptools import Extension, setup
print("PROBE", json.dumps({
    "uname": os.uname().machine,
    "machine": platform.machine(),
    "platform": sysconfig.get_platform(),
    "suffix": sysconfig.get_config_var("EXT_SUFFIX"),
    "soabi": sysconfig.get_config_var("SOABI"),
    "include": sysconfig.get_path("include"),
    "environment": dict(os.environ),
    "home": os.path.expanduser("~"),
    "processes": [entry for entry in os.listdir("/proc") if entry.isdecimal()],
    "interfaces": [line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]],
    "standard input": sys.stdin.read(),
}))
setup(ext_modules=[Extension("probe", ["probe.c"])])
"""
CPLUSPLUS = """\
#include <stdexcept>
#include <string>
#include <vector>
static std::string join(const std::vector<std::string> &parts) {
  if (parts.empty()) throw std::runtime_error("nothing to join");
  std::string all;
  for (const auto &part : parts) all += part;
  return all;
}
"""
FOREIGN_BACKEND = """\
import zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "foreign-1.0-py3-none-linux_riscv64.whl"
    zipfile.ZipFile(f"{directory}/{name}", "w").close()
    return name
"""
OWN_BACKEND = """\
from setuptools.build_meta import *
import setuptools.build_meta as real
def get_requires_for_build_wheel(config_settings=None):
    return ["wheel"]
def build_wheel(*arguments):
    import wheel
    return real.build_wheel(*arguments)
"""


def project(name: str) -> str:
    return f'[project]\nname = "{name}"\nversion = "1.0"\n[tool.setuptools]\npy-modules = []\n'


def cplusplus() -> dict[str, str]:
    """A C++ extension with the standard library, exceptions, and flags for one processor."""
    source = MODULE.format(
        module="cplusplus",
        includes=CPLUSPLUS,
        body='try { join({}); } catch (const std::exception &) {} return PyLong_FromLong(join({"a", "b"}).size());',
    )
    setup = (
        "import platform\nfrom setuptools import Extension, setup\n"
        'flags = {"x86_64": ["-march=x86-64-v2"], "aarch64": ["-march=armv8-a+crc"]}[platform.machine()]\n'
        'flags += ["--target=riscv64-linux-gnu", "-std=c++17"]\n'
        'setup(ext_modules=[Extension("cplusplus", ["cplusplus.cpp"], extra_compile_args=flags)])\n'
    )
    return {"pyproject.toml": SETUPTOOLS + project("cplusplus"), "setup.py": setup, "cplusplus.cpp": source}


def through_cffi() -> dict[str, str]:
    """An extension that cffi writes: a build requirement with an extension of its own, which runs on the host."""
    make = (
        'from cffi import FFI\nffi = FFI()\nffi.cdef("int answer(void);")\n'
        'ffi.set_source("_through_cffi", "int answer(void) { return 42; }")\n'
    )
    return {
        "pyproject.toml": SETUPTOOLS.replace('"setuptools>=77"', '"setuptools>=77", "cffi"') + project("through-cffi"),
        "setup.py": 'from setuptools import setup\nsetup(cffi_modules=["make.py:ffi"])\n',
        "make.py": make,
    }


def legacy() -> dict[str, str]:
    """No pyproject.toml at all."""
    setup = (
        "from setuptools import Extension, setup\n"
        'setup(name="legacy", version="1.0", ext_modules=[Extension("legacy", ["legacy.c"])])\n'
    )
    return {"setup.py": setup, "legacy.c": c_extension("legacy")["legacy.c"]}


def in_tree(name: str, backend: str) -> dict[str, str]:
    """A build backend inside the source."""
    system = '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "own"\nbackend-path = ["backend"]\n'
    module = name.replace("-", "_")
    extensions = f'ext-modules = [{{ name = "{module}", sources = ["{module}.c"] }}]\n'
    return {
        "pyproject.toml": system + project(name) + extensions,
        "backend/own.py": backend,
        f"{module}.c": c_extension(name)[f"{module}.c"],
    }


PROJECTS = {
    "probe": {**c_extension("probe"), "pyproject.toml": SETUPTOOLS + project("probe"), "setup.py": PROBE},
    "cplusplus": cplusplus(),
    "through-cffi": through_cffi(),
    "legacy": legacy(),
    "in-tree": in_tree("in-tree", OWN_BACKEND),
    "foreign": in_tree("foreign", FOREIGN_BACKEND),
    "hatch": {
        "pyproject.toml": '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "hatch"\nversion = "1.0"\n',
        "hatch/__init__.py": "",
    },
}


@dataclass(frozen=True)
class Built:
    """The run that builds all projects for both architectures."""

    wheelhouse: Path
    rows: dict[tuple[str, str], dict[str, Any]]  # by package and target

    def row(self, name: str, target: Target) -> dict[str, Any]:
        return self.rows[name, str(target)]

    def members(self, name: str, target: Target) -> zipfile.ZipFile:
        """The wheel."""
        row = self.row(name, target)
        assert row["status"] == "ready", row
        return zipfile.ZipFile(self.wheelhouse / row["filename"])

    def machines(self, name: str, target: Target) -> dict[str, Arch | None]:
        """The extensions of a wheel, and for which processor each is."""
        with self.members(name, target) as wheel:
            names = [member for member in wheel.namelist() if member.endswith(".so")]
            return {member: read_elf(io.BytesIO(wheel.read(member))).machine for member in names}

    def probe(self, target: Target) -> dict[str, Any]:
        """What the last run of the probe's setup.py said."""
        log = (self.wheelhouse / f".whb/logs/probe-1.0-{target}.log").read_text()
        found: dict[str, Any] = json.loads(re.findall(r"^PROBE (.*)$", log, re.MULTILINE)[-1])
        return found


@pytest.fixture(scope="module")
def built(whb: Whb, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("cross")
    # Of this run alone: what an earlier one built would be taken from the build cache.
    stamp = {"stamp": str(folder.stat().st_mtime_ns)}
    archives = [sdist(folder, name, files | stamp) for name, files in PROJECTS.items()]
    (folder / "requirements.txt").write_text("".join(f"./{archive.name}\n" for archive in archives))
    secrets = {"GITHUB_TOKEN": "secret", "CFLAGS": "-DSECRET", "PYTHONPATH": str(folder / "secret"), "TZ": "Asia/Tokyo"}
    arguments = ("build", "requirements.txt", "--python", "3.12", "--arch", "amd64", "--arch", "arm64", "--json")
    done = whb(*arguments, cwd=folder, WHB_VERIFY_ENGINE="off", **secrets)
    assert done.returncode == 1, done.stderr
    rows = {(row["name"], row["target"]): row for row in json.loads(done.stdout)["rows"]}
    return Built(wheelhouse=folder / "wheelhouse", rows=rows)


BOTH = pytest.mark.parametrize("target", [AMD, ARM], ids=str)


@BOTH
def test_all_projects_but_the_foreign_one_are_there(built: Built, target: Target) -> None:
    ready = {name for (name, where), row in built.rows.items() if where == str(target) and row["status"] == "ready"}
    assert ready == PROJECTS.keys() - {"foreign"}


@BOTH
def test_a_hook_is_told_of_the_target(built: Built, target: Target) -> None:
    told = built.probe(target)
    assert told["uname"] == told["machine"] == target.arch
    assert told["platform"] == target.sysconfig_platform
    assert told["suffix"] == target.ext_suffix
    assert told["soabi"] == target.soabi
    assert f"/targets/{target}-" in told["include"]
    assert told["include"].endswith("/include/python3.12")


@BOTH
def test_a_hook_sees_nothing_of_whoever_runs_whb(built: Built, target: Target) -> None:
    environment = built.probe(target)["environment"]
    compilers = {"CC", "CXX", "AR", "RANLIB", "LDSHARED", "LDCXXSHARED", "CFLAGS", "CXXFLAGS", "CONFIG_SITE"}
    make = {"MAKEFLAGS", "CMAKE_BUILD_PARALLEL_LEVEL", "CMAKE_TOOLCHAIN_FILE", "CMAKE_PREFIX_PATH"}
    caches = {"ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"}
    libraries = {"PKG_CONFIG", "PKG_CONFIG_ALLOW_CROSS", "PKG_CONFIG_ALL_STATIC"}
    python = {"PYTHONPATH", "PYTHONHASHSEED", "PYTHONNOUSERSITE", "_PYPROJECT_HOOKS_BUILD_BACKEND"}
    described = {"_PYTHON_HOST_PLATFORM", "_PYTHON_SYSCONFIGDATA_NAME"} | ({"WHB_TARGET_MACHINE"} & environment.keys())
    fixed = {"LC_ALL", "TZ", "TERM", "USER", "LOGNAME", "SOURCE_DATE_EPOCH"}
    places = {"PATH", "HOME", "TMPDIR"}
    assert environment.keys() == (compilers | make | caches | libraries | python | described | fixed | places)
    assert not [name for name, value in environment.items() if "secret" in value.lower() and name != "PATH"]
    assert (environment["TZ"], environment["LC_ALL"], environment["USER"]) == ("UTC", "C.UTF-8", "whb")
    assert environment["SOURCE_DATE_EPOCH"] == "1700000000"


@BOTH
def test_a_hook_has_a_home_of_its_own_and_no_network(built: Built, target: Target) -> None:
    told = built.probe(target)
    assert told["home"] == told["environment"]["HOME"] != str(Path.home())
    assert told["interfaces"] == ["lo"]
    assert str(os.getpid()) not in told["processes"]
    assert told["standard input"] == ""


@BOTH
@pytest.mark.parametrize("name", ["probe", "cplusplus", "legacy", "in-tree", "through-cffi"])
def test_an_extension_is_for_the_target_and_loads(built: Built, name: str, target: Target) -> None:
    machines = built.machines(name, target)
    assert list(machines.values()) == [target.arch]
    (verdict,) = built.row(name, target)["verdicts"]
    assert (verdict["check"], verdict["problems"]) == ("loader", [])
    assert built.row(name, target)["filename"].endswith(f"-{target.platform_tag}.whl")


@BOTH
def test_no_path_of_the_build_gets_into_an_extension(built: Built, whb: Whb, target: Target) -> None:
    for name in ("probe", "cplusplus", "through-cffi"):
        with built.members(name, target) as wheel:
            assert not [member for member in wheel.namelist() if str(whb.cache).encode() in wheel.read(member)]


def test_a_pure_source_gives_one_wheel_for_both(built: Built) -> None:
    (filename,) = {built.row("hatch", target)["filename"] for target in (AMD, ARM)}
    assert filename.endswith("-none-any.whl")


@BOTH
def test_a_wheel_for_another_machine_is_refused(built: Built, target: Target) -> None:
    row = built.row("foreign", target)
    assert row["status"] == "failed"
    assert f"the build backend made foreign-1.0-py3-none-linux_riscv64.whl, which is not for {target}" in row["message"]


def test_nothing_is_left_in_the_work_folder(built: Built, whb: Whb) -> None:
    sources = tuple(sha256_of(archive)[:16] for archive in built.wheelhouse.parent.glob("*.tar.gz"))
    assert len(sources) == len(PROJECTS)
    left = [path.name for path in (whb.cache / "work").iterdir() if path.name.startswith(sources)]
    assert {name.rpartition(".")[2] for name in left} == {"lock"}


def test_two_runs_at_once_build_each_job_once(whb: Whb, tmp_path: Path) -> None:
    """Two wheelhouses, one cache: the one that comes second waits and takes what the first made."""
    archive = sdist(tmp_path, "shared", c_extension("shared") | {"stamp": str(tmp_path.stat().st_mtime_ns)})
    (tmp_path / "requirements.txt").write_text(f"./{archive.name}\n")

    def build(name: str) -> int:
        arguments = ("build", "requirements.txt", "--python", "3.12", "--arch", "arm64", "--wheelhouse", name)
        return whb(*arguments, cwd=tmp_path, WHB_VERIFY_ENGINE="off").returncode

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(build, ("one", "other"))) == [0, 0]
    contents = {path.read_bytes() for path in tmp_path.glob("*/shared-1.0-*.whl")}
    assert len(contents) == 1
    logs = [path for path in tmp_path.glob("*/.whb/logs/shared-*.log") if path.stat().st_size]
    assert len(logs) == 1


# ---- a target tree of the user's own

ONLY_WITH_THE_TREE = "#ifndef HAVE_PREADV2\n#error this is not the pyconfig.h of the tree\n#endif"


def build_with_tree(whb: Whb, folder: Path, tree: Path | None) -> tuple[int, str]:
    """The exit code and the messages of a build for cp312 arm64 of an extension that wants the tree's header."""
    archive = sdist(folder, "wants-tree", c_extension("wants-tree", includes=ONLY_WITH_THE_TREE))
    (folder / "requirements.txt").write_text(f"./{archive.name}\n")
    trees = f'[cross.target-trees]\n"{ARM}" = "{tree}"\n' if tree else ""
    (folder / "whb.toml").write_text(trees)
    arguments = ("build", "requirements.txt", "--python", "3.12", "--arch", "arm64")
    done = whb(*arguments, cwd=folder, WHB_VERIFY_ENGINE="off")
    return done.returncode, done.stderr


def test_a_target_tree_is_used(whb: Whb, test_dir: Path, tmp_path: Path) -> None:
    code, messages = build_with_tree(whb, tmp_path, alpine_root(test_dir, ARM))
    assert code == 0, messages


def test_without_it_the_description_is_made(whb: Whb, tmp_path: Path) -> None:
    code, messages = build_with_tree(whb, tmp_path, None)
    assert code == 1
    assert "this is not the pyconfig.h of the tree" in messages


@pytest.mark.parametrize("wrong", [AMD, Target((3, 13), Arch.AARCH64)], ids=str)
def test_a_wrong_target_tree_is_refused(whb: Whb, test_dir: Path, tmp_path: Path, wrong: Target) -> None:
    code, messages = build_with_tree(whb, tmp_path, alpine_root(test_dir, wrong))
    assert code == 4, messages
    assert f"{alpine_root(test_dir, wrong)} is no CPython 3.12 for aarch64 musl" in messages
