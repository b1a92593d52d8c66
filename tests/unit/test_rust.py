"""Rust toolchains, out of folders that look like them: which one is taken, and what builds get to know of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wheelhouse_builder.engines.cross import rust as module
from wheelhouse_builder.engines.cross.rust import Rust, ensure_std, find_rust, rust_environment
from wheelhouse_builder.engines.cross.zig import ensure_zig
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.events import Event, ignore
from wheelhouse_builder.process import Canceller, Completed
from wheelhouse_builder.target import Arch

HOST = "x86_64-unknown-linux-gnu"


class Machine:
    """Where a user's toolchains lie."""

    def __init__(self, folder: Path) -> None:
        self.rustup, self.cargo_home, self.path = folder / "rustup", folder / "cargo", folder / "bin"
        self.cache = folder / "cache"
        for made in (self.rustup / "toolchains", self.cargo_home / "bin", self.path):
            made.mkdir(parents=True)

    def toolchain(self, name: str, *std: Arch, sources: bool = False) -> Path:
        root = self.rustup / "toolchains" / name
        program(root / "bin/rustc")
        program(root / "bin/cargo")
        for arch in std:
            give_std(root, arch)
        if sources:
            manifest = root / "lib/rustlib/src/rust/library/std/Cargo.toml"
            manifest.parent.mkdir(parents=True)
            manifest.touch()
        return root

    def default(self, name: str) -> None:
        (self.rustup / "settings.toml").write_text(f'default_toolchain = "{name}"\n')

    def found(self) -> Rust:
        found = find_rust(self.cache)
        assert found is not None
        return found


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def give_std(sysroot: Path, arch: Arch) -> None:
    library = sysroot / f"lib/rustlib/{arch.rust_triple}/lib/libstd-1.rlib"
    library.parent.mkdir(parents=True)
    library.touch()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("RUSTUP_HOME", str(made.rustup))
    monkeypatch.setenv("CARGO_HOME", str(made.cargo_home))
    monkeypatch.setenv("PATH", f"{made.cargo_home / 'bin'}:{made.path}")
    monkeypatch.setattr(module, "_ask", ask)
    return made


def ask(rustc: Path) -> dict[str, str]:
    """What `rustc -vV` and `rustc --print sysroot` would say."""
    root = rustc.parents[1]
    return {"release": "1.96.0", "commit-hash": f"commit of {root.name}", "host": HOST, "sysroot": str(root)}


# which one


def test_there_is_none(machine: Machine) -> None:
    assert find_rust(machine.cache) is None


def test_the_default_toolchain_is_taken(machine: Machine) -> None:
    for name in ("1.95.0", "stable", "zeta"):
        machine.toolchain(name)
    machine.default("stable")
    assert machine.found().sysroot.name == "stable"


def test_one_that_has_the_standard_library_is_better(machine: Machine) -> None:
    machine.toolchain("stable")
    machine.toolchain("with-source", sources=True)
    machine.default("stable")
    assert machine.found().sysroot.name == "with-source"
    machine.toolchain("with-one", Arch.AARCH64)
    assert machine.found().sysroot.name == "with-one"
    machine.toolchain("with-both", *Arch)
    assert machine.found().sysroot.name == "with-both"


def test_nightly_is_taken_only_as_the_default(machine: Machine) -> None:
    machine.toolchain("nightly", *Arch)
    machine.toolchain("stable")
    machine.default("stable")
    assert machine.found().sysroot.name == "stable"
    machine.default("nightly")
    assert machine.found().sysroot.name == "nightly"


def test_one_on_path_is_found_but_rustups_shims_are_not_asked(machine: Machine) -> None:
    for name in ("rustc", "cargo"):
        program(machine.cargo_home / "bin" / name)
    assert find_rust(machine.cache) is None
    for name in ("rustc", "cargo"):
        program(machine.path / name)
    assert machine.found().rustc == machine.path / "rustc"


def test_a_compiler_without_cargo_and_one_that_does_not_run_are_passed_over(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(machine.path / "rustc")
    assert find_rust(machine.cache) is None
    program(machine.path / "cargo")

    def no(_: Path) -> dict[str, str]:
        raise JobError("rustc failed")

    monkeypatch.setattr(module, "_ask", no)
    assert find_rust(machine.cache) is None


def test_the_compiler_is_asked_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.toolchain("stable")
    first = machine.found()
    monkeypatch.setattr(module, "_ask", lambda _: pytest.fail("asked again"))
    assert machine.found() == first


def test_settings_that_are_no_toml_do_not_matter(machine: Machine) -> None:
    machine.toolchain("stable")
    (machine.rustup / "settings.toml").write_text("default_toolchain =")
    assert machine.found().sysroot.name == "stable"


# the standard library


def test_where_the_standard_library_comes_from(machine: Machine) -> None:
    machine.toolchain("stable", Arch.X86_64)
    rust = machine.found()
    assert rust.std_origin(Arch.X86_64) == "the toolchain's"
    assert rust.std_origin(Arch.AARCH64) is None
    give_std(rust.own_sysroot, Arch.AARCH64)
    assert rust.std_origin(Arch.AARCH64) == "built by whb"


def test_each_compiler_has_a_sysroot_of_its_own(machine: Machine) -> None:
    machine.toolchain("a")
    first = machine.found()
    machine.toolchain("b", *Arch)
    second = machine.found()
    assert first.own_sysroot != second.own_sysroot
    assert first.own_sysroot.is_relative_to(machine.cache)


def get_std(machine: Machine, rust: Rust, arch: Arch, told: list[Event] | None = None) -> None:
    listener = ignore if told is None else told.append
    ensure_std(rust, arch, log=machine.cache / "log", canceller=Canceller(), listener=listener)


def test_a_standard_library_that_is_there_is_not_got_again(machine: Machine) -> None:
    machine.toolchain("stable", Arch.AARCH64)
    get_std(machine, machine.found(), Arch.AARCH64)  # no subprocess


def test_rustup_is_asked_first(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    root = machine.toolchain("stable", sources=True)
    program(machine.path / "rustup")
    asked: list[list[str]] = []

    def run(argv: list[str], **_: object) -> Completed:
        asked.append(argv)
        give_std(root, Arch.AARCH64)
        return Completed("", 0.0)

    monkeypatch.setattr(module, "run", run)
    get_std(machine, machine.found(), Arch.AARCH64)
    rustup = str(machine.path / "rustup")
    assert asked == [[rustup, "target", "add", "--toolchain", "stable", "aarch64-unknown-linux-musl"]]


def test_without_a_server_and_without_source_it_is_said_what_to_do(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.toolchain("stable")
    program(machine.path / "rustup")

    def run(argv: list[str], **_: object) -> Completed:
        raise JobError("no server")

    monkeypatch.setattr(module, "run", run)
    told: list[Event] = []
    with pytest.raises(MachineError, match="neither a standard library for aarch64-unknown-linux-musl nor") as caught:
        get_std(machine, machine.found(), Arch.AARCH64, told)
    assert "rustup target add aarch64-unknown-linux-musl" in str(caught.value.hint)
    assert len(told) == 1


def test_it_is_built_by_one_job_while_the_others_wait(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waited finds it: the second look is under the lock."""
    machine.toolchain("stable", sources=True)
    rust, built = machine.found(), []

    def build(rust: Rust, arch: Arch, **_: object) -> None:
        built.append(arch)
        give_std(rust.own_sysroot, arch)

    monkeypatch.setattr(module, "_build_std", build)
    told: list[Event] = []
    for _ in range(2):
        get_std(machine, rust, Arch.AARCH64, told)
    assert built == [Arch.AARCH64]
    assert len(told) == 1


# what builds get to know


def environment(machine: Machine, arch: Arch = Arch.AARCH64) -> dict[str, str]:
    tools = ensure_zig(arch, machine.cache)
    remap = {"/work/my source": ".", "/home/me/.cargo": "/cargo"}
    home = machine.cache / "cargo"
    return rust_environment(machine.found(), tools, cargo_home=home, remap=remap, path="/usr/bin")


@pytest.fixture(autouse=True)
def _zigbuild(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cargo_zigbuild", lambda: "/venv/bin/cargo-zigbuild")


def test_the_environment_makes_cargo_build_for_the_target(machine: Machine) -> None:
    machine.toolchain("stable", *Arch)
    made = environment(machine)
    assert made["CARGO_BUILD_TARGET"] == "aarch64-unknown-linux-musl"
    assert made["CARGO_HOME"] == str(machine.cache / "cargo")
    assert made["CARGO_NET_OFFLINE"] == "true"
    assert made["CARGO_ENCODED_RUSTFLAGS"].split("\x1f") == [
        *("-C", "target-feature=-crt-static"),
        *("--remap-path-prefix=/work/my source=.", "--remap-path-prefix=/home/me/.cargo=/cargo"),
    ]
    assert made["PATH"].endswith(":/usr/bin")
    assert {name for name in made if name.startswith(("CC_", "CXX_", "AR_"))} == {
        *("CC_aarch64_unknown_linux_musl", "CXX_aarch64_unknown_linux_musl", "AR_aarch64_unknown_linux_musl"),
        *("CC_x86_64_unknown_linux_gnu", "CXX_x86_64_unknown_linux_gnu"),
    }


def script(path: str) -> str:
    return Path(path).read_text()


def test_the_target_is_linked_by_zig_and_the_host_by_the_host(machine: Machine) -> None:
    machine.toolchain("stable", *Arch)
    program(machine.path / "gcc")
    made = environment(machine)
    assert script(made["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER"]).endswith(
        'exec /venv/bin/cargo-zigbuild zig cc -- -target aarch64-linux-musl -g0 -s "$@"\n'
    )
    assert script(made["CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER"]).endswith(f'exec {machine.path}/gcc "$@"\n')
    assert made["CC_aarch64_unknown_linux_musl"] == str(ensure_zig(Arch.AARCH64, machine.cache).bin / "cc")


def test_without_a_host_compiler_zig_stands_in(machine: Machine) -> None:
    machine.toolchain("stable", *Arch)
    host_compiler = environment(machine)[f"CC_{HOST.replace('-', '_')}"]
    assert "cargo-zigbuild zig cc -- -target x86_64-linux-gnu" in script(host_compiler)


@pytest.mark.parametrize(("own", "toolchains"), [(True, True), (True, False), (False, True)])
def test_the_compiler_takes_the_standard_library_that_is_there(machine: Machine, own: bool, toolchains: bool) -> None:
    root = machine.toolchain("stable", *([Arch.AARCH64] if toolchains else []))
    rust = machine.found()
    if own:
        give_std(rust.own_sysroot, Arch.AARCH64)
    wanted = root if toolchains else rust.own_sysroot
    assert f"--sysroot {wanted} " in script(environment(machine)["RUSTC"])


def test_without_a_standard_library_it_is_refused(machine: Machine) -> None:
    machine.toolchain("stable")
    with pytest.raises(MachineError, match=r"no standard library for aarch64-unknown-linux-musl") as caught:
        environment(machine)
    assert "whb doctor --install" in str(caught.value.hint)
