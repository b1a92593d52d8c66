"""Projects of scikit-build-core are cross builds: CMake knows the target, and finds nothing of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.crossed import AMD, ARM, answer_on_alpine, built_for_both
from tests.integration.projects import MODULE

if TYPE_CHECKING:
    from tests.integration.conftest import Whb
    from wheelhouse_builder.target import Target

pytestmark = pytest.mark.integration

# string.h lies in /usr/include of this machine; zlib is found where the recipe says that it is.
CMAKE_LISTS = """\
cmake_minimum_required(VERSION 3.21)
project(crossed LANGUAGES C CXX)
if(NOT CMAKE_CROSSCOMPILING)
  message(FATAL_ERROR "not a cross build")
endif()
message(STATUS "for: ${CMAKE_SYSTEM_PROCESSOR}")
find_path(HEADER_OF_THIS_MACHINE string.h)
if(HEADER_OF_THIS_MACHINE)
  message(FATAL_ERROR "found ${HEADER_OF_THIS_MACHINE}")
endif()
find_package(ZLIB REQUIRED)
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
python_add_library(crossed MODULE WITH_SOABI crossed.c)
target_link_libraries(crossed PRIVATE ZLIB::ZLIB)
install(TARGETS crossed DESTINATION .)
"""
PYPROJECT = """\
[build-system]
requires = ["scikit-build-core", "cmake", "ninja"]
build-backend = "scikit_build_core.build"
[project]
name = "crossed"
version = "1.0"
"""
FILES = {
    "pyproject.toml": PYPROJECT,
    "CMakeLists.txt": CMAKE_LISTS,
    "crossed.c": MODULE.format(
        module="crossed",
        includes="#include <string.h>\n#include <zlib.h>",
        body='return PyLong_FromLong(42 + crc32(0, (const Bytef *)"", strlen("")));',
    ),
}


@pytest.fixture(scope="module")
def built(whb: Whb, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    settings = '[packages.crossed]\nlibraries = ["zlib"]\n'
    return built_for_both(whb, tmp_path_factory.mktemp("cmake"), FILES, settings)


@pytest.mark.parametrize("target", [AMD, ARM], ids=str)
def test_it_is_a_cross_build_and_loads(built: dict[str, dict[str, Any]], target: Target) -> None:
    """What CMakeLists.txt demands holds too."""
    row = built[str(target)]
    assert f"-- for: {target.arch}" in row["log"]
    assert answer_on_alpine(row, target) == "42\n"
