"""Which representation a client gets: from Accept, `?format=` and Accept-Encoding. Pure.

Sources: RFC 9110 section 12.5 (q-values, specificity) and the simple repository API's "Version + Format Selection" (PEP
691). A header item that is malformed says nothing; it never fails a request.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

_MAX_CHARACTERS = 4096  # of a header; pip's Accept has 92
_MAX_ITEMS = 64
_REMEMBERED = 256  # clients send the same few headers again and again

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_RANGE = re.compile(rf"{_WORD}/{_WORD}")
_CODING = re.compile(_WORD)
_PARAMETER = re.compile(rf'({_WORD})=({_WORD}|"[^"\\]*")')
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


class MediaType(StrEnum):
    """What a page can be sent as. The two kinds of HTML are one text under two names (PEP 691)."""

    JSON = "application/vnd.pypi.simple.v1+json"
    HTML = "application/vnd.pypi.simple.v1+html"
    TEXT = "text/html"


class Coding(StrEnum):
    """How the bytes of a page can be packed."""

    IDENTITY = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"


_MEANS = {str(media): media for media in MediaType} | {
    "application/vnd.pypi.simple.latest+json": MediaType.JSON,  # answered with the version that it is
    "application/vnd.pypi.simple.latest+html": MediaType.HTML,
}
_LIKED = (MediaType.JSON, MediaType.HTML, MediaType.TEXT)  # HTML is never preferred to an equally welcome JSON
_SMALLEST = (Coding.ZSTD, Coding.GZIP, Coding.IDENTITY)


@lru_cache(maxsize=_REMEMBERED)
def media_type(accept: str, asked: str | None, offered: tuple[MediaType, ...]) -> MediaType | None:
    """The media type to answer with; None if the client takes none of those `offered` (406).

    `accept` is the value of Accept, empty if there is none; `asked` that of `?format=`, which beats Accept (PEP 691).
    Who does not care gets `text/html`, as ever.
    """
    if asked is not None:
        means = _MEANS.get(asked.replace(" ", "+").lower())  # in a query, `+` is a space
        return means if means in offered else None
    ranges = _weighted(accept, _MEDIA_RANGE)
    if not ranges:
        ranges = {"*/*": 1.0}
    found = {media: _media_weight(media, ranges) for media in offered}
    welcome = [media for media in offered if found[media][0]]
    return max(welcome, key=lambda media: (*found[media], _liking(media, named=found[media][1])), default=None)


def _liking(media: MediaType, *, named: bool) -> int:
    """Among equals: JSON first for who names a type or a family, HTML first for who takes anything."""
    return -_LIKED.index(media) if named else _LIKED.index(media)


def _media_weight(media: MediaType, ranges: dict[str, float]) -> tuple[float, bool]:
    """What the most specific range says of a media type, and whether it is more than `*/*`."""
    names = [name for name, means in _MEANS.items() if means is media and name in ranges]
    if names:
        return max(ranges[name] for name in names), True
    family = f"{media.partition('/')[0]}/*"
    if family in ranges:
        return ranges[family], True
    return ranges.get("*/*", 0.0), False


@lru_cache(maxsize=_REMEMBERED)
def coding(accept_encoding: str, offered: tuple[Coding, ...]) -> Coding | None:
    """The content coding to answer with; None if the client refuses all those `offered` (406).

    Among those equally welcome the one that packs best. Without the header, or with an empty one, nothing is packed.
    """
    weights = _weighted(accept_encoding, _CODING)
    weights.setdefault("gzip", weights.get("x-gzip", weights.get("*", 0.0)))  # RFC 9110 8.4.1.3
    weights.setdefault("identity", weights.get("*", 0.0001))  # "acceptable", though less than what is named
    welcome = [(weights.get(one, weights.get("*", 0.0)), one) for one in _SMALLEST if one in offered]
    weight, best = max(welcome, key=lambda found: found[0], default=(0.0, Coding.IDENTITY))
    return best if weight else None


def _weighted(header: str, item: re.Pattern[str]) -> dict[str, float]:
    """Each name in a header with its q; the highest where one comes twice. Parameters other than q say nothing."""
    if len(header) > _MAX_CHARACTERS:
        return {}
    weights: dict[str, float] = {}
    for text in header.split(",")[:_MAX_ITEMS]:
        name, *parameters = (part.strip(" \t") for part in text.lower().split(";"))
        weight = _weight([parameter for parameter in parameters if parameter])
        if item.fullmatch(name) and weight is not None:
            weights[name] = max(weights.get(name, 0.0), weight)
    return weights


def _weight(parameters: list[str]) -> float | None:
    """The q among the parameters, 1 without one, None if they are malformed."""
    weight = "1"
    for parameter in parameters:
        matched = _PARAMETER.fullmatch(parameter)
        if matched is None:
            return None
        if matched[1] == "q":
            weight = matched[2]
    return float(weight) if _WEIGHT.fullmatch(weight) else None
