"""Whole runs: plan, tasks, admission, rows and publication, with handmade locks and a fake engine."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partialmethod
from typing import TYPE_CHECKING

import pytest
from packaging.pylock import Pylock
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.engines import FakeEngine, abi3, extension, own_abi, pure, repair_nothing
from tests.integration.projects import c_extension, sdist
from tests.wheels import ANY, make_wheel
from wheelhouse_builder import tasks
from wheelhouse_builder.artifact import SourceTree
from wheelhouse_builder.engines.cross.sandbox import Sandbox
from wheelhouse_builder.errors import Cancelled, DamagedError, JobError, MachineError, ResolveError
from wheelhouse_builder.events import Event, JobFinished, Level, Note, RunPlanned, ignore
from wheelhouse_builder.history.model import AttemptOutcome, RunOutcome
from wheelhouse_builder.history.store import History
from wheelhouse_builder.pipeline import finishing
from wheelhouse_builder.plan import Action
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.report.critical_path import critical_path
from wheelhouse_builder.report.model import ChangeKind, Report, Row, Status
from wheelhouse_builder.resolve.lock import Lock
from wheelhouse_builder.run import assembly, build_run, build_tree, offers, plan_run, steps
from wheelhouse_builder.settings import Settings, VerifySettings
from wheelhouse_builder.sources.trees import source_tree_digest
from wheelhouse_builder.strategy import Strategy
from wheelhouse_builder.target import Target
from wheelhouse_builder.verify.alpine import NoAlpine
from wheelhouse_builder.verify.verdict import Check, Method, Verdict
from wheelhouse_builder.wheelhouse.generations import current, named_files
from wheelhouse_builder.wheelhouse.retired import last_uses
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from wheelhouse_builder.engines.base import Work
    from wheelhouse_builder.requirements.model import RequirementSet
    from wheelhouse_builder.resolve.uv import ResolveOptions

AMD312, ARM312, AMD313, ARM313 = (
    Target.parse(f"cp{python}-musllinux_1_2_{arch}") for python in (312, 313) for arch in ("x86_64", "aarch64")
)
PURE = {"setup.py": "from setuptools import setup\nsetup()\n", "demo.py": ""}


@dataclass(kw_only=True)
class World:
    """What there is to build, and what happened."""

    folder: Path
    engine: FakeEngine = field(default_factory=FakeEngine)
    offers: dict[str, list[str]] = field(default_factory=dict)  # blocks of a lock, by name of the package
    only: dict[Target, list[str]] = field(default_factory=dict)  # the packages of a target; all without an entry
    told: list[Event] = field(default_factory=list)
    upgrades: list[bool] = field(default_factory=list)
    imported: list[tuple[Target, list[str], list[str]]] = field(default_factory=list)  # (target, wanted, all)
    unresolved: set[Target] = field(default_factory=set)
    import_problems: dict[tuple[str, Target], str] = field(default_factory=dict)  # by start of the file name
    canceller: Canceller = field(default_factory=Canceller)

    def offer_sdist(self, name: str = "demo", files: dict[str, str] | None = None) -> None:
        archive = sdist(self.folder, name, files or c_extension(name))
        self._offer(name, f"sdist = {_file(archive)}")

    def offer_wheel(self, wheel: Path, name: str = "demo") -> None:
        self._offer(name, f"wheels = [{_file(wheel)}]")

    def _offer(self, name: str, line: str) -> None:
        self.offers.setdefault(name, [f'name = "{name}"', 'version = "1.0"']).append(line)

    def lock_for(self, requirements: RequirementSet, target: Target, options: ResolveOptions, *, upgrade: bool) -> Lock:
        self.upgrades.append(upgrade)
        if target in self.unresolved:
            raise ResolveError(f"nothing fits {target}")
        names = self.only.get(target, list(self.offers))
        blocks = ["\n".join(["[[packages]]", *self.offers[name]]) for name in names]
        text = "\n".join(['lock-version = "1.0"', 'created-by = "test"', *blocks])
        return Lock(target=target, pylock=Pylock.from_dict(tomllib.loads(text)))

    def check_imports(
        self,
        wheels: Sequence[Path],
        target: Target,
        alpine: object,
        *,
        wanted: Collection[str],
        log: Path,
        canceller: Canceller,
    ) -> dict[str, Verdict]:
        self.imported.append((target, sorted(wanted), sorted(wheel.name for wheel in wheels)))
        return {name: self._import_verdict(name, target) for name in wanted}

    def _import_verdict(self, name: str, target: Target) -> Verdict:
        problems = tuple(
            text for (start, where), text in self.import_problems.items() if name.startswith(start) and where == target
        )
        return Verdict(
            check=Check.IMPORT, target=str(target), method=Method.NATIVE, environment="Alpine", problems=problems
        )

    def settings(self, *targets: Target, wheelhouse: str = "wheelhouse", **more: object) -> Settings:
        pythons = tuple(dict.fromkeys(target.python for target in targets))
        archs = tuple(dict.fromkeys(target.arch for target in targets))
        base: dict[str, object] = {
            "packages": ("demo",),
            "pythons": pythons,
            "archs": archs,
            "wheelhouse": self.folder / wheelhouse,
            "cache": self.folder / "cache",
            "jobs": 1,
            "offline": True,
            "verify": VerifySettings(engine="off"),
        }
        return Settings(**(base | more))  # type: ignore[arg-type]  # the fields, by name

    def build(self, *targets: Target, **more: object) -> Report:
        settings = self.settings(*(targets or (AMD312,)), **more)  # type: ignore[arg-type]  # likewise
        return build_run(settings, listener=self.told.append, canceller=self.canceller)

    def refresh(self, *targets: Target, **more: object) -> Report:
        settings = self.settings(*(targets or (AMD312, AMD313)), **more)  # type: ignore[arg-type]  # likewise
        return build_run(
            settings,
            listener=self.told.append,
            canceller=self.canceller,
            command="refresh",
            tidies=True,
            leaves_unresolved=True,
        )

    def house(self, name: str = "wheelhouse") -> Wheelhouse:
        return Wheelhouse(self.folder / name)

    def wheels(self, name: str = "wheelhouse") -> list[str]:
        return [wheel.filename for wheel in self.house(name).wheels()]


def _file(path: Path) -> str:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return f'{{ name = "{path.name}", url = "{path.as_uri()}", hashes = {{ sha256 = "{sha256}" }} }}'


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(folder=tmp_path)
    monkeypatch.setattr(offers, "lock_for", made.lock_for)
    monkeypatch.setattr(offers, "find_python", lambda python, cache: None)
    monkeypatch.setattr(assembly, "CrossEngine", lambda **settings: made.engine)
    monkeypatch.setattr(steps, "sandbox", lambda: Sandbox(prefix=("unshare", "--net"), files=("sh", "sandbox.sh")))
    monkeypatch.setattr(finishing, "repair", repair_nothing)
    monkeypatch.setattr(tasks, "check_imports", made.check_imports)
    monkeypatch.setattr(tasks, "find_alpine", lambda target, **options: FakeAlpine())
    return made


@dataclass(frozen=True)
class FakeAlpine:
    name: str = "Alpine"


WITH_IMPORTS = {"verify": VerifySettings(engine="auto")}


def only(report: Report) -> Row:
    (row,) = report.rows
    return row


def of(report: Report, target: Target, name: str = "demo") -> Row:
    (row,) = (row for row in report.rows if row.target == target and row.name == name)
    return row


def lock_names(world: World) -> list[str]:
    return sorted(path.name for path in (world.folder / "wheelhouse").glob("pylock.*.toml"))


def shown(world: World) -> set[str]:
    """The wheels of the index."""
    generation = current(world.house())
    assert generation
    return set(named_files(generation))


# what a run gives


def test_a_source_is_built_admitted_and_published(world: World) -> None:
    world.offer_sdist()
    report = world.build()
    row = only(report)
    assert (row.action, row.status, row.filename) == (Action.BUILD, Status.READY, f"demo-1.0-{own_abi(AMD312)}.whl")
    assert row.size == (world.folder / "wheelhouse" / str(row.filename)).stat().st_size
    assert (row.strategy, row.engine, row.native_tools) == (Strategy.CROSS, "fake", None)
    assert row.seconds is not None
    assert [(verdict.check, verdict.passed) for verdict in row.verdicts] == [(Check.LOADER, True)]
    assert (report.changed, report.generation, report.failed) == (True, 1, ())
    (record,) = world.house().wheels()
    assert (record.origin, record.engine, record.built_for) == ("built", "fake", str(AMD312))
    assert record.build_key is not None
    assert lock_names(world) == [f"pylock.{AMD312}.toml"]


def test_the_same_again_builds_and_publishes_nothing(world: World) -> None:
    world.offer_sdist()
    first, again = world.build(), world.build()
    assert (only(again).action, only(again).strategy) == (Action.REUSE, Strategy.WHEELHOUSE)
    assert only(again).filename == only(first).filename
    assert only(again).verdicts == only(first).verdicts
    assert (again.changed, again.generation) == (False, 1)
    assert len(world.engine.built) == 1


def test_a_wheel_that_fits_is_fetched(world: World) -> None:
    world.offer_wheel(make_wheel(world.folder))
    report = world.build()
    assert (only(report).action, only(report).status) == (Action.FETCH, Status.READY)
    (record,) = world.house().wheels()
    assert record.origin == "fetched"
    assert str(record.url).startswith("file:")
    assert only(world.build()).action is Action.REUSE


def test_a_row_says_how_the_wheel_was_had(world: World) -> None:
    world.offer_wheel(make_wheel(world.folder, name="any"), name="any")
    world.offer_wheel(make_wheel(world.folder, name="own", tag=own_abi(AMD312)), name="own")
    world.offer_sdist()
    found = {str(row.name): row.strategy for row in world.build().rows}
    assert found == {"any": Strategy.PURE, "own": Strategy.UPSTREAM, "demo": Strategy.CROSS}
    assert {row.strategy for row in world.build().rows} == {Strategy.WHEELHOUSE}
    from_cache = {str(row.name): row.strategy for row in world.build(wheelhouse="other").rows}
    assert from_cache["demo"] is Strategy.CROSS


def test_a_pure_source_is_pure_whatever_built_it(world: World) -> None:
    world.offer_sdist(files=PURE)
    world.engine.tag = pure
    assert only(world.build()).strategy is Strategy.PURE


def test_two_wheelhouses_share_the_build_cache(world: World) -> None:
    world.offer_sdist()
    world.build()
    report = world.build(wheelhouse="other")
    assert (only(report).action, only(report).status) == (Action.REUSE, Status.READY)
    assert "build cache" in only(report).reason
    assert world.wheels("other") == world.wheels()
    assert len(world.engine.built) == 1


def test_an_abi3_wheel_serves_the_next_python(world: World) -> None:
    world.offer_sdist()
    world.engine.tag = abi3
    report = world.build(AMD312, AMD313)
    assert world.engine.targets == [AMD312]
    assert {row.filename for row in report.rows} == {f"demo-1.0-{abi3(AMD312)}.whl"}
    assert [row.status for row in report.rows] == [Status.READY, Status.READY]
    (record,) = world.house().wheels()
    assert {verdict.target for verdict in record.verdicts} == {str(AMD312), str(AMD313)}
    assert lock_names(world) == [f"pylock.{AMD312}.toml", f"pylock.{AMD313}.toml"]


def test_a_pure_wheel_serves_both_architectures(world: World) -> None:
    world.offer_sdist(files=PURE)
    world.engine.tag = pure
    report = world.build(AMD312, ARM312)
    assert len(world.engine.built) == 1
    assert [row.status for row in report.rows] == [Status.READY, Status.READY]
    assert world.wheels() == ["demo-1.0-py3-none-any.whl"]


def test_when_both_architectures_build_the_same_pure_wheel_at_once_it_is_one_wheel(world: World) -> None:
    world.offer_sdist(files=PURE)
    world.engine.tag = pure
    report = world.build(AMD312, ARM312, jobs=2)
    assert [row.status for row in report.rows] == [Status.READY, Status.READY]
    assert world.wheels() == ["demo-1.0-py3-none-any.whl"]
    assert {verdict.target for verdict in world.house().wheels()[0].verdicts} == {str(AMD312), str(ARM312)}
    assert not world.build(AMD312, ARM312).changed


# failures


def fails_for(name: str) -> object:
    def fails(work: Work) -> None:
        if work.source.name == name:
            raise JobError("the build backend failed", hint="mend it", tail="the tail")

    return fails


def test_a_failing_job_leaves_the_others_and_its_row_says_why(world: World) -> None:
    world.offer_sdist()
    world.offer_sdist("broken")
    world.engine.fails = fails_for("broken")  # type: ignore[assignment]  # a function of this shape
    report = world.build()
    good, bad = of(report, AMD312), of(report, AMD312, "broken")
    assert (good.status, bad.status) == (Status.READY, Status.FAILED)
    assert bad.message == "the build backend failed"
    assert (bad.hint, bad.tail, bad.filename) == ("mend it", "the tail", None)
    assert bad.log == world.house().logs / f"broken-1.0-{AMD312}.log"
    assert bad.log.read_text().startswith("building broken")
    assert world.wheels() == [good.filename]
    assert report.changed
    assert report.failed == (bad,)


def test_the_lock_of_a_target_with_a_failure_is_not_published_while_the_others_is(world: World) -> None:
    world.offer_sdist()

    def fails(work: Work) -> None:
        if work.target == ARM312:
            raise JobError("no")

    world.engine.fails = fails
    report = world.build(AMD312, ARM312)
    assert (of(report, AMD312).status, of(report, ARM312).status) == (Status.READY, Status.FAILED)
    assert lock_names(world) == [f"pylock.{AMD312}.toml"]


def test_what_failed_is_built_by_the_next_run(world: World) -> None:
    world.offer_sdist()
    world.engine.fails = fails_for("demo")  # type: ignore[assignment]  # a function of this shape
    report = world.build()
    assert (report.changed, world.wheels(), lock_names(world)) == (True, [], [])
    world.engine.fails = lambda _: None
    assert only(world.build()).status is Status.READY


def test_a_native_source_that_comes_out_pure_fails(world: World) -> None:
    world.offer_sdist()
    world.engine.tag = pure
    row = only(world.build())
    assert row.status is Status.FAILED
    assert "a pure wheel came out of an sdist with native code" in row.message
    assert world.wheels() == []


def test_nothing_that_fits_is_impossible(world: World) -> None:
    world.offer_wheel(make_wheel(world.folder, tag="cp312-cp312-manylinux_2_28_x86_64"))
    row = only(world.build())
    assert (row.action, row.status) == (Action.IMPOSSIBLE, Status.IMPOSSIBLE)
    assert "no wheel fits" in row.message
    assert (row.kind, "take another version" in row.hint) == ("packaging", True)
    assert world.engine.built == []


def test_without_a_toolchain_a_source_is_impossible(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.offer_sdist()
    monkeypatch.setattr(FakeEngine, "fingerprints", lambda self, source, target: ())
    monkeypatch.setattr(FakeEngine, "why_not", lambda self, source, target: "`whb doctor --install` gets a compiler")
    row = only(world.build())
    assert row.status is Status.IMPOSSIBLE
    assert "whb doctor" in row.message


def test_a_fetched_wheel_that_would_not_load_is_refused_with_a_remedy(world: World) -> None:
    files = {"demo.so": extension(AMD312, symbol="__explicit_bzero_chk")}
    world.offer_wheel(make_wheel(world.folder, tag=own_abi(AMD312), files=files))
    row = only(world.build())
    assert row.status is Status.FAILED
    assert "would not load" in row.message
    assert "__explicit_bzero_chk" in row.tail
    assert "--no-binary" in row.hint
    assert world.wheels() == []


def test_a_download_that_is_not_what_the_lock_says_is_refused(world: World) -> None:
    wheel = make_wheel(world.folder)
    world.offer_wheel(wheel)
    wheel.write_bytes(b"another")
    row = only(world.build())
    assert row.status is Status.FAILED
    assert "is not what the lock promises" in row.message


# the import check


def test_an_import_that_fails_keeps_the_wheel_out(world: World) -> None:
    world.offer_sdist()
    world.offer_sdist("good")
    world.import_problems[("demo", AMD312)] = "ImportError: no"
    report = world.build(**WITH_IMPORTS)
    bad = of(report, AMD312)
    assert (bad.status, bad.message, bad.hint) == (Status.FAILED, "ImportError: no", "the wheel is not published")
    assert [verdict.check for verdict in bad.verdicts] == [Check.LOADER, Check.IMPORT]
    assert world.wheels() == [of(report, AMD312, "good").filename]
    assert lock_names(world) == []


def test_a_wheel_that_fails_on_one_of_its_targets_is_kept_out_for_all(world: World) -> None:
    world.offer_sdist()
    world.engine.tag = abi3
    world.import_problems[("demo", AMD313)] = "ImportError: no"
    report = world.build(AMD312, AMD313, **WITH_IMPORTS)
    assert of(report, AMD313).message == "ImportError: no"
    assert of(report, AMD312).message == "the same wheel fails on another target of this run"
    assert world.wheels() == []


def test_imports_are_tried_with_all_that_the_target_has_and_judge_what_is_new(world: World) -> None:
    world.offer_sdist("first")
    world.build(**WITH_IMPORTS)
    world.offer_sdist()
    world.build(**WITH_IMPORTS)
    first, second = (f"{name}-1.0-{own_abi(AMD312)}.whl" for name in ("first", "demo"))
    assert world.imported == [(AMD312, [first], [first]), (AMD312, [second], [second, first])]


def test_what_was_built_imports_though_something_else_failed(world: World) -> None:
    world.offer_sdist()
    world.offer_sdist("broken")
    world.engine.fails = fails_for("broken")  # type: ignore[assignment]  # a function of this shape
    world.build(**WITH_IMPORTS)
    assert [wanted for _, wanted, _ in world.imported] == [[f"demo-1.0-{own_abi(AMD312)}.whl"]]


# what is blocked


def offer_needing(world: World, name: str, *requires: str) -> None:
    world.offer_wheel(make_wheel(world.folder, name=name, requires=requires), name)


def statuses(report: Report, target: Target = AMD312) -> dict[str, str]:
    return {row.name: str(row.status) for row in report.rows if row.target == target}


def test_what_needs_something_that_failed_is_blocked_and_nothing_else(world: World) -> None:
    world.offer_sdist("broken")
    offer_needing(world, "user", "Broken>=1")
    offer_needing(world, "users-user", "user")
    offer_needing(world, "other", "broken; extra == 'more'", "broken; platform_machine == 'riscv64'")
    world.engine.fails = fails_for("broken")  # type: ignore[assignment]  # a function of this shape
    report = world.build(**WITH_IMPORTS)
    assert statuses(report) == {"broken": "failed", "user": "blocked", "users-user": "blocked", "other": "ready"}
    blocked = of(report, AMD312, "users-user")
    assert (blocked.blocked_by, blocked.kind, blocked.hint) == (("broken",), "", "")
    assert blocked.message == "blocked by broken; the wheel is kept, and taken in when that is there"
    assert [wanted for _, wanted, _ in world.imported] == [[f"other-1.0-{ANY}.whl"]]
    assert world.wheels() == [f"other-1.0-{ANY}.whl"]
    assert len(report.failed) == 3


def test_what_was_blocked_is_taken_in_once_the_cause_is_gone(world: World) -> None:
    world.offer_sdist("broken")
    offer_needing(world, "user", "broken")
    world.engine.fails = fails_for("broken")  # type: ignore[assignment]  # a function of this shape
    world.build()
    world.engine.fails = lambda _: None
    report = world.build(**WITH_IMPORTS)
    assert statuses(report) == {"broken": "ready", "user": "ready"}


def test_what_is_impossible_blocks_too(world: World) -> None:
    world.offer_wheel(make_wheel(world.folder, name="elsewhere", tag="cp312-cp312-win32"), "elsewhere")
    offer_needing(world, "user", "elsewhere")
    assert statuses(world.build()) == {"elsewhere": "impossible", "user": "blocked"}


def test_what_does_not_import_blocks_what_needs_it(world: World) -> None:
    """Whatever that says itself: without what it needs, it does not import either."""
    offer_needing(world, "base")
    offer_needing(world, "user", "base")
    for name in ("base", "user"):
        world.import_problems[(name, AMD312)] = f"ImportError: {name}"
    report = world.build(**WITH_IMPORTS)
    assert statuses(report) == {"base": "failed", "user": "blocked"}
    assert of(report, AMD312, "base").message == "ImportError: base"
    assert world.wheels() == []


def test_a_wheel_that_is_blocked_on_one_target_serves_the_others(world: World) -> None:
    world.offer_sdist("broken")
    offer_needing(world, "user", "broken")

    def fails(work: Work) -> None:
        if work.target == ARM312:
            raise JobError("no")

    world.engine.fails = fails
    report = world.build(AMD312, ARM312, **WITH_IMPORTS)
    assert statuses(report) == {"broken": "ready", "user": "ready"}
    assert statuses(report, ARM312) == {"broken": "failed", "user": "blocked"}
    assert f"user-1.0-{ANY}.whl" in world.wheels()
    (user,) = (wheel for wheel in world.house().wheels() if wheel.name == "user")
    assert {verdict.target for verdict in user.verdicts} == {str(AMD312)}


def test_what_was_in_the_wheelhouse_stays_though_what_it_needs_fails(world: World) -> None:
    world.offer_sdist("broken")
    offer_needing(world, "user", "broken")
    world.build()
    world.offers.pop("broken")
    world.offer_sdist("broken", {**c_extension("broken"), "new.txt": "another source"})
    world.engine.fails = fails_for("broken")  # type: ignore[assignment]  # a function of this shape
    assert statuses(world.build()) == {"broken": "failed", "user": "ready"}
    assert len(world.wheels()) == 2


def test_without_alpine_the_loaders_word_counts_and_it_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.offer_sdist()
    monkeypatch.setattr(tasks, "find_alpine", lambda target, **options: NoAlpine(reason="no docker"))
    row = only(world.build(**WITH_IMPORTS))
    assert row.status is Status.READY
    assert [verdict.check for verdict in row.verdicts] == [Check.LOADER]
    warnings = [event.text for event in world.told if isinstance(event, Note) and event.level is Level.WARNING]
    assert warnings == [f"{AMD312}: no import check, only the loader's: no docker"]


def test_an_import_check_that_breaks_off_proves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.offer_sdist()

    def breaks(*_: object, **__: object) -> dict[str, Verdict]:
        raise JobError("docker went away")

    monkeypatch.setattr(tasks, "check_imports", breaks)
    row = only(world.build(**WITH_IMPORTS))
    assert (row.status, row.message) == (Status.FAILED, "the import check could not be done: docker went away")
    assert world.wheels() == []
    monkeypatch.setattr(tasks, "check_imports", world.check_imports)
    assert only(world.build(**WITH_IMPORTS)).status is Status.READY
    assert len(world.engine.built) == 1


def test_a_wheel_of_the_wheelhouse_is_checked_for_a_new_target_and_keeps_its_evidence(world: World) -> None:
    world.offer_sdist()
    world.engine.tag = abi3
    world.build(AMD312, **WITH_IMPORTS)
    report = world.build(AMD313, **WITH_IMPORTS)
    assert (only(report).action, only(report).status) == (Action.REUSE, Status.READY)
    assert len(world.engine.built) == 1
    (record,) = world.house().wheels()
    assert sorted((verdict.target, verdict.check) for verdict in record.verdicts) == [
        (str(target), check) for target in (AMD312, AMD313) for check in (Check.IMPORT, Check.LOADER)
    ]
    assert [target for target, *_ in world.imported] == [AMD312, AMD313]


def test_a_wheel_of_the_wheelhouse_that_fails_on_a_new_target_stays_for_the_old_one(world: World) -> None:
    world.offer_sdist()
    world.engine.tag = abi3
    world.build(AMD312, **WITH_IMPORTS)
    world.import_problems[("demo", AMD313)] = "ImportError: no"
    row = only(world.build(AMD313, **WITH_IMPORTS))
    assert (row.status, row.message) == (Status.FAILED, "ImportError: no")
    assert world.wheels() == [f"demo-1.0-{abi3(AMD312)}.whl"]
    (record,) = world.house().wheels()
    assert {verdict.target for verdict in record.verdicts} == {str(AMD312)}
    assert lock_names(world) == [f"pylock.{AMD312}.toml"]


# rebuilds and names


def test_a_rebuild_with_other_inputs_gets_a_build_tag(world: World) -> None:
    world.offer_sdist()
    first = only(world.build())
    world.engine.revision = "2"
    second = only(world.build())
    assert second.action is Action.BUILD
    assert (first.filename, second.filename) == tuple(f"demo-1.0-{tag}{own_abi(AMD312)}.whl" for tag in ("", "1-"))
    assert sorted(world.wheels()) == sorted([str(first.filename), str(second.filename)])
    assert only(world.build()).filename == second.filename
    assert len(world.engine.built) == 2


def test_after_building_from_source_the_upstream_wheel_of_that_name_is_not_wanted(world: World) -> None:
    world.offer_sdist()
    name = str(only(world.build()).filename)
    world.offers.clear()
    (world.folder / "upstream").mkdir()
    files = {"demo.so": extension(AMD312)}
    world.offer_wheel(make_wheel(world.folder / "upstream", tag=own_abi(AMD312), files=files))
    row = only(world.build())
    assert (row.action, row.status, row.filename) == (Action.REUSE, Status.READY, name)


def test_a_fetched_wheel_that_changed_under_its_name_is_refused(world: World) -> None:
    world.offer_wheel(make_wheel(world.folder))
    world.build()
    world.offers.clear()
    (world.folder / "new").mkdir()
    world.offer_wheel(make_wheel(world.folder / "new", files={"demo.py": b"OTHER = 1\n"}))
    row = only(world.build())
    assert row.status is Status.FAILED
    assert "other content" in row.message
    assert len(world.wheels()) == 1


# planning, cancelling, bad input


def test_a_plan_touches_nothing_but_the_cache(world: World) -> None:
    world.offer_sdist()
    plan = plan_run(world.settings(AMD312), listener=ignore, canceller=Canceller())
    assert [decision.action for decision in plan.decisions] == [Action.BUILD]
    assert not (world.folder / "wheelhouse").exists()
    assert world.engine.built == []


def test_upgrade_reaches_the_resolver(world: World) -> None:
    world.offer_wheel(make_wheel(world.folder))
    world.build()
    world.build(upgrade=True)
    assert world.upgrades == [False, True]


def test_each_target_has_a_lock_of_its_own(world: World) -> None:
    world.offer_wheel(make_wheel(world.folder))
    world.offer_wheel(make_wheel(world.folder, name="old"), name="old")
    world.only[AMD313] = ["demo"]
    report = world.build(AMD312, AMD313)
    assert [(row.name, row.target) for row in report.rows] == [("demo", AMD312), ("demo", AMD313), ("old", AMD312)]
    assert "old" not in (world.folder / f"wheelhouse/pylock.{AMD313}.toml").read_text()


def test_after_a_cancellation_the_wheelhouse_is_as_it_was_and_builds_are_kept(world: World) -> None:
    world.offer_sdist()
    world.offer_sdist("second")

    def stop(work: Work) -> None:
        if len(world.engine.built) == 2:
            world.canceller.cancel()
            world.canceller.check()

    world.engine.fails = stop
    with pytest.raises(Cancelled):
        world.build()
    assert (world.wheels(), lock_names(world)) == ([], [])
    world.canceller, world.engine.fails = Canceller(), lambda _: None
    report = world.build()
    assert [row.status for row in report.rows] == [Status.READY, Status.READY]
    assert len(world.engine.built) == 3


def test_what_cannot_be_resolved_is_no_report(world: World) -> None:
    world.offer_sdist()
    world.unresolved = {AMD313}
    with pytest.raises(ResolveError):
        world.build(AMD312, AMD313)
    with pytest.raises(ResolveError):
        plan_run(world.settings(AMD312, AMD313), listener=ignore, canceller=Canceller())
    world.unresolved = {AMD312, AMD313}
    with pytest.raises(ResolveError, match=str(AMD312)):
        world.refresh()
    assert not (world.folder / "wheelhouse").exists()


def test_only_what_cannot_be_resolved_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_python(python: tuple[int, int], cache: object) -> None:
        if python == AMD313.python:
            raise MachineError("no space left")

    monkeypatch.setattr(offers, "find_python", find_python)
    world.offer_sdist()
    world.unresolved = {AMD312}
    with pytest.raises(MachineError):
        world.refresh()


def test_a_target_that_is_unresolved_stays_as_it_was_and_the_others_go_on(world: World) -> None:
    world.offer_sdist()
    world.offer_sdist("old")
    world.refresh()
    world.unresolved = {AMD313}
    world.only = {AMD312: ["demo"], AMD313: ["demo", "old"]}
    world.engine.revision = "2"
    left = (world.folder / f"wheelhouse/pylock.{AMD313}.toml").read_bytes()
    soon = replace(Settings().refresh, retire_after=timedelta())
    for night in ("first", "second"):
        report = world.refresh(refresh=soon)
        assert {target: error.message for target, error in report.unresolved.items()} == {
            AMD313: f"nothing fits {AMD313}"
        }
        assert {row.target for row in report.rows} == {AMD312}
        theirs = {name for name in world.wheels() if "cp313" in name}
        assert theirs <= shown(world)
        assert {last_uses(world.house().records)[name] for name in theirs} == {report.started}
        assert (world.folder / f"wheelhouse/pylock.{AMD313}.toml").read_bytes() == left
        assert report.changes
        news = [(change.kind, change.name, change.target) for change in report.changes.items]
        gone = (ChangeKind.REMOVED, "old", str(AMD312))
        assert news == ([(ChangeKind.REBUILT, "demo", str(AMD312)), gone] if night == "first" else [])
        record, *_ = History(world.house().history).runs()
        assert record.message == f"{AMD313}: nothing fits {AMD313}"

    world.unresolved, world.only[AMD313] = set(), ["demo"]
    changes = world.refresh(refresh=soon).changes
    assert changes
    assert [(change.kind, change.name, change.target) for change in changes.items] == [
        (ChangeKind.REBUILT, "demo", str(AMD313)),
        (ChangeKind.REMOVED, "old", str(AMD313)),
    ]


def test_sizes_are_compared_for_the_targets_that_were_resolved(world: World) -> None:
    world.offer_sdist()
    sizes = {row.target: row.size for row in world.refresh().rows}
    world.unresolved = {AMD313}
    changes = world.refresh().changes
    assert changes
    assert changes.size == sizes[AMD312]


def test_a_hold_is_not_called_idle_while_a_target_is_unresolved(world: World) -> None:
    world.offer_sdist()
    world.refresh(hold=("other",))
    world.unresolved = {AMD313}
    world.refresh(hold=("other",))
    assert len([event for event in world.told if isinstance(event, Note) and "nothing asks for" in event.text]) == 1


def test_a_target_that_was_never_resolved_is_new_once_it_is(world: World) -> None:
    world.offer_sdist()
    world.unresolved = {AMD313}
    world.refresh()
    world.unresolved = set()
    changes = world.refresh().changes
    assert changes
    assert [(change.kind, change.target) for change in changes.items] == [(ChangeKind.NEW, str(AMD313))]


def test_a_damaged_wheel_of_the_wheelhouse_is_an_error_before_anything_is_done(world: World) -> None:
    world.offer_sdist()
    name = str(only(world.build()).filename)
    (world.folder / "wheelhouse" / name).write_bytes(b"damaged")
    with pytest.raises(DamagedError, match=name) as caught:
        world.build()
    assert caught.value.hint is not None
    assert f"rm {world.folder / 'wheelhouse' / name}" in caught.value.hint


def test_builds_without_a_sandbox_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "sandbox", Sandbox)
    world.offer_sdist()
    world.build()
    assert [event.text for event in world.told if isinstance(event, Note) and "not held at all" in event.text]


def test_a_wheel_that_is_lost_is_had_again_from_the_build_cache(world: World) -> None:
    world.offer_sdist()
    name = str(only(world.build()).filename)
    (world.folder / "wheelhouse" / name).unlink()
    assert only(world.build()).status is Status.READY
    assert world.wheels() == [name]
    assert len(world.engine.built) == 1


def test_the_engine_is_the_one_of_the_settings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    others: list[FakeEngine] = []
    pulled: set[bool] = set()

    def container(*, strategy: Strategy, pulls: bool, **_: object) -> FakeEngine:
        pulled.add(pulls)
        others.append(FakeEngine(name="container", strategy=strategy))
        return others[-1]

    monkeypatch.setattr("wheelhouse_builder.engines.container.engine.ContainerEngine", container)
    world.offer_sdist()
    plan_run(world.settings(AMD312, engines=("container",)), listener=world.told.append, canceller=world.canceller)
    assert pulled == {False}  # a plan changes nothing
    others.clear()
    assert only(world.build(engines=("container",))).engine == "container"
    assert [(other.strategy, len(other.built)) for other in others] == [
        (Strategy.NATIVE, 1),
        (Strategy.ACCELERATED, 0),
        (Strategy.EMULATED, 0),
    ]
    assert world.engine.built == []
    assert pulled == {False, True}


def test_every_task_is_told_and_timed(world: World) -> None:
    world.offer_sdist()
    world.offer_wheel(make_wheel(world.folder, name="other"), name="other")
    world.build(**WITH_IMPORTS)
    finished = {event.job for event in world.told if isinstance(event, JobFinished)}
    assert finished == {f"demo-1.0-{AMD312}", f"fetch-other-1.0-{ANY}.whl", f"import-{AMD312}"}


# one project alone


def local_tree(world: World) -> SourceTree:
    tree = world.folder / "tree"
    tree.mkdir()
    pyproject = c_extension("demo")["pyproject.toml"].replace("setuptools.build_meta", "wheelhouse_builder.backend")
    files = {
        **c_extension("demo"),
        "pyproject.toml": f'{pyproject}[tool.whb]\nbuild-backend = "setuptools.build_meta"\n',
    }
    for name, text in files.items():
        (tree / name).write_text(text)
    digest = source_tree_digest(tree)
    return SourceTree(name=canonicalize_name("demo"), version=Version("1.0"), path=str(tree), digest=digest)


def test_a_tree_is_built_alone_and_the_locks_stay(world: World) -> None:
    world.offer_sdist("other")
    world.build(packages=("other",))
    lock = (world.folder / "wheelhouse" / f"pylock.{AMD312}.toml").read_text()
    settings = world.settings(AMD312, ARM312)
    report = build_tree(settings, local_tree(world), listener=ignore, canceller=Canceller())
    assert [row.status for row in report.rows] == [Status.READY, Status.READY]
    assert report.changed
    assert (world.folder / "wheelhouse" / f"pylock.{AMD312}.toml").read_text() == lock
    assert lock_names(world) == [f"pylock.{AMD312}.toml"]
    keys = {wheel.built_for: wheel.project_keys for wheel in world.house().wheels() if wheel.name == "demo"}
    assert keys.keys() == {str(AMD312), str(ARM312)}
    assert [[target for _, target in found] for found in keys.values()] == [[target] for target in keys]
    page = json.loads((world.folder / "wheelhouse/simple/demo/index.v1_json").read_text())
    told = [tuple(file["_whb"]["project-keys"].items()) for file in page["files"]]
    assert sorted(told) == sorted(keys.values())


def test_a_tree_that_cannot_be_built_is_a_failed_row(world: World) -> None:
    world.engine.fails = fails_for("demo")  # type: ignore[assignment]  # it may raise
    report = build_tree(world.settings(AMD312), local_tree(world), listener=ignore, canceller=Canceller())
    assert only(report).status is Status.FAILED
    assert world.wheels() == []


def test_a_regression_is_told_with_what_is_different_in_the_build(world: World) -> None:
    world.offer_sdist()
    assert world.build().changes is None  # there was no run before
    world.engine.revision = "2"
    world.engine.fails = fails_for("demo")  # type: ignore[assignment]  # a function of this shape
    changes = world.build().changes
    assert changes
    (change,) = changes.items
    assert (change.kind, change.inputs) == (ChangeKind.REGRESSED, ("revision 1 → 2",))
    still = world.build().changes
    assert still
    assert [change.kind for change in still.items] == [ChangeKind.STILL_FAILING]


def test_a_report_tells_what_the_time_went_to(world: World) -> None:
    world.offer_sdist()
    report = world.build(**WITH_IMPORTS)
    spans = {span.id: span for span in report.spans}
    job, imports = f"demo-1.0-{AMD312}", f"import-{AMD312}"
    assert list(spans) == ["resolve", job, imports, "publish"]
    assert spans[imports].after == (job,)
    assert [phase for phase, _ in spans[job].phases][:2] == ["download", "unpack"]
    assert [step.span.id for step in critical_path(report.spans)][-2:] == [imports, "publish"]


# what is remembered


def planned_seconds(world: World) -> float | None:
    """What the last run thought that its one build would take."""
    planned = [event for event in world.told if isinstance(event, RunPlanned)][-1]
    return next(job.seconds for job in planned.jobs if job.job == f"demo-1.0-{AMD312}")


def test_what_a_build_took_is_what_the_next_is_likely_to_take(world: World) -> None:
    world.offer_sdist()
    built = only(world.build())
    assert planned_seconds(world) is None
    world.engine.revision = "2"
    (job,) = plan_run(world.settings(AMD312), listener=ignore, canceller=Canceller()).jobs
    assert job.estimate is not None
    assert job.estimate.source == "measured, 1 build"
    world.build()
    assert planned_seconds(world) == job.estimate.seconds
    assert 0 < job.estimate.seconds <= built.seconds  # type: ignore[operator]  # it was built


def test_what_a_build_took_is_known_to_another_wheelhouse_of_this_machine(world: World) -> None:
    world.offer_sdist()
    world.build()
    world.engine.revision = "2"
    world.build(wheelhouse="other")
    assert planned_seconds(world) is not None


def test_a_run_is_remembered_with_its_rows_and_attempts(world: World) -> None:
    world.offer_sdist()
    world.offer_sdist("broken")
    world.engine.fails = fails_for("broken")  # type: ignore[assignment]  # a function of this shape
    report = world.build()
    history = History(world.house().history)
    last = history.last_run()
    assert last is not None
    record, rows = last
    assert (record.command, record.outcome, record.generation) == ("build", RunOutcome.CHANGED, report.generation)
    assert [(row.name, row.status) for row in rows] == [("broken", "failed"), ("demo", "ready")]
    assert {attempt.name: attempt.outcome for attempt in history.attempts()} == {
        "broken": AttemptOutcome.FAILED,
        "demo": AttemptOutcome.BUILT,
    }


def test_old_logs_go_with_the_runs_that_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "prune", partialmethod(History.prune, keep_runs=1))
    world.offer_sdist()
    world.engine.fails = fails_for("demo")  # type: ignore[assignment]  # a function of this shape
    world.build()
    house = world.house()
    (kept,) = house.attempt_log_folder.iterdir()
    (house.attempt_log_folder / "of-nothing.log.zst").touch()
    for path in (kept, house.attempt_log_folder / "of-nothing.log.zst"):
        os.utime(path, (0, 0))
    world.build()
    assert kept.exists()  # one of the last five failures
    assert len(list(house.attempt_log_folder.iterdir())) == 2


def test_what_another_wheelhouse_had_built_is_remembered_once_with_its_inputs(world: World) -> None:
    world.offer_sdist()
    world.build(wheelhouse="first")
    world.import_problems["demo", AMD312] = "no"  # it is not taken in, so the second run takes it once more
    world.build(wheelhouse="second", **WITH_IMPORTS)
    world.build(wheelhouse="second", **WITH_IMPORTS)
    (made,) = History(world.house("first").history).attempts()
    (taken,) = History(world.house("second").history).attempts()
    assert taken == replace(made, key="", started=taken.started, peak_memory=None)
    assert taken.inputs["build requirements"] == "setuptools==80"
