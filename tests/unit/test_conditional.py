from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheelhouse_builder.server.conditional import status_of

ETAG, TOLD = b'"abc-gz"', b"Tue, 24 Nov 2026 20:32:59 GMT"
EARLIER, LATER = b"Mon, 23 Nov 2026 20:32:59 GMT", b"Wed, 25 Nov 2026 20:32:59 GMT"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"if-none-match": b'"abc-gz"'}, 304),
        ({"if-none-match": b'W/"abc-gz"'}, 304),
        ({"if-none-match": b"*"}, 304),
        ({"if-none-match": b'"x", "abc-gz"'}, 304),
        ({"if-none-match": b'"x" ,, W/"y,z","abc-gz"'}, 304),
        ({"if-none-match": b'"abc"'}, 200),
        ({"if-none-match": b"abc-gz"}, 200),
        ({"if-none-match": b'"x" "abc-gz"'}, 200),
        ({"if-none-match": b'"x, "abc-gz"'}, 200),
        ({"if-none-match": b""}, 200),
        ({"if-modified-since": TOLD}, 304),
        ({"if-modified-since": EARLIER}, 200),
        ({"if-modified-since": LATER}, 200),  # after a roll-back
        ({"if-modified-since": b"yesterday"}, 200),
        ({"if-none-match": b'"other"', "if-modified-since": TOLD}, 200),
        ({"if-none-match": b'"abc-gz"', "if-modified-since": EARLIER}, 304),
        ({"if-match": b'"abc-gz"'}, 200),
        ({"if-match": b"*"}, 200),
        ({"if-match": b'"other"'}, 412),
        ({"if-match": b'W/"abc-gz"'}, 412),
        ({"if-match": b'"abc-gz"', "if-none-match": b'"abc-gz"'}, 304),
        ({"if-unmodified-since": TOLD}, 200),
        ({"if-unmodified-since": LATER}, 200),
        ({"if-unmodified-since": EARLIER}, 412),
        ({"if-unmodified-since": b"Mon, 23 Nov 2026 20:32:59"}, 412),
        ({"if-unmodified-since": b"yesterday"}, 200),
        ({"if-unmodified-since": b"\xff"}, 200),
        ({"if-match": b"*", "if-unmodified-since": EARLIER}, 200),
    ],
)
def test_conditions(headers: dict[str, bytes], status: int) -> None:
    assert status_of({name.encode(): value for name, value in headers.items()}, ETAG, TOLD) == status


names = st.sampled_from([b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"])
values = st.binary(max_size=30) | st.lists(st.sampled_from([ETAG, b"W/", b",", b" ", b'"', b"*", TOLD])).map(b"".join)


@given(st.dictionaries(names, values))
def test_no_header_is_an_error(headers: dict[bytes, bytes]) -> None:
    assert status_of(headers, ETAG, TOLD) in {200, 304, 412}
