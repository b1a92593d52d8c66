"""What the build-backend wrapper does in a project's own build: for which target, from where, and what it keeps."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.redact import redact
from wheelhouse_builder.settings.kinds import PATH, Kind, declare, one_of, parse_path
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Kind(parse=Target.parse, what="a string")

_INDEX = re.compile(r"https?://[^\s?#]+", re.IGNORECASE)


def _parse_wheelhouse(text: str) -> Path | str:
    """A folder, or the URL of an index (PEP 503) as text that ends in a slash."""
    if "://" not in text:
        return parse_path(text)
    try:
        parts = urlsplit(text)
        if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
            return parse_path(unquote(parts.path))
        if _INDEX.fullmatch(text) and text.isascii() and text.isprintable() and parts.hostname and parts.port != 0:
            return text.rstrip("/") + "/"
    except ValueError:  # brackets around what is no address, a port that is none
        pass
    hint = "write it as https://host/simple/, or name a folder"
    raise UsageError(f"{redact(text)!r} is not the URL of an index", hint=hint)


WHEELHOUSE = Kind(parse=_parse_wheelhouse, what="a string")


@dataclass(frozen=True, kw_only=True)
class BackendSettings:
    """What the build-backend wrapper is told."""

    target: Target | None = field(
        default=None,
        metadata=declare(
            TARGET, "what `pip wheel .` builds for, such as cp312-musllinux_1_2_aarch64", metavar="TARGET"
        ),
    )
    store: Path | None = field(
        default=None, metadata=declare(PATH, "the wheelhouse that keeps what `pip wheel .` builds", metavar="DIR")
    )
    on_miss: str | None = field(
        default=None,
        metadata=declare(one_of("build", "fail"), "what to do for a wheel that the wheelhouse lacks"),
    )
    index: str | None = None  # the wheelhouse where that is an index: its URL, ending in a slash
