"""`whb serve`: the index over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import add_settings
from wheelhouse_builder.settings import OPTIONS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.server.service import Service

SERVING = tuple(name for name, option in OPTIONS.items() if option.table == "serve" and option.flags)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    add_settings(parser, ("wheelhouse", *SERVING))


def execute(invocation: Invocation) -> int:
    """Serve until SIGTERM or Ctrl-C. A wheelhouse without a generation is waited for: /readyz says 503 until then."""
    import os

    from wheelhouse_builder.server.runner import run
    from wheelhouse_builder.server.sockets import listen, urls
    from wheelhouse_builder.server.stamps import stamps_of

    settings, console = invocation.settings, invocation.console
    serve = settings.serve
    sockets = listen(serve, os.environ)
    paths = [serve.uds] if serve.uds else []
    ours = stamps_of(paths)
    shown = urls(sockets, tls=serve.tls_cert is not None, root_path=serve.root_path)

    def started(service: Service) -> None:
        for warning in service.warnings:
            console.complain(f"{console.paint('warning:', 'yellow')} {warning}")
        console.say(_announcement(service, shown))

    try:
        run(settings, sockets, started=started, complain=console.complain, canceller=invocation.canceller)
    finally:
        for sock in sockets:
            sock.close()
        if stamps_of(paths) == ours:  # else the next server listens there already
            for path in paths:
                path.unlink(missing_ok=True)
    return 0


def _announcement(service: Service, urls: Sequence[str]) -> str:
    now = service.snapshots.current
    root = service.snapshots.wheelhouse.root
    what = f"generation {now.generation.number}, {len(now.projects)} projects" if now else "nothing to serve yet"
    lines = [f"serving {root} ({what}) at {' '.join(urls)}"]
    if web := next((url for url in urls if not url.startswith("unix:")), None):
        lines.append(f"pip install --index-url {_reachable(web)}simple/ PACKAGE")
    return "\n".join(lines)


def _reachable(url: str) -> str:
    """The URL with the name of this machine in place of the address that stands for all of its addresses."""
    import socket

    return url.replace("://0.0.0.0:", f"://{socket.gethostname()}:").replace("://[::]:", f"://{socket.gethostname()}:")
