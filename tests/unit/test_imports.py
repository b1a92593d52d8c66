"""The import check without an Alpine: what goes in, what comes out, and which one is chosen."""

from __future__ import annotations

import json
import platform
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wheels import make_wheel
from wheelhouse_builder import oci
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.oci import Oci
from wheelhouse_builder.process import Completed
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.verify import alpine as alpine_module
from wheelhouse_builder.verify.alpine import FOLDER, Alpine, Container, NoAlpine, find_alpine
from wheelhouse_builder.verify.imports import check_imports
from wheelhouse_builder.verify.inside import Importer, modules_of
from wheelhouse_builder.verify.verdict import Check, Method

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from wheelhouse_builder.process import Canceller

ARM = Target((3, 12), Arch.AARCH64)
X86 = Target((3, 12), Arch.X86_64)


class FakeAlpine:
    """Answers with `answer(request)` and keeps what it was asked."""

    name = "a fake"

    def __init__(self, answer: Callable[[dict[str, Any]], str]) -> None:
        self.answer = answer
        self.request: dict[str, Any] = {}
        self.staged: list[str] = []

    def run(self, command: Sequence[str], *, folder: Path, timeout: float, canceller: Canceller | None = None) -> str:
        self.request = json.loads(command[2])
        self.staged = sorted(path.name for path in folder.iterdir())
        return self.answer(self.request)


def all_fine(request: dict[str, Any]) -> str:
    results = {name: {"problems": [], "notes": ["a note"]} for name in request["wanted"]}
    return "a wheel printed this\n" + json.dumps({"results": results, "log": "what pip said"}) + "\n"


def test_wanted_wheels_get_a_verdict_and_the_others_are_there(tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, name="wanted"), make_wheel(tmp_path, name="dependency")]
    alpine, log = FakeAlpine(all_fine), tmp_path / "log"
    verdicts = check_imports(wheels, ARM, alpine, wanted=[wheels[0].name], log=log)
    assert set(verdicts) == {"wanted-1.0-py3-none-any.whl"}
    (verdict,) = verdicts.values()
    assert (verdict.check, verdict.target, verdict.environment) == (Check.IMPORT, str(ARM), "a fake")
    assert (verdict.problems, verdict.notes) == ((), ("a note",))
    assert alpine.request["wheels"] == [wheel.name for wheel in wheels]
    assert alpine.request["folder"] == FOLDER
    assert alpine.staged == ["dependency-1.0-py3-none-any.whl", "inside.py", "wanted-1.0-py3-none-any.whl"]
    assert "what pip said" in log.read_text()


@pytest.mark.parametrize(("machine", "method"), [("aarch64", Method.NATIVE), ("x86_64", Method.QEMU)])
def test_the_method_says_whether_it_was_emulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, method: Method
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    verdicts = check_imports([make_wheel(tmp_path)], ARM, FakeAlpine(all_fine), log=tmp_path / "log")
    assert [verdict.method for verdict in verdicts.values()] == [method]


def test_nothing_wanted_starts_nothing(tmp_path: Path) -> None:
    alpine = FakeAlpine(all_fine)
    assert check_imports([make_wheel(tmp_path)], ARM, alpine, wanted=[], log=tmp_path / "log") == {}
    assert alpine.request == {}


@pytest.mark.parametrize("output", ["", "no JSON", "[]", '{"log": ""}', '{"results": {}, "log": ""}'])
def test_no_answer_is_no_verdict(tmp_path: Path, output: str) -> None:
    with pytest.raises(JobError, match="gave no answer"):
        check_imports([make_wheel(tmp_path)], ARM, FakeAlpine(lambda _: output), log=tmp_path / "log")


@pytest.mark.parametrize(
    ("files", "modules"),
    [
        (["a.py", "b/__init__.py", "b/c.py", "b/d/__init__.py"], ["a", "b"]),
        (["b/__init__.py", "b/_x.cpython-312-x86_64-linux-musl.so"], ["b", "b._x"]),
        (["b/_x.abi3.so", "_y.so"], ["_y", "b._x"]),
        (["google/cloud/x/__init__.py", "google/cloud/x/y/__init__.py"], ["google.cloud.x"]),
        (["b.libs/libz-1.so.1", "a-1.dist-info/RECORD", "../../bin/tool", "a.pth", "__main__.py", "b.pyi"], []),
        (["b/__init__.cpython-312-x86_64-linux-musl.so"], ["b"]),
    ],
)
def test_modules_of(files: list[str], modules: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    suffixes = [".cpython-312-x86_64-linux-musl.so", ".abi3.so", ".so"]
    monkeypatch.setattr("wheelhouse_builder.verify.inside.EXTENSION_SUFFIXES", suffixes)
    assert modules_of(files) == modules


@pytest.mark.parametrize(
    ("missing", "own"),
    [
        ("numpy", False),
        ("numpy.linalg", False),
        ("pkg._speedups", True),  # not built
        ("pkg.sub.gone", True),
        ("google.auth", False),  # a namespace that others share
        ("google.cloud.x._y", True),
        ("_ext", True),
    ],
)
def test_a_module_that_the_wheel_should_bring_is_no_optional_dependency(
    missing: str, own: bool, tmp_path: Path
) -> None:
    files = ["pkg/__init__.py", "pkg/a.py", "google/cloud/x/__init__.py", "_ext.abi3.so"]
    assert Importer(files, tmp_path / "answer").provides(missing) == own


@given(st.lists(st.text("ab_./-1", max_size=12)))
def test_modules_are_names_that_import_takes(files: list[str]) -> None:
    for module in modules_of([f"{file}.py" for file in files]):
        assert all(part.isidentifier() for part in module.split("."))


class FakeEngine:
    """Stands for `process.run`: docker as it behaves on one machine."""

    def __init__(self, *, images: dict[str, str], pullable: str | None = None, probe: str = "aarch64 3.12") -> None:
        self.images, self.pullable, self.probe = images, pullable, probe
        self.calls: list[list[str]] = []

    def __call__(self, argv: Sequence[str], **options: object) -> Completed:
        self.calls.append(list(argv))
        match list(argv)[1:]:
            case ["version", *_]:
                return Completed("20.10.24 amd64\n", 0)
            case ["image", "inspect", _, _, image] if image in self.images:
                return Completed(f"{self.images[image]} sha256:{self.images[image]}\n", 0)
            case ["pull", "--quiet", "--platform", platform, image] if self.pullable:
                assert platform == "linux/arm64"
                self.images[image] = self.pullable
                return Completed("", 0)
            case ["run", *_] if self.probe:
                return Completed(self.probe + "\n", 0)
        raise JobError(f"docker {argv[1]} failed", tail="first line\nno such thing")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpine_module, "_found", {})
    monkeypatch.setattr(shutil, "which", lambda program: "/usr/bin/docker" if program == "docker" else None)


def find(monkeypatch: pytest.MonkeyPatch, fake: FakeEngine, **options: Any) -> Alpine | NoAlpine:
    monkeypatch.setattr(oci, "run", fake)
    return find_alpine(ARM, image="alpine:{python}-{arch}", **options)


def test_an_image_that_is_here_is_run_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(images={"alpine:3.12-arm64": "arm64"})
    found = find(monkeypatch, engine)
    assert found == Container(
        oci=Oci(program="docker"), image="alpine:3.12-arm64", image_id="sha256:arm64", arch=Arch.AARCH64
    )
    run = engine.calls[-1]
    assert run[:3] == ["docker", "run", "--rm"]
    assert run[run.index("--network") + 1] == "none"
    assert "sha256:arm64" in run
    assert run[run.index("--volume") + 1].endswith(f":{FOLDER}:ro")


def test_the_answer_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(images={"alpine:3.12-arm64": "arm64"})
    assert find(monkeypatch, engine) is find(monkeypatch, engine)
    assert len([call for call in engine.calls if call[1] == "run"]) == 1


def test_an_image_of_the_other_architecture_is_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(images={"alpine:3.12-arm64": "amd64"}, pullable="arm64")
    assert isinstance(find(monkeypatch, engine), Container)
    assert [call[1] for call in engine.calls] == ["version", "image", "pull", "image", "run"]


def test_offline_nothing_is_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(images={}, pullable="arm64")
    found = find(monkeypatch, engine, pull=False, engine="docker")
    assert found == NoAlpine(reason="docker has no image alpine:3.12-arm64 for arm64")


def test_reasons_of_every_way_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find(monkeypatch, FakeEngine(images={}))
    assert found == NoAlpine(
        reason="docker pull failed (no such thing); podman is not installed; chroot: no root file system was named"
    )


@pytest.mark.parametrize("probe", ["x86_64 3.12", "aarch64 3.13"])
def test_an_image_with_something_else_inside_is_not_taken(monkeypatch: pytest.MonkeyPatch, probe: str) -> None:
    engine = FakeEngine(images={"alpine:3.12-arm64": "arm64"}, probe=probe)
    found = find(monkeypatch, engine, engine="docker")
    assert found == NoAlpine(reason=f"docker alpine:3.12-arm64 runs Python {probe}, not aarch64 3.12")


def test_without_emulation_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(images={"alpine:3.12-arm64": "arm64"}, probe="")
    found = find(monkeypatch, engine, engine="docker")
    assert found == NoAlpine(reason="docker run failed (no such thing)")
    assert [call[1] for call in engine.calls][-2:] == ["run", "rm"]  # nothing is left behind


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(images={"alpine:3.12-arm64": "arm64"})
    assert find(monkeypatch, engine, engine="off") == NoAlpine(reason="switched off")
    assert engine.calls == []


def test_a_folder_that_is_no_alpine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = find(monkeypatch, FakeEngine(images={}), engine="chroot", rootfs=f"{tmp_path}/{{python}}")
    assert found == NoAlpine(reason=f"chroot: {tmp_path}/3.12 is not the root of an Alpine")


def test_a_failing_clean_up_does_not_hide_the_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def gone(argv: Sequence[str], **options: object) -> Completed:
        raise MachineError(f"{argv[0]} {argv[1]} is not there")

    monkeypatch.setattr(oci, "run", gone)
    container = Container(oci=Oci(program="docker"), image="a", image_id="sha256:a", arch=Arch.AARCH64)
    with pytest.raises(MachineError, match="docker run is not there"):
        container.run(["true"], folder=tmp_path, timeout=1)
