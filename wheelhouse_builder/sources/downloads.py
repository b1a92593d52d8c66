"""Files fetched by digest: what has its final name in the cache is what the lock promises.

A download is written to a part file, goes on where an earlier one ended, and is renamed once its digest is right.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from wheelhouse_builder.errors import DownloadError
from wheelhouse_builder.events import Listener, Note, ignore
from wheelhouse_builder.files import CHUNK_BYTES, raise_disk_error, sha256_of
from wheelhouse_builder.locking import locked
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.redact import redact
from wheelhouse_builder.sources.part_file import PartFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx

    from wheelhouse_builder.artifact import RemoteFile

_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.5
_PATIENCE_SECONDS, _LEAST_BYTES = 60.0, 60 << 10  # as curl's --speed-time and --speed-limit: what drips is begun anew
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 527})  # pip's list, and what says "later"


class _TransientError(Exception):
    """Worth another attempt."""


@dataclass(frozen=True)
class Downloads:
    """Files by digest, in `<cache>/downloads/<sha256[:2]>/<sha256>/<filename>`; safe for many threads and processes.

    `credentials` is host → (user name, password), of `credentials_for`. `client` is for tests; by default one httpx
    client is made at the first download, which honours proxies and SSL_CERT_FILE.
    """

    cache: Path
    offline: bool = False
    canceller: Canceller = field(default_factory=Canceller)
    listener: Listener = ignore
    credentials: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    client: httpx.Client | None = None
    pause: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _made: list[httpx.Client] = field(default_factory=list, repr=False, compare=False)
    _making: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def path_of(self, file: RemoteFile) -> Path:
        """Where the file is, or will be. Raises `DownloadError` if its name is not that of a wheel or an sdist."""
        filename = _plain_filename(file)
        return self.cache / "downloads" / file.sha256[:2] / file.sha256 / filename

    def fetch(self, file: RemoteFile) -> Path:
        """The file's path in the cache, after fetching it if it is not there.

        Raises `DownloadError`, `JobError` (disk), `Cancelled`.
        """
        path = self.path_of(file)
        if _is_whole(path, file):
            return path
        url = urlsplit(file.url)
        if url.scheme not in {"https", "http", "file"}:
            raise DownloadError(f"cannot fetch {redact(file.url)}: only https, http and file URLs are known")
        if self.offline and url.scheme != "file":
            raise DownloadError(
                f"{file.filename} is not in the cache, and --offline forbids to fetch it",
                hint="run once without --offline",
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.with_name(f"{path.name}.lock"), self.canceller), PartFile(path) as part:
                if not _is_whole(path, file):  # another process may just have fetched it
                    self._fill(part, file, unquote(url.path) if url.scheme == "file" else None)
        except OSError as error:
            raise_disk_error(error, path)
        return path

    def close(self) -> None:
        """Close the connections."""
        for client in self._made:
            client.close()
        self._made.clear()

    def _fill(self, part: PartFile, file: RemoteFile, local: str | None) -> None:
        resumed = part.size > 0
        self._get(part, file, local)
        if resumed and part.digest() != file.sha256:  # the old part was to blame, or so we hope
            part.restart()
            self._get(part, file, local)
        got = part.digest()
        if got != file.sha256:
            part.restart()
            raise DownloadError(
                f"{redact(file.url)} is not what the lock promises: sha256 {got} instead of {file.sha256}",
                hint="the file was changed on the index or on the way; resolve again if the change is to be trusted",
                kind="hash-mismatch",
            )
        part.complete()

    def _get(self, part: PartFile, file: RemoteFile, local: str | None) -> None:
        if local is None:
            self._download(part, file)
            return
        if not Path(local).is_file():
            raise DownloadError(f"there is no file {local}", hint="the lock names it: resolve again")
        with Path(local).open("rb") as stream:
            part.restart()
            self._copy(iter(lambda: stream.read(CHUNK_BYTES), b""), part, file)

    def _download(self, part: PartFile, file: RemoteFile) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            self.canceller.check()
            try:
                return self._receive(part, file)
            except _TransientError as error:
                if attempt == _ATTEMPTS:
                    raise DownloadError(
                        f"cannot fetch {redact(file.url)}: {error} ({_ATTEMPTS} attempts)",
                        hint="check the network and the proxy settings; what was received is kept for the next attempt",
                        kind="network",
                    ) from None
                self.listener(Note(text=f"{file.filename}: {error}; trying again"))
                self.pause(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        return None

    def _receive(self, part: PartFile, file: RemoteFile) -> None:
        """One request, for what is still missing."""
        import httpx  # noqa: PLC0415 - heavy, and only needed here

        headers = {"Accept-Encoding": "identity"}
        if part.size and part.validator:
            headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
        else:
            part.restart()
        try:
            with self._client().stream("GET", file.url, headers=headers, auth=self._auth(file.url)) as response:
                if not _continues(response, part.size):
                    part.restart()
                _check_status(response, file)
                part.remember(response.headers.get("etag") or response.headers.get("last-modified") or "")
                self._copy(self._flowing(response.iter_raw()), part, file)  # as they come: what is received is kept
        except httpx.InvalidURL as error:
            raise DownloadError(f"cannot fetch {redact(file.url)}: {error}") from None
        except httpx.RequestError as error:
            raise _TransientError(redact(str(error)) or type(error).__name__) from None
        if file.size is not None and part.size < file.size:
            raise _TransientError(f"the connection ended after {part.size} of {file.size} bytes")

    def _flowing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same, as long as it is more than drops: a server that sends one now and then holds up no run."""
        since, came = self.clock(), 0
        for chunk in chunks:
            yield chunk
            came += len(chunk)
            if (now := self.clock()) - since >= _PATIENCE_SECONDS:
                if came < _LEAST_BYTES:
                    raise _TransientError(f"only {came} bytes came in {now - since:.0f} s")
                since, came = now, 0

    def _copy(self, chunks: Iterator[bytes], part: PartFile, file: RemoteFile) -> None:
        for chunk in chunks:
            self.canceller.check()
            part.write(chunk)
            if file.size is not None and part.size > file.size:
                part.restart()
                raise DownloadError(
                    f"{redact(file.url)} is larger than the {file.size} bytes that the lock promises",
                    kind="hash-mismatch",
                )

    def _auth(self, url: str) -> tuple[str, str] | None:
        """For the host of the URL, unless the URL holds its own. A redirect to another host does not get it."""
        parts = urlsplit(url)
        return None if parts.username else self.credentials.get(parts.hostname or "")

    def _client(self) -> httpx.Client:
        import httpx  # noqa: PLC0415 - heavy, and only needed here

        if self.client is not None:
            return self.client
        with self._making:
            if not self._made:
                self._made.append(httpx.Client(follow_redirects=True, timeout=httpx.Timeout(60, connect=20)))
            return self._made[0]


def _is_whole(path: Path, file: RemoteFile) -> bool:
    """Whether the cache has the file, undamaged: a disk may lose what was once checked."""
    try:
        return sha256_of(path) == file.sha256
    except FileNotFoundError:
        return False


def _plain_filename(file: RemoteFile) -> str:
    """The file name, once it is known to be the plain name of a wheel or an sdist and to hold no path."""
    name = file.filename
    try:
        if PurePosixPath(name).name != name or "\\" in name or not name.isprintable():
            raise InvalidSdistFilename(name)
        (parse_wheel_filename if name.endswith(".whl") else parse_sdist_filename)(name)
    except (InvalidSdistFilename, InvalidWheelFilename):
        raise DownloadError(f"{name!r} is not the name of a wheel or an sdist", hint=redact(file.url)) from None
    if len(file.sha256) != 64 or not set(file.sha256) <= set("0123456789abcdef"):
        raise DownloadError(f"{name} has no sha256 digest: {file.sha256!r}")
    return name


def _continues(response: httpx.Response, size: int) -> bool:
    """Whether the server sends what follows the part, or says nothing about it (errors that pass)."""
    if response.status_code == 206:
        return bool(response.headers.get("content-range", "").startswith(f"bytes {size}-"))
    return response.status_code in _TRANSIENT


def _check_status(response: httpx.Response, file: RemoteFile) -> None:
    status = response.status_code
    if status in _TRANSIENT or status == 416:  # 416: the part was longer than the file
        raise _TransientError(f"the server answered {status}")
    if status == 206 and not _continues(response, int(response.request.headers["range"][6:-1])):
        raise _TransientError("the server sent another part than was asked for")
    if status in {401, 403}:
        hint = "give user name and password for this host in ~/.netrc"
        raise DownloadError(f"{redact(file.url)}: the server answered {status}", hint=hint, kind="network")
    if status not in {200, 206}:
        hint = "resolve again: the index may have changed"
        raise DownloadError(f"{redact(file.url)}: the server answered {status}", hint=hint, kind="network")
