"""Watches each request go by: how long it took, what came of it, whether the client waited for the end.

`Observed` gives each request its notes, `scope["whb"]`, in which those further in say what it was (`route`, `format`,
`encoding`, `user`), an id, which the response repeats as X-Request-ID, and tells the result to listeners: the metrics
and the access log. It also turns away what is too much at a time, so that what is under way gets done.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.server.access import OPEN_PATHS
from wheelhouse_builder.server.replies import path_of, send_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")  # of a proxy: taken over if it is sane
_RETRY = (b"retry-after", b"1")
UNKNOWN = "other"  # the route of what no handler took


class ClientGoneError(OSError):
    """The client closed the connection: whoever still sends may stop."""


@dataclass(slots=True)
class Observation:
    """One request and what came of it. Mutable while it goes on; listeners get it when it is over."""

    scope: Scope
    notes: dict[str, Any]
    request_id: str
    user_agent: bytes
    started: float  # seconds of `time.perf_counter`
    status: int = 0  # 0: no response was begun
    sent: int = 0  # bytes of the body
    seconds: float = 0.0
    complete: bool = False  # the last byte was handed to the server

    @property
    def aborted(self) -> bool:
        """Whether the client was gone before the end."""
        return bool(self.notes.get("gone")) or not self.complete


class Observed:
    """An ASGI application around another."""

    def __init__(
        self, app: ASGIApp, listeners: Sequence[Callable[[Observation], None]], *, max_requests: int = 2000
    ) -> None:
        """At most `max_requests` at a time reach `app`."""
        self.in_progress = 0
        self._app, self._listeners, self._max = app, tuple(listeners), max_requests
        self._ids = map("".join, zip(itertools.repeat(secrets.token_hex(4)), map("-{:x}".format, itertools.count(1))))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        seen = self._begin(scope)
        named = (b"x-request-id", seen.request_id.encode())

        async def watched(message: Message) -> None:
            if "gone" in seen.notes:
                raise ClientGoneError
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), named]}
            elif message["type"] == "http.response.body":
                seen.sent += len(message.get("body", b""))
                seen.complete = not message.get("more_body", False)
            else:  # the file itself, for a server that sends it (`http.response.pathsend`)
                seen.complete = True
            await send(message)

        self.in_progress += 1
        try:
            if self.in_progress > self._max and path_of(scope) not in OPEN_PATHS:
                await send_text(scope, watched, 503, "too many requests at once", (_RETRY,))
            else:
                await self._app(scope, receive, watched)
        except ClientGoneError:
            pass
        finally:
            self.in_progress -= 1
            seen.seconds = time.perf_counter() - seen.started
            for listener in self._listeners:
                listener(seen)

    def _begin(self, scope: Scope) -> Observation:
        request_id = user_agent = b""
        for name, value in scope["headers"]:
            if name == b"user-agent":
                user_agent = value
            elif name == b"x-request-id":
                request_id = value
        return Observation(
            scope=scope,
            notes=scope.setdefault("whb", {"route": UNKNOWN}),
            request_id=request_id.decode() if _REQUEST_ID.fullmatch(request_id) else next(self._ids),
            user_agent=user_agent,
            started=time.perf_counter(),
        )
