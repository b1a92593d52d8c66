"""What the server listens on."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.cli import main
from wheelhouse_builder.errors import MachineError, UsageError
from wheelhouse_builder.server import runner, sockets
from wheelhouse_builder.server.sockets import listen, urls
from wheelhouse_builder.settings.serve import ServeSettings

if TYPE_CHECKING:
    from pathlib import Path


def test_any_free_port() -> None:
    (sock,) = listen(ServeSettings(port=0), {})
    with sock:
        port = sock.getsockname()[1]
        assert urls([sock], tls=False, root_path="") == [f"http://127.0.0.1:{port}/"]
        assert urls([sock], tls=True, root_path="/wheels") == [f"https://127.0.0.1:{port}/wheels/"]
        sock.listen()
        with pytest.raises(MachineError, match=f"port {port} of 127.0.0.1 is in use") as caught:
            listen(ServeSettings(port=port), {})
        assert "--port chooses another" in (caught.value.hint or "")


def test_an_address_of_the_other_version() -> None:
    (sock,) = listen(ServeSettings(host="::1", port=0), {})
    with sock:
        assert urls([sock], tls=False, root_path="") == [f"http://[::1]:{sock.getsockname()[1]}/"]


def test_a_name_with_two_addresses_has_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: found)
    both = listen(ServeSettings(host="localhost", port=0), {})
    assert len({sock.getsockname()[1] for sock in both}) == 1
    found[0] = (*found[0][:4], ("2001:db8::1", 0, 0, 0))  # not of this machine
    one = listen(ServeSettings(host="localhost", port=0), {})
    assert [sock.family for sock in one] == [socket.AF_INET]
    for sock in [*both, *one]:
        sock.close()


@pytest.mark.parametrize("host", ["nowhere.invalid", "a b", "", "\N{SNOWMAN}" * 70])
def test_a_host_that_is_none(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UsageError, match="is no address of this machine"):
        listen(ServeSettings(host=host), {})


def test_a_port_of_root(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sockets, "_bound", refuse)
    with pytest.raises(MachineError, match="port 80 is for root"):
        listen(ServeSettings(port=80), {})


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "whb.sock"
    (first,) = listen(ServeSettings(uds=path), {})
    first.close()  # killed: the path stays
    (second,) = listen(ServeSettings(uds=path), {})
    with second:
        second.listen()
        assert urls([second], tls=False, root_path="") == [f"unix:{path}"]
        assert path.stat().st_mode & 0o777 == 0o666
        with pytest.raises(MachineError, match="another server listens"):
            listen(ServeSettings(uds=path), {})


@pytest.mark.parametrize("taken", [False, True])
def test_in_the_end_the_path_is_free_unless_the_next_server_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    """While the last downloads run, nobody answers on the path any more: the next server takes it."""
    path = tmp_path / "whb.sock"
    following: list[socket.socket] = []

    def drain(settings: object, held: list[socket.socket], **more: object) -> None:
        held[0].close()
        if taken:
            following.extend(listen(ServeSettings(uds=path), {}))

    monkeypatch.setattr(runner, "run", drain)
    assert main(["serve", "--wheelhouse", str(tmp_path), "--uds", str(path)]) == 0
    for sock in following:
        sock.close()
    assert path.exists() is taken


def test_a_path_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(MachineError, match="is there and is no socket"):
        listen(ServeSettings(uds=tmp_path / "file"), {})
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"
    with pytest.raises(MachineError, match="cannot listen on"):
        listen(ServeSettings(uds=tmp_path / "none" / "whb.sock"), {})
    with pytest.raises(MachineError, match="cannot listen on"):
        listen(ServeSettings(uds=tmp_path / ("x" * 200)), {})


def test_sockets_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        descriptor = os.dup(given.fileno())
        monkeypatch.setattr(sockets, "_FIRST_INHERITED", descriptor)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "whb.socket", "PATH": "/bin"}
        (sock,) = listen(ServeSettings(port=0), environ)
        with sock:
            assert sock.fileno() == descriptor
            assert sock.getsockname() == given.getsockname()
        assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize("environ", [{"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_FDS": "1"}, {"LISTEN_PID": "x"}])
def test_sockets_for_another_process(environ: dict[str, str]) -> None:
    (sock,) = listen(ServeSettings(port=0), environ)
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"


def test_a_socket_that_is_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as given:
        monkeypatch.setattr(sockets, "_FIRST_INHERITED", os.dup(given.fileno()))
        with pytest.raises(UsageError, match="is no stream"):
            listen(ServeSettings(), {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
