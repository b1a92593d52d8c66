"""The server as a process of its own, on a free loopback port, for tests with real clients."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PROGRAM = """
import sys
from pathlib import Path
import uvicorn
from wheelhouse_builder.server.app import make_app
from wheelhouse_builder.server.snapshot import Snapshots
from wheelhouse_builder.wheelhouse.store import Wheelhouse
root, descriptor, log = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
config = {"version": 1, "handlers": {"file": {"class": "logging.FileHandler", "filename": str(log)}},
          "root": {"handlers": ["file"], "level": "INFO"}}
uvicorn.run(make_app(Snapshots(Wheelhouse(root)), poll_seconds=0.1), fd=descriptor, log_config=config)
"""


@contextlib.contextmanager
def serving(wheelhouse: Path, *, log: Path | None = None) -> Iterator[str]:
    """Serve a wheelhouse with uvicorn; the base URL, without a slash at its end. `log` gets a line for each request."""
    with socket.create_server(("127.0.0.1", 0)) as listening:  # it queues what comes before the server is up
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        descriptor = listening.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(wheelhouse), str(descriptor), str(log or os.devnull)],
            pass_fds=[descriptor],
        )
    try:
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
