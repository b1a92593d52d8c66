"""An object store in memory, which can be told to die after so many writes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.remote.items import Found
from wheelhouse_builder.remote.store import ABSENT, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from wheelhouse_builder.remote.items import Headers


class Killed(Exception):  # noqa: N818 - it is what happened
    """The process is gone."""


@dataclass
class MemoryStore:
    """Implements `remote.store.Store`."""

    objects: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, Headers] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    lives: int | None = None  # how many writes until the end
    after_each: Callable[[MemoryStore], None] = lambda store: None

    def listing(self) -> dict[str, int]:
        self.asked.append("listing")
        return {key: len(content) for key, content in self.objects.items()}

    def look(self, key: str, *, read: bool = False) -> Found | None:
        self.asked.append(key)
        if key not in self.objects:
            return None
        return Found(size=len(self.objects[key]), sha256=digest(self.objects[key]))

    def get(self, key: str) -> tuple[bytes, str] | None:
        self.asked.append(key)
        return (self.objects[key], digest(self.objects[key])) if key in self.objects else None

    def put(
        self, key: str, content: bytes | Path, headers: Headers, *, sha256: str, when: str | None = None
    ) -> str | None:
        there = self.objects.get(key)
        if (when == ABSENT and there is not None) or (
            when not in {None, ABSENT} and (not there or digest(there) != when)
        ):
            raise Refused(key)
        self._live()
        data = content.read_bytes() if isinstance(content, Path) else content
        assert digest(data) == sha256
        self.objects[key], self.headers[key] = data, headers
        self._written(key)
        return sha256

    def delete(self, key: str) -> None:
        self._live()
        self.objects.pop(key, None)
        self._written(key)

    def _live(self) -> None:
        if self.lives is not None:
            if self.lives == 0:
                raise Killed
            self.lives -= 1

    def _written(self, key: str) -> None:
        self.writes.append(key)
        self.after_each(self)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
