"""Limits of connections: uvicorn's protocol, and who is closed when there are too many or when they say nothing.

uvicorn waits for the head of a request for ever, takes heads and trailers of any size, and its own limit of concurrency
counts silent connections like those that ask for something: ten thousand of them would shut out everybody. Here a head
has a time and a size, a client that stops reading has a time, and when descriptors run short the oldest idle
connections go first. One sweep a second over all connections is cheaper than a timer for each request.
"""

from __future__ import annotations

import ctypes
import resource
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from asyncio import Transport
    from collections.abc import Iterable

HEAD_SECONDS = 15.0  # from the first byte (or the connection) to the end of the headers
STALL_SECONDS = 60.0  # without anything being read of what we send
KEEP_ALIVE_SECONDS = 65  # more than the 60 seconds of usual proxies, which must be the ones to close
HEAD_BYTES = 32 << 10
_SPARE_DESCRIPTORS = 128  # for files, the log, the listening sockets
_SHED_SHARE = 0.05
_M_ARENA_MAX = -8  # malloc.h


def raise_descriptor_limit() -> int:
    """Allow as many descriptors as the system lets us; how many connections that is good for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Half of them, since a download needs two: the connection and the file.
    return max(64, hard // 2 - _SPARE_DESCRIPTORS)


def limit_arenas() -> bool:
    """Let all threads share two heaps; False where the C library is not glibc, which alone gives each thread its own.

    Files are read and generations loaded in threads. With up to sixteen heaps, what each of them frees stays with it:
    after ten minutes of `benchmarks/load.py` the server had 91 MiB and still grew, with two it stays at 67.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, 2))


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    max_connections = 10_000  # of all together
    head_since: float | None = None
    stalled_since: float | None = None
    running: RequestResponseCycle | None = None  # `cycle` is the newest request, which may wait behind this one

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """A client is there."""
        super().connection_made(transport)
        self.head_since = self.loop.time()
        self._head_bytes = self._chunk_bytes = 0
        if len(self.connections) > self.max_connections:
            shed(self.connections, self.max_connections)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone. Whoever answers its request learns it from the notes (`observe.Observed`)."""
        if not self.idle:
            self.cycle.scope.setdefault("whb", {})["gone"] = True  # type: ignore[typeddict-item]  # our own key
        self._give_up()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and count what is not the content of a body: the head, trailers, extensions of chunks."""
        self._chunk_bytes = len(data)
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            if self.head_since is not None:
                self.refuse(431, b"the headers are too large\n")
            else:  # the answer to what they trail may be under way
                self.transport.abort()
        elif self.head_since is None and self.idle and self.timeout_keep_alive_task is None:
            # Line ends, or the rest of a body that nobody wants: uvicorn stopped its timer and starts no other.
            later = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
            self.timeout_keep_alive_task = later

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it; uvicorn's returns None
        """The client sends no more, and may still read: what it asked for is answered, and then the connection closed.

        uvicorn closes at once; the answer that is being made then fails in uvloop, with a traceback in the log.
        """
        if self.idle or self.cycle.more_body or self.transport.get_extra_info("sslcontext"):  # TLS knows no half
            return False
        self.cycle.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:
        """What followed a request was no HTTP: the connection ends, and with it the answer that is being made."""
        self._give_up()
        super().send_400_response(msg)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.running = cycle
        super()._start_asgi_task(cycle, app)

    def _give_up(self) -> None:
        """What is being answered is sent nowhere: writing to a closed connection is an error in uvloop."""
        if self.running is not None:
            self.running.disconnected = True
            self.running.message_event.set()

    def on_message_begin(self) -> None:
        """A head begins. What came before may be the body of a request that was answered already: an upload refused."""
        super().on_message_begin()
        self.head_since = self.loop.time()
        self._head_bytes = self._chunk_bytes

    def on_headers_complete(self) -> None:
        """The head is there: refuse it or answer it."""
        self.head_since = None
        large = self._head_bytes > HEAD_BYTES and size_of_head(self.url, self.headers) > HEAD_BYTES
        self._head_bytes = 0
        self.app = headers_too_large if large else self.config.loaded_app
        super().on_headers_complete()
        # Trailers come as headers do, and must not become some: a proxy has not looked at them (RFC 9110 6.5.1).
        self.headers = []

    def on_chunk_header(self) -> None:
        """A piece of a body begins."""
        self._head_bytes = 0

    def on_body(self, body: bytes) -> None:
        """A piece of a body is there."""
        self._head_bytes = 0
        super().on_body(body)

    def pause_writing(self) -> None:
        """The client does not read as fast as we send."""
        self.stalled_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It has read."""
        self.stalled_since = None
        super().resume_writing()

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn declares no None, and starts with it
        return cycle is None or cycle.response_complete

    def check(self, now: float) -> None:
        """Close the connection if its time is over."""
        if self.head_since is not None and now - self.head_since > HEAD_SECONDS:
            if self._head_bytes:
                self.refuse(408, b"the request did not come to its end\n")
            else:
                self.transport.abort()
        elif self.stalled_since is not None and now - self.stalled_since > STALL_SECONDS:
            self.transport.abort()

    def refuse(self, status: int, body: bytes) -> None:
        """Answer what never became a request, and close."""
        self._give_up()
        head = b"content-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()


def shed(connections: set[Any], limit: int) -> None:
    """Close the idle connections that said nothing for longest, a share of the limit at once."""
    idle = [connection for connection in connections if connection.idle and not connection.transport.is_closing()]
    idle.sort(key=lambda connection: connection.head_since or 0.0)
    for connection in idle[: max(1, int(limit * _SHED_SHARE))]:
        connection.transport.abort()


def size_of_head(url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> int:
    """The bytes of the head of a request, but for its method."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


async def headers_too_large(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application that answers a head over the limit."""
    body = b"the headers are too large\n"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 431, "headers": headers})
    await send({"type": "http.response.body", "body": body})
