"""Tiny source distributions, each with one property, made in a temporary folder."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "1.0"
[tool.setuptools]
py-modules = []
ext-modules = [{{ name = "{module}", sources = ["{module}.c"] }}]
"""

MODULE = """\
#include <Python.h>
{includes}
static PyObject *answer(PyObject *self, PyObject *args) {{ {body} }}
static PyMethodDef methods[] = {{{{"answer", answer, METH_NOARGS, 0}}, {{0}}}};
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "{module}", 0, -1, methods}};
PyMODINIT_FUNC PyInit_{module}(void) {{ return PyModule_Create(&module); }}
"""

CRATE_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77", "setuptools-rust>=1.13"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "1.0"
[[tool.setuptools-rust.ext-modules]]
target = "{name}.native"
binding = "NoBinding"
[tool.setuptools]
packages = ["{name}"]
"""

CRATE = '[package]\nname = "native"\nversion = "1.0.0"\nedition = "2021"\n[lib]\ncrate-type = ["cdylib"]\n'

# A backend in the source itself: a build by it has no requirements, and takes a moment.
BACKEND = """\
import os, zipfile
NAME, VERSION = {name!r}, {version!r}
def build_wheel(folder, config_settings=None, metadata_directory=None):
    wheel, info = f"{{NAME}}-{{VERSION}}-py3-none-any.whl", f"{{NAME}}-{{VERSION}}.dist-info"
    with zipfile.ZipFile(os.path.join(folder, wheel), "w") as archive:
        archive.writestr(f"{{NAME}}.py", "")
        archive.writestr(f"{{info}}/METADATA", f"Metadata-Version: 2.2\\nName: {{NAME}}\\nVersion: {{VERSION}}\\n")
        archive.writestr(f"{{info}}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(f"{{info}}/RECORD", "")
    return wheel
"""


def without_requirements(name: str, version: str = "1.0") -> dict[str, str]:
    """The files of a pure project that brings its own backend; its name has no dash."""
    pyproject = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    return {"pyproject.toml": pyproject, "backend.py": BACKEND.format(name=name, version=version)}


def c_extension(name: str, *, includes: str = "", body: str = "return PyLong_FromLong(42);") -> dict[str, str]:
    """The files of a project with one C extension."""
    module = name.replace("-", "_")
    return {
        "pyproject.toml": PYPROJECT.format(name=name, module=module),
        f"{module}.c": MODULE.format(module=module, includes=includes, body=body),
    }


def crate_extension(name: str, code: str, dependencies: str = "") -> dict[str, str]:
    """The files of a package with a crate that is loaded as NAME/native*.so, without its lock; its name has no dash."""
    return {
        "pyproject.toml": CRATE_PYPROJECT.format(name=name),
        "Cargo.toml": f"{CRATE}[dependencies]\n{dependencies}",
        "src/lib.rs": code,
        f"{name}/__init__.py": "",
    }


def sdist(
    folder: Path, name: str, files: Mapping[str, str], *, version: str = "1.0", extra: tuple[tarfile.TarInfo, ...] = ()
) -> Path:
    """Write `<name>-<version>.tar.gz` with these files (and bare members `extra`), all below one top directory."""
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}.tar.gz"
    metadata = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n"
    with tarfile.open(path, "w:gz") as archive:
        for member, text in {"PKG-INFO": metadata, **files}.items():
            info = tarfile.TarInfo(f"{stem}/{member}")
            info.size, info.mtime = len(text.encode()), 1_700_000_000
            archive.addfile(info, io.BytesIO(text.encode()))
        for info in extra:
            archive.addfile(info)
    return path
