"""What a project says of itself in its METADATA, as far as a page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wheelhouse_builder.metadata import fields_of

if TYPE_CHECKING:
    from packaging.metadata import RawMetadata

_LONGEST = 200  # characters of a summary or licence: the field is one line, but nobody holds it to that
_HOME = ("homepage", "home", "source", "repository", "documentation", "changelog")
_MOST_LINKS = 4


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything may be missing."""

    text: str | None = None
    licence: str | None = None
    links: tuple[tuple[str, str], ...] = ()  # label, URL


@lru_cache(maxsize=1)
def summary_of(metadata: bytes) -> Summary:
    """Read METADATA, however odd it is: what cannot be read is missing."""
    raw = fields_of(metadata)
    return Summary(text=_line(raw.get("summary")), licence=_licence(raw), links=_links(raw))


def safe_url(url: str) -> str | None:
    """The URL if a page may link to it (`http` or `https` with a host), else None: `javascript:` is for nobody."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    return url.strip() if parts.scheme in ("http", "https") and parts.hostname and url.isprintable() else None


def _line(text: str | None) -> str | None:
    """The text on one line, cut when it is too long; None for nothing."""
    joined = " ".join((text or "").split())
    return (f"{joined[:_LONGEST].rstrip()}…" if len(joined) > _LONGEST else joined) or None


def _licence(raw: RawMetadata) -> str | None:
    """An SPDX expression, else the old field where it is a name and not the whole text, else the classifier."""
    if said := raw.get("license_expression"):
        return _line(said)
    old = (raw.get("license") or "").strip()
    if old and "\n" not in old and old.upper() != "UNKNOWN":
        return _line(old)
    names = (line.rpartition(" :: ")[2] for line in raw.get("classifiers", []) if line.startswith("License :: "))
    return _line(next(names, None))


def _links(raw: RawMetadata) -> tuple[tuple[str, str], ...]:
    """The links that people look for, each URL once."""
    labelled = [("Home page", raw.get("home_page") or ""), *raw.get("project_urls", {}).items()]
    wanted: dict[str, str] = {}
    for label, url in sorted(labelled, key=lambda pair: _place(pair[0])):
        if (safe := safe_url(url)) and _place(label) < len(_HOME):
            name = _line(label) or safe
            wanted.setdefault(safe, name[0].upper() + name[1:])
    return tuple((label, url) for url, label in wanted.items())[:_MOST_LINKS]


def _place(label: str) -> int:
    plain = "".join(filter(str.isalpha, label.casefold()))
    return next((place for place, name in enumerate(_HOME) if plain.startswith(name)), len(_HOME))
