"""One line of JSON for each request, to standard output or a file.

Lines are gathered and written by a thread of their own, so that a slow disk or a full pipe holds up no request; when it
falls far behind, lines are dropped and counted. Queries, headers and passwords are not logged; what a client chose
(path, User-Agent) is escaped by JSON, so that a line stays one line.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
import time
from collections import deque
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from wheelhouse_builder.server.observe import Observation

_CLIENT = re.compile(r"(pip|uv|twine|poetry|pdm|curl|Prometheus)/([0-9A-Za-z.+-]{1,40})", re.IGNORECASE)
_NOTES = ("route", "format", "encoding", "user")
_PATH_CHARACTERS = 2048
_BACKLOG = 100_000  # lines, some 30 MB
_FLUSH_SECONDS = 0.25


@lru_cache(512)
def client_of(user_agent: bytes) -> str | None:
    """`pip/26.3`, `uv/0.13.9`: the tool that a User-Agent names, None for another."""
    found = _CLIENT.match(user_agent.decode("latin-1"))
    return f"{found[1].lower()}/{found[2]}" if found else None


@lru_cache(1)
def _second(number: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(number))


def line_of(seen: Observation, now: float) -> str:
    """The line of a request that was over at `now`, in seconds since the epoch. `json.dumps` would be slow."""
    scope, notes = seen.scope, seen.notes
    client = scope.get("client") or ("",)
    parts = [
        f'{{"time":"{_second(int(now))}.{int(now % 1 * 1000):03}Z","id":{quoted(seen.request_id)}',
        f'"client":{quoted(client[0]) if client[0] else "null"}',
        f'"method":{quoted(scope["method"])},"path":{quoted(scope["path"][:_PATH_CHARACTERS])}',
        f'"status":{seen.status},"bytes":{seen.sent},"seconds":{seen.seconds:.6f}',
    ]
    parts += [f'"{key}":{quoted(value)}' for key in _NOTES if (value := notes.get(key))]
    if tool := client_of(seen.user_agent):
        parts.append(f'"tool":{quoted(tool)}')
    if seen.aborted:
        parts.append('"aborted":true')
    return ",".join(parts) + "}\n"


class AccessLog:
    """A listener of `Observed` that writes. `close` writes what is left."""

    def __init__(self, target: Path | None = None) -> None:
        """`target`: a file to append to, None for standard output. Raises `OSError`."""
        self._target = target
        self._stream = self._open()
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._reopen = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, name="access log", daemon=True)
        self._thread.start()

    def observe(self, seen: Observation) -> None:
        """Take down one request."""
        if len(self._lines) < _BACKLOG:
            self._lines.append(line_of(seen, time.time()))
        else:
            self._dropped += 1

    def reopen(self) -> None:
        """Go on in a new file of the same name, after logrotate moved the old one away."""
        self._reopen = True

    def close(self) -> None:
        """Write what is left."""
        self._stop.set()
        self._thread.join(timeout=5)
        if self._target:
            self._stream.close()

    def _open(self) -> TextIO:
        return self._target.open("a", encoding="ascii") if self._target else sys.stdout

    def _write(self) -> None:
        while not self._stop.wait(_FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        if self._reopen and self._target:
            with contextlib.suppress(OSError):  # no folder, no right: the old file until there is a new one
                old, self._stream = self._stream, self._open()
                self._reopen = False
                old.close()
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if self._dropped:
            lines.append(json.dumps({"dropped": self._dropped}) + "\n")
            self._dropped = 0
        if lines:
            try:
                self._stream.write("".join(lines))
                self._stream.flush()
            except (OSError, ValueError):  # full disk, closed pipe: serving goes on
                self._dropped += len(lines)
