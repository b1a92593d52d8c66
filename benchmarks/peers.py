"""`whb check` on other index servers and on ours, each with the same 40 small wheels (docs/explanation/conformance.md).

    python -m benchmarks.peers [--work DIR]

From the root of the repository. Peers are installed with pip into DIR/peers, at the newest version there is, and run as
their own documentation says. Needs nginx. Every server is on the loopback interface, and killed at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import parse_wheel_filename

from tests.integration.web import NGINX, free_port, running
from tests.wheels import make_wheel
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

PEERS = ("pypiserver", "devpi-server", "devpi-client", "dumb-pypi", "simple-repository-server", "proxpi", "gunicorn")
WHB = (sys.executable, "-m", "wheelhouse_builder")
LEVELS = ("MUST", "SHOULD", "GOOD")


@dataclass(frozen=True)
class Bench:
    """Where things are."""

    work: Path
    core: int | None = None  # the only one that servers may use; the load is on another

    @property
    def bin(self) -> Path:
        """The commands of the peers."""
        return self.work / "peers/bin"

    @property
    def wheels(self) -> Path:
        """A folder with the wheels and nothing else."""
        return self.work / "wheels"

    @property
    def wheelhouse(self) -> Path:
        """The same wheels, published by whb."""
        return self.work / "wheelhouse"

    def run(self, *argv: str | Path) -> str:
        """A command to its end."""
        done = subprocess.run(list(map(str, argv)), check=True, capture_output=True, text=True)
        return done.stdout

    def serve(self, port: int, *argv: str | Path, **environ: str) -> AbstractContextManager[None]:
        """A server until the end of the block."""
        pinned = ["taskset", "-c", str(self.core)] if self.core is not None else []
        return running([*pinned, *map(str, argv)], port, self.work / f"{port}.log", environ)


def forty_wheels(folder: Path) -> None:
    """Twenty projects, each with a wheel for one target and a pure one."""
    tags = ("cp312-cp312-musllinux_1_2_aarch64", "py3-none-any")
    for number in range(20):
        for version, tag in zip(("1.0", "1.1"), tags, strict=True):
            make_wheel(folder, name=f"peer-project-{number}", version=version, tag=tag)


def install(bench: Bench, *names: str) -> None:
    """Have these peers, at the newest version there is."""
    if not bench.bin.is_dir():
        bench.run(sys.executable, "-m", "venv", bench.work / "peers")
    bench.run(bench.bin / "pip", "install", "--quiet", "--upgrade", *names)


def prepare(bench: Bench, make_wheels: Callable[[Path], None] = forty_wheels) -> None:
    """Peers, wheels, wheelhouse."""
    install(bench, *PEERS)
    for folder in (bench.wheels, bench.wheelhouse):
        shutil.rmtree(folder, ignore_errors=True)
    bench.wheels.mkdir()
    make_wheels(bench.wheels)
    house = Wheelhouse(bench.wheelhouse)
    with house.lock():
        for wheel in sorted(bench.wheels.iterdir()):
            house.admit(wheel, record_of(wheel, origin="built"))
        publish(house, {})


@contextlib.contextmanager
def whb_serve(bench: Bench, *options: str) -> Iterator[str]:
    port = free_port()
    with bench.serve(port, *WHB, "serve", "--wheelhouse", bench.wheelhouse, "--port", str(port), *options):
        yield f"http://127.0.0.1:{port}/simple/"


@contextlib.contextmanager
def whb_nginx(bench: Bench) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    site = bench.run(*WHB, "client-config", "nginx", "--url", url, "--wheelhouse", bench.wheelhouse)
    with nginx(bench, port, site):
        yield f"{url}simple/"


@contextlib.contextmanager
def whb_http_server(bench: Bench) -> Iterator[str]:
    port = free_port()
    options = ("--bind", "127.0.0.1", "--directory", bench.wheelhouse)
    with bench.serve(port, sys.executable, "-m", "http.server", str(port), *options):
        yield f"http://127.0.0.1:{port}/simple/"


@contextlib.contextmanager
def pypiserver(bench: Bench) -> Iterator[str]:
    port = free_port()
    with bench.serve(port, bench.bin / "pypi-server", "run", "-i", "127.0.0.1", "-p", str(port), bench.wheels):
        yield f"http://127.0.0.1:{port}/simple/"


@contextlib.contextmanager
def devpi(bench: Bench) -> Iterator[str]:
    port, folder = free_port(), bench.work / "devpi"
    shutil.rmtree(folder, ignore_errors=True)
    bench.run(bench.bin / "devpi-init", "--serverdir", folder, "--no-root-pypi")
    options = ("--serverdir", folder, "--host", "127.0.0.1", "--port", str(port))
    with bench.serve(port, bench.bin / "devpi-server", *options):
        client = (bench.bin / "devpi", "--clientdir", folder / "client")
        words = ["use", f"http://127.0.0.1:{port}"], ["login", "root", "--password="], ["index", "-c", "dev", "bases="]
        for argv in (*words, ["use", "root/dev"], ["upload", "--from-dir", bench.wheels]):
            bench.run(client[0], *argv[:1], *client[1:], *argv[1:])
        yield f"http://127.0.0.1:{port}/root/dev/+simple/"


@contextlib.contextmanager
def dumb_pypi(bench: Bench) -> Iterator[str]:
    """With everything that its package list can say, the sidecars beside the wheels, and a plain nginx in front."""
    folder = bench.work / "dumb-pypi"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bench.wheels, folder / "packages")
    listed = package_list(folder / "packages")
    options = ("--packages-url", "../../packages/", "--output-dir", folder)
    bench.run(bench.bin / "dumb-pypi", "--package-list-json", listed, *options)
    port = free_port()
    with nginx(
        bench, port, f"server {{ listen {port}; root {folder}; types {{ text/html html; }} index index.html; }}"
    ):
        yield f"http://127.0.0.1:{port}/simple/"


def package_list(wheels: Path) -> Path:
    """What dumb-pypi is told of the wheels in a folder, as a file beside it; the sidecars are written."""
    listed = [_described(wheel) for wheel in sorted(wheels.iterdir())]
    path = wheels.with_name("packages.json")
    path.write_text("".join(f"{json.dumps(item)}\n" for item in listed), encoding="utf-8")
    return path


def _described(wheel: Path) -> dict[str, Any]:
    """The line of dumb-pypi's package list; the sidecar is written."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(archive.read(name) for name in archive.namelist() if name.endswith("/METADATA"))
    wheel.with_name(f"{wheel.name}.metadata").write_bytes(metadata)
    return {
        "filename": wheel.name,
        "hash": f"sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}",
        "requires_python": ">=3.8",
        "core_metadata": f"sha256={hashlib.sha256(metadata).hexdigest()}",
        "upload_timestamp": int(wheel.stat().st_mtime),
    }


@contextlib.contextmanager
def simple_repository_server(bench: Bench) -> Iterator[str]:
    """It wants a folder for each project."""
    folder, port = bench.work / "by-project", free_port()
    shutil.rmtree(folder, ignore_errors=True)
    for wheel in bench.wheels.iterdir():
        project = folder / parse_wheel_filename(wheel.name)[0]
        project.mkdir(parents=True, exist_ok=True)
        shutil.copy2(wheel, project)
    command = bench.bin / "simple-repository-server"
    with bench.serve(port, command, "--host", "127.0.0.1", "--port", str(port), folder):
        yield f"http://127.0.0.1:{port}/simple/"


@contextlib.contextmanager
def proxpi(bench: Bench) -> Iterator[str]:
    """A proxy: it stands in front of `whb serve`."""
    port = free_port()
    with whb_serve(bench) as index:
        command = (bench.bin / "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "2", "proxpi.server:app")
        with bench.serve(port, *command, PROXPI_INDEX_URL=index):
            yield f"http://127.0.0.1:{port}/index/"


def nginx(bench: Bench, port: int, site: str) -> AbstractContextManager[None]:
    """nginx with one site."""
    folder = bench.work / f"nginx-{port}"
    folder.mkdir()
    (folder / "site").write_text(site, encoding="utf-8")
    (folder / "main.conf").write_text(NGINX.format(folder=folder), encoding="utf-8")
    return bench.serve(port, "nginx", "-p", folder, "-c", folder / "main.conf", "-e", "stderr")


SERVERS: dict[str, Callable[[Bench], AbstractContextManager[str]]] = {
    "whb serve": whb_serve,
    "whb index + nginx": whb_nginx,
    "whb index + http.server": whb_http_server,
    "simple-repository-server": simple_repository_server,
    "devpi-server": devpi,
    "proxpi": proxpi,
    "dumb-pypi": dumb_pypi,
    "pypiserver": pypiserver,
}


def check(url: str) -> dict[str, Any]:
    """What `whb check --json` says."""
    argv = [*WHB, "check", url, "--all", "--json"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode in {0, 1}, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def version_of(bench: Bench, name: str) -> str:
    """The installed version of a peer."""
    if name.startswith("whb"):
        return ""
    listed = json.loads(bench.run(bench.bin / "pip", "list", "--format", "json", "--disable-pip-version-check"))
    return next(str(item["version"]) for item in listed if item["name"] == name)


def main() -> None:
    """Run all, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "whb-peers")
    parser.add_argument("--only", action="append", choices=SERVERS)
    options = parser.parse_args()
    bench = Bench(options.work)
    bench.work.mkdir(parents=True, exist_ok=True)
    bench.work.chmod(0o755)
    os.umask(0o022)
    prepare(bench)
    documents = {}
    for name in options.only or SERVERS:
        with SERVERS[name](bench) as url:
            documents[name] = check(url)
    print(table({f"{name} {version_of(bench, name)}".strip(): found for name, found in documents.items()}))


def table(documents: dict[str, dict[str, Any]]) -> str:
    """The scores, and under them what fails where."""
    lines = ["| index | MUST | SHOULD | good practice |", "| --- | --- | --- | --- |"]
    for name, found in documents.items():
        scores = [found["score"][level] for level in LEVELS]
        cells = [f"{score['passed']} of {score['applicable']}" for score in scores]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, found in documents.items():
        lines += ["", f"{name}:"]
        for level in LEVELS:
            failed = [item for item in found["checks"] if item["result"] == "failed" and item["level"] == level]
            lines += [f"- {level} `{item['id']}`: {item['findings'][0]['what']}" for item in failed]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
