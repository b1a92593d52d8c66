"""What the wrapper makes in a hook: built for another target by a fake engine, and kept of what a backend made."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import canonicalize_name

from tests.engines import FakeEngine, extension, repair_nothing
from tests.integration.projects import MODULE
from tests.wheels import make_wheel
from wheelhouse_builder import run
from wheelhouse_builder.engines.cross.sandbox import Sandbox
from wheelhouse_builder.errors import DamagedError, JobError, UsageError
from wheelhouse_builder.events import JobFinished, JobStarted, Level, Note, Outcome
from wheelhouse_builder.pipeline import finishing
from wheelhouse_builder.project.build_system import read_build_system
from wheelhouse_builder.run import assembly, steps
from wheelhouse_builder.settings import Settings, VerifySettings
from wheelhouse_builder.settings.backend import BackendSettings
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.wheelhouse.generations import all_generations, publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of
from wheelhouse_builder.wrapper import produce
from wheelhouse_builder.wrapper.produce import build_for, store_own, told
from wheelhouse_builder.wrapper.request import Request

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.engines.base import Work
    from wheelhouse_builder.project.key import ConfigSettings
    from wheelhouse_builder.report.model import Report

ARM, AMD = (Target((3, 12), arch) for arch in (Arch.AARCH64, Arch.X86_64))
DEMO = canonicalize_name("demo")
PROJECT = '[project]\nname = "demo"\nversion = "1.0"\n'
PYPROJECT = """\
[build-system]
requires = ["wheelhouse-builder", "setuptools>=80"{more}]
build-backend = "wheelhouse_builder.backend"
[tool.whb]
build-backend = "setuptools.build_meta"
"""


@dataclasses.dataclass(kw_only=True)
class World:
    """A project that is wrapped, and what builds it."""

    folder: Path
    engine: FakeEngine = dataclasses.field(default_factory=FakeEngine)

    def request(
        self,
        *,
        store: bool = True,
        config_settings: ConfigSettings = None,
        project: str = PROJECT,
        requires: str = "",
        **more: str,
    ) -> Request:
        """What a front end asks for; `more` are files by their stem."""
        tree = self.folder / "tree"
        tree.mkdir(exist_ok=True)
        (tree / "pyproject.toml").write_text(PYPROJECT.format(more=requires) + project)
        for stem, text in more.items():
            (tree / stem.replace("_", ".")).write_text(text)
        settings = Settings(
            cache=self.folder / "cache",
            jobs=1,
            offline=True,
            wheelhouse=self.folder / "never",
            verify=VerifySettings(engine="off"),
            backend=BackendSettings(store=self.folder / "store" if store else None),
        )
        return Request(root=tree, system=read_build_system(tree), settings=settings, config_settings=config_settings)

    @property
    def store(self) -> Wheelhouse:
        return Wheelhouse(self.folder / "store")

    def out(self, name: str = "out") -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(folder=tmp_path)
    monkeypatch.setattr(assembly, "CrossEngine", lambda **settings: made.engine)
    monkeypatch.setattr(steps, "sandbox", lambda: Sandbox(prefix=("unshare", "--net"), files=("sh", "sandbox.sh")))
    monkeypatch.setattr(finishing, "repair", repair_nothing)
    monkeypatch.setattr("wheelhouse_builder.engines.cross.zig.keep_zig", lambda cache, canceller: None)
    return made


def keys(house: Wheelhouse) -> list[object]:
    """What the page of the project tells for our wrapper."""
    page = json.loads((house.root / "simple/demo/index.v1_json").read_text())
    return [file.get("_whb") for file in page["files"]]


# for another target


def test_a_wheel_for_another_target_is_built_and_nothing_else_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = world.out("scratch")
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    wheel = build_for(world.request(store=False), ARM, world.out())
    assert wheel == world.folder / "out/demo-1.0-cp312-cp312-musllinux_1_2_aarch64.whl"
    assert world.engine.targets == [ARM]
    assert list(scratch.iterdir()) == []
    assert not (world.folder / "never").exists()


def test_what_was_built_once_comes_from_the_build_cache(world: World) -> None:
    """As when metadata is asked for, and then the wheel."""
    first = build_for(world.request(store=False), ARM, world.out("first"))
    second = build_for(world.request(store=False), ARM, world.out("second"))
    assert first.read_bytes() == second.read_bytes()
    assert world.engine.targets == [ARM]


def test_a_store_keeps_it_to_be_found_again(world: World) -> None:
    request = world.request(config_settings={"b": ["2", "3"], "a": "1"})
    wheel = build_for(request, ARM, world.out())
    (stored,) = world.store.wheels()
    assert request.inputs is not None
    assert (stored.filename, stored.project_keys) == (wheel.name, ((request.inputs.key(ARM), str(ARM)),))
    assert keys(world.store) == [{"project-keys": {request.inputs.key(ARM): str(ARM)}}]
    (work,) = world.engine.built
    assert work.source.config_settings == (("a", ("1",)), ("b", ("2", "3")))  # type: ignore[union-attr]  # a tree


def test_with_another_policy_it_is_found_by_that_too(world: World) -> None:
    """The oldest musl that it must load on is part of the project key, and no input of the build."""
    request = world.request()
    stricter = dataclasses.replace(request, settings=dataclasses.replace(request.settings, musl_floor="1.2.2"))
    for number, asked in enumerate((request, stricter)):
        build_for(asked, ARM, world.out(str(number)))
    found = [each.inputs.key(ARM) for each in (request, stricter) if each.inputs]
    assert [list(dict(wheel.project_keys)) for wheel in world.store.wheels()] == [found]


def test_locks_of_the_store_stay_as_they_are(world: World) -> None:
    other = make_wheel(world.folder, name="other")
    with world.store.lock():
        publish(world.store, {ARM: [world.store.admit(other, record_of(other, origin="built")).filename]})
    lock = world.store.root / f"requirements-{ARM}.txt"
    before = lock.read_bytes()
    build_for(world.request(), ARM, world.out())
    assert lock.read_bytes() == before
    assert [wheel.name for wheel in world.store.wheels()] == ["demo", "other"]


def test_a_failed_build_says_what_it_said(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    def fail(work: Work) -> None:
        with work.log.open("a") as log:
            log.write("cc: no such header, from https://user:secret@host/\n")
        raise JobError("the build backend failed", hint="have the header")

    world.engine.fails = fail
    with pytest.raises(JobError, match="the build backend failed") as caught:
        build_for(world.request(store=False), ARM, world.out())
    assert caught.value.hint == "have the header"
    said = capfd.readouterr().err
    assert "building demo in source\ncc: no such header" in said
    assert "secret" not in said
    assert f"whb: start build demo 1.0 for {ARM}\n" in said
    assert f"whb: failed build demo 1.0 for {ARM} (" in said


def test_a_project_without_a_name_cannot_be_built_for_another_target(world: World) -> None:
    with pytest.raises(UsageError, match="do not say its name") as caught:
        build_for(world.request(project=""), ARM, world.out())
    assert caught.value.hint == "write it into [project] of pyproject.toml"


def test_a_stored_wheel_that_changed_meanwhile_is_not_handed_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def build_and_damage(*arguments: Any, **more: Any) -> Report:
        report = build_tree(*arguments, **more)
        (world.store.root / str(report.rows[0].filename)).write_bytes(b"PK")
        return report

    build_tree = run.build_tree
    monkeypatch.setattr(run, "build_tree", build_and_damage)
    with pytest.raises(DamagedError, match="is not what was stored"):
        build_for(world.request(), ARM, world.out())


# kept


def test_a_pure_wheel_is_kept_from_any_machine(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    request = world.request(config_settings={"a": "1"})
    path = store_own(request, make_wheel(world.folder))
    (stored,) = world.store.wheels()
    here = Target.parse(str(stored.built_for))
    assert request.inputs is not None
    assert path == world.store.root / "demo-1.0-py3-none-any.whl"
    assert (stored.origin, stored.engine) == ("built", "backend")
    assert (here.python, stored.source_sha256) == (sys.version_info[:2], request.inputs.source)
    assert [(verdict.target, verdict.passed) for verdict in stored.verdicts] == [(str(here), True)]
    assert keys(world.store) == [{"project-keys": {request.inputs.key(here): str(here)}}]
    assert capfd.readouterr().err == ""


def test_a_wheel_that_was_built_on_musl_is_repaired_and_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(produce, "own_target", lambda: AMD)
    monkeypatch.setattr("wheelhouse_builder.repair.musllinux.repair", repair_on_musl)
    raw = make_wheel(world.folder, tag="cp312-cp312-linux_x86_64", files={"demo.so": extension(AMD)})
    path = store_own(world.request(), raw)
    assert path == world.store.root / "demo-1.0-cp312-cp312-musllinux_1_2_x86_64.whl"
    (stored,) = world.store.wheels()
    assert stored.built_for == str(AMD)


def repair_on_musl(raw: Path, target: Target, *, library_dirs: list[Path], scratch: Path, **more: object) -> Path:
    assert [list(folder.iterdir()) for folder in library_dirs] == [[]]
    renamed = scratch.parent / raw.name.replace(target.linux_tag, target.platform_tag)
    scratch.mkdir()
    return repair_nothing(raw.rename(renamed), target, library_dirs=[], scratch=scratch, **more)  # type: ignore[arg-type]  # as `repair`


def test_a_wheel_for_glibc_is_not_kept_and_no_failure(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(produce, "own_target", lambda: None)
    wheel = make_wheel(world.folder, tag="cp312-cp312-linux_x86_64", files={"demo.so": extension(AMD)})
    assert store_own(world.request(), wheel) is None
    assert capfd.readouterr().err == (
        f"whb: warning: {wheel.name} is not stored: it is for this machine, which is no musl target; "
        "-C whb.target=TARGET builds for one\n"
    )
    assert not world.store.root.exists()


def test_a_wheel_that_would_not_load_is_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(produce, "own_target", lambda: AMD)
    monkeypatch.setattr("wheelhouse_builder.repair.musllinux.repair", repair_on_musl)
    files = {"demo.so": extension(AMD, symbol="no_such_symbol")}
    assert store_own(world.request(), make_wheel(world.folder, tag="cp312-cp312-linux_x86_64", files=files)) is None
    assert f"it would not load on {AMD}: demo.so: needs no_such_symbol" in capfd.readouterr().err
    assert not world.store.root.exists()


def test_a_pure_wheel_of_a_native_project_is_not_kept(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """A compiler was missing, and the project shrugged."""
    project = f'{PROJECT}[tool.setuptools]\next-modules = [{{ name = "demo", sources = ["demo.c"] }}]\n'
    request = world.request(project=project, demo_c=MODULE.format(module="demo", includes="", body="return 0;"))
    assert store_own(request, make_wheel(world.folder)) is None
    assert "a pure wheel came out of a project with native code" in capfd.readouterr().err


@pytest.mark.parametrize("what", ["python", "processor", "implementation"])
def test_a_pure_wheel_of_an_interpreter_that_is_no_target_is_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], what: str
) -> None:
    wheel, request = make_wheel(world.folder), world.request()
    with monkeypatch.context() as patch:
        if what == "python":
            patch.setattr(produce, "NEWEST_PYTHON", (3, 10))
        elif what == "processor":
            patch.setattr(platform, "machine", lambda: "riscv64")
        else:
            patch.setattr(sys.implementation, "name", "pypy")
        assert store_own(request, wheel) is None
    assert "is not stored: whb has no target with" in capfd.readouterr().err


def test_without_a_key_it_is_kept_and_found_by_nobody(world: World) -> None:
    project = '[project]\nname = "demo"\ndynamic = ["version"]\n'
    request = world.request(project=project, requires=', "setuptools-scm"')
    assert request.inputs is None
    assert store_own(request, make_wheel(world.folder)) is not None
    assert keys(world.store) == [None]


def test_the_key_is_of_the_tree_as_it_was_before_the_build(world: World) -> None:
    before = world.request().inputs
    (world.folder / "tree/made_by_the_build.c").write_text("")
    store_own(world.request(), make_wheel(world.folder))
    (stored,) = world.store.wheels()
    assert before is not None
    assert dict(stored.project_keys).keys() == {before.key(Target.parse(str(stored.built_for)))}


def test_the_same_wheel_again_is_no_news_and_another_gets_a_build_tag(world: World) -> None:
    first = store_own(world.request(), make_wheel(world.folder))
    assert store_own(world.request(), make_wheel(world.folder)) == first
    assert len(all_generations(world.store)) == 1
    other = store_own(world.request(), make_wheel(world.folder, files={"demo.py": b"ANSWER = 43\n"}))
    assert other == world.store.root / "demo-1.0-1-py3-none-any.whl"


def test_a_store_that_is_no_folder_is_told(world: World) -> None:
    (world.folder / "store").write_text("")
    with pytest.raises(UsageError, match="store"):
        store_own(world.request(), make_wheel(world.folder))


# what is told


def test_events_are_lines(capfd: pytest.CaptureFixture[str]) -> None:
    told(Note(text="waiting"))
    told(Note(text="odd", level=Level.WARNING))
    told(JobStarted(job="x", title="build demo"))
    told(JobFinished(job="x", title="build demo", outcome=Outcome.DONE, seconds=12))
    lines = ["waiting", "warning: odd", "start build demo", "done build demo (12 s)"]
    assert capfd.readouterr().err == "".join(f"whb: {line}\n" for line in lines)


def test_nobody_may_be_reading_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(text: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(produce, "tell", gone)
    told(Note(text="waiting"))
