"""Calls an ASGI application in-process: one request, one answer, no socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.types import ASGIApp, Message, Scope


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an application answered."""

    status: int
    headers: Mapping[str, str]  # those of one name joined
    body: bytes
    facts: Mapping[str, Any] = field(default_factory=dict)  # what handlers noted in scope["whb"]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def scope_of(
    method: str,
    target: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    *,
    root_path: str = "",
    extensions: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The scope of a request as uvicorn makes it; `target` is the path with its query, percent-encoded."""
    path, _, query = target.partition("?")
    pairs = headers.items() if hasattr(headers, "items") else headers
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": root_path + unquote(path),
        "raw_path": (root_path + path).encode(),
        "query_string": query.encode(),
        "root_path": root_path,
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8080),
        "extensions": dict(extensions or {}),
        "state": {},
    }


async def call(app: ASGIApp, scope: Scope, body: bytes = b"") -> Answer:
    """One request. Checks what every server relies on: one start, one end, and no more body than was promised."""
    sent: list[Message] = []
    given = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return next(given, None) or {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        assert not sent or sent[-1]["type"] == "http.response.start" or sent[-1].get("more_body"), "after the end"
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    assert start["type"] == "http.response.start"
    assert rest
    assert not rest[-1].get("more_body"), "no end"
    return _answer(start, b"".join(message.get("body", b"") for message in rest), scope)


def _answer(start: Message, body: bytes, scope: Scope) -> Answer:
    headers: dict[str, str] = {}
    for name, value in start["headers"]:
        assert name == name.lower(), f"{name!r} is not in lower case, as ASGI has it"
        text = value.decode("latin-1")
        headers[name.decode()] = f"{headers[name.decode()]}, {text}" if name.decode() in headers else text
    if start["status"] not in {204, 304} and scope["method"] != "HEAD" and body:
        assert headers.get("content-length") == str(len(body))
    return Answer(status=start["status"], headers=headers, body=body, facts=scope.get("whb", {}))


def get(app: ASGIApp, target: str, headers: Mapping[str, str] | Iterable[tuple[str, str]] = (), **scope: Any) -> Answer:
    """A GET."""
    return ask(app, "GET", target, headers, **scope)


def ask(
    app: ASGIApp,
    method: str,
    target: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    *,
    body: bytes = b"",
    **scope: Any,
) -> Answer:
    """A request by any method."""
    return asyncio.run(call(app, scope_of(method, target, headers, **scope), body))
