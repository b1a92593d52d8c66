"""docker/builder, with docker and podman: one container builds for both architectures, and builds have no network."""

from __future__ import annotations

import json
import os
import re
import shlex
import socketserver
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import BUILDER_BASE, REPOSITORY, in_alpine
from tests.integration.docker import OURS, Engine, docker
from tests.integration.projects import c_extension, crate_extension

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

UID = 12345  # nobody that the image knows
USER = f"{UID}:{UID}"
BOTH = ("--python", "3.12", "--arch", "amd64", "--arch", "arm64")
PAGE = REPOSITORY / "docs/how-to/builder-image.md"
HELD = ("--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined")
PODMAN_HELD = ("--security-opt", "unmask=ALL")
TIGHT = ("--network", "host", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")

# setup.py of an extension, which goes on the network, and builds only where it is not let.
GOES_OUT = """\
import socket
from setuptools import setup
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=5).close()
except OSError as error:
    print("no network:", error)
else:
    raise SystemExit("this build has network")
setup()
"""
ANSWER = '#[no_mangle]\npub extern "C" fn answer() -> i32 { std::env::args().count().min(0) as i32 + 42 }\n'
OXIDE = {
    **crate_extension("oxide", ANSWER),
    "Cargo.lock": 'version = 3\n\n[[package]]\nname = "native"\nversion = "1.0.0"\n',
}
USE = """
    pip install --quiet --disable-pip-version-check --no-cache-dir --target /tmp/site --no-index --find-links /w \
        goes-out oxide cffi
    export PYTHONPATH=/tmp/site
    python3 -c "import goes_out; print(goes_out.answer())"
    python3 -c "import ctypes, glob; print(ctypes.CDLL(glob.glob('/tmp/site/oxide/native*.so')[0]).answer())"
    python3 -c "import cffi; f = cffi.FFI(); print(f.callback('int(int)', lambda x: x + 1)(41))"
"""


@pytest.fixture(scope="module")
def volume() -> Iterator[str]:
    """whb's cache in a volume of docker's, which starts as what the image has."""
    with volume_of(OURS) as name:
        yield name


@contextmanager
def volume_of(engine: Engine) -> Iterator[str]:
    name = f"whb-test-cache-{os.getpid()}"
    engine("volume", "create", name)
    yield name
    engine("volume", "rm", name)


@pytest.fixture(scope="module")
def podmans(podman: Engine, builder: str) -> str:
    """The image as podman builds it, on top of docker's: each step is done, with nothing left to compile."""
    podman.have(builder)
    file = ("--file", str(REPOSITORY / "docker/builder/Dockerfile"), "--build-arg", f"BASE={builder}")
    podman.build(REPOSITORY, "whb-test/builder-podman", "amd64", "--network", "host", *file)
    return "whb-test/builder-podman"


@contextmanager
def listening() -> Iterator[int]:
    """A port of this machine where connections are taken."""
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a user, who has a wheelhouse to fill."""
    folder = tmp_path_factory.mktemp("work")
    write(folder / "oxide", OXIDE)
    (folder / "requirements.txt").write_text("./goes-out\n./oxide\ncffi\n", encoding="utf-8")
    return folder


def give_away(folder: Path) -> None:
    """The folder becomes the container's user's."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, UID, UID, follow_symlinks=False)


def wheels(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.whl")}


def test_it_is_nobodys_labelled_and_whole(builder: str) -> None:
    assert_whole(OURS, builder, BUILDER_BASE, *HELD)


def test_it_is_so_when_podman_builds_it(podman: Engine, podmans: str, builder: str) -> None:
    assert_whole(podman, podmans, builder, *PODMAN_HELD)


def assert_whole(engine: Engine, image: str, base: str, *held: str) -> None:
    config = engine.config(image)
    assert (config["User"], config["Healthcheck"]["Test"]) == ("10001:10001", ["NONE"])
    assert config["Labels"]["org.opencontainers.image.base.name"] == base
    findings = asked_doctor(engine, image, *held)
    states = {name: finding["state"] for name, finding in findings.items() if not name.startswith("Alpine")}
    assert set(states.values()) == {"ok"}, states
    for arch in ("amd64", "arm64"):
        assert {f"zig for {arch}", f"Rust for {arch} musl"} <= set(states)
    left = "find / -xdev '(' -name '*.whl' -o -path '*/.cache/*' ')' ! -path '*/ensurepip/*'"
    shell = ("--user", "0", "--entrypoint", "sh", image, "-c", f"{left}; ls -A /var/lib/apt/lists /work")
    assert engine("run", "--rm", "--network", "none", *shell).split() == ["/var/lib/apt/lists:", "/work:"]


def asked_doctor(engine: Engine, image: str, *held: str) -> dict[str, dict[str, str]]:
    """What `whb doctor` finds in a container, by name."""
    looking = ("run", "--rm", "--network", "none", "--cap-drop", "ALL", *held)
    said = engine.run(*looking, image, "doctor", "--wheelhouse", "/wheelhouse", "--json", *BOTH).stdout
    return {finding["name"]: finding for finding in json.loads(said)["findings"]}


def command(engine: Engine, image: str, volume: str, number: int, *options: str) -> list[str]:
    """A command of the page, as it stands there, for the user, the image and the volume of the tests."""
    name = Path(engine.program).name
    found = re.findall(rf"^ {{4}}({name} run (?:.*\\\n)*.*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    text = found[number].replace("\\\n", " ").replace('-u "$(id -u):$(id -g)"', f"-u {USER}")
    text = text.replace("--userns keep-id ", "")  # which podman has for users other than root alone
    words = shlex.split(text.replace("whb-cache", volume).replace("whb-builder", image))
    assert words[:3] == [name, "run", "--rm"]
    return [*words[1:3], *options, *words[3:]]


def run(engine: Engine, argv: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, which is the container's user's from then on."""
    give_away(folder)
    return engine.run(*(word.replace("$PWD", str(folder)) for word in argv), check=False)


def test_builds_have_no_network_though_the_container_has(builder: str, volume: str, work: Path) -> None:
    """The first command of the page, on the network of this machine, and held more tightly still."""
    with listening() as port:
        write(work / "goes-out", {**c_extension("goes-out"), "setup.py": GOES_OUT.format(port=port)})
        unheld = [word for word in command(OURS, builder, volume, 0, *TIGHT) if word not in HELD]
        refused = run(OURS, [*unheld[: unheld.index("requirements.txt")], "-P", "./goes-out", *BOTH[:4]], work)
        assert refused.returncode == 1, refused.stderr
        assert "this build has network" in refused.stdout + refused.stderr
        done = run(OURS, command(OURS, builder, volume, 0, *TIGHT), work)
    assert done.returncode == 0, done.stdout + done.stderr
    made = wheels(work / "wheelhouse")
    assert {name.split("-")[0] for name in made} == {"cffi", "goes_out", "oxide", "pycparser"}
    assert {path.stat().st_uid for path in (work / "wheelhouse").iterdir()} == {UID}
    for arch in ("amd64", "arm64"):
        assert in_alpine("3.12", arch, USE, (work / "wheelhouse", "/w")).split() == ["42", "42", "42"]


def test_all_again_without_any_network(builder: str, volume: str, work: Path) -> None:
    """The second command: nothing of what was built is kept, all of what was downloaded is."""
    remove = ("--entrypoint", "rm", builder, "-r", "/var/cache/whb/builds")
    docker("run", "--rm", "--user", USER, "--network", "none", "--volume", f"{volume}:/var/cache/whb", *remove)
    argv = [*command(OURS, builder, volume, 1), "--wheelhouse", "again"]
    assert argv[argv.index("--network") + 1] == "none"
    again = run(OURS, argv, work)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "builds are not held at all" in again.stderr
    assert wheels(work / "again") == wheels(work / "wheelhouse")


def test_the_same_is_built_with_podman(podman: Engine, podmans: str, work: Path, tmp_path: Path) -> None:
    """Without C libraries: podman's copy of zig has other inodes, so that it would compile its own anew."""
    assert asked_doctor(podman, podmans)["sandbox"]["detail"] == "builds have no network, and nothing else holds them"
    write(tmp_path / "oxide", OXIDE)
    (tmp_path / "requirements.txt").write_text("./goes-out\n./oxide\n", encoding="utf-8")
    with listening() as port, volume_of(podman) as volume:
        write(tmp_path / "goes-out", {**c_extension("goes-out"), "setup.py": GOES_OUT.format(port=port)})
        done = run(podman, command(podman, podmans, volume, 0, *TIGHT), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.stat().st_uid for path in (tmp_path / "wheelhouse").iterdir()} == {UID}
    by_docker = {name: wheel for name, wheel in wheels(work / "wheelhouse").items() if "-musllinux_" in name}
    assert wheels(tmp_path / "wheelhouse") == {name: by_docker[name] for name in by_docker if "cffi" not in name}
