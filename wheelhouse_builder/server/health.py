"""`/healthz`, `/readyz` and `/metrics`.

Alive is a process that answers: no disk, no state, so that an orchestrator does not restart a server because a mount
hangs. Ready is one that has a generation, whose wheels can be read, and that is not about to stop.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

from wheelhouse_builder.server.replies import headers_of, note, send_text

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from wheelhouse_builder.server.metrics import Metrics
    from wheelhouse_builder.server.snapshot import Snapshots

_NO_STORE = (b"cache-control", b"no-store")
_DISK_SECONDS = 5.0


class Readiness:
    """Whether requests should be sent here. `draining` is set when the server is told to stop."""

    def __init__(self, folder: Path, snapshots: Snapshots) -> None:
        """`folder`: where the wheels lie; `snapshots`: what is served."""
        self.draining = False
        self._folder, self._snapshots = folder, snapshots
        self._look: asyncio.Task[bool] | None = None

    async def reason(self) -> str | None:
        """Why not; None if ready."""
        if self.draining:
            return "shutting down"
        if self._snapshots.current is None:  # why may have names of projects in it, and anybody may ask here
            return "no generation could be loaded: the log says why" if self._snapshots.problem else "still loading"
        if self._look is None or self._look.done():  # one at a time: a mount that hangs must not use up the threads
            self._look = asyncio.create_task(asyncio.to_thread(os.access, self._folder, os.R_OK | os.X_OK))
        try:
            readable = await asyncio.wait_for(asyncio.shield(self._look), _DISK_SECONDS)
        except TimeoutError:
            return "the disk of the wheelhouse does not answer"
        return None if readable else "the folder of the wheels cannot be read"

    def facts(self) -> dict[str, object]:
        """What is served now, for people who look."""
        now = self._snapshots.current
        return {} if now is None else {"generation": now.generation.number, "projects": len(now.projects)}


def health_routes(readiness: Readiness, metrics: Metrics) -> dict[str, ASGIApp]:
    """The answerers by path."""

    async def health(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(scope, send, 200, b'{"status": "alive"}\n')

    async def ready(scope: Scope, receive: Receive, send: Send) -> None:
        reason = await readiness.reason()
        told = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
        body = json.dumps(told | readiness.facts()).encode() + b"\n"
        await _answer(scope, send, 503 if reason else 200, body)

    async def show_metrics(scope: Scope, receive: Receive, send: Send) -> None:
        body, content_type = metrics.text(headers_of(scope).get(b"accept", b"").decode("latin-1"))
        await _answer(scope, send, 200, body, content_type.encode())

    return {"/healthz": health, "/readyz": ready, "/metrics": show_metrics}


async def _answer(
    scope: Scope, send: Send, status: int, body: bytes, content_type: bytes = b"application/json"
) -> None:
    note(scope, route=scope["path"].rpartition("/")[2])
    if scope["method"] not in {"GET", "HEAD"}:
        await send_text(scope, send, 405, "only GET and HEAD", ((b"allow", b"GET, HEAD"), _NO_STORE))
        return
    told = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), _NO_STORE]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body if scope["method"] == "GET" else b""})
