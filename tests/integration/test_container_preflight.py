"""What a machine may lack for containers, each found on a machine that lacks it, and told with what mends it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.conftest import IMAGE, Whb
from tests.integration.docker import build
from tests.integration.services import dockerd, podman_with, without_qemu
from wheelhouse_builder.engines.container import preflight
from wheelhouse_builder.errors import MachineError
from wheelhouse_builder.settings.container import ContainerSettings
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

MUSLLINUX = "whb-test/musllinux_1_2:{arch}"
SMALL = "whb-test/small:arm64"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_answers", {})


def settings(arch: str, image: str = MUSLLINUX, **options: Any) -> ContainerSettings:
    return ContainerSettings(images={Arch.parse(arch): image.format(arch=arch, python="3.12")}, **options)


def refused(given: ContainerSettings, arch: str, python: tuple[int, int] = (3, 12)) -> tuple[str, str]:
    """Message and hint of the preflight."""
    with pytest.raises(MachineError) as caught:
        preflight.prepare(given, Target(python, Arch.parse(arch)), pull=True)
    return caught.value.message, str(caught.value.hint)


# The service


def test_what_is_there() -> None:
    native, foreign = (
        preflight.prepare(settings(arch), Target((3, 12), Arch.parse(arch)), pull=False) for arch in ("amd64", "arm64")
    )
    assert (native.emulated, foreign.emulated) == (False, True)
    assert native.shares_files
    assert {"cp312-cp312", "cp313-cp313"} <= native.pythons == foreign.pythons
    assert native.has_compiler
    assert native.free > 1 << 30


def test_no_engine(whb: Whb, tmp_path: Path) -> None:
    """The whole way, by the command: exit code 4, and nothing is written."""
    done = whb(
        *("build", "-P", "markupsafe", "--python", "3.12", "--arch", "amd64", "--engine", "container"),
        *("--no-binary", "markupsafe"),
        cwd=tmp_path,
        PATH=str(tmp_path),
    )
    assert done.returncode == 4, done.stderr
    assert "docker is not installed" in done.stderr
    assert "`apt install docker.io` on Debian" in done.stderr
    assert not list((tmp_path / "wheelhouse").glob("*.whl"))


def test_a_socket_that_this_user_may_not_open(tmp_path: Path) -> None:
    """The socket is another user's, and root goes without its right to open it all the same."""
    program = (
        "from wheelhouse_builder.oci import Oci\n"
        "from wheelhouse_builder.errors import MachineError\n"
        "try: Oci(program='docker').version()\n"
        "except MachineError as error: print(error.message, error.hint, sep='\\n')\n"
    )
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        os.chown(path, 65534, 65534)
        path.chmod(0o600)
        done = subprocess.run(
            ["setpriv", "--bounding-set=-dac_override,-dac_read_search", sys.executable, "-c", program],
            env={**os.environ, "DOCKER_HOST": f"unix://{path}"},
            capture_output=True,
            text=True,
            check=True,
        )
    message, hint = done.stdout.splitlines()
    assert message.startswith("docker does not let this user in: ")
    assert message.endswith("permission denied")
    assert hint.startswith("`sudo usermod -aG docker $USER`")


def test_a_service_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    message, hint = refused(settings("amd64"), "amd64")
    assert message.startswith("docker does not answer: ")
    assert hint == "`sudo systemctl start docker`"


def test_podman_elsewhere_that_does_not_answer(tmp_path: Path) -> None:
    host = f"unix://{tmp_path}/podman.sock"
    message, hint = refused(settings("amd64", engine="podman", hosts={Arch.X86_64: host}), "amd64")
    assert message.startswith(f"podman at {host} does not answer: ")
    assert "`podman info`" in hint


# The image


def test_an_image_that_is_not_there_and_not_to_be_had() -> None:
    message, hint = refused(settings("arm64", "localhost:1/no/such:image"), "arm64")
    assert message.startswith("docker has no image localhost:1/no/such:image for arm64 and cannot get it: ")
    assert hint.startswith("`docker pull --platform linux/arm64 localhost:1/no/such:image` must work")


def test_an_image_of_the_other_architecture() -> None:
    message, _ = refused(ContainerSettings(images={Arch.AARCH64: MUSLLINUX.format(arch="amd64")}), "arm64")
    assert message.startswith("docker has no image whb-test/musllinux_1_2:amd64 for arm64")


def test_an_image_without_the_python() -> None:
    message, hint = refused(settings("amd64"), "amd64", python=(3, 11))
    assert message.startswith("the image whb-test/musllinux_1_2:amd64 has no Python 3.11: /opt/python holds cp")
    assert "container.images, amd64 = " in hint
    message, _ = refused(settings("amd64", IMAGE), "amd64")
    assert message.endswith("has no Python 3.12: /opt/python holds nothing")


# The store


def test_a_store_that_is_nearly_full_and_one_that_is_full() -> None:
    image = IMAGE.format(python="3.12", arch="amd64")
    with dockerd(store_bytes=220 << 20) as small:
        small.load(image)
        elsewhere = settings("amd64", image, hosts={Arch.X86_64: small.host})
        message, hint = refused(elsewhere, "amd64")
        assert message.startswith(f"the store of docker at {small.host} has only ")
        assert hint.startswith("`docker system df`")
        with Path(f"/proc/{small.pid}/root{small.data}/filler").open("wb", buffering=0) as filler:
            fill(filler.fileno())
        message, hint = refused(elsewhere, "amd64")
        assert message == f"there is no space left in the store of docker at {small.host}"
        assert hint.startswith("`docker system df`")


def fill(file: int) -> None:
    """Write until nothing more goes in."""
    for size in (1 << 20, 1):
        try:
            while True:
                os.write(file, b"\0" * size)
        except OSError:
            continue


# Emulation, and podman


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a podman with a small image for arm64: Alpine's Python where the official images have it."""
    folder = tmp_path_factory.mktemp("small")
    programs = folder / "tree/opt/python/cp312-cp312/bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to("/usr/local/bin/python3")
    (folder / "Dockerfile").write_text("ARG BASE\nFROM $BASE\nCOPY tree/ /\n")
    build(folder, SMALL, "arm64")
    with podman_with(SMALL) as environ:
        yield environ


def doctor(whb: Whb, folder: Path, podman: dict[str, str], *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and the finding about containers, of `whb doctor` where no QEMU is registered."""
    environ = {
        **podman,
        "WHB_CACHE_DIR": str(whb.cache),
        "WHB_VERIFY_ENGINE": "off",
        "WHB_CONTAINER_ENGINE": "podman",
        "WHB_CONTAINER_IMAGES": f"arm64={SMALL}",
        "WHB_ENGINE": "container",
    }
    whb_doctor = f"{sys.executable} -m wheelhouse_builder doctor --json --python 3.12 --arch arm64"
    done = without_qemu(["sh", "-c", f"{options[0].format(whb_doctor)}"], cwd=folder, env=environ)
    (finding,) = (
        finding for finding in json.loads(done.stdout)["findings"] if finding["name"].startswith("container, ")
    )
    return done.returncode, finding


def test_without_qemu_emulation_is_missing_and_the_doctor_registers_it(
    whb: Whb, tmp_path: Path, podman: dict[str, str]
) -> None:
    """In a namespace that has a binfmt_misc of its own; this machine's stays as it is."""
    before = sorted(Path("/proc/sys/fs/binfmt_misc").iterdir())
    code, finding = doctor(whb, tmp_path, podman, "{}")
    assert (code, finding["state"], finding["installable"]) == (4, "missing", True)
    assert finding["detail"].startswith("podman runs no programs of arm64: QEMU is not registered")
    assert "`whb doctor --engine container --install`" in finding["remedy"]
    code, finding = doctor(whb, tmp_path, podman, "{} --install")
    assert (code, finding["state"]) == (0, "ok")
    assert f"{SMALL} in podman: emulated" in finding["detail"]
    assert sorted(Path("/proc/sys/fs/binfmt_misc").iterdir()) == before


# Debian's line without the flag F, so that QEMU would have to be in the image
WITHOUT_F = (
    r"printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:"
    r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:OC'"
    " >/proc/sys/fs/binfmt_misc/register; "
)


def test_qemu_without_the_flag_that_containers_want(whb: Whb, tmp_path: Path, podman: dict[str, str]) -> None:
    code, finding = doctor(whb, tmp_path, podman, WITHOUT_F + "{}")
    assert (code, finding["state"]) == (4, "missing")
    assert "and the flag F" in finding["detail"]
    code, finding = doctor(whb, tmp_path, podman, WITHOUT_F + "{} --install")
    assert (code, finding["state"]) == (0, "ok")
