"""A container service without one: what its client is asked, and what its refusals are told as."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder import oci
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.oci import NO_NETWORK, Oci
from wheelhouse_builder.process import Completed
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCKER, PODMAN, PI = Oci(program="docker"), Oci(program="podman"), Oci(program="docker", host="ssh://pi@pi.local:2222")


class Client:
    """Stands for `process.run`: says what a test wants, and keeps what it was asked."""

    def __init__(self) -> None:
        self.said: list[str | JobError] = []
        self.calls: list[list[str]] = []
        self.env: dict[str, str] = {}

    def __call__(self, argv: Sequence[str], *, env: dict[str, str], **options: object) -> Completed:
        self.calls.append(list(argv))
        self.env = env
        said = self.said.pop(0) if self.said else ""
        if isinstance(said, JobError):
            raise said
        return Completed(said, 0)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr(oci, "run", made)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    return made


# What clients said: docker 20.10.24 and 28.2.2, podman 4.3.1; docker 29 by its source.
NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
NO_DAEMON_29 = (
    "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if the daemon"
    " is running: dial unix /var/run/docker.sock: connect: no such file or directory"
)
NO_PODMAN = (
    "Cannot connect to Podman. Please verify your connection to the Linux system using `podman system connection list`"
    "\n"
    'Error: unable to connect to Podman socket: Get "http://d/v4.3.1/libpod/_ping": dial unix /nonexist.sock: connect:'
    " no such file or directory"
)
NOT_LET_IN = (
    "\npermission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock:"
    ' Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.24/version": dial unix /var/run/docker.sock: connect: permission denied'
)
NOT_LET_IN_20 = f"Got {NOT_LET_IN.strip()}"
NO_CONTEXT = 'unable to resolve docker endpoint: context "pi" does not exist'
NO_CONTEXT_28 = (
    'Failed to initialize: unable to resolve docker endpoint: context "pi": context not found: open /root/.docker/'
    "contexts/meta/9e62/meta.json: no such file or directory"
)
NO_SSH = (
    'error during connect: Get "http://docker.example.com/v1.24/version": command [ssh -l pi -p 2222 -- pi.local docker'
    " system dial-stdio] has exited with exit status 255, please make sure the URL is valid, and Docker 18.09 or later"
    " is installed on the remote host: stderr=ssh: connect to host pi.local port 2222: Connection refused\n"
)
SSH_ENDED = 'error during connect: Get "http://docker.example.com/v1.50/version": write |1: broken pipe\n'
FULL = "Error processing tar file(exit status 1): write /usr/local/bin/uv: no space left on device"
NO_LIMITS = (
    "Error: runc: runc create failed: error setting rlimit type 7: operation not permitted: OCI permission denied"
)


@pytest.mark.parametrize(
    ("service", "said", "message", "hint"),
    [
        (DOCKER, NO_DAEMON, "docker does not answer: Cannot connect", "`sudo systemctl start docker`"),
        (DOCKER, NO_DAEMON_29, "docker does not answer: failed to connect", "`sudo systemctl start docker`"),
        (PODMAN, NO_PODMAN, "podman does not answer: Error: unable to connect", "`podman info` tells more"),
        (DOCKER, NOT_LET_IN, "docker does not let this user in", "usermod -aG docker"),
        (DOCKER, NOT_LET_IN_20, "docker does not let this user in", "WHB_CONTAINER_ENGINE"),
        (Oci(program="docker", host="pi"), NO_CONTEXT, "there is no docker context 'pi'", "`docker context ls`"),
        (Oci(program="docker", host="pi"), NO_CONTEXT_28, "there is no docker context 'pi'", "`docker context ls`"),
        (PI, NO_SSH, "cannot be reached: ssh: connect to host pi.local port 2222", "`ssh pi@pi.local -p 2222 docker"),
        (PI, SSH_ENDED, "cannot be reached: ssh ended at once", "`ssh pi@pi.local -p 2222 docker"),
        (DOCKER, FULL, "no space left in the store of docker", "`docker system df`"),
        (PODMAN, NO_LIMITS, "podman may not raise limits here", "containers.conf"),
    ],
)
def test_what_is_wrong_with_a_service(service: Oci, said: str, message: str, hint: str, client: Client) -> None:
    client.said = [JobError("docker version failed with exit code 1", tail=said)]
    with pytest.raises(MachineError) as caught:
        service.call("ps")
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_what_is_wrong_with_something_else_is_no_fault_of_the_service(client: Client) -> None:
    said = "cp: can't open '/root/.docker': Permission denied\nError: No such image: nosuch"
    client.said = [JobError("docker run failed with exit code 1", tail=said)]
    with pytest.raises(JobError):
        DOCKER.call("run", "nosuch")
    assert DOCKER.trouble(said) is None


def test_a_client_that_is_not_installed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(MachineError, match="podman is not installed") as caught:
        PODMAN.version()
    assert "`apt install podman`" in (caught.value.hint or "")
    assert client.calls == []


@pytest.mark.parametrize("said", [JobError("docker version took longer than 30 s"), ""])
def test_a_service_that_says_no_version_does_not_answer(said: str | JobError, client: Client) -> None:
    client.said = [said]
    with pytest.raises(MachineError, match="docker does not answer"):
        DOCKER.version()


def test_a_service_says_what_it_is(client: Client) -> None:
    client.said = ["20.10.24+dfsg1 arm64\n", "4.3.1 amd64\n"]
    assert (DOCKER.version(), PODMAN.architecture()) == ("20.10.24+dfsg1", Arch.X86_64)


def test_a_machine_of_another_kind(client: Client) -> None:
    client.said = ["20.10.24 s390x"]
    with pytest.raises(MachineError, match="docker runs on s390x"):
        DOCKER.architecture()


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (DOCKER, {"DOCKER_HOST": "unix:///theirs", "CONTAINER_HOST": "unix:///podman"}),
        (Oci(program="docker", host="tcp://pi:2376"), {"DOCKER_HOST": "tcp://pi:2376"}),
        (Oci(program="docker", host="pi"), {"DOCKER_CONTEXT": "pi"}),
        (Oci(program="podman", host="ssh://pi/podman.sock"), {"CONTAINER_HOST": "ssh://pi/podman.sock"}),
    ],
)
def test_a_host_of_the_settings_beats_that_of_the_environment(
    service: Oci, expected: dict[str, str], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///theirs")
    monkeypatch.setenv("CONTAINER_HOST", "unix:///podman")
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    service.call("ps")
    hosts = ("DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST")
    assert {name: client.env[name] for name in hosts if name in client.env} == expected
    assert "GITHUB_TOKEN" not in client.env


@pytest.mark.parametrize(("said", "expected"), [("arm64 sha256:1", "sha256:1"), ("amd64 sha256:1", None), ("", None)])
def test_an_image_counts_if_it_is_of_the_architecture(said: str, expected: str | None, client: Client) -> None:
    client.said = [said]
    assert DOCKER.image_id("some:tag", Arch.AARCH64) == expected


def test_a_container_that_fails_is_removed(client: Client) -> None:
    client.said = [JobError("docker run took longer than 1 s"), JobError("no such container")]
    with pytest.raises(JobError, match="took longer"):
        DOCKER.run("sha256:1", ["true"], arch=Arch.AARCH64, timeout=1, options=["--volume", "/a:/a"])
    run, remove = client.calls
    assert run[-4:] == ["--volume", "/a:/a", "sha256:1", "true"]
    assert remove == ["docker", "rm", "--force", run[run.index("--name") + 1]]


def test_all_with_a_label_are_removed(client: Client) -> None:
    client.said = ["c1\nc2", "", "v1"]
    DOCKER.remove("whb.job=1")
    assert ["docker", "rm", "--force", "--volumes", "c1", "c2"] in client.calls
    assert client.calls[-1] == ["docker", "volume", "rm", "--force", "v1"]


def test_where_nothing_has_the_label_nothing_is_removed(client: Client) -> None:
    DOCKER.remove("whb.job=1")
    assert [call[1:3] for call in client.calls] == [["ps", "--all"], ["volume", "ls"]]


def test_a_container_without_network_gets_no_proxies_either(client: Client) -> None:
    client.said = [""]
    DOCKER.run("image", ["true"], arch=Arch.X86_64, timeout=1)
    text = " ".join(client.calls[0])
    assert f" {' '.join(NO_NETWORK)} " in text
    for name in ("HTTP_PROXY", "https_proxy", "no_proxy", "ALL_PROXY"):
        assert f" --env {name}= " in text
