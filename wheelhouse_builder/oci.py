"""A container service: docker or podman, on this machine or another, asked through its command-line client.

The two clients take the same options. What one of them refuses is told in one sentence, with the command that mends it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import JobError, MachineError, UsageError
from wheelhouse_builder.process import base_environment, run
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wheelhouse_builder.process import Canceller

_ANSWER_SECONDS = 30  # for a service to say anything at all
_PULL_SECONDS = 1800
# How the clients find their service and credentials; HOME and the like stay out of the container.
_CLIENT_VARIABLES = (
    "HOME XDG_RUNTIME_DIR XDG_CONFIG_HOME XDG_DATA_HOME DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG DOCKER_TLS_VERIFY "
    "DOCKER_CERT_PATH CONTAINER_HOST CONTAINER_SSHKEY CONTAINERS_CONF CONTAINERS_STORAGE_CONF SSH_AUTH_SOCK"
)
_ABOUT = {
    "docker": ("version", "--format", "{{.Server.Version}} {{.Server.Arch}}"),
    "podman": ("info", "--format", "{{.Version.Version}} {{.Host.Arch}}"),
}
# A container without network, nor proxies and what is secret in them: docker hands on those of its configuration,
# podman those of its environment (docs.docker.com/engine/cli/proxy; podman-create(1), --http-proxy).
_UPPER = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")
PROXIES = (*_UPPER, *(name.lower() for name in _UPPER))
NO_NETWORK = ("--network", "none", *(option for name in PROXIES for option in ("--env", f"{name}=")))
# What the clients say (docker 20.10 and 28, podman 4.3), what it means, and what to do. The first that is found holds.
_NOT_LET_IN = re.compile(
    r"permission denied while trying to connect to the docker|(?:docker|podman)\.sock: connect: permission denied",
    re.IGNORECASE,
)
_NO_CONTEXT = re.compile(r"unable to resolve docker endpoint|context \S+ (?:does not exist|not found)")
# One time in a hundred docker writes to an ssh that has just ended, and tells that instead of what ssh said.
_NO_SSH = re.compile(
    r"command \[ssh .*?stderr=(?P<said>[^\n]*)|error during connect: [^\n]*write \|1: broken pipe", re.DOTALL
)
_NO_ANSWER = re.compile(
    r"Cannot connect to the Docker daemon|failed to connect to the docker API|Is the docker daemon running"
    r"|error during connect|[Cc]annot connect to Podman|unable to connect to Podman"
)
_FULL = re.compile(r"no space left on device", re.IGNORECASE)
_NO_LIMITS = re.compile(r"error setting rlimit")


@dataclass(frozen=True, kw_only=True)
class Oci:
    """One container service. `host` names one elsewhere: its URL (ssh, tcp, unix), or a docker context."""

    program: str  # "docker" or "podman"
    host: str = ""  # "": what the client itself takes, by its own variables and configuration

    @property
    def name(self) -> str:
        """For people: `docker`, `docker at ssh://pi`."""
        return f"{self.program} at {self.host}" if self.host else self.program

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment for the client, and for whatever calls it."""
        chosen = {name: os.environ[name] for name in _CLIENT_VARIABLES.split() if name in os.environ}
        if self.host:
            for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST"):
                chosen.pop(name, None)
            if self.program == "podman":
                chosen["CONTAINER_HOST"] = self.host
            else:
                chosen["DOCKER_HOST" if "://" in self.host else "DOCKER_CONTEXT"] = self.host
        return base_environment(chosen)

    def call(self, *arguments: str, timeout: float = _ANSWER_SECONDS, canceller: Canceller | None = None) -> str:
        """What the client answers, stripped. `timeout` in seconds.

        Raises `MachineError` where the service cannot be used, `JobError` for whatever else it refuses, `Cancelled`.
        """
        if shutil.which(self.program) is None:
            raise MachineError(f"{self.program} is not installed", hint=self._how_to_get_it())
        argv = [self.program, *arguments]
        try:
            done = run(argv, env=self.environment, timeout=timeout, canceller=canceller, what=f"{self.name} {argv[1]}")
        except JobError as error:
            if trouble := self.trouble(error.tail):
                raise trouble from error
            raise
        return done.output.strip()

    def version(self) -> str:
        """The version of the service, not of the client. Raises `MachineError` if none answers."""
        return self._about()[0]

    def architecture(self) -> Arch:
        """What the service's machine runs natively. Raises `MachineError` if it is none that whb knows."""
        name = self._about()[1]
        try:
            return Arch.parse(name)
        except UsageError:
            raise MachineError(
                f"{self.name} runs on {name}, which whb does not know", hint="use a machine with amd64 or arm64"
            ) from None

    def _about(self) -> tuple[str, str]:
        try:
            version, arch = self.call(*_ABOUT[self.program]).split()
        except (JobError, ValueError) as error:
            said = error.tail or error.message if isinstance(error, JobError) else "it does not say its version"
            raise MachineError(f"{self.name} does not answer: {_last(said)}", hint=self._how_to_start_it()) from error
        return version, arch

    def image_id(self, image: str, arch: Arch) -> str | None:
        """The id of an image, if it is here and of that architecture."""
        try:
            here, identity = self.call("image", "inspect", "--format", "{{.Architecture}} {{.Id}}", image).split()
        except (JobError, ValueError):
            return None
        return identity if here == arch.docker else None

    def pull(self, image: str, arch: Arch, canceller: Canceller | None = None) -> None:
        """Get an image. Raises `JobError` if no registry has it, or as `call`."""
        platform = f"linux/{arch.docker}"
        self.call("pull", "--quiet", "--platform", platform, image, timeout=_PULL_SECONDS, canceller=canceller)

    def run(
        self,
        image: str,
        command: Sequence[str],
        *,
        arch: Arch,
        timeout: float,
        options: Sequence[str] = (),
        canceller: Canceller | None = None,
    ) -> str:
        """What a command says in a container of its own, without network and privileges, of which nothing is left.

        `options` are more for `run`, such as mounts. Raises as `call`.
        """
        name = f"whb-{secrets.token_hex(8)}"
        argv = ["run", "--rm", "--name", name, "--label", "whb", *NO_NETWORK]
        argv += ["--platform", f"linux/{arch.docker}"]
        # DAC_OVERRIDE: root inside reads files that are another user's outside
        argv += ["--cap-drop", "ALL", "--cap-add", "DAC_OVERRIDE", "--security-opt", "no-new-privileges"]
        try:
            return self.call(*argv, *options, image, *command, timeout=timeout, canceller=canceller)
        except BaseException:
            with contextlib.suppress(JobError, MachineError):  # ending the client does not end the container
                self.call("rm", "--force", name)
            raise

    def remove(self, label: str) -> None:
        """Remove every container with this label, running or not, and every volume. Raises as `call`."""
        by_label = ("--quiet", "--filter", f"label={label}")
        if containers := self.call("ps", "--all", *by_label).split():
            self.call("rm", "--force", "--volumes", *containers)
        if volumes := self.call("volume", "ls", *by_label).split():
            self.call("volume", "rm", "--force", *volumes)

    def trouble(self, said: str) -> MachineError | None:
        """What is wrong with the service, if the output of its client, or of what calls that, tells it."""
        if _NO_CONTEXT.search(said):
            return MachineError(f"there is no docker context {self.host!r}", hint="`docker context ls` lists them")
        if found := _NO_SSH.search(said):
            said = (found["said"] or "ssh ended at once").strip()
            return MachineError(f"{self.name} cannot be reached: {said}", hint=self._how_to_start_it())
        if _NOT_LET_IN.search(said):
            return MachineError(f"{self.name} does not let this user in: {_last(said)}", hint=self._how_to_be_let_in())
        if _NO_ANSWER.search(said):
            return MachineError(f"{self.name} does not answer: {_last(said)}", hint=self._how_to_start_it())
        if _FULL.search(said):
            return MachineError(f"there is no space left in the store of {self.name}", hint=self.how_to_make_room())
        if _NO_LIMITS.search(said):
            hint = "set lower default_ulimits in containers.conf (CONTAINERS_CONF names the file)"
            return MachineError(f"{self.name} may not raise limits here: {_last(said)}", hint=hint)
        return None

    def how_to_make_room(self) -> str:
        """What a user does where the store of the service is full."""
        return f"`{self.program} system df` says what takes it, `{self.program} image prune` makes room"

    def _how_to_get_it(self) -> str:
        other = {"docker": "podman", "podman": "docker"}[self.program]
        package = {"docker": "docker.io", "podman": "podman"}[self.program]
        return f"`apt install {package}` on Debian, or choose another one: WHB_CONTAINER_ENGINE={other}"

    def _how_to_be_let_in(self) -> str:
        if self.host or self.program == "podman":
            return f"the user who runs whb must be allowed to use {self.name}"
        return "`sudo usermod -aG docker $USER` and log in again, or use podman (WHB_CONTAINER_ENGINE)"

    def _how_to_start_it(self) -> str:
        if self.host.startswith("ssh://"):
            address, _, port = self.host.removeprefix("ssh://").partition("/")[0].partition(":")
            command = f"ssh {address}{f' -p {port}' if port else ''} {self.program} version"
            return f"`{command}` must work without a question"
        if self.host:
            return f"is it running there? `{self.program} info` under the same host tells more"
        return {"docker": "`sudo systemctl start docker`", "podman": "`podman info` tells more"}[self.program]


def mount_option(kind: str, source: str, target: str, *, writable: bool) -> tuple[str, str]:
    """The option of `create` and `run` that mounts a folder (`bind`) or a volume (`volume`), which must be there."""
    line = io.StringIO()  # CSV, so that a comma in a path is none between fields
    mode = () if writable else ("ro",)
    csv.writer(line, lineterminator="").writerow([f"type={kind}", f"source={source}", f"target={target}", *mode])
    return "--mount", line.getvalue()


def _last(said: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "nothing was said")
