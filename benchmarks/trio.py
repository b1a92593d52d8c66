#!/usr/bin/env python3
"""The figures of the main job, measured in one run on one machine: cffi, bcrypt and cryptography from sdist.

    .venv/bin/python benchmarks/trio.py [--work DIR]

Needs what `scripts/test` sets up, and gcc, libffi-dev, libssl-dev and Rust for the comparison with `pip wheel`.
Times are CPU seconds (user and system, children included) unless they say otherwise: machines are noisy.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from wheelhouse_builder.engines.cross.interpreter import find_python
from wheelhouse_builder.engines.cross.libraries import build_library, library_prefix
from wheelhouse_builder.engines.cross.rust import find_rust
from wheelhouse_builder.engines.cross.zig import ensure_zig, warm
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.recipes.store import load_library
from wheelhouse_builder.settings import default_cache
from wheelhouse_builder.target import Arch

TRIO = ("cffi", "bcrypt", "cryptography")
# What may be ready before the clock starts: toolchains, C libraries, downloads, not one build.
READY = ("answers", "cargo", "crates", "downloads", "libraries", "rust", "targets", "toolchains", "uv", "zig")


@dataclass(frozen=True)
class Measured:
    """One command."""

    cpu: float  # seconds
    wall: float  # seconds
    memory: float  # MiB: the peak of the process itself, without its children
    output: str


def measure(argv: list[str], cwd: Path, **environment: str) -> Measured:
    """Run a command to its end; exits if it fails."""
    before, started = os.times(), time.monotonic()
    process = subprocess.Popen(argv, cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    peak = [0]

    def watch() -> None:
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                return
            peak.extend(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    watcher.join()
    after = os.times()
    if process.returncode:
        sys.exit(f"{argv} failed:\n{output}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(cpu, time.monotonic() - started, max(peak) / 1024, output)


def whb(work: Path, cache: Path, *arguments: str) -> Measured:
    """Run `whb` without the import check, which would measure QEMU."""
    argv = [sys.executable, "-m", "wheelhouse_builder", *arguments, "--json"]
    return measure(argv, work, WHB_CACHE_DIR=str(cache), WHB_VERIFY_ENGINE="off")


def fresh_cache(shared: Path, folder: Path) -> Path:
    """A cache with everything ready and nothing built."""
    folder.mkdir(parents=True)
    for name in READY:
        if (shared / name).exists():
            (folder / name).symlink_to(shared / name)
    return folder


def build(work: Path, cache: Path, *arguments: str) -> Measured:
    """Build the trio."""
    packages = [part for name in TRIO for part in ("-P", name)]
    return whb(work, cache, "build", *packages, "--no-binary", ",".join(TRIO), *arguments)


def pip_wheel(work: Path, shared: Path, versions: dict[str, str]) -> Measured:
    """The same sdists with plain pip and gcc, on the host, with the same Rust."""
    host, rust = find_python((3, 12), shared), find_rust(shared)
    if host is None or rust is None or shutil.which("gcc") is None:
        sys.exit("the comparison needs Python 3.12, Rust and gcc on this machine")
    venv = work / "venv"
    subprocess.run([str(host.path), "-m", "venv", str(venv)], check=True)
    pins = [f"{name}=={version}" for name, version in versions.items()]
    argv = [str(venv / "bin/pip"), "wheel", "--quiet", "--no-deps", "--no-cache-dir", "--no-binary", ",".join(TRIO)]
    path = f"{rust.cargo.parent}:{os.environ['PATH']}"
    return measure([*argv, "-w", str(work / "wheels"), *pins], work, PATH=path, RUSTC=str(rust.rustc))


def libffi_seconds(cache: Path, shared: Path) -> dict[str, float]:
    """Wall time of one build of libffi, from a fetched source, for each architecture."""
    times = {}
    recipe = load_library("libffi")
    for arch in Arch:
        tools = ensure_zig(arch, shared)  # warm
        folder = fresh_cache(shared, cache / f"libffi-{arch}")
        (folder / "libraries").unlink()
        assert not library_prefix(recipe, tools, folder).exists()
        log, started = folder / "log", time.monotonic()
        build_library(recipe, tools, cache=folder, jobs=2, offline=True, log=log, canceller=Canceller())
        times[arch.docker] = time.monotonic() - started
    return times


def big_wheel(folder: Path) -> None:
    """A wheel of 200 MB that does not compress."""
    with zipfile.ZipFile(folder / "big-1.0-py3-none-any.whl", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("big-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: big\nVersion: 1.0\n")
        archive.writestr("big-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("big-1.0.dist-info/RECORD", "")
        with archive.open("big/data", "w", force_zip64=True) as stream:
            for _ in range(200):
                stream.write(os.urandom(1 << 20))


def decided(measured: Measured, action: str) -> list[str]:
    """The packages of a report with this decision."""
    rows = json.loads(measured.output)["rows"]
    return [
        f"{row['name']} {row['target'][:5]} {row['target'].split('_')[-1]}" for row in rows if row["decision"] == action
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".test/benchmark"))
    work = parser.parse_args().work.absolute()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shared = Path(os.environ.get("WHB_CACHE_DIR", default_cache()))
    for each in Arch:  # everything ready: zig keeps its libraries per installation, so a new one starts cold
        warm(ensure_zig(each, shared), log=work / "warm.log", canceller=Canceller())
    build(work, shared, "--python", "3.12", "--arch", "amd64", "--arch", "arm64")
    shutil.rmtree(work / "wheelhouse")

    amd64 = build(work, fresh_cache(shared, work / "amd64"), "--python", "3.12", "--arch", "amd64")
    arm64 = build(work, fresh_cache(shared, work / "arm64"), "--python", "3.12", "--arch", "arm64")
    versions = {row["name"]: row["version"] for row in json.loads(amd64.output)["rows"] if row["name"] in TRIO}
    plain = pip_wheel(work, shared, versions)
    print(f"trio, amd64: {amd64.cpu:.1f} s CPU, {amd64.wall:.1f} s wall")
    print(f"trio, arm64: {arm64.cpu:.1f} s CPU, {arm64.wall:.1f} s wall; {arm64.cpu / amd64.cpu:.2f} x amd64 (<= 1.3)")
    print(
        f"pip wheel:   {plain.cpu:.1f} s CPU, {plain.wall:.1f} s wall; amd64 is {amd64.cpu / plain.cpu:.2f} x (<= 1.3)"
    )

    again = build(work, work / "arm64", "--python", "3.12", "--arch", "amd64", "--arch", "arm64")
    again = build(work, work / "arm64", "--python", "3.12", "--arch", "amd64", "--arch", "arm64")
    print(f"the same again: {again.wall:.2f} s wall, {again.cpu:.2f} s CPU (<= 1.5); built: {decided(again, 'build')}")
    offline = build(work, work / "arm64", "--python", "3.12", "--arch", "amd64", "--arch", "arm64", "--offline")
    print(f"the same again, --offline: {offline.wall:.2f} s wall")
    second = build(work, work / "arm64", "--python", "3.12", "--python", "3.13", "--arch", "amd64", "--arch", "arm64")
    print(f"with 3.13 as well: {second.cpu:.1f} s CPU; built: {decided(second, 'build')}")
    for arch, seconds in libffi_seconds(work / "tools", shared).items():
        print(f"libffi, {arch}: {seconds:.1f} s wall (<= 15)")
    peak = max(each.memory for each in (amd64, arm64, again, second))
    print(f"peak memory of whb itself: {peak:.0f} MiB (<= 150)")
    big_wheel(work)
    big = whb(
        work, work / "arm64", "build", "-P", f"big @ {(work / 'big-1.0-py3-none-any.whl').as_uri()}", "--arch", "arm64"
    )
    print(f"with a wheel of 200 MB: {big.memory:.0f} MiB")


if __name__ == "__main__":
    main()
