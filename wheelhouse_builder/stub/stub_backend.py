"""The build backend of a stub: it builds nothing, it hands out the best wheel of a wheelhouse for this interpreter.

Standard library only, for Python 3.9 and newer: `sdist` copies this file as it is into every stub, beside `stub.json`,
which says which project and version it stands for and where its wheelhouse is. `WHB_WHEELHOUSE` (a folder, or the URL
of an index that ends in `/simple/`) beats that.

There is no `prepare_metadata_for_build_wheel`: front ends then call `build_wheel`, keep what it gave, and read the
metadata there (PEP 517), so each wheel is fetched once. Requires-Python is theirs to check, and they do.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import netrc
import os
import re
import shlex
import struct
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, NoReturn

_WAIT = 15.0  # seconds: for a page as a whole, for the next part of a wheel
_MAX_PAGE_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 16
_LONGEST_NAME = 255  # that file systems take; a longer one could have millions of tags
_OLDEST_PYTHON = (3, 11)  # that whb builds for
_BUILT_ARCHS = ("x86_64", "aarch64")
_PT_INTERP = 3
_WHEEL = re.compile(
    r"(?P<name>[a-z0-9_.]+)-(?P<version>[a-z0-9_.!+]+)(?:-(?P<number>[0-9]+)(?P<letters>[a-z0-9_.]*))?"
    r"-(?P<pythons>[a-z0-9_.]+)-(?P<abis>[a-z0-9_.]+)-(?P<platforms>[a-z0-9_.]+)\.whl",
    re.IGNORECASE | re.ASCII,
)
_MUSL = re.compile(r"musllinux_(?P<major>[0-9]+)_(?P<minor>[0-9]+)_(?P<arch>\w+)", re.ASCII)
_WORDS = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc", "rev": "post", "r": "post"}

_ANOTHER = "WHB_WHEELHOUSE=https://HOST/simple/ or WHB_WHEELHOUSE=/FOLDER names the wheelhouse to take wheels from"


class StubError(Exception):
    """No wheel can be had: why, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UnsupportedOperation(Exception):  # noqa: N818  # the name is the specification's (PEP 517)
    """What `build_sdist` raises."""


class Stub(NamedTuple):
    """What a stub stands for."""

    name: str  # normalised
    version: str
    wheelhouse: str  # a folder, or the URL of an index


class Interpreter(NamedTuple):
    """A Python, as far as it decides which wheels fit."""

    python: tuple[int, int]
    abis: tuple[str, ...]  # ("cp313t",); of a debug build two, the best first; of what is not CPython none
    archs: tuple[str, ...]  # the machine's own first
    musl: tuple[int, int] | None  # its version; None: this Python runs on another libc

    @property
    def free_threaded(self) -> bool:
        """Whether it has no GIL."""
        return bool(self.abis) and "t" in self.abis[0]

    @property
    def platforms(self) -> list[str]:
        """The platform tags that fit, best first. `linux_*` is left out: it says nothing of the libc."""
        if self.musl is None:
            return []
        major, newest = self.musl
        return [f"musllinux_{major}_{minor}_{arch}" for arch in self.archs for minor in range(newest, -1, -1)]

    @property
    def tags(self) -> list[str]:
        """Every tag that fits, best first: those of `packaging.tags.sys_tags` that a wheelhouse may have."""
        (major, minor), platforms = self.python, self.platforms
        own, stable = f"cp{major}{minor}", "abi3t" if self.free_threaded else "abi3"
        pure = [f"py{major}{minor}", f"py{major}", *(f"py{major}{older}" for older in range(minor - 1, -1, -1))]
        found: list[str] = []
        if self.abis:
            found += [f"{own}-{abi}-{platform}" for abi in (*self.abis, stable, "none") for platform in platforms]
            older = [f"cp{major}{number}-{stable}" for number in range(minor - 1, 1, -1)]
            found += [f"{tag}-{platform}" for tag in older for platform in platforms]
        found += [f"{python}-none-{platform}" for python in pure for platform in platforms]
        return found + [f"{python}-none-any" for python in ([own] if self.abis else []) + pure]

    @property
    def name(self) -> str:
        """`cp313t`"""
        return self.abis[0] if self.abis else f"py{self.python[0]}{self.python[1]}"

    @property
    def target(self) -> str:
        """`cp313-musllinux_1_2_aarch64`, for people."""
        return f"{self.name}-{self.platforms[0]}" if self.musl else f"{self.name}-{self.archs[0]} (not on musl)"


class Wheel(NamedTuple):
    """A wheel that a page names."""

    filename: str
    build: tuple[int, str] | tuple[()]
    pythons: tuple[str, ...]
    abis: tuple[str, ...]
    platforms: tuple[str, ...]
    url: str
    sha256: str
    size: int  # bytes
    yanked: bool

    @property
    def tags(self) -> list[str]:
        """Each tag that it has; a file name holds them compressed (PEP 425)."""
        return [f"{p}-{abi}-{platform}" for p in self.pythons for abi in self.abis for platform in self.platforms]


class Page(NamedTuple):
    """What a wheelhouse tells of a project."""

    wheels: tuple[Wheel, ...] = ()  # of the version that is asked for
    versions: tuple[str, ...] = ()  # all that there are
    notice: str = ""  # why it offers nothing


# The hooks (PEP 517)


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Put the best wheel into the folder and return its name; else say on standard error why not, and exit with 1."""
    del config_settings, metadata_directory
    try:
        stub = read_stub(Path(__file__).with_name("stub.json"))
        source = open_wheelhouse(stub.wheelhouse)
        wheel = choose(stub, read_page(stub, source.page(stub.name)), own_interpreter())
        fetch(source, wheel, Path(wheel_directory))
    except StubError as error:
        print(printable(f"whb: error: {error.message}\nhint: {error.hint}"), file=sys.stderr)
        raise SystemExit(1) from None
    told = ", though it is yanked" if wheel.yanked else ""
    print(printable(f"whb: {wheel.filename} of {redacted(stub.wheelhouse)}{told}"), file=sys.stderr)
    return wheel.filename


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> NoReturn:
    """Raise `UnsupportedOperation`: the stub is the sdist, and there is no source."""
    del sdist_directory, config_settings
    raise UnsupportedOperation("a stub of a wheelhouse holds no source: take its sdist as it is")


def printable(text: str) -> str:
    """The text, fit for a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def redacted(url: str) -> str:
    """The URL without user, password and query."""
    return re.sub(r"\?.*", "?***", re.sub(r"(?<=://)[^/\s]+@", "***@", url))


# What is asked for, and by whom


def read_stub(path: Path) -> Stub:
    """What this stub stands for, with the wheelhouse of the environment if that names one."""
    content = json.loads(path.read_text(encoding="utf-8"))
    wheelhouse = os.environ.get("WHB_WHEELHOUSE") or content["wheelhouse"]
    return Stub(name=content["name"], version=content["version"], wheelhouse=wheelhouse)


def own_interpreter() -> Interpreter:
    """The Python that runs this."""
    python, platform = sys.version_info[:2], sysconfig.get_platform()
    if not platform.startswith("linux-"):
        return Interpreter(python, _own_abis(), (platform,), None)
    arch = platform[len("linux-") :].replace("-", "_").replace(".", "_")
    if sys.maxsize <= 2**32:  # a 32-bit Python, whatever the kernel
        arch = {"x86_64": "i686", "aarch64": "armv8l"}.get(arch, arch)
    archs = ("armv8l", "armv7l") if arch == "armv8l" else (arch,)
    return Interpreter(python, _own_abis(), archs, musl_version(sys.executable))


def _own_abis() -> tuple[str, ...]:
    if sys.implementation.name != "cpython":
        return ()
    threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    abi = f"cp{sys.version_info[0]}{sys.version_info[1]}{threads}"
    return (f"{abi}d", abi) if sysconfig.get_config_var("Py_DEBUG") else (abi,)


def musl_version(executable: str) -> tuple[int, int] | None:
    """The version of musl that a program runs on, as its loader tells it; None for another libc, or a static program.

    There is no other way to ask musl: `packaging` and pip do the same.
    """
    try:
        with open(executable, "rb") as stream:  # noqa: PTH123  # `sys.executable` may be None
            loader = _loader_of(stream)
        if "musl" not in loader:
            return None
        told = subprocess.run([loader], stderr=subprocess.PIPE, text=True, check=False).stderr
    except (OSError, TypeError, ValueError, struct.error):
        return None
    found = re.match(r"musl.*\n\s*Version ([0-9]+)\.([0-9]+)", told.strip())
    return (int(found[1]), int(found[2])) if found else None


def _loader_of(stream: IO[bytes]) -> str:
    """The program that an ELF file wants to be loaded by (PT_INTERP); empty if there is none."""
    magic, width, order = struct.unpack("4sBB10x", stream.read(16))
    if magic != b"\x7fELF":
        return ""
    end, is_64_bit = "<" if order == 1 else ">", width == 2
    header = struct.Struct(end + ("HHIQQQIHHH" if is_64_bit else "HHIIIIIHHH"))
    _, _, _, _, place, _, _, _, size, count = header.unpack(stream.read(header.size))
    segment = struct.Struct(end + ("I4xQ16xQ16x" if is_64_bit else "II8xI12x"))
    for number in range(count):
        stream.seek(place + number * size)
        kind, offset, length = segment.unpack(stream.read(segment.size))
        if kind == _PT_INTERP:
            stream.seek(offset)
            return os.fsdecode(stream.read(length).rstrip(b"\0"))
    return ""


# Which wheel


def read_page(stub: Stub, answer: Answer | None) -> Page:
    """What the JSON page of the project tells (PEP 691); None: there is none. Raises `StubError`."""
    if answer is None:
        return Page()
    try:
        document = json.loads(answer.content)
        named = [(_WHEEL.fullmatch(file["filename"]), file) for file in document["files"]]
        found = [(match, file) for match, file in named if match and _normalised(match["name"]) == stub.name]
        found = [(match, file) for match, file in found if len(match[0]) <= _LONGEST_NAME]
        wanted = version_key(stub.version)
        wheels = [_wheel(match, file, answer.url) for match, file in found if version_key(match["version"]) == wanted]
        mark = document.get("project-status", {})
        reason = " ".join(str(mark.get("reason", "")).split())
        notice = f"it is quarantined: {reason}" if mark.get("status") == "quarantined" else ""
        versions = sorted({match["version"] for match, _ in found}, key=version_key)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        message = f"what {redacted(stub.wheelhouse)} tells of {stub.name} is no page of an index: {error!r}"
        raise StubError(message, _ANOTHER) from None
    return Page(wheels=tuple(sorted(wheels)), versions=tuple(versions), notice=notice)


def _wheel(match: re.Match[str], file: dict[str, Any], page: str) -> Wheel:
    return Wheel(
        filename=match[0],
        build=(int(match["number"]), match["letters"]) if match["number"] else (),
        pythons=tuple(match["pythons"].lower().split(".")),
        abis=tuple(match["abis"].lower().split(".")),
        platforms=tuple(match["platforms"].lower().split(".")),
        url=urljoin(page, file["url"]),
        sha256=str(file["hashes"]["sha256"]),
        size=int(file["size"]),
        yanked=file.get("yanked", False) is not False,
    )


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # PEP 503


def version_key(text: str) -> tuple[int, tuple[int, ...], tuple[tuple[str, int], ...], tuple[str, ...]]:
    """What the spellings of one version have in common (PEP 440): `1.0` is `1`, and `1.0.alpha` is `1a0`."""
    public, _, local = text.lower().replace("_", ".").partition("+")
    epoch, _, rest = public.rpartition("!")
    release, suffix = re.match(r"v?([0-9.]*[0-9])?(.*)", rest).groups()  # type: ignore[union-attr]  # it always matches
    numbers = [int(number) for number in (release or "").split(".") if number]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    words = re.findall(r"([a-z]+)\.?([0-9]*)", suffix)
    return (
        int(epoch or 0),
        tuple(numbers),
        tuple((_WORDS.get(word, word), int(number or 0)) for word, number in words),
        tuple(str(int(part)) if part.isdigit() else part for part in local.split(".")),
    )


def choose(stub: Stub, page: Page, interpreter: Interpreter) -> Wheel:
    """The wheel that an installer would take: of the best tag the highest build, and a yanked one only if all are.

    Raises `StubError`, which tells of each wheel of the version why it does not fit, and what to do.
    """
    ranks = {tag: -number for number, tag in enumerate(interpreter.tags)}
    fitting = [
        (not wheel.yanked, max(ranks[tag] for tag in wheel.tags if tag in ranks), wheel.build, wheel)
        for wheel in page.wheels
        if not ranks.keys().isdisjoint(wheel.tags)
    ]
    if fitting:
        return max(fitting)[-1]
    lines = [f"{redacted(stub.wheelhouse)} has no wheel of {stub.name} {stub.version} for {interpreter.target}"]
    lines += [f"  {wheel.filename}: {misfit(wheel, interpreter)}" for wheel in page.wheels]
    if page.notice:
        lines.append(f"  {page.notice}")
    elif not page.wheels:
        lines.append(f"  of {stub.name} it has {', '.join(page.versions) or 'nothing'}")
    raise StubError("\n".join(lines), remedy(stub, interpreter))


def misfit(wheel: Wheel, interpreter: Interpreter) -> str:
    """Why a wheel does not install here."""
    if not {"any", *interpreter.platforms}.isdisjoint(wheel.platforms):
        return f"for {'.'.join(wheel.pythons)}-{'.'.join(wheel.abis)}, and this Python is {interpreter.name}"
    wanted = [match for match in map(_MUSL.fullmatch, wheel.platforms) if match]
    archs = sorted({match["arch"] for match in wanted})
    if not wanted:
        return f"for {'.'.join(wheel.platforms)}"
    if interpreter.musl is None:
        return "for musl, and this Python does not run on it"
    if set(archs).isdisjoint(interpreter.archs):
        return f"for {', '.join(archs)}, and this machine is {interpreter.archs[0]}"
    oldest = min((int(match["major"]), int(match["minor"])) for match in wanted)
    return "for musl {}.{}, and this one is {}.{}".format(*oldest, *interpreter.musl)


def remedy(stub: Stub, interpreter: Interpreter) -> str:
    """What to do when no wheel fits."""
    if interpreter.musl is None:
        return f"whb builds for musl (Alpine) alone; `--only-binary {stub.name}` keeps pip and uv from the stub"
    builds = interpreter.python >= _OLDEST_PYTHON and interpreter.abis and not interpreter.free_threaded
    if not builds or interpreter.archs[0] not in _BUILT_ARCHS:
        return "whb builds for CPython {}.{} and newer with a GIL, on x86_64 and aarch64".format(*_OLDEST_PYTHON)
    pin, python = shlex.quote(f"{stub.name}=={stub.version}"), "{}.{}".format(*interpreter.python)
    return f"where the wheelhouse is, run: whb build -P {pin} --python {python} --arch {interpreter.archs[0]}"


# Where wheels are


class Answer(NamedTuple):
    """A page."""

    content: bytes
    url: str  # where it came from in the end: its links are relative to that


def open_wheelhouse(where: str) -> Folder | Index:
    """The wheelhouse in a folder, or behind the URL of its index. Raises `StubError` if it is neither."""
    with contextlib.suppress(ValueError):  # a URL that is none
        if where.startswith(("http://", "https://")):
            return Index(where)
        folder = unquote(urlsplit(where).path) if where.startswith("file://") else where
        if os.path.isabs(folder):  # noqa: PTH117
            return Folder(Path(folder))
    told = redacted(where)
    raise StubError(f"the wheelhouse {told!r} is neither an absolute path nor an http(s) URL", _ANOTHER)


class Folder:
    """A wheelhouse in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def page(self, name: str) -> Answer | None:
        """The JSON page of a project; None if there is none. Raises `StubError`."""
        simple = self._root / "simple"
        try:
            if not simple.is_dir():
                raise StubError(f"there is no wheelhouse in {self._root}", _ANOTHER)
            return Answer((simple / name / "index.v1_json").read_bytes(), "")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StubError(f"the wheelhouse {self._root} cannot be read: {error}", _ANOTHER) from None

    def parts(self, wheel: Wheel) -> Iterator[bytes]:
        """The content of a wheel. Raises `OSError`."""
        with (self._root / wheel.filename).open("rb") as stream:
            yield from iter(lambda: stream.read(_CHUNK_BYTES), b"")


class Index:
    """A wheelhouse behind the URL of its index."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        user, _, self._host = parts.netloc.rpartition("@")
        self._user = [unquote(part) for part in user.partition(":")[::2]] if user else []
        self._url = f"{parts.scheme}://{self._host}{parts.path.rstrip('/')}/"
        self._shown = redacted(url)

    def page(self, name: str) -> Answer | None:
        """The JSON page of a project; None if there is none. Raises `StubError`."""
        try:
            with self._opened(f"{self._url}{name}/") as response:
                if "json" in response.headers.get("Content-Type", ""):
                    return self._answer(response)
            with self._opened(f"{self._url}{name}/index.v1_json") as response:  # a server of files alone
                return self._answer(response)
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                return None
            hint = "the user and password are those of the URL or of ~/.netrc" if error.code in (401, 403) else _ANOTHER
            raise StubError(f"{self._shown} answers {error.code} {error.reason}", hint) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise StubError(f"{self._shown} cannot be read: {_told(error)}", _ANOTHER) from None

    def parts(self, wheel: Wheel) -> Iterator[bytes]:
        """The content of a wheel. Raises `OSError`, `ValueError`, `http.client.HTTPException`."""
        with self._opened(wheel.url) as response:
            yield from iter(lambda: response.read1(_CHUNK_BYTES), b"")

    def _opened(self, url: str) -> http.client.HTTPResponse:
        _require_as_safe(self._url, url)
        request = urllib.request.Request(  # noqa: S310  # of these two schemes
            url, headers={"Accept": "application/vnd.pypi.simple.v1+json, */*;q=0.1", "User-Agent": "whb-stub"}
        )
        parts = urlsplit(url)
        if user := (self._user if parts.netloc == self._host else []) or _netrc(parts.hostname or ""):
            token = base64.b64encode(":".join(user).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {token}")
        opener = urllib.request.build_opener(_Redirects)
        response: http.client.HTTPResponse = opener.open(request, timeout=_WAIT)
        return response

    def _answer(self, response: http.client.HTTPResponse) -> Answer:
        content, end = bytearray(), time.monotonic() + _WAIT
        while part := response.read1(_CHUNK_BYTES):
            content += part
            if len(content) > _MAX_PAGE_BYTES:
                raise ValueError(f"a page of more than {_MAX_PAGE_BYTES} bytes")
            if time.monotonic() > end:
                raise TimeoutError(f"no whole page within {_WAIT:.0f} s")
        return Answer(bytes(content), response.geturl())


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows from http to https, never back."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request to the new place. Raises `ValueError` if that is less safe."""
        _require_as_safe(req.full_url, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_as_safe(before: str, after: str) -> None:
    if urlsplit(after).scheme not in ("https", urlsplit(before).scheme):
        raise ValueError(f"it leads to {redacted(after)}")


def _netrc(host: str) -> list[str]:
    """User and password for a host, as curl and pip find them."""
    with contextlib.suppress(OSError, netrc.NetrcParseError, UnicodeDecodeError):
        found = netrc.netrc(os.environ.get("NETRC")).authenticators(host)
        if found:
            return [found[0], found[2] or ""]
    return []


def _told(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason) or type(error).__name__


def fetch(source: Folder | Index, wheel: Wheel, folder: Path) -> None:
    """Put the wheel into the folder if it is what the page tells; else nothing, and raise `StubError`."""
    path, digest, size = folder / wheel.filename, hashlib.sha256(), 0
    try:
        with path.open("wb") as stream:
            for part in source.parts(wheel):
                stream.write(part)
                digest.update(part)
                size += len(part)
                if size > wheel.size:
                    break
        if (size, digest.hexdigest()) == (wheel.size, wheel.sha256.lower()):
            return
        trouble = f"is not what its page tells: that has {wheel.size} bytes and sha256 {wheel.sha256}"
        trouble += f", this {size} and {digest.hexdigest()}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        trouble = f"cannot be had: {_told(error)}"
    path.unlink(missing_ok=True)
    raise StubError(f"{wheel.filename} {trouble}", "`whb check` on the wheelhouse says more")
