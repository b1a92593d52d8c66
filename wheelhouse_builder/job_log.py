"""What a job printed, fit to be kept and shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wheelhouse_builder.redact import redact

if TYPE_CHECKING:
    from pathlib import Path

_HEAD_BYTES, _TAIL_BYTES = 256 << 10, 4 << 20  # that are kept of a log: some builds print for hours


def shown(log: Path) -> bytes:
    """A log as UTF-8, fit for anyone's eyes: without what is secret in URLs, and of a huge one both ends."""
    with log.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        if size > _HEAD_BYTES + _TAIL_BYTES:
            head = stream.read(_HEAD_BYTES).rpartition(b"\n")[0]  # whole lines: half a URL could not be redacted
            stream.seek(size - _TAIL_BYTES)
            tail = stream.read().partition(b"\n")[2]
            text = head + f"\n[{size - len(head) - len(tail)} bytes are left out here]\n".encode() + tail
        else:
            text = stream.read()
    return redact(text.decode(errors="replace")).encode()
