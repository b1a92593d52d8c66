"""What every answer is made with: headers for caches and browsers, conditional answers, short texts, redirects.

An answer is two ASGI messages. Their header lists are made on the spot: that costs a microsecond, while ready-made
lists for ten thousand projects would cost tens of megabytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import anyio

from wheelhouse_builder.server.conditional import CONDITIONS, status_of
from wheelhouse_builder.server.negotiation import Coding, coding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from starlette.types import Message, Scope, Send

    from wheelhouse_builder.server.documents import Document

    Header = tuple[bytes, bytes]

READING = "GET, HEAD, OPTIONS"
RETRY_SECONDS = b"2"
_CHUNK_BYTES = 256 << 10
_YEAR = 31_536_000  # seconds; RFC 9111 has no "for ever"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What answers tell caches and browsers."""

    max_age: int = 60  # seconds that a page is fresh: how late a client may see a new generation
    private: bool = False  # whether reading is guarded: then no shared cache keeps, and no foreign web page reads it

    @cached_property
    def page_headers(self) -> tuple[Header, ...]:
        """For what changes with a generation."""
        age = f"max-age={self.max_age}, {self._who}, stale-if-error=86400".encode()
        return (b"cache-control", age), (b"vary", b"Accept, Accept-Encoding"), *self._common

    @cached_property
    def file_headers(self) -> tuple[Header, ...]:
        """For wheels and their metadata: a name stands for one content for ever."""
        return (b"cache-control", f"max-age={_YEAR}, immutable, {self._who}".encode()), *self._common

    @cached_property
    def text_headers(self) -> tuple[Header, ...]:
        """For errors: the next moment may have what is missing now."""
        return (b"cache-control", b"no-cache"), *self._common

    @property
    def _who(self) -> str:
        return "private" if self.private else "public"

    @property
    def _common(self) -> tuple[Header, ...]:
        cors = () if self.private else ((b"access-control-allow-origin", b"*"),)
        return (b"x-content-type-options", b"nosniff"), *cors


def path_of(scope: Scope) -> str:
    """The path below the prefix that the server is mounted at (`root_path`, ASGI), for the guard as for who answers."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    if not root_path:
        return path
    inner = path.removeprefix(root_path)
    return inner if not inner or inner.startswith("/") else path


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers of a request by name; those of one name joined (RFC 9110 5.3)."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if len(headers) < len(scope["headers"]):
        for name in headers:
            headers[name] = b", ".join(value for key, value in scope["headers"] if key == name)
    return headers


def note(scope: Scope, **facts: str) -> None:
    """Leave facts about the request for logs and metrics."""
    scope.setdefault("whb", {}).update(facts)


async def send_document(
    scope: Scope,
    send: Send,
    asked: Mapping[bytes, bytes],
    document: Document,
    media_type: bytes,
    headers: Iterable[Header],
) -> None:
    """Answer a GET or HEAD with a document, in the coding that the client likes best: 200, 304, 406 or 412.

    `asked` are the headers of the request, whose route is noted. A 304 repeats those that caches keep; without them uv
    asks a second time.
    """
    chosen = coding(asked.get(b"accept-encoding", b"").decode("latin-1"), tuple(document.codings))
    if chosen is None:
        await send_text(scope, send, 406, f"offered codings: {', '.join(document.codings)}", headers)
        return
    body, size, etag = document.codings[chosen]
    scope["whb"]["encoding"] = chosen
    told = [(b"etag", etag), (b"last-modified", document.modified), *headers]
    status = 200 if CONDITIONS.isdisjoint(asked) else status_of(asked, etag, document.modified)
    if status == 412:
        await send_text(scope, send, 412, "not what If-Match or If-Unmodified-Since asks for", headers)
        return
    if status == 200:
        told += [(b"content-type", media_type), (b"content-length", b"%d" % size)]
        if chosen is not Coding.IDENTITY:
            told.append((b"content-encoding", chosen.encode()))
    start: Message = {"type": "http.response.start", "status": status, "headers": told}
    if status != 200 or scope["method"] == "HEAD":
        body = b""
    if isinstance(body, bytes):
        await send(start)
        await send({"type": "http.response.body", "body": body})
    else:
        await _send_file(scope, send, start, body)


async def _send_file(scope: Scope, send: Send, start: Message, path: Path) -> None:
    """Send what is too large for memory; opened before anything is promised."""
    try:
        opened = await anyio.open_file(path, "rb")
    except OSError:  # the generation was retired in this moment
        await send_text(scope, send, 503, "try again", ((b"retry-after", RETRY_SECONDS),))
        return
    async with opened as stream:
        await send(start)
        while chunk := await stream.read(_CHUNK_BYTES):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def send_text(scope: Scope, send: Send, status: int, text: str, headers: Iterable[Header]) -> None:
    """Answer with one line of text."""
    body = f"{text}\n".encode(errors="replace")
    told = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def send_redirect(scope: Scope, send: Send, status: int, location: str, headers: Iterable[Header]) -> None:
    """Redirect, with the query. A relative `location` stays right behind any proxy (RFC 9110 10.2.2)."""
    query = scope.get("query_string", b"")
    target = location.encode("ascii") + (b"?" + query if query else b"")
    told = [(b"location", target), (b"content-length", b"0"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": b""})


async def send_options(send: Send, headers: Iterable[Header]) -> None:
    """What may be done here; also what a browser asks before it reads with headers of its own (CORS preflight)."""
    told = [
        (b"allow", READING.encode()),
        (b"access-control-allow-methods", READING.encode()),
        (b"access-control-allow-headers", b"Accept, If-None-Match, If-Modified-Since, If-Range, Range"),
        (b"access-control-max-age", b"86400"),
        *headers,
    ]
    await send({"type": "http.response.start", "status": 204, "headers": told})
    await send({"type": "http.response.body", "body": b""})
