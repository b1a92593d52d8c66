"""Text that may hold URLs, fit to be shown: user names, passwords and query strings are left out."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)[^/\s]+@")  # up to the last one: people write @ in passwords as it is
_QUERY = re.compile(r"(://[^\s?#]*)\?[^\s#]*")


def redact(text: str) -> str:
    """`https://user:token@host/x?sig=1` → `https://***@host/x?***`, anywhere in the text."""
    return _QUERY.sub(r"\1?***", _USER.sub("***@", text))
