from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheelhouse_builder.remote.items import Found, Item, Stage, headers_of
from wheelhouse_builder.remote.manifest import Published, dump, load
from wheelhouse_builder.remote.plan import difference, in_doubt, plan_copy

DIGESTS = st.sampled_from(["aa", "bb"])
SIZES = st.integers(1, 2)
ITEMS = st.builds(
    Item,
    key=st.sampled_from([f"key{number}" for number in range(8)]),
    stage=st.sampled_from(Stage),
    source=st.just(Path("x")),
    sha256=DIGESTS,
    size=SIZES,
)
FOUND = st.builds(Found, size=SIZES, sha256=DIGESTS | st.none())
UNITS = st.dictionaries(st.sampled_from("abcde"), st.sampled_from("12"))


@given(st.lists(ITEMS, unique_by=lambda item: item.key), st.dictionaries(st.sampled_from(["key1", "key2"]), FOUND))
def test_a_plan_uploads_in_order_what_is_not_there_and_never_over_a_wheel(
    items: list[Item], there: dict[str, Found]
) -> None:
    plan = plan_copy(items, there)
    assert [item.stage for item in plan.uploads] == sorted(item.stage for item in plan.uploads)
    assert sorted(i.key for i in (*plan.uploads, *plan.there, *plan.conflicts)) == sorted(item.key for item in items)
    assert not any(item.immutable and item.key in there for item in plan.uploads)
    assert all(item.immutable for item in plan.conflicts)
    assert all(there[item.key] == Found(size=item.size, sha256=item.sha256) for item in plan.there)
    after = {**there, **{item.key: Found(size=item.size, sha256=item.sha256) for item in plan.uploads}}
    again = plan_copy(items, after)
    assert (again.uploads, again.conflicts) == ((), plan.conflicts)


@given(UNITS, UNITS)
def test_a_manifest_that_doubts_what_is_written_makes_the_next_run_write_it_again(
    before: dict[str, str], now: dict[str, str]
) -> None:
    differs = difference(before, now)
    assert differs == difference(in_doubt(before, differs.changed | differs.gone), now)
    assert not difference(now, now)
    assert bool(differs) == (before != now)


@given(UNITS | st.dictionaries(st.text(), st.none()), st.none() | st.integers())
def test_a_manifest_is_read_as_it_was_written(units: dict[str, str | None], generation: int | None) -> None:
    published = Published(generation=generation, units=units)
    assert load(dump(published)) == published


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"schema": "whb.published/2", "generation": 1, "units": {}}',
        b'{"schema": "whb.published/1", "generation": "1", "units": {}}',
        b'{"schema": "whb.published/1", "generation": 1, "units": []}',
        b'{"schema": "whb.published/1", "generation": 1, "units": {"a": 1}}',
    ],
)
def test_what_is_no_manifest_vouches_for_nothing(data: bytes) -> None:
    assert load(data) is None


@pytest.mark.parametrize(
    ("name", "kind", "encoding", "for_ever"),
    [
        ("a-1-py3-none-any.whl", "application/octet-stream", None, True),
        ("a-1-py3-none-any.whl.metadata", "text/plain; charset=utf-8", None, True),
        ("index.html", "text/html; charset=utf-8", None, False),
        ("index.html.gz", "text/html; charset=utf-8", "gzip", False),
        ("index.v1_json", "application/vnd.pypi.simple.v1+json", None, False),
        ("index.v1_json.zst", "application/vnd.pypi.simple.v1+json", "zstd", False),
        ("pylock.x.toml", "application/toml", None, False),
        ("requirements-x.txt", "text/plain; charset=utf-8", None, False),
        ("whb-manifest.json", "application/json", None, False),
    ],
)
def test_the_headers_of_an_object(name: str, kind: str, encoding: str | None, *, for_ever: bool) -> None:
    headers = headers_of(name)
    assert (headers.content_type, headers.content_encoding) == (kind, encoding)
    assert ("immutable" in headers.cache_control) is for_ever
