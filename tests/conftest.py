"""What all tests share: unit tests start no process and reach no network."""

from __future__ import annotations

import socket
import subprocess
from typing import NoReturn

import pytest
from hypothesis import settings

settings.register_profile("whb", deadline=None)  # a busy machine is no defect
settings.load_profile("whb")

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


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
