"""An index over HTTP, asked politely: one connection at a time, with limits of time and size.

Redirects are followed by hand, so that credentials never leave the origin of the index.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx

import wheelhouse_builder
from wheelhouse_builder.conformance.model import HTML_TYPE, JSON_TYPE, TEXT_TYPE, Exchange, Format
from wheelhouse_builder.conformance.pages import MAX_PAGE_BYTES
from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.redact import redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from wheelhouse_builder.process import Canceller

_ACCEPT = {Format.JSON: JSON_TYPE, Format.HTML: f"{HTML_TYPE}, {TEXT_TYPE};q=0.5"}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LOST_CONNECTION = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_MAX_HOPS = 5
_MAX_FILE_BYTES = 1 << 30
_TIMEOUT = httpx.Timeout(30, connect=10)
_DEADLINE_SECONDS = 600.0  # for one answer: who sends a byte now and then is not waited for


class HttpSource:
    """The index at `url`; `credentials` (user name, password) go to its origin only. Close it after use."""

    def __init__(
        self,
        url: str,
        *,
        credentials: tuple[str, str] | None = None,
        canceller: Canceller,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
        self.base = urlunsplit((parts.scheme, host, path, "", ""))
        self._credentials = credentials
        self._canceller = canceller
        self._client = httpx.Client(timeout=_TIMEOUT, transport=transport)
        self._client.headers["User-Agent"] = f"whb/{wheelhouse_builder.__version__} (check)"
        for name in ("Accept", "Accept-Encoding"):  # what a server does without them is one of the questions
            del self._client.headers[name]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def page(self, name: str, form: Format) -> Exchange:
        """The page, as a client asks for it that knows one form."""
        headers = {"Accept": _ACCEPT[form], "Accept-Encoding": "gzip"}
        return self.fetch(self.base + (f"{name}/" if name else ""), headers)

    def fetch(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        follow: bool = True,
        sink: IO[bytes] | None = None,
    ) -> Exchange:
        """One question; redirects are followed if `follow`."""
        final = url
        for _ in range(_MAX_HOPS + 1):
            exchange = self._ask(url, final, headers, method, sink, again=True)
            location = exchange.headers.get("location")
            if not follow or exchange.status not in _REDIRECTS or location is None:
                return exchange
            final = urljoin(final, location)
        return Exchange(url=redact(url), method=method, asked=headers, error=f"more than {_MAX_HOPS} redirects")

    def _ask(
        self, asked: str, url: str, headers: Mapping[str, str], method: str, sink: IO[bytes] | None, *, again: bool
    ) -> Exchange:
        """One request; `again`: once more if the connection is lost, as a kept one may be (RFC 9112, 9.3.1)."""
        self._canceller.check()
        try:
            auth = self._credentials if _origin(url) == _origin(self.base) else None
            with self._client.stream(method, url, headers=dict(headers), auth=auth) as response:
                body, size, error = self._receive(response, sink)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, UnicodeError) as problem:
            if again and isinstance(problem, _LOST_CONNECTION):
                if sink is not None:
                    sink.seek(0)
                    sink.truncate()
                return self._ask(asked, url, headers, method, sink, again=False)
            error = redact(f"{type(problem).__name__}: {problem}".removesuffix(": "))
            return Exchange(url=redact(asked), method=method, asked=headers, error=error)
        return Exchange(
            url=redact(asked),
            method=method,
            asked=headers,
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
            size=size,
            final_url=url,
            error=error,
        )

    def _receive(self, response: httpx.Response, sink: IO[bytes] | None) -> tuple[bytes, int, str]:
        """The body as it is sent, how many bytes came, and what went wrong."""
        limit = MAX_PAGE_BYTES if sink is None else _MAX_FILE_BYTES
        kept, size, end = bytearray(), 0, time.monotonic() + _DEADLINE_SECONDS
        for chunk in response.iter_raw():
            self._canceller.check()
            size += len(chunk)
            if size > limit:
                return bytes(kept), size, f"more than {limit} bytes"
            if time.monotonic() > end:
                return bytes(kept), size, f"no end after {_DEADLINE_SECONDS:.0f} s"
            if sink is None:
                kept += chunk
            else:
                sink.write(chunk)
        return bytes(kept), size, ""


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def require_url(url: str) -> None:
    """Raise `UsageError` for what is no http or https URL."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise UsageError(
            f"{redact(url)} is no URL of an index", hint="https://HOST/simple/, http://…, file://… or a folder"
        )
