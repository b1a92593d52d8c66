"""Granian as the server: HTTP in Rust, files without copies (`http.response.pathsend`).

HTTP/1.1 alone: where Granian may speak HTTP/2, too, it waits for the first byte of a connection for ever, and some
thousand silent ones shut out everybody; its HTTP/2 has no limit of time at all.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.server.limits import HEAD_BYTES, headers_too_large, size_of_head
from wheelhouse_builder.server.sockets import BACKLOG

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from wheelhouse_builder.server.tls import Tls

_HEAD_MILLISECONDS = 15_000
_BUFFER_BYTES = 1 << 20  # of a connection, also for what is sent: with 32 KiB large files go out a tenth slower
_OLDEST_TLS = SSLProtocols.tls12


class _OnSocket(Server):
    """Granian's embedded server, on a socket that is bound already."""

    sock: socket.socket

    def _init_shared_socket(self) -> None:
        """Nothing to bind."""

    def _spawn_workers(self, spawn_target: Any, target_loader: Any) -> None:
        """Each worker closes its descriptor in the end, so each gets one of its own."""
        descriptor, is_unix = os.dup(self.sock.fileno()), self.sock.family == socket.AF_UNIX
        self._shd: Any = SocketHolder(descriptor, is_unix, BACKLOG)  # type: ignore[call-arg]  # not in the stub
        super()._spawn_workers(spawn_target, target_loader)  # type: ignore[no-untyped-call]  # of Granian

    async def _reload(self, spawn_target: Any, target_loader: Any) -> None:
        """A new worker takes new connections, the old one finishes what it has. The embedded server lacks this."""
        self.reload_signal = False
        self.main_loop_interrupt.clear()
        old = list(self.wrks)
        self.wrks.clear()
        self._spawn_workers(spawn_target, target_loader)
        for worker in old:
            worker.terminate()  # type: ignore[no-untyped-call]  # of Granian


def _limited(app: ASGIApp) -> ASGIApp:
    """The application, for heads of the size that uvicorn's protocol takes (`limits`)."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        large = scope["type"] == "http" and size_of_head(scope["raw_path"], scope["headers"]) > HEAD_BYTES
        await (headers_too_large if large else app)(scope, receive, send)

    return limited


class GranianServer:
    """Serves an application until `stop`."""

    def __init__(self, app: ASGIApp, *, tls: Tls | None, drain_timeout: int, max_connections: int) -> None:
        """As `UvicornServer`."""
        self._tls = tls
        self._server: Any = _OnSocket(
            _limited(app),
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=max_connections,
            http1_settings=HTTP1Settings(header_read_timeout=_HEAD_MILLISECONDS, max_buffer_size=_BUFFER_BYTES),
            log_enabled=False,
            ssl_cert=tls.cert if tls else None,
            ssl_key=tls.key if tls else None,
            ssl_protocol_min=_OLDEST_TLS,
        )
        self._server.workers_kill_timeout = drain_timeout
        if tls:
            tls.on_change = self._exchange_certificate

    async def run_on(self, sockets: list[socket.socket]) -> None:
        """Serve until stopped. Raises `UsageError` for more than one socket."""
        if len(sockets) != 1:
            raise UsageError(f"Granian listens on one socket, not on {len(sockets)}", hint="name one with --host")
        self._server.sock = sockets[0]
        try:
            await self._server.serve()
        except TimeoutError:  # what was running when the time to drain was over
            return

    def stop(self, *, at_once: bool = False) -> None:
        """Take no new connections; end when the running requests are done, or `at_once`."""
        if at_once:
            for worker in self._server.wrks:
                worker.kill()
        self._server.sock.close()
        self._server.stop()

    def _exchange_certificate(self) -> None:
        assert self._tls is not None
        self._server.build_ssl_context(self._tls.cert, self._tls.key, None, _OLDEST_TLS, None, [], False)
        self._server.reload()
