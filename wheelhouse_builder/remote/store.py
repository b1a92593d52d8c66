"""What is needed of a destination, whatever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.remote.items import Found, Headers

ABSENT = "*"  # as in `If-None-Match: *`


class Refused(Exception):  # noqa: N818 - it is an answer, and no error
    """The object is not as the condition of a `put` asked for; nothing was written."""


class Store(Protocol):
    """Objects by key. All methods raise `WhbError` with what to do, and may be called by several threads."""

    def listing(self) -> dict[str, int]:
        """The size of every object."""

    def look(self, key: str, *, read: bool = False) -> Found | None:
        """What an object is: the digest that was noted with it, or with `read` that of its content; None if absent."""

    def get(self, key: str) -> tuple[bytes, str] | None:
        """A small object and its version, None if absent."""

    def put(
        self, key: str, content: bytes | Path, headers: Headers, *, sha256: str, when: str | None = None
    ) -> str | None:
        """Write an object, whole or not at all; its version, as far as the store tells.

        `when` asks for a state: `ABSENT`, or a version. Raises `Refused` otherwise.
        """

    def delete(self, key: str) -> None:
        """Remove an object, which may be gone already."""
