"""A fuzzer of the request path: odd, damaged and hostile requests to a real server, whose every answer is judged.

What may never happen: an answer 500, an answer that is no HTTP, bytes of a file that was not published (each such file
of the test's wheelhouse has the canary in it), a traceback, a server that died or no longer answers honest requests.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.houses import add_stub, house_with, publish_all
from tests.wheels import make_wheel
from wheelhouse_builder.server.credentials import sha256_of_token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wheelhouse_builder.wheelhouse.store import Wheelhouse

CANARY = b"canary-4f1c9d"
TOKEN = b"whb_fuzzer"
BAD_STATUSES = {500, 502, 504}
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) [ -~]*\r\n")

METHODS = (*[b"GET"] * 12, *b"HEAD HEAD POST POST OPTIONS PUT DELETE TRACE CONNECT PRI get".split(), b"")
PATHS = (
    *rb"""/ /simple/ /simple/demo/ /simple/demo /simple/DE.MO/ /simple/demo/index.html /simple/demo/about.html /links/
    /browse/ /browse/style.css /browse/?q=%27%22%3Cb%3E /demo-1.0-py3-none-any.whl /demo-1.0-py3-none-any.whl.metadata
    /legacy/ /healthz /readyz /metrics /foreign-1.0-py3-none-any.whl /linked-1.0-py3-none-any.whl /secret.txt
    /demo-1.0.tar.gz /foreign-1.0.tar.gz /..-1.0.tar.gz
    /../secret.txt /%2e%2e/secret.txt /.whb/records.sqlite /.whb/secret /simple/../.whb/secret /browse/../.whb/secret
    /simple/..%2f.whb%2fsecret /simple/%00/ //simple//demo// /simple/?format= /simple/?format=%ff&format=text/html
    * http://other/simple/ /% /%zz /;/ /? /# \ /simple/<script>/ /simple/%3Cscript%3E/""".split(),
    b"/simple/" + b"a" * 9000,
    b"/simple/\xff\xfe/",
)
VALUES: dict[bytes, tuple[bytes, ...]] = {
    b"Accept": (
        *(
            b"*/*",
            b"",
            b",",
            b";q=1",
            b"text/html;q=0",
            b"text/html;q=nan",
            b"text/html;q=1e999",
            b"a/b;q=-1",
            b"/",
            b"*",
        ),
        *(
            b"application/vnd.pypi.simple.v1+json",
            b"application/vnd.pypi.simple.latest+html;q=0.5",
            b"text/*;" * 900,
            b"\xff/\xff",
        ),
    ),
    b"Accept-Encoding": (b"gzip", b"zstd, gzip;q=0", b"identity;q=0", b"*;q=0", b"br", b"gzip;q=2", b",,,", b"\xff"),
    b"Range": (
        *(
            b"bytes=0-9",
            b"bytes=-5",
            b"bytes=9-0",
            b"bytes=0-",
            b"bytes=" + b"0-1," * 500,
            b"bytes=99999999999999999999-",
        ),
        *(b"lines=1-2", b"bytes", b"bytes=--1", b"bytes=a-b", b"bytes=0-0,-0", b"=", b"\xb2"),
    ),
    b"If-Range": (b'"x"', b"Thu, 01 Jan 1970 00:00:00 GMT", b"W/", b"\xff"),
    b"If-None-Match": (b"*", b'"x", W/"y"', b'"', b"W/*", b",", b'"\xff"', b'"a"' * 3000),
    b"If-Match": (b"*", b'"x"', b"\x01"),
    b"If-Modified-Since": (b"Thu, 32 Foo 9999 99:99:99 GMT", b"0", b"Thu, 01 Jan 1970 00:00:00 GMT", b"-1" * 50),
    b"Authorization": (
        *(
            b"Basic",
            b"Basic !!!",
            b"Basic OnB3",
            b"Basic " + b"QQ==" * 2000,
            b"Bearer",
            b"Bearer \xff",
            b"Bearer " + TOKEN,
        ),
        *(b"Digest x", b"Basic \xc3\xa9", b"basic Og==", b"Negotiate"),
    ),
    b"Content-Length": (b"0", b"5", b"-1", b"99999999999999999999", b"0x10", b"5, 5", b"+3", b""),
    b"Transfer-Encoding": (b"chunked", b"chunked, chunked", b"identity", b"xchunked", b"gzip, chunked"),
    b"Content-Type": (
        b"multipart/form-data; boundary=x",
        b"multipart/form-data",
        b"multipart/form-data; boundary=" + b"y" * 300,
    ),
    b"Host": (b"x", b"", b"a b", b"x:y", b"[::1", b"\xff"),
    b"Connection": (b"close", b"keep-alive", b"upgrade", b"close, upgrade"),
    b"Upgrade": (b"websocket", b"h2c"),
    b"Expect": (b"100-continue", b"200-ok"),
    b"X-Forwarded-For": (b"1.2.3.4", b"\xff", b"," * 100, b"unix:"),
    b"X-Forwarded-Proto": (b"https", b"javascript"),
    b"Origin": (b"null", b"http://evil.example"),
    b"Cookie": (b"a=" + b"b" * 40_000,),
}
_FRAMING = {b"Content-Length", b"Transfer-Encoding", b"Host", b"Cookie"}  # mostly the end of the connection
BODIES = (
    b"",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"--x\r\n\r\n--x--\r\n",
    b'--x\r\nContent-Disposition: form-data; name=":action"\r\n\r\nfile_upload\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="content"; filename="../a-1-py3-none-any.whl"\r\n\r\nPK\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="content"; filename="\r\n\r\n',
)


def make_house(folder: Path) -> Wheelhouse:
    """A wheelhouse with two projects, and beside them much that was never published."""
    house = house_with(folder / "wheelhouse", "demo", "other")
    add_stub(house)
    publish_all(house)
    (folder / "secret.txt").write_bytes(CANARY)
    (house.state / "secret").write_bytes(CANARY)
    make_wheel(house.root, name="foreign", files={"foreign.py": CANARY})
    (house.root / "foreign-1.0.tar.gz").write_bytes(CANARY)
    (house.root / "linked-1.0-py3-none-any.whl").symlink_to(folder / "secret.txt")
    tokens = folder / "tokens.toml"
    tokens.write_text(
        f'# {CANARY.decode()}\n[[token]]\nname = "fuzzer"\nsha256 = "{sha256_of_token(TOKEN.decode())}"\n'
        'scopes = ["read", "publish", "metrics"]\n'
    )
    tokens.chmod(0o600)
    return house


def make_request(rng: random.Random) -> bytes:
    """One request, honest, odd or damaged; sometimes several in a row."""
    request = b"".join(_one(rng) for _ in range(rng.choice((1, 1, 1, 2, 3))))
    if rng.random() < 0.25:
        request = _damaged(rng, request)
    return rng.randbytes(rng.randrange(200)) if rng.random() < 0.02 else request


def _one(rng: random.Random) -> bytes:
    lines = [
        b" ".join(
            (rng.choice(METHODS), rng.choice(PATHS), rng.choice((b"HTTP/1.1",) * 8 + (b"HTTP/1.0", b"HTTP/9", b"")))
        )
    ]
    names = rng.choices(list(VALUES), [0.1 if name in _FRAMING else 1 for name in VALUES], k=rng.randrange(5))
    if rng.random() < 0.95:
        lines.append(b"Host: x")
    if rng.random() < 0.5:
        lines.append(b"Authorization: Bearer " + TOKEN)
    if rng.random() < 0.03:
        lines.append(rng.choice((b"X\xff: 1", b"A B: 1", b": 1", b"no colon", b" folded: 1", b"X: \0")))
    lines += [name + b": " + rng.choice(VALUES[name]) for name in names]
    body = rng.choice(BODIES) if rng.random() < 0.3 else b""
    if body and rng.random() < 0.7:
        lines += [b"Content-Length: %d" % len(body), b"Content-Type: multipart/form-data; boundary=x"]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _damaged(rng: random.Random, request: bytes) -> bytes:
    damaged = bytearray(request)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(damaged) + 1)
        match rng.randrange(5):
            case 0:
                damaged[at : at + 1] = rng.randbytes(1)
            case 1:
                del damaged[at : at + rng.randrange(20)]
            case 2:
                damaged[at:at] = rng.choice((b"\r\n", b"\n", b"\0", b"\xff", b": ", b" ", b"%00", b"\r\n\r\n"))
            case 3:
                damaged[at:at] = damaged[max(0, at - 30) : at] * rng.randrange(1, 50)
            case _:
                del damaged[at:]
    return bytes(damaged)


@dataclass(kw_only=True)
class Fuzzer:
    """Sends what `make_request` makes, and keeps count."""

    port: int
    seed: int
    statuses: Counter[int] = field(default_factory=Counter)
    silent: int = 0  # no answer: the request never ended

    def run(self, go_on: Callable[[int], bool]) -> None:
        """Go on as long as `go_on`, which gets the number of requests sent; `AssertionError` tells the request."""
        number = 0
        while go_on(number):
            rng = random.Random(f"{self.seed}/{number}")
            request = make_request(rng)
            answer = exchange(self.port, request, half_close=rng.random() < 0.5)
            assert CANARY not in answer, (
                f"{self.seed}/{number}: {request!r} got what was not published: {answer[:300]!r}"
            )
            assert not answer or _STATUS.match(answer), f"{self.seed}/{number}: {request!r} got {answer[:300]!r}"
            found = [int(status) for status in _STATUS.findall(answer)]
            assert not BAD_STATUSES & set(found), f"{self.seed}/{number}: {request!r} got {answer[:300]!r}"
            self.statuses.update(found)
            self.silent += not answer
            number += 1
            if number % 50 == 0:
                honest(self.port)


def exchange(port: int, request: bytes, *, half_close: bool, seconds: float = 0.25) -> bytes:
    """All that comes back until the server closes or says nothing for a while."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock, contextlib.suppress(OSError):
        sock.sendall(request)
        sock.settimeout(seconds)
        if half_close:
            time.sleep(0.005)
            sock.shutdown(socket.SHUT_WR)
        while chunk := sock.recv(1 << 16):
            answer += chunk
    return answer


def honest(port: int) -> None:
    """An honest request is answered as ever."""
    request = (
        b"GET /simple/demo/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + TOKEN + b"\r\n\r\n"
    )
    answer = exchange(port, request, half_close=False, seconds=30)
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:300]
    assert b"demo-1.0-py3-none-any.whl" in answer
