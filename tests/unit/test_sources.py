from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelhouse_builder import sources
from wheelhouse_builder.artifact import Sdist, Wheel
from wheelhouse_builder.errors import Cancelled, DownloadError, JobError, UsageError
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.sources import (
    EARLIEST_EPOCH,
    Downloads,
    copy_tree,
    credentials_for,
    source_date_epoch,
    source_tree_digest,
    unpack_sdist,
)

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

    monkeypatch.setattr("wheelhouse_builder.sources._PartFile.write", full)
    with pytest.raises(JobError, match="no space left") as error:
        downloads(tmp_path, Server(whole)).fetch(sdist())
    assert "WHB_CACHE_DIR" in (error.value.hint or "")


def test_a_cancelled_run_downloads_nothing(tmp_path: Path) -> None:
    canceller = Canceller()
    canceller.cancel()
    with pytest.raises(Cancelled):
        downloads(tmp_path, Server(), canceller=canceller).fetch(sdist())


def test_many_are_fetched_once_each(tmp_path: Path) -> None:
    contents = [bytes([number]) * 10 for number in range(4)]
    files = [
        sdist(url=f"https://host/{number}", sha256=hashlib.sha256(content).hexdigest(), size=10)
        for number, content in enumerate(contents)
    ]
    server = Server(*[lambda request: whole(request, contents[int(request.url.path[1:])])] * 4)
    found = downloads(tmp_path, server).fetch_all([*files, *files], jobs=2)
    assert {sha256: path.read_bytes() for sha256, path in found.items()} == {
        file.sha256: content for file, content in zip(files, contents, strict=True)
    }


def test_one_failure_ends_fetch_all(tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        downloads(tmp_path, Server(status(404))).fetch_all([sdist()])


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


# Archives


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


COMPRESS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    path.write_bytes(COMPRESS[path.suffix](plain.getvalue()))
    return path


def zipped(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in members:
            archive.writestr(info, content)
    return path


FOLDER = member("foo-1.0", type=tarfile.DIRTYPE, mode=0o700)
SETUP = member("foo-1.0/setup.py", b"print()", mode=0o640, mtime=1_700_000_000)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_tar_is_unpacked_with_plain_modes_and_its_times(tmp_path: Path, suffix: str) -> None:
    program = member("foo-1.0/sub/configure", b"#!", mode=0o4775, mtime=1_700_000_001)
    archive = tar(tmp_path / f"foo-1.0.tar.{suffix}", FOLDER, SETUP, program)
    top = unpack_sdist(archive, tmp_path / "out")
    assert top == tmp_path / "out" / "foo-1.0"
    assert (top / "setup.py").read_bytes() == b"print()"
    assert stat.S_IMODE((top / "setup.py").stat().st_mode) == 0o644
    assert stat.S_IMODE((top / "sub" / "configure").stat().st_mode) == 0o755
    assert (top / "setup.py").stat().st_mtime == 1_700_000_000
    assert source_date_epoch(archive) == 1_700_000_001


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("foo-1.0/configure", (2024, 1, 2, 3, 4, 6))
    info.external_attr = 0o100755 << 16
    archive = zipped(tmp_path / "foo-1.0.zip", ("foo-1.0/", b""), (info, b"#!"))
    top = unpack_sdist(archive, tmp_path / "out")
    assert stat.S_IMODE((top / "configure").stat().st_mode) == 0o755
    assert (top / "configure").stat().st_mtime == 1_704_164_646  # 2024-01-02 03:04:06 UTC
    assert source_date_epoch(archive) >= 1_704_164_646


def test_the_last_of_two_members_of_one_name_is_kept(tmp_path: Path) -> None:
    archive = tar(tmp_path / "foo-1.0.tar.gz", member("foo-1.0/a", b"1"), member("foo-1.0/a", b"2"))
    assert (unpack_sdist(archive, tmp_path / "out") / "a").read_bytes() == b"2"


def test_links_inside_are_kept(tmp_path: Path) -> None:
    archive = tar(
        tmp_path / "foo-1.0.tar.gz",
        member("foo-1.0/sub/soft", type=tarfile.SYMTYPE, linkname="../setup.py"),
        member("foo-1.0/hard", type=tarfile.LNKTYPE, linkname="foo-1.0/setup.py"),
        SETUP,
    )
    top = unpack_sdist(archive, tmp_path / "out")
    assert (top / "sub" / "soft").readlink() == Path("../setup.py")
    assert (top / "hard").read_bytes() == (top / "sub" / "soft").read_bytes() == b"print()"


def soft(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, linkname=target)


BAD_TARS = {
    "path traversal": ("outside", [SETUP, member("foo-1.0/../../evil", b"x")]),
    "absolute path": ("outside", [SETUP, member("/tmp/evil", b"x")]),
    "link outside": ("outside", [SETUP, soft("foo-1.0/a", "../../evil")]),
    "link to the other side of the top": ("outside", [SETUP, soft("foo-1.0/a", "../bar")]),
    "absolute link": ("outside", [SETUP, soft("foo-1.0/a", "/etc/passwd")]),
    "link that climbs out of a link": ("outside", [SETUP, soft("foo-1.0/d", "."), soft("foo-1.0/a", "d/../..")]),
    "hard link outside": ("outside", [SETUP, member("foo-1.0/a", type=tarfile.LNKTYPE, linkname="../evil")]),
    "hard link to nothing": (
        "no file of the archive",
        [SETUP, member("foo-1.0/a", type=tarfile.LNKTYPE, linkname="foo-1.0/b")],
    ),
    "hard link to a link": (
        "no file of the archive",
        [SETUP, soft("foo-1.0/b", "setup.py"), member("foo-1.0/a", type=tarfile.LNKTYPE, linkname="foo-1.0/b")],
    ),
    "file below a link": ("directory should be", [SETUP, soft("foo-1.0/a", "."), member("foo-1.0/a/b", b"x")]),
    "file below a file": ("below a file", [SETUP, member("foo-1.0/setup.py/b", b"x")]),
    "file over a directory": ("directory should be", [FOLDER, SETUP, member("foo-1.0/a/b", b""), member("foo-1.0/a")]),
    "link at the top": ("directory should be", [soft("foo-1.0", ".")]),
    "device": ("neither a file", [SETUP, member("foo-1.0/null", type=tarfile.CHRTYPE)]),
    "pipe": ("neither a file", [SETUP, member("foo-1.0/pipe", type=tarfile.FIFOTYPE)]),
    "two tops": ("2 entries at its top", [SETUP, member("bar-1.0/setup.py", b"x")]),
    "file at the top": ("directory should be", [SETUP, member("evil.py", b"x")]),
    "nothing": ("0 entries at its top", []),
}


@pytest.mark.parametrize("defect", BAD_TARS)
def test_a_bad_tar_is_refused(tmp_path: Path, defect: str) -> None:
    problem, members = BAD_TARS[defect]
    archive = tar(tmp_path / "foo-1.0.tar.gz", *members)
    with pytest.raises(JobError, match=problem) as error:
        unpack_sdist(archive, tmp_path / "a" / "out")
    assert error.value.message.startswith("foo-1.0.tar.gz is refused: ")
    assert {path.name for path in tmp_path.iterdir()} <= {"foo-1.0.tar.gz", "a"}
    assert {path.name for path in tmp_path.glob("a/*")} <= {"out"}


def link_info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


BAD_ZIPS: dict[str, tuple[str, list[tuple[zipfile.ZipInfo | str, bytes]]]] = {
    "path traversal": ("outside", [("foo-1.0/../../evil", b"x")]),
    "absolute path": ("outside", [("/evil", b"x")]),
    "link": ("neither a file", [(link_info("foo-1.0/a"), b"/etc/passwd")]),
    "two tops": ("2 entries", [("foo-1.0/a", b"x"), ("bar/a", b"x")]),
}


@pytest.mark.parametrize("defect", BAD_ZIPS)
def test_a_bad_zip_is_refused(tmp_path: Path, defect: str) -> None:
    problem, members = BAD_ZIPS[defect]
    with pytest.raises(JobError, match=problem):
        unpack_sdist(zipped(tmp_path / "foo-1.0.zip", *members), tmp_path / "a" / "out")
    assert not (tmp_path / "evil").exists()


def test_a_zip_bomb_is_stopped_while_it_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "RATIO_FREE_BYTES", 1000)
    zeros = bytes(10_000_000)
    for archive in (
        tar(tmp_path / "foo-1.0.tar.gz", member("foo-1.0/zeros", zeros)),
        zipped(tmp_path / "foo-1.0.zip", ("foo-1.0/zeros", zeros)),
    ):
        with pytest.raises(JobError, match="zip bomb"):
            unpack_sdist(archive, tmp_path / archive.suffix)
        assert (tmp_path / archive.suffix / "foo-1.0" / "zeros").stat().st_size < len(zeros)


def test_size_and_number_of_members_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tar(tmp_path / "foo-1.0.tar.gz", FOLDER, SETUP, member("foo-1.0/a", b"12345"))
    monkeypatch.setattr(sources, "MAX_UNPACKED_BYTES", 11)
    with pytest.raises(JobError, match="unpacks to more than"):
        unpack_sdist(archive, tmp_path / "1")
    monkeypatch.setattr(sources, "MAX_MEMBERS", 2)
    with pytest.raises(JobError, match="more than 2 members"):
        unpack_sdist(archive, tmp_path / "2")


@pytest.mark.parametrize("name", ["foo-1.0.tar.gz", "foo-1.0.zip"])
@pytest.mark.parametrize("keep", [0, 20, -20])
def test_a_truncated_archive_is_damaged(tmp_path: Path, name: str, keep: int) -> None:
    content = os.urandom(100_000)
    path = tmp_path / name
    archive = tar(path, member("foo-1.0/a", content)) if name.endswith("gz") else zipped(path, ("foo-1.0/a", content))
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(JobError, match="damaged archive"):
        unpack_sdist(archive, tmp_path / "out")


def test_flipped_bits_in_a_zip_are_seen(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "foo-1.0.zip", ("foo-1.0/a", os.urandom(1000)))
    content = bytearray(archive.read_bytes())
    content[500] ^= 1
    archive.write_bytes(content)
    with pytest.raises(JobError, match="damaged archive"):
        unpack_sdist(archive, tmp_path / "out")


def test_no_epoch_is_before_1980(tmp_path: Path) -> None:
    assert source_date_epoch(tar(tmp_path / "foo-1.0.tar.gz", member("foo-1.0/a", mtime=0))) == EARLIEST_EPOCH


# Source trees


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("pyproject.toml", "src/foo/__init__.py", "src/foo/build/__init__.py", "configure"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "configure").chmod(0o755)
    (root / "link").symlink_to("src")
    return root


LEFT_BEHIND = [
    ".git/HEAD",
    "build/lib/x.py",
    "dist/foo-1.0.tar.gz",
    "src/foo/__pycache__/x.pyc",
    "src/foo.egg-info/PKG-INFO",
    "PKG-INFO",
    ".venv/bin/python",
]


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_what_builds_leave_behind_is_no_source(tree: Path, name: str) -> None:
    before = source_tree_digest(tree)
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text("x")
    assert source_tree_digest(tree) == before


def test_names_contents_modes_and_links_are_told_apart(tree: Path) -> None:
    seen = {source_tree_digest(tree)}
    changes: list[Callable[[], object]] = [
        lambda: (tree / "pyproject.toml").write_text("other"),
        lambda: (tree / "configure").chmod(0o644),
        lambda: (tree / "configure").rename(tree / "configure2"),
        (tree / "link").unlink,
        lambda: (tree / "link").symlink_to("configure2"),
        lambda: (tree / "src" / "foo" / "build" / "__init__.py").write_text("other"),
    ]
    for change in changes:
        change()
        digest = source_tree_digest(tree)
        assert digest not in seen
        seen.add(digest)
    (tree / "configure2").touch()  # times do not matter
    assert source_tree_digest(tree) in seen


def test_a_copy_has_what_the_digest_is_over(tree: Path, tmp_path: Path) -> None:
    (tree / ".git").mkdir()
    (tree / ".git" / "HEAD").write_text("x")
    os.mkfifo(tree / "pipe")
    copy_tree(tree, tmp_path / "copy")
    assert not (tmp_path / "copy" / ".git").exists()
    assert not (tmp_path / "copy" / "pipe").exists()
    assert (tmp_path / "copy" / "link").readlink() == Path("src")
    assert source_tree_digest(tmp_path / "copy") == source_tree_digest(tree)


def test_a_wheel_is_fetched_by_the_same_way(tmp_path: Path) -> None:
    wheel = Wheel(
        name=canonicalize_name("foo"),
        version=Version("1.0"),
        filename="foo-1.0-py3-none-any.whl",
        url=URL,
        sha256=DIGEST,
    )
    assert downloads(tmp_path, Server(whole)).fetch(wheel).name == wheel.filename
