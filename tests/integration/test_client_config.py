"""What `whb client-config` prints, used as it is printed: real pip, uv, nginx, Apache, Caddy."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import bcrypt
import boto3
import httpx
import moto
import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.integration.web import Site, certificates, free_port, running, serving
from tests.wheels import make_wheel
from wheelhouse_builder.client_config.address import parse_url
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of
from wheelhouse_builder.wheelhouse.stubs import admit_stub, stub_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

SERVERS = ("nginx", "apache", "caddy")
JSON, HTML = "application/vnd.pypi.simple.v1+json", "text/html"
PIP_ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
UV_ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
CFFI, STUB = "cffi-99.1-py3-none-any.whl", "cffi-99.1.tar.gz"
USER, PASSWORD = "ci-bot", "PASSWORD"  # the latter as printed in netrc


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the web servers' own users can read."""
    with tempfile.TemporaryDirectory(prefix="whb-clients-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def wheelhouse(folder: Path) -> Path:
    """A published wheelhouse: a cffi that runs anywhere, newer than any in the public index, and what it depends on.

    There is a stub of cffi too.
    """
    house = Wheelhouse(folder / "wheelhouse")
    with house.lock():
        for name, version, requires in (("cffi", "99.1", ("pycparser",)), ("pycparser", "99.0", ())):
            wheel = make_wheel(folder, name=name, version=version, requires=requires)
            house.admit(wheel, record_of(wheel, origin="built"))
        admit_stub(house, stub_of(house, canonicalize_name("cffi"), Version("99.1"), str(house.root)))
        publish(house, {})
    return house.root


@contextmanager
def site(kind: str, whb: Whb, wheelhouse: Path, *options: str, host: str = "127.0.0.1") -> Iterator[Site]:
    """A web server that serves the wheelhouse as `whb client-config` says, with these options."""
    with tempfile.TemporaryDirectory(prefix=f"whb-{kind}-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        scheme = "https" if "--tls-key" in options else "http"
        made = Site(url=f"{scheme}://{host}:{port}/", whb=whb, folder=folder, options=options)
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        (folder / "wheelhouse.htpasswd").write_text(f"{USER}:{hashed}\n", encoding="utf-8")
        text = made.config(kind, "--wheelhouse", str(wheelhouse))
        with serving(kind, text, folder, port, {"WHEELHOUSE_PASSWORD_HASH": hashed}):
            yield made


@pytest.fixture(scope="module", params=SERVERS)
def served(request: pytest.FixtureRequest, whb: Whb, wheelhouse: Path) -> Iterator[Site]:
    with site(request.param, whb, wheelhouse) as made:
        yield made


@pytest.fixture(scope="module")
def nginx(whb: Whb, wheelhouse: Path) -> Iterator[Site]:
    with site("nginx", whb, wheelhouse) as made:
        yield made


@pytest.fixture(scope="module", params=["22.3.1", "newest"])
def pip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of pip, which Python can run as it is."""
    wanted = "pip" if request.param == "newest" else f"pip=={request.param}"
    into = tmp_path_factory.mktemp("pip")
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(into), wanted], check=True)
    (wheel,) = into.glob("pip-*.whl")
    return wheel


def call(argv: list[str], home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a client that knows nothing of this machine's own settings."""
    own = ("PIP_", "UV_", "XDG_", "CURL_", "REQUESTS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    env = {**kept, "HOME": str(home), "UV_CACHE_DIR": str(home / "uv"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(argv, env={**env, **environment}, cwd=home, capture_output=True, text=True, check=False)


def pip_installs(pip: Path, home: Path, *arguments: str, **environment: str) -> str:
    """Install cffi; what pip said. Fails when that is not the wheelhouse's."""
    argv = [sys.executable, f"{pip}/pip", "install", "--target", str(home / "site"), *(arguments or ("cffi",))]
    done = call(argv, home, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(home / "site") == {"cffi-99.1", "pycparser-99.0"}
    return done.stdout + done.stderr


def uv_installs(home: Path, *arguments: str, **environment: str) -> str:
    """The same with uv."""
    target = ["--target", str(home / "site"), "--python", sys.executable]
    done = call(["uv", "pip", "install", "-v", *target, *(arguments or ("cffi",))], home, **environment)
    assert done.returncode == 0, done.stderr
    assert installed(home / "site") == {"cffi-99.1", "pycparser-99.0"}
    return done.stderr


def installed(site_packages: Path) -> set[str]:
    return {path.name.removesuffix(".dist-info") for path in site_packages.glob("*.dist-info")}


def test_pages_are_negotiated(served: Site) -> None:
    for path in ("simple/", "simple/cffi/"):
        for accept, wanted in (
            (PIP_ACCEPT, JSON),
            (UV_ACCEPT, JSON),
            ("application/vnd.pypi.simple.latest+json", JSON),
            ("text/html, application/xhtml+xml, */*;q=0.8", HTML),
            ("*/*", HTML),
            (HTML, HTML),
            ("application/vnd.pypi.simple.v1+html", HTML),
            (f"{JSON};q=0, text/html;q=0.5", HTML),
            (f"{JSON};q=0.000, text/html", HTML),
            (f"text/html;q=0.1, {JSON};q=0.5", JSON),
        ):
            got = httpx.get(served.url + path, headers={"Accept": accept})
            assert (got.status_code, got.headers["content-type"].partition(";")[0]) == (200, wanted), (path, accept)
            assert "accept" in got.headers["vary"].lower().replace(" ", "").split(",")
            assert got.headers["cache-control"] == "max-age=60"
            assert got.text.startswith('{"meta"' if wanted == JSON else "<!DOCTYPE html>")


def test_no_accept_gets_html(served: Site) -> None:
    with httpx.Client() as client:
        request = client.build_request("GET", served.url + "simple/cffi/")
        del request.headers["accept"]
        assert client.send(request).headers["content-type"].startswith(HTML)


@pytest.mark.parametrize("accept", [JSON, HTML])
def test_pages_come_compressed_as_they_lie_there(served: Site, wheelhouse: Path, accept: str) -> None:
    name = "index.v1_json" if accept == JSON else "index.html"
    with httpx.stream("GET", served.url + "simple/cffi/", headers={"Accept": accept, "Accept-Encoding": "gzip"}) as got:
        raw = b"".join(got.iter_raw())
        assert got.headers["content-encoding"] == "gzip"
        assert "accept-encoding" in got.headers["vary"].lower()
    assert raw == (wheelhouse / "simple/cffi" / f"{name}.gz").read_bytes()
    plain = httpx.get(served.url + "simple/cffi/", headers={"Accept": accept, "Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == gzip.decompress(raw)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("accept", [JSON, HTML])
def test_what_is_as_it_was_is_not_sent_again(served: Site, accept: str, encoding: str) -> None:
    headers = {"Accept": accept, "Accept-Encoding": encoding}
    first = httpx.get(served.url + "simple/cffi/", headers=headers)
    again = httpx.get(served.url + "simple/cffi/", headers={**headers, "If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == first.headers["cache-control"]
    assert again.headers["vary"] == first.headers["vary"]


def test_each_form_has_its_own_etag(served: Site) -> None:
    forms = [(accept, encoding) for accept in (JSON, HTML) for encoding in ("identity", "gzip")]
    headers = [{"Accept": accept, "Accept-Encoding": encoding} for accept, encoding in forms]
    assert len({httpx.get(served.url + "simple/cffi/", headers=each).headers["etag"] for each in headers}) == len(forms)


def test_wheels_are_immutable_and_come_in_parts(served: Site, wheelhouse: Path) -> None:
    content = (wheelhouse / CFFI).read_bytes()
    whole = httpx.get(served.url + CFFI)
    assert (whole.content, whole.headers["cache-control"]) == (content, "max-age=31536000, immutable")
    assert "content-encoding" not in whole.headers
    part = httpx.get(served.url + CFFI, headers={"Range": "bytes=10-19", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, content[10:20])
    metadata = httpx.get(served.url + CFFI + ".metadata")
    assert metadata.content == (wheelhouse / f"{CFFI}.metadata").read_bytes()


def test_stubs_come_as_they_are(served: Site, wheelhouse: Path) -> None:
    """A server that takes them for something compressed has clients unpack them before they compare the hash."""
    answer = httpx.get(served.url + STUB, headers={"Accept-Encoding": "gzip"})
    assert (answer.status_code, answer.content) == (200, (wheelhouse / STUB).read_bytes())
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["cache-control"] == "max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (".whb/", 404),
        (".whb/records.sqlite", 404),
        (".whb/current/manifest.json", 404),
        ("simple/nothing/", 404),
        ("nothing-1.0-py3-none-any.whl", 404),
        ("simple/../.whb/records.sqlite", 404),
        ("simple/%2e%2e/.whb/records.sqlite", 404),
        ("simple/%2e%2e/%2ewhb/records.sqlite", 404),
        ("simple", 301),
        ("simple/cffi", 301),
        ("links", 301),
        ("links/", 200),
    ],
)
def test_only_what_is_published_is_there(served: Site, path: str, status: int) -> None:
    host, port = served.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port))) as raw:  # a client library would tidy the path
        raw.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        with raw.makefile("rb") as answer:
            head = answer.read().partition(b"\r\n\r\n")[0].decode()
    assert int(head.split()[1]) in ({404, 400, 403} if status == 404 else {status, 308 if status == 301 else status})
    if status == 301:
        location = next(line for line in head.splitlines() if line.lower().startswith("location:")).split()[1]
        assert location.removeprefix(served.url.rstrip("/")) == f"/{path}/"


def test_it_is_all_that_an_index_should_be(served: Site, whb: Whb) -> None:
    """By `whb check`; what Apache lacks is a header of an answer that no client asks for."""
    document = json.loads(whb("check", served.url + "simple/", "--json", cwd=served.folder).stdout)
    assert document["score"]["MUST"]["passed"] > 50
    failed = {check["id"]: check["findings"] for check in document["checks"] if check["result"] == "failed"}
    assert failed.keys() <= {"files.ranges.beyond"}, failed


def test_clients_install_through_it(served: Site, pip: Path, tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(served.config("pip"), encoding="utf-8")
    pip_installs(pip, tmp_path, PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))


def test_uv_installs_through_it(served: Site, tmp_path: Path) -> None:
    (tmp_path / "uv.toml").write_text(served.config("uv"), encoding="utf-8")
    uv_installs(tmp_path)


def test_pip_installs_from_one_page(nginx: Site, pip: Path, tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(nginx.config("pip-links"), encoding="utf-8")
    said = pip_installs(pip, tmp_path, PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    assert f"Looking in links: {nginx.url}links/" in said
    assert "Looking in indexes" not in said


def test_pip_forgets_the_extra_index_of_the_machine(nginx: Site, pip: Path, tmp_path: Path) -> None:
    """As on a Raspberry Pi, whose /etc/pip.conf has one."""
    machine = tmp_path / "etc/pip/pip.conf"
    machine.parent.mkdir(parents=True)
    machine.write_text("[global]\nextra-index-url = http://127.0.0.1:9/simple\n", encoding="utf-8")
    own = tmp_path / ".config/pip/pip.conf"
    own.parent.mkdir(parents=True)
    own.write_text(nginx.config("pip"), encoding="utf-8")
    said = pip_installs(pip, tmp_path, XDG_CONFIG_DIRS=str(tmp_path / "etc"))
    assert "127.0.0.1:9" not in said
    assert f"Looking in indexes: {nginx.url}simple/" in said


def test_uv_forgets_the_other_index_of_the_machine(nginx: Site, tmp_path: Path) -> None:
    """Only as the text says, by UV_CONFIG_FILE: uv joins the lists of indexes of all the files that it finds."""
    own = tmp_path / ".config/uv/uv.toml"
    own.parent.mkdir(parents=True)
    own.write_text('[[index]]\nname = "other"\nurl = "http://127.0.0.1:9/simple/"\n', encoding="utf-8")
    (tmp_path / "uv.toml").write_text(nginx.config("uv"), encoding="utf-8")
    said = uv_installs(tmp_path, UV_CONFIG_FILE=str(tmp_path / "uv.toml"))
    assert "127.0.0.1:9" not in said
    found = call(
        ["uv", "pip", "install", "--target", "x", "--python", sys.executable, "cffi"], tmp_path, UV_NO_CACHE="1"
    )
    assert (found.returncode, "127.0.0.1:9" in found.stderr) == (2, True)


def test_uv_takes_only_what_is_named_from_it(nginx: Site, tmp_path: Path) -> None:
    project = '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["cffi", "six"]\n'
    (tmp_path / "pyproject.toml").write_text(project + nginx.config("uv-explicit"), encoding="utf-8")
    done = call(["uv", "lock", "--python", sys.executable], tmp_path)
    assert done.returncode == 0, done.stderr
    lock = (tmp_path / "uv.lock").read_text(encoding="utf-8")
    assert f'name = "cffi"\nversion = "99.1"\nsource = {{ registry = "{nginx.url}simple/" }}' in lock
    assert lock.count(f'registry = "{nginx.url}simple/"') == 1  # neither six nor pycparser


def test_the_environment_alone_is_enough(nginx: Site, pip: Path, tmp_path: Path) -> None:
    (tmp_path / "wheelhouse.env").write_text(nginx.config("env"), encoding="utf-8")
    own = tmp_path / ".config/pip/pip.conf"
    own.parent.mkdir(parents=True)
    own.write_text("[global]\nextra-index-url = http://127.0.0.1:9/simple\n", encoding="utf-8")
    script = '. ./wheelhouse.env; exec "$@"'
    for argv in ([sys.executable, f"{pip}/pip"], ["uv", "pip"]):
        target = [
            "--target",
            str(tmp_path / argv[-1].rpartition("/")[2]),
            *(["--python", sys.executable] * ("uv" in argv)),
        ]
        done = call(["sh", "-aec", script, "sh", *argv, "install", *target, "cffi"], tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "127.0.0.1:9" not in done.stdout + done.stderr
        assert installed(Path(target[1])) == {"cffi-99.1", "pycparser-99.0"}


@pytest.mark.parametrize("kind", SERVERS)
def test_the_password_comes_from_netrc(kind: str, whb: Whb, wheelhouse: Path, tmp_path: Path, pip: Path) -> None:
    with site(kind, whb, wheelhouse, "--user", USER) as made:
        refused = httpx.get(made.url + "simple/")
        assert (refused.status_code, refused.headers["www-authenticate"].partition(" ")[0]) == (401, "Basic")
        assert httpx.get(made.url + CFFI).status_code == 401
        (tmp_path / "pip.conf").write_text(made.config("pip"), encoding="utf-8")
        (tmp_path / "uv.toml").write_text(made.config("uv"), encoding="utf-8")
        for directory in ("pip-home", "uv-home"):
            home = tmp_path / directory
            home.mkdir()
            (home / ".netrc").write_text(made.config("netrc"), encoding="utf-8")
            (home / ".netrc").chmod(0o600)
        pip_installs(pip, tmp_path / "pip-home", PIP_CONFIG_FILE=str(tmp_path / "pip.conf"), PIP_NO_INPUT="1")
        uv_installs(tmp_path / "uv-home", UV_CONFIG_FILE=str(tmp_path / "uv.toml"))


def own_address() -> str:
    """An address of this machine that is not its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        return str(probe.getsockname()[0])


def test_plain_http_works_as_printed_and_not_without(whb: Whb, wheelhouse: Path, tmp_path: Path, pip: Path) -> None:
    with site("nginx", whb, wheelhouse, host=own_address()) as made:
        assert parse_url(made.url).unprotected
        for kind in ("pip", "pip-links"):
            home, config = tmp_path / kind, tmp_path / f"{kind}.conf"
            home.mkdir()
            text = made.config(kind)
            config.write_text(text, encoding="utf-8")
            pip_installs(pip, home, PIP_CONFIG_FILE=str(config))
            config.write_text(text.replace("trusted-host", "#"), encoding="utf-8")
            argv = [sys.executable, f"{pip}/pip", "download", "cffi"]
            assert call(argv, home, PIP_CONFIG_FILE=str(config)).returncode == 1
        (tmp_path / "uv.toml").write_text(made.config("uv"), encoding="utf-8")
        uv_installs(tmp_path)


@pytest.mark.parametrize("kind", SERVERS)
def test_https_with_an_authority_of_ones_own(kind: str, whb: Whb, wheelhouse: Path, folder: Path, pip: Path) -> None:
    tls = certificates(folder, "localhost")
    with tempfile.TemporaryDirectory() as name, site(kind, whb, wheelhouse, *tls, host="localhost") as made:
        home = Path(name)
        (home / "pip.conf").write_text(made.config("pip"), encoding="utf-8")
        pip_installs(pip, home, PIP_CONFIG_FILE=str(home / "pip.conf"))
        shutil.rmtree(home / "site")
        (home / "uv.toml").write_text(text := made.config("uv"), encoding="utf-8")
        (variable,) = re.findall(r"^# .* (SSL_CERT_FILE)=(.*)$", text, re.MULTILINE)
        uv_installs(home, **dict([variable]))
        shutil.rmtree(home / "site")
        (home / "wheelhouse.env").write_text(made.config("env"), encoding="utf-8")
        script = [
            "sh",
            "-aec",
            '. ./wheelhouse.env; exec "$@"',
            "sh",
            "uv",
            "pip",
            "install",
            "--target",
            "site",
            "cffi",
        ]
        assert call([*script, "--python", sys.executable], home).returncode == 0
        assert installed(home / "site") == {"cffi-99.1", "pycparser-99.0"}


@pytest.mark.parametrize("path", ["", "team/wheels/"])
def test_nginx_in_front_of_the_server(path: str, whb: Whb, wheelhouse: Path, tmp_path: Path, pip: Path) -> None:
    port, behind, folder = free_port(), free_port(), tmp_path / "nginx"
    folder.mkdir()
    tls = certificates(folder, "localhost")
    made = Site(url=f"https://localhost:{port}/{path}", whb=whb, folder=folder, options=tls)
    text = made.config("nginx-proxy", "--backend", f"127.0.0.1:{behind}")
    (command,) = re.findall(r"^#   whb (.*)$", text, re.MULTILINE)
    serve = [sys.executable, "-m", "wheelhouse_builder", *command.split(), "--port", str(behind), "-w", str(wheelhouse)]
    log = tmp_path / "serve.log"
    with running(serve, behind, log), serving("nginx", text, folder, port):
        (tmp_path / "pip.conf").write_text(made.config("pip"), encoding="utf-8")
        pip_installs(pip, tmp_path, PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
        trusted = ssl.create_default_context(cafile=tls[1])
        moved = httpx.get(made.url + "simple", verify=trusted, follow_redirects=True)
        assert (moved.status_code, str(moved.url)) == (200, made.url + "simple/")
    requests = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    assert {request["client"] for request in requests} == {"127.0.0.1"}


VECTORS = [
    ("/simple/", PIP_ACCEPT, "/simple/index.v1_json"),
    ("/simple/cffi/", UV_ACCEPT, "/simple/cffi/index.v1_json"),
    ("/simple/cffi/", "application/vnd.pypi.simple.latest+json", "/simple/cffi/index.v1_json"),
    ("/simple/cffi/", f"{JSON};q=0, text/html", "/simple/cffi/index.html"),
    ("/simple/cffi/", f"text/html, {JSON}; q=0.000", "/simple/cffi/index.html"),
    ("/simple/cffi/", f"{JSON}; q=0.1, application/*;q=0.9, text/html;q=0.5", "/simple/cffi/index.html"),
    ("/simple/cffi/", f"text/html ; q=0.1, {JSON} ; q=0.5", "/simple/cffi/index.v1_json"),
    ("/simple/cffi/", "APPLICATION/*, */*;q=0.1", "/simple/cffi/index.v1_json"),
    ("/simple/cffi/", ",;, ;q=x", "/simple/cffi/index.html"),
    ("/simple/cffi/", "*/*", "/simple/cffi/index.html"),
    ("/simple/cffi/", None, "/simple/cffi/index.html"),
    ("/links/", PIP_ACCEPT, "/links/index.html"),
    ("/browse/", HTML, "/browse/index.html"),
    ("/simple/cffi", PIP_ACCEPT, 301),
    ("/simple", PIP_ACCEPT, 301),
    (f"/{CFFI}", "*/*", f"/{CFFI}"),
    ("/simple/cffi/about.html", HTML, "/simple/cffi/about.html"),
    ("/simple/../x", HTML, "/simple/../x"),
]


def test_the_function_of_cloudfront_finds_the_page(whb: Whb, tmp_path: Path) -> None:
    """In Chromium, whose JavaScript has all that CloudFront's has."""
    done = whb.ok("client-config", "cloudfront", "--url", "https://wheels.example/", cwd=tmp_path)
    requests = [
        {"uri": path, "headers": {"accept": {"value": accept}} if accept else {}} for path, accept, _ in VECTORS
    ]
    call = "events.map(request => handler({request: request})).map(got => got.statusCode || got.uri)"
    script = f"{done.stdout}; const events = {json.dumps(requests)}; document.body.textContent = JSON.stringify({call})"
    page = tmp_path / "page.html"
    page.write_text(f"<body><script>{script}</script></body>", encoding="utf-8")
    argv = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(tmp_path)})
    (answer,) = re.findall(r"<body>(.*)</body>", shown.stdout)
    assert json.loads(answer) == [wanted for _, _, wanted in VECTORS]


def test_s3_takes_the_policy_and_the_website(whb: Whb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    arguments = ("--url", "https://wheels.example/", "--bucket", "a-bucket")
    policy, website = (
        whb.ok("client-config", f"s3-{kind}", *arguments, cwd=tmp_path).stdout for kind in ("policy", "website")
    )
    with moto.mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="a-bucket")
        s3.put_bucket_policy(Bucket="a-bucket", Policy=policy)
        s3.put_bucket_website(Bucket="a-bucket", WebsiteConfiguration=json.loads(website))
        assert json.loads(s3.get_bucket_policy(Bucket="a-bucket")["Policy"])["Statement"][0]["Action"] == "s3:GetObject"
        assert s3.get_bucket_website(Bucket="a-bucket")["IndexDocument"] == {"Suffix": "index.html"}
