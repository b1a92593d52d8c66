"""Pages over HTTP that a client has already: entity tags and 304."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.conformance.checks.http import RFC, Pair, answers, coded, pairs
from wheelhouse_builder.conformance.model import (
    Check,
    Exchange,
    Level,
    each,
    shown,
)
from wheelhouse_builder.conformance.vectors import word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.conformance.model import Observed

_REPEATED = ("etag", "cache-control", "vary", "expires", "content-location")


def _tagged(
    pairs_of: Callable[[Observed], Iterator[tuple[str, Pair]]],
) -> Callable[[Observed], Iterator[tuple[str, Pair]]]:
    """Those where both answers have a strong tag."""
    return lambda observed: (
        (where, pair) for where, pair in pairs_of(observed) if all(_strong(exchange) for exchange in pair)
    )


def _strong(exchange: Exchange) -> str:
    tag = exchange.headers.get("etag", "")
    return tag if tag and not tag.startswith("W/") else ""


def _forms(observed: Observed) -> Iterator[tuple[str, Pair]]:
    for page in observed.probed:
        json, html = page.asked.get("accept:json"), page.asked.get("accept:text")
        if json and html and word(json) == "json" and word(html) in {"html", "text"}:
            yield page.where, (json, html)


def _etag(exchange: Exchange) -> str | None:
    tag = exchange.headers.get("etag", "")
    bare = tag.removeprefix("W/")
    if not tag:
        return "no ETag"
    good = len(bare) >= 2 and bare[0] == bare[-1] == '"' and not set(bare[1:-1]) & set('" ')
    return None if good else f"{shown(tag)} is not quoted as an entity-tag has to be"


def not_modified(pair: Pair) -> str | None:
    """Whether the second answer is a 304."""
    answer = pair[1]
    if answer.status != 304:
        return f"answered {answer.told}"
    return f"with a body of {answer.size} bytes" if answer.size else None


def _repeats(pair: Pair) -> str | None:
    plain, answer = pair
    lost = [name for name in _REPEATED if name in plain.headers and name not in answer.headers]
    if lost:
        return f"the 304 has no {', '.join(lost)}"
    tags = plain.headers.get("etag", "").removeprefix("W/"), answer.headers.get("etag", "").removeprefix("W/")
    return None if tags[0] == tags[1] else f"the ETag was {tags[0]}, in the 304 it is {tags[1]}"


def _three_oh_four(plain: str, name: str) -> Callable[[Observed], Iterator[tuple[str, Pair]]]:
    found = pairs(plain, name)
    return lambda observed: ((where, pair) for where, pair in found(observed) if pair[1].status == 304)


def _all_304(observed: Observed) -> Iterator[tuple[str, Pair]]:
    yield from _three_oh_four("plain", "match")(observed)
    yield from _three_oh_four("gzip", "match-gzip")(observed)


def _other_tag(pair: Pair) -> str | None:
    return f"both have {_strong(pair[0])}" if _strong(pair[0]) == _strong(pair[1]) else None


def _changed(pair: Pair) -> str | None:
    return None if pair[1].status == 200 else f"answered {pair[1].told}"


CHECKS = (
    Check(
        id="http.etag",
        level=Level.SHOULD,
        says="An origin server SHOULD send an ETag: an opaque quoted string",
        link=f"{RFC}#section-8.8.3.1",
        examine=each(answers("plain"), _etag),
    ),
    Check(
        id="http.etag.encoding",
        level=Level.MUST,
        says="a strong entity tag is unique across all representations, one for each content coding",
        link=f"{RFC}#section-8.8.3.3",
        examine=each(_tagged(coded), _other_tag),
    ),
    Check(
        id="http.etag.format",
        level=Level.MUST,
        says="a strong entity tag is unique across all representations: JSON and HTML do not share one",
        link=f"{RFC}#section-8.8.1",
        examine=each(_tagged(_forms), _other_tag),
    ),
    Check(
        id="http.304",
        level=Level.MUST,
        says="If-None-Match with the ETag: the origin server MUST respond with 304 (Not Modified), without content",
        link=f"{RFC}#section-13.1.2",
        examine=each(pairs("plain", "match"), not_modified),
    ),
    Check(
        id="http.304.list",
        level=Level.MUST,
        says="If-None-Match is a list, and a recipient MUST use the weak comparison function",
        link=f"{RFC}#section-13.1.2",
        examine=each(pairs("plain", "match-list"), not_modified),
    ),
    Check(
        id="http.304.encoded",
        level=Level.MUST,
        says="If-None-Match with the ETag of the gzip representation: 304",
        link=f"{RFC}#section-13.1.2",
        examine=each(pairs("gzip", "match-gzip"), not_modified),
    ),
    Check(
        id="http.304.headers",
        level=Level.MUST,
        says="MUST generate Content-Location, ETag, Vary, Cache-Control and Expires as in a 200: else uv asks twice",
        link=f"{RFC}#section-15.4.5",
        examine=each(_all_304, _repeats),
    ),
    Check(
        id="http.304.mismatch",
        level=Level.MUST,
        says="If-None-Match with another tag: the condition is true, and the page is sent",
        link=f"{RFC}#section-13.1.2",
        examine=each(pairs("plain", "mismatch"), _changed),
    ),
    Check(
        id="http.304.since",
        level=Level.SHOULD,
        says="If-Modified-Since with the Last-Modified: the origin server SHOULD generate a 304",
        link=f"{RFC}#section-13.1.3",
        examine=each(pairs("plain", "since"), not_modified),
    ),
)
