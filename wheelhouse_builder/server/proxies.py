"""What a proxy in front changes: the address of the client, and a prefix of all paths.

X-Forwarded-For is believed only from proxies that are named, and read from its end: the last address that is not one of
ours is the client; what is before it anybody could have written. The prefix is known from the settings alone, and a
proxy may leave it in the path or take it off.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from wheelhouse_builder.settings.serve import UNIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BehindProxy:
    """An ASGI application around another that sees the client's address and the prefix (`root_path`)."""

    def __init__(self, app: ASGIApp, *, trusted: Iterable[str] = (), root_path: str = "") -> None:
        """`trusted`: networks, and `unix` for the peers of a Unix socket."""
        self._app, self._root = app, root_path
        self._trusts = trust_in(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            if self._root:
                path: str = scope["path"]
                scope["root_path"] = self._root
                inside = path == self._root or path.startswith(f"{self._root}/")
                scope["path"] = path if inside else self._root + path
            client = scope.get("client")
            peer = client[0] if client else ""  # uvicorn has None for a Unix socket, Granian an empty address
            if self._trusts(peer or UNIX) and (client := self._client(scope)):
                scope["client"] = (client, 0)
        await self._app(scope, receive, send)

    def _client(self, scope: Scope) -> str | None:
        values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        found = None
        for part in reversed(b",".join(values).decode("latin-1").split(",")):
            address = parse_address(part.strip())
            if address is None:
                break
            found = str(address)
            if not self._trusts(found):
                break
        return found


def trust_in(networks: Iterable[str]) -> Callable[[str], bool]:
    """Whether an address (or `unix`) is in one of these networks."""
    names = set(networks)
    parsed = [ipaddress.ip_network(name) for name in names - {UNIX}]

    @lru_cache(4096)
    def trusts(name: str) -> bool:
        address = parse_address(name)
        return name in names if address is None else any(address in network for network in parsed)

    return trusts if names else lambda name: False


def parse_address(text: str) -> Address | None:
    """An address as proxies write it: `10.0.0.7`, `10.0.0.7:1234`, `[::1]:1234`, `::1`; None for anything else."""
    if len(text) > 64:
        return None
    host, bracket, _ = text.removeprefix("[").partition("]")
    if not bracket and text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address
