"""The client behind proxies, and the prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.asgi import get
from wheelhouse_builder.server.proxies import BehindProxy, parse_address
from wheelhouse_builder.server.replies import path_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells what it sees."""
    body = f"{path_of(scope)} {scope['root_path']} {(scope['client'] or ['-'])[0]}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def seen(header: str | None, *trusted: str, peer: object = ("127.0.0.1", 1)) -> str:
    """The client's address as the application sees it."""

    async def of_peer(scope: Scope, receive: Receive, send: Send) -> None:
        scope["client"] = peer
        await BehindProxy(app, trusted=trusted)(scope, receive, send)

    return get(of_peer, "/x", {} if header is None else {"X-Forwarded-For": header}).text.split(" ")[-1]


@pytest.mark.parametrize(
    ("header", "trusted", "client"),
    [
        ("192.0.2.1", (), "127.0.0.1"),
        ("192.0.2.1", ("10.0.0.0/8",), "127.0.0.1"),
        ("192.0.2.1", ("127.0.0.1/32",), "192.0.2.1"),
        (None, ("127.0.0.1/32",), "127.0.0.1"),
        ("", ("127.0.0.1/32",), "127.0.0.1"),
        ("spoofed, 192.0.2.1", ("127.0.0.0/8",), "192.0.2.1"),
        ("192.0.2.66, 192.0.2.1", ("127.0.0.0/8",), "192.0.2.1"),
        ("192.0.2.1, 10.1.1.1", ("127.0.0.0/8", "10.0.0.0/8"), "192.0.2.1"),
        ("10.1.1.2, 10.1.1.1", ("127.0.0.0/8", "10.0.0.0/8"), "10.1.1.2"),
        ("nonsense, 10.1.1.1", ("127.0.0.0/8", "10.0.0.0/8"), "10.1.1.1"),
        ("nonsense", ("127.0.0.0/8",), "127.0.0.1"),
        ("192.0.2.1:1234", ("127.0.0.0/8",), "192.0.2.1"),
        ("[2001:db8::1]:443", ("127.0.0.0/8",), "2001:db8::1"),
        ("2001:db8::1", ("127.0.0.0/8",), "2001:db8::1"),
        ("::ffff:192.0.2.1", ("127.0.0.0/8",), "192.0.2.1"),
    ],
)
def test_the_client(header: str | None, trusted: tuple[str, ...], client: str) -> None:
    assert seen(header, *trusted) == client


@pytest.mark.parametrize("peer", [None, ("", "0")])
def test_the_peers_of_a_unix_socket(peer: object) -> None:
    assert seen("192.0.2.1", "unix", peer=peer) == "192.0.2.1"
    assert seen("192.0.2.1", "127.0.0.1/32", peer=peer) in {"-", ""}


@given(st.text(st.characters(max_codepoint=255)))
def test_no_header_is_too_much(header: str) -> None:
    seen(header, "127.0.0.0/8")


@given(st.ip_addresses())
def test_every_address_is_read(address: object) -> None:
    assert parse_address(str(address)) is not None


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/wheels/simple/", "/simple/"),  # the proxy leaves the prefix
        ("/simple/", "/simple/"),  # the proxy takes it off
        ("/wheels", ""),
        ("/wheelsmore/", "/wheelsmore/"),
        ("/healthz", "/healthz"),
    ],
)
def test_the_prefix(path: str, inside: str) -> None:
    assert get(BehindProxy(app, root_path="/wheels"), path).text == f"{inside} /wheels 127.0.0.1"
