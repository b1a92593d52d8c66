"""Conditional requests: whether the client has it already. Pure. Source: RFC 9110 section 13."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CONDITIONS = frozenset((b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"))
# An entity tag, `W/` before a weak one, and what may stand between two of them.
_ENTITY_TAG = re.compile(rb'[ \t]*(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,[ \t,]*|\Z)')


def status_of(headers: Mapping[bytes, bytes], etag: bytes, modified: bytes) -> int:
    """With what a GET or HEAD is answered that would be 200: 200, 304 or 412.

    `headers` are those of the request, `etag` is strong, `modified` the Last-Modified that goes with it. The order is
    that of 13.2.2. If-None-Match is a list or `*`, compared weakly; only without it If-Modified-Since counts, and then
    the date has to be the one that was told: after a roll-back a page is older than what the client has, and yet new.
    """
    if (required := headers.get(b"if-match")) is not None:
        if not _is_listed(etag, required, weakly=False):
            return 412
    elif (limit := headers.get(b"if-unmodified-since")) is not None and _is_later(modified, limit):
        return 412
    if (known := headers.get(b"if-none-match")) is not None:
        return 304 if _is_listed(etag, known, weakly=True) else 200
    return 304 if headers.get(b"if-modified-since") == modified else 200


def _is_listed(etag: bytes, listed: bytes, *, weakly: bool) -> bool:
    """Whether the tag is in the list of a header. What follows a malformed tag is not read."""
    if listed in (etag, b"*"):
        return True
    position = 0
    while matched := _ENTITY_TAG.match(listed, position):
        if matched[2] == etag and (weakly or not matched[1]):
            return True
        position = matched.end()
    return False


def _is_later(modified: bytes, limit: bytes) -> bool:
    """Whether one HTTP date is after another; what is no date is no limit."""
    try:
        told = parsedate_to_datetime(limit.decode("ascii"))
    except ValueError:
        return False
    return _moment(parsedate_to_datetime(modified.decode("ascii"))) > _moment(told)


def _moment(told: datetime) -> datetime:
    return told if told.tzinfo else told.replace(tzinfo=UTC)
