"""Uploads by real twine and real uv to a real server, and by clients that mean harm."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.houses import house_with
from tests.integration.serve import Running, status_of, wait_until, whb_serve
from tests.integration.web import certificates
from tests.wheels import make_wheel
from wheelhouse_builder.server.credentials import sha256_of_token
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

MUSL = "cp312-cp312-musllinux_1_2_x86_64"
PUBLISHER, READER = "whb_publisher", "whb_reader"


@dataclass(frozen=True, kw_only=True)
class Door:
    """A server that takes uploads, and its clients."""

    house: Wheelhouse
    running: Running
    folder: Path

    @property
    def url(self) -> str:
        return f"{self.running.url.replace('https://127.0.0.1', 'https://localhost')}legacy/"

    def _run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        cleared = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "TWINE_"))}
        environment = {**cleared, "HOME": str(self.folder), "COLUMNS": "1000", "NO_COLOR": "1", **environ}
        return subprocess.run(
            [sys.executable, "-m", *arguments], env=environment, capture_output=True, text=True, check=False
        )

    def twine(self, *arguments: str, token: str = PUBLISHER, **environ: str) -> subprocess.CompletedProcess[str]:
        return self._run(
            *("twine", "upload", "--non-interactive", "--disable-progress-bar", "--verbose", "--username", "__token__"),
            *("--password", token, "--repository-url", self.url, *arguments),
            **environ,
        )

    def uv(self, *arguments: str, token: str = PUBLISHER, **environ: str) -> subprocess.CompletedProcess[str]:
        return self._run(
            *("uv", "publish", "--no-config", "--trusted-publishing", "never", "--username", "__token__"),
            *("--password", token, "--publish-url", self.url, *arguments),
            **environ,
        )

    def post(
        self, wheel: Path, *, filename: str | None = None, token: str = PUBLISHER, **changes: str
    ) -> httpx.Response:
        """The form of twine, with changes."""
        name, version, *_ = (filename or wheel.name).split("-")
        fields = {
            ":action": "file_upload",
            "protocol_version": "1",
            "filetype": "bdist_wheel",
            "name": name,
            "version": version,
            "sha256_digest": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            **changes,
        }
        files = {"content": (filename or wheel.name, wheel.read_bytes(), "application/octet-stream")}
        return httpx.post(self.url, data=fields, files=files, auth=("__token__", token), timeout=60)

    @property
    def served(self) -> set[str]:
        """The file names that the server shows on its flat page, now."""
        page = httpx.get(f"{self.running.url}links/", auth=("__token__", READER))
        return set() if page.status_code == 503 else set(re.findall(r">([^<>]+\.whl)<", page.text))

    def assert_nothing_left(self) -> None:
        assert list(self.house.root.glob("*.whl*")) == []
        assert list((self.house.state / "uploads").glob("*")) == []


def tokens(folder: Path) -> Path:
    file = folder / "tokens.toml"
    entries = [("ci", PUBLISHER, "publish"), ("reader", READER, "read")]
    file.write_text(
        "".join(
            f'[[token]]\nname = "{name}"\nsha256 = "{sha256_of_token(secret)}"\nscopes = ["{scope}"]\n'
            for name, secret, scope in entries
        )
    )
    file.chmod(0o600)
    return file


@contextmanager
def door_at(tmp_path: Path, *options: str, **environ: str) -> Iterator[Door]:
    house = Wheelhouse(tmp_path / "wheelhouse")
    house.root.mkdir(exist_ok=True)
    options = ("--upload", "--tokens", str(tokens(tmp_path)), *options)
    with whb_serve(house.root, tmp_path / "run", *options, **environ) as running:
        yield Door(house=house, running=running, folder=tmp_path)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with door_at(tmp_path) as opened:
        yield opened


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    folder.mkdir()
    return folder


# twine and uv


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
@pytest.mark.parametrize("tool", ["twine", "uv"])
def test_wheels_are_there_as_soon_as_the_client_is_done(tmp_path: Path, dist: Path, server: str, tool: str) -> None:
    wheels = [
        make_wheel(dist, name="one", tag=MUSL),
        make_wheel(dist, name="two", files={"two.py": os.urandom(5 << 20)}),
    ]
    with door_at(tmp_path, "--server", server) as door:
        done = getattr(door, tool)(*map(str, wheels))
        assert done.returncode == 0, done.stdout + done.stderr
        assert door.served == {wheel.name for wheel in wheels}
        target = tmp_path / "installed"
        index = door.running.url.replace("://", f"://__token__:{READER}@") + "simple/"
        pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--index-url", index, "--target", str(target)]
        subprocess.run([*pip, "two"], check=True, capture_output=True)
        assert (target / "two.py").is_file()
        record = door.house.records.by_filename(wheels[0].name)
        assert record is not None
        assert (record.origin, record.notes) == ("uploaded", ("uploaded by ci",))


def test_over_tls(tmp_path: Path, dist: Path) -> None:
    wheel = make_wheel(dist)
    _, ca, *options = certificates(tmp_path, "localhost")
    with door_at(tmp_path, "--host", "localhost", *options) as door:
        done = door.twine(str(wheel), REQUESTS_CA_BUNDLE=ca)
        assert done.returncode == 0, done.stdout + done.stderr
        done = door.uv(str(wheel), SSL_CERT_FILE=ca)
        assert done.returncode == 0, done.stderr
    assert door.house.records.by_filename(wheel.name) is not None


@pytest.mark.parametrize("tool", ["twine", "uv"])
def test_the_same_again_is_fine(door: Door, dist: Path, tool: str) -> None:
    """As on the package index: a job that runs twice succeeds twice."""
    wheel = make_wheel(dist)
    for _ in range(2):
        done = getattr(door, tool)(str(wheel))
        assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in door.house.generations.iterdir()] == ["000001"]


def test_other_content_under_the_same_name(door: Door, dist: Path, tmp_path: Path) -> None:
    first = make_wheel(dist)
    assert door.uv(str(first)).returncode == 0
    (tmp_path / "other").mkdir()
    other = make_wheel(tmp_path / "other", files={"demo.py": b"other"})
    done = door.uv(str(other))
    assert done.returncode != 0
    assert f"{first.name} already exists with other content" in done.stderr
    done = door.twine(str(other))
    assert done.returncode != 0
    assert "already exists with other content" in done.stdout
    index = f"{door.running.url}simple/".replace("://", f"://__token__:{READER}@")
    done = door.uv("--check-url", index, str(first))
    assert (done.returncode, "already exists" in done.stderr) == (0, True), done.stderr
    done = door.uv("--check-url", index, str(other))
    assert done.returncode != 0
    assert "file and index file do not match" in done.stderr
    assert (door.house.root / first.name).read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    "tag", ["cp312-cp312-manylinux_2_28_x86_64", "cp312-cp312-linux_x86_64", "cp312-cp312-win_amd64"]
)
def test_wheels_for_others_are_refused_with_the_reason(door: Door, dist: Path, tag: str) -> None:
    wheel = make_wheel(dist, tag=tag)
    for done in (door.twine(str(wheel)), door.uv(str(wheel))):
        assert done.returncode != 0
        assert f"{wheel.name} is not for musl" in done.stdout + done.stderr
    door.assert_nothing_left()


def test_source_distributions_are_refused_with_the_reason(door: Door, dist: Path) -> None:
    import tarfile

    (dist / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    sdist = dist / "demo-1.0.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        archive.add(dist / "PKG-INFO", "demo-1.0/PKG-INFO")
        archive.add(dist / "PKG-INFO", "demo-1.0/setup.py")
    for done in (door.twine(str(sdist)), door.uv(str(sdist))):
        assert done.returncode != 0
        assert "only wheels are taken" in done.stdout + done.stderr
    door.assert_nothing_left()


def test_a_wheel_that_does_not_load_on_musl_is_refused_with_the_reason(door: Door, dist: Path) -> None:
    elf = Path(__file__).parents[1] / "data/elf/glibc.so"
    wheel = make_wheel(dist, tag=MUSL, files={"demo.so": elf.read_bytes()})
    for done in (door.twine(str(wheel)), door.uv(str(wheel))):
        assert done.returncode != 0
        assert "was linked against glibc" in done.stdout + done.stderr
    door.assert_nothing_left()


@pytest.mark.parametrize("size", [1000, 40 << 20])
def test_without_the_scope_nothing_is_taken(door: Door, dist: Path, size: int) -> None:
    """The reason arrives also when the answer comes long before the body has been sent."""
    wheel = make_wheel(dist, files={"demo.py": os.urandom(size)})
    for token, reason in ((READER, "reader has no scope publish"), ("wrong", "credentials are not known")):
        for done in (door.twine(str(wheel), token=token), door.uv(str(wheel), token=token)):
            assert done.returncode != 0
            assert reason in done.stdout + done.stderr
    assert httpx.post(door.url, content=b"").status_code == 401
    assert list(door.house.root.glob("*.whl")) == []


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
def test_a_file_over_the_limit(tmp_path: Path, dist: Path, server: str) -> None:
    wheel = make_wheel(dist, files={"demo.py": os.urandom(40 << 20)})
    with door_at(tmp_path, "--server", server, WHB_SERVE_MAX_UPLOAD="1000000") as door:
        for done in (door.twine(str(wheel)), door.uv(str(wheel))):
            assert done.returncode != 0
            assert "larger than 1000000 bytes" in done.stdout + done.stderr
        door.assert_nothing_left()


def test_without_upload_a_post_is_refused(tmp_path: Path, dist: Path) -> None:
    house = house_with(tmp_path / "wheelhouse", "demo")
    wheel = make_wheel(dist, name="other")
    with whb_serve(house.root, tmp_path / "run", "--tokens", str(tokens(tmp_path))) as running:
        door = Door(house=house, running=running, folder=tmp_path)
        for done in (door.twine(str(wheel)), door.uv(str(wheel))):
            assert done.returncode != 0
    assert not (house.root / wheel.name).exists()


# by hand


@pytest.mark.parametrize(
    "filename",
    [
        "../demo-1.0-py3-none-any.whl",
        "/tmp/demo-1.0-py3-none-any.whl",
        "demo-1.0-1/../../x-py3-none-any.whl",
        "demo-1.0-1\0-py3-none-any.whl",
        "démo-1.0-py3-none-any.whl",
        "<script>alert(1)</script>-1.0-py3-none-any.whl",
        "demo-1.0-1<b>-py3-none-any.whl",
    ],
)
def test_tricks_with_names(door: Door, dist: Path, filename: str) -> None:
    answer = door.post(make_wheel(dist), filename=filename)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text.count("\n") == 1
    door.assert_nothing_left()
    assert not list(door.folder.glob("*.whl"))


def test_a_wrong_hash_and_a_wrong_name_inside(door: Door, dist: Path) -> None:
    wheel = make_wheel(dist)
    assert door.post(wheel, sha256_digest="0" * 64).status_code == 400
    assert door.post(wheel, filename="numpy-1.0-py3-none-any.whl").status_code == 400
    assert door.post(wheel, description="x" * (17 << 20)).status_code == 413
    door.assert_nothing_left()


def test_a_body_that_is_cut_off_leaves_nothing(door: Door, dist: Path) -> None:
    door.post(make_wheel(dist), sha256_digest="0")  # the folder of uploads is there
    request = (
        b"POST /legacy/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n"
        b"Authorization: Bearer whb_publisher\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
        b'--x\r\nContent-Disposition: form-data; name="content"; filename="a-1-py3-none-any.whl"\r\n\r\n'
        + bytes(3 << 20)
    )
    uploads = door.house.state / "uploads"
    with socket.create_connection(("127.0.0.1", door.running.port)) as sock:
        sock.sendall(request)
        wait_until(lambda: any(uploads.iterdir()), "the upload to begin")
    wait_until(lambda: not any(uploads.iterdir()), "the upload to be forgotten")
    door.assert_nothing_left()
    assert door.post(make_wheel(dist)).status_code == 200


def test_the_same_file_from_many_at_once(door: Door, dist: Path) -> None:
    wheels = [make_wheel(dist, name="same", tag=MUSL)] * 8 + [make_wheel(dist, name=f"other{n}") for n in range(8)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(door.post, wheels))
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
    assert sum("is published" in answer.text for answer in answers) == 9
    assert door.served == {wheel.name for wheel in wheels}
    assert door.house.check(thorough=True) == []


def test_while_a_build_writes_an_upload_waits_and_is_told(door: Door, dist: Path) -> None:
    wheel = make_wheel(dist)
    with ThreadPoolExecutor(1) as pool:
        with door.house.lock():
            waiting = pool.submit(door.post, wheel)
            time.sleep(2)
            assert not waiting.done()
        assert waiting.result().status_code == 200
        with door.house.lock():
            answer = pool.submit(door.post, make_wheel(dist, name="other")).result()
    assert answer.status_code == 503
    assert "in use by a build" in answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert httpx.get(f"{door.running.url}healthz").status_code == 200


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.25])
def test_killed_in_the_middle_the_wheelhouse_is_sound(tmp_path: Path, dist: Path, whb: Whb, delay: float) -> None:
    wheels = [make_wheel(dist, name=f"demo{number}", files={"a.py": os.urandom(1 << 20)}) for number in range(12)]
    taken: set[str] = set()

    def post(to: Door, wheel: Path) -> None:
        with suppress(httpx.HTTPError):
            if to.post(wheel).status_code == 200:
                taken.add(wheel.name)

    with door_at(tmp_path) as door:
        post(door, wheels[0])
        assert taken
        threads = [threading.Thread(target=post, args=(door, wheel)) for wheel in wheels[1:]]
        for thread in threads:
            thread.start()
        time.sleep(delay)
        door.running.signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
    house = Wheelhouse(tmp_path / "wheelhouse")
    assert house.check(thorough=True) == []
    whb.ok("index", "--wheelhouse", str(house.root), cwd=tmp_path)
    with door_at(tmp_path) as again:
        assert taken <= again.served
        assert {again.post(wheel).status_code for wheel in wheels} == {200}
        assert again.served == {wheel.name for wheel in wheels}


def test_a_refused_upload_does_not_break_the_connection(door: Door, dist: Path) -> None:
    with httpx.Client() as client:
        for _ in range(3):
            assert client.post(door.url, content=b"x" * 100_000, auth=("__token__", PUBLISHER)).status_code == 400
            assert client.get(f"{door.running.url}healthz").status_code == 200


def test_get_tells_what_is_wanted(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.running.port), timeout=30) as sock:
        sock.sendall(
            b"PUT /legacy/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer whb_publisher\r\nContent-Length: 0\r\n\r\n"
        )
        assert status_of(sock.recv(1000)) == 405
