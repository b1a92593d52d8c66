"""The hooks in processes of their own, as front ends call them, and over real HTTP; `build` as the whole of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from build import ProjectBuilder
from pyproject_hooks import BuildBackendHookCaller, HookMissing

from tests.integration.conftest import REPOSITORY
from tests.integration.web import certificates, free_port
from tests.wrapping import ALL_HOOKS, REQUIRED_HOOKS, Project, make_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

pytestmark = pytest.mark.integration

WHEEL = "demo-1.0-py3-none-any.whl"
METADATA_HOOK = "prepare_metadata_for_build_wheel"


@dataclass
class Calls:
    """Hooks of a project, each in a new process; `said` is all that they wrote."""

    project: Project
    environ: dict[str, str] = field(default_factory=dict)
    said: str = ""

    def __call__(self, hook: str, *arguments: object, **options: object) -> Any:
        """What a hook returns; raises `CalledProcessError` where the process fails."""
        hooks = BuildBackendHookCaller(str(self.project.root), "wheelhouse_builder.backend", runner=self.run)
        return getattr(hooks, hook)(*arguments, **options)

    def run(self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        """What `pyproject_hooks` starts a process with."""
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **self.environ, **(extra_environ or {})}
        done = subprocess.run(cmd, cwd=cwd, env=env, capture_output=True, text=True, check=False)
        self.said += done.stdout + done.stderr
        done.check_returncode()

    def refused(self, hook: str, *arguments: object) -> str:
        """The one message with which a hook ends, in three lines at most and without a traceback."""
        self.said = ""
        with pytest.raises(subprocess.CalledProcessError) as failed:
            self(hook, *arguments)
        assert failed.value.returncode == 1
        assert self.said.startswith("whb: error: "), self.said
        assert len(self.said.splitlines()) <= 3
        return self.said

    def imported(self) -> bool:
        """Whether the wrapped backend was."""
        return (self.project.root.parent / "imported").exists()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose backend leaves a mark when it is imported; its wheel is not stored."""
    made = make_project(tmp_path, monkeypatch)
    made.write(f"from pathlib import Path\nPath({str(tmp_path / 'imported')!r}).touch()\n{ALL_HOOKS}")
    return made


@pytest.fixture
def calls(project: Project) -> Calls:
    return Calls(project)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def digest(folder: Path) -> dict[str, tuple[int, int, str]]:
    """All that is in a folder, with its mode, the time of its last change and its content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
    }


# What is written

# $1 is a folder; the rest is a command, for which the folder is read-only: root may write whatever its mode is.
READ_ONLY = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; cd "$1"; shift; exec "$@"'
WRITING_BACKEND = ALL_HOOKS.replace("    CALLS.append", "    Path('written').touch()\n    CALLS.append", 1)


class ReadOnlyCalls(Calls):
    """Hooks of a project whose tree is mounted read-only."""

    def run(self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        read_only = ["unshare", "--mount", "sh", "-euc", READ_ONLY, "read-only", str(self.project.root)]
        super().run([*read_only, *cmd], cwd, extra_environ)


@pytest.mark.parametrize("hit", [True, False], ids=["hit", "miss"])
def test_a_read_only_source_tree(hit: bool, project: Project, out: Path) -> None:
    if hit:
        project.store()
    calls, before = ReadOnlyCalls(project), digest(project.root)
    assert calls("get_requires_for_build_wheel", None) == ([] if hit else ["more"])
    calls(METADATA_HOOK, str(out), None)
    assert calls("build_wheel", str(out), None) == WHEEL
    assert (out / WHEEL).is_file()
    assert calls.said == ""
    assert digest(project.root) == before


def test_what_a_wrapped_backend_cannot_write_it_says_itself(project: Project, out: Path) -> None:
    project.write(WRITING_BACKEND)
    calls = ReadOnlyCalls(project)
    with pytest.raises(subprocess.CalledProcessError):
        calls("build_wheel", str(out), None)
    assert "Read-only file system: 'written'" in calls.said
    assert "whb: error" not in calls.said


# What is loaded, started and installed

WATCH = """
import json, sys
before, started = set(sys.modules), []
sys.addaudithook(lambda event, arguments: started.append(event) if event in {events} else None)
import wheelhouse_builder.backend as backend
{call}
print(json.dumps([sorted(set(sys.modules) - before), started]))
"""
EVENTS = {
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.system",
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
}


def test_as_a_build_requirement_it_brings_few_and_small_wheels() -> None:
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    done = subprocess.run([*argv, str(REPOSITORY)], capture_output=True, text=True, check=True)
    assert {each["metadata"]["name"] for each in json.loads(done.stdout)["install"]} == {
        "packaging",
        "wheelhouse-builder",
    }


def watched(project: Project, call: str = "") -> tuple[set[str], list[str]]:
    """The modules that a process loads for a call, and what it starts and connects to."""
    argv = [sys.executable, "-c", WATCH.format(events=EVENTS, call=call)]
    done = subprocess.run(argv, cwd=project.root, capture_output=True, text=True, check=True)
    modules, started = json.loads(done.stdout)
    return set(modules), started


def test_the_module_of_the_hooks_loads_the_standard_library_alone(project: Project) -> None:
    modules, _ = watched(project)
    others = {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names}
    assert others == {"wheelhouse_builder", "wheelhouse_builder.backend"}


@pytest.mark.parametrize(
    "call",
    [
        "backend.get_requires_for_build_wheel(None)",
        "backend.prepare_metadata_for_build_wheel({out!r}, None)",
        "backend.build_wheel({out!r}, None)",
    ],
)
def test_a_hit_in_a_folder_loads_little_and_starts_nothing(call: str, project: Project, out: Path) -> None:
    project.store()
    modules, started = watched(project, call.format(out=str(out)))
    assert started == []
    heavy = {"asyncio", "email.parser", "http.client", "httpx", "importlib.resources", "packaging.metadata"}
    heavy |= {"packaging.requirements", "pyproject_hooks", "rich", "sqlite3", "ssl", "urllib.request", "filelock"}
    assert not modules & heavy


# Front ends


def test_a_hit_through_the_hooks(calls: Calls, out: Path) -> None:
    wheel = calls.project.store()
    before = digest(calls.project.root)
    assert calls("get_requires_for_build_wheel") == []
    assert calls(METADATA_HOOK, out) == "demo-1.0.dist-info"
    assert calls("build_wheel", out, metadata_directory=out / "demo-1.0.dist-info") == WHEEL
    assert (out / WHEEL).read_bytes() == wheel.read_bytes()
    assert not calls.imported()
    assert digest(calls.project.root) == before


def test_a_miss_through_the_hooks(calls: Calls, out: Path) -> None:
    before = digest(calls.project.root)
    assert calls("get_requires_for_build_wheel", {"a": "b"}) == ["more"]
    assert calls("build_wheel", out) == WHEEL
    assert calls("build_sdist", out) == "demo-1.0.tar.gz"
    assert calls.imported()
    assert digest(calls.project.root) == before


def test_an_unknown_hook(calls: Calls) -> None:
    calls.project.write(REQUIRED_HOOKS)
    with pytest.raises(HookMissing):
        calls("build_editable", calls.project.root)


def test_build_asks_the_hooks(calls: Calls, out: Path) -> None:
    calls.project.store()
    builder = ProjectBuilder(calls.project.root, runner=calls.run)
    assert builder.get_requires_for_build("wheel") == set()
    assert builder.build("wheel", out) == str(out / WHEEL)
    assert builder.metadata_path(out / "metadata").endswith("demo-1.0.dist-info")
    assert not calls.imported()


def test_builds_of_one_tree_take_turns(calls: Calls, tmp_path: Path) -> None:
    """Real processes: what a build notes at its start and its end is never mixed with another's."""
    notes = tmp_path / "notes"
    calls.project.write(
        f"import os, time\nfrom tests.wheels import make_wheel\nfrom pathlib import Path\nNOTES = {str(notes)!r}\n"
        "def note(text):\n    with open(NOTES, 'a') as file: file.write(f'{text} {os.getpid()}\\n')\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    note('start'); time.sleep(0.3); note('end')\n    return make_wheel(Path(folder)).name\n"
    )
    before = digest(calls.project.root)
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(lambda folder: calls("build_wheel", folder), folders)) == [WHEEL] * 3
    lines = [line.split() for line in notes.read_text().splitlines()]
    assert [word for word, _ in lines] == ["start", "end"] * 3
    assert all(first == second for (_, first), (_, second) in zip(lines[::2], lines[1::2], strict=True))
    assert digest(calls.project.root) == before


# Wheelhouses over HTTP


def send(handler: BaseHTTPRequestHandler, content: bytes, kind: str, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def files(handler: BaseHTTPRequestHandler, house: Path) -> None:
    """As a server of plain files has it: a folder's page is HTML."""
    path = house / handler.path.lstrip("/")
    if path.is_dir():
        send(handler, b"<!DOCTYPE html>", "text/html")
    elif path.is_file():
        send(handler, path.read_bytes(), "application/octet-stream")
    else:
        send(handler, b"not here", "text/plain", 404)


def negotiating(handler: BaseHTTPRequestHandler, house: Path) -> None:
    """As an index has it that reads Accept."""
    if handler.path.endswith("/") and "json" in handler.headers["Accept"]:
        page = house / handler.path.lstrip("/") / "index.v1_json"
        send(handler, page.read_bytes(), "application/vnd.pypi.simple.v1+json")
    else:
        files(handler, house)


def of_other_content(handler: BaseHTTPRequestHandler, house: Path) -> None:
    if handler.path.endswith(".whl"):
        wheel = bytearray((house / handler.path.lstrip("/")).read_bytes())
        wheel[0] ^= 1
        send(handler, bytes(wheel), "application/zip")
    else:
        files(handler, house)


def broken(handler: BaseHTTPRequestHandler, house: Path) -> None:
    send(handler, b"oh", "text/plain", 503)


def html(handler: BaseHTTPRequestHandler, house: Path) -> None:
    """As a portal that wants a log-in first."""
    send(handler, b"<!DOCTYPE html><title>Please log in</title>", "text/html")


def breaking_off(handler: BaseHTTPRequestHandler, house: Path) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"files": [')


def dripping(handler: BaseHTTPRequestHandler, house: Path) -> None:
    """A byte now and then: no single wait is long."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(120):
            handler.wfile.write(b" ")
            time.sleep(0.5)


@contextlib.contextmanager
def site(answer: Callable[[BaseHTTPRequestHandler, Path], None], house: Path, tls: Path | None = None) -> Iterator[str]:
    """A server on this machine; the URL of its index."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, house)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as the base class has it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "cert.pem", tls / "cert.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://localhost:{server.server_port}/simple/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("answer", [files, negotiating])
def test_a_hit_over_http(answer: Callable[..., None], calls: Calls, out: Path) -> None:
    wheel = calls.project.store()
    with site(answer, calls.project.house) as url:
        given = {"whb.wheelhouse": url}
        assert calls("get_requires_for_build_wheel", given) == []
        assert calls(METADATA_HOOK, out, given) == "demo-1.0.dist-info"
        assert calls("build_wheel", out, given) == WHEEL
    assert (out / WHEEL).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("answer", [files, negotiating])
def test_credentials_are_sent_and_not_shown(
    answer: Callable[..., None], calls: Calls, out: Path, tmp_path: Path
) -> None:
    calls.project.store()
    wanted = "Basic bWU6cGFzc3dvcmQ="

    def guarded(handler: BaseHTTPRequestHandler, house: Path) -> None:
        if handler.headers["Authorization"] == wanted:
            answer(handler, house)
        else:
            send(handler, b"who are you?", "text/plain", 401)

    with site(guarded, calls.project.house) as url:
        assert "401" in calls.refused("build_wheel", out, {"whb.wheelhouse": url})
        assert "netrc" in calls.said
        named = url.replace("://", "://me:password@")
        assert calls("build_wheel", out, {"whb.wheelhouse": named}) == WHEEL
        (tmp_path / "netrc").write_text("machine localhost login me password password\n")
        (tmp_path / "netrc").chmod(0o600)
        calls.environ["NETRC"] = str(tmp_path / "netrc")
        assert calls("build_wheel", out, {"whb.wheelhouse": url}) == WHEEL
        said = calls.refused("build_wheel", out, {"whb.wheelhouse": named.replace("me:", "you:")})
    assert "password" not in said.replace("user name and password", "")


def with_and_without_on_miss(calls: Calls, url: str, out: Path, message: str) -> None:
    """An error, unless a wheel that cannot be had is to be built."""
    for on_miss in (None, "fail"):
        given = {"whb.wheelhouse": url} | ({"whb.on-miss": on_miss} if on_miss else {})
        assert message in calls.refused("build_wheel", out, given)
        assert not list(out.iterdir())
    assert not calls.imported()
    calls.said = ""
    given = {"whb.wheelhouse": url, "whb.on-miss": "build"}
    assert calls("get_requires_for_build_wheel", given) == ["more"]
    assert calls("build_wheel", out, given) == WHEEL
    assert message in calls.said
    assert calls.said.count("the wheel is built") == 2
    assert calls.imported()


def test_a_wheelhouse_that_is_down(calls: Calls, out: Path) -> None:
    with_and_without_on_miss(calls, f"http://127.0.0.1:{free_port()}/simple/", out, "Connection refused")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (broken, "503"),
        (html, "is not a JSON page"),
        (breaking_off, "broke off after 11 bytes"),
        (of_other_content, "and its page says"),
    ],
)
def test_a_wheelhouse_that_answers_badly(answer: Callable[..., None], message: str, calls: Calls, out: Path) -> None:
    calls.project.store()
    with site(answer, calls.project.house) as url:
        with_and_without_on_miss(calls, url, out, message)


def test_a_wheelhouse_that_is_slow(calls: Calls, out: Path) -> None:
    """It is given up although it never stops sending; the call that may build does."""
    with site(dripping, calls.project.house) as url, ThreadPoolExecutor() as pool:
        failing = Calls(calls.project)
        refusal = pool.submit(failing.refused, "build_wheel", out / "no", {"whb.wheelhouse": url})
        given = {"whb.wheelhouse": url, "whb.on-miss": "build"}
        assert pool.submit(calls, "build_wheel", out, given).result(120) == WHEEL
        assert "no answer within 15 s" in refusal.result(120)
        assert "no answer within 15 s" in calls.said


def test_a_project_that_the_index_does_not_have_is_a_miss(calls: Calls, out: Path) -> None:
    calls.project.house.mkdir()
    with site(files, calls.project.house) as url:
        assert calls("build_wheel", out, {"whb.wheelhouse": url}) == WHEEL
    assert calls.imported()


def test_an_index_over_https_does_not_lead_out_of_it(calls: Calls, out: Path, tmp_path: Path) -> None:
    calls.project.store()
    certificates(tmp_path, "localhost")
    calls.environ["SSL_CERT_FILE"] = str(tmp_path / "ca.pem")
    with site(files, calls.project.house, tls=tmp_path) as url:
        assert calls("build_wheel", out, {"whb.wheelhouse": url}) == WHEEL
    (out / WHEEL).unlink()
    with site(files, calls.project.house) as plain:

        def leading_out(handler: BaseHTTPRequestHandler, house: Path) -> None:
            handler.send_response(302)
            handler.send_header("Location", plain.replace("/simple/", handler.path))
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        with site(leading_out, calls.project.house, tls=tmp_path) as url:
            with_and_without_on_miss(calls, url, out, "which is not encrypted")


def test_a_certificate_of_nobody_known(calls: Calls, out: Path, tmp_path: Path) -> None:
    calls.project.store()
    certificates(tmp_path, "localhost")
    with site(files, calls.project.house, tls=tmp_path) as url:
        with_and_without_on_miss(calls, url, out, "certificate verify failed")
