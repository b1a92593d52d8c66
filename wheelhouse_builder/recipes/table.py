"""A TOML table read with care: a wrong key or kind of value is told with its file, its key and a remedy."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Table:
    """A table and where it stands. Every method that reads raises `UsageError`."""

    where: str  # for people: "recipes/libraries/zlib.toml", "whb.toml: packages.lxml"
    values: Mapping[str, object]

    def only(self, *known: str) -> None:
        """Refuse keys that are not `known`."""
        for key in self.values:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(sorted(known))}"
                raise self.wrong(key, "is not a key here", hint=hint)

    def text(self, key: str) -> str:
        """A string that must be there and must not be empty."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "must be a string, and not empty" if key in self.values else "is missing")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty where the key is not there."""
        value = self.values.get(key, [])
        if not _is_texts(value):
            raise self.wrong(key, "must be a list of strings")
        return tuple(value)

    def flag(self, key: str) -> bool:
        """true or false; false where the key is not there."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def text_map(self, key: str) -> dict[str, str]:
        """A table of strings; empty where the key is not there."""
        table = self.table(key)
        texts = {name: value for name, value in table.values.items() if isinstance(value, str)}
        for name in table.values.keys() - texts.keys():
            raise table.wrong(name, "must be a string")
        return texts

    def texts_map(self, key: str) -> dict[str, tuple[str, ...]]:
        """A table whose values are strings or lists of strings; empty where the key is not there."""
        table = self.table(key)
        return {name: (value,) if isinstance(value, str) else table.texts(name) for name, value in table.values.items()}

    def table(self, key: str) -> Table:
        """A table; empty where the key is not there."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "must be a table")
        return Table(f"{self.where}: {key}", value)

    def tables(self, key: str) -> Iterator[Table]:
        """A list of tables, which must be there."""
        value = self.values.get(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(key, "must be a list of tables")
        for number, item in enumerate(value, 1):
            yield Table(f"{self.where}: {key} {number}", item)

    def wrong(self, key: str, what: str, *, hint: str | None = None) -> UsageError:
        """The error to raise for `key`."""
        return UsageError(f"{self.where}: {key}: {what}", hint=hint)


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
