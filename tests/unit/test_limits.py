"""Connections with limits: uvicorn's protocol with a transport that notes what is done to it."""

from __future__ import annotations

import asyncio
import platform
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from wheelhouse_builder.server import limits
from wheelhouse_builder.server.limits import HEAD_BYTES, HEAD_SECONDS, STALL_SECONDS, LimitedProtocol, shed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from starlette.types import Receive, Scope, Send

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


class Transport:
    """What a protocol needs of one."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str) -> None:
        return None

    def pause_reading(self) -> None:
        """Nothing comes anyway."""

    def resume_reading(self) -> None:
        """As above."""


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def waits(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(3600)


class Connections:
    """Connections of one server."""

    def __init__(self, app: Callable[..., Awaitable[None]] = answers) -> None:
        self.state = ServerState()
        self.config = uvicorn.Config(app, log_config=None, ws="none", lifespan="off")
        self.config.load()

    def open(self) -> tuple[LimitedProtocol, Transport]:
        protocol, transport = LimitedProtocol(config=self.config, server_state=self.state, app_state={}), Transport()
        protocol.connection_made(transport)  # type: ignore[arg-type]  # what is used of one
        return protocol, transport


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def waits_for_head(protocol: LimitedProtocol) -> bool:
    return protocol.head_since is not None


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_request_is_answered() -> None:
    async def test() -> None:
        protocol, transport = Connections().open()
        assert protocol.idle
        for part in (HEAD[:10], HEAD[10:], b"\r\n"):
            assert waits_for_head(protocol)
            protocol.data_received(part)
        assert not waits_for_head(protocol)
        await settle()
        assert transport.written.endswith(b"\r\n\r\nok")
        assert protocol.idle
        protocol.check(protocol.loop.time() + 10 * HEAD_SECONDS)  # how long it may be idle is uvicorn's matter
        assert not transport.is_closing()
        protocol.connection_lost(None)

    run(test())


@pytest.mark.parametrize(("sent", "answer"), [(b"", b""), (HEAD, b"HTTP/1.1 408 Request Timeout")])
def test_a_head_that_does_not_come(sent: bytes, answer: bytes) -> None:
    async def test() -> None:
        protocol, transport = Connections().open()
        if sent:
            protocol.data_received(sent)
        protocol.check(protocol.loop.time() + HEAD_SECONDS - 1)
        assert not transport.is_closing()
        protocol.check(protocol.loop.time() + HEAD_SECONDS + 1)
        assert transport.is_closing()
        assert transport.written.startswith(answer)

    run(test())


def test_line_ends_keep_no_connection_for_ever() -> None:
    async def test() -> None:
        protocol, transport = Connections().open()
        protocol.data_received(HEAD + b"\r\n")
        await settle()
        before = protocol.timeout_keep_alive_task
        protocol.data_received(b"\r\n")
        assert not waits_for_head(protocol)
        assert protocol.timeout_keep_alive_task not in {None, before}
        protocol.timeout_keep_alive_handler()
        assert transport.is_closing()

    run(test())


def test_a_second_head_that_does_not_come() -> None:
    async def test() -> None:
        protocol, transport = Connections().open()
        protocol.data_received(HEAD + b"\r\n")
        await settle()
        protocol.data_received(b"G")
        protocol.check(protocol.loop.time() + HEAD_SECONDS + 1)
        assert transport.is_closing()

    run(test())


@pytest.mark.parametrize("whole", [True, False])
def test_a_head_that_is_too_large(whole: bool) -> None:
    async def test() -> None:
        protocol, transport = Connections().open()
        head = HEAD + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(40))
        parts = [head + b"\r\n"] if whole else [head[start : start + 1000] for start in range(0, len(head), 1000)]
        for part in parts:
            if not transport.closing:
                protocol.data_received(part)
        await settle()
        assert transport.written.startswith(b"HTTP/1.1 431 ")
        assert transport.is_closing()

    run(test())


def test_a_body_is_no_head() -> None:
    async def test() -> None:
        protocol, transport = Connections().open()
        body = b"x" * (2 * HEAD_BYTES)
        protocol.data_received(HEAD.replace(b"GET", b"POST") + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        await settle()
        assert transport.written.startswith(b"HTTP/1.1 200 ")
        protocol.connection_lost(None)

    run(test())


def test_trailers_are_no_headers() -> None:
    asked: list[Scope] = []

    async def notes(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope)
        await answers(scope, receive, send)

    async def test() -> None:
        protocol, transport = Connections(notes).open()
        body = b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nAuthorization: Bearer secret\r\n\r\n"
        protocol.data_received(HEAD + body)
        await settle()
        assert transport.written.endswith(b"ok")
        assert [name for name, _ in asked[0]["headers"]] == [b"host", b"transfer-encoding"]
        protocol.connection_lost(None)

    run(test())


@pytest.mark.parametrize("endless", [b"X: y\r\n", b"xxxxxxxx"], ids=["many", "one"])
def test_trailers_that_do_not_end(endless: bytes) -> None:
    async def test() -> None:
        protocol, transport = Connections().open()
        protocol.data_received(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ")
        await settle()
        assert transport.written.endswith(b"ok")
        for _ in range(2 * HEAD_BYTES // 1000):
            if not transport.closing:
                protocol.data_received(endless * (1000 // len(endless)))
        assert transport.aborted

    run(test())


def test_a_body_of_small_chunks_is_no_head() -> None:
    async def test() -> None:
        protocol, transport = Connections(waits).open()
        protocol.data_received(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            protocol.data_received(b"1\r\nx\r\n" * 200)
        assert not transport.is_closing()
        protocol.connection_lost(None)

    run(test())


def test_a_client_that_stops_reading() -> None:
    async def test() -> None:
        protocol, transport = Connections(waits).open()
        protocol.data_received(HEAD + b"\r\n")
        protocol.pause_writing()
        protocol.resume_writing()
        protocol.check(protocol.loop.time() + 2 * STALL_SECONDS)
        assert not transport.is_closing()
        protocol.pause_writing()
        protocol.check(protocol.loop.time() + STALL_SECONDS + 1)
        assert transport.aborted
        protocol.connection_lost(None)

    run(test())


def test_a_client_that_goes_is_noted() -> None:
    async def test() -> None:
        protocol, _ = Connections(waits).open()
        protocol.data_received(HEAD + b"\r\n")
        scope: Any = protocol.scope
        assert not protocol.idle
        protocol.connection_lost(None)
        assert scope["whb"] == {"gone": True}

    run(test())


def test_the_oldest_idle_connections_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LimitedProtocol, "max_connections", 20)

    async def test() -> None:
        connections = Connections(waits)
        busy, _ = connections.open()
        busy.data_received(HEAD + b"\r\n")
        opened = [connections.open() for _ in range(19)]
        for age, (protocol, _) in enumerate(opened):
            protocol.head_since = float(age)
        assert not any(transport.closing for _, transport in opened)
        newest, transport = connections.open()
        assert [transport.aborted for _, transport in opened] == [True] + [False] * 18
        assert not transport.is_closing()
        assert not busy.idle
        shed({newest}, 1)
        assert transport.aborted

    run(test())


def test_the_limit_of_descriptors_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda kind: (1024, 4096))
    monkeypatch.setattr("resource.setrlimit", lambda kind, limit: wanted.append(limit))
    assert limits.raise_descriptor_limit() == 4096 // 2 - 128
    assert wanted == [(4096, 4096)]


def test_heaps_are_few_where_that_can_be_said() -> None:
    assert limits.limit_arenas() is (platform.libc_ver()[0] == "glibc")
