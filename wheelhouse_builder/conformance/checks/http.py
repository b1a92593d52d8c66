"""Pages over HTTP: types, conditions, encodings, HEAD, and the spellings of a URL. RFC 9110, 9111."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from wheelhouse_builder.conformance.model import (
    HTML_TYPE,
    JSON_TYPE,
    TEXT_TYPE,
    Check,
    Exchange,
    Format,
    Level,
    each,
    shown,
)
from wheelhouse_builder.conformance.pages import decoded, zstd_module
from wheelhouse_builder.conformance.vectors import SPEC, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.conformance.model import Observed


RFC = "https://www.rfc-editor.org/rfc/rfc9110.html"
_TYPES = {Format.JSON: (JSON_TYPE,), Format.HTML: (HTML_TYPE, TEXT_TYPE)}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Pair = tuple[Exchange, Exchange]


def answers(name: str) -> Callable[[Observed], Iterator[tuple[str, Exchange]]]:
    """What was answered to a question, for every page that was asked it."""
    return lambda observed: ((page.where, page.asked[name]) for page in observed.probed if name in page.asked)


def pairs(plain: str, name: str) -> Callable[[Observed], Iterator[tuple[str, Pair]]]:
    """The answers to two questions, where the first one was good."""

    def subjects(observed: Observed) -> Iterator[tuple[str, Pair]]:
        for page in observed.probed:
            first, second = page.asked.get(plain), page.asked.get(name)
            if first is not None and second is not None and first.status == 200:
                yield page.where, (first, second)

    return subjects


def _varied(observed: Observed) -> Iterator[tuple[str, Exchange]]:
    """Pages whose type depends on Accept."""
    for page in observed.probed:
        words = {word(exchange) for name, exchange in page.asked.items() if name.startswith("accept:")}
        if len(words & {"json", "html", "text"}) > 1 and "plain" in page.asked:
            yield page.where, page.asked["plain"]


def coded(observed: Observed) -> Iterator[tuple[str, Pair]]:
    """The page without content coding, and with each one that it has."""
    for page in observed.probed:
        for name in ("gzip", "zstd"):
            plain, other = page.asked.get("plain"), page.asked.get(name)
            readable = name == "gzip" or zstd_module() is not None
            if plain and other and readable and other.status == 200 and other.headers.get("content-encoding"):
                yield f"{page.where} ({name})", (plain, other)


def _typed(observed: Observed) -> Iterator[tuple[str, tuple[Exchange, tuple[str, ...]]]]:
    """Every answer that is a page, with the types that it can be of."""
    if observed.folder is None:
        yield from ((page.where, (page.exchange, _TYPES[page.format])) for page in observed.pages)
    for probed in observed.probed:
        for name, exchange in probed.asked.items():
            if name.startswith("accept:") and exchange.status == 200 and "latest" not in exchange.media_type:
                where = f"{probed.where} with Accept: {exchange.asked.get('Accept', '(none)')}"
                yield where, (exchange, (JSON_TYPE, HTML_TYPE, TEXT_TYPE))


def _content_type(subject: tuple[Exchange, tuple[str, ...]]) -> str | None:
    exchange, allowed = subject
    media_type = exchange.media_type
    return None if media_type in allowed else f"comes as {shown(media_type)}, not {' or '.join(allowed)}"


def _cache_control(exchange: Exchange) -> str | None:
    return None if exchange.headers.get("cache-control") else "no Cache-Control"


def _vary(exchange: Exchange) -> str | None:
    fields = {field.strip().lower() for field in exchange.headers.get("vary", "").split(",")}
    return None if fields & {"accept", "*"} else f"Vary is {shown(exchange.headers.get('vary'))}"


def _vary_encoding(pair: Pair) -> str | None:
    fields = {field.strip().lower() for field in pair[1].headers.get("vary", "").split(",")}
    return None if fields & {"accept-encoding", "*"} else f"Vary is {shown(pair[1].headers.get('vary'))}"


def _decodes(pair: Pair) -> str | None:
    plain, coded = pair
    body = decoded(coded)
    if body is None:
        return f"cannot be decoded from {coded.headers.get('content-encoding')}"
    return None if body == decoded(plain) else "decodes to other bytes than the page without encoding"


def _is_coded(name: str) -> Callable[[Exchange], str | None]:
    return lambda got: None if got.headers.get("content-encoding", "").lower() == name else f"no {name}"


def _uncoded(exchange: Exchange) -> str | None:
    coding = exchange.headers.get("content-encoding", "identity")
    return None if coding == "identity" else f"answered with Content-Encoding: {coding}"


def _head(pair: Pair) -> str | None:
    plain, head = pair
    if head.status != plain.status:
        return f"answered {head.told or head.status}"
    for name in ("content-type", "etag", "cache-control", "vary"):
        if plain.headers.get(name) != head.headers.get(name):
            return f"{name} is {shown(head.headers.get(name))}, of GET {shown(plain.headers.get(name))}"
    return None


def _head_body(pair: Pair) -> str | None:
    return f"{pair[1].size} bytes came" if pair[1].size else None


def head_length(pair: Pair) -> str | None:
    """Whether HEAD tells the length that GET has."""
    plain, head = pair
    told = head.headers.get("content-length")
    return None if told in {None, str(plain.size)} else f"Content-Length is {told}, of GET {plain.size}"


def _heads(observed: Observed) -> Iterator[tuple[str, Pair]]:
    yield from ((where, pair) for where, pair in pairs("plain", "head")(observed) if pair[1].status == 200)


def _slash(exchange: Exchange) -> str | None:
    location = exchange.headers.get("location", "")
    if exchange.status not in _REDIRECTS:
        return f"answered {exchange.told}, no redirect"
    there = urlsplit(urljoin(exchange.url, location)).path
    return None if there == urlsplit(exchange.url).path + "/" else f"redirects to {shown(location)}"


def _unnormalised(exchange: Exchange) -> str | None:
    return None if exchange.status in {200, 404} else f"answered {exchange.told}"


def _unknown(exchange: Exchange) -> str | None:
    if exchange.status in _REDIRECTS:
        return f"redirects to {shown(exchange.headers.get('location'))}: names that are not here are taken from there"
    return None if exchange.status == 404 else f"answered {exchange.told}"


def _date(exchange: Exchange) -> str | None:
    return None if exchange.headers.get("date") else "no Date"


CHECKS = (
    Check(
        id="http.content-type",
        level=Level.MUST,
        says="servers always include a Content-Type header indicating the content type of the response",
        link=f"{SPEC}#content-types",
        examine=each(_typed, _content_type),
    ),
    Check(
        id="http.slash",
        level=Level.SHOULD,
        says="the repository SHOULD redirect the URLs without a / to add a / to the end",
        link=f"{SPEC}#base-html-api",
        examine=each(answers("slash"), _slash),
    ),
    Check(
        id="http.unnormalised",
        level=Level.GOOD,
        says="Repositories MAY redirect unnormalized URLs to the canonical normalized URL, or not know them",
        link=f"{SPEC}#base-html-api",
        examine=each(answers("unnormalised"), _unnormalised),
    ),
    Check(
        id="http.unknown",
        level=Level.GOOD,
        says="404 for a project that is not here: uv goes on to the next index then, and on nothing else",
        link="https://docs.astral.sh/uv/concepts/indexes/#searching-across-multiple-indexes",
        examine=each(answers("unknown"), _unknown),
    ),
    Check(
        id="http.vary",
        level=Level.SHOULD,
        says="An origin server SHOULD generate a Vary header field: what is sent depends on Accept",
        link=f"{RFC}#section-12.5.5",
        examine=each(_varied, _vary),
    ),
    Check(
        id="http.vary.encoding",
        level=Level.SHOULD,
        says="An origin server SHOULD generate a Vary header field: what is sent depends on Accept-Encoding",
        link=f"{RFC}#section-12.5.5",
        examine=each(coded, _vary_encoding),
    ),
    Check(
        id="http.cache-control",
        level=Level.GOOD,
        says="without Cache-Control pip asks for every page again, and uv takes a page for fresh for ten minutes",
        link="https://docs.astral.sh/uv/concepts/indexes/#cache-control",
        examine=each(answers("plain"), _cache_control),
    ),
    Check(
        id="http.encoding",
        level=Level.MUST,
        says="Content-Encoding tells what has to be undone to have the page",
        link=f"{RFC}#section-8.4",
        examine=each(coded, _decodes),
    ),
    Check(
        id="http.encoding.refused",
        level=Level.SHOULD,
        says="a content coding with a quality of 0 is not acceptable",
        link=f"{RFC}#section-12.5.3",
        examine=each(answers("uncoded"), _uncoded),
    ),
    Check(
        id="http.encoding.gzip",
        level=Level.GOOD,
        says="gzip, which pip and uv accept: a page is a quarter as large",
        link=f"{RFC}#section-8.4.1.3",
        examine=each(answers("gzip"), _is_coded("gzip")),
    ),
    Check(
        id="http.head",
        level=Level.SHOULD,
        says="The server SHOULD send the same header fields in response to a HEAD request as to GET",
        link=f"{RFC}#section-9.3.2",
        examine=each(pairs("plain", "head"), _head),
    ),
    Check(
        id="http.head.body",
        level=Level.MUST,
        says="the server MUST NOT send content in the response to HEAD",
        link=f"{RFC}#section-9.3.2",
        examine=each(_heads, _head_body),
    ),
    Check(
        id="http.head.length",
        level=Level.MUST,
        says="MUST NOT send Content-Length in response to HEAD unless it is that of GET",
        link=f"{RFC}#section-8.6",
        examine=each(_heads, head_length),
    ),
    Check(
        id="http.date",
        level=Level.MUST,
        says="An origin server with a clock MUST generate a Date header field",
        link=f"{RFC}#section-6.6.1",
        examine=each(answers("plain"), _date),
    ),
)
