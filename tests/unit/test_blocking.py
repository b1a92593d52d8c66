"""What cannot be used because something that it needs is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from wheelhouse_builder.schedule.blocking import blocked
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from packaging.utils import NormalizedName

ENVIRONMENT = Target.parse("cp312-musllinux_1_2_aarch64").marker_environment


def found(requires: Mapping[str, list[str]], *missing: str) -> dict[str, tuple[str, ...]]:
    """Of everything that is there, what is blocked."""
    by_name = {canonicalize_name(name): lines for name, lines in requires.items()}
    lacking = [canonicalize_name(name) for name in missing]

    def lines(name: NormalizedName) -> Iterable[str]:
        return by_name.get(name, ())

    return {
        str(name): tuple(map(str, why)) for name, why in blocked(list(by_name), lacking, lines, ENVIRONMENT).items()
    }


def test_only_what_needs_it_is_blocked_by_itself_or_through_others() -> None:
    requires = {"app": ["crypto>=1"], "crypto": ["C.FFI (>=1.12)"], "other": ["leaf"], "leaf": []}
    assert found(requires, "c-ffi") == {"app": ("c-ffi",), "crypto": ("c-ffi",)}


def test_nothing_is_blocked_where_nothing_is_missing() -> None:
    assert found({"app": ["crypto"], "crypto": []}) == {}


def test_all_that_it_lacks_is_named() -> None:
    assert found({"app": ["b", "a"]}, "b", "a") == {"app": ("a", "b")}


def test_what_fails_itself_and_lacks_something_is_blocked_too() -> None:
    """An import that fails since one in it fails, and who needs it: the first is the cause."""
    requires = {"app": ["crypto"], "crypto": ["cffi"], "cffi": []}
    assert found(requires, "crypto", "cffi") == {"app": ("cffi",), "crypto": ("cffi",)}


def test_what_needs_each_other_and_fails_is_not_blocked_by_itself() -> None:
    requires = {"app": ["a"], "a": ["b"], "b": ["a"]}
    assert found(requires, "a", "b") == {"app": ("a", "b")}
    assert found({"a": ["a"]}, "a") == {}


def test_what_needs_each_other_comes_to_an_end() -> None:
    assert found({"a": ["b"], "b": ["a", "c"]}, "c") == {"a": ("c",), "b": ("c",)}


@pytest.mark.parametrize(
    ("line", "is_blocked"),
    [
        ('cffi; platform_machine == "aarch64"', True),
        ('cffi; platform_machine == "x86_64"', False),
        ('cffi; python_version < "3.10"', False),
        ('cffi; extra == "speed"', False),
        ("cffi @ https://example.test/cffi.zip", True),
        ("no requirement, this", False),
    ],
)
def test_a_requirement_counts_where_it_holds(line: str, is_blocked: bool) -> None:
    assert bool(found({"app": [line]}, "cffi")) is is_blocked


def test_an_extra_counts_for_who_asks_for_it() -> None:
    requires = {"app": ["lib[speed]"], "plain": ["lib"], "lib": ['cffi; extra == "speed"']}
    assert found(requires, "cffi") == {"app": ("cffi",)}


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefgh"), max_size=3)))
def test_any_graph_blocks_exactly_what_leads_to_what_is_missing(graph: dict[str, list[str]]) -> None:
    leads = {"g"}
    for _ in graph:
        leads |= {name for name, needs in graph.items() if leads & set(needs)}
    assert set(found(graph, "g")) == leads - {"g"}
