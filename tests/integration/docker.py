"""docker for tests, as Debian's client: it has BuildKit within; another one first on PATH may want buildx beside it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tests.integration.conftest import IMAGE

if TYPE_CHECKING:
    from pathlib import Path

DOCKER = "/usr/bin/docker"


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run docker; fails with all it said unless told otherwise."""
    environ = {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
    done = subprocess.run([DOCKER, *arguments], env=environ, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done


def build(context: Path, tag: str, arch: str, *arguments: str) -> str:
    """Build an image on Alpine's Python 3.12 from the context's Dockerfile; what docker said."""
    base = ("--build-arg", f"BASE={IMAGE.format(python='3.12', arch=arch)}", "--platform", f"linux/{arch}")
    docker("image", "rm", tag, check=False)  # that of an earlier run
    done = docker("build", "--no-cache", *base, "--tag", tag, *arguments, str(context))
    return done.stdout + done.stderr
