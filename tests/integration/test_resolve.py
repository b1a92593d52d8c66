"""uv itself, the package index, and indexes of our own on the loopback interface."""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.web import Files, serving_files
from wheelhouse_builder import process
from wheelhouse_builder.artifact import RemoteFile, Sdist, SourceTree, Wheel
from wheelhouse_builder.errors import MachineError, ResolveError
from wheelhouse_builder.events import Event, Note
from wheelhouse_builder.requirements.format_control import FormatControl
from wheelhouse_builder.requirements.read import read_requirements
from wheelhouse_builder.resolve.indexes import index_urls
from wheelhouse_builder.resolve.selection import Selection, select
from wheelhouse_builder.resolve.uv import ResolveOptions, resolve, resolve_build_requirements
from wheelhouse_builder.sources.archives import unpack_sdist
from wheelhouse_builder.sources.credentials import credentials_for
from wheelhouse_builder.sources.downloads import Downloads
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wheelhouse_builder.resolve.lock import Lock

pytestmark = pytest.mark.integration

AARCH64 = Target((3, 12), Arch.AARCH64)
X86_64 = Target((3, 12), Arch.X86_64)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def lock_of(cache: Path, file: Path, target: Target = AARCH64, **options: object) -> Lock:
    return resolve(read_requirements([file]), target, ResolveOptions(cache=cache, **options))  # type: ignore[arg-type]


def selections(lock: Lock, control: FormatControl | None = None) -> dict[str, Selection]:
    return {selection.name: selection for selection in select(lock, control or FormatControl())}


def make_sdist(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member, text in files.items():
            info = tarfile.TarInfo(f"{name}-{version}/{member}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def make_wheel(folder: Path, name: str, version: str) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def static(name: str, version: str, *requires: str) -> dict[str, str]:
    """An sdist that states its metadata."""
    metadata = [
        f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
        *map("Requires-Dist: {}\n".format, requires),
    ]
    return {"PKG-INFO": "".join(metadata), "pyproject.toml": "[build-system]\nrequires = []\n"}


# The package index


@pytest.mark.parametrize("target", [AARCH64, X86_64])
def test_the_trio_resolves_for_both_architectures(cache: Path, tmp_path: Path, target: Target) -> None:
    control = FormatControl.parse(no_binary=["cffi,bcrypt,cryptography"])
    nested = "-r nested.txt\npasslib[bcrypt]\n"
    write(tmp_path / "nested.txt", "-c limits.txt\npython-jose[cryptography]\n")
    write(tmp_path / "limits.txt", "six<1.17\n")
    lock = lock_of(cache, write(tmp_path / "r.txt", nested), target, format_control=control)
    found = selections(lock, control)
    sdists = {name for name, selection in found.items() if isinstance(selection.choice, Sdist)}
    assert sdists == {"cffi", "bcrypt", "cryptography"}
    assert {"python-jose", "passlib", "pycparser", "six"} <= found.keys() - sdists
    assert str(found["six"].version) == "1.16.0"
    fitting = selections(lock_of(cache, tmp_path / "r.txt", target))["cryptography"].choice
    assert isinstance(fitting, Wheel)
    assert target.arch in fitting.filename
    assert "musllinux" in fitting.filename


def test_markers_are_the_targets(cache: Path, tmp_path: Path) -> None:
    text = (
        'six ; platform_machine == "aarch64"\npycparser ; platform_machine == "x86_64"\n'
        'idna ; sys_platform == "win32"\npasslib ; python_version >= "3.13"\n'
    )
    assert set(selections(lock_of(cache, write(tmp_path / "r.txt", text)))) == {"six"}
    newer = lock_of(cache, tmp_path / "r.txt", Target((3, 13), Arch.X86_64))
    assert set(selections(newer)) == {"pycparser", "passlib"}


def test_a_wrong_hash_is_refused_though_uv_ignores_it(cache: Path, tmp_path: Path) -> None:
    good = "8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254"  # the wheel's
    found = selections(lock_of(cache, write(tmp_path / "r.txt", f"six==1.16.0 --hash=sha256:{good}")))["six"]
    assert isinstance(found.choice, Wheel)
    assert found.choice.sha256 == good
    with pytest.raises(ResolveError, match=good):
        lock_of(cache, write(tmp_path / "r.txt", f"six==1.16.0 --hash=sha256:{'0' * 64}"))


def test_what_is_not_there_is_named_with_its_line(cache: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "r.txt", "six\nno-such-package-of-whb\n")
    with pytest.raises(ResolveError) as error:
        lock_of(cache, file)
    assert f"{file}, line 2: no-such-package-of-whb" in error.value.message
    assert "line 1" not in error.value.message
    assert "spelled" in (error.value.hint or "")
    assert "DEBUG" not in error.value.message


def test_a_conflict_is_explained(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ResolveError) as error:
        lock_of(cache, write(tmp_path / "r.txt", "six==1.16.0\npython-dateutil\nsix<1\n"))
    assert "six==1.16.0" in error.value.message
    assert "line 3: six<1" in error.value.message


def test_offline_works_from_the_cache_and_says_so_when_it_does_not(cache: Path, tmp_path: Path) -> None:
    online = lock_of(cache, write(tmp_path / "r.txt", "six\n"))
    assert lock_of(cache, tmp_path / "r.txt", offline=True) == online
    with pytest.raises(ResolveError) as error:
        lock_of(tmp_path / "empty", tmp_path / "r.txt", offline=True)
    assert "--offline" in (error.value.hint or "")


def test_build_requirements_are_pinned_with_hashes_and_install(cache: Path, tmp_path: Path) -> None:
    wanted = ["setuptools>=61", "cffi>=1.12; platform_python_implementation != 'PyPy'", "wheel; python_version < '3'"]
    options = ResolveOptions(cache=cache)
    text = resolve_build_requirements(wanted, Path(sys.executable), options, constraints=["setuptools<81"])
    assert text == resolve_build_requirements(
        wanted[::-1], Path(sys.executable), options, constraints=["setuptools<81"]
    )
    names = [line.split("==")[0] for line in text.splitlines() if "==" in line]
    assert names == ["cffi", "pycparser", "setuptools"]
    assert "setuptools==80." in text
    pinned = write(tmp_path / "pinned.txt", text)
    uv = Path(sys.executable).with_name("uv")
    flags: list[str | Path] = [
        "--dry-run",
        "--require-hashes",
        "--target",
        tmp_path / "out",
        "--python",
        sys.executable,
    ]
    environment = process.base_environment({"UV_CACHE_DIR": str(cache / "uv")})
    process.run([uv, "pip", "install", *flags, "-r", pinned], env=environment)
    assert resolve_build_requirements([], Path(sys.executable), options) == ""


# Indexes of our own


@pytest.fixture
def links(tmp_path: Path) -> Path:
    folder = tmp_path / "links"
    folder.mkdir()
    return folder


def local(tmp_path: Path, text: str) -> Path:
    return write(tmp_path / "r.txt", f"--no-index\n--find-links links\n{text}")


def test_a_newer_sdist_is_not_passed_over_for_an_older_wheel(cache: Path, tmp_path: Path, links: Path) -> None:
    make_wheel(links, "foo", "1.0")
    newer = make_sdist(links, "foo", "2.0", static("foo", "2.0"))
    events: list[Event] = []
    choice = selections(lock_of(cache, local(tmp_path, "foo\n"), listener=events.append))["foo"].choice
    assert isinstance(choice, Sdist)
    assert choice.sha256 == hashlib.sha256(newer.read_bytes()).hexdigest()
    assert not events  # it states its metadata: nothing ran
    older = selections(lock_of(cache, local(tmp_path, "--only-binary foo\nfoo\n")))["foo"]
    assert str(older.version) == "1.0"
    path = Downloads(tmp_path / "cache", offline=True).fetch(choice)
    assert (unpack_sdist(path, tmp_path / "unpacked") / "PKG-INFO").is_file()


def test_an_sdist_that_must_run_to_say_what_it_needs_is_told_of(cache: Path, tmp_path: Path, links: Path) -> None:
    backend = (
        "import os\ndef prepare_metadata_for_build_wheel(out, settings=None):\n"
        "    os.mkdir(out + '/foo-1.0.dist-info')\n"
        "    with open(out + '/foo-1.0.dist-info/METADATA', 'w') as f:\n"
        "        f.write('Metadata-Version: 2.1\\nName: foo\\nVersion: 1.0\\nRequires-Dist: bar\\n')\n"
        "    return 'foo-1.0.dist-info'\ndef build_wheel(*args): raise NotImplementedError\n"
    )
    project = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    make_sdist(
        links, "foo", "1.0", {"PKG-INFO": "Metadata-Version: 1.1\n", "pyproject.toml": project, "backend.py": backend}
    )
    make_wheel(links, "bar", "1.0")
    events: list[Event] = []
    assert set(selections(lock_of(cache, local(tmp_path, "foo\n"), listener=events.append))) == {"foo", "bar"}
    (note,) = events
    assert isinstance(note, Note)
    assert "foo==1.0" in note.text
    broken = {
        "PKG-INFO": "Metadata-Version: 1.1\n",
        "pyproject.toml": project,
        "backend.py": "raise SystemExit('no luck')",
    }
    make_sdist(links, "foo", "2.0", broken)
    with pytest.raises(ResolveError, match=r"(?s)foo==2\.0.*no luck") as error:
        lock_of(cache, local(tmp_path, "foo\n"))
    assert "could not be run on this machine" in (error.value.hint or "")


def test_local_projects_and_archives(cache: Path, tmp_path: Path, links: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "my project"
    project.mkdir()
    write(project / "pyproject.toml", '[project]\nname = "mine"\nversion = "1"\ndependencies = ["foo"]\n')
    make_sdist(links, "foo", "1.0", static("foo", "1.0"))
    monkeypatch.chdir(tmp_path)
    lock = lock_of(cache, local(Path(), "./my project\nlinks/foo-1.0.tar.gz\n"))
    found = selections(lock)
    mine, foo = found["mine"].choice, found["foo"].choice
    assert isinstance(mine, SourceTree)
    assert mine.path == str(project)
    assert isinstance(foo, Sdist)
    assert foo.url == (links / "foo-1.0.tar.gz").as_uri()


def test_build_requirements_come_from_the_same_indexes(cache: Path, tmp_path: Path, links: Path) -> None:
    make_wheel(links, "only_here", "1.0")
    options = ResolveOptions(cache=cache, indexes=read_requirements([local(tmp_path, "")]))
    assert "only-here==1.0" in resolve_build_requirements(["only-here"], Path(sys.executable), options)


def test_variables_in_files_and_a_file_index(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "index" / "simple" / "foo" / "index.html"
    page.parent.mkdir(parents=True)
    wheel = make_wheel(page.parent, "foo", "1.0")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    write(page, f'<!DOCTYPE html><a href="{wheel.name}#sha256={digest}">{wheel.name}</a>')
    monkeypatch.setenv("WHB_TEST_INDEX", (tmp_path / "index" / "simple").as_uri())
    found = selections(lock_of(cache, write(tmp_path / "r.txt", "-i ${WHB_TEST_INDEX}\nfoo\n")))["foo"].choice
    assert isinstance(found, Wheel)
    assert found.sha256 == digest
    assert Downloads(tmp_path / "cache", offline=True).fetch(found).read_bytes() == wheel.read_bytes()


class Handler(Files):
    """A simple index without hashes that wants a password, and drops connections when asked to."""

    drop: int = 0  # so many answers end half-way
    ranges: list[str]

    def do_GET(self) -> None:  # noqa: N802 - its name there
        if self.headers.get("Authorization") != f"Basic {base64.b64encode(b'me:pass word').decode()}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            return
        if self.path.endswith(".tar.gz"):
            self.send_part()
        else:
            super().do_GET()

    def send_part(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        asked = self.headers.get("Range", "bytes=0-")
        type(self).ranges.append(asked)
        start = int(asked.removeprefix("bytes=").partition("-")[0])
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if type(self).drop > 0:
            type(self).drop -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, Path, type[Handler]]]:
    root = tmp_path / "served"
    (root / "simple" / "foo").mkdir(parents=True)
    handler = type("OwnHandler", (Handler,), {"ranges": []})
    with serving_files(root, handler=handler) as address:
        yield address, root, handler


def test_an_index_with_a_password_and_without_hashes(
    cache: Path, tmp_path: Path, index: tuple[str, Path, type[Handler]]
) -> None:
    host, root, handler = index
    content = {**static("foo", "1.0"), "noise": "".join(map(str, range(200_000)))}
    sdist = make_sdist(root / "simple" / "foo", "foo", "1.0", content)
    write(root / "simple" / "foo" / "index.html", f'<!DOCTYPE html><a href="{sdist.name}">{sdist.name}</a>')
    file = write(tmp_path / "r.txt", f"--index-url http://me:pass%20word@{host}/simple\nfoo\n")
    lock = lock_of(cache, file)
    assert "pass" not in lock.text
    choice = selections(lock)["foo"].choice
    assert isinstance(choice, RemoteFile)
    handler.drop, handler.ranges = 2, []
    credentials = credentials_for(index_urls(read_requirements([file])))
    downloads = Downloads(tmp_path / "cache", credentials=credentials, pause=lambda seconds: None)
    assert downloads.fetch(choice).read_bytes() == sdist.read_bytes()
    downloads.close()
    assert [asked == "bytes=0-" for asked in handler.ranges] == [True, False, False]


def test_an_index_that_refuses_a_password_is_named_without_it(
    cache: Path, tmp_path: Path, index: tuple[str, Path, type[Handler]]
) -> None:
    host, _, _ = index
    with pytest.raises(ResolveError) as error:
        lock_of(cache, write(tmp_path / "r.txt", f"--index-url http://me:wrong@{host}/simple\nfoo\n"))
    assert "401 Unauthorized" in (error.value.hint or "")
    assert host in (error.value.hint or "")
    assert "wrong" not in f"{error.value.message}{error.value.hint}"


def test_a_python_that_is_too_old_is_told_with_the_target_and_our_option(cache: Path, tmp_path: Path) -> None:
    target = Target((3, 11), Arch.AARCH64)
    with pytest.raises(ResolveError, match=f"cannot be resolved for {target}") as error:
        lock_of(cache, write(tmp_path / "r.txt", "django==6.0\n"), target)
    assert "--python" in (error.value.hint or "")
    assert "--python-version" not in (error.value.hint or "")


def test_a_package_without_wheels_that_must_not_be_built(cache: Path, tmp_path: Path) -> None:
    control = FormatControl.parse(only_binary=[":all:"])
    with pytest.raises(ResolveError) as error:
        lock_of(cache, write(tmp_path / "r.txt", "pycryptodome==3.4\n"), format_control=control)
    assert "--only-binary" in (error.value.hint or "")


def test_build_requirements_that_are_not_there_are_called_so(cache: Path) -> None:
    with pytest.raises(ResolveError, match="the build requirements cannot be resolved"):
        resolve_build_requirements(["no-such-package-of-whb"], Path(sys.executable), ResolveOptions(cache=cache))


def test_a_cache_that_cannot_be_made_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cache") as error:
        lock_of(write(tmp_path / "file", ""), write(tmp_path / "r.txt", "six\n"))
    assert "--cache-dir" in (error.value.hint or "")
