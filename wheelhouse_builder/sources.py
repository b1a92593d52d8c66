"""Sources: files fetched by digest, archives unpacked with limits, source trees told by their content.

Whatever comes from outside is checked before it has its final name: a download against the digest in the lock, an
archive member against where it would land. Nothing is held in memory whole.
"""

from __future__ import annotations

import calendar
import errno
import hashlib
import lzma
import netrc
import os
import shutil
import stat
import tarfile
import threading
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, NoReturn, Self
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from wheelhouse_builder.errors import DownloadError, JobError, UsageError
from wheelhouse_builder.events import Listener, Note, ignore
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import httpx

    from wheelhouse_builder.artifact import RemoteFile

_CHUNK = 1 << 20
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.5
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 527})  # pip's list, and what says "later"

# Limits for archives: the largest sdists in use have some 40 000 members and 1 GB.
MAX_MEMBERS = 200_000
MAX_UNPACKED_BYTES = 8 << 30
MAX_RATIO = 200  # unpacked : packed; gzip cannot reach it with text, only with a bomb
RATIO_FREE_BYTES = 64 << 20  # small archives of zeros hurt nobody

EARLIEST_EPOCH = 315_532_800  # 1980-01-01 UTC: zip knows no earlier time

# What version control, builds and tools leave in a source tree. Packages may be called `build` and `dist`, but not at
# the top.
# fmt: off
_LEFT_BEHIND = frozenset({
    ".git", ".hg", ".svn", ".bzr", "__pycache__", ".venv", ".tox", ".nox",
    ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis",
})
# fmt: on
_LEFT_BEHIND_AT_TOP = frozenset({"build", "dist", "venv", "PKG-INFO"})


# Downloads


class _TransientError(Exception):
    """Worth another attempt."""


@dataclass(frozen=True)
class Downloads:
    """Files by digest, in `<cache>/downloads/<sha256[:2]>/<sha256>/<filename>`; safe for many threads and processes.

    `credentials` is host → (user name, password), see `credentials_for`. `client` is for tests; by default one httpx
    client is made at the first download, which honours proxies and SSL_CERT_FILE.
    """

    cache: Path
    offline: bool = False
    canceller: Canceller = field(default_factory=Canceller)
    listener: Listener = ignore
    credentials: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    client: httpx.Client | None = None
    pause: Callable[[float], object] = time.sleep
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
            with _PartFile(path) as part:
                if not _is_whole(path, file):  # another process may just have fetched it
                    self._fill(part, file, unquote(url.path) if url.scheme == "file" else None)
        except OSError as error:
            _raise_disk_error(error, path)
        return path

    def fetch_all(self, files: Iterable[RemoteFile], jobs: int = 8) -> dict[str, Path]:
        """Fetch many at a time; sha256 → path. The first error ends it; what is complete by then stays in the cache."""
        wanted = {file.sha256: file for file in files}
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            futures = {sha256: pool.submit(self.fetch, file) for sha256, file in wanted.items()}
            try:
                return {sha256: future.result() for sha256, future in futures.items()}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def close(self) -> None:
        """Close the connections."""
        for client in self._made:
            client.close()
        self._made.clear()

    def _fill(self, part: _PartFile, file: RemoteFile, local: str | None) -> None:
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
            )
        part.complete()

    def _get(self, part: _PartFile, file: RemoteFile, local: str | None) -> None:
        if local is None:
            self._download(part, file)
            return
        if not Path(local).is_file():
            raise DownloadError(f"there is no file {local}", hint="the lock names it: resolve again")
        with Path(local).open("rb") as stream:
            part.restart()
            self._copy(iter(lambda: stream.read(_CHUNK), b""), part, file)

    def _download(self, part: _PartFile, file: RemoteFile) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            self.canceller.check()
            try:
                return self._receive(part, file)
            except _TransientError as error:
                if attempt == _ATTEMPTS:
                    raise DownloadError(
                        f"cannot fetch {redact(file.url)}: {error} ({_ATTEMPTS} attempts)",
                        hint="check the network and the proxy settings; what was received is kept for the next attempt",
                    ) from None
                self.listener(Note(text=f"{file.filename}: {error}; trying again"))
                self.pause(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        return None

    def _receive(self, part: _PartFile, file: RemoteFile) -> None:
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
                self._copy(response.iter_raw(), part, file)  # as they come: what is received is kept
        except httpx.InvalidURL as error:
            raise DownloadError(f"cannot fetch {redact(file.url)}: {error}") from None
        except httpx.RequestError as error:
            raise _TransientError(redact(str(error)) or type(error).__name__) from None
        if file.size is not None and part.size < file.size:
            raise _TransientError(f"the connection ended after {part.size} of {file.size} bytes")

    def _copy(self, chunks: Iterator[bytes], part: _PartFile, file: RemoteFile) -> None:
        for chunk in chunks:
            self.canceller.check()
            part.write(chunk)
            if file.size is not None and part.size > file.size:
                part.restart()
                raise DownloadError(f"{redact(file.url)} is larger than the {file.size} bytes that the lock promises")

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


def credentials_for(index_urls: Iterable[str], netrc_file: Path | None = None) -> dict[str, tuple[str, str]]:
    """Host → (user name, password) from a netrc file ($NETRC, else ~/.netrc), and over it from the URLs of indexes.

    uv leaves passwords of indexes out of the lock, so the files that it names need them from here. Raises `UsageError`
    for a netrc file that cannot be read.
    """
    path = netrc_file or Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    found = {}
    if path.is_file():
        try:
            found = {host: (login, password) for host, (login, _, password) in netrc.netrc(path).hosts.items()}
        except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {path}: {error}") from None
    for parts in map(urlsplit, index_urls):
        if parts.hostname and parts.username:
            found[parts.hostname] = (unquote(parts.username), unquote(parts.password or ""))
    return found


class _PartFile:
    """`<final>.part`, locked against other processes, and beside it the ETag that a resumed request needs."""

    def __init__(self, final: Path) -> None:
        self._final = final
        self._part = final.with_name(f"{final.name}.part")
        self._note = final.with_name(f"{final.name}.etag")

    def __enter__(self) -> Self:
        from filelock import FileLock  # noqa: PLC0415 - only where something is fetched

        self._lock = FileLock(self._final.with_name(f"{self._final.name}.lock"))
        self._lock.acquire()
        self._stream: IO[bytes] = self._part.open("ab")
        self.size = self._stream.tell()
        self.validator = self._note.read_text(encoding="utf-8") if self._note.exists() else ""
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        if not self.size:
            self._part.unlink(missing_ok=True)
        self._lock.release()

    def restart(self) -> None:
        """Throw away what is there."""
        self._stream.truncate(0)
        self._note.unlink(missing_ok=True)
        self.size, self.validator = 0, ""

    def remember(self, validator: str) -> None:
        """Keep what tells the server which content the part is of. Weak ETags do not (RFC 9110, 13.1.5)."""
        self.validator = "" if validator.startswith("W/") else validator
        self._note.write_text(self.validator, encoding="utf-8")

    def write(self, chunk: bytes) -> None:
        self._stream.write(chunk)
        self.size += len(chunk)

    def digest(self) -> str:
        """sha256 of the whole part, read back from the disk: what has the final name is what was checked."""
        self._stream.flush()
        with self._part.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def complete(self) -> None:
        """Give the part its final name, for good."""
        os.fsync(self._stream.fileno())
        self._part.chmod(0o644)
        self._part.replace(self._final)
        self.size = 0
        self._note.unlink(missing_ok=True)


def _is_whole(path: Path, file: RemoteFile) -> bool:
    """Whether the cache has the file, undamaged: a disk may lose what was once checked."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
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
        raise DownloadError(f"{redact(file.url)}: the server answered {status}", hint=hint)
    if status not in {200, 206}:
        hint = "resolve again: the index may have changed"
        raise DownloadError(f"{redact(file.url)}: the server answered {status}", hint=hint)


def _raise_disk_error(error: OSError, path: Path) -> NoReturn:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        raise JobError(
            f"no space left on the disk for {path}", hint="`whb gc` frees some; WHB_CACHE_DIR chooses another disk"
        ) from error
    raise JobError(f"cannot write {path}: {error.strerror or error}") from error


# Archives


def unpack_sdist(archive: Path, destination: Path) -> Path:
    """Unpack a .tar.gz or .zip (also .tar.bz2, .tar.xz) into an empty directory, and return its one top directory.

    Modes become 644 or 755; times are kept, since `make` goes by them. Raises `JobError` naming archive and member for
    whatever would land outside, is no file, directory or link, or breaks a limit.
    """
    unpacker = _Unpacker(archive, destination)
    try:
        (_feed_zip if archive.name.endswith(".zip") else _feed_tar)(archive, unpacker)
        return unpacker.finish()
    except _BAD_DATA as error:
        raise _damaged(archive, f"damaged archive: {error}") from None
    except OSError as error:
        if error.errno is None:  # how gzip and bz2 report bad data
            raise _damaged(archive, f"damaged archive: {error}") from None
        _raise_disk_error(error, destination)


_BAD_DATA = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


def _damaged(archive: Path, problem: str) -> JobError:
    return JobError(f"{archive.name} is refused: {problem}", hint="a good sdist is not like this: tell its project")


class _Unpacker:
    """Writes members below one directory, within limits.

    Links are made last, so that no file is ever written through one. Python's own `data` filter (PEP 706) is not relied
    upon: early 3.11 has none, and it could be got round before 3.11.13 and 3.12.11 (CVE-2025-4517).
    """

    def __init__(self, archive: Path, destination: Path) -> None:
        self._archive = archive
        self._packed = archive.stat().st_size
        self._destination = destination
        self._members = 0
        self._bytes = 0
        self._tops: set[str] = set()
        self._folders: set[Path] = set()  # those that are there
        self._links: dict[tuple[str, ...], tuple[str, bool]] = {}

    def refuse(self, member: str, problem: str) -> NoReturn:
        raise _damaged(self._archive, f"member {member!r} {problem}")

    def directory(self, member: str) -> None:
        """Make a directory, and those above it."""
        parts = self._place(member)
        if parts:
            self._make_folder(member, self._destination.joinpath(*parts))

    def file(self, member: str, stream: IO[bytes], *, executable: bool, mtime: int) -> None:
        """Write a file; a later member of the same name replaces an earlier one."""
        parts = self._place(member)
        target = self._destination.joinpath(*parts)
        if len(parts) < 2 or target in self._folders:
            self.refuse(member, "is a file where a directory should be")
        self._links.pop(parts, None)
        self._make_folder(member, target.parent)
        with target.open("wb") as unpacked:
            for chunk in iter(lambda: stream.read(_CHUNK), b""):
                self._count(len(chunk))
                unpacked.write(chunk)
        target.chmod(0o755 if executable else 0o644)
        os.utime(target, (mtime, mtime))

    def link(self, member: str, target: str, *, hard: bool) -> None:
        """Remember a link, for `finish`."""
        self._links[self._place(member)] = (target, hard)

    def finish(self) -> Path:
        """Make the links, and return the one top directory."""
        for parts, (target, hard) in self._links.items():
            self._make_link(parts, target, hard)
        top = self._destination / min(self._tops, default="")
        if len(self._tops) != 1 or not top.is_dir():
            raise _damaged(self._archive, f"{len(self._tops)} entries at its top instead of one directory")
        return top

    def _place(self, member: str) -> tuple[str, ...]:
        """Where a member lands, as path components below the destination."""
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise _damaged(self._archive, f"more than {MAX_MEMBERS} members")
        path = PurePosixPath(member)
        if path.is_absolute() or ".." in path.parts:
            self.refuse(member, "would land outside of the destination")
        self._tops.update(path.parts[:1])
        return path.parts

    def _count(self, number: int) -> None:
        self._bytes += number
        if self._bytes > MAX_UNPACKED_BYTES:
            raise _damaged(self._archive, f"it unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB")
        if self._bytes > RATIO_FREE_BYTES and self._bytes > MAX_RATIO * self._packed:
            raise _damaged(self._archive, f"it unpacks to more than {MAX_RATIO} times its size, like a zip bomb")

    def _make_folder(self, member: str, folder: Path) -> None:
        if folder in self._folders:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            self.refuse(member, "lies below a file")
        self._folders.update((folder, *folder.parents))

    def _make_link(self, parts: tuple[str, ...], target: str, hard: bool) -> None:
        """`..` only at the start: after a name it could climb out through another link."""
        member = "/".join(parts)
        goal = PurePosixPath(target)
        ups = sum(1 for _ in takewhile(lambda part: part == "..", goal.parts))
        depth = 0 if hard else len(parts) - 2  # a hard link's target counts from the top of the archive
        place = self._destination.joinpath(*parts)
        if len(parts) < 2 or place in self._folders:
            self.refuse(member, "is a link where a directory should be")
        if goal.is_absolute() or ".." in goal.parts[ups:] or ups > depth:
            self.refuse(member, f"is a link to {target!r}, outside of the archive")
        self._make_folder(member, place.parent)
        place.unlink(missing_ok=True)
        if not hard:
            place.symlink_to(target)
            return
        original = self._destination.joinpath(*goal.parts)
        if original.is_symlink() or not original.is_file():
            self.refuse(member, f"is a hard link to {target!r}, which is no file of the archive")
        self._count(original.stat().st_size)
        shutil.copy2(original, place)


def _feed_tar(archive: Path, unpacker: _Unpacker) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdir():
                unpacker.directory(member.name)
            elif member.issym() or member.islnk():
                unpacker.link(member.name, member.linkname, hard=member.islnk())
            elif member.isreg() and (stream := tar.extractfile(member)) is not None:
                executable = bool(member.mode & 0o100)
                unpacker.file(member.name, stream, executable=executable, mtime=int(member.mtime))
            else:
                unpacker.refuse(member.name, "is neither a file nor a directory nor a link")


def _feed_zip(archive: Path, unpacker: _Unpacker) -> None:
    with zipfile.ZipFile(archive) as container:
        for info in container.infolist():
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                unpacker.refuse(info.filename, "is neither a file nor a directory")
            if info.flag_bits & 1:
                unpacker.refuse(info.filename, "is encrypted")
            if info.is_dir():
                unpacker.directory(info.filename)
                continue
            with container.open(info) as stream:
                unpacker.file(info.filename, stream, executable=bool(mode & 0o100), mtime=_zip_time(info))


def source_date_epoch(archive: Path) -> int:
    """The newest modification time in an sdist, in seconds since 1970; at least 1980-01-01, which zip can hold."""
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as container:
            times = [_zip_time(info) for info in container.infolist()]
    else:
        with tarfile.open(archive) as tar:
            times = [int(member.mtime) for member in tar]
    return max(EARLIEST_EPOCH, *times, EARLIEST_EPOCH)


def _zip_time(info: zipfile.ZipInfo) -> int:
    """A zip member's time as if it were UTC: zip does not say which zone it is."""
    try:
        return calendar.timegm(info.date_time)
    except ValueError:  # month 0 and the like
        return EARLIEST_EPOCH


# Source trees


def source_tree_digest(path: Path) -> str:
    """sha256 (hexadecimal) over names, execute bits and contents of what `copy_tree` copies; links by their target."""
    digest = hashlib.sha256()
    for name in tree_files(path):
        file = path / name
        if file.is_symlink():
            kind, content = "link", hashlib.sha256(os.fsencode(file.readlink())).hexdigest()
        else:
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            kind = "program" if file.stat().st_mode & 0o100 else "file"
        digest.update(f"{kind}\0{name}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def copy_tree(path: Path, destination: Path) -> None:
    """Copy a source tree without what version control, builds and tools left behind, to a new directory.

    Raises `JobError` (disk).
    """
    try:
        destination.mkdir(parents=True)
        for name in tree_files(path):
            target = destination / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path / name, target, follow_symlinks=False)
    except OSError as error:
        _raise_disk_error(error, destination)


def tree_files(path: Path) -> list[str]:
    """The names of a source tree's files and links, relative to it, sorted."""
    found = []
    for folder, subfolders, files in os.walk(path):
        relative = PurePosixPath(Path(folder).relative_to(path).as_posix())
        at_top = relative == PurePosixPath()
        links = [name for name in subfolders if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118
        subfolders[:] = [name for name in subfolders if name not in links and not _is_left_behind(name, at_top)]
        for name in (*files, *links):
            if not _is_left_behind(name, at_top) and _is_file_or_link(os.path.join(folder, name)):  # noqa: PTH118
                found.append((relative / name).as_posix())
    return sorted(found)


def _is_left_behind(name: str, at_top: bool) -> bool:
    return name in _LEFT_BEHIND or name.endswith((".egg-info", ".pyc")) or (at_top and name in _LEFT_BEHIND_AT_TOP)


def _is_file_or_link(path: str) -> bool:
    """No sockets, no pipes: reading them would hang."""
    mode = os.lstat(path).st_mode
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)
