"""`whb serve` as it is run: real processes, real clients, TLS, sockets, signals, proxies, bad requests."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.houses import add, house_with, publish_all
from tests.integration.serve import WHB, Running, raw, status_of, wait_until, whb_serve
from tests.integration.web import certificates, free_port, serving
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.integration

SERVERS = ("uvicorn", "granian")
BIG = 64 << 20
_OF_CLIENTS = re.compile("^(PIP|UV|SSL)_|_BUNDLE$")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    """Two small projects and one large wheel."""
    root = tmp_path_factory.mktemp("served") / "wheelhouse"
    return house_with(root, "demo", "other")


def curl(*arguments: str) -> str:
    """The body; fails when curl does."""
    done = subprocess.run(["curl", "-sS", "--fail-with-body", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def status(*arguments: str) -> int:
    """The status that curl sees."""
    done = subprocess.run(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return int(done.stdout)


def pip(tmp_path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-cache-dir",
        "--no-deps",
        "--dest",
        str(tmp_path / "got"),
        *arguments,
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=client_environment(tmp_path, environ))


def uv(tmp_path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    argv = ["uv", "pip", "install", "--no-config", "--no-cache", "--target", str(tmp_path / "uv-got"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=client_environment(tmp_path, environ))


def client_environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Without what this machine tells its own clients: indexes, certificates, .netrc."""
    inherited = {name: value for name, value in os.environ.items() if not _OF_CLIENTS.search(name)}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    quiet = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # that check asks the index for pip
    return {**inherited, **quiet, "HOME": str(home), "PATH": path, **more}


def make_token(folder: Path, name: str, *scopes: str) -> str:
    """Add a token to `folder/tokens.toml` with `whb token`; what the holder gets."""
    flags = [word for scope in scopes for word in ("--scope", scope)]
    done = subprocess.run([*WHB, "token", name, *flags], capture_output=True, text=True, check=True, cwd=folder)
    file = folder / "tokens.toml"
    with file.open("a", encoding="utf-8") as stream:
        stream.write(done.stdout)
    file.chmod(0o600)
    token = done.stderr.strip().rpartition(" ")[2]
    assert token not in file.read_text(encoding="utf-8")
    return token


# Plain serving


@pytest.mark.parametrize("server", SERVERS)
def test_pip_and_uv_install(house: Wheelhouse, tmp_path: Path, server: str) -> None:
    with whb_serve(house.root, tmp_path / "run", "--server", server) as running:
        assert "generation 1, 2 projects" in running.said
        done = pip(tmp_path, "--index-url", f"{running.url}simple/", "demo")
        assert done.returncode == 0, done.stdout + done.stderr
        done = uv(tmp_path, "--default-index", f"{running.url}simple/", "demo")
        assert done.returncode == 0, done.stderr
        line = running.logs(route="project", tool=f"pip/{version_of('pip')}")
        assert (line["status"], line["path"], line["client"]) == (200, "/simple/demo/", "127.0.0.1")
        assert running.logs(route="project", tool=f"uv/{version_of('uv')}")["format"].endswith("json")
        assert 'route="project",status="200"' in curl(f"{running.url}metrics")
        assert running.stop() == 0


def version_of(distribution: str) -> str:
    from importlib.metadata import version

    return version(distribution)


def test_a_wheelhouse_without_a_generation_is_waited_for(tmp_path: Path) -> None:
    house = Wheelhouse(tmp_path / "wheelhouse")
    add(house)
    with whb_serve(house.root, tmp_path / "run") as running:
        assert "nothing to serve yet" in running.said
        assert status(f"{running.url}healthz") == 200
        assert status(f"{running.url}readyz") == 503
        assert status(f"{running.url}simple/") == 503
        publish_all(house)
        wait_until(lambda: status(f"{running.url}readyz") == 200, "readiness")
        assert "demo" in curl(f"{running.url}simple/")


def test_a_read_only_wheelhouse_and_a_user_without_rights(house: Wheelhouse, tmp_path: Path) -> None:
    """As in a container with a read-only root: another user, and a mount that takes no writes."""
    copy = tmp_path / "copy"
    shutil.copytree(house.root, copy, symlinks=True)
    for path in (tmp_path, *tmp_path.parents):
        if path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    script = f"mount --bind {copy} {copy}; mount -o remount,ro,bind {copy}; "
    script += 'exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
    launcher = ["unshare", "--mount", "sh", "-ec", script, "-"]
    with whb_serve(copy, tmp_path / "run", launcher=launcher, HOME="/nonexistent") as running:
        assert "demo" in curl(f"{running.url}simple/")
        assert status(f"{running.url}readyz") == 200
        done = pip(tmp_path, "--index-url", f"{running.url}simple/", "demo")
        assert done.returncode == 0, done.stdout + done.stderr


# Who may


@pytest.mark.parametrize("server", SERVERS)
def test_netrc_with_pip_and_uv(house: Wheelhouse, tmp_path: Path, server: str) -> None:
    token = make_token(tmp_path, "ci", "read")
    scraper = make_token(tmp_path, "prometheus", "metrics")
    with whb_serve(
        house.root, tmp_path / "run", "--server", server, "--tokens", str(tmp_path / "tokens.toml")
    ) as running:
        index = f"{running.url}simple/"
        assert pip(tmp_path, "--index-url", index, "demo", "--no-input").returncode != 0
        assert uv(tmp_path, "--default-index", index, "demo").returncode != 0
        (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login __token__ password {token}\n", encoding="utf-8")
        (tmp_path / ".netrc").chmod(0o600)
        done = pip(tmp_path, "--index-url", index, "demo")
        assert done.returncode == 0, done.stdout + done.stderr
        done = uv(tmp_path, "--default-index", index, "demo")
        assert done.returncode == 0, done.stderr
        assert running.logs(user="ci", status=200, route="project")
        assert status("-u", f"{token}:", index) == 200
        assert status("-H", f"Authorization: Bearer {token}", index) == 200
        assert status("-H", f"Authorization: Bearer {token}", f"{running.url}metrics") == 403
        assert status("-H", f"Authorization: Bearer {scraper}", f"{running.url}metrics") == 200
        assert status(f"{running.url}readyz") == 200
        assert running.stop() == 0
        log = (running.folder / "out").read_text(encoding="utf-8") + running.said
        assert token not in log
        assert scraper not in log


def test_users_and_what_happens_when_the_file_is_changed(house: Wheelhouse, tmp_path: Path) -> None:
    import bcrypt

    def line(user: str, password: str) -> str:
        return f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()}\n"

    file = tmp_path / "users"
    file.write_text(line("ann", "secret"), encoding="utf-8")
    with whb_serve(house.root, tmp_path / "run", "--htpasswd", str(file)) as running:
        page = f"{running.url}simple/"
        assert "is open to others" in running.said
        assert status("-u", "ann:secret", page) == 200
        assert status("-u", "ann:wrong", page) == 401
        file.write_text("ann:plain\n", encoding="utf-8")
        wait_until(lambda: "users and tokens: as before" in running.said, "the complaint")
        assert "plain" not in running.said.partition("as before")[2].partition("is plain text")[0]
        assert status("-u", "ann:secret", page) == 200
        file.write_text(line("bob", "other"), encoding="utf-8")
        wait_until(lambda: status("-u", "bob:other", page) == 200, "the new user")
        assert status("-u", "ann:secret", page) == 401


# TLS


@pytest.mark.parametrize("server", SERVERS)
def test_tls_with_an_authority_of_our_own_and_a_new_certificate(house: Wheelhouse, tmp_path: Path, server: str) -> None:
    _, ca, _, cert, _, key = certificates(tmp_path, "localhost")
    options = ("--host", "localhost", "--tls-cert", cert, "--tls-key", key, "--server", server)
    if server == "granian":
        options = ("--host", "127.0.0.1", *options[2:])
    with whb_serve(house.root, tmp_path / "run", *options) as running:
        url = f"https://localhost:{running.port}/simple/"
        assert "demo" in curl("--cacert", ca, url)
        assert status("--cacert", ca, "--tlsv1.2", "--tls-max", "1.2", url) == 200
        assert subprocess.run(["curl", "-s", "--cacert", ca, "--tls-max", "1.1", url], check=False).returncode != 0
        done = pip(tmp_path, "--index-url", url, "demo", PIP_CERT=ca)
        assert done.returncode == 0, done.stdout + done.stderr
        done = uv(tmp_path, "--default-index", url, "demo", SSL_CERT_FILE=ca)
        assert done.returncode == 0, done.stderr
        before = served_certificate(running)
        Path(key).write_text("broken", encoding="utf-8")
        wait_until(lambda: "certificate: as before" in running.said, "the complaint")
        assert served_certificate(running) == before
        assert "demo" in curl("--cacert", ca, url)
        certificates(tmp_path, "localhost")
        running.signal(signal.SIGHUP)
        wait_until(lambda: served_certificate(running) not in {before, ""}, "the new certificate")
        assert "demo" in curl("--cacert", ca, url)
        assert running.stop() == 0


def served_certificate(running: Running) -> str:
    import ssl

    with contextlib.suppress(OSError):
        return ssl.get_server_certificate(("127.0.0.1", running.port))
    return ""


# Sockets


@pytest.mark.parametrize("server", SERVERS)
def test_a_unix_socket(house: Wheelhouse, tmp_path: Path, server: str) -> None:
    path = tmp_path / "whb.sock"
    with socket.socket(socket.AF_UNIX) as left:  # of a server that was killed
        left.bind(str(path))
    with whb_serve(
        house.root, tmp_path / "run", "--uds", str(path), "--server", server, "--trusted-proxy", "unix"
    ) as running:
        assert "demo" in curl("--unix-socket", str(path), "-H", "X-Forwarded-For: 192.0.2.7", "http://x/simple/")
        assert running.logs(client="192.0.2.7")["status"] == 200
        second = subprocess.run(
            [*WHB, "serve", "-w", str(house.root), "--uds", str(path)], capture_output=True, check=False, text=True
        )
        assert second.returncode == 4
        assert "another server listens" in second.stderr
        assert running.stop() == 0
    assert not path.exists()


@pytest.mark.parametrize("server", SERVERS)
def test_a_socket_of_systemd(house: Wheelhouse, tmp_path: Path, server: str) -> None:
    port = free_port()
    argv = ["systemd-socket-activate", "-E", "PATH", "-E", "HOME", "-l", f"127.0.0.1:{port}"]
    argv += [*WHB, "serve", "-w", str(house.root), "--server", server]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=Path(__file__).parents[2])
    try:
        wait_until(lambda: socket_listens(port), "systemd-socket-activate")
        assert "demo" in curl("--retry", "20", "--retry-connrefused", f"http://127.0.0.1:{port}/simple/")
    finally:
        process.terminate()
        assert process.wait(60) == 0, (tmp_path / "log").read_text(encoding="utf-8")


def socket_listens(port: int) -> bool:
    found = subprocess.run(["ss", "-ltn", f"sport = :{port}"], capture_output=True, text=True, check=True)
    return str(port) in found.stdout


# Stopping


@pytest.mark.parametrize("server", SERVERS)
def test_a_running_download_is_finished(tmp_path: Path, server: str) -> None:
    house = house_with(tmp_path / "wheelhouse", "demo")
    large = add_large(house)
    with whb_serve(house.root, tmp_path / "run", "--server", server, WHB_SERVE_DRAIN_DELAY="2") as running:
        with socket.create_connection(("127.0.0.1", running.port)) as slow:
            slow.sendall(f"GET /{large} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            got = len(slow.recv(1 << 16))
            running.signal(signal.SIGTERM)
            wait_until(lambda: status(f"{running.url}readyz") == 503, "draining")
            assert "demo" in curl(f"{running.url}simple/")  # still served, for the proxies that have not noticed
            wait_until(lambda: not socket_listens(running.port), "the end of new connections")
            while chunk := slow.recv(1 << 20):
                got += len(chunk)
        assert got > BIG
        assert running.process.wait(60) == 0


def add_large(house: Wheelhouse) -> str:
    """A wheel of 64 MiB."""
    from tests.wheels import make_wheel
    from wheelhouse_builder.wheelhouse.store import record_of

    folder = house.root.parent / "made"
    with house.lock():
        wheel = make_wheel(folder, name="large", files={"large.bin": os.urandom(1 << 20) * (BIG >> 20)})
        name = house.admit(wheel, record_of(wheel, origin="built")).filename
    publish_all(house)
    return name


def test_what_does_not_end_is_ended(tmp_path: Path) -> None:
    house = house_with(tmp_path / "wheelhouse", "demo")
    large = add_large(house)
    options = {"WHB_SERVE_DRAIN_DELAY": "0", "WHB_SERVE_DRAIN_TIMEOUT": "1"}
    with whb_serve(house.root, tmp_path / "run", **options) as running:
        with socket.create_connection(("127.0.0.1", running.port)) as slow:
            slow.sendall(f"GET /{large} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            slow.recv(1000)
            assert running.stop() == 0
        assert "Traceback" not in running.said
        assert any(line.get("aborted") for line in running.logged)


# Behind a proxy


def test_behind_nginx_with_a_prefix(house: Wheelhouse, tmp_path: Path) -> None:
    token = make_token(tmp_path, "ci", "read")
    options = ("--root-path", "/wheels", "--trusted-proxy", "127.0.0.0/8", "--tokens", str(tmp_path / "tokens.toml"))
    with whb_serve(house.root, tmp_path / "run", *options) as running:
        port = free_port()
        headers = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
        site = f"""server {{
            listen 127.0.0.1:{port};
            location /wheels/ {{ proxy_pass http://127.0.0.1:{running.port}; {headers} }}
            location /wheels/stripped/ {{ proxy_pass http://127.0.0.1:{running.port}/; {headers} }}
        }}"""
        folder = tmp_path / "nginx"
        folder.mkdir()
        with serving("nginx", site, folder, port):
            for prefix in ("wheels", "wheels/stripped"):
                index = f"http://ci:{token}@127.0.0.1:{port}/{prefix}/simple/"
                done = pip(tmp_path, "--index-url", index, "demo")
                assert done.returncode == 0, done.stdout + done.stderr
                done = uv(tmp_path, "--default-index", index, "demo")
                assert done.returncode == 0, done.stderr
                moved = curl(
                    "-D-", "-o", "/dev/null", "-u", f"x:{token}", f"http://127.0.0.1:{port}/{prefix}/simple/Demo"
                )
                assert "301" in moved
                assert "location: demo/" in moved.lower()
            curl("-u", f"x:{token}", "-H", "X-Forwarded-For: 192.0.2.66", f"http://127.0.0.1:{port}/wheels/simple/")
            assert running.logs(client="192.0.2.66")
        assert status("-H", "X-Forwarded-For: 127.0.0.1", f"http://127.0.0.1:{running.port}/healthz") == 200


HOW_TO = Path(__file__).parents[2] / "docs/how-to/serve.md"


def documented(start: str) -> str:
    """The indented block of the how-to page that begins with this line."""
    found = re.search(rf"^    {re.escape(start)}\n(?:(?:    .*)?\n)*", HOW_TO.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, start
    return re.sub("^    ", "", found[0], flags=re.MULTILINE)


def test_the_units_of_the_documentation(tmp_path: Path) -> None:
    text = documented("[Unit]")
    socket_unit = text.partition("`/etc/systemd")[0]
    service = documented("[Unit]\n    Description=wheel index\n    Requires=whb.socket")
    assert "[Socket]" in socket_unit
    assert "ExecStart=/opt/whb/bin/whb serve" in service
    (tmp_path / "whb.socket").write_text(socket_unit, encoding="utf-8")
    (tmp_path / "whb.service").write_text(service.replace("/opt/whb/bin/whb", "/bin/true"), encoding="utf-8")
    argv = ["systemd-analyze", "verify", str(tmp_path / "whb.socket"), str(tmp_path / "whb.service")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "whb." in line]
    assert (done.returncode, ours) == (0, []), done.stderr
    whb = re.search(r"whb (serve .*)", service)
    assert whb
    from wheelhouse_builder.cli import command_parser

    command_parser("serve").parse_args(whb[1].split()[1:])


def test_nginx_as_the_documentation_has_it(house: Wheelhouse, tmp_path: Path) -> None:
    with whb_serve(house.root, tmp_path / "run", "--root-path", "/wheels", "--trusted-proxy", "127.0.0.1") as running:
        port = free_port()
        location = documented("location /wheels/ {").partition("\n\n")[0]
        location = location.replace("127.0.0.1:8080", f"127.0.0.1:{running.port}")
        folder = tmp_path / "nginx"
        folder.mkdir()
        with serving("nginx", f"server {{ listen 127.0.0.1:{port}; {location} }}", folder, port):
            index = f"http://127.0.0.1:{port}/wheels/simple/"
            done = pip(tmp_path, "--index-url", index, "demo")
            assert done.returncode == 0, done.stdout + done.stderr
            identity = re.search(r"x-request-id: ([0-9a-f]{32})", curl("-D-", "-o", "/dev/null", index), re.IGNORECASE)
            assert identity
            assert running.logs(id=identity[1])["status"] == 200


# Bad clients


def test_granian_closes_silent_connections_and_then_serves_who_waits(house: Wheelhouse, tmp_path: Path) -> None:
    """With fewer descriptors than there are silent clients. It takes as many connections as half of them, 384."""
    limit = ["prlimit", "--nofile=1024:1024"]
    run = whb_serve(house.root, tmp_path / "run", "--server", "granian", launcher=limit)
    with run as running, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", running.port)
        silent = [stack.enter_context(socket.create_connection(address, timeout=40)) for _ in range(500)]
        assert status("--max-time", "60", f"{running.url}simple/demo/") == 200
        assert silent[0].recv(1) == b""
        assert running.stop() == 0


def test_silent_connections_do_not_shut_out_others(house: Wheelhouse, tmp_path: Path) -> None:
    """With fewer descriptors than there are silent clients: the oldest of those have to go."""
    limit = ["prlimit", "--nofile=1024:1024"]
    with whb_serve(house.root, tmp_path / "run", launcher=limit) as running, contextlib.ExitStack() as stack:
        for number in range(2500):
            try:
                stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=60))
            except OSError as error:
                pytest.fail(f"connection {number} was refused: {error}")
        for _ in range(20):
            assert status("--max-time", "60", f"{running.url}simple/demo/") == 200
        assert status(f"{running.url}readyz") == 200
        shown = curl(f"{running.url}metrics")
        found = re.search(r"^whb_open_connections (\d+)", shown, re.MULTILINE)
        assert found
        assert int(found[1]) < 500
        assert running.stop() == 0


@pytest.mark.parametrize("server", SERVERS)
def test_half_a_request_is_not_waited_for_for_ever(house: Wheelhouse, tmp_path: Path, server: str) -> None:
    with whb_serve(house.root, tmp_path / "run", "--server", server) as running:
        answer = raw(running.port, b"GET /simple/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert answer == b"" or status_of(answer) == 408


@pytest.mark.parametrize("server", SERVERS)
def test_headers_that_are_too_large(house: Wheelhouse, tmp_path: Path, server: str) -> None:
    with whb_serve(house.root, tmp_path / "run", "--server", server) as running:
        head = b"GET /simple/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Large: "
        assert status_of(raw(running.port, head + b"a" * 20_000 + b"\r\n\r\n")) == 200
        for size in (40_000, 500_000):
            answer = raw(running.port, head + b"a" * size + b"\r\n\r\n")
            assert answer == b"" or status_of(answer) == 431  # what we still send meets a closed connection
        many = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 300) for number in range(150))
        assert status_of(raw(running.port, head + b"a\r\n" + many + b"\r\n")) == 431
        assert status(f"{running.url}simple/") == 200


BAD_HEADERS = (
    rb"""
Range: bytes=
Range: bytes=-
Range: bytes=9-1
Range: bytes=99999999999999999999-
Range: bytes=0-0,0-0,0-0
Range: lines=1-2
Range: \xff\xfe
If-Range: \xff
If-Range: W/
Accept: ;;;
Accept: \xff
Accept: text/html;q=nan
Accept-Encoding: \xc3;q=x
Authorization:
Authorization: Basic
Authorization: Basic !!!
Authorization: Basic Og==
Authorization: Basic /w==
Authorization: Bearer \xff
Authorization: Digest x
If-None-Match: "
If-Modified-Since: yesterday
X-Request-ID: a b
X-Forwarded-For: ,,,
Host: \xff
Cookie: \x01
Upgrade: websocket\r\nConnection: Upgrade
Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings
Content-Length: -1
Content-Length: 5\r\nContent-Length: 6
Transfer-Encoding: chunked\r\nContent-Length: 3
Expect: 100-continue
Expect: 200-maybe
 folded
: empty
No colon
""".decode("unicode_escape")
    .encode("latin-1")
    .strip(b"\n")
    .split(b"\n")
)
LONG_HEADERS = [
    b"Range: bytes=" + b"0-1," * 2000,
    b"Accept: " + b"a/b," * 5000,
    b"Authorization: " + b"A" * 20000,
]
BAD_LINES = (
    rb"""
GET /simple/ HTTP/9.9
GET  /simple/ HTTP/1.1
GET /simple/
\x16\x03\x01\x02\x00
PRI * HTTP/2.0
OPTIONS * HTTP/1.1
GET //simple/ HTTP/1.1
GET /simple/../../etc/passwd HTTP/1.1
GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1
GET /%00 HTTP/1.1
GET /%ff%fe.whl HTTP/1.1
GET /\xc3\xa9.whl HTTP/1.1
GET http://x/simple/ HTTP/1.1
GET http://[ HTTP/1.1
CONNECT x:1 HTTP/1.1
TRACE / HTTP/1.1
FOO / HTTP/1.1
GET /?format=%ff&format HTTP/1.1
POST /legacy/ HTTP/1.1
HEAD /demo-1.0-py3-none-any.whl HTTP/1.1
GET /demo-1.0-py3-none-any.whl/ HTTP/1.1
DELETE /simple/ HTTP/1.1
""".decode("unicode_escape")
    .encode("latin-1")
    .strip(b"\n")
    .split(b"\n")
)
LONG_LINES = [b"GET /" + b"a" * 9000 + b" HTTP/1.1", b"GET /simple/?" + b"format=&" * 500 + b" HTTP/1.1"]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("guarded", [False, True])
def test_no_request_makes_a_500(house: Wheelhouse, tmp_path: Path, server: str, guarded: bool) -> None:
    make_token(tmp_path, "ci", "read")
    options = ("--tokens", str(tmp_path / "tokens.toml")) if guarded else ()
    with whb_serve(house.root, tmp_path / "run", "--server", server, *options) as running:
        paths = (b"/simple/", b"/demo-1.0-py3-none-any.whl")
        requests = [
            b"GET %s HTTP/1.1\r\nHost: x\r\n%s" % (path, header)
            for header in BAD_HEADERS + LONG_HEADERS
            for path in paths
        ]
        requests += [line + b"\r\nHost: x" for line in BAD_LINES + LONG_LINES]
        found: dict[bytes, int] = {}
        for request in requests:
            answer = raw(running.port, request + b"\r\nConnection: close\r\n\r\n")
            if answer.startswith(b"HTTP/"):
                found[request] = status_of(answer)
        assert {request: code for request, code in found.items() if code >= 500 and code != 501} == {}
        assert len(found) > len(requests) * 0.8
        assert "Traceback" not in running.said
        assert "error" not in running.said.lower()
        if guarded:
            assert not [request for request, code in found.items() if code in {200, 206}]
        assert status(f"{running.url}healthz") == 200


# What cannot be


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--tls-cert", "nothing.pem"), 2, "nothing.pem: No such file"),
        (("--tls-cert", "text.pem", "--tls-key", "text.pem"), 2, "are no certificate with its key"),
        (("--tls-cert", "cert.pem", "--tls-key", "ca.key"), 2, "the key is that of another certificate"),
        (("--tls-cert", "cert.pem", "--tls-key", "locked.key"), 2, "is encrypted"),
        (("--htpasswd", "md5"), 2, "line 2: the password of bob is MD5"),
        (("--tokens", "nothing.toml"), 2, "nothing.toml: No such file"),
        (("--host", "nowhere.invalid"), 2, "is no address of this machine"),
        (("--host", "192.0.2.1"), 4, "cannot listen on 192.0.2.1"),
        (("--uds", "md5"), 4, "is there and is no socket"),
        (("--root-path", "/simple"), 2, "cannot be the prefix"),
        (("--access-log", "/nothing/there"), 4, "/nothing/there: No such file"),
        (("--upstream", "http://example.com/simple/"), 2, "no safe upstream index"),
    ],
)
def test_one_clear_message(
    house: Wheelhouse, tmp_path: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    certificates(tmp_path, "localhost")
    argv = ["openssl", "pkey", "-in", "cert.key", "-aes256", "-passout", "pass:x", "-out", "locked.key"]
    subprocess.run(argv, cwd=tmp_path, check=True)
    (tmp_path / "text.pem").write_text("text", encoding="utf-8")
    (tmp_path / "md5").write_text("# users\nbob:$apr1$abc$def\n", encoding="utf-8")
    argv = [*WHB, "serve", "-w", str(house.root), "--port", "0", *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert message in done.stderr


def test_a_port_in_use(house: Wheelhouse, tmp_path: Path) -> None:
    with whb_serve(house.root, tmp_path / "run") as running:
        argv = [*WHB, "serve", "-w", str(house.root), "--port", str(running.port)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 4
        assert f"port {running.port} of 127.0.0.1 is in use" in done.stderr


def test_what_is_careless_is_told(house: Wheelhouse, tmp_path: Path) -> None:
    with whb_serve(
        house.root, tmp_path / "run", "--host", "0.0.0.0", "--upload", "--upstream", "https://example.com/simple/"
    ) as running:
        said = running.said
        assert said.count("warning: ") == 5
        for text in (
            "nobody may upload",
            "anybody may read",
            "in the clear",
            "uploads come without TLS",
            "nothing is reserved",
        ):
            assert text in said


def test_the_access_log_goes_on_after_logrotate(house: Wheelhouse, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with whb_serve(house.root, tmp_path / "run", "--access-log", str(log)) as running:
        curl(f"{running.url}simple/")
        wait_until(lambda: "/simple/" in log.read_text(encoding="ascii"), "the first line")
        log.rename(tmp_path / "access.log.1")
        running.signal(signal.SIGHUP)
        wait_until(lambda: status(f"{running.url}simple/demo/") == 200 and log.exists(), "the new file")
        wait_until(lambda: "/simple/demo/" in log.read_text(encoding="ascii"), "the next line")
