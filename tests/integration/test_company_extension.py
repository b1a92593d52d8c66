"""examples/company-extension, done as its README says, command by command: a laptop with a compiler, Alpine without."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import IMAGE, REPOSITORY
from tests.integration.docker import DOCKER
from tests.pages import blocks, commands, section

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.integration.conftest import Whb
    from tests.integration.frontends import FrontEnd

pytestmark = pytest.mark.integration

EXAMPLE = "examples/company-extension"
README = f"{EXAMPLE}/README.md"
AARCH64 = "company_extension-1.0-cp312-cp312-musllinux_1_2_aarch64.whl"
X86_64 = "company_extension-1.0-cp312-cp312-musllinux_1_2_x86_64.whl"


@dataclass(frozen=True, kw_only=True)
class Laptop:
    """A copy of the example, with `pip`, `python`, `whb` and `docker` on PATH, and no index but a folder of wheels."""

    tree: Path
    environ: Mapping[str, str]

    def run(self, command: str, arch: str = "amd64", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the page, on the images of the tests."""
        base = re.search(r"--platform linux/(\w+)", command)
        for python in ("3.12", "3.13"):
            command = command.replace(f"python:{python}-alpine", IMAGE.format(python=python, arch=arch))
        if command.startswith("docker build "):
            image = IMAGE.format(python="3.12", arch=base[1] if base else arch)
            command = command.replace("docker build ", f"docker build --no-cache --build-arg BASE={image} ")
        return subprocess.run(
            ["sh", "-ec", command],
            cwd=self.tree,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    def ok(self, command: str, arch: str = "amd64", **environ: str) -> str:
        """The same, expected to go well; all it said."""
        done = self.run(command, arch, **environ)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


def program(folder: Path, name: str, command: str) -> None:
    path = folder / name
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def laptop(whb: Whb, front_ends: Mapping[str, FrontEnd], tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """One for all tests, in the order of the page. Its source is of this run alone: no build cache has it."""
    home = tmp_path_factory.mktemp("laptop")
    tree, programs = home / "company-extension", home / "bin"
    shutil.copytree(
        REPOSITORY / EXAMPLE, tree, ignore=shutil.ignore_patterns("wheelhouse", "build", "dist", "*.egg-info")
    )
    change_source(tree, str(home.stat().st_mtime_ns))
    home.chmod(0o755)
    programs.mkdir()
    front_end = front_ends["build"]
    program(programs, "python", f"'{front_end.python}'")
    program(programs, "pip", f"'{front_end.python}' -m pip")
    program(programs, "whb", f"'{sys.executable}' -m wheelhouse_builder")
    program(programs, "docker", DOCKER)
    environ = {
        **front_end.environment(),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "DOCKER_BUILDKIT": "1",
        "WHB_VERIFY_ENGINE": "docker",
    }
    return Laptop(tree=tree, environ=environ)


def change_source(tree: Path, text: str) -> None:
    path = tree / "src/fletcher.c"
    path.write_text(f"{path.read_text(encoding='utf-8')}/* {text} */\n", encoding="utf-8")


def test_a_laptop_builds_as_it_always_did(laptop: Laptop) -> None:
    (wheel,) = commands(section(README, "On a laptop"))
    laptop.ok(wheel)
    (made,) = (laptop.tree / "dist").iterdir()
    assert made.name == "company_extension-1.0-cp311-cp311-linux_x86_64.whl"
    assert made.name in section(README, "On a laptop")


def test_whb_builds_for_both_architectures(laptop: Laptop) -> None:
    build, take = commands(section(README, "Into the wheelhouse"))
    assert "2 of 2 ready (2 built)" in laptop.ok(build)
    wheels = sorted(path.name for path in (laptop.tree / "wheelhouse").glob("*.whl"))
    assert wheels == [AARCH64, X86_64]
    assert "".join(f"{wheel}\n" for wheel in wheels) in blocks(section(README, "Into the wheelhouse"))
    assert "2 of 2 ready (2 reused)" in laptop.ok(build)
    no_compiler = {"CC": "/bin/false"}
    assert f"{AARCH64} is for cp312-musllinux_1_2_aarch64" in laptop.ok(f"{take} -v", **no_compiler)
    assert (laptop.tree / "dist" / AARCH64).read_bytes() == (laptop.tree / "wheelhouse" / AARCH64).read_bytes()


def test_images_run_it(laptop: Laptop) -> None:
    build, run, build_arm64 = commands(section(README, "The runtime image"))
    for command, platform in ((build, ""), (build_arm64, "--platform linux/arm64 ")):
        laptop.ok(command)
        assert laptop.ok(run.replace("docker run ", f"docker run {platform}")) == "ok\n"
        left = "find / -xdev -name '*.whl' ! -path '*/ensurepip/*' -o -name wheelhouse_builder -o -name fletcher.c"
        assert laptop.ok(f'docker run --rm --user root {platform}company-extension sh -c "{left}"') == ""
        laptop.ok("docker image rm company-extension")


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_alpine_installs_it_from_the_sources(laptop: Laptop, arch: str) -> None:
    download, install = commands(section(README, "From the sources on Alpine"))
    laptop.ok(download)
    installed = laptop.ok(f"{install} -v", arch)
    assert "Successfully installed company-extension-1.0" in installed
    assert "running build_ext" not in installed
    assert not any(name in installed for name in ("gcc", "egg_info"))


def test_a_miss_is_told_as_printed(laptop: Laptop) -> None:
    install, build = commands(section(README, "A miss"))
    (message,) = (block for block in blocks(section(README, "A miss")) if block.startswith("whb: error"))
    done = laptop.run(install)
    assert done.returncode == 1
    assert message in re.sub(r"^ +", "", done.stdout + done.stderr, flags=re.MULTILINE)
    laptop.ok(build)
    assert "Successfully installed company-extension-1.0" in laptop.ok(install)


def test_an_sdist_is_a_hit(laptop: Laptop) -> None:
    sdist, wheel = commands(section(README, "A source distribution"))
    laptop.ok(sdist)
    laptop.ok(wheel, WHB_ON_MISS="fail")
    (made,) = (laptop.tree / "dist/from-sdist").iterdir()
    assert made.read_bytes() == (laptop.tree / "wheelhouse" / X86_64).read_bytes()


def test_what_makes_another_wheel(laptop: Laptop) -> None:
    """Last: it changes the source."""
    _, take = commands(section(README, "Into the wheelhouse"))
    for name in ("README.md", "Dockerfile", "app.py"):
        (laptop.tree / name).write_text("another\n", encoding="utf-8")
    laptop.ok(take, WHB_ON_MISS="fail")
    change_source(laptop.tree, "another")
    done = laptop.run(take, WHB_ON_MISS="fail")
    assert done.returncode == 1
    assert "no wheel of company-extension 1.0 for cp312-musllinux_1_2_aarch64" in done.stdout + done.stderr


def test_every_command_is_run() -> None:
    """By the tests above, which unpack what they find."""
    titles = re.findall(r"^## (.*)", (REPOSITORY / README).read_text(encoding="utf-8"), re.MULTILINE)
    found = [command for heading in titles for command in commands(section(README, heading))]
    text = (REPOSITORY / README).read_text(encoding="utf-8")
    assert [line.strip() for line in text.splitlines() if re.match(r" {4}(?!company_|whb: )", line)] == found
