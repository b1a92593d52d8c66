"""`whb publish` against a real S3 protocol server (moto) and a folder, and what real pip and uv install from there."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tests.houses import add, publish_all
from tests.integration.conftest import REPOSITORY
from tests.integration.web import free_port, running
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

KEY, SECRET = "AKIAWHBTESTS", "a-secret-that-no-output-may-show"
READABLE = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
CLIENTS = ("pip", "uv")


@dataclass(frozen=True)
class Bucket:
    """A bucket whose objects anybody may read."""

    name: str
    endpoint: str
    client: Any

    @property
    def url(self) -> str:
        """Where a client without credentials finds the objects."""
        return f"{self.endpoint}/{self.name}/team"

    @property
    def destination(self) -> str:
        return f"s3://{self.name}/team"

    def etags(self) -> dict[str, str]:
        """Each object below the prefix with its ETag."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        found = [entry for page in pages for entry in page.get("Contents", ())]
        return {entry["Key"].removeprefix("team/"): entry["ETag"] for entry in found}

    def head(self, key: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.head_object(Bucket=self.name, Key=f"team/{key}")
        return answer


@dataclass(frozen=True)
class Publisher:
    """`whb publish` for a wheelhouse, with its environment."""

    whb: Whb
    root: Path
    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def __call__(self, destination: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment | environment
        done = self.whb("publish", destination, *options, "-w", str(self.root), cwd=self.root.parent, **environment)
        assert SECRET not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def ok(self, destination: str, *options: str) -> str:
        done = self(destination, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(argv, port, tmp_path_factory.mktemp("moto") / "log"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def bucket(endpoint: str) -> Bucket:
    name = f"wheels-{uuid.uuid4()}"
    session = boto3.session.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1")
    client = session.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket=name)
    policy = {"Version": "2012-10-17", "Statement": [READABLE | {"Resource": f"arn:aws:s3:::{name}/*"}]}
    client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    return Bucket(name, endpoint, client)


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    """demo 1.0, which needs base, in one generation."""
    house = Wheelhouse(tmp_path / "wheel house")
    add(house, "demo", requires=("base",))
    add(house, "base", "1.0+a.1")  # a plus sign, which URLs write otherwise
    publish_all(house)
    return house


@pytest.fixture
def publisher(whb: Whb, house: Wheelhouse, endpoint: str) -> Publisher:
    return Publisher(whb, house.root, endpoint)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The command of each client; pip in an environment of its own."""
    folder, uv = tmp_path_factory.mktemp("pip"), [sys.executable, "-m", "uv"]
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")], check=True)
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, "pip>=26.1"], check=True)
    return {"pip": [python, "-m", "pip", "install", "--no-cache-dir"], "uv": [*uv, "pip", "install", "--no-cache"]}


@dataclass(frozen=True)
class Installer:
    """A client that installs demo into a fresh folder."""

    argv: list[str]
    folder: Path

    def __call__(self, *options: str) -> str:
        """The version of demo that these options lead to, or what the client said instead."""
        target = self.folder / f"target-{time.monotonic_ns()}"
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "AWS_"))}
        env |= {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        done = subprocess.run(
            [*self.argv, "--target", target, *options, "demo"], env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            return done.stderr
        assert [path.name for path in target.glob("base-*.dist-info")] == ["base-1.0+a.1.dist-info"]
        return next(target.glob("demo-*.dist-info")).name.removeprefix("demo-").removesuffix(".dist-info")


@pytest.fixture(params=CLIENTS)
def install(request: pytest.FixtureRequest, clients: dict[str, list[str]], tmp_path: Path) -> Installer:
    return Installer(clients[request.param], tmp_path)


def test_a_plain_bucket_is_an_index(publisher: Publisher, bucket: Bucket, install: Installer) -> None:
    publisher.ok(bucket.destination)
    assert install("--index-url", f"{bucket.url}/simple/") == "1.0"
    assert install("--no-index", "--find-links", f"{bucket.url}/links/") == "1.0"
    assert install("--no-index", "--find-links", f"{bucket.url}/links/index.html") == "1.0"


def test_a_plain_bucket_without_directory_pages_is_a_page_of_links(
    publisher: Publisher, bucket: Bucket, install: Installer
) -> None:
    publisher.ok(bucket.destination, "--directory-pages", "none")
    assert install("--index-url", f"{bucket.url}/simple/") != "1.0"
    assert install("--no-index", "--find-links", f"{bucket.url}/links/index.html") == "1.0"


def test_json_directory_pages_give_every_client_cut_off_dates(
    publisher: Publisher, bucket: Bucket, install: Installer
) -> None:
    publisher.ok(bucket.destination, "--directory-pages", "json")
    index = ("--index-url", f"{bucket.url}/simple/")
    cut = "--exclude-newer" if "uv" in install.argv else "--uploaded-prior-to"
    assert install(*index, cut, "2026-02-01T00:00:00Z") == "1.0"
    assert install(*index, cut, "2026-01-01T00:00:00Z") != "1.0"


def test_a_folder_is_an_index_for_any_web_server(publisher: Publisher, tmp_path: Path, install: Installer) -> None:
    port, out = free_port(), tmp_path / "out"
    out.mkdir()
    said = publisher.ok(str(out))
    assert "copied" in said
    assert "nothing new" in publisher.ok(out.as_uri())
    argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(out)]
    with running(argv, port, tmp_path / "log"):
        assert install("--index-url", f"http://127.0.0.1:{port}/simple/") == "1.0"


def test_each_object_has_the_headers_that_clients_and_caches_need(publisher: Publisher, bucket: Bucket) -> None:
    publisher.ok(bucket.destination)
    page, wheel = bucket.head("simple/demo/index.v1_json"), bucket.head("demo-1.0-py3-none-any.whl")
    assert page["ContentType"] == "application/vnd.pypi.simple.v1+json"
    assert page["CacheControl"] == "public, max-age=300"
    assert wheel["CacheControl"] == "public, max-age=31536000, immutable"
    assert len(wheel["Metadata"]["sha256"]) == 64
    assert bucket.head("simple/demo/")["ContentType"] == "text/html; charset=utf-8"
    assert bucket.head("simple/demo/index.html.gz")["ContentEncoding"] == "gzip"


def test_a_roll_back_and_its_publication_take_a_version_and_a_project_back(
    publisher: Publisher, bucket: Bucket, house: Wheelhouse, install: Installer
) -> None:
    publisher.ok(bucket.destination)
    before = bucket.etags()
    add(house, "demo", "2.0", requires=("base",))
    add(house, "extra")
    publish_all(house)
    assert "copied" in publisher.ok(bucket.destination)
    assert install("--index-url", f"{bucket.url}/simple/") == "2.0"
    assert "simple/extra/" in bucket.etags()
    publisher.whb.ok("rollback", "-w", str(house.root), cwd=house.root.parent)
    assert "1 no longer in the index" in publisher.ok(bucket.destination)
    assert install("--index-url", f"{bucket.url}/simple/") == "1.0"
    left = bucket.etags()
    assert {key for key in left.keys() - before.keys() if ".whl" not in key} == set()
    assert {key: left[key] for key in before if key != "whb-manifest.json"} == {
        key: before[key] for key in before if key != "whb-manifest.json"
    }
    assert "copied" in publisher.ok(bucket.destination, "--generation", "2")
    assert install("--index-url", f"{bucket.url}/simple/") == "2.0"


def test_other_content_under_the_name_of_a_wheel_is_exit_code_5(publisher: Publisher, bucket: Bucket) -> None:
    name = "demo-1.0-py3-none-any.whl"
    bucket.client.put_object(Bucket=bucket.name, Key=f"team/{name}", Body=b"other")
    done = publisher(bucket.destination)
    assert done.returncode == 5
    assert f"other content is at the destination under the name of: {name}" in done.stderr
    assert list(bucket.etags()) == [name]


def test_dry_run_and_json(publisher: Publisher, bucket: Bucket) -> None:
    done = publisher(bucket.destination, "--dry-run", "--json")
    document = json.loads(done.stdout)
    assert (document["schema"], document["generation"], document["dry_run"]) == ("whb.copied/1", 1, True)
    assert "demo-1.0-py3-none-any.whl" in document["uploads"]
    assert bucket.etags() == {}
    assert json.loads(publisher.ok(bucket.destination, "--json"))["uploads"] == document["uploads"]
    assert json.loads(publisher.ok(bucket.destination, "--json"))["changed"] is False


def test_full_verification_finds_and_repairs_a_page(publisher: Publisher, bucket: Bucket) -> None:
    publisher.ok(bucket.destination)
    key = "simple/demo/index.html"
    good = bucket.etags()[key]
    bucket.client.put_object(Bucket=bucket.name, Key=f"team/{key}", Body=b"x", Metadata={"sha256": "y"})
    assert "nothing new" in publisher.ok(bucket.destination)
    assert "copied 1 objects" in publisher.ok(bucket.destination, "--verify", "full")
    assert bucket.etags()[key] == good


@pytest.fixture
def big(house: Wheelhouse) -> Wheelhouse:
    """A hundred objects more."""
    for number in range(15):
        add(house, f"filler-{number}")
    add(house, "demo", "2.0", requires=("base",))
    publish_all(house)
    return house


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("count", [16, 60])  # among the wheels, among the pages
def test_a_publication_that_is_killed_leaves_the_old_index_and_is_completed(
    publisher: Publisher,
    bucket: Bucket,
    big: Wheelhouse,
    clients: dict[str, list[str]],
    how: signal.Signals,
    count: int,
) -> None:
    install = Installer(clients["uv"], big.root.parent)
    publisher.ok(bucket.destination, "--generation", "1")
    root, already = bucket.etags()["simple/index.html"], len(bucket.etags())
    argv = [sys.executable, "-m", "wheelhouse_builder", "publish", bucket.destination, "-w", str(big.root)]
    argv += ["--concurrency", "2"]
    process = subprocess.Popen(argv, env={**os.environ, **publisher.environment}, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(bucket.etags()) >= already + count)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 130}[how], said
    assert bucket.etags()["simple/index.html"] == root
    assert install("--index-url", f"{bucket.url}/simple/") in {"1.0", "2.0"}
    places = (bucket.destination, f"s3://{bucket.name}/elsewhere")
    left, all_of_it = (json.loads(publisher.ok(to, "--dry-run", "--json"))["uploads"] for to in places)
    assert 0 < len(left) < len(all_of_it) - count / 2
    publisher.ok(bucket.destination)
    assert install("--index-url", f"{bucket.url}/simple/") == "2.0"
    assert "nothing new" in publisher.ok(bucket.destination, "--verify", "full")


def test_two_publishers_at_once(
    publisher: Publisher, bucket: Bucket, big: Wheelhouse, clients: dict[str, list[str]]
) -> None:
    argv = [sys.executable, "-m", "wheelhouse_builder", "publish", bucket.destination, "-w", str(big.root)]
    env = {**os.environ, **publisher.environment}
    both = [subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "12"]
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in both]
    assert {code for _, code in ends} <= {0, 1}, ends
    assert all(code == 0 or "another `whb publish`" in said for said, code in ends)
    publisher.ok(bucket.destination)
    install = Installer(clients["pip"], big.root.parent)
    assert install("--index-url", f"{bucket.url}/simple/") == "2.0"


def test_a_bucket_that_is_not_there(publisher: Publisher, endpoint: str) -> None:
    done = publisher("s3://no-such-bucket/x")
    assert done.returncode == 2
    assert "there is no bucket for s3://no-such-bucket/x" in done.stderr


def test_an_endpoint_that_is_down(publisher: Publisher) -> None:
    done = publisher("s3://wheels", AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}", AWS_MAX_ATTEMPTS="2")
    assert done.returncode == 4
    assert "cannot reach s3://wheels" in done.stderr


def test_no_credentials(publisher: Publisher, tmp_path: Path) -> None:
    nothing = {"AWS_CONFIG_FILE": str(tmp_path / "no"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no")}
    nothing |= {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    done = publisher("s3://wheels", **nothing)
    assert done.returncode == 4
    assert "no credentials for s3://wheels" in done.stderr


def test_wrong_credentials(publisher: Publisher, tmp_path: Path) -> None:
    """moto checks credentials only if it is told to."""
    port = free_port()
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(argv, port, tmp_path / "log", {"INITIAL_NO_AUTH_ACTION_COUNT": "0"}):
        done = publisher("s3://wheels", AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    assert done.returncode == 4
    assert "s3://wheels/ refuses: InvalidAccessKeyId" in done.stderr
    assert "check the credentials" in done.stderr


def test_the_policy_of_the_how_to_is_all_that_a_publisher_needs(publisher: Publisher, tmp_path: Path) -> None:
    text = (REPOSITORY / "docs/how-to/object-store.md").read_text(encoding="utf-8")
    policy = re.search(r"^    \{.*?^    \}", text, re.MULTILINE | re.DOTALL)
    assert policy is not None
    port = free_port()
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(argv, port, tmp_path / "log", {"INITIAL_NO_AUTH_ACTION_COUNT": "4"}):  # the four actions below
        url = f"http://127.0.0.1:{port}"
        session = boto3.session.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1")
        session.client("s3", endpoint_url=url).create_bucket(Bucket="wheels")
        iam = session.client("iam", endpoint_url=url)
        iam.create_user(UserName="whb")
        iam.put_user_policy(UserName="whb", PolicyName="whb", PolicyDocument=policy[0])
        key = iam.create_access_key(UserName="whb")["AccessKey"]
        env = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        for destination, code in [("s3://wheels/team", 0), ("s3://wheels/others", 4)]:
            done = publisher(destination, "--verify", "listing", **env, AWS_ENDPOINT_URL=url)
            assert done.returncode == code, done.stderr


@pytest.fixture
def flaky(endpoint: str) -> Iterator[str]:
    """The endpoint, through a proxy that answers every third request with `503 SlowDown`."""
    counter = iter(range(10**6))
    target = endpoint.removeprefix("http://")

    class Proxy(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if next(counter) % 3 == 0:
                self._answer(503, {}, b"<Error><Code>SlowDown</Code><Message>wait</Message></Error>")
                return
            connection = http.client.HTTPConnection(target)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            connection.request(self.command, self.path, body, headers)
            with connection.getresponse() as answer:
                self._answer(answer.status, dict(answer.getheaders()), answer.read())
            connection.close()

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            own = {"content-length", "transfer-encoding", "connection"}
            for name, value in headers.items():
                if name.lower() not in own:
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
            self.send_header("Content-Length", length)
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_store_that_wants_us_to_slow_down_gets_every_object_all_the_same(
    publisher: Publisher, bucket: Bucket, flaky: str, clients: dict[str, list[str]]
) -> None:
    done = publisher(bucket.destination, AWS_ENDPOINT_URL=flaky, AWS_MAX_ATTEMPTS="8")
    assert done.returncode == 0, done.stderr
    assert Installer(clients["uv"], publisher.root.parent)("--index-url", f"{bucket.url}/simple/") == "1.0"
    assert "nothing new" in publisher.ok(bucket.destination, "--verify", "full")


def test_no_generation_to_publish(whb: Whb, publisher: Publisher, tmp_path: Path) -> None:
    done = whb("publish", "out", "-w", str(tmp_path / "nothing"), cwd=tmp_path)
    assert (done.returncode, "has no published generation" in done.stderr) == (2, True)
    done = publisher("out", "--generation", "7")
    assert (done.returncode, "kept are 1" in done.stderr) == (2, True)
