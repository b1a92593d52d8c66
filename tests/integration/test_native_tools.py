"""Programs of this machine in a container of the other architecture: they run as they are, for the container's target.

One container for all tests of this module; what they look at, it leaves in a folder.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.wheels import make_wheel
from wheelhouse_builder.elf import read_elf
from wheelhouse_builder.engines.container.mounts import Mount, mounted
from wheelhouse_builder.engines.container.preflight import prepare
from wheelhouse_builder.engines.container.toolchain import native_tools
from wheelhouse_builder.engines.cross.rust import ensure_std, find_rust
from wheelhouse_builder.engines.cross.zig import warm_zig
from wheelhouse_builder.events import ignore
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.settings.container import ContainerSettings
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

HERE = Arch(platform.machine())
TARGET = Target((3, 12), next(arch for arch in Arch if arch is not HERE))

SOURCES = {
    "answer.c": "int answer(void) { return 42; }\n",
    "length.cc": """\
#include <stdexcept>
#include <string>
extern "C" unsigned long length(const char *text) {
  try {
    throw std::runtime_error(text);
  } catch (const std::exception &error) {
    return std::string(error.what()).size();
  }
}
""",
    "crate/Cargo.toml": """\
[package]
name = "answer"
version = "0.0.0"
edition = "2021"
[lib]
crate-type = ["cdylib"]
""",
    "crate/build.rs": 'fn main() { println!("cargo::rustc-env=BUILT_ON={}", std::env::consts::ARCH); }\n',
    "crate/src/lib.rs": """\
#[no_mangle]
pub extern "C" fn built_on() -> *const u8 { concat!(env!("BUILT_ON"), "\\0").as_ptr() }
""",
    "call.py": """\
import ctypes, platform, sys
from_c, from_cxx, from_rust = (ctypes.CDLL(path) for path in sys.argv[1:])
from_rust.built_on.restype = ctypes.c_char_p
print(platform.machine(), from_c.answer(), from_cxx.length(b"abc"), from_rust.built_on().decode())
""",
}

# A program that waits for its input can be looked at while it runs.
SCRIPT = """
running() {  # running NAME COMMAND...: the file that runs when the command does
  name=$1
  shift
  mkfifo input
  "$@" <input >/dev/null 2>&1 &
  exec 3>input
  for try in $(seq 300); do
    case $(readlink "/proc/$!/exe") in */"$name") break ;; esac
    sleep 0.1
  done
  readlink "/proc/$!/exe" >"$out/running-$name"
  exec 3>&-
  wait || true
  rm input
}
mkdir /project
cd /project
cp -r "$out/sources/." .
running sh "$(sed -n '1s/^#!//p' "$CC")" -c 'read line'
running zig cc -E -
running rustc rustc --crate-type lib -o ignored -
cc -shared -fPIC -O2 answer.c -o "$out/answer.so"
c++ -shared -fPIC -O2 length.cc -o "$out/length.so"
(cd crate && cargo build --quiet --release && cp target/*/release/libanswer.so "$out")
python=/opt/python/cp312-cp312/bin/python
$python call.py "$out/answer.so" "$out/length.so" "$out/libanswer.so" >"$out/called"
uv pip install --quiet --offline --no-index --find-links "$out/sources" --python $python --target installed demo
$python -c 'import sys; sys.path.insert(0, "installed"); import demo; print(demo.__file__)' >"$out/imported"
"""


@dataclass(frozen=True)
class Left:
    """What the container left."""

    folder: Path

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8").strip()


@pytest.fixture(scope="module")
def left(whb: Whb, tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder = tmp_path_factory.mktemp("native")
    for name, text in SOURCES.items():
        file = folder / "sources" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    make_wheel(folder / "sources", tag=f"cp312-cp312-musllinux_1_2_{TARGET.arch}", files={"demo.py": b""})
    rust, canceller, log = find_rust(whb.cache), Canceller(), folder / "log"
    assert rust is not None
    ensure_std(rust, TARGET.arch, log=log, canceller=canceller, listener=ignore)
    warm_zig(TARGET.arch, whb.cache, log=log, canceller=canceller, phase=lambda _: None)
    images = {TARGET.arch: f"whb-test/musllinux_1_2:{TARGET.arch.docker}"}
    place = prepare(ContainerSettings(images=images), TARGET, pull=False)
    tools = native_tools(place, TARGET, cache=whb.cache, c=True, rust=rust, home=folder / "cargo")
    (folder / "cargo").mkdir()
    with mounted(place, [*tools.mounts, Mount(path=folder, writable=True)], "whb.job=test") as mounts:
        options = [option for name, value in tools.environment.items() for option in ("--env", f"{name}={value}")]
        path = ":".join([*tools.path, "/usr/local/bin:/usr/bin:/bin"])
        options += ["--env", f"PATH={path}", "--env", f"out={folder}", *mounts]
        place.oci.run(place.image_id, ["sh", "-euc", SCRIPT], arch=TARGET.arch, timeout=600, options=options)
    return Left(folder)


@pytest.mark.parametrize("name", ["sh", "zig", "rustc"])
def test_compilers_and_the_shell_of_their_wrappers_run_as_they_are(left: Left, name: str) -> None:
    program = Path(left.text(f"running-{name}"))  # one that QEMU runs would be QEMU here
    assert program.name == name
    with program.open("rb") as stream:
        assert read_elf(stream).machine is HERE


@pytest.mark.parametrize("name", ["answer.so", "length.so", "libanswer.so"])
def test_what_they_make_is_for_the_target(left: Left, name: str) -> None:
    with (left.folder / name).open("rb") as stream:
        made = read_elf(stream)
    assert made.machine is TARGET.arch
    assert not {needed for needed in made.needed if needed.startswith(("libc.so.6", "libstdc++", "ld-linux"))}


def test_it_loads_and_build_scripts_ran_natively(left: Left) -> None:
    assert left.text("called") == f"{TARGET.arch} 42 3 {HERE}"


def test_uv_installs_for_the_containers_python(left: Left) -> None:
    assert left.text("imported") == "/project/installed/demo.py"
