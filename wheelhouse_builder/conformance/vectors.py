"""Accept headers, and what may be answered: data for the observer, which asks, and for the checks, which judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelhouse_builder.conformance.model import HTML_TYPE, JSON_TYPE, TEXT_TYPE, Level

if TYPE_CHECKING:
    from wheelhouse_builder.conformance.model import Exchange

SPEC = "https://packaging.python.org/en/latest/specifications/simple-repository-api/"
_SELECTION = f"{SPEC}#version-format-selection"
_RFC = "https://www.rfc-editor.org/rfc/rfc9110.html"
_LATEST = "application/vnd.pypi.simple.latest"

_WORDS = {JSON_TYPE: "json", HTML_TYPE: "html", TEXT_TYPE: "text"}
_HTML = frozenset({"html", "text"})
_ANY = frozenset({"json", *_HTML})
_SELECTS = "The server inspects that header, selects one of the listed content types, then returns a response using it"


@dataclass(frozen=True, kw_only=True)
class Vector:
    """One Accept header (None: none is sent)."""

    name: str
    accept: str | None
    allowed: frozenset[str]  # of the words of `word`
    level: Level = Level.SHOULD
    says: str = _SELECTS
    link: str = _SELECTION
    needs: frozenset[str] = frozenset(
        {"json", "html"}
    )  # the formats that an index must have for the question to matter


VECTORS = (
    Vector(name="json", accept=JSON_TYPE, allowed=frozenset({"json"}), needs=frozenset({"json"})),
    Vector(name="html", accept=HTML_TYPE, allowed=_HTML, needs=frozenset({"html"})),
    Vector(
        name="text",
        accept=TEXT_TYPE,
        allowed=frozenset({"text"}),
        needs=frozenset({"html"}),
        says="this spec further defines text/html as an alias for the application/vnd.pypi.simple.v1+html content type",
    ),
    Vector(
        name="pip",
        accept=f"{JSON_TYPE}, {HTML_TYPE}; q=0.1, {TEXT_TYPE}; q=0.01",
        allowed=frozenset({"json"}),
        level=Level.GOOD,
        says="choose the highest version with the most expressive serialization format (what pip sends)",
        link=f"{SPEC}#recommendations",
        needs=frozenset({"json"}),
    ),
    Vector(
        name="uv",
        accept=f"{JSON_TYPE}, {HTML_TYPE};q=0.2, {TEXT_TYPE};q=0.01",
        allowed=frozenset({"json"}),
        level=Level.GOOD,
        says="choose the highest version with the most expressive serialization format (what uv sends)",
        link=f"{SPEC}#recommendations",
        needs=frozenset({"json"}),
    ),
    Vector(
        name="quality",
        accept=f"{JSON_TYPE};q=0.1, {TEXT_TYPE}",
        allowed=_HTML,
        says="an entry with a higher quality has priority over an entry with a lower quality",
    ),
    Vector(
        name="refused",
        accept=f"{JSON_TYPE};q=0, */*",
        allowed=_HTML,
        says="a value of 0 means not acceptable",
        link=f"{_RFC}#section-12.4.2",
    ),
    Vector(
        name="specific",
        accept=f"{JSON_TYPE};q=0.1, application/*;q=0.9, {TEXT_TYPE};q=0.5",
        allowed=_HTML,
        says="The most specific reference has precedence",
        link=f"{_RFC}#section-12.5.1",
    ),
    Vector(
        name="latest-json",
        accept=f"{_LATEST}+json",
        allowed=frozenset({"json"}),
        needs=frozenset({"json"}),
        says="a special meta version is supported named latest",
        link=f"{SPEC}#content-types",
    ),
    Vector(
        name="latest-html",
        accept=f"{_LATEST}+html",
        allowed=_HTML,
        needs=frozenset({"html"}),
        says="a special meta version is supported named latest",
        link=f"{SPEC}#content-types",
    ),
    Vector(name="text-any", accept="text/*", allowed=_HTML, needs=frozenset({"html"}), says="It supports $type/*"),
    Vector(
        name="application-any", accept="application/*", allowed=frozenset({"json", "html"}), says="It supports $type/*"
    ),
    Vector(name="any", accept="*/*", allowed=_ANY, needs=frozenset(), says="It supports */*"),
    Vector(
        name="none",
        accept=None,
        allowed=_ANY,
        needs=frozenset(),
        says="treating the absence of an Accept header as Accept: */*",
    ),
    Vector(
        name="case",
        accept=JSON_TYPE.upper(),
        allowed=frozenset({"json"}),
        needs=frozenset({"json"}),
        says="The type and subtype tokens are case-insensitive",
        link=f"{_RFC}#section-8.3.1",
    ),
    Vector(
        name="spaces",
        accept=f"{JSON_TYPE} ; q=0.9 ,{TEXT_TYPE};q=0.5",
        allowed=frozenset({"json"}),
        says="optional whitespace around the comma and the semicolon",
        link=f"{_RFC}#section-12.5.1",
    ),
    Vector(
        name="future",
        accept=f"application/vnd.pypi.simple.v9+json, {JSON_TYPE};q=0.5",
        allowed=frozenset({"json"}),
        needs=frozenset({"json"}),
        says="any possible new major version can be added without disrupting existing clients",
    ),
    Vector(
        name="unknown",
        accept="application/x-whb-unknown",
        allowed=_ANY | {"406"},
        needs=frozenset(),
        says="If the server supports none of the types: a default type, or 406; 300 is highly discouraged",
    ),
    Vector(
        name="malformed",
        accept=";;,q=/,;q=x",
        allowed=_ANY | {"400", "406"},
        level=Level.GOOD,
        needs=frozenset(),
        says="a field that cannot be parsed is the client's error, never one of the server",
        link=f"{_RFC}#section-15.6",
    ),
)


def word(exchange: Exchange) -> str:
    """`json`, `html` or `text` for an answer 200 with that type, the status for another, else what it was."""
    if exchange.status == 200 and not exchange.error:
        return _WORDS.get(exchange.media_type, exchange.media_type or "200 without a type")
    return str(exchange.status) if exchange.status else exchange.error
