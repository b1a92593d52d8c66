"""Containers on another machine: a second docker service that shares no files with this one, and podman.

The other machine is a dockerd in a mount namespace of its own, where the folders of the tests and of the cache are
empty: what is mounted there is nothing, what is copied there is all it has.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import REPOSITORY
from tests.integration.docker import docker
from tests.integration.projects import c_extension, sdist
from tests.integration.services import Dockerd, dockerd, podman_service, podman_with, ssh_to
from wheelhouse_builder.engines.container import labels, preflight
from wheelhouse_builder.engines.container.mounts import Mount, mounted
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.settings.container import ContainerSettings
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

MUSLLINUX = "whb-test/musllinux_1_2:amd64"
THERE = "whb-test/there:amd64"  # the same, under a name that only the other machine knows
X86 = Target((3, 12), Arch.X86_64)
NOTHING = ("", "")
VARIABLES = ("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF")


@pytest.fixture(scope="module")
def elsewhere(whb: Whb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    """A docker on another machine, as good as, with the image for amd64."""
    folders = dict.fromkeys([Path("/tmp"), *(path for path in (whb.cache,) if not path.is_relative_to("/tmp"))])
    with dockerd(hidden=list(folders), store_bytes=4 << 30) as service:  # in memory: images are many files
        service.load(MUSLLINUX)
        service.client("tag", MUSLLINUX, THERE)
        yield service


@pytest.fixture
def context(elsewhere: Dockerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A docker context that leads there, by name."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    docker("context", "create", "other-machine", "--docker", f"host={elsewhere.host}")
    return "other-machine"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_answers", {})


@pytest.fixture(scope="module")
def podman() -> Iterator[dict[str, str]]:
    """The environment of a podman that has the image."""
    with podman_with(MUSLLINUX) as environ:
        yield environ


def place_at(host: str, engine: str = "docker") -> preflight.Place:
    settings = ContainerSettings(engine=engine, images={Arch.X86_64: MUSLLINUX}, hosts={Arch.X86_64: host})
    return preflight.prepare(settings, X86, pull=False)


def run(place: preflight.Place, script: str, mounts: tuple[str, ...]) -> str:
    return place.oci.run(place.image_id, ["sh", "-euc", script], arch=place.arch, options=mounts, timeout=60)


# What is mounted


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """One to read, with what a folder may hold, and one to write."""
    wheels, scratch = tmp_path / "wheels, more", tmp_path / "scratch"
    (wheels / "deep/er").mkdir(parents=True)
    (wheels / "deep/er/file").write_text("content")
    (wheels / "link").symlink_to("deep/er/file")
    (wheels / "program").write_text("#!/bin/sh\necho ran\n")
    (wheels / "program").chmod(0o755)
    scratch.mkdir()
    (scratch / "there").write_text("before")
    return wheels, scratch


SCRIPT = """
cat '{wheels}/link'; '{wheels}/program'
if touch '{wheels}/new' 2>/dev/null; then echo written; fi
echo after >{scratch}/there; mkdir {scratch}/made; echo made >{scratch}/made/file
"""


@pytest.mark.parametrize("far", [True, False])
def test_folders_are_at_their_own_paths_there(far: bool, elsewhere: Dockerd, folders: tuple[Path, Path]) -> None:
    wheels, scratch = folders
    place = place_at(elsewhere.host if far else "")
    assert place.shares_files is not far
    mounts = [Mount(path=wheels), Mount(path=scratch, writable=True)]
    with mounted(place, mounts, labels.new_job()) as options:
        assert run(place, SCRIPT.format(wheels=wheels, scratch=scratch), options) == "contentran"
    assert (scratch / "there").read_text() == "after\n"
    assert (scratch / "made/file").read_text() == "made\n"
    assert sorted(path.name for path in wheels.iterdir()) == ["deep", "link", "program"]
    assert elsewhere.left == NOTHING


def test_nothing_is_left_there_after_a_failure(elsewhere: Dockerd, folders: tuple[Path, Path]) -> None:
    place, job = place_at(elsewhere.host), labels.new_job()

    def build() -> None:
        with mounted(place, [Mount(path=folders[0])], job) as options:
            place.oci.call(
                "run", "--detach", "--label", job, "--network", "none", *options, place.image_id, "sleep", "99"
            )
            raise JobError("the build failed")

    with pytest.raises(JobError, match="the build failed"):
        build()
    assert elsewhere.left == NOTHING


def test_what_a_dead_process_left_there_is_removed_by_a_later_one(elsewhere: Dockerd) -> None:
    place, (*_, owner) = place_at(elsewhere.host), labels.create_options(labels.new_job())
    dead = owner.rpartition(".")[0] + ".1"  # the number of this process, when it was another's
    for label, name in ((dead, "of-the-dead"), (owner, "of-this")):
        place.oci.call("volume", "create", "--label", label, name)
        mount = ("--mount", f"type=volume,source={name},target=/mounted", "--network", "none")
        place.oci.call("create", "--label", label, "--name", f"container-{name}", *mount, place.image_id, "true")
    labels.remove_left_behind(place.oci)
    left = place.oci.call("ps", "--all", "--format", "{{.Names}}"), place.oci.call("volume", "ls", "--quiet")
    place.oci.remove(owner)
    assert left == ("container-of-this", "of-this")
    assert elsewhere.left == NOTHING


AS_ANOTHER = """\
import os, sys
from tests.integration.test_container_hosts import *
folder, group = Path(sys.argv[1]), int(sys.argv[2])
place = place_at("")
os.setgroups([])
os.setgid(group)
os.setuid(1234)
with mounted(place, [Mount(path=folder, writable=True)], labels.new_job()) as options:
    run(place, f"mkdir -p {folder}/deep/er; touch {folder}/deep/er/file", options)
"""


def test_what_root_makes_in_a_container_is_the_users_afterwards() -> None:
    """As a user of the group docker, in a process of its own; such a user could not even remove it."""
    group = Path("/var/run/docker.sock").stat().st_gid
    with tempfile.TemporaryDirectory(prefix="whb-users-") as name:  # where another user may go
        os.chown(name, 1234, group)
        argv = [sys.executable, "-c", AS_ANOTHER, name, str(group)]
        subprocess.run(argv, cwd=REPOSITORY, env={**os.environ, "HOME": name}, check=True)
        made = [path.stat() for path in Path(name).rglob("*")]
    assert {(status.st_uid, status.st_gid) for status in made} == {(1234, group)}
    assert len(made) == 3


# Building there


def test_wheels_are_built_there(
    whb: Whb, elsewhere: Dockerd, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Over SSH, by an image that is only there."""
    files = c_extension("faraway")
    files["pyproject.toml"] += f"# {tmp_path}\n"  # what no earlier run has built
    archive = sdist(tmp_path, "faraway", files)
    with ssh_to(elsewhere, tmp_path_factory.mktemp("ssh")) as ssh:
        whb.ok(
            *("build", "-P", f"faraway @ {archive.as_uri()}", "--python", "3.12", "--arch", "amd64"),
            cwd=tmp_path,
            PATH=ssh["PATH"],
            WHB_ENGINE="container",
            WHB_CONTAINER_IMAGES=f"amd64={THERE}",
            WHB_CONTAINER_HOSTS=f"amd64={ssh['host']}",
        )
    (wheel,) = Wheelhouse(tmp_path / "wheelhouse").wheels()
    assert (wheel.filename, wheel.engine) == ("faraway-1.0-cp312-cp312-musllinux_1_2_x86_64.whl", "container")
    assert [verdict.passed for verdict in wheel.verdicts] == [True, True]
    assert elsewhere.left == NOTHING


def test_a_machine_may_be_named_by_a_docker_context(elsewhere: Dockerd, context: str) -> None:
    place = place_at(context)
    assert (place.oci.name, place.shares_files) == ("docker at other-machine", False)


def test_a_context_that_does_not_exist(context: str) -> None:
    with pytest.raises(MachineError, match="there is no docker context 'another'") as caught:
        place_at("another")
    assert caught.value.hint == "`docker context ls` lists them"


def test_a_host_that_cannot_be_reached_by_ssh() -> None:
    with pytest.raises(MachineError, match=r"cannot be reached: ssh(: connect to host| ended at once)") as caught:
        place_at("ssh://pi@127.0.0.1:1")
    assert caught.value.hint == "`ssh pi@127.0.0.1 -p 1 docker version` must work without a question"


# Podman


def test_folders_are_at_their_own_paths_for_a_podman_elsewhere(
    podman: dict[str, str], folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, podman[name])
    wheels, scratch = folders
    with podman_service(podman, hidden=[Path("/tmp")]) as host:
        place = place_at(host, engine="podman")
        assert not place.shares_files
        with mounted(place, [Mount(path=wheels), Mount(path=scratch, writable=True)], labels.new_job()) as options:
            assert run(place, SCRIPT.format(wheels=wheels, scratch=scratch), options) == "contentran"
        assert (scratch / "made/file").read_text() == "made\n"
        assert place.oci.call("ps", "--all", "--quiet") + place.oci.call("volume", "ls", "--quiet") == ""


def test_wheels_are_built_by_podman(whb: Whb, podman: dict[str, str], tmp_path: Path) -> None:
    files = c_extension("podded")
    files["pyproject.toml"] += f"# {tmp_path}\n"
    archive = sdist(tmp_path, "podded", files)
    whb.ok(
        *("build", "-P", f"podded @ {archive.as_uri()}", "--python", "3.12", "--arch", "amd64"),
        cwd=tmp_path,
        WHB_ENGINE="container",
        WHB_CONTAINER_ENGINE="podman",
        WHB_CONTAINER_IMAGES=f"amd64={MUSLLINUX}",
        **{name: podman[name] for name in VARIABLES},
    )
    (wheel,) = Wheelhouse(tmp_path / "wheelhouse").wheels()
    assert (wheel.filename, wheel.engine) == ("podded-1.0-cp312-cp312-musllinux_1_2_x86_64.whl", "container")
