"""A download on its way: what was received is kept, so that the next attempt or the next run goes on from there."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Self

from wheelhouse_builder.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path


class PartFile:
    """`<final>.part`, for whoever holds the lock, and beside it the ETag that a resumed request needs.

    `size` is in bytes; `validator` tells the server which content the part is of (empty: it cannot be resumed).
    """

    def __init__(self, final: Path) -> None:
        self._final = final
        self._part = final.with_name(f"{final.name}.part")
        self._note = final.with_name(f"{final.name}.etag")

    def __enter__(self) -> Self:
        self._stream: IO[bytes] = self._part.open("ab")
        self.size = self._stream.tell()
        self.validator = self._note.read_text(encoding="utf-8") if self._note.exists() else ""
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        if not self.size:
            self._part.unlink(missing_ok=True)

    def restart(self) -> None:
        """Throw away what is there."""
        self._stream.truncate(0)
        self._note.unlink(missing_ok=True)
        self.size, self.validator = 0, ""

    def remember(self, validator: str) -> None:
        """Keep the validator of what follows. A weak ETag is none (RFC 9110, 13.1.5)."""
        self.validator = "" if validator.startswith("W/") else validator
        self._note.write_text(self.validator, encoding="utf-8")

    def write(self, chunk: bytes) -> None:
        """Add what was received."""
        self._stream.write(chunk)
        self.size += len(chunk)

    def digest(self) -> str:
        """sha256 of the whole part, read back from the disk: what has the final name is what was checked."""
        self._stream.flush()
        return sha256_of(self._part)

    def complete(self) -> None:
        """Give the part its final name, for good."""
        os.fsync(self._stream.fileno())
        self._part.chmod(0o644)
        self._part.replace(self._final)
        self.size = 0
        self._note.unlink(missing_ok=True)
