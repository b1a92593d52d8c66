"""A wheelhouse behind the URL of its index, as `wheelhouse_builder.wrapper.stored` asks it.

With urllib, since the wrapper is a build requirement and shall bring no HTTP client along. urllib limits each single
wait for the network, and not at all the look-up of a host: requests run in a thread, left behind when time is up.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from wheelhouse_builder import __version__
from wheelhouse_builder.errors import DamagedError, DownloadError
from wheelhouse_builder.redact import redact
from wheelhouse_builder.sources.credentials import credentials_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from wheelhouse_builder.wrapper.offers import Offer

MAX_PAGE_BYTES = 32 << 20
MAX_WHEEL_BYTES = 4 << 30

_SECONDS = 15.0  # for a page, and for the first bytes of a wheel
_BYTES_PER_SECOND = 1 << 18  # a wheel that comes slower has not come
_UNKNOWN_BYTES = 64 << 20  # what a wheel may have whose size is not told
_CHUNK_BYTES = 1 << 16
_HINT = "see the setting wheelhouse, the network and its proxy"
_DENIED = "user name and password go into the URL or into ~/.netrc"
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1, */*;q=0.01"

T = TypeVar("T")


class Opener(Protocol):
    """What urllib's `OpenerDirector` does."""

    def open(self, fullurl: Request, /, *, timeout: float) -> Any:
        """The response; raises as urllib does."""


@dataclass(frozen=True, eq=False)
class Index:
    """The simple repository API at a URL; user name and password stand in the URL or in a netrc file."""

    url: str = field(repr=False)
    opener: Opener | None = field(default=None, repr=False)  # by default urllib's: with proxies and SSL_CERT_FILE
    seconds: float = _SECONDS
    credentials: Mapping[str, tuple[str, str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "credentials", credentials_for([self.url]))
        object.__setattr__(self, "opener", self.opener or build_opener(_Redirects(self)))

    def __str__(self) -> str:
        return redact(self.url)

    def page(self, name: str) -> tuple[bytes, str] | None:
        """The JSON page of a project, and its URL."""
        parts = urlsplit(self.url)
        path = f"{parts.path.rstrip('/')}/{name}/"
        url = SplitResult(parts.scheme, parts.netloc.rpartition("@")[2], path, "", "").geturl()
        return _within(self.seconds, url, lambda _: self._page(url))

    def copy(self, offer: Offer, path: Path) -> str:
        """Copy a wheel; returns its sha256."""
        size = _UNKNOWN_BYTES if offer.size is None else offer.size
        if size > MAX_WHEEL_BYTES:
            raise DamagedError(f"{redact(offer.url)} has {size} bytes, which is too much for a wheel")
        return _within(
            self.seconds + size / _BYTES_PER_SECOND, offer.url, lambda stopped: self._copy(offer, size, path, stopped)
        )

    def check_address(self, url: str) -> None:
        """Refuse what is neither HTTP nor HTTPS, and plain HTTP where the index has HTTPS. Raises `DownloadError`."""
        scheme = urlsplit(url).scheme
        if scheme not in {"http", "https"}:
            raise DownloadError(f"{self} leads to {redact(url)}: only https and http are fetched")
        if scheme == "http" and urlsplit(self.url).scheme == "https":
            raise DownloadError(f"{self} leads to {redact(url)}, which is not encrypted")

    def authorise(self, request: Request) -> None:
        """Give a request the credentials for its host, which do not go along when it is redirected."""
        host = urlsplit(request.full_url).hostname or ""
        if host in self.credentials:
            token = base64.b64encode(":".join(self.credentials[host]).encode()).decode("ascii")
            request.add_unredirected_header("Authorization", f"Basic {token}")

    def _page(self, url: str) -> tuple[bytes, str] | None:
        for address in (url, f"{url}index.v1_json"):  # a server of plain files does not read Accept
            response = self._open(address)
            if response is None:
                return None
            with response:
                if address != url or response.headers.get_content_type().endswith("json"):
                    return b"".join(_chunks(response, MAX_PAGE_BYTES)), response.url
        return None

    def _copy(self, offer: Offer, size: int, path: Path, stopped: threading.Event) -> str:
        response = self._open(offer.url)
        if response is None:
            raise DamagedError(f"{redact(offer.url)} is not there, and the index names it")
        digest = hashlib.sha256()
        with response, path.open("xb") as copy:
            for chunk in _chunks(response, size):
                if stopped.is_set():
                    break
                digest.update(chunk)
                copy.write(chunk)
        return digest.hexdigest()

    def _open(self, url: str) -> Any:
        """The response; None: 404. Raises `DownloadError`."""
        self.check_address(url)
        request = Request(url, headers={"Accept": _ACCEPT, "User-Agent": f"whb/{__version__}"})  # noqa: S310 - checked
        self.authorise(request)
        assert self.opener is not None
        with _network(url):
            try:
                return self.opener.open(request, timeout=self.seconds)
            except HTTPError as error:
                with error:
                    if error.code == HTTPStatus.NOT_FOUND:
                        return None
                hint = _DENIED if error.code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} else _HINT
                raise DownloadError(f"{redact(url)}: {error.code} {error.reason}", hint=hint) from None


class _Redirects(HTTPRedirectHandler):
    """To what the index may lead to."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        self._index.check_address(newurl)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            self._index.authorise(request)
        return request


@contextmanager
def _network(url: str) -> Iterator[None]:
    try:
        yield
    except URLError as error:
        raise DownloadError(f"{redact(url)}: {error.reason}", hint=_HINT) from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: no URL that can be asked
        raise DownloadError(f"{redact(url)}: {str(error) or type(error).__name__}", hint=_HINT) from None


def _chunks(response: Any, limit: int) -> Iterator[bytes]:
    """What comes, up to `limit` bytes. Raises `DownloadError` if it breaks off, `DamagedError` if more comes."""
    total = 0
    while True:
        with _network(response.url):
            chunk = response.read(_CHUNK_BYTES)
        if not chunk:
            break
        total += len(chunk)
        if total > limit:
            raise DamagedError(f"{redact(response.url)} has more than {limit} bytes")
        yield chunk
    if response.length:  # what the header promised and did not come
        raise DownloadError(f"{redact(response.url)} broke off after {total} bytes", hint=_HINT)


def _within(seconds: float, url: str, job: Callable[[threading.Event], T]) -> T:
    """What a job returns or raises, if that takes no more than `seconds`. Raises `DownloadError`."""
    results: list[T] = []
    errors: list[BaseException] = []
    stopped = threading.Event()

    def work() -> None:
        try:
            results.append(job(stopped))
        except BaseException as error:  # raised below
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        stopped.set()
        raise DownloadError(f"{redact(url)}: no answer within {seconds:.0f} s", hint=_HINT)
    if errors:
        raise errors[0]
    return results[0]
