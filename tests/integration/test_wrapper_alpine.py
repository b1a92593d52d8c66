"""The consumer's side of `wheelhouse_builder.backend`: Alpine with neither compiler nor network."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import IMAGE, in_alpine
from tests.integration.docker import docker
from tests.integration.frontends import message_of
from tests.integration.wrapped_projects import PROJECTS, write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.integration.conftest import Whb
    from tests.integration.frontends import FrontEnd

pytestmark = pytest.mark.integration

ARCHS = ("amd64", "arm64")
PIP = (
    "python -m pip install --quiet --no-cache-dir --root-user-action ignore"
    " --no-index --find-links /wheels --find-links /own"
)
NO_COMPILER = "for name in cc gcc clang cargo; do if command -v $name; then exit 9; fi; done\n"


@pytest.fixture(scope="module")
def wheels(front_ends: Mapping[str, FrontEnd]) -> tuple[tuple[Path, str], ...]:
    """What build environments are made of, as mounts: ours, and all that the projects ask for."""
    uv = front_ends["uv"]
    return ((uv.kept.wheels, "/wheels"), (uv.own, "/own"))


@pytest.fixture(scope="module")
def trees(front_ends: Mapping[str, FrontEnd], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All projects, each in a folder of its name, from a source that no earlier run has built."""
    folder = tmp_path_factory.mktemp("trees")
    for name in PROJECTS:
        write(folder / name, name, front_ends["uv"].kept, stamp=str(folder.stat().st_mtime_ns))
    return folder


@pytest.fixture(scope="module")
def house(whb: Whb, trees: Path) -> Path:
    """Their wheels for both architectures, by one `whb build`."""
    archs = [word for arch in ARCHS for word in ("--arch", arch)]
    whb.ok("build", *(f"./{name}" for name in PROJECTS), "--python", "3.12", *archs, cwd=trees, WHB_VERIFY_ENGINE="off")
    return trees / "wheelhouse"


@pytest.mark.parametrize("arch", ARCHS)
def test_hits_install_where_nothing_can_be_built(
    arch: str, house: Path, trees: Path, wheels: tuple[tuple[Path, str], ...]
) -> None:
    """Through pip as the image has it, from trees that cannot be written.

    On arm64, under emulation, in the environment itself: nothing there but what our distribution depends on.
    """
    projects = " ".join(f"/trees/{name}" for name in PROJECTS)
    modules = [name.replace("-", "_") for name in PROJECTS]
    answers = f"import {', '.join(modules)}; print([m.answer() for m in ({', '.join(modules)})])"
    isolated = f"{PIP} cffi {projects}\n"
    shared = f"{PIP} cffi wheelhouse-builder\n{PIP} --no-build-isolation {projects}\n"
    script = f"{NO_COMPILER}{isolated if arch == 'amd64' else shared}python -c '{answers}'\ntest ! -e /tmp/spy\n"
    environ = "export WHB_WHEELHOUSE=/house WHB_ON_MISS=fail SPY=/tmp/spy PIP_NO_COMPILE=1\n"
    said = in_alpine("3.12", arch, environ + script, *wheels, (house, "/house"), (trees, "/trees"))
    assert said.splitlines()[-1] == str([42] * len(PROJECTS))


@pytest.mark.parametrize("arch", ARCHS)
def test_a_miss_names_the_command_that_makes_the_wheel(
    arch: str,
    whb: Whb,
    front_ends: Mapping[str, FrontEnd],
    wheels: tuple[tuple[Path, str], ...],
    tmp_path: Path,
) -> None:
    """That command, run as it is said on the machine that can build, makes the next install a hit."""
    tree = write(tmp_path / "tree", "tiny-c", front_ends["uv"].kept, stamp=str(tmp_path.stat().st_mtime_ns))
    house = tmp_path / "house"
    house.mkdir()
    mounts = [
        word
        for host, inside in (*wheels, (tree, str(tree)), (house, str(house)))
        for word in ("--volume", f"{host}:{inside}:ro")
    ]
    run = ("run", "--rm", "--network=none", f"--platform=linux/{arch}", f"--env=WHB_WHEELHOUSE={house}", *mounts)
    script = f"{NO_COMPILER}{PIP} {tree}\npython -c 'import tiny_c; print(tiny_c.answer())'"
    image = IMAGE.format(python="3.12", arch=arch)
    done = docker(*run, image, "sh", "-euc", script, check=False)
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[arch]
    message = message_of(done)
    for text in ("tiny-c", "1.0", f"cp312-musllinux_1_2_{machine}"):
        assert text in message, message
    command = re.search(r"in the project's folder by: (whb build .*)", message)
    assert command, message
    whb.ok(*shlex.split(command[1])[1:], cwd=tree, WHB_VERIFY_ENGINE="off")
    assert docker(*run, image, "sh", "-euc", script).stdout.splitlines()[-1] == "42"


def test_a_pure_project_is_built_there(
    front_ends: Mapping[str, FrontEnd], wheels: tuple[tuple[Path, str], ...], tmp_path: Path
) -> None:
    """A miss alone is no reason to refuse."""
    tree = write(tmp_path / "tree", "tiny-hatch", front_ends["uv"].kept)
    script = f"{NO_COMPILER}{PIP} /tree\npython -c 'import tiny_hatch; print(tiny_hatch.answer())'"
    assert in_alpine("3.12", "amd64", script, *wheels, (tree, "/tree")).splitlines()[-1] == "42"
