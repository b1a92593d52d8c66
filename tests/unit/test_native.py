from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.verify.native import native_sources

if TYPE_CHECKING:
    from pathlib import Path

SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
MATURIN = '[build-system]\nrequires = ["maturin>=1"]\nbuild-backend = "maturin"\n'
MESON = '[build-system]\nrequires = ["meson-python"]\nbuild-backend = "mesonpy"\n'
SCIKIT = '[build-system]\nrequires = ["scikit-build-core"]\nbuild-backend = "scikit_build_core.build"\n'
RUST = '[build-system]\nrequires = ["setuptools", "setuptools-rust"]\nbuild-backend = "setuptools.build_meta"\n'
EXTENSION = "from setuptools import Extension, setup\nsetup(ext_modules=[Extension('a._a', ['src/a.c'])])\n"
CFFI = "from setuptools import setup\nsetup(cffi_modules=['build_a.py:ffi'])\n"
LATER = "from setuptools import setup\nsettings = {}\nsettings['ext_modules'] = [EXTENSION]\nsetup(**settings)\n"
FALL_BACK = """
from setuptools import Extension, setup
def run(with_speedups):
    setup(ext_modules=[Extension('m._speedups', ['src/a.c'])] if with_speedups else [])
try:
    run(True)
except Exception:
    run(False)
"""


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "sources"),
    [
        ({"pyproject.toml": MATURIN, "src/lib.rs": ""}, ("src/lib.rs",)),
        ({"pyproject.toml": MATURIN, "native/Cargo.toml": "", "native/src/lib.rs": ""}, ("native/src/lib.rs",)),
        ({"pyproject.toml": MESON, "pkg/x.pyx": "", "pkg/y.f90": ""}, ("pkg/x.pyx", "pkg/y.f90")),
        ({"pyproject.toml": SCIKIT, "src/a.cpp": ""}, ("src/a.cpp",)),
        ({"pyproject.toml": RUST, "setup.py": "", "src/lib.rs": ""}, ("src/lib.rs",)),
        ({"setup.py": EXTENSION, "src/a.c": ""}, ("src/a.c",)),
        ({"setup.py": CFFI, "src/a.c": ""}, ("src/a.c",)),
        ({"setup.py": LATER, "src/a.c": ""}, ("src/a.c",)),
        (
            {"setup.py": FALL_BACK, "src/a.c": ""},
            ("src/a.c",),
        ),  # markupsafe, pyyaml: expected where there is a compiler
        ({"pyproject.toml": SETUPTOOLS + "[tool.setuptools]\next-modules = []\n", "a.c": ""}, ("a.c",)),
    ],
)
def test_native(tmp_path: Path, files: dict[str, str], sources: tuple[str, ...]) -> None:
    assert native_sources(tree(tmp_path, files)) == sources


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"pyproject.toml": SETUPTOOLS, "pkg/__init__.py": ""},
        {"pyproject.toml": SETUPTOOLS, "pkg/templates/stub.c": ""},  # C as data, nothing asks for a compiler
        {"setup.py": "from setuptools import setup\nsetup()\n", "src/a.c": ""},
        {"setup.py": "from setuptools import setup\nsetup(ext_modules=[])\n", "src/a.c": ""},
        {"setup.py": EXTENSION, "tests/fixtures/a.c": "", "docs/example.c": ""},
        {"pyproject.toml": MESON, "pkg/__init__.py": ""},  # a pure project may use meson-python
        {"pyproject.toml": MATURIN, "examples/demo/src/lib.rs": ""},
        {"pyproject.toml": SETUPTOOLS, "rust/Cargo.toml": "", "rust/src/lib.rs": ""},
        {"pyproject.toml": "this is not TOML", "setup.py": "this is not Python", "a.c": ""},
    ],
)
def test_may_be_pure(tmp_path: Path, files: dict[str, str]) -> None:
    assert native_sources(tree(tmp_path, files)) == ()
