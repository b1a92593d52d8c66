"""The Range header, as far as it may be obeyed. Pure. Source: RFC 9110 section 14.

Starlette answers a malformed Range with 400 and one unsatisfiable range among good ones with 416, and obeys Range on
HEAD. The RFC ignores the first, drops the second and defines ranges for GET alone; so what Starlette gets to see is
written anew here.
"""

from __future__ import annotations

import re

_RANGES = re.compile(r"bytes=(.*)", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18})")
_MAX_RANGES = (
    32  # more than that is an attack (14.2: "a server MAY ignore … many small ranges"); pip and uv ask for one
)


class Unsatisfiable(Exception):  # noqa: N818 - what was asked for is not there
    """No range asks for a byte that the file has: 416."""


def usable(header: str, size: int) -> str | None:
    """The Range header for a file of `size` bytes with what can be satisfied; None if the whole file is to be sent.

    Raises `Unsatisfiable`.
    """
    matched = _RANGES.fullmatch(header.strip(" \t"))
    parts = [part.strip(" \t") for part in matched[1].split(",")] if matched else []
    asked = [_RANGE.fullmatch(part) for part in parts if part]
    if not asked or len(asked) > _MAX_RANGES or not all(map(_is_valid, asked)):
        return None
    bounds = [_bounds(found, size) for found in asked if found]
    there = [f"{first}-{last}" for first, last in bounds if first < size]
    if not there:
        raise Unsatisfiable
    return "bytes=" + ",".join(there)


def _is_valid(found: re.Match[str] | None) -> bool:
    """ "An int-range is invalid if the last-pos value is present and less than the first-pos" (14.1.1)."""
    return found is not None and not (found[1] and found[2] and int(found[2]) < int(found[1]))


def _bounds(found: re.Match[str], size: int) -> tuple[int, int]:
    """First and last position; a first that is not in the file stands for a range that cannot be satisfied."""
    if found[3]:
        return (max(size - int(found[3]), 0) if int(found[3]) else size), size - 1
    return int(found[1]), min(int(found[2] or size), size - 1)
