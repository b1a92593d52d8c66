"""What holds for all unit tests: they start no process, reach no network and wait for no disk."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(scope="package", autouse=True)
def _no_effects() -> Iterator[None]:
    """Fail the unit test that starts a subprocess or connects to anything but this machine; flush nothing."""
    connect, connect_database = socket.socket.connect, sqlite3.connect

    def no_subprocess(*args: object, **kwargs: object) -> NoReturn:
        pytest.fail(f"a unit test started a subprocess: {args[1:]}")

    def no_network(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX and not (isinstance(address, tuple) and address[0] in _LOOPBACK):
            pytest.fail(f"a unit test connected to {address}")
        connect(self, address)  # type: ignore[arg-type]  # one of the forms that connect takes

    def unflushed(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect_database(*args, **kwargs)
        with contextlib.suppress(sqlite3.DatabaseError):  # whoever uses what is damaged or held finds that out
            connection.execute("PRAGMA synchronous = OFF")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", no_subprocess)
        patch.setattr(socket.socket, "connect", no_network)
        patch.setattr(sqlite3, "connect", unflushed)
        patch.setattr(os, "fsync", lambda handle: None)  # tests do not outlive a power failure
        yield
