"""docker/server and docker/compose.yaml: built, run, installed from; amd64, and arm64 under QEMU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import IMAGE, REPOSITORY, Whb
from tests.integration.docker import build, docker
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


@pytest.fixture(scope="module", params=["amd64", "arm64"])
def arch(request: pytest.FixtureRequest, context: Path) -> str:
    """An architecture for which the image is there, `whb-test/serve:ARCH`."""
    build(context / "server", f"whb-test/serve:{request.param}", request.param, "--network", "none")
    return str(request.param)


@pytest.fixture
def network() -> Iterator[str]:
    """A network of docker's, for one test."""
    name = f"whb-test-{os.getpid()}"
    docker("network", "create", name)
    yield name
    docker("network", "rm", name)


@contextmanager
def running(*arguments: str) -> Iterator[str]:
    """A container in the background, healthy; removed at the end."""
    container = docker("run", "--detach", *arguments).stdout.strip()
    try:
        until = time.monotonic() + 180
        while (health := inspected(container, ".State.Health.Status")) != "healthy":
            assert health == "starting", docker("logs", container).stderr
            assert time.monotonic() < until, docker("logs", container).stderr
            time.sleep(0.5)
        yield container
    finally:
        docker("rm", "--force", container)


def inspected(container: str, what: str) -> str:
    return docker("inspect", "--format", f"{{{{{what}}}}}", container).stdout.strip()


def mounted(wheelhouse: Path) -> tuple[str, str]:
    return ("--volume", f"{wheelhouse}:/wheelhouse:ro")


def test_alpine_installs_from_the_server(arch: str, network: str, cffi_wheelhouse: Path) -> None:
    net = ("--network", network, "--platform", f"linux/{arch}")
    with running(*net, *HELD, *mounted(cffi_wheelhouse), "--name", "index", f"whb-test/serve:{arch}") as index:
        client = docker("run", "--rm", *net, IMAGE.format(python="3.12", arch=arch), "sh", "-euc", f"{INSTALL}; {USE}")
        assert client.stdout == "8\n"

        assert docker("exec", index, "id", "-u").stdout == "10001\n"
        assert docker("exec", index, "id", "-g").stdout == "10001\n"
        capabilities = docker("exec", index, "sh", "-c", "grep -E '^Cap(Eff|Bnd)' /proc/1/status").stdout.split()
        assert set(capabilities[1::2]) == {"0" * 16}
        for place in ("/", "/tmp", "/wheelhouse", "/wheelhouse/.whb", "/usr/local/bin", "/dev"):
            assert docker("exec", index, "touch", f"{place}/x", check=False).returncode == 1, place
        assert docker("diff", index).stdout == ""

        docker("stop", "--time", "60", index)
        assert inspected(index, ".State.ExitCode") == "0"
        lines = [json.loads(line) for line in docker("logs", index).stdout.splitlines()]
        assert {line["status"] for line in lines} == {200}
        assert any(line["path"].startswith("/cffi-") and line["path"].endswith(".whl") for line in lines)


def test_it_is_nobodys_and_labelled(arch: str) -> None:
    config = json.loads(docker("inspect", "--format", "{{json .Config}}", f"whb-test/serve:{arch}").stdout)
    assert (config["User"], config["StopSignal"]) == ("10001:10001", "SIGTERM")
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    script = (
        "find / -xdev '(' -name '*.whl' -o -path '*/.cache/*' ')' ! -path '*/ensurepip/*'; command -v gcc cc; pip check"
    )
    shell = ("run", "--rm", "--entrypoint", "sh", "--platform", f"linux/{arch}", f"whb-test/serve:{arch}", "-c", script)
    assert docker(*shell).stdout == "No broken requirements found.\n"


def test_docker_build_installs_with_a_token(arch: str, whb: Whb, cffi_wheelhouse: Path, tmp_path: Path) -> None:
    """The line of the issue, against `whb serve`: a token from netrc as a build secret."""
    port = free_port()
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
    shown = ("--publish", f"127.0.0.1:{port}:8080", "--platform", f"linux/{arch}")
    options = ("--tokens", "/run/secrets/tokens.toml")
    host = ("--network", "host", "--add-host", "wheelhouse:127.0.0.1", "--build-arg", "PIP_NO_INPUT=1")
    with running(*shown, *HELD, *mounted(cffi_wheelhouse), *tokens, f"whb-test/serve:{arch}", *options):
        with pytest.raises(AssertionError, match="401"):
            build(folder, "whb-test/app:none", arch, *host)
        said = build(folder, f"whb-test/app:{arch}", arch, *host, "--secret", f"id=netrc,src={tmp_path}/netrc")
    assert made["token"] not in said
    ran = docker(
        "run", "--rm", "--network", "none", "--platform", f"linux/{arch}", f"whb-test/app:{arch}", "sh", "-c", USE
    )
    assert ran.stdout == "8\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The folder of a program that wants cffi."""
    (tmp_path / "requirements.txt").write_text("cffi\n", encoding="utf-8")
    (tmp_path / "app.py").write_text("import cffi\nprint(cffi.FFI().sizeof('long'))\n", encoding="utf-8")
    tmp_path.chmod(0o755)
    return tmp_path


def test_compose_fills_serves_and_installs(context: Path, builder: str, program: Path) -> None:
    """The two commands of docs/how-to/docker.md, for a program of one's own; the wheelhouse is a volume."""
    own = {"WHB_APP": str(program), "BASE": BASE, "WHB_IMAGE": "whb-test/serve:compose", "WHB_BUILDER_IMAGE": builder}
    environ = {
        **os.environ,
        **own,
        "WHB_PORT": str(free_port()),
        "COMPOSE_DOCKER_CLI_BUILD": "1",
        "DOCKER_BUILDKIT": "1",
    }
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
