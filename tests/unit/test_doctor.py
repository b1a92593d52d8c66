"""The doctor: what counts as missing, what as limited, and what it does about it."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from dataclasses import replace
from importlib import metadata
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from wheelhouse_builder import doctor
from wheelhouse_builder.cli import main
from wheelhouse_builder.doctor import State, inspect, install
from wheelhouse_builder.engines.container import binfmt, preflight
from wheelhouse_builder.engines.cross import interpreter, rust, zig
from wheelhouse_builder.engines.cross.sandbox import Sandbox
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.events import Event, Note
from wheelhouse_builder.oci import Oci
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.settings import Settings, VerifySettings
from wheelhouse_builder.settings.container import ContainerSettings
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.verify.alpine import NoAlpine

if TYPE_CHECKING:
    from pathlib import Path

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - shutil's own type is private


class Machine:
    """A pretended machine, complete until a test takes something away."""

    def __init__(self) -> None:
        self.programs = {"make", "perl", "apt-get", "docker"}
        self.images = set(Arch)
        self.registered = True
        self.store = 50 << 30
        self.zig: str | None = "0.17.1"
        self.warm = set(Arch)
        self.kept = False
        self.rust = True
        self.std = set(Arch)
        self.std_is_to_be_had = True
        self.pythons = {(3, 12)}
        self.free = 50 << 30
        self.sandbox = Sandbox(prefix=("/usr/bin/unshare", "--net"), files=("sh", "sandbox.sh"))
        self.alpine = True
        self.commands: list[str] = []

    def find_rust(self, cache: Path) -> SimpleNamespace | None:
        origin = lambda arch: "the toolchain's" if arch in self.std else None  # noqa: E731 - a stand-in
        return SimpleNamespace(version="1.96.0", rustc="/usr/bin/rustc", std_origin=origin) if self.rust else None

    def ensure_std(self, rust: object, arch: Arch, **options: object) -> None:
        if not self.std_is_to_be_had:
            raise MachineError(f"no std for {arch}")
        self.std.add(arch)

    def find_python(self, python: tuple[int, int], cache: Path) -> SimpleNamespace | None:
        found = SimpleNamespace(version="3.12.1", origin="pyenv", path="/p/python3.12")
        return found if python in self.pythons else None

    def install_python(self, python: tuple[int, int], cache: Path, **options: object) -> SimpleNamespace:
        self.pythons.add(python)
        return SimpleNamespace(version="3.13.0", origin="installed by whb")

    def find_alpine(self, target: object, **options: object) -> SimpleNamespace | NoAlpine:
        return SimpleNamespace(name="docker x") if self.alpine else NoAlpine(reason="docker: is not installed")

    def require_service(self, service: Oci) -> str:
        if service.program not in self.programs:
            raise MachineError(f"{service.program} is not installed", hint=f"`apt install {service.program}`")
        return "20.10"

    def prepare(self, given: ContainerSettings, target: Target, *, pull: bool, **options: object) -> SimpleNamespace:
        if target.arch not in self.images and not pull:
            raise preflight.NoImageError("no image", hint="docker pull")
        self.images.add(target.arch)
        if target.arch is Arch.AARCH64 and not self.registered:
            raise preflight.NoEmulationError("no QEMU", hint="whb doctor --install")
        return SimpleNamespace(told="native", free=self.store, oci=Oci(program="docker"))

    def register(self, arch: Arch) -> None:
        self.registered = True

    def run(self, argv: list[str], **options: object) -> None:
        self.commands.append(" ".join(argv))
        if argv[:2] == ["apt-cache", "show"] and argv[2] == "rustc-web":
            raise JobError("no such package")
        if argv[1] == "install":
            self.programs |= set(argv) | ({"qemu-aarch64-static"} if "qemu-user-static" in argv else set())
            self.rust = self.rust or "rustc" in argv
            self.std_is_to_be_had = self.std_is_to_be_had or "rust-src" in argv


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(zig, "zig_version", lambda: made.zig)
    monkeypatch.setattr(zig, "ensure_zig", lambda arch, cache: arch)
    monkeypatch.setattr(zig, "keep_zig", lambda cache, canceller: setattr(made, "kept", True))
    monkeypatch.setattr(zig, "is_warm", lambda arch: arch in made.warm)
    monkeypatch.setattr(zig, "warm", lambda arch, **options: made.warm.add(arch))
    monkeypatch.setattr(rust, "find_rust", made.find_rust)
    monkeypatch.setattr(rust, "ensure_std", made.ensure_std)
    monkeypatch.setattr(interpreter, "find_python", made.find_python)
    monkeypatch.setattr(doctor, "install_python", made.install_python)
    monkeypatch.setattr(doctor, "sandbox", lambda: made.sandbox)
    monkeypatch.setattr(doctor, "find_alpine", made.find_alpine)
    monkeypatch.setattr(doctor, "run", made.run)
    monkeypatch.setattr(preflight, "require_service", made.require_service)
    monkeypatch.setattr(preflight, "prepare", made.prepare)
    monkeypatch.setattr(binfmt, "is_registered", lambda arch: made.registered)
    monkeypatch.setattr(binfmt, "register", made.register)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in made.programs else None)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, made.free))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(metadata, "version", lambda name: "1.0")
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        pythons=((3, 12),),
        wheelhouse=tmp_path / "wheelhouse",
        cache=tmp_path / "cache",
        verify=VerifySettings(),
    )


def wanting(settings: Settings) -> dict[str, State]:
    return {finding.name: finding.state for finding in inspect(settings) if finding.state is not State.OK}


def test_a_complete_machine(machine: Machine, settings: Settings) -> None:
    assert wanting(settings) == {}


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        ("zig", None, {"zig": State.MISSING}),
        ("warm", {Arch.X86_64}, {"zig for arm64": State.LIMITED}),
        ("rust", False, {"Rust": State.MISSING}),
        ("std", {Arch.AARCH64}, {"Rust for amd64 musl": State.MISSING}),
        ("pythons", set(), {"Python 3.12": State.MISSING}),
        ("programs", {"make"}, {"perl": State.MISSING}),
        ("sandbox", Sandbox(), {"sandbox": State.LIMITED}),
        ("sandbox", Sandbox(prefix=("unshare", "--net")), {"sandbox": State.LIMITED}),
        ("free", 2 << 30, {"disk space": State.LIMITED}),
        ("free", 1 << 20, {"disk space": State.MISSING}),
        ("alpine", False, {f"Alpine, Python 3.12, {arch.docker}": State.LIMITED for arch in Arch}),
    ],
)
def test_what_is_not_there(
    attribute: str, value: object, expected: dict[str, State], machine: Machine, settings: Settings
) -> None:
    setattr(machine, attribute, value)
    assert wanting(settings) == expected
    assert all(finding.remedy for finding in inspect(settings) if finding.state is not State.OK)


def test_a_wheelhouse_that_cannot_be_written(machine: Machine, settings: Settings) -> None:
    settings.wheelhouse.write_text("a file is in the way")
    assert wanting(settings) == {"wheelhouse": State.MISSING}


def test_a_cache_that_cannot_be_written_ends_the_search(machine: Machine, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = inspect(replace(settings, cache=tmp_path / "file/cache"))
    assert {finding.name for finding in found if finding.state is not State.OK} == {"cache"}
    assert {"zig", "Rust"}.isdisjoint(finding.name for finding in found)


def test_what_is_not_wanted_is_not_missing(machine: Machine, settings: Settings) -> None:
    machine.std = machine.warm = {Arch.AARCH64}
    only_arm = Settings(
        pythons=settings.pythons, archs=(Arch.AARCH64,), cache=settings.cache, wheelhouse=settings.wheelhouse
    )
    assert wanting(only_arm) == {}


def test_install_gets_what_is_missing(machine: Machine, settings: Settings) -> None:
    machine.programs, machine.rust, machine.std, machine.pythons, machine.warm = {"apt-get"}, False, set(), set(), set()
    told: list[Event] = []
    findings = install(settings, listener=told.append, canceller=Canceller())
    assert all(finding.state is State.OK for finding in findings)
    assert machine.commands == [
        "apt-get update -q",
        "apt-get install -y -q --no-install-recommends make perl",
        "apt-get update -q",
        "apt-cache show rustc-web",
        "apt-cache show rustc",
        "apt-get install -y -q --no-install-recommends rustc cargo rust-src",
    ]
    assert machine.kept
    assert Note(text="warming zig for arm64, minutes, once") in told


def test_debian_serves_where_the_toolchain_has_no_standard_library(machine: Machine, settings: Settings) -> None:
    machine.std, machine.std_is_to_be_had = set(), False
    findings = install(settings, listener=lambda event: None, canceller=Canceller())
    assert all(finding.state is State.OK for finding in findings)
    assert "apt-get install -y -q --no-install-recommends rustc cargo rust-src" in machine.commands


def test_without_root_what_stays_missing_is_told(
    machine: Machine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    machine.programs = {"make", "apt-get"}
    machine.pythons = set()
    told: list[Event] = []
    findings = install(settings, listener=told.append, canceller=Canceller())
    assert [finding.name for finding in findings if finding.state is State.MISSING] == ["perl"]
    assert any("only as root on Debian" in event.text for event in told if isinstance(event, Note))
    assert machine.commands == []


# containers


def in_containers(settings: Settings, **options: Any) -> Settings:
    return replace(settings, engines=("container",), container=ContainerSettings(**options))


AMD, ARM = (f"container, Python 3.12, {arch.docker}" for arch in Arch)


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        ("images", {Arch.X86_64}, {ARM: State.MISSING}),
        ("registered", False, {ARM: State.MISSING}),
        ("store", 1 << 30, {AMD: State.LIMITED, ARM: State.LIMITED}),
        ("programs", {"make", "perl"}, {"docker": State.MISSING}),
    ],
)
def test_what_containers_lack(
    attribute: str, value: object, expected: dict[str, State], machine: Machine, settings: Settings
) -> None:
    assert wanting(in_containers(settings)) == {}
    setattr(machine, attribute, value)
    assert wanting(in_containers(settings)) == expected
    assert wanting(settings) == {}, "what the other engine has no use for is not missing"


def test_each_service_is_told_once(machine: Machine, settings: Settings) -> None:
    findings = inspect(in_containers(settings, hosts={Arch.AARCH64: "ssh://pi"}))
    assert [finding.name for finding in findings][-4:] == ["docker", "docker at ssh://pi", ARM, AMD]


def test_install_gets_images_and_registers_qemu(machine: Machine, settings: Settings) -> None:
    machine.images, machine.registered = set(), False
    told: list[Event] = []
    findings = install(in_containers(settings), listener=told.append, canceller=Canceller())
    assert all(finding.state is State.OK for finding in findings)
    assert machine.commands == ["apt-get update -q", f"apt-get install -y -q --no-install-recommends {binfmt.PACKAGE}"]
    assert Note(text="registering QEMU for arm64") in told


def test_install_registers_nothing_for_another_machine(machine: Machine, settings: Settings) -> None:
    machine.registered = False
    elsewhere = in_containers(settings, hosts={Arch.AARCH64: "ssh://pi"})
    assert not any(finding.installable for finding in inspect(elsewhere))
    told: list[Event] = []
    install(elsewhere, listener=told.append, canceller=Canceller())
    assert not machine.registered
    assert any(isinstance(event, Note) and event.text == "no QEMU (whb doctor --install)" for event in told)


@pytest.mark.parametrize(("missing", "code"), [(False, 0), (True, 4)])
def test_the_command(
    missing: bool,
    code: int,
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    machine.sandbox = Sandbox()
    machine.rust = not missing
    assert main(["doctor", "--python", "3.12", "--cache-dir", "cache"]) == code
    out, err = capsys.readouterr()
    assert "limited  sandbox" in out
    assert ("missing Rust: install Rust with rustup" in err) is missing
    assert "everything is there" not in err
