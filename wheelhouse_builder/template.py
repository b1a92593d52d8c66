"""Templates: files of their own, as their reader wants them, with `@{field}` for what is filled in. Pure.

Their one rule: a line with a field that has no value is left out. So fields whose only value is the empty text choose
lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELD = re.compile(r"@\{(\w+)\}")


def fill(template: str, values: Mapping[str, str | None]) -> str:
    """The text of a template with its fields filled in. Raises `KeyError` for a field that `values` does not have."""
    lines = (_filled(line, values) for line in template.splitlines(keepends=True))
    return "".join(line for line in lines if line is not None)


def when(condition: object) -> str | None:
    """The value of a field that chooses its line."""
    return "" if condition else None


def _filled(line: str, values: Mapping[str, str | None]) -> str | None:
    found = {name: values[name] for name in _FIELD.findall(line)}
    given = {name: value for name, value in found.items() if value is not None}
    return _FIELD.sub(lambda match: given[match[1]], line) if given.keys() == found.keys() else None
