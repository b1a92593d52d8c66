"""uvicorn as the server: uvloop, httptools, our protocol with its limits."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from typing import TYPE_CHECKING

import uvicorn

from wheelhouse_builder.errors import WhbError
from wheelhouse_builder.server.limits import KEEP_ALIVE_SECONDS, LimitedProtocol
from wheelhouse_builder.server.sockets import BACKLOG

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from wheelhouse_builder.server.tls import Tls

_TLS_SECONDS = 10.0  # for the handshake: before it there is no connection that could be swept
_STRAGGLERS_SECONDS = 2.0  # for what runs on without its client, such as an upload that is being judged
_TICKS = 10  # of uvicorn's main loop in a second


class UvicornServer(uvicorn.Server):
    """Serves an application until `stop`."""

    def __init__(self, app: ASGIApp, *, tls: Tls | None, drain_timeout: int, max_connections: int) -> None:
        """Downloads that run when it is stopped get `drain_timeout` seconds."""
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        super().__init__(
            uvicorn.Config(
                app,
                http=LimitedProtocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
            )
        )
        self._tls, self._drain_timeout = tls, drain_timeout
        LimitedProtocol.max_connections = max_connections

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.server_state.connections)

    async def run_on(self, sockets: list[socket.socket]) -> None:
        """Serve until stopped."""
        await self._serve(sockets)

    def stop(self, *, at_once: bool = False) -> None:
        """Take no new connections; end when the running requests are done or out of time, or `at_once`."""
        self.should_exit = True
        asyncio.get_running_loop().call_later(0 if at_once else self._drain_timeout, self._abort)

    def _abort(self) -> None:
        """Close what is open: whoever answers there stops by itself, soon."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        asyncio.get_running_loop().call_later(_STRAGGLERS_SECONDS, setattr, self, "force_exit", True)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; unlike uvicorn's own, with a time limit for handshakes."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise WhbError("the server could not start", hint="what is above says why")
        protocol = functools.partial(
            LimitedProtocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                protocol,
                sock=sock,
                backlog=BACKLOG,
                ssl=self._tls.context if self._tls else None,
                ssl_handshake_timeout=_TLS_SECONDS if self._tls else None,
            )
            for sock in sockets or []
        ]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; once a second, look for connections whose time is over."""
        if counter % _TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                connection.check(now)  # type: ignore[union-attr]  # all are LimitedProtocol
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the business of `runner`."""
        yield
