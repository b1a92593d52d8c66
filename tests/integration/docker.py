"""docker for tests, as Debian's client: it has BuildKit within; another one first on PATH may want buildx beside it.

And podman, which is told the same.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.integration.conftest import IMAGE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DOCKER = "/usr/bin/docker"


@dataclass(frozen=True)
class Engine:
    """docker or podman, as a command."""

    program: str
    environment: Mapping[str, str] = field(default_factory=dict)  # of a podman with a store of its own

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run it; fails with all it said unless told otherwise."""
        # Images of podman's own format have no health check (podman-build(1), --format).
        ours = {"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain", "BUILDAH_FORMAT": "docker"}
        done = subprocess.run(
            [self.program, *arguments],
            env={**os.environ, **ours, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    def __call__(self, *arguments: str) -> str:
        """Run it; its standard output. Fails with all it said."""
        return self.run(*arguments).stdout

    def have(self, image: str) -> None:
        """Have an image of the machine's docker."""
        has = self.run("image", "inspect", "--format", "{{.Id}}", image, check=False).stdout.strip()
        if not has or has not in docker("image", "inspect", "--format", "{{.Id}}", image).stdout:
            with subprocess.Popen([DOCKER, "save", image], stdout=subprocess.PIPE) as saving:
                loading = [self.program, "load", "--quiet"]
                subprocess.run(loading, stdin=saving.stdout, env=self.environment, check=True, capture_output=True)

    def build(self, context: Path, tag: str, arch: str, *arguments: str) -> str:
        """Build an image, without the layers of an earlier run; what the engine said."""
        done = self.run("build", "--no-cache", "--platform", f"linux/{arch}", "--tag", tag, *arguments, str(context))
        return done.stdout + done.stderr

    def config(self, image: str) -> dict[str, Any]:
        """What an image says of itself."""
        (said,) = json.loads(self("image", "inspect", image))
        return {"Healthcheck": said.get("Healthcheck"), **said["Config"]}  # podman tells it elsewhere


OURS = Engine(DOCKER)


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run docker; fails with all it said unless told otherwise."""
    return OURS.run(*arguments, check=check)


def this_machine() -> str:
    """Its address for containers of docker's usual network. docker itself does not tell it before its second start."""
    route = docker("run", "--rm", IMAGE.format(python="3.12", arch="amd64"), "ip", "-4", "route", "show", "default")
    return route.stdout.split()[2]  # default via ADDRESS dev eth0


def build(context: Path, tag: str, arch: str, *arguments: str, engine: Engine = OURS) -> str:
    """Build an image on Alpine's Python 3.12 from the context's Dockerfile; what the engine said."""
    base = f"BASE={IMAGE.format(python='3.12', arch=arch)}"
    engine.run("image", "rm", tag, check=False)  # that of an earlier run
    return engine.build(context, tag, arch, "--build-arg", base, *arguments)
