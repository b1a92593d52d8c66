from __future__ import annotations

import errno
import hashlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelhouse_builder.artifact import Sdist, Wheel
from wheelhouse_builder.errors import Cancelled, DownloadError, JobError, UsageError
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.sources.credentials import credentials_for
from wheelhouse_builder.sources.downloads import Downloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several chunks
DIGEST = hashlib.sha256(CONTENT).hexdigest()
URL = "https://user:secret@host/files/foo-1.0.tar.gz?token=secret"


def sdist(**changes: object) -> Sdist:
    fields: dict[str, object] = {
        "name": canonicalize_name("foo"),
        "version": Version("1.0"),
        "filename": "foo-1.0.tar.gz",
        "url": URL,
        "sha256": DIGEST,
        "size": len(CONTENT),
    }
    return Sdist(**(fields | changes))  # type: ignore[arg-type]  # a test helper


class Server:
    """Answers each request with the next of its answers, and keeps the requests."""

    def __init__(self, *answers: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answers.pop(0)(request)


class Body(httpx.SyncByteStream):
    """A body that comes in pieces and may end with a lost connection."""

    def __init__(self, content: bytes, *, lost: bool = False) -> None:
        self.content = content
        self.lost = lost

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self.content), 1 << 16):
            yield self.content[start : start + (1 << 16)]
        if self.lost:
            raise httpx.ReadError("connection lost")


def whole(request: httpx.Request, content: bytes = CONTENT) -> httpx.Response:
    return httpx.Response(200, stream=Body(content), headers={"ETag": '"1"'})


def broken(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=Body(CONTENT[:1000], lost=True), headers={"ETag": '"1"'})


def rest(request: httpx.Request) -> httpx.Response:
    start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    headers = {"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}", "ETag": '"1"'}
    return httpx.Response(206, stream=Body(CONTENT[start:]), headers=headers)


def status(code: int) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(code, stream=Body(b"no"))


def downloads(tmp_path: Path, server: Server, **options: object) -> Downloads:
    client = httpx.Client(transport=httpx.MockTransport(server), follow_redirects=True)
    return Downloads(tmp_path, client=client, pause=lambda seconds: None, **options)  # type: ignore[arg-type]


def test_a_download_lands_under_its_digest_and_is_not_fetched_again(tmp_path: Path) -> None:
    server = Server(whole)
    path = downloads(tmp_path, server).fetch(sdist())
    assert path == tmp_path / "downloads" / DIGEST[:2] / DIGEST / "foo-1.0.tar.gz"
    assert path.read_bytes() == CONTENT
    assert downloads(tmp_path, Server()).fetch(sdist()) == path
    assert not list(path.parent.glob("*.part"))
    assert server.requests[0].headers["Accept-Encoding"] == "identity"  # what is hashed is what is stored


def test_a_damaged_file_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    fetcher = downloads(tmp_path, Server(whole, whole))
    fetcher.fetch(sdist()).write_bytes(CONTENT[:-1])
    assert fetcher.fetch(sdist()).read_bytes() == CONTENT


def test_a_lost_connection_is_resumed_where_it_ended(tmp_path: Path) -> None:
    server = Server(broken, rest)
    assert downloads(tmp_path, server).fetch(sdist()).read_bytes() == CONTENT
    assert server.requests[1].headers["Range"] == "bytes=1000-"
    assert server.requests[1].headers["If-Range"] == '"1"'


def test_the_next_run_resumes_too(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="5 attempts"):
        downloads(tmp_path, Server(broken, *[status(503)] * 4)).fetch(sdist())
    server = Server(rest)
    assert downloads(tmp_path, server).fetch(sdist()).read_bytes() == CONTENT
    assert "Range" in server.requests[0].headers


@pytest.mark.parametrize("second", [whole, status(416)])
def test_a_server_that_does_not_resume_is_asked_for_all(
    tmp_path: Path, second: Callable[[httpx.Request], httpx.Response]
) -> None:
    assert downloads(tmp_path, Server(broken, second, whole)).fetch(sdist()).read_bytes() == CONTENT


def test_a_part_that_a_server_misplaces_is_not_used(tmp_path: Path) -> None:
    def misplaced(request: httpx.Request) -> httpx.Response:
        return httpx.Response(206, stream=Body(b"x"), headers={"Content-Range": "bytes 5-5/6"})

    assert downloads(tmp_path, Server(broken, misplaced, whole)).fetch(sdist()).read_bytes() == CONTENT


def test_a_wrong_part_of_an_earlier_run_does_no_harm(tmp_path: Path) -> None:
    fetcher = downloads(tmp_path, Server(rest, whole))
    path = fetcher.path_of(sdist())
    path.parent.mkdir(parents=True)
    path.with_name(f"{path.name}.part").write_bytes(b"other")
    path.with_name(f"{path.name}.etag").write_text('"1"')
    assert fetcher.fetch(sdist()).read_bytes() == CONTENT


def test_a_short_body_without_an_error_is_resumed(tmp_path: Path) -> None:
    def short(request: httpx.Request) -> httpx.Response:
        return whole(request, CONTENT[:-1])

    assert downloads(tmp_path, Server(short, rest)).fetch(sdist()).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT + b"!"])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_tampered_download_is_refused_and_not_kept(tmp_path: Path, content: bytes, size: int | None) -> None:
    fetcher = downloads(tmp_path, Server(lambda request: whole(request, content)))
    with pytest.raises(DownloadError) as error:
        fetcher.fetch(sdist(size=size))
    assert "https://***@host/files/foo-1.0.tar.gz" in error.value.message
    assert "secret" not in error.value.message
    assert DIGEST in error.value.message or "larger than" in error.value.message
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.parametrize("code", [401, 404, 204])
def test_an_answer_that_will_not_change_is_not_asked_for_again(tmp_path: Path, code: int) -> None:
    server = Server(status(code))
    with pytest.raises(DownloadError, match=str(code)) as error:
        downloads(tmp_path, server).fetch(sdist())
    assert error.value.hint
    assert len(server.requests) == 1


def test_attempts_end(tmp_path: Path) -> None:
    server = Server(*[status(503)] * 5)
    pauses: list[float] = []
    client = httpx.Client(transport=httpx.MockTransport(server))
    with pytest.raises(DownloadError, match=r"503 \(5 attempts\)"):
        Downloads(tmp_path, client=client, pause=pauses.append).fetch(sdist())
    assert pauses == [0.5, 1, 2, 4]


class Slow(httpx.SyncByteStream):
    """A body that comes in pieces of this size."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        return (CONTENT[start : start + self.size] for start in range(0, len(CONTENT), self.size))


@pytest.mark.parametrize(("size", "drips"), [(1, True), (1 << 16, False)])
def test_a_server_that_drips_is_asked_again_where_it_stopped(tmp_path: Path, size: int, *, drips: bool) -> None:
    """By a clock that is twenty seconds later at each look."""
    server = Server(lambda request: httpx.Response(200, stream=Slow(size), headers={"ETag": '"1"'}), rest)
    clock = itertools.count(0, 20)
    client = httpx.Client(transport=httpx.MockTransport(server))
    path = Downloads(tmp_path, client=client, pause=lambda _: None, clock=lambda: next(clock)).fetch(sdist())
    assert path.read_bytes() == CONTENT
    assert [request.headers.get("Range") for request in server.requests] == [None, *["bytes=3-"] * drips]


def test_offline_needs_the_cache(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="not in the cache"):
        downloads(tmp_path, Server(), offline=True).fetch(sdist())


def test_a_file_url_is_copied_and_checked(tmp_path: Path) -> None:
    original = tmp_path / "my index" / "foo-1.0.tar.gz"
    original.parent.mkdir()
    original.write_bytes(CONTENT)
    fetcher = downloads(tmp_path / "cache", Server(), offline=True)
    assert fetcher.fetch(sdist(url=original.as_uri())).read_bytes() == CONTENT
    with pytest.raises(DownloadError, match="there is no file"):
        fetcher.fetch(sdist(url="file:///nowhere/foo-1.0.tar.gz", sha256="0" * 64))


@pytest.mark.parametrize(
    "changes",
    [
        {"filename": "../foo-1.0.tar.gz"},
        {"filename": "/etc/foo-1.0.tar.gz"},
        {"filename": "foo-1.0.tar.gz\n"},
        {"filename": "foo.exe"},
        {"sha256": "../../x"},
        {"sha256": ""},
        {"url": "ftp://host/foo-1.0.tar.gz"},
    ],
)
def test_names_from_outside_do_not_become_paths(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(DownloadError):
        downloads(tmp_path, Server(whole)).fetch(sdist(**changes))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("wheelhouse_builder.sources.downloads.PartFile.write", full)
    with pytest.raises(JobError, match="no space left") as error:
        downloads(tmp_path, Server(whole)).fetch(sdist())
    assert "WHB_CACHE_DIR" in (error.value.hint or "")


def test_a_cancelled_run_downloads_nothing(tmp_path: Path) -> None:
    canceller = Canceller()
    canceller.cancel()
    with pytest.raises(Cancelled):
        downloads(tmp_path, Server(), canceller=canceller).fetch(sdist())


def test_credentials_go_to_their_host_only(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine host login me password x\nmachine other login you password y\n")
    credentials = credentials_for(["https://them:p%40ss@host/simple", "https://open/simple"], tmp_path / "netrc")
    assert credentials == {"host": ("them", "p@ss"), "other": ("you", "y")}

    def elsewhere(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": "https://third/x"})

    server = Server(elsewhere, whole)
    downloads(tmp_path, server, credentials=credentials).fetch(sdist(url="https://host/x"))
    assert "Authorization" in server.requests[0].headers
    assert "Authorization" not in server.requests[1].headers


def test_a_bad_netrc_is_named(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machin host")
    with pytest.raises(UsageError, match="netrc"):
        credentials_for([], tmp_path / "netrc")


@pytest.mark.parametrize("refusal", [RuntimeError("no home"), PermissionError(13, "Permission denied")])
def test_a_home_that_is_not_known_or_not_ours_has_no_netrc(refusal: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise refusal

    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setattr(Path, "home" if isinstance(refusal, RuntimeError) else "is_file", refuse)
    assert credentials_for(["https://me:pw@host/simple/"]) == {"host": ("me", "pw")}


def test_a_wheel_is_fetched_by_the_same_way(tmp_path: Path) -> None:
    wheel = Wheel(
        name=canonicalize_name("foo"),
        version=Version("1.0"),
        filename="foo-1.0-py3-none-any.whl",
        url=URL,
        sha256=DIGEST,
    )
    assert downloads(tmp_path, Server(whole)).fetch(wheel).name == wheel.filename
