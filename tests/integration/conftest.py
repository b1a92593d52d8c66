"""What integration tests share: whb as a command, a cache for the whole run, and real Alpine images.

`scripts/test` makes the images (`scripts/alpine-images`) and sets WHB_TEST_DIR; without that these tests fail, they are
never skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.integration.docker import Engine
    from tests.integration.frontends import FrontEnd

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGE = "whb-test/python:{python}-alpine-{arch}"
BUILDER_BASE = "whb-test/python:3.12-slim"


@dataclass(frozen=True)
class Whb:
    """The command line, with a cache that all integration tests of a run share."""

    cache: Path

    def __call__(self, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `whb`; never raises for an exit code."""
        env = {**os.environ, "WHB_CACHE_DIR": str(self.cache), "WHB_VERIFY_IMAGE": IMAGE, **environment}
        return subprocess.run(
            [sys.executable, "-m", "wheelhouse_builder", *arguments],
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    def ok(self, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `whb` and expect exit code 0."""
        done = self(*arguments, cwd=cwd, **environment)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture(scope="session")
def test_dir() -> Path:
    """Where test images and the tests' cache lie."""
    return Path(os.environ.get("WHB_TEST_DIR", REPOSITORY / ".test"))


@pytest.fixture(scope="session")
def whb(test_dir: Path) -> Whb:
    """The command line."""
    return Whb(Path(os.environ.get("WHB_CACHE_DIR", test_dir / "cache")))


@pytest.fixture(scope="session")
def front_ends(whb: Whb, test_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, FrontEnd]:
    """pip, uv and build, with our own wheel as the checkout makes it."""
    from tests.integration.frontends import FRONT_ENDS, FrontEnd, build_own_wheel, make_front_ends

    kept = make_front_ends(test_dir, whb.cache)
    own, home = tmp_path_factory.mktemp("own"), tmp_path_factory.mktemp("home")
    build_own_wheel(kept, own)
    return {name: FrontEnd(name=name, kept=kept, own=own, home=home, cache=whb.cache) for name in FRONT_ENDS}


@pytest.fixture(scope="session")
def cffi_wheelhouse(whb: Whb) -> Iterator[Path]:
    """cffi for both architectures, where every user, also of a container, can read it; not to be changed."""
    with tempfile.TemporaryDirectory(prefix="whb-cffi-") as name:
        Path(name).chmod(0o755)
        whb.ok("build", "-P", "cffi", "--python", "3.12", "--arch", "amd64", "--arch", "arm64", cwd=Path(name))
        yield Path(name, "wheelhouse")


@pytest.fixture(scope="session")
def builder() -> str:
    """docker/builder of this checkout. Layers of an earlier run are taken: what is compiled in it takes minutes."""
    from tests.integration.docker import docker

    file = ("--file", str(REPOSITORY / "docker/builder/Dockerfile"), "--build-arg", f"BASE={BUILDER_BASE}")
    docker("build", "--network", "host", *file, "--tag", "whb-test/builder", str(REPOSITORY))
    return "whb-test/builder"


@pytest.fixture(scope="session")
def podman() -> Iterator[Engine]:
    """podman with a store of its own, and Alpine's Python 3.12 in it."""
    from tests.integration.docker import Engine
    from tests.integration.services import podman_with

    with podman_with(IMAGE.format(python="3.12", arch="amd64")) as environ:
        yield Engine("podman", environ)


def in_alpine(python: str, arch: str, script: str, *mounts: tuple[Path, str]) -> str:
    """Run a shell script in real Alpine without network; its standard output. Fails with all it said."""
    argv = ["docker", "run", "--rm", "--network", "none", "--platform", f"linux/{arch}"]
    for host, inside in mounts:
        argv += ["--volume", f"{host}:{inside}:ro"]
    argv += [IMAGE.format(python=python, arch=arch), "sh", "-euc", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout
