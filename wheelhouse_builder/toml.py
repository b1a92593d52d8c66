"""Values as TOML text: the standard library reads TOML, but does not write it."""

from __future__ import annotations

import json
import re
from datetime import date, datetime


def toml_value(value: object) -> str:
    """A value in TOML; tables and arrays inline."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _string(value)
        case datetime() | date():
            return value.isoformat()
        case dict():
            return "{ " + ", ".join(f"{_key(key)} = {toml_value(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(toml_value, value)) + "]"
        case _:
            return str(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _string(key)


def _string(value: str) -> str:
    """A basic string: JSON's escapes are all TOML's, but for DEL, which JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
