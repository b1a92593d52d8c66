from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wheelhouse_builder.server.negotiation import Coding, MediaType, coding, media_type

JSON, HTML, TEXT = MediaType
ALL = (JSON, HTML, TEXT)
IDENTITY, GZIP, ZSTD = Coding
PIP = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
UV = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
LATEST = "application/vnd.pypi.simple.latest"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PIP, JSON),
        (UV, JSON),
        (BROWSER, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("application/*", JSON),
        (f"{JSON}", JSON),
        (f"{HTML}", HTML),
        (f"{LATEST}+json", JSON),
        (f"{LATEST}+html", HTML),
        (f"{JSON};q=0", None),
        (f"{JSON};q=0, */*", TEXT),
        (f"{JSON};q=0, application/*", HTML),
        (f"*/*;q=0, {JSON};q=0.001", JSON),
        ("*/*;q=0", None),
        ("application/json", None),
        ("text/plain, image/png", None),
        (f"{HTML}, {JSON}", JSON),
        (f"text/html, {JSON}", JSON),
        (f"text/html;q=0.5, {JSON};q=0.4", TEXT),
        (f"text/html, {HTML}", HTML),
        ("text/html, */*", TEXT),
        (f"*/*, {JSON};q=0.5", TEXT),
        (f"{JSON.upper()} ; Q=1.000", JSON),
        ("text/html; charset=utf-8", TEXT),
        ('text/html; note="a b"', TEXT),
        (f"text/html;q=2, {JSON};q=0.1", JSON),
        (f"text/html;q=, nonsense, ;;;, /, {JSON};q=0.1", JSON),
        (",,;", TEXT),
        ("nonsense", TEXT),
        (f"text/html, {'x' * 5000}/y", TEXT),
    ],
)
def test_media_types(accept: str, expected: MediaType | None) -> None:
    assert media_type(accept, None, ALL) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (f"{JSON}", JSON),
        ("application/vnd.pypi.simple.v1 json", JSON),  # what a `+` that nobody encoded decodes to
        (f"{LATEST}+html", HTML),
        ("text/html", TEXT),
        ("", None),
        ("json", None),
        ("*/*", None),
    ],
)
def test_a_format_in_the_query_beats_accept(asked: str, expected: MediaType | None) -> None:
    assert media_type("text/html", asked, ALL) == expected


def test_what_is_not_offered_is_not_chosen() -> None:
    assert media_type(PIP, None, (HTML, TEXT)) == HTML
    assert media_type(f"{JSON}", None, (HTML, TEXT)) is None
    assert media_type("", f"{JSON}", (HTML, TEXT)) is None


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", IDENTITY),
        ("gzip, deflate", GZIP),  # pip
        ("gzip, deflate, zstd", ZSTD),  # uv
        ("gzip, deflate, br, zstd", ZSTD),  # browsers
        ("x-gzip", GZIP),
        ("GZIP", GZIP),
        ("gzip;q=0.5", GZIP),
        ("gzip;q=0.5, identity", IDENTITY),
        ("zstd;q=0.5, gzip", GZIP),
        ("gzip;q=0", IDENTITY),
        ("br", IDENTITY),
        ("*", ZSTD),
        ("*, zstd;q=0", GZIP),
        ("identity;q=0", None),
        ("*;q=0", None),
        ("identity;q=0, br", None),
        ("gzip, *;q=0", GZIP),
        ("gzip;q=nonsense", IDENTITY),
        ("g zip, ;;, =", IDENTITY),
    ],
)
def test_codings(accept: str, expected: Coding | None) -> None:
    assert coding(accept, (IDENTITY, GZIP, ZSTD)) == expected


def test_a_coding_that_is_not_there_is_not_chosen() -> None:
    assert coding("gzip, zstd", (IDENTITY, GZIP)) == GZIP
    assert coding("zstd", (IDENTITY,)) == IDENTITY


pieces = st.sampled_from(
    [
        *ALL,
        *Coding,
        f"{LATEST}+json",
        "*",
        "*/*",
        "text/*",
        "application/*",
        ",",
        ";",
        "q=",
        "Q=0",
        "0.5",
        "=",
        " ",
        '"',
    ]
)
headers = st.lists(pieces | st.text(st.characters(max_codepoint=255), max_size=8), max_size=30).map("".join)


@given(headers, st.none() | headers, st.lists(st.sampled_from(ALL), unique=True, min_size=1).map(tuple))
def test_any_header_gets_what_is_offered_or_nothing(
    accept: str, asked: str | None, offered: tuple[MediaType, ...]
) -> None:
    assert media_type(accept, asked, offered) in {None, *offered}


@given(headers, st.sampled_from([(IDENTITY,), (IDENTITY, GZIP), (IDENTITY, ZSTD), (IDENTITY, GZIP, ZSTD)]))
@example("gzip;q=1;q=0", (IDENTITY, GZIP))
def test_any_coding_header_gets_what_is_there_or_nothing(accept: str, offered: tuple[Coding, ...]) -> None:
    chosen = coding(accept, offered)
    assert chosen in {None, *offered}
    assert chosen is not None or "q" in accept.lower()  # only who says so is refused


weights = st.integers(0, 1000).map(lambda thousandth: f"{thousandth / 1000:.3f}")


@given(st.permutations([JSON, HTML, TEXT]), st.tuples(weights, weights, weights))
def test_the_highest_weight_wins_in_any_order(order: list[MediaType], given_weights: tuple[str, str, str]) -> None:
    weighted = dict(zip(order, given_weights, strict=True))
    chosen = media_type(", ".join(f"{media};q={weight}" for media, weight in weighted.items()), None, ALL)
    best = max(map(float, given_weights))
    if not best:
        assert chosen is None
    else:
        assert chosen is not None
        assert float(weighted[chosen]) == best
        assert chosen is JSON or float(weighted[JSON]) < best
