from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.target import NEWEST_PYTHON, OLDEST_PYTHON, Arch
from wheelhouse_builder.verify.symbols import (
    MUSL_FLOORS,
    first_musl,
    known_floor,
    known_minors,
    musl_exports,
    python_exports,
    zlib_exports,
)


@pytest.mark.parametrize("arch", Arch)
def test_what_musl_once_had_it_keeps(arch: Arch) -> None:
    for older, newer in pairwise(MUSL_FLOORS):
        assert musl_exports(arch, older) < musl_exports(arch, newer) or newer == MUSL_FLOORS[-1]
        assert musl_exports(arch, older) <= musl_exports(arch, newer)


@pytest.mark.parametrize("arch", Arch)
@pytest.mark.parametrize(
    ("symbol", "first"),
    [  # musl's WHATSNEW
        ("malloc", "1.2.2"),
        ("open64", "1.2.2"),  # no longer exported, still resolved
        ("crypt", "1.2.2"),  # Debian takes it out
        ("qsort_r", "1.2.3"),
        ("statx", "1.2.5"),
        ("renameat2", "1.2.6"),  # Debian carries it earlier
        ("fts_open", None),  # Debian adds it
        ("__libc_start_main@GLIBC", None),
    ],
)
def test_first_musl(symbol: str, first: str | None, arch: Arch) -> None:
    assert first_musl(symbol, arch) == first
    for floor in MUSL_FLOORS:
        has = first is not None and MUSL_FLOORS.index(first) <= MUSL_FLOORS.index(floor)
        assert (symbol in musl_exports(arch, floor)) == has


@pytest.mark.parametrize(
    ("text", "floor"), [("1.2.2", "1.2.2"), ("1.2.4", "1.2.3"), ("1.2.5", "1.2.5"), ("1.2.9", "1.2.6")]
)
def test_a_floor_between_two_known_ones_is_held_to_the_older(text: str, floor: str) -> None:
    assert known_floor(text) == floor


@pytest.mark.parametrize("text", ["1.1.24", "1.2.1", "1.3.0", "2", "", "newest"])
def test_unknown_floors(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        known_floor(text)
    assert repr(text) in caught.value.message
    assert "1.2.2" in str(caught.value.hint)


def test_every_supported_python_is_known() -> None:
    assert known_minors() == tuple(range(OLDEST_PYTHON[1], NEWEST_PYTHON[1] + 1))


@given(st.integers(0, 40).filter(lambda minor: minor not in known_minors()))
def test_other_pythons_are_not(minor: int) -> None:
    with pytest.raises(UsageError, match=f"CPython 3.{minor} "):
        python_exports(minor)


@pytest.mark.parametrize(
    ("symbol", "minors"),
    [
        ("PyModule_Create2", (11, 12, 13, 14)),
        ("PyType_GetDict", (12, 13, 14)),  # docs: new in 3.12
        ("PyDict_GetItemRef", (13, 14)),  # docs: new in 3.13
        ("PyLong_IsPositive", (14,)),  # docs: new in 3.14
        ("PyUnicode_AsUnicode", (11,)),  # docs: removed in 3.12
    ],
)
def test_python_exports(symbol: str, minors: tuple[int, ...]) -> None:
    assert tuple(minor for minor in known_minors() if symbol in python_exports(minor)) == minors


def test_zlib_exports() -> None:
    assert {"inflate", "deflate", "crc32_z"} <= zlib_exports()
