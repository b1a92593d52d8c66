"""Access control: who asks (Basic or Bearer), and whether they may.

pip and uv send a password with each request, and a slow hash for each would hold up all others. So what a check found
is remembered for a while under a keyed hash of the password, checks run in two threads of their own, the same check is
done once however many wait for it, and beyond a number of waiting checks the answer is 503, which pip and uv try again.

Sources: RFC 9110 section 11, RFC 7617 (Basic), RFC 6750 (Bearer); pip has Basic only, with the token as password or as
user name.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from wheelhouse_builder.server.credentials import AccessScope, Credentials, Identity, open_to_others, read_credentials
from wheelhouse_builder.server.replies import note, path_of, send_text
from wheelhouse_builder.server.stamps import stamps_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

REALM = "wheelhouse"
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADER_BYTES = 4096  # of Authorization; the longest password that anybody types is shorter
_REMEMBERED_SECONDS = 300.0
_REFUSED_SECONDS = 5.0  # a wrong password is asked again and again by a client that has it in a file
_REMEMBERED = 4096
_THREADS = 2
_WAITING = 64
_RETRY = (b"retry-after", b"2")
_NO_STORE = (b"cache-control", b"no-store")
_CHALLENGE = (b"www-authenticate", f'Basic realm="{REALM}", charset="UTF-8"'.encode())


class TooBusyError(Exception):
    """More passwords wait to be checked than the server takes on."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What an Authorization header says; `user` is None for Bearer."""

    user: str | None
    secret: str

    @property
    def token(self) -> str:
        """What may be a token: the password, or the user name if there is no password."""
        return self.secret or self.user or ""


def parse_authorization(value: bytes) -> Claim | None:
    """The claim of an Authorization header; None if it is malformed, too long or of another scheme. Never raises."""
    scheme, _, rest = value.partition(b" ")
    rest = rest.strip(b" ")
    if len(value) > _HEADER_BYTES or not rest:
        return None
    if scheme.lower() == b"bearer":
        return Claim(user=None, secret=rest.decode("ascii")) if rest.isascii() else None
    if scheme.lower() != b"basic":
        return None
    try:
        decoded = base64.b64decode(rest, validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        text = decoded.decode()
    except UnicodeDecodeError:
        text = decoded.decode("latin-1")  # as requests, and so pip, encodes what is not ASCII
    user, colon, password = text.partition(":")
    return Claim(user=user, secret=password) if colon else None


class Access:
    """The credentials in force; while a new file is broken, those before."""

    def __init__(
        self, *, htpasswd: Path | None = None, tokens: Path | None = None, anonymous_read: bool = False
    ) -> None:
        """Read the files. Raises `UsageError`."""
        self.protects = bool(htpasswd or tokens)  # whether there is anybody to know
        self.anonymous_read = anonymous_read or not self.protects
        self._htpasswd, self._tokens = htpasswd, tokens
        self._files = [path for path in (htpasswd, tokens) if path is not None]
        self._key = os.urandom(32)
        self._found: dict[bytes, tuple[Identity | None, float]] = {}  # what a check found, and until when that is so
        self._checks: dict[bytes, asyncio.Future[Identity | None]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "password")
        self._stamp = stamps_of(self._files)
        self._credentials = read_credentials(htpasswd, tokens)

    @property
    def warnings(self) -> list[str]:
        """What is careless about the files."""
        return [warning for path in self._files if (warning := open_to_others(path))]

    def refresh(self, *, force: bool = False) -> bool:
        """Read the files again if they changed; whether they were read. Raises `UsageError`, once for each change."""
        stamp = stamps_of(self._files)
        if stamp == self._stamp and not force:
            return False
        self._stamp = stamp
        self._credentials = read_credentials(self._htpasswd, self._tokens)
        self._found.clear()
        return True

    async def identify(self, value: bytes) -> Identity | None:
        """Who sends this Authorization header; None if nobody whom we know. Raises `TooBusyError`."""
        claim = parse_authorization(value)
        if claim is None:
            return None
        found = self._credentials.token(claim.token)
        if found is None and claim.user and claim.secret:
            found = await self._check(claim.user, claim.secret)
        return None if found is None or found.has_expired(datetime.now(UTC)) else found

    async def _check(self, user: str, password: str) -> Identity | None:
        credentials = self._credentials
        if not credentials.hashes:
            return None
        key = hashlib.blake2b(f"{user}\0{password}".encode(errors="surrogatepass"), key=self._key).digest()
        known = self._found.get(key)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        if key not in self._checks:
            if len(self._checks) >= _WAITING:
                raise TooBusyError
            loop = asyncio.get_running_loop()
            check = loop.run_in_executor(self._threads, credentials.user, user, password)
            self._checks[key] = check
            check.add_done_callback(lambda done: self._remember(key, done, credentials))
        return await asyncio.shield(self._checks[key])

    def _remember(self, key: bytes, done: asyncio.Future[Identity | None], credentials: Credentials) -> None:
        del self._checks[key]
        if done.cancelled() or done.exception() or credentials is not self._credentials:
            return
        identity = done.result()
        if len(self._found) >= _REMEMBERED:
            self._found.pop(next(iter(self._found)))
        seconds = _REFUSED_SECONDS if identity is None else _REMEMBERED_SECONDS
        self._found[key] = (identity, time.monotonic() + seconds)


class Guard:
    """Lets through to `app` who may: an ASGI application.

    `/healthz` and `/readyz` are open to all, `/metrics` needs the scope `metrics`, what changes something `publish`,
    all else `read`. Without users and tokens, or with `anonymous_read`, reading is open; publishing never is.
    """

    def __init__(self, app: ASGIApp, access: Access, *, upload: bool = False) -> None:
        """`upload`: whether `app` takes uploads; if not, it answers 405 itself."""
        self._app, self._access, self._upload = app, access, upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or (needed := self._needed(scope)) is None:
            return await self._app(scope, receive, send)
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        try:
            identity = await self._access.identify(values[0]) if len(values) == 1 else None
        except TooBusyError:
            return await send_text(scope, send, 503, "too many passwords to check at once", (_RETRY, _NO_STORE))
        if identity is None:
            return await send_text(scope, send, 401, _unknown(values, needed), (_CHALLENGE, _NO_STORE))
        note(scope, user=identity.name)
        if needed not in identity.scopes:
            return await send_text(scope, send, 403, f"{identity.name} has no scope {needed}", (_NO_STORE,))
        return await self._app(scope, receive, send)

    def _needed(self, scope: Scope) -> AccessScope | None:
        path = path_of(scope)
        if self._upload and scope["method"] not in _READING:
            return AccessScope.PUBLISH
        if path in OPEN_PATHS:
            return None
        if path == "/metrics":
            return AccessScope.METRICS if self._access.protects else None
        return None if self._access.anonymous_read else AccessScope.READ


def _unknown(values: Iterable[bytes], needed: AccessScope) -> str:
    reason = "these credentials are not known, or no longer" if values else "credentials are needed"
    return f"{reason} (scope {needed})"
