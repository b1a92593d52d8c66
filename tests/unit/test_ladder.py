"""The ladder: which engines a job has, in which order, and when the next one is of no use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.engines import FakeEngine
from tests.unit.test_fingerprint import SDIST
from wheelhouse_builder.engines.ladder import Ladder, Rung, may_mend, ordered, together
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.events import Event, Level, Note
from wheelhouse_builder.strategy import Strategy
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from wheelhouse_builder.artifact import Source
    from wheelhouse_builder.errors import WhbError

AMD312, ARM312 = (Target.parse(f"cp312-musllinux_1_2_{arch}") for arch in ("x86_64", "aarch64"))


@dataclass(kw_only=True)
class Lacking(FakeEngine):
    """An engine that this machine lacks."""

    strategy: Strategy = Strategy.NATIVE
    asked: list[Target] = field(default_factory=list)

    def fingerprints(self, source: Source, target: Target) -> tuple[Mapping[str, str], ...]:
        self.asked.append(target)
        raise MachineError("docker is not on this machine", hint="install docker")


@dataclass(kw_only=True)
class Unable(FakeEngine):
    """An engine that has nothing to build with for any target, and says no more."""

    strategy: Strategy = Strategy.ACCELERATED

    def fingerprints(self, source: Source, target: Target) -> tuple[Mapping[str, str], ...]:
        return ()


def rung(strategy: Strategy) -> Rung:
    return Rung(engine=FakeEngine(strategy=strategy), fingerprints=())


def test_the_rungs_are_the_engines_that_can_build(tmp_path: Path) -> None:
    engine = FakeEngine()
    (found,) = Ladder(engines=(Unable(), engine)).rungs(SDIST, AMD312)
    assert (found.engine, found.fingerprints) == (engine, ({"revision": "1"},))


def test_an_engine_is_asked_once_for_a_source_and_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Target] = []
    shapes = FakeEngine.fingerprints

    def fingerprints(self: FakeEngine, source: Source, target: Target) -> tuple[Mapping[str, str], ...]:
        asked.append(target)
        return shapes(self, source, target)

    monkeypatch.setattr(FakeEngine, "fingerprints", fingerprints)
    ladder = Ladder(engines=(FakeEngine(),))
    assert ladder.rungs(SDIST, AMD312) == ladder.rungs(SDIST, AMD312)
    ladder.rungs(SDIST, ARM312)
    assert asked == [AMD312, ARM312]


def test_an_engine_that_the_machine_lacks_is_passed_over_and_told_once() -> None:
    told: list[Event] = []
    lacking = [Lacking(), Lacking(strategy=Strategy.EMULATED)]
    ladder = Ladder(engines=(*lacking, FakeEngine()), listener=told.append)
    for target in (AMD312, AMD312, ARM312):
        assert [found.engine.strategy for found in ladder.rungs(SDIST, target)] == [Strategy.CROSS]
    text = "docker is not on this machine; the other engines go on without it (install docker)"
    assert told == [Note(text=text, level=Level.WARNING)]
    assert [engine.asked for engine in lacking] == [[AMD312, ARM312], [AMD312, ARM312]]


def test_a_machine_that_lacks_every_engine_says_so() -> None:
    with pytest.raises(MachineError, match="docker is not on this machine"):
        Ladder(engines=(Lacking(), Lacking(strategy=Strategy.EMULATED))).rungs(SDIST, AMD312)


def test_without_any_rung_there_is_none() -> None:
    assert Ladder(engines=(Unable(), Lacking())).rungs(SDIST, AMD312) == ()


@dataclass(kw_only=True)
class Telling(Unable):
    """One that says why."""

    def why_not(self, source: Source, target: Target) -> str:
        return f"no compiler for {source.name} and {target}"


def test_why_there_is_no_rung_is_what_an_engine_says() -> None:
    assert Ladder(engines=(Unable(), Telling())).why_not(SDIST, AMD312) == f"no compiler for demo and {AMD312}"
    assert Ladder(engines=(Unable(),)).why_not(SDIST, AMD312) == ""


def test_one_rung_by_its_name() -> None:
    engine = FakeEngine()
    ladder = Ladder(engines=(engine, Unable()))
    found = ladder.rung(Strategy.CROSS, SDIST, AMD312)
    assert found is not None
    assert found.engine is engine
    assert ladder.rung(Strategy.ACCELERATED, SDIST, AMD312) is None


@pytest.mark.parametrize(
    ("winner", "first"),
    [
        (None, Strategy.CROSS),
        (Strategy.CROSS, Strategy.CROSS),
        (Strategy.EMULATED, Strategy.EMULATED),
        (Strategy.NATIVE, Strategy.CROSS),
    ],
    ids=["never built", "the first", "the last", "not there today"],
)
def test_the_winner_comes_first_and_the_others_stay_in_order(winner: Strategy | None, first: Strategy) -> None:
    strategies = [Strategy.CROSS, Strategy.ACCELERATED, Strategy.EMULATED]
    found = [each.engine.strategy for each in ordered([rung(strategy) for strategy in strategies], winner)]
    assert found == [first, *(strategy for strategy in strategies if strategy is not first)]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (JobError("no"), True),
        (JobError("no", kind="missing-library"), True),
        (JobError("no", kind="missing-tool"), True),
        (MachineError("no"), True),
        (JobError("no", everywhere=True), False),
        *(
            (JobError("no", kind=kind), False)
            for kind in ("network", "index", "hash-mismatch", "out-of-memory", "disk-full")
        ),
        (JobError("no", kind="time-out"), False),
    ],
)
def test_when_the_next_engine_is_of_use(error: WhbError, expected: bool) -> None:
    assert may_mend(error, FakeEngine(), FakeEngine(name="container", strategy=Strategy.NATIVE)) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (JobError("no"), True),
        (JobError("no", kind="compiler"), True),
        (JobError("no", kind="linker"), True),
        (MachineError("no cargo"), True),
        (JobError("no", kind="missing-library"), False),
        (JobError("no", kind="missing-tool"), False),
        (JobError("no", kind="python"), False),
        (JobError("no", kind="compiler", everywhere=True), False),
    ],
)
def test_in_the_same_image_other_compilers_mend_what_compilers_refused(error: WhbError, expected: bool) -> None:
    """An emulated build costs ten times as much as the one that failed: not for a header that it lacks as well."""
    accelerated, emulated = (
        FakeEngine(name="container", strategy=strategy) for strategy in (Strategy.ACCELERATED, Strategy.EMULATED)
    )
    assert may_mend(error, accelerated, emulated) is expected


def test_one_failure_is_itself() -> None:
    only = JobError("no")
    assert together([(Strategy.CROSS, only)]) is only
    lacks = MachineError("no cargo")
    assert together([(Strategy.CROSS, lacks), (Strategy.NATIVE, only)]) is only
    assert together([(Strategy.CROSS, lacks), (Strategy.NATIVE, MachineError("no docker"))]) is lacks


def test_several_failures_are_one_and_the_last_decides() -> None:
    first, lacks = JobError("zig said no", kind="missing-library", library="libffi"), MachineError("no cargo")
    last = JobError("gcc said no", hint="a hint", tail="the tail", kind="compiler", rule="compiler-error")
    found = together([(Strategy.CROSS, first), (Strategy.NATIVE, lacks), (Strategy.EMULATED, last)])
    assert isinstance(found, JobError)
    assert found.message == "cross: zig said no; container-emulated: gcc said no"
    assert (found.hint, found.tail, found.kind, found.rule) == ("a hint", "the tail", "compiler", "compiler-error")
    assert found.library == "libffi"
