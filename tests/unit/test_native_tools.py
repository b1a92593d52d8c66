"""What runs natively in a container: which tools, and where they are mounted."""

from __future__ import annotations

import errno
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uv

from wheelhouse_builder.engines.container import toolchain as module
from wheelhouse_builder.engines.container.preflight import Place
from wheelhouse_builder.engines.container.toolchain import (
    NativeTools,
    native_identity,
    native_tools,
)
from wheelhouse_builder.engines.cross.rust import Rust
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.oci import Oci
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET = Target.parse("cp312-musllinux_1_2_aarch64")
LOADER = "/lib64/ld-linux-x86-64.so.2"


def place(arch: Arch = Arch.AARCH64, *, emulated: bool = True, shares_files: bool = True) -> Place:
    return Place(
        oci=Oci(program="docker"),
        arch=arch,
        version="28.0",
        image="musllinux",
        image_id="sha256:1",
        emulated=emulated,
        shares_files=shares_files,
        pythons=frozenset({"cp312-cp312"}),
        has_compiler=True,
        has_cargo=False,
        free=1 << 40,
    )


class Machine:
    """An x86_64 machine whose programs are linked to two libraries, but for the one called `static`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = folder, folder / "cache"
        self.patched: list[tuple[str, ...]] = []
        self.uv = self.program("venv/bin/uv")
        self.zigbuild = self.program("venv/bin/cargo-zigbuild")
        std = folder / "rust/lib/rustlib/aarch64-unknown-linux-musl/lib/libstd-1.rlib"
        std.parent.mkdir(parents=True)
        std.touch()
        self.rust = Rust(
            cargo=self.program("rust/bin/cargo"),
            rustc=self.program("rust/bin/rustc"),
            version="1.96.0",
            commit="abc",
            host="x86_64-unknown-linux-gnu",
            sysroot=folder / "rust",
            cache=self.cache,
        )
        self.libraries = {name: str(self.program(f"usr/lib/{name}")) for name in ("libc.so.6", Path(LOADER).name)}

    def program(self, name: str, text: str = "") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or name)
        path.chmod(0o755)
        return path

    def patch(self, argv: Sequence[str | Path], **_: object) -> None:
        self.patched.append(tuple(map(str, argv)))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    static = {"cargo-zigbuild"}
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(made.uv))
    monkeypatch.setattr(module, "cargo_zigbuild", lambda: str(made.zigbuild))
    monkeypatch.setattr(module, "_ask", lambda program: {} if program.name in static else made.libraries)
    monkeypatch.setattr(module, "_loader", lambda program: "" if program.name in static else LOADER)
    monkeypatch.setattr(module, "run", made.patch)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return made


# which


def test_compilers_and_uv_are_told_by_their_versions(machine: Machine) -> None:
    tools = native_tools(place(), TARGET, cache=machine.cache, c=True, rust=machine.rust)
    assert tools.uv
    assert [tool.split()[0] for tool in tools.told.split(", ")] == ["zig", "rustc", "uv"]
    assert "rustc 1.96.0" in tools.told


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(place(emulated=False), id="an arm64 machine"),
        pytest.param(place(Arch.X86_64), id="amd64 emulated by an arm64 machine"),
    ],
)
def test_nothing_runs_on_a_kernel_of_another_architecture(machine: Machine, elsewhere: Place) -> None:
    tools = native_tools(elsewhere, TARGET, cache=machine.cache, c=True, rust=machine.rust)
    assert tools == NativeTools()
    assert not machine.cache.exists()


def test_pure_emulation_has_nothing_of_this_machine(machine: Machine) -> None:
    assert native_tools(place(), TARGET, cache=machine.cache, c=False, rust=None, uv=False) == NativeTools()


def test_rust_in_a_native_container_leaves_c_to_the_image(machine: Machine) -> None:
    target = Target.parse("cp312-musllinux_1_2_x86_64")
    std = machine.folder / "rust/lib/rustlib/x86_64-unknown-linux-musl/lib/libstd-1.rlib"
    std.parent.mkdir(parents=True)
    std.touch()
    tools = native_tools(place(Arch.X86_64, emulated=False), target, cache=machine.cache, c=False, rust=machine.rust)
    assert "CC" not in tools.environment
    assert tools.environment["CARGO_BUILD_TARGET"] == "x86_64-unknown-linux-musl"
    assert not any(Path(folder, "cc").exists() for folder in tools.path)


# where


def test_everything_is_where_it_is_here(machine: Machine) -> None:
    tools = native_tools(place(), TARGET, cache=machine.cache, c=True, rust=machine.rust)
    assert all(mount.inside is None and mount.path.is_dir() for mount in tools.mounts)
    assert [mount.path for mount in tools.mounts if mount.writable] == [machine.cache / "zig"]
    mounted = [mount.path for mount in tools.mounts]
    named = [tools.environment[name] for name in ("CC", "CXX", "AR", "RUSTC", "CARGO", "CARGO_ZIGBUILD_ZIG_PATH")]
    for file in [*named, *tools.path]:
        assert any(Path(file).is_relative_to(folder) for folder in mounted), file


def test_wrappers_have_a_shell_of_their_own_that_a_build_does_not_find(machine: Machine) -> None:
    tools = native_tools(place(), TARGET, cache=machine.cache, c=True, rust=machine.rust)
    scripts = [Path(tools.environment[name]) for name in ("CC", "CXX", "AR", "RANLIB", "RUSTC")]
    shells = {Path(script.read_text().splitlines()[0].removeprefix("#!")) for script in scripts}
    (shell,) = shells
    assert shell.is_relative_to(machine.cache)
    assert any(shell.is_relative_to(mount.path) for mount in tools.mounts)
    assert not any(Path(folder, "sh").exists() for folder in tools.path)


def test_zigs_cache_stays_where_files_are_shared(machine: Machine) -> None:
    """The cache names zig's sources by their inodes, which copies of them do not have."""
    tools = native_tools(place(shares_files=False), TARGET, cache=machine.cache, c=True, rust=None)
    assert not [mount.path for mount in tools.mounts if mount.writable]
    assert not any(str(machine.cache / "zig") == value for value in tools.environment.values())


def test_the_version_of_uv_rebuilds_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = native_identity(place(), c=True, rust=None)
    monkeypatch.setattr(metadata, "version", lambda name: "99")
    after = native_identity(place(), c=True, rust=None)
    assert {name for name in before if before[name] != after[name]} == {"zig"}


def test_programs_take_their_own_libraries_and_none_of_the_image(machine: Machine) -> None:
    tools = native_tools(place(), TARGET, cache=machine.cache, c=False, rust=None)
    (folder,) = (mount.path for mount in tools.mounts)
    assert sorted(path.name for path in (folder / "lib").iterdir()) == sorted(machine.libraries)
    ((*options, program),) = machine.patched
    assert Path(program).name == "uv"
    assert options[options.index("--set-interpreter") + 1] == str(folder / "lib" / Path(LOADER).name)
    assert options[options.index("--set-rpath") + 1] == str(folder / "lib")


def test_static_programs_stay_as_they_are(machine: Machine) -> None:
    native_tools(place(), TARGET, cache=machine.cache, c=False, rust=machine.rust)
    assert sorted(Path(argv[-1]).name for argv in machine.patched) == ["cargo", "rustc", "sh", "uv"]


def test_copies_are_made_once_until_a_library_changes(machine: Machine) -> None:
    def folder() -> Path:
        return native_tools(place(), TARGET, cache=machine.cache, c=False, rust=None).mounts[0].path

    first = folder()
    machine.patched.clear()
    assert folder() == first
    assert not machine.patched
    machine.program("usr/lib/libc.so.6", "a new one")
    assert folder() != first


def test_a_cache_that_moved_gets_copies_of_its_own(machine: Machine) -> None:
    """Copies name the folder of their libraries."""
    folders = [
        native_tools(place(), TARGET, cache=machine.folder / name, c=False, rust=None).mounts[0].path
        for name in ("one", "two")
    ]
    assert len({folder.name for folder in folders}) == 2


def test_a_full_disk_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(JobError, match="no space left"):
        native_tools(place(), TARGET, cache=machine.cache, c=False, rust=None)


def test_host_programs_are_not_linked_by_the_hosts_gcc(machine: Machine) -> None:
    tools = native_tools(place(), TARGET, cache=machine.cache, c=True, rust=machine.rust)
    linker = Path(tools.environment["CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER"]).read_text()
    copies = Path(tools.environment["CARGO"]).parents[1]
    assert "/usr/bin/gcc" not in linker
    assert f"{copies}/bin/cargo-zigbuild zig cc" in linker
    assert f"-Wl,--dynamic-linker={LOADER}" in linker


def test_crates_of_a_build_with_network_lie_in_a_home_of_its_own(machine: Machine) -> None:
    home = machine.folder / "scratch/cargo"
    tools = native_tools(place(), TARGET, cache=machine.cache, c=True, rust=machine.rust, home=home)
    assert tools.environment["CARGO_HOME"] == str(home)
    assert f"--remap-path-prefix={home}=/cargo" in tools.environment["CARGO_ENCODED_RUSTFLAGS"]
