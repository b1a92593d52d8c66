"""Rust of the image's own: what builds where whb's does not, or has failed.

The image is the stand-in of the official one. Its rustc is this machine's, and so is its zig: of all that runs, Python
alone is emulated, or this would take minutes. rustc compiles for musl unless told, as Alpine's does, and links by zig.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import Whb, in_alpine
from tests.integration.docker import docker
from tests.integration.projects import crate_extension, sdist
from wheelhouse_builder.engines.container.toolchain import runnable_copies
from wheelhouse_builder.engines.cross.rust import ensure_std, find_rust
from wheelhouse_builder.engines.cross.zig import zig_binary
from wheelhouse_builder.events import ignore
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.target import Arch
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

RUSTC = """\
#!/bin/sh
case $* in
  -vV) {program} -vV | sed 's/^host: .*/host: {triple}/' ;;
  *--target*) exec {program} --sysroot /opt/rust "$@" ;;
  *) exec {program} --sysroot /opt/rust --target {triple} "$@" ;;
esac
"""
DOCKERFILE = """\
FROM whb-test/musllinux_1_2:{arch}
COPY toolchains {folder}/toolchains
COPY std /opt/rust/lib/rustlib/{triple}/lib
COPY zig /opt/zig/zig
COPY bin /usr/local/bin
"""

DIGITS = """\
#[no_mangle]
pub extern "C" fn digits(number: u64) -> usize {
    itoa::Buffer::new().format(number).len() + env!("RAN_ON").len()
}
"""
# With a crate to be fetched, a program that runs in the build, and a lock as the machine's cargo writes it: by itself.
FILES = {
    **crate_extension("oxide", DIGITS, 'itoa = "1"\n'),
    "build.rs": """\
use std::env::consts::ARCH;
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=RAN_ON={ARCH}");
}
""",
}
# Refuses what accelerates, as a crate does that zig cannot link.
PICKY = """\
import os
if "toolchains" in os.environ.get("CARGO", ""):
    raise SystemExit("error: unsupported linker arg: -Wl,--some-option")
from setuptools import setup
setup()
"""
USE = """
    pip install --quiet --disable-pip-version-check --no-cache-dir --target /tmp/site --no-index --find-links /w oxide
    python3 -c "import ctypes, glob; print(ctypes.CDLL(glob.glob('/tmp/site/oxide/native*.so')[0]).digits(12345))"
"""


@pytest.fixture(scope="module", params=list(Arch), ids=lambda arch: arch.docker)
def arch(request: pytest.FixtureRequest, whb: Whb, tmp_path_factory: pytest.TempPathFactory) -> Arch:
    """An architecture for which the image is there, `whb-test/musllinux-cargo:ARCH`."""
    arch: Arch = request.param
    folder = tmp_path_factory.mktemp("image")
    rust = find_rust(whb.cache)
    assert rust, "whb doctor --install"
    ensure_std(rust, arch, log=folder / "log", canceller=Canceller(), listener=ignore)
    sysroot = rust.sysroot if rust.std_origin(arch) == "the toolchain's" else rust.own_sysroot
    shutil.copytree(sysroot / "lib/rustlib" / arch.rust_triple / "lib", folder / "std")
    shutil.copy(zig_binary(), folder)
    programs = runnable_copies([rust.rustc, rust.cargo], folder) / "bin"
    (folder / "bin").mkdir()
    for name in ("rustc", "cargo"):
        text = RUSTC if name == "rustc" else '#!/bin/sh\nexec {program} "$@"\n'
        (folder / "bin" / name).write_text(text.format(program=programs / name, triple=arch.rust_triple))
        (folder / "bin" / name).chmod(0o755)
    (folder / "Dockerfile").write_text(DOCKERFILE.format(arch=arch.docker, folder=folder, triple=arch.rust_triple))
    docker(
        "build", "--platform", f"linux/{arch.docker}", "--tag", f"whb-test/musllinux-cargo:{arch.docker}", str(folder)
    )
    return arch


def test_a_wheel_is_built_by_the_images_own_cargo(arch: Arch, whb: Whb, tmp_path: Path) -> None:
    """On amd64 at once; on arm64 when what accelerates has failed."""
    files = {**FILES, "setup.py": f"# {tmp_path.stat().st_mtime_ns}\n{PICKY}"}
    source = ("-P", f"oxide @ {sdist(tmp_path, 'oxide', files).as_uri()}")
    done = whb.ok(
        *("build", *source, "--python", "3.12", "--arch", arch.docker),
        cwd=tmp_path,
        WHB_ENGINE="container",
        WHB_CONTAINER_IMAGES=f"{arch.docker}=whb-test/musllinux-cargo:{arch.docker}",
        WHB_VERIFY_ENGINE="off",
    )
    fell_back = "container-accelerated failed, container-emulated is tried" in done.stderr
    assert fell_back is (arch is Arch.AARCH64)
    (wheel,) = (wheel for wheel in Wheelhouse(tmp_path / "wheelhouse").wheels() if wheel.name == "oxide")
    assert wheel.engine == "container"
    assert "rustc" not in (wheel.native_tools or "")
    ran_on = {Arch.X86_64: "x86_64", Arch.AARCH64: "aarch64"}[arch]
    assert in_alpine("3.12", arch.docker, USE, (tmp_path / "wheelhouse", "/w")) == f"{len('12345' + ran_on)}\n"
