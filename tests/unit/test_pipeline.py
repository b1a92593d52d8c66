"""One job from source to the build cache, with an engine that makes its wheels up."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests import engines
from tests.engines import BUILD_LOCK, FakeEngine, abi3, as_sdist, pure, repair_nothing
from tests.integration.projects import c_extension, sdist
from wheelhouse_builder import pipeline as module
from wheelhouse_builder.artifact import SourceTree
from wheelhouse_builder.builds import Builds
from wheelhouse_builder.engines.ladder import Ladder
from wheelhouse_builder.errors import PASSING_KINDS, Cancelled, DownloadError, JobError, MachineError, ResolveError
from wheelhouse_builder.events import Level, Note
from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.history.known import KnownFailure, KnownFailures
from wheelhouse_builder.history.model import AttemptOutcome
from wheelhouse_builder.history.recording import Recording
from wheelhouse_builder.history.store import History
from wheelhouse_builder.pipeline import Pipeline, finishing, folders
from wheelhouse_builder.plan import Job
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.project.build_system import read_build_system
from wheelhouse_builder.project.key import read_inputs
from wheelhouse_builder.schedule.limits import Limit
from wheelhouse_builder.sources.downloads import Downloads
from wheelhouse_builder.strategy import Strategy
from wheelhouse_builder.target import Target
from wheelhouse_builder.verify.symbols import DEFAULT_FLOOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.artifact import Source
    from wheelhouse_builder.engines.base import Work
    from wheelhouse_builder.events import Event

AMD312, ARM312, AMD313 = (
    Target.parse(f"cp{python}-musllinux_1_2_{arch}")
    for python, arch in ((312, "x86_64"), (312, "aarch64"), (313, "x86_64"))
)
EXPLAINED = "demo.c:1:10: fatal error: 'openssl/ssl.h' file not found"


@pytest.fixture(autouse=True)
def _no_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finishing, "repair", repair_nothing)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return as_sdist(sdist(tmp_path, "demo", c_extension("demo")))


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def make_pipeline(tmp_path: Path, *engines: FakeEngine, wheelhouse: str = "wheelhouse", **more: Any) -> Pipeline:
    cache, canceller = tmp_path / "cache", Canceller()
    told: list[Event] = more.pop("told", [])
    return Pipeline(
        ladder=Ladder(engines=engines, listener=told.append),
        downloads=Downloads(cache, offline=True, canceller=canceller),
        builds=Builds(cache),
        cache=cache,
        logs=tmp_path / wheelhouse / "logs",
        musl_floor=DEFAULT_FLOOR,
        canceller=canceller,
        recording=Recording(history=History(tmp_path / "history.sqlite"), logs=tmp_path / "attempts"),
        **{"limit": lambda name, strategy: Limit(seconds=3600, why="its limit is 1 h"), **more},
    )


@pytest.fixture
def pipeline(tmp_path: Path, engine: FakeEngine) -> Pipeline:
    return make_pipeline(tmp_path, engine)


def job(pipeline: Pipeline, source: Source, target: Target = AMD312) -> Job:
    keys = pipeline.request_keys(source, target)
    assert keys
    return Job(source=source, target=target, request_keys=keys)


def run(pipeline: Pipeline, job: Job) -> Path:
    _, wheel = pipeline.run(job, lambda _: None)
    return wheel


def left_in_work(tmp_path: Path) -> list[str]:
    """What is below the work folder, lock files apart."""
    return [path.name for path in (tmp_path / "cache/work").iterdir() if path.suffix != ".lock"]


# what a build gives


def test_a_build_is_stored_with_all_that_is_known_of_it(pipeline: Pipeline, source: Source) -> None:
    wanted = job(pipeline, source)
    phases: list[str] = []
    build, wheel = pipeline.run(wanted, phases.append)
    assert phases == ["download", "unpack", "repair", "verify"]
    assert wheel.name == build.filename == "demo-1.0-cp312-cp312-musllinux_1_2_x86_64.whl"
    assert (build.sha256, build.size) == (sha256_of(wheel), wheel.stat().st_size)
    assert (build.source_sha256, build.built_for, build.engine) == (source.source_id, str(AMD312), "fake")
    assert build.request_key == wanted.request_keys[0]
    assert build.native
    assert pipeline.builds.all() == (build,)
    assert pipeline.builds.lock(wanted.request_keys[0]) == BUILD_LOCK


def test_the_engine_gets_a_source_of_its_own_and_its_time(
    pipeline: Pipeline, engine: FakeEngine, source: Source, tmp_path: Path
) -> None:
    seen: list[list[str]] = []
    engine.fails = lambda work: seen.append(sorted(path.name for path in work.tree.iterdir()))
    run(pipeline, job(pipeline, source))
    (work,) = engine.built
    assert seen == [["PKG-INFO", "demo.c", "pyproject.toml"]]
    assert work.epoch == 1_700_000_000
    assert work.tree.is_relative_to(tmp_path / "cache/work")
    assert work.build_lock is None
    assert pipeline.log(job(pipeline, source)).read_text() == "building demo in demo-1.0\n"


def test_a_source_tree_is_copied_and_not_built_in(pipeline: Pipeline, engine: FakeEngine, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, text in c_extension("demo").items():
        (tree / name).write_text(text)
    engine.fails = lambda work: (work.tree / "made-by-the-build").touch()
    local = SourceTree(name=canonicalize_name("demo"), version=Version("1.0"), path=str(tree), digest="d" * 64)
    run(pipeline, job(pipeline, local))
    assert sorted(path.name for path in tree.iterdir()) == ["demo.c", "pyproject.toml"]


# siblings


def test_siblings_that_were_built_at_once_are_there_for_their_jobs(
    pipeline: Pipeline, engine: FakeEngine, source: Source
) -> None:
    engine.at_once = True
    first, second = job(pipeline, source), job(pipeline, source, AMD313)
    run(pipeline, replace(first, also=(AMD313,)))
    assert run(pipeline, second).name == "demo-1.0-cp313-cp313-musllinux_1_2_x86_64.whl"
    assert engine.targets == [AMD312]
    assert {build.built_for: build.request_key for build in pipeline.builds.all()} == {
        str(AMD312): first.request_keys[0],
        str(AMD313): second.request_keys[0],
    }
    noted = sorted(attempt.target for attempt in pipeline.recording.history.attempts())
    assert noted == [str(AMD312), str(AMD313)]  # once each, though the second job finds what the first one did


def test_a_sibling_that_is_no_good_fails_its_own_job_and_no_other(
    pipeline: Pipeline, engine: FakeEngine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def repair(raw: Path, target: Target, **more: Any) -> Path:
        if target == AMD313:
            raise JobError("no good")
        return repair_nothing(raw, target, **more)

    monkeypatch.setattr(finishing, "repair", repair)
    engine.at_once = True
    run(pipeline, replace(job(pipeline, source), also=(AMD313,)))
    with pytest.raises(JobError, match="no good"):
        run(pipeline, job(pipeline, source, AMD313))
    assert engine.targets == [AMD312, AMD313]


def test_a_sibling_has_the_build_requirements_of_its_own_last_build(
    pipeline: Pipeline, engine: FakeEngine, source: Source
) -> None:
    later = job(pipeline, source, AMD313)
    run(pipeline, later)
    run(pipeline, replace(job(pipeline, source), also=(AMD313, ARM312)))
    assert engine.built[-1].siblings == {AMD313: BUILD_LOCK, ARM312: None}


# the project key

WRAPPED = """\
[build-system]
requires = ["wheelhouse-builder", "setuptools"]
build-backend = "wheelhouse_builder.backend"
[project]
name = "demo"
{version}
[tool.whb]
build-backend = "setuptools.build_meta"
"""


def wrapped_tree(folder: Path, version: str = 'version = "1.0"', **more: object) -> SourceTree:
    tree = folder / "tree"
    tree.mkdir()
    for name, text in {**c_extension("demo"), "pyproject.toml": WRAPPED.format(version=version)}.items():
        (tree / name).write_text(text)
    return SourceTree(
        name=canonicalize_name("demo"),
        version=Version("1.0"),
        path=str(tree),
        digest="d" * 64,
        **more,  # type: ignore[arg-type]  # fields, by name
    )


def test_a_wrapped_project_has_the_key_that_its_own_build_looks_for(pipeline: Pipeline, tmp_path: Path) -> None:
    local = wrapped_tree(tmp_path, config_settings=(("debug", ("1", "2")),))
    build, _ = pipeline.run(job(pipeline, local), lambda _: None)
    tree = Path(local.path)
    inputs = read_inputs(
        tree, read_build_system(tree), config_settings={"debug": ["1", "2"]}, musl_floor=pipeline.musl_floor
    )
    assert inputs is not None
    assert build.project_key == inputs.key(AMD312)
    assert pipeline.builds.all() == (build,)


def test_the_sdist_of_a_wrapped_project_has_the_key_of_its_checkout(pipeline: Pipeline, tmp_path: Path) -> None:
    local = wrapped_tree(tmp_path)
    files = {path.name: path.read_text() for path in Path(local.path).iterdir()}
    archive = sdist(
        tmp_path, "demo", {**files, "demo.egg-info/PKG-INFO": "x", "setup.cfg": "[egg_info]\ntag_build =\n"}
    )
    keys = {pipeline.run(job(pipeline, each), lambda _: None)[0].project_key for each in (local, as_sdist(archive))}
    assert len(keys) == 1
    assert keys != {None}


def test_other_sources_have_no_project_key(pipeline: Pipeline, source: Source, tmp_path: Path) -> None:
    build, _ = pipeline.run(job(pipeline, source), lambda _: None)
    assert build.project_key is None
    from_version_control = wrapped_tree(tmp_path, 'dynamic = ["version"]')
    pyproject = Path(from_version_control.path, "pyproject.toml")
    pyproject.write_text(pyproject.read_text().replace('"setuptools"', '"setuptools-scm"'))
    build, _ = pipeline.run(job(pipeline, from_version_control), lambda _: None)
    assert build.project_key is None


def test_other_config_settings_are_another_build(pipeline: Pipeline, tmp_path: Path) -> None:
    plain = wrapped_tree(tmp_path)
    told = replace(plain, config_settings=(("debug", ("1",)),))
    assert plain.source_id == plain.digest
    assert pipeline.request_keys(told, AMD312) != pipeline.request_keys(plain, AMD312)


# built once


def test_the_same_job_is_done_once(pipeline: Pipeline, engine: FakeEngine, source: Source) -> None:
    first = run(pipeline, job(pipeline, source))
    assert run(pipeline, job(pipeline, source)) == first
    assert engine.targets == [AMD312]


def test_two_wheelhouses_share_what_was_built(tmp_path: Path, engine: FakeEngine, source: Source) -> None:
    one, other = (make_pipeline(tmp_path, engine, wheelhouse=name) for name in ("one", "other"))
    assert run(one, job(one, source)) == run(other, job(other, source))
    assert engine.targets == [AMD312]


def test_an_abi3_wheel_serves_the_next_python(pipeline: Pipeline, engine: FakeEngine, source: Source) -> None:
    engine.tag = abi3
    assert run(pipeline, job(pipeline, source)) == run(pipeline, job(pipeline, source, AMD313))
    assert engine.targets == [AMD312]


def test_a_wheel_of_one_python_does_not(pipeline: Pipeline, engine: FakeEngine, source: Source) -> None:
    assert run(pipeline, job(pipeline, source)) != run(pipeline, job(pipeline, source, AMD313))
    assert engine.targets == [AMD312, AMD313]


def test_a_pure_wheel_serves_the_other_architecture(pipeline: Pipeline, engine: FakeEngine, tmp_path: Path) -> None:
    engine.tag = pure
    source = as_sdist(sdist(tmp_path, "demo", {"setup.py": "from setuptools import setup\nsetup()\n", "demo.py": ""}))
    assert run(pipeline, job(pipeline, source)) == run(pipeline, job(pipeline, source, ARM312))
    assert engine.targets == [AMD312]


def test_other_inputs_are_another_build(pipeline: Pipeline, engine: FakeEngine, source: Source, tmp_path: Path) -> None:
    first = job(pipeline, source)
    run(pipeline, first)
    engine.revision = "2"
    later = make_pipeline(tmp_path, engine)
    second = job(later, source)
    run(later, second)
    assert set(first.request_keys).isdisjoint(second.request_keys)
    assert len(engine.built) == 2
    assert len(pipeline.builds.all()) == 2


def test_a_damaged_build_is_built_again_with_the_same_build_requirements(
    pipeline: Pipeline, engine: FakeEngine, source: Source
) -> None:
    wanted = job(pipeline, source)
    run(pipeline, wanted).write_bytes(b"damaged")
    build, wheel = pipeline.run(wanted, lambda _: None)
    assert sha256_of(wheel) == build.sha256
    assert [work.build_lock for work in engine.built] == [None, BUILD_LOCK]


@pytest.mark.parametrize("name", ["PATH", "HOME", "TMPDIR", "LANG", "CFLAGS"])
def test_the_key_does_not_depend_on_the_environment(
    pipeline: Pipeline, source: Source, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = job(pipeline, source).request_keys
    monkeypatch.setenv(name, "/somewhere/else")
    assert job(pipeline, source).request_keys == before


# failures


def test_a_failure_says_where_the_log_lies(pipeline: Pipeline, engine: FakeEngine, source: Source) -> None:
    def fails(_: Work) -> None:
        raise JobError("the build backend failed", hint="a hint", tail="the tail", kind="time-out")

    engine.fails = fails
    with pytest.raises(JobError, match=r"^the build backend failed$") as caught:
        run(pipeline, job(pipeline, source))
    assert (caught.value.hint, caught.value.tail, caught.value.kind) == ("a hint", "the tail", "time-out")
    assert caught.value.log == pipeline.log(job(pipeline, source))
    assert pipeline.builds.all() == ()


def test_a_failure_is_explained_by_the_log(pipeline: Pipeline, engine: FakeEngine, source: Source) -> None:
    def fails(work: Work) -> None:
        with work.log.open("a") as log:
            log.write(f"{EXPLAINED}\nmake: *** [all] Error 1\n")
        raise JobError("the build backend failed")

    engine.fails = fails
    with pytest.raises(JobError, match=r"the build backend failed: .*openssl/ssl\.h") as caught:
        run(pipeline, job(pipeline, source))
    assert caught.value.tail.splitlines()[-2:] == [EXPLAINED, "make: *** [all] Error 1"]
    assert caught.value.kind == "missing-library"
    assert caught.value.hint is not None
    assert "[packages.demo] libraries" in caught.value.hint


def test_what_whb_itself_could_not_fetch_is_no_matter_of_the_packages_network(
    pipeline: Pipeline, engine: FakeEngine, source: Source
) -> None:
    def fails(work: Work) -> None:
        with work.log.open("a") as log:
            log.write("[6] Could not resolve hostname (Could not resolve host: crates.test)\n")
        raise DownloadError("Cargo.toml: its crates cannot be fetched", hint="see the log")

    engine.fails = fails
    with pytest.raises(JobError, match=r"cannot be fetched$") as caught:
        run(pipeline, job(pipeline, source))
    assert caught.value.hint == "see the log"


def test_a_failure_that_nothing_explains_leads_to_the_log(
    pipeline: Pipeline, engine: FakeEngine, source: Source
) -> None:
    def fails(_: Work) -> None:
        raise JobError("the build backend failed")

    engine.fails = fails
    with pytest.raises(JobError) as caught:
        run(pipeline, job(pipeline, source))
    assert "the log" in (caught.value.hint or "")


def test_what_our_own_code_knows_of_a_failure_stands(pipeline: Pipeline, engine: FakeEngine, source: Source) -> None:
    def fails(work: Work) -> None:
        work.log.write_text(f"{EXPLAINED}\n")
        raise JobError("it was ended", hint="give it more", kind="time-out")

    engine.fails = fails
    with pytest.raises(JobError, match=r"^it was ended$") as caught:
        run(pipeline, job(pipeline, source))
    assert (caught.value.kind, caught.value.hint) == ("time-out", "give it more")


def test_what_nothing_explains_is_said_to_be_not_known(pipeline: Pipeline, engine: FakeEngine, source: Source) -> None:
    def fails(work: Work) -> None:
        work.log.write_text("one\nfrobnicate: cannot frob\ntwo\n")
        raise JobError("the build backend failed")

    engine.fails = fails
    with pytest.raises(JobError, match="the build backend failed: why is not known") as caught:
        run(pipeline, job(pipeline, source))
    assert caught.value.tail == "frobnicate: cannot frob"
    assert caught.value.kind == ""


def test_each_attempt_has_a_log_of_its_own(pipeline: Pipeline, engine: FakeEngine, source: Source) -> None:
    def fails(_: Work) -> None:
        raise JobError("no")

    engine.fails = fails
    for _ in range(2):
        with pytest.raises(JobError):
            run(pipeline, job(pipeline, source))
    assert pipeline.log(job(pipeline, source)).read_text().count("building demo") == 1


def test_a_native_source_that_comes_out_pure_fails(pipeline: Pipeline, engine: FakeEngine, source: Source) -> None:
    engine.tag = pure
    with pytest.raises(JobError, match="a pure wheel came out of an sdist with native code"):
        run(pipeline, job(pipeline, source))
    assert pipeline.builds.all() == ()


def test_a_wheel_that_would_not_load_fails(pipeline: Pipeline, engine: FakeEngine, source: Source) -> None:
    engine.symbol = "__explicit_bzero_chk"
    with pytest.raises(JobError, match=r"was built but would not load: .*__explicit_bzero_chk") as caught:
        run(pipeline, job(pipeline, source))
    assert "__explicit_bzero_chk" in caught.value.tail
    assert pipeline.builds.all() == ()


def test_a_wheel_of_another_version_than_its_source_fails(
    pipeline: Pipeline, engine: FakeEngine, source: Source
) -> None:
    """What setuptools-scm makes of an sdist that lacks its version."""
    engine.version = "0.0.0"
    with pytest.raises(JobError, match=r"made demo-0\.0\.0-.*, which is not demo 1\.0"):
        run(pipeline, job(pipeline, source))
    assert pipeline.builds.all() == ()


@pytest.mark.parametrize(
    ("filename", "fits"),
    [
        ("Demo_pkg-1.0-py3-none-any.whl", True),
        ("demo_pkg-1.0.0-py3-none-any.whl", True),
        ("demo_pkg-1.0+local-py3-none-any.whl", False),
        ("demo-1.0-py3-none-any.whl", False),
    ],
)
def test_names_and_versions_are_compared_as_such(filename: str, fits: bool) -> None:
    tree = SourceTree(name=canonicalize_name("demo-pkg"), version=Version("1.0"), path="/x", digest="d" * 64)
    with contextlib.nullcontext() if fits else pytest.raises(JobError):
        finishing.require_identity(filename, tree)


def test_a_source_without_a_version_may_come_to_any() -> None:
    tree = SourceTree(name=canonicalize_name("demo"), version=None, path="/x", digest="d" * 64)
    finishing.require_identity("demo-7-py3-none-any.whl", tree)


def test_a_source_that_changed_on_the_index_fails(pipeline: Pipeline, engine: FakeEngine, source: Source) -> None:
    wanted = job(pipeline, source)
    assert not isinstance(source, SourceTree)
    Path(source.url.removeprefix("file://")).write_bytes(b"something else")
    with pytest.raises(JobError, match="is not what the lock promises"):
        run(pipeline, wanted)
    assert engine.built == []


def test_without_network_what_is_not_there_is_named(pipeline: Pipeline, source: Source) -> None:
    assert not isinstance(source, SourceTree)
    remote = replace(source, url="https://host.invalid/demo-1.0.tar.gz")
    with pytest.raises(JobError, match=r"demo-1\.0\.tar\.gz is not in the cache") as caught:
        run(pipeline, job(pipeline, remote))
    assert caught.value.hint == "run once without --offline"


# the ladder


@dataclass(kw_only=True)
class Climb:
    """Two engines, and what they told."""

    folder: Path
    first: FakeEngine = field(default_factory=FakeEngine)
    second: FakeEngine = field(default_factory=lambda: FakeEngine(name="container", strategy=Strategy.NATIVE))
    told: list[Event] = field(default_factory=list)
    winner: Strategy | None = None

    @property
    def pipeline(self) -> Pipeline:
        return make_pipeline(
            self.folder, self.first, self.second, told=self.told, winner=lambda name, target: self.winner
        )

    @property
    def tried(self) -> tuple[int, int]:
        return len(self.first.built), len(self.second.built)

    def fail_first(self, error: Exception, *, says: str = "") -> None:
        self.first.fails = failing(error, says)


def failing(error: Exception, says: str = "") -> Callable[[Work], None]:
    def fails(work: Work) -> None:
        (work.tree / "left-by-the-first").touch()
        with work.log.open("a") as log:
            log.write(says)
        raise error

    return fails


@pytest.fixture
def climb(tmp_path: Path) -> Climb:
    return Climb(folder=tmp_path)


def test_where_one_engine_fails_the_next_builds(climb: Climb, source: Source) -> None:
    climb.fail_first(JobError("zig said no", hint="a hint"), says="all that zig said\n")
    wanted = job(climb.pipeline, source)
    left: list[bool] = []
    climb.second.fails = lambda work: left.append((work.tree / "left-by-the-first").exists())
    build, _ = climb.pipeline.run(wanted, lambda _: None)
    assert (build.engine, build.strategy) == ("container", "container-native")
    assert build.request_key == wanted.request_keys[1]
    assert left == [False]
    first, second = (engine.built[0] for engine in (climb.first, climb.second))
    assert first.tree == second.tree  # paths leak into what is built
    (note,) = climb.told
    kept = climb.pipeline.logs / f"{wanted.id}.cross.log"
    assert note == Note(
        text=f"{wanted.title}: cross failed, container-native is tried: zig said no (log: {kept})",
        level=Level.WARNING,
    )
    assert kept.read_text() == "building demo in demo-1.0\nall that zig said\n"
    assert climb.pipeline.log(wanted).read_text() == "building demo in demo-1.0\n"


def test_a_wheel_of_any_engine_serves(climb: Climb, source: Source) -> None:
    climb.fail_first(JobError("no"))
    run(climb.pipeline, job(climb.pipeline, source))
    run(climb.pipeline, job(climb.pipeline, source))
    assert climb.tried == (1, 1)


def test_what_worked_the_last_time_is_tried_first(climb: Climb, source: Source) -> None:
    climb.winner = Strategy.NATIVE
    build, _ = climb.pipeline.run(job(climb.pipeline, source), lambda _: None)
    assert (build.strategy, climb.tried, climb.told) == ("container-native", (0, 1), [])


def test_when_all_fail_each_is_told_and_the_last_decides(climb: Climb, source: Source) -> None:
    climb.fail_first(JobError("zig said no", hint="a hint"))
    climb.second.fails = failing(JobError("gcc said no", hint="a hint", tail="the tail", kind="compiler"))
    with pytest.raises(JobError) as caught:
        run(climb.pipeline, job(climb.pipeline, source))
    error = caught.value
    assert error.message == "cross: zig said no; container-native: gcc said no"
    assert (error.hint, error.tail, error.kind) == ("a hint", "the tail", "compiler")
    assert error.log == climb.pipeline.log(job(climb.pipeline, source))


@pytest.mark.parametrize(
    "error",
    [
        JobError("no", hint="a hint", everywhere=True),
        DownloadError("no", hint="a hint"),
        JobError("no", hint="a hint", kind="time-out"),
        JobError("no", hint="a hint", kind="out-of-memory"),
        Cancelled("no"),
    ],
    ids=["the same everywhere", "a download", "too long", "no memory", "cancelled"],
)
def test_some_failures_no_other_engine_mends(climb: Climb, source: Source, error: Exception) -> None:
    climb.fail_first(error)
    with pytest.raises((JobError, Cancelled), match=r"^no$"):
        run(climb.pipeline, job(climb.pipeline, source))
    assert climb.tried == (1, 0)


def test_a_source_that_is_none_is_unpacked_once(climb: Climb, tmp_path: Path) -> None:
    archive = tmp_path / "demo-1.0.tar.gz"
    archive.write_bytes(b"no archive")
    with pytest.raises(JobError) as caught:
        run(climb.pipeline, job(climb.pipeline, as_sdist(archive)))
    assert caught.value.everywhere
    assert climb.told == []


def test_a_wheel_of_another_version_is_so_on_every_engine(climb: Climb, source: Source) -> None:
    climb.first.version = "0.0.0"
    with pytest.raises(JobError, match="which is not demo"):
        run(climb.pipeline, job(climb.pipeline, source))
    assert climb.tried == (1, 0)


@pytest.mark.parametrize("error", [MachineError("no cargo"), ResolveError("no such build requirement")])
def test_what_the_machine_lacks_for_one_engine_the_next_may_have(
    climb: Climb, source: Source, error: Exception
) -> None:
    climb.fail_first(error)
    run(climb.pipeline, job(climb.pipeline, source))
    assert climb.tried == (1, 1)


def test_what_only_lacks_is_no_try_and_the_failure_stands(climb: Climb, source: Source) -> None:
    climb.fail_first(JobError("zig said no", hint="a hint"))
    climb.second.fails = failing(MachineError("no cargo"))
    with pytest.raises(JobError, match=r"^zig said no$"):
        run(climb.pipeline, job(climb.pipeline, source))


def test_siblings_are_built_by_the_engine_that_built_the_first(climb: Climb, source: Source) -> None:
    climb.fail_first(JobError("no"))
    climb.second.at_once = True
    later = job(climb.pipeline, source, AMD313)
    run(climb.pipeline, replace(job(climb.pipeline, source), also=(AMD313,)))
    run(climb.pipeline, later)
    assert climb.tried == (1, 1)


# nothing stays behind


@pytest.mark.parametrize(
    "error", [None, JobError("no"), MachineError("no"), Cancelled("no"), OSError("no"), ZeroDivisionError()]
)
def test_the_work_folder_is_removed(
    tmp_path: Path, pipeline: Pipeline, engine: FakeEngine, source: Source, error: Exception | None
) -> None:
    def fails(work: Work) -> None:
        (work.tree / "kept").mkdir()
        if error:
            raise error

    engine.fails = fails
    if error is None:
        run(pipeline, job(pipeline, source))
    else:
        with pytest.raises(type(error)):
            run(pipeline, job(pipeline, source))
    assert len(engine.built) == 1
    assert left_in_work(tmp_path) == []


def test_folders_without_permission_to_write_are_removed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may remove anything, so this looks at the permissions at the moment of removal."""
    folder = tmp_path / "work"
    (folder / "vendor/vendored").mkdir(parents=True)
    (folder / "vendor/link").symlink_to("/nowhere")
    (folder / "vendor/vendored").chmod(0o555)
    (folder / "vendor").chmod(0o555)
    seen: list[int] = []
    monkeypatch.setattr(
        shutil, "rmtree", lambda path: seen.extend(inner.stat().st_mode & 0o777 for inner in path.rglob("vendor*"))
    )
    folders._remove(folder)
    assert seen == [0o700, 0o700]


def test_what_a_killed_run_left_in_the_work_folder_is_gone(
    tmp_path: Path, pipeline: Pipeline, engine: FakeEngine, source: Source
) -> None:
    wanted = job(pipeline, source)
    place = tmp_path / "cache/work" / f"{source.source_id[:16]}-{AMD312}"
    (place / "source/demo-1.0").mkdir(parents=True)
    (place / "source/demo-1.0/left").touch()
    engine.fails = lambda work: pytest.fail("it is still there") if (work.tree / "left").exists() else None
    run(pipeline, wanted)
    assert engine.built[0].tree.parents[1] == place


def test_the_build_cache_holds_whole_builds_and_nothing_else(
    tmp_path: Path, pipeline: Pipeline, source: Source
) -> None:
    wanted = job(pipeline, source)
    run(pipeline, wanted)
    assert os.listdir(tmp_path / "cache/builds") == [wanted.request_keys[0]]  # noqa: PTH208 - names are enough


# the history


def refuse(_: Work) -> None:
    raise JobError("the build failed")


def test_every_attempt_is_noted(tmp_path: Path, source: Source) -> None:
    cross = FakeEngine(fails=refuse)
    native = FakeEngine(strategy=Strategy.NATIVE, name="other", at_once=True)
    pipeline = make_pipeline(tmp_path, cross, native)
    run(pipeline, replace(job(pipeline, source), also=(AMD313,)))
    sibling, built, failed = pipeline.recording.history.attempts()
    assert [failed.outcome, built.outcome, sibling.outcome] == [AttemptOutcome.FAILED, *2 * [AttemptOutcome.BUILT]]
    assert [failed.strategy, built.strategy] == [Strategy.CROSS, Strategy.NATIVE]
    assert [failed.target, built.target, sibling.target] == [str(AMD312), str(AMD312), str(AMD313)]
    assert failed.key != built.key
    assert failed.key
    assert failed.log is not None
    assert built.size
    assert failed.inputs == {"source": source.source_id, "revision": "1", "build requirements": "setuptools==80"}
    run(pipeline, job(pipeline, source))
    assert len(pipeline.recording.history.attempts()) == 3  # what is there is no attempt


def test_the_same_inputs_have_the_same_key(tmp_path: Path, source: Source) -> None:
    """Also of what fails before the build is known to take Rust, and not of another revision of the engine."""
    engine = FakeEngine(fails=refuse)
    for revision in ("1", "1", "2"):
        engine.revision = revision
        pipeline = make_pipeline(tmp_path, engine)
        with pytest.raises(JobError):
            run(pipeline, job(pipeline, source))
    other, again, first = (attempt.key for attempt in pipeline.recording.history.attempts())
    assert first == again
    assert other not in (first, "")


def test_what_a_process_that_died_left_behind_goes_and_nothing_that_is_in_use(
    pipeline: Pipeline, engine: FakeEngine, source: Source, tmp_path: Path
) -> None:
    (tmp_path / "cache/work/dead-cp312/source").mkdir(parents=True)
    (tmp_path / "cache/work/dead-cp312").chmod(0o500)
    left: list[list[str]] = []

    def builds(_: Work) -> None:
        folders.remove_left_behind(pipeline.cache)
        left.append(left_in_work(tmp_path))

    engine.fails = builds
    run(pipeline, job(pipeline, source))
    assert left == [[f"{source.source_id[:16]}-{AMD312}"]]


# time limits, and what is known to fail


def keeps_failing(engine: FakeEngine, **how: Any) -> list[Work]:
    """Let the engine fail, after its build requirements are known; the list of its tries."""
    tries: list[Work] = []

    def fails(work: Work) -> None:
        tries.append(work)
        with work.log.open("a") as log:
            log.write("some words\n")
        raise JobError("the build backend failed", hint="mend it", **how)

    engine.fails = fails
    return tries


def watched(tmp_path: Path, *engines: FakeEngine, after: timedelta = timedelta(), **more: Any) -> Pipeline:
    """The pipeline of a run so long after now that does not try what is known to fail."""
    made = make_pipeline(tmp_path, *engines, **more)
    now = datetime.now(UTC) + after
    history, logs = made.recording.history, made.recording.logs
    return replace(made, known=KnownFailures(history=history, logs=logs, now=now, expiry=timedelta(days=7)))


def attempt(pipeline: Pipeline, source: Source) -> JobError:
    with pytest.raises(JobError) as caught:
        run(pipeline, job(pipeline, source))
    return caught.value


def test_a_build_has_its_limit(
    tmp_path: Path, engine: FakeEngine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[object] = []

    @contextlib.contextmanager
    def limited(seconds: float, why: str) -> Iterator[None]:
        limits.append((seconds, why))
        engine.fails = lambda _: limits.append("build")
        yield
        limits.append("end")

    monkeypatch.setattr(module, "limited", limited)
    asked: list[object] = []

    def limit(*of: object) -> Limit:
        asked.append(of)
        return Limit(seconds=7, why="so")

    pipeline = make_pipeline(tmp_path, engine, limit=limit)
    run(pipeline, job(pipeline, source))
    assert limits == [(7, "so"), "build", "end"]
    assert set(asked) == {("demo", Strategy.CROSS)}


def test_what_failed_with_the_same_inputs_is_not_tried_again(
    tmp_path: Path, engine: FakeEngine, source: Source
) -> None:
    tries = keeps_failing(engine, kind="compiler")
    first = attempt(watched(tmp_path, engine), source)
    again = watched(tmp_path, engine, after=timedelta(days=6))
    second = attempt(again, source)
    assert len(tries) == 1
    assert not isinstance(first, KnownFailure)
    assert isinstance(second, KnownFailure)
    today, week = (datetime.now(UTC) + timedelta(days=days) for days in (0, 7))
    assert second.message == (
        f"failed on {today:%Y-%m-%d} with the same inputs: {first.message}; tried again after {week:%Y-%m-%d}, when an "
        "input changes, or with --retry"
    )
    assert (second.hint, second.kind, second.tail) == (first.hint, "compiler", first.tail)
    assert second.log is not None
    assert second.log.parent == again.recording.logs
    assert len(again.recording.history.attempts()) == 1


def test_it_is_tried_again_by_who_does_not_ask_and_after_a_time(
    tmp_path: Path, engine: FakeEngine, source: Source
) -> None:
    tries = keeps_failing(engine, kind="compiler")
    attempt(make_pipeline(tmp_path, engine), source)
    attempt(make_pipeline(tmp_path, engine), source)
    assert len(tries) == 2
    attempt(watched(tmp_path, engine, after=timedelta(days=8)), source)
    assert len(tries) == 3


def test_it_is_tried_again_when_an_input_changes(
    tmp_path: Path, engine: FakeEngine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = keeps_failing(engine, kind="compiler")
    attempt(watched(tmp_path, engine), source)
    engine.revision = "2"
    attempt(watched(tmp_path, engine), source)
    assert len(tries) == 2
    monkeypatch.setattr(engines, "BUILD_LOCK", "setuptools==81 --hash=sha256:00\n")
    attempt(watched(tmp_path, engine), source)
    assert len(tries) == 3


@pytest.mark.parametrize("kind", sorted(PASSING_KINDS))
def test_what_may_pass_is_no_knowledge(tmp_path: Path, engine: FakeEngine, source: Source, kind: str) -> None:
    tries = keeps_failing(engine, kind=kind)
    attempt(watched(tmp_path, engine), source)
    attempt(watched(tmp_path, engine), source)
    assert len(tries) == 2


def test_what_took_too_long_is_tried_again_under_a_longer_limit(
    tmp_path: Path, engine: FakeEngine, source: Source
) -> None:
    tries = keeps_failing(engine, kind="time-out")
    limits = [0.0, 0.0, 3600.0]
    for seconds in limits:
        limit = Limit(seconds=seconds, why="")
        attempt(watched(tmp_path, engine, limit=lambda *_, limit=limit: limit), source)
    assert len(tries) == 2


def test_what_is_known_of_one_engine_says_nothing_of_the_next(tmp_path: Path, source: Source) -> None:
    first, second = FakeEngine(), FakeEngine(name="other", strategy=Strategy.NATIVE)
    tries = keeps_failing(first, kind="compiler")
    keeps_failing(second, kind="compiler")
    attempt(watched(tmp_path, first, second), source)
    second.fails = lambda _: None
    second.revision = "2"
    pipeline = watched(tmp_path, first, second)
    assert run(pipeline, job(pipeline, source)).is_file()
    assert len(tries) == 1


def test_build_requirements_that_cannot_be_had_fail_the_job(tmp_path: Path, engine: FakeEngine, source: Source) -> None:
    """With its log; an index that is down is asked again by the queue, by the kind."""

    def fails(_: Work) -> None:
        raise ResolveError("the build requirements cannot be resolved", hint="a hint", kind="network")

    engine.fails = fails
    pipeline = make_pipeline(tmp_path, engine)
    error = attempt(pipeline, source)
    assert (error.kind, error.hint) == ("network", "a hint")
    assert error.log == pipeline.log(job(pipeline, source))


def test_a_download_that_failed_is_still_one(
    tmp_path: Path, engine: FakeEngine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on by itself, so the job is not tried again for it (`schedule.retry`)."""

    def fetch(*_: object) -> Path:
        raise DownloadError("5 attempts", kind="network")

    monkeypatch.setattr(Downloads, "fetch", fetch)
    assert isinstance(attempt(make_pipeline(tmp_path, engine), source), DownloadError)
