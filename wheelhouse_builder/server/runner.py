"""Runs the server: signals, draining, what is looked at every second.

SIGTERM and SIGINT stop it in order: readiness fails first, so that proxies look elsewhere; then no connection is taken
any more; running downloads get a while to finish. A second signal ends at once. SIGHUP reads users, tokens and the
certificate again and reopens the access log.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Protocol

from wheelhouse_builder.server.limits import limit_arenas, raise_descriptor_limit
from wheelhouse_builder.server.service import make_service

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.server.service import Service
    from wheelhouse_builder.settings import Settings

_LOOK_SECONDS = 1.0


class Server(Protocol):
    """What speaks HTTP."""

    async def run_on(self, sockets: list[socket.socket]) -> None:
        """Serve until stopped."""

    def stop(self, *, at_once: bool = False) -> None:
        """Take no new connections; end when the running requests are done, or `at_once`."""


def run(
    settings: Settings,
    sockets: list[socket.socket],
    *,
    started: Callable[[Service], None],
    complain: Callable[[str], None],
    canceller: Canceller,
) -> None:
    """Serve until SIGTERM or SIGINT. `started` is called when everything is in order and serving begins;
    `canceller` knows of signals that came before.

    Raises `UsageError` and `MachineError` for what the settings name and is not so.
    """
    import uvloop  # noqa: PLC0415 - the tests of this module need none

    limit_arenas()
    uvloop.run(_run(settings, sockets, started=started, complain=complain, canceller=canceller))


async def _run(
    settings: Settings,
    sockets: list[socket.socket],
    *,
    started: Callable[[Service], None],
    complain: Callable[[str], None],
    canceller: Canceller,
) -> None:
    service = make_service(settings, complain)
    try:
        server = _make_server(settings, service)
        await asyncio.to_thread(service.snapshots.refresh)
        canceller.check()  # a signal that came before our own handlers are there
        started(service)
        await _serve(settings, service, server, sockets, complain)
    finally:
        if service.log is not None:
            service.log.close()


def _make_server(settings: Settings, service: Service) -> Server:
    serve, connections = settings.serve, raise_descriptor_limit()
    if serve.server == "granian":
        from wheelhouse_builder.server.granian_server import GranianServer  # noqa: PLC0415 - may not be installed

        return GranianServer(
            service.app, tls=service.tls, drain_timeout=serve.drain_timeout, max_connections=connections
        )
    from wheelhouse_builder.server.uvicorn_server import UvicornServer  # noqa: PLC0415 - as above

    server = UvicornServer(service.app, tls=service.tls, drain_timeout=serve.drain_timeout, max_connections=connections)
    service.metrics.gauges["whb_open_connections", "Connections."] = lambda: server.connections
    return server


async def _serve(
    settings: Settings,
    service: Service,
    server: Server,
    sockets: list[socket.socket],
    complain: Callable[[str], None],
) -> None:
    asked: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.put_nowait, number)
    loop.add_signal_handler(signal.SIGHUP, lambda: service.refresh(complain, force=True))
    serving = asyncio.create_task(server.run_on(sockets))
    watching = asyncio.create_task(_watch(service, complain))
    stopping = asyncio.create_task(_stop_in_order(settings, service, server, asked))
    try:
        await serving
    finally:
        watching.cancel()
        stopping.cancel()


async def _watch(service: Service, complain: Callable[[str], None]) -> None:
    """Exchanged certificates, users and tokens are taken up as they come."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        service.refresh(complain)


async def _stop_in_order(
    settings: Settings, service: Service, server: Server, asked: asyncio.Queue[signal.Signals]
) -> None:
    first = await asked.get()
    service.readiness.draining = True
    if first == signal.SIGTERM:  # Ctrl-C is of a person, who has no proxy to wait for
        await asyncio.sleep(settings.serve.drain_delay)
    server.stop()
    await asked.get()
    server.stop(at_once=True)
