"""`whb serve` as a process, for tests: on a free port, killed at the end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence
    from pathlib import Path

WHB = (sys.executable, "-m", "wheelhouse_builder")
_URL = re.compile(r"at (https?://\S+:(\d+)\S*/|unix:\S+)")


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def said(self) -> str:
        """What it said on standard error so far."""
        return (self.folder / "err").read_text(encoding="utf-8")

    @property
    def logged(self) -> list[dict[str, Any]]:
        """The access log so far."""
        return [json.loads(line) for line in (self.folder / "out").read_text(encoding="utf-8").splitlines()]

    def logs(self, **facts: object) -> dict[str, Any]:
        """The first line of the access log with these facts, once it is there."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found.extend(line for line in self.logged if facts.items() <= line.items())
            return bool(found)

        wait_until(there, f"{facts} in the access log")
        return found[0]

    @property
    def url(self) -> str:
        """Where it is, with a slash at the end."""
        found = _URL.search(self.said)
        assert found, self.said
        return found[1]

    @property
    def port(self) -> int:
        """The port of the URL."""
        found = _URL.search(self.said)
        assert found, self.said
        return int(found[2])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def whb_serve(
    house: Path, folder: Path, *options: str, launcher: Sequence[str] = (), **environ: str
) -> Iterator[Running]:
    """Serve a wheelhouse on a free port; `launcher` is what starts it."""
    folder.mkdir(exist_ok=True)
    argv = [*launcher, *WHB, "serve", "--wheelhouse", str(house), *options]
    argv += [] if "--uds" in options else ["--port", "0"]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(argv, stdout=out, stderr=err, cwd=folder, env={**os.environ, **environ})
    running = Running(process=process, folder=folder)
    try:
        wait_until(lambda: "serving" in running.said or process.poll() is not None, "the server")
        assert process.poll() is None, running.said
        yield running
    finally:
        process.kill()
        process.wait(60)


def wait_until(condition: Any, what: str, seconds: float = 60) -> None:
    """Look until it is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)


def raw(port: int, request: bytes, *, context: ssl.SSLContext | None = None) -> bytes:
    """Everything that comes back for these bytes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        sock = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        with contextlib.suppress(ConnectionError):
            sock.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while chunk := sock.recv(65536):
                answer += chunk
        return answer


def status_of(answer: bytes) -> int:
    """The status of a response."""
    return int(answer.split(b" ", 2)[1])
