"""What all tests share: unit tests start no process, reach no network and wait for no disk."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sqlite3
import subprocess
from typing import Any, NoReturn

import pytest
from hypothesis import settings

settings.register_profile("whb", deadline=None)  # a busy machine is no defect
settings.load_profile("whb")

gc.disable()  # until all tests are collected: see below

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def pytest_collection_finish() -> None:
    """Look no more for garbage among modules and tests, which stay till the end: that was a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _no_flush(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the disk wait in no unit test: they do not outlive a power failure."""
    if "integration" in request.path.parts:
        return

    connect = sqlite3.connect

    def unflushed(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        with contextlib.suppress(sqlite3.DatabaseError):  # whoever uses what is damaged or held finds that out
            connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(sqlite3, "connect", unflushed)
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(autouse=True)
def _no_effects(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the unit test that starts a subprocess or connects to anything but this machine."""
    if "integration" in request.path.parts:
        return

    def no_subprocess(*args: object, **kwargs: object) -> NoReturn:
        pytest.fail(f"a unit test started a subprocess: {args[1:]}")

    connect = socket.socket.connect

    def no_network(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX and not (isinstance(address, tuple) and address[0] in _LOOPBACK):
            pytest.fail(f"a unit test connected to {address}")
        connect(self, address)  # type: ignore[arg-type]  # one of the forms that connect takes

    monkeypatch.setattr(subprocess.Popen, "__init__", no_subprocess)
    monkeypatch.setattr(socket.socket, "connect", no_network)
