"""What the server listens on: addresses, a Unix socket, or sockets that systemd opened for it."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import MachineError, UsageError

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

    from wheelhouse_builder.settings.serve import ServeSettings

BACKLOG = 2048
_FIRST_INHERITED = 3  # sd_listen_fds(3)
_NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def listen(settings: ServeSettings, environ: MutableMapping[str, str]) -> list[socket.socket]:
    """Sockets that take connections, which wait there for the server.

    Those of systemd if there are some, else the Unix socket, else each address of the host.
    Raises `MachineError` when one cannot be had, `UsageError` for a host that has no address.
    """
    if inherited := _inherited(environ):
        return inherited
    if settings.uds is not None:
        return [_unix(settings.uds)]
    return _addresses(settings.host, settings.port)


def urls(sockets: list[socket.socket], *, tls: bool, root_path: str) -> list[str]:
    """Where clients find the server, for people."""
    scheme = "https" if tls else "http"
    found = []
    for sock in sockets:
        if sock.family == socket.AF_UNIX:
            found.append(f"unix:{sock.getsockname()}")
            continue
        host, port = sock.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        found.append(f"{scheme}://{shown}:{port}{root_path}/")
    return found


def _inherited(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets of `LISTEN_FDS`, if they are meant for this process. The variables are not for our children."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    sockets = [socket.socket(fileno=_FIRST_INHERITED + number) for number in range(int(count))]
    if any(sock.type != socket.SOCK_STREAM for sock in sockets):
        for sock in sockets:
            sock.close()
        raise UsageError("systemd gave a socket that is no stream", hint="use ListenStream= in the .socket unit")
    return sockets


def _unix(path: Path) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(str(path))
        sock.listen(BACKLOG)
        path.chmod(0o666)  # who may connect is decided by the mode of its folder
    except OSError as error:
        sock.close()
        raise MachineError(f"cannot listen on {path}: {error.strerror or error}", hint="--uds names a path") from None
    return sock


def _remove_stale(path: Path) -> None:
    """What a killed server left. A socket that somebody answers on is in use."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise MachineError(f"{path} is there and is no socket", hint="--uds names a path that is free")
    except OSError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise MachineError(f"{path}: {error.strerror}", hint="--uds names a path that is free") from None
    raise MachineError(f"another server listens on {path}", hint="--uds names a path that is free")


def _addresses(host: str, port: int) -> list[socket.socket]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{host} is no address of this machine: {error}", hint="--host 0.0.0.0 is every one") from None
    sockets: list[socket.socket] = []
    problem: OSError | None = None
    for family, *_, address in dict.fromkeys(found):
        chosen = (address[0], sockets[0].getsockname()[1] if sockets else port, *address[2:])
        try:
            sockets.append(_bound(family, chosen))
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                raise _refused(error, host, port) from None
            problem = error  # `localhost` is ::1 too, which a container may not have
    if problem and not sockets:
        raise _refused(problem, host, port)
    return sockets


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _refused(error: OSError, host: str, port: int) -> MachineError:
    if error.errno == errno.EADDRINUSE:
        hint = f"--port chooses another, 0 any free one; `ss -ltnp sport = :{port}` says who has it"
        return MachineError(f"port {port} of {host} is in use", hint=hint)
    if error.errno == errno.EACCES:
        return MachineError(f"port {port} is for root", hint="use a port above 1023, or a socket of systemd")
    return MachineError(f"cannot listen on {host}, port {port}: {error.strerror}", hint="--host 127.0.0.1 always works")
