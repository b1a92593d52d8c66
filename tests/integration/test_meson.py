"""Projects of meson-python are cross builds: nothing that was compiled is run, on a machine without any compiler."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.crossed import AMD, ARM, answer_on_alpine, built_for_both
from tests.integration.projects import MODULE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Whb
    from wheelhouse_builder.target import Target

pytestmark = pytest.mark.integration

# With the questions that numpy, and what is built with numpy, ask.
MESON_BUILD = """\
project('crossed', 'c', 'cpp', version: '1.0')
assert(meson.is_cross_build())
assert(not meson.can_run_host_binaries())
assert(get_option('of-the-source'))
assert(get_option('of-the-recipe'))
message('long double: ' + meson.get_external_property('longdouble_format'))
assert(meson.get_compiler('c').sizeof('long') == 8)
assert(meson.get_compiler('cpp').links('#include <vector>\\nint main() { return std::vector<int>{1}.at(0); }'))
numpy = dependency('numpy')
python = import('python').find_installation(pure: false)
run_command(python, '-c', 'import numpy', check: true)
python.extension_module('crossed', 'crossed.c', dependencies: numpy, install: true)
"""
PYPROJECT = """\
[build-system]
requires = ["meson-python", "ninja", "numpy>=2"]
build-backend = "mesonpy"
[project]
name = "crossed"
version = "1.0"
[tool.meson-python.args]
setup = ["-Dof-the-source=true"]
"""
FILES = {
    "pyproject.toml": PYPROJECT,
    "meson.build": MESON_BUILD,
    "meson.options": "option('of-the-source', type: 'boolean', value: false)\n"
    "option('of-the-recipe', type: 'boolean', value: false)\n",
    "crossed.c": MODULE.format(
        module="crossed",
        includes="#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION\n#include <numpy/ndarraytypes.h>",
        body="return PyLong_FromLong(40 + sizeof(npy_int16));",
    ),
}
RECIPE = '[packages.crossed]\nconfig-settings = { setup-args = "-Dof-the-recipe=true" }\n'
LONG_DOUBLE = {AMD: "INTEL_EXTENDED_16_BYTES_LE", ARM: "IEEE_QUAD_LE"}


def without_compilers(folder: Path) -> str:
    """A PATH with what whb itself calls."""
    folder.mkdir()
    for name in ("docker", "mount", "setpriv", "sh", "true", "unshare"):
        program = shutil.which(name)
        assert program is not None, name
        (folder / name).symlink_to(program)
    return str(folder)


@pytest.fixture(scope="module")
def built(whb: Whb, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("meson")
    return built_for_both(whb, folder, FILES, RECIPE, PATH=without_compilers(folder / "bin"))


@pytest.mark.parametrize("target", [AMD, ARM], ids=str)
def test_meson_takes_it_for_a_cross_build_and_runs_nothing(built: dict[str, dict[str, Any]], target: Target) -> None:
    """What the project asserts holds too; its own setup arguments and the recipe's stand beside ours."""
    lines = built[str(target)]["log"].splitlines()
    assert "Build type: cross build" in lines
    assert f"Host machine cpu family: {target.arch}" in lines
    assert f"Message: long double: {LONG_DOUBLE[target]}" in lines


@pytest.mark.parametrize("target", [AMD, ARM], ids=str)
def test_the_extension_is_the_targets_and_loads(built: dict[str, dict[str, Any]], target: Target) -> None:
    assert answer_on_alpine(built[str(target)], target) == "42\n"
