"""docker/server and docker/compose.yaml, with docker and podman: built, run, installed from; arm64 under QEMU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import IMAGE, REPOSITORY, Whb
from tests.integration.docker import OURS, Engine, build
from tests.integration.services import podman_service
from tests.integration.web import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

BASE = IMAGE.format(python="3.12", arch="amd64")
HELD = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true")
INDEX = "--trusted-host index:8080 --index-url http://index:8080/simple/"
INSTALL = f"pip install --quiet --disable-pip-version-check --no-cache-dir {INDEX} cffi"
USE = "python3 -c \"import cffi; print(cffi.FFI().sizeof('long'))\""


@pytest.fixture(scope="module")
def context(whb: Whb, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder docker/ of a clean clone, with the wheels of the server."""
    clone = tmp_path_factory.mktemp("clone")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, clone)
    for name in ("docker", "wheelhouse_builder"):
        shutil.copytree(REPOSITORY / name, clone / name, ignore=shutil.ignore_patterns("__pycache__", "wheelhouse"))
    # the room of that name is code
    shutil.copytree(REPOSITORY / "wheelhouse_builder/wheelhouse", clone / "wheelhouse_builder/wheelhouse")
    wanted = (
        "-P",
        f"wheelhouse-builder[server] @ {clone.as_uri()}",
        "--python",
        "3.12",
        "--arch",
        "amd64",
        "--arch",
        "arm64",
    )
    whb.ok("build", *wanted, "--wheelhouse", "docker/server/wheelhouse", cwd=clone)
    return clone / "docker"


@dataclass(frozen=True)
class Image:
    """The image of an architecture, and what runs it."""

    engine: Engine
    arch: str

    @property
    def tag(self) -> str:
        return f"whb-test/serve:{self.arch}"

    @property
    def base(self) -> str:
        return IMAGE.format(python="3.12", arch=self.arch)

    @property
    def held(self) -> tuple[str, ...]:
        """podman has folders that can be written, such as /tmp, in a file system that cannot, unless told."""
        return (*HELD, "--read-only-tmpfs=false") if self.engine.program == "podman" else HELD

    @property
    def platform(self) -> tuple[str, str]:
        return ("--platform", f"linux/{self.arch}")


@pytest.fixture(scope="module", params=[("docker", "amd64"), ("docker", "arm64"), ("podman", "amd64")], ids="-".join)
def image(request: pytest.FixtureRequest, context: Path) -> Image:
    """An architecture for which the image is there."""
    name, arch = request.param
    made = Image(OURS if name == "docker" else request.getfixturevalue("podman"), arch)
    build(context / "server", made.tag, arch, "--network", "none", engine=made.engine)
    return made


@pytest.fixture
def network(image: Image) -> Iterator[str]:
    """A network of the engine's, for one test."""
    name = f"whb-test-{os.getpid()}"
    image.engine("network", "create", name)
    yield name
    image.engine("network", "rm", name)


@contextmanager
def running(engine: Engine, *arguments: str) -> Iterator[str]:
    """A container in the background, healthy; removed at the end."""
    container = engine("run", "--detach", *arguments).strip()
    try:
        until = time.monotonic() + 180
        while (health := asked_health(engine, container)) != "healthy":
            assert health == "starting", engine.run("logs", container).stderr
            assert time.monotonic() < until, engine.run("logs", container).stderr
            time.sleep(0.5)
        yield container
    finally:
        engine("rm", "--force", container)


def asked_health(engine: Engine, container: str) -> str:
    """How a container is. What has podman ask that are timers of systemd's, which need not be running here."""
    if engine.program == "podman":
        engine.run("healthcheck", "run", container, check=False)
    return inspected(engine, container, ".State.Health.Status")


def inspected(engine: Engine, container: str, what: str) -> str:
    return engine("inspect", "--format", f"{{{{{what}}}}}", container).strip()


def mounted(wheelhouse: Path) -> tuple[str, str]:
    return ("--volume", f"{wheelhouse}:/wheelhouse:ro")


def test_alpine_installs_from_the_server(image: Image, network: str, cffi_wheelhouse: Path) -> None:
    net, engine = ("--network", network, *image.platform), image.engine
    with running(engine, *net, *image.held, *mounted(cffi_wheelhouse), "--name", "index", image.tag) as index:
        assert engine("run", "--rm", *net, image.base, "sh", "-euc", f"{INSTALL}; {USE}") == "8\n"

        assert engine("exec", index, "id", "-u") == "10001\n"
        assert engine("exec", index, "id", "-g") == "10001\n"
        capabilities = engine("exec", index, "sh", "-c", "grep -E '^Cap(Eff|Bnd)' /proc/1/status").split()
        assert set(capabilities[1::2]) == {"0" * 16}
        for place in ("/", "/tmp", "/wheelhouse", "/wheelhouse/.whb", "/usr/local/bin", "/dev"):
            assert engine.run("exec", index, "touch", f"{place}/x", check=False).returncode == 1, place
        assert engine("diff", index) == ""

        engine("stop", "--time", "60", index)
        assert inspected(engine, index, ".State.ExitCode") == "0"
        lines = [json.loads(line) for line in engine("logs", index).splitlines()]
        assert {line["status"] for line in lines} == {200}
        assert any(line["path"].startswith("/cffi-") and line["path"].endswith(".whl") for line in lines)


def test_it_is_nobodys_and_labelled(image: Image) -> None:
    config = image.engine.config(image.tag)
    assert (config["User"], config["StopSignal"]) == ("10001:10001", "SIGTERM")
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    script = (
        "find / -xdev '(' -name '*.whl' -o -path '*/.cache/*' ')' ! -path '*/ensurepip/*'; command -v gcc cc; pip check"
    )
    shell = ("run", "--rm", "--entrypoint", "sh", *image.platform, image.tag, "-c", script)
    assert image.engine(*shell) == "No broken requirements found.\n"


def test_an_image_is_built_with_a_token(image: Image, whb: Whb, cffi_wheelhouse: Path, tmp_path: Path) -> None:
    """The line of the issue, against `whb serve`: a token from netrc as a build secret."""
    port, engine = free_port(), image.engine
    url = f"http://wheelhouse:{port}/"
    made = json.loads(whb.ok("token", "ci", "--json", cwd=tmp_path).stdout)
    entry = made["entry"]
    (tmp_path / "tokens.toml").write_text(
        f'[[token]]\nname = "ci"\nsha256 = "{entry["sha256"]}"\nscopes = ["read"]\n', encoding="utf-8"
    )
    (tmp_path / "tokens.toml").chmod(0o644)
    netrc = whb.ok("client-config", "netrc", "--url", url, cwd=tmp_path).stdout
    (tmp_path / "netrc").write_text(netrc.replace("PASSWORD", made["token"]), encoding="utf-8")
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "requirements.txt").write_text("cffi\n", encoding="utf-8")
    (folder / "Dockerfile").write_text(whb.ok("client-config", "dockerfile", "--url", url, cwd=tmp_path).stdout)
    tokens = ("--volume", f"{tmp_path}/tokens.toml:/run/secrets/tokens.toml:ro")
    shown = ("--publish", f"127.0.0.1:{port}:8080", *image.platform)
    options = ("--tokens", "/run/secrets/tokens.toml")
    host = ("--network", "host", "--add-host", "wheelhouse:127.0.0.1", "--build-arg", "PIP_NO_INPUT=1")
    secret, tag = ("--secret", f"id=netrc,src={tmp_path}/netrc"), f"whb-test/app:{image.arch}"
    with running(engine, *shown, *image.held, *mounted(cffi_wheelhouse), *tokens, image.tag, *options):
        with pytest.raises(AssertionError, match="401"):
            build(folder, "whb-test/app:none", image.arch, *host, engine=engine)
        said = build(folder, tag, image.arch, *host, *secret, engine=engine)
    assert made["token"] not in said
    assert engine("run", "--rm", "--network", "none", *image.platform, tag, "sh", "-c", USE) == "8\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The folder of a program that wants cffi."""
    (tmp_path / "requirements.txt").write_text("cffi\n", encoding="utf-8")
    (tmp_path / "app.py").write_text("import cffi\nprint(cffi.FFI().sizeof('long'))\n", encoding="utf-8")
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture(params=["docker", "podman"])
def service(request: pytest.FixtureRequest, builder: str) -> Iterator[dict[str, str]]:
    """Variables that lead docker-compose to an engine, and name the images to start from there."""
    names = {"BASE": BASE, "WHB_IMAGE": "whb-test/serve:compose", "WHB_BUILDER_IMAGE": builder}
    if request.param == "docker":
        yield {**names, "COMPOSE_DOCKER_CLI_BUILD": "1", "DOCKER_BUILDKIT": "1"}
        return
    engine: Engine = request.getfixturevalue("podman")
    engine.have(builder)
    with podman_service(engine.environment) as host, asking_health(engine):
        # to docker's clients podman has a name without a registry mean one of Docker Hub
        local = {name: f"localhost/{image}" for name, image in names.items()}
        yield {**local, "DOCKER_HOST": host, "DOCKER_BUILDKIT": "0"}


@contextmanager
def asking_health(engine: Engine) -> Iterator[None]:
    """Have podman ask how its containers are, as timers of systemd's do, which need not be running here."""
    done = threading.Event()

    def ask() -> None:
        while not done.wait(1):
            for container in engine("ps", "--quiet").split():
                engine.run("healthcheck", "run", container, check=False)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()


def test_compose_fills_serves_and_installs(context: Path, service: dict[str, str], program: Path) -> None:
    """The two commands of docs/how-to/docker.md, for a program of one's own; the wheelhouse is a volume."""
    environ = {**os.environ, **service, "WHB_APP": str(program), "WHB_PORT": str(free_port())}
    environ["PATH"] = f"/usr/bin:{environ['PATH']}"  # Debian's docker
    command = ["docker-compose", "--project-name", f"whb-test-{os.getpid()}", "--file", str(context / "compose.yaml")]

    def compose(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *arguments], env=environ, capture_output=True, text=True, check=False)

    try:
        built = compose("build", "wheelhouse")
        assert built.returncode == 0, built.stdout + built.stderr
        done = compose("--ansi", "never", "run", "--rm", "app")
        assert done.returncode == 0, done.stdout + done.stderr + compose("logs", "--no-color").stdout
        assert done.stdout == "8\n"
    finally:
        compose("down", "--volumes")
