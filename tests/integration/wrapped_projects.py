"""One tiny project for each build backend, alone or wrapped by ours. Each has a module whose `answer()` is 42."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from tests.integration.frontends import CRATE, CRATE_VERSION, cargo_toml
from tests.integration.projects import MODULE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.integration.frontends import Kept


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project as its files, but for [build-system]."""

    backend: str
    requires: tuple[str, ...]
    files: Mapping[str, str]
    pyproject: str = ""  # what follows [build-system]
    backend_path: tuple[str, ...] = ()
    native: bool = True
    dynamic_version: bool = False

    def write(
        self,
        folder: Path,
        name: str,
        *,
        wrapped: bool = True,
        stamp: str = "",
        whb: Mapping[str, object] = MappingProxyType({}),
    ) -> Path:
        """Write the tree `folder`, as a project of this name; `whb` are keys for [tool.whb].

        A stamp makes its wheels wheels of this run alone: those of earlier ones are in the build cache.
        """
        system: dict[str, object] = {"requires": list(self.requires), "build-backend": self.backend}
        tool: dict[str, object] = {}
        if self.backend_path:
            system["backend-path"] = list(self.backend_path)
        if wrapped:
            tool = {key: value for key, value in system.items() if key != "requires"} | dict(whb)
            system = {
                "requires": ["wheelhouse-builder>=1,<2", *self.requires],
                "build-backend": "wheelhouse_builder.backend",
            }
        version = 'dynamic = ["version"]\n' if self.dynamic_version else 'version = "1.0"\n'
        project = f'[project]\nname = "{name}"\n{version}requires-python = ">=3.11"\ndescription = "tiny"\n'
        text = f"# {stamp}\n{_table('build-system', system)}{_table('tool.whb', tool)}{project}{self.pyproject}"
        for member, content in {**self.files, "pyproject.toml": text}.items():
            path = folder / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return folder


def _table(name: str, keys: Mapping[str, object]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()) if keys else ""


_SETUPTOOLS = "[tool.setuptools]\npy-modules = []\n"

_CFFI = """\
import os
from cffi import FFI
ffi = FFI()
ffi.cdef("int answer_of(int);")
ffi.set_source("_tiny_cffi", "int answer_of(int x) { return x; }")
if "SPY" in os.environ:  # run, and compiled, also by get_requires_for_build_wheel
    with open(os.environ["SPY"], "a") as told:
        told.write('["make"]\\n')
"""

# Python's C API as far as the module needs it, so that there is no crate to fetch.
_RUST = """\
use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr::{addr_of_mut, null};

type Object = *mut c_void;
type Function = extern "C" fn(Object, Object) -> Object;
#[repr(C)]
struct Method { name: *const c_char, function: Option<Function>, flags: c_int, doc: *const c_char }
#[repr(C)]
struct Module {
    base: [usize; 5], name: *const c_char, doc: *const c_char, size: isize, methods: *mut Method, rest: [usize; 4],
}
extern "C" {
    fn PyLong_FromLong(value: c_long) -> Object;
    fn PyModule_Create2(module: *mut Module, version: c_int) -> Object;
}
extern "C" fn answer(_: Object, _: Object) -> Object { unsafe { PyLong_FromLong(42) } }
static mut METHODS: [Method; 2] = [
    Method { name: c"answer".as_ptr(), function: Some(answer), flags: 4, doc: null() },
    Method { name: null(), function: None, flags: 0, doc: null() },
];
static mut MODULE: Module = Module {
    base: [1, 0, 0, 0, 0],
    name: c"tiny_rust".as_ptr(), doc: null(), size: -1, methods: addr_of_mut!(METHODS).cast(), rest: [0; 4],
};
#[no_mangle]
pub extern "C" fn PyInit_tiny_rust() -> Object { unsafe { PyModule_Create2(addr_of_mut!(MODULE), 1013) } }
"""

_MATURIN = """\
use pyo3_ffi::*;
use std::ptr::{addr_of_mut, null, null_mut};

unsafe extern "C" fn answer(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject { PyLong_FromLong(42) }
static mut METHODS: [PyMethodDef; 2] = [
    PyMethodDef {
        ml_name: c"answer".as_ptr(), ml_meth: PyMethodDefPointer { PyCFunction: answer },
        ml_flags: METH_NOARGS, ml_doc: null(),
    },
    PyMethodDef::zeroed(),
];
static mut MODULE: PyModuleDef = PyModuleDef {
    m_base: PyModuleDef_HEAD_INIT, m_name: c"tiny_maturin".as_ptr(), m_doc: null(), m_size: -1,
    m_methods: addr_of_mut!(METHODS).cast(), m_slots: null_mut(), m_traverse: None, m_clear: None, m_free: None,
};
#[no_mangle]
#[allow(non_snake_case)]
pub unsafe extern "C" fn PyInit_tiny_maturin() -> *mut PyObject { PyModule_Create(addr_of_mut!(MODULE)) }
"""

_MESON = """\
project('tiny-meson', 'c', version: '1.0')
import('python').find_installation(pure: false).extension_module('tiny_meson', 'tiny_meson.c', install: true)
"""

_PURE = '"""Tiny."""\n__version__ = "1.0"\ndef answer():\n    return 42\n'

# Writes each of its calls, and that it was imported, as a line of JSON to the file $SPY.
SPY = '''\
"""A build backend inside the source, of the standard library alone, with all hooks."""
import io, json, os, tarfile, zipfile
from pathlib import Path

NAME = "tiny_spy-1.0"
WHEEL = "Wheel-Version: 1.0\\nGenerator: spy\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
METADATA = "Metadata-Version: 2.1\\nName: tiny-spy\\nVersion: 1.0\\nSummary: tiny\\nRequires-Python: >=3.11\\n"


def told(hook, *arguments):
    if "SPY" in os.environ:
        with open(os.environ["SPY"], "a") as file:
            file.write(json.dumps([hook, *map(repr, arguments)]) + "\\n")


told("import")


def wheel(folder, members):
    with zipfile.ZipFile(Path(folder, f"{NAME}-py3-none-any.whl"), "w") as archive:
        written = {**members, f"{NAME}.dist-info/METADATA": METADATA, f"{NAME}.dist-info/WHEEL": WHEEL}
        for name, text in written.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
        record = "".join(f"{name},,\\n" for name in [*written, f"{NAME}.dist-info/RECORD"])
        archive.writestr(zipfile.ZipInfo(f"{NAME}.dist-info/RECORD", (2020, 1, 1, 0, 0, 0)), record)
    return f"{NAME}-py3-none-any.whl"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    told("build_wheel", config_settings)
    return wheel(wheel_directory, {"tiny_spy.py": Path("tiny_spy.py").read_text()})


def build_sdist(sdist_directory, config_settings=None):
    told("build_sdist", config_settings)
    with tarfile.open(Path(sdist_directory, f"{NAME}.tar.gz"), "w:gz") as archive:
        for name in ("pyproject.toml", "tiny_spy.py", "backend/spy.py"):
            archive.add(name, f"{NAME}/{name}")
        info = tarfile.TarInfo(f"{NAME}/PKG-INFO")
        info.size = len(METADATA)
        archive.addfile(info, io.BytesIO(METADATA.encode()))
    return f"{NAME}.tar.gz"


def get_requires_for_build_wheel(config_settings=None):
    told("get_requires_for_build_wheel", config_settings)
    return []
'''
SPY_OPTIONAL = """

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    told("prepare_metadata_for_build_wheel", config_settings)
    folder = Path(metadata_directory, f"{NAME}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text(METADATA)
    (folder / "WHEEL").write_text(WHEEL)
    return folder.name


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    told("build_editable", config_settings)
    return wheel(wheel_directory, {"tiny_spy.pth": os.getcwd() + "\\n"})
"""


def _c(module: str) -> str:
    return MODULE.format(module=module, includes="", body="return PyLong_FromLong(42);")


def _spy(source: str, **more: object) -> Project:
    files = {"backend/spy.py": source, "tiny_spy.py": _PURE}
    return Project(backend="spy", backend_path=("backend",), requires=(), files=files, native=False, **more)  # type: ignore[arg-type]  # fields of Project


PROJECTS: Mapping[str, Project] = {
    "tiny-c": Project(
        backend="setuptools.build_meta",
        requires=("setuptools",),
        files={"tiny_c.c": _c("tiny_c")},
        pyproject=f'{_SETUPTOOLS}ext-modules = [{{ name = "tiny_c", sources = ["tiny_c.c"] }}]\n',
    ),
    "tiny-cffi": Project(
        backend="setuptools.build_meta",
        requires=("setuptools", "cffi"),
        files={
            "make_tiny.py": _CFFI,
            "setup.py": 'from setuptools import setup\nsetup(cffi_modules=["make_tiny.py:ffi"])\n',
            "tiny_cffi.py": "from _tiny_cffi import lib\ndef answer():\n    return lib.answer_of(42)\n",
            "MANIFEST.in": "include make_tiny.py\n",
        },
        pyproject='[tool.setuptools]\npy-modules = ["tiny_cffi"]\n',
    ),
    "tiny-rust": Project(
        backend="setuptools.build_meta",
        requires=("setuptools", "setuptools-rust"),
        files={
            "Cargo.toml": cargo_toml("tiny_rust"),
            "Cargo.lock": 'version = 4\n\n[[package]]\nname = "tiny_rust"\nversion = "1.0.0"\n',
            "src/lib.rs": _RUST,
            "MANIFEST.in": "include Cargo.toml Cargo.lock src/lib.rs\n",
        },
        pyproject=f'{_SETUPTOOLS}[[tool.setuptools-rust.ext-modules]]\ntarget = "tiny_rust"\nbinding = "NoBinding"\n',
    ),
    "tiny-maturin": Project(
        backend="maturin",
        requires=("maturin>=1,<2",),
        files={
            "Cargo.toml": cargo_toml(
                "tiny_maturin", f'{CRATE} = {{ version = "={CRATE_VERSION}", features = ["abi3-py311"] }}\n'
            ),
            "src/lib.rs": _MATURIN,
        },
        pyproject='[tool.maturin]\nmodule-name = "tiny_maturin"\n',
    ),
    "tiny-meson": Project(
        backend="mesonpy",
        requires=("meson-python", "ninja"),
        files={"meson.build": _MESON, "tiny_meson.c": _c("tiny_meson")},
    ),
    "tiny-hatch": Project(
        backend="hatchling.build", requires=("hatchling",), files={"tiny_hatch/__init__.py": _PURE}, native=False
    ),
    "tiny-flit": Project(
        backend="flit_core.buildapi", requires=("flit_core",), files={"tiny_flit.py": _PURE}, native=False
    ),
    "tiny-spy": _spy(SPY + SPY_OPTIONAL),
}
SPY_OF_REQUIRED_HOOKS = _spy(SPY)
SPY_WITH_DYNAMIC_VERSION = _spy(SPY + SPY_OPTIONAL, dynamic_version=True)

NATIVE = tuple(name for name, project in PROJECTS.items() if project.native)
PURE = tuple(name for name, project in PROJECTS.items() if not project.native)


def write(folder: Path, name: str, kept: Kept, *, wrapped: bool = True, stamp: str = "") -> Path:
    """Write one of PROJECTS; see `Project.write`."""
    PROJECTS[name].write(folder, name, wrapped=wrapped, stamp=stamp)
    if name == "tiny-maturin":
        shutil.copyfile(kept.cargo_lock, folder / "Cargo.lock")
    return folder


def under_git(folder: Path) -> Path:
    """Commit all of a tree: meson makes no sdist of anything else."""
    git = ("git", "-c", "user.name=whb", "-c", "user.email=whb@example.org")
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "tiny")):
        subprocess.run([*git, *command], cwd=folder, check=True, capture_output=True)
    return folder
