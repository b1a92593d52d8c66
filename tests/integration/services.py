"""Container services of the tests' own, beside that of the machine: a docker elsewhere, its SSH, one without QEMU."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.docker import DOCKER
from tests.integration.serve import wait_until
from tests.integration.web import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class Dockerd:
    """A docker service of our own."""

    host: str  # "tcp://127.0.0.1:1234"
    data: Path  # its store, in a mount namespace of its own
    pid: int

    def client(self, *arguments: str) -> str:
        """What docker's client says there; fails with all it said."""
        done = subprocess.run(
            [DOCKER, "--host", self.host, *arguments], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def load(self, image: str) -> None:
        """Give it an image of the machine's docker."""
        with subprocess.Popen([DOCKER, "save", image], stdout=subprocess.PIPE) as saving:
            subprocess.run([DOCKER, "--host", self.host, "load"], stdin=saving.stdout, check=True, capture_output=True)

    @property
    def left(self) -> tuple[str, str]:
        """Containers and volumes that are there."""
        return self.client("ps", "--all", "--quiet"), self.client("volume", "ls", "--quiet")


@contextlib.contextmanager
def dockerd(*, hidden: Sequence[Path] = (), store_bytes: int | None = None) -> Iterator[Dockerd]:
    """A second docker daemon, without network for its containers; gone at the end with all that it held.

    The folders `hidden` are empty for it, as on another machine. Its store may be limited to some bytes.
    """
    port = free_port()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whb-dockerd-", dir="/var/tmp")))
        data = folder / "data"
        data.mkdir()
        bridge = stack.enter_context(_bridge(port))
        mounts = [f"mount -t tmpfs tmpfs '{path}'" for path in hidden]
        mounts += [f"mount -t tmpfs -o size={store_bytes} tmpfs {data}"] if store_bytes else []
        command = [
            *("exec", "dockerd", "--host", f"tcp://127.0.0.1:{port}", "--tls=false"),
            *("--data-root", str(data), "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")),
            *("--containerd-namespace", "whb-test", "--containerd-plugins-namespace", "whb-test-plugins"),
            *("--bridge", bridge, "--iptables=false", "--ip-forward=false", "--ip-masq=false"),
        ]
        script = "\n".join(["set -e", "mount --make-rprivate /", *mounts, " ".join(command)])
        log = stack.enter_context((folder / "log").open("wb"))
        # with process numbers of its own, so that all that it started dies with it, as with a machine
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        process = subprocess.Popen([*alone, "sh", "-c", script], stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.kill)  # `unshare` waits for its child whatever other signal it gets
        made = Dockerd(host=f"tcp://127.0.0.1:{port}", data=data, pid=process.pid)

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            asked = [DOCKER, "--host", made.host, "version"]
            return subprocess.run(asked, capture_output=True, check=False).returncode == 0

        wait_until(answers, "the second dockerd")
        yield made


@contextlib.contextmanager
def _bridge(port: int) -> Iterator[str]:
    """A bridge for a daemon: one that is told `--bridge none` takes docker0 away from the machine's own."""
    name = f"whb{port}"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "198.18.255.1/24", "dev", name], check=True)  # RFC 2544: for tests
        yield name
    finally:
        subprocess.run(["ip", "link", "delete", name], check=True)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def ssh_to(service: Dockerd, folder: Path) -> Iterator[Mapping[str, str]]:
    """An SSH server in front of a docker service: the `host`, and the PATH under which clients know it.

    What a user has in ~/.ssh stands in a configuration that a wrapper first on PATH gives to the real client.
    """
    folder.chmod(0o755)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    port = free_port()
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile {folder}/sshd.pid\nUsePAM no\nPasswordAuthentication no\nStrictModes no\nPermitRootLogin yes\n"
        f"SetEnv DOCKER_HOST={service.host}\n"
    )
    known = f"[127.0.0.1]:{port} " + (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text(known)
    (folder / "ssh_config").write_text(
        f"IdentityFile {folder}/user\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known_hosts\nBatchMode yes\n"
    )
    programs = folder / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
    (programs / "ssh").chmod(0o755)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd has nothing in while it separates privileges
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"], stdout=log, stderr=log)
        try:
            wait_until(lambda: b"listening on" in (folder / "log").read_bytes(), "the SSH server")
            yield {"host": f"ssh://root@127.0.0.1:{port}", "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        finally:
            _stop(process)


# In a user namespace of its own with a mount namespace, and all users mapped: what `unshare` does only with newuidmap.
# The file system binfmt_misc that is mounted there is another one than the machine's, and empty (Linux 6.7 and later).
_WITHOUT_QEMU = """
import ctypes, os, sys
ready, go = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000 | 0x00020000):
        sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    folder = b"/proc/sys/fs/binfmt_misc"
    if libc.mount(b"binfmt_misc", folder, b"binfmt_misc", 0, None):
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[1], sys.argv[1:])
os.read(ready[0], 1)
for name in ("uid_map", "gid_map"):
    with open(f"/proc/{child}/{name}", "w") as file:
        file.write("0 0 65536")
os.write(go[1], b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def without_qemu(argv: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program where no QEMU is registered, and where it may register one, whatever this machine has."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", _WITHOUT_QEMU, *argv], capture_output=True, text=True, check=False, **options
    )


@contextlib.contextmanager
def podman_with(image: str) -> Iterator[dict[str, str]]:
    """A podman with a store of its own, in it an image of the machine's docker; its variables, the whole environment.

    It keeps to the limits that the tests have: to raise them is not allowed everywhere. zig wants 2,000 open files.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="whb-podman-", dir="/var/tmp"))
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)  # images are tens of thousands of files
        stack.callback(subprocess.run, ["umount", "--lazy", folder], check=True)
        environ = {**os.environ, **_podman_variables(Path(folder))}
        with subprocess.Popen([DOCKER, "save", image], stdout=subprocess.PIPE) as saving:
            load = ["podman", "load", "--quiet"]
            subprocess.run(load, stdin=saving.stdout, env=environ, check=True, capture_output=True)
        yield environ


@contextlib.contextmanager
def podman_service(environ: Mapping[str, str], *, hidden: Sequence[Path] = ()) -> Iterator[str]:
    """The URL of a service of this podman, for which the folders `hidden` are empty, as on another machine."""
    with tempfile.TemporaryDirectory(prefix="whb-podman-", dir="/var/tmp") as name:
        host = f"unix://{name}/podman.sock"
        argv = ["podman", "system", "service", "--time=0", host]
        if hidden:
            mounts = ["mount --make-rprivate /", *(f"mount -t tmpfs tmpfs '{path}'" for path in hidden)]
            argv = ["unshare", "--mount", "sh", "-euc", "\n".join([*mounts, 'exec "$@"']), "sh", *argv]
        with Path(name, "log").open("wb") as log:
            process = subprocess.Popen(argv, env=environ, stdout=log, stderr=log)
            try:
                wait_until(Path(name, "podman.sock").exists, "podman's service")
                yield host
            finally:
                _stop(process)


def _podman_variables(folder: Path) -> dict[str, str]:
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/store"\nrunroot = "{folder}/run"\n'
    )
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    port = free_port()  # a number that no other test has
    (folder / "containers.conf").write_text(
        f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc=1024:1024"]\n'
        # docker's runc: crun builds nothing where control groups are of both versions
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
        # netavark gives containers names, as docker does. Its own subnet may be that of podman's older networks.
        f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{folder}/networks"\n'
        f'default_subnet = "198.19.{port // 16 % 256}.{port % 16 * 16}/28"\n'
    )
    return {
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "CONTAINERS_CONF": str(folder / "containers.conf"),
    }
