from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheelhouse_builder.server.ranges import Unsatisfiable, usable


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", "bytes=0-0"),
        ("bytes=2-", "bytes=2-9"),
        ("bytes=-3", "bytes=7-9"),
        ("bytes=-99", "bytes=0-9"),
        ("bytes=8-99", "bytes=8-9"),
        ("Bytes=0-1", "bytes=0-1"),
        ("bytes=0-1, 4-5 ,-1", "bytes=0-1,4-5,9-9"),
        ("bytes=0-1,,4-5,", "bytes=0-1,4-5"),
        ("bytes=0-1,10-", "bytes=0-1"),  # "satisfiable if it contains at least one" (14.1.1)
        ("bytes=0-1,-0", "bytes=0-1"),
    ],
)
def test_ranges_that_are_obeyed(header: str, expected: str) -> None:
    assert usable(header, 10) == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=100-2",
        "bytes=0-1,5-2",
        "bytes=--5",
        "bytes=+1-2",
        "bytes=1_0-",
        "bytes=\u0663-",
        "bytes=0 - 1",
        "items=0-1",
        f"bytes={'9' * 5000}-",
        "bytes=" + "0-0," * 40,
    ],
)
def test_malformed_ranges_are_as_none(header: str) -> None:
    assert usable(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=10-,99-"])
def test_ranges_of_nothing_are_unsatisfiable(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        usable(header, 10)


positions = st.integers(0, 30).map(str) | st.just("")
asked = st.lists(st.tuples(positions, positions).map("-".join) | st.text(max_size=5), max_size=6).map(",".join)


@given(asked.map("bytes={}".format) | st.text(max_size=20), st.integers(0, 20))
def test_every_range_that_is_obeyed_lies_in_the_file(header: str, size: int) -> None:
    try:
        found = usable(header, size)
    except Unsatisfiable:
        return
    for part in (found or "").removeprefix("bytes=").split(",") if found else ():
        first, last = map(int, part.split("-"))
        assert 0 <= first <= last < size
