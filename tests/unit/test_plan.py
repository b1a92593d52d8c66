"""The plan is a pure function: locks, stored wheels and keys in, decisions and jobs out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelhouse_builder.artifact import Sdist, Source, Wheel
from wheelhouse_builder.history.estimates import Estimate
from wheelhouse_builder.plan import Action, Decision, Plan, make_plan, with_estimates
from wheelhouse_builder.resolve.selection import Selection
from wheelhouse_builder.target import Target

AMD312, ARM312, AMD313, ARM313 = (
    Target.parse(f"cp{python}-musllinux_1_2_{arch}") for python in (312, 313) for arch in ("x86_64", "aarch64")
)


@dataclass(frozen=True, kw_only=True)
class Stored:
    filename: str
    sha256: str = "f" * 64
    source_sha256: str | None = None
    request_key: str | None = None
    built_for: str | None = None
    size: int = 1


def keys(source: Source, target: Target) -> tuple[str, ...]:
    return f"plain key of {source.source_id} for {target}", f"with Rust, key of {source.source_id} for {target}"


SDIST = Sdist(
    name=canonicalize_name("cffi"),
    version=Version("2.1"),
    filename="cffi-2.1.tar.gz",
    url="https://x/y",
    sha256="a" * 64,
)


def wheel(filename: str = "cffi-2.1-cp312-cp312-musllinux_1_2_x86_64.whl", sha256: str = "b" * 64) -> Wheel:
    return Wheel(
        name=canonicalize_name("cffi"), version=Version("2.1"), filename=filename, url="https://x/z", sha256=sha256
    )


def offer(choice: Wheel | Source | None, reason: str = "because") -> Selection:
    return Selection(name=canonicalize_name("cffi"), version=Version("2.1"), choice=choice, reason=reason)


def built(filename: str, target: Target) -> Stored:
    return Stored(
        filename=filename, source_sha256=SDIST.sha256, request_key=keys(SDIST, target)[1], built_for=str(target)
    )


def only(plan: Plan) -> Decision:
    (decision,) = plan.decisions
    return decision


def test_nothing_fits() -> None:
    decision = only(make_plan({AMD312: [offer(None, "no sdist")]}, [], [], keys))
    assert (decision.action, decision.reason, decision.job) == (Action.IMPOSSIBLE, "no sdist", None)


def test_a_wheel_that_fits_is_fetched() -> None:
    plan = make_plan({AMD312: [offer(wheel())]}, [], [], keys)
    assert only(plan).action is Action.FETCH
    assert only(plan).wheel == wheel()
    assert plan.jobs == ()


def test_the_same_upstream_wheel_in_the_wheelhouse_is_reused() -> None:
    stored = Stored(filename=wheel().filename, sha256=wheel().sha256)
    assert only(make_plan({AMD312: [offer(wheel())]}, [stored], [], keys)).action is Action.REUSE


def test_the_same_content_is_reused_under_the_name_that_the_wheelhouse_has_for_it() -> None:
    stored = Stored(filename="cffi-2.1-py3-none-any.whl", sha256=wheel().sha256)
    assert only(make_plan({AMD312: [offer(wheel())]}, [stored], [], keys)).filename == stored.filename


def test_another_wheel_of_that_name_is_not() -> None:
    stored = Stored(filename=wheel().filename, sha256="c" * 64)
    assert only(make_plan({AMD312: [offer(wheel())]}, [stored], [], keys)).action is Action.FETCH


def test_a_wheel_that_was_built_under_the_name_of_the_upstream_one_stays() -> None:
    """Who drops --no-binary later: a name stands for one content, so the upstream wheel could not be taken in."""
    stored = built(wheel().filename, AMD312)
    decision = only(make_plan({AMD312: [offer(wheel())]}, [stored], [], keys))
    assert (decision.action, decision.filename) == (Action.REUSE, stored.filename)
    assert "built from source" in decision.reason


def test_the_spelling_of_a_name_makes_no_difference() -> None:
    stored = built(wheel().filename.replace("cffi", "CFFI"), AMD312)
    assert only(make_plan({AMD312: [offer(wheel())]}, [stored], [], keys)).action is Action.REUSE


def test_a_source_is_built_once_for_each_target() -> None:
    plan = make_plan({ARM312: [offer(SDIST)], AMD312: [offer(SDIST)]}, [], [], keys)
    assert [decision.action for decision in plan.decisions] == [Action.BUILD, Action.BUILD]
    assert {job.target for job in plan.jobs} == {AMD312, ARM312}
    assert {decision.job for decision in plan.decisions} == {job.id for job in plan.jobs}
    assert all(job.after == () for job in plan.jobs)


def test_the_next_python_waits_for_the_lower_one_of_the_same_architecture() -> None:
    plan = make_plan({target: [offer(SDIST)] for target in (AMD313, ARM313, AMD312, ARM312)}, [], [], keys)
    after = {job.target: job.after for job in plan.jobs}
    assert after == {
        AMD312: (),
        ARM312: (),
        AMD313: (f"cffi-2.1-{AMD312}",),
        ARM313: (f"cffi-2.1-{ARM312}",),
    }


def test_a_build_with_the_same_key_is_reused() -> None:
    stored = built("cffi-2.1-cp312-cp312-musllinux_1_2_x86_64.whl", AMD312)
    plan = make_plan({AMD312: [offer(SDIST)]}, [stored], [], keys)
    assert only(plan).action is Action.REUSE
    assert only(plan).filename == stored.filename
    assert plan.jobs == ()


def test_a_build_with_another_key_is_not() -> None:
    stored = replace(built("cffi-2.1-cp312-cp312-musllinux_1_2_x86_64.whl", AMD312), request_key="of yesterday")
    assert only(make_plan({AMD312: [offer(SDIST)]}, [stored], [], keys)).action is Action.BUILD


def test_an_abi3_build_serves_a_newer_python_but_no_other_architecture() -> None:
    stored = built("cffi-2.1-cp312-abi3-musllinux_1_2_x86_64.whl", AMD312)
    plan = make_plan({AMD313: [offer(SDIST)], ARM313: [offer(SDIST)]}, [stored], [], keys)
    assert {d.target: d.action for d in plan.decisions} == {AMD313: Action.REUSE, ARM313: Action.BUILD}


def test_the_first_job_of_an_architecture_knows_its_siblings() -> None:
    offers = {target: [offer(SDIST)] for target in (ARM313, AMD313, AMD312, ARM312)}
    plan = make_plan(offers, [], [], keys)
    assert {job.target: job.also for job in plan.jobs} == {
        AMD312: (AMD313,),
        AMD313: (),
        ARM312: (ARM313,),
        ARM313: (),
    }


def test_what_the_build_cache_has_is_nobodys_sibling() -> None:
    cached = built("cffi-2.1-cp312-cp312-musllinux_1_2_x86_64.whl", AMD312)
    plan = make_plan({AMD312: [offer(SDIST)], AMD313: [offer(SDIST)]}, [], [cached], keys)
    assert [job.also for job in plan.jobs] == [(), ()]


def test_a_pure_build_serves_every_target() -> None:
    stored = built("cffi-2.1-py3-none-any.whl", AMD312)
    plan = make_plan({AMD313: [offer(SDIST)], ARM313: [offer(SDIST)]}, [stored], [], keys)
    assert {d.action for d in plan.decisions} == {Action.REUSE}


def test_the_highest_build_tag_is_taken() -> None:
    first = built("cffi-2.1-cp312-cp312-musllinux_1_2_x86_64.whl", AMD312)
    second = built("cffi-2.1-2-cp312-cp312-musllinux_1_2_x86_64.whl", AMD312)
    tenth = built("cffi-2.1-10-cp312-cp312-musllinux_1_2_x86_64.whl", AMD312)
    assert only(make_plan({AMD312: [offer(SDIST)]}, [first, tenth, second], [], keys)).filename == tenth.filename


def test_the_build_cache_of_another_wheelhouse_is_taken_through_a_job() -> None:
    cached = built("cffi-2.1-cp312-cp312-musllinux_1_2_x86_64.whl", AMD312)
    plan = make_plan({AMD312: [offer(SDIST)]}, [], [cached], keys)
    assert only(plan).action is Action.REUSE
    assert [job.id for job in plan.jobs] == [only(plan).job]


def test_what_no_engine_can_build_is_impossible_and_the_reason_is_the_engines() -> None:
    def why_not(source: Source, target: Target) -> str:
        return f"no zig for {source.name} and {target}"

    decision = only(make_plan({AMD312: [offer(SDIST)]}, [], [], lambda source, target: (), why_not=why_not))
    assert decision.action is Action.IMPOSSIBLE
    assert decision.reason == f"no zig for cffi and {AMD312}"
    assert only(make_plan({AMD312: [offer(SDIST)]}, [], [], lambda source, target: ())).reason


def test_nothing_is_done_for_a_quarantined_project() -> None:
    quarantined = {canonicalize_name("cffi"): "malware"}
    stored = Stored(filename=wheel().filename, sha256=wheel().sha256)
    plan = make_plan({AMD312: [offer(wheel()), offer(SDIST)]}, [stored], [], keys, quarantined)
    assert {decision.action for decision in plan.decisions} == {Action.IMPOSSIBLE}
    assert plan.decisions[0].reason == "quarantined in the wheelhouse: malware; `whb mark cffi active` ends that"
    assert plan.jobs == ()
    assert only(make_plan({AMD312: [offer(wheel())]}, [], [], keys, {canonicalize_name("x"): None})).wheel


def test_only_what_builds_has_an_estimate() -> None:
    cached = built("cffi-2.1-cp312-cp312-musllinux_1_2_x86_64.whl", AMD312)
    plan = make_plan({AMD312: [offer(SDIST)], ARM312: [offer(SDIST)]}, [], [cached], keys)
    assert len(plan.jobs) == 2
    estimate = Estimate(seconds=5, source="measured")
    (arm,) = plan.building()
    found = {job.id: job.estimate for job in with_estimates(plan, lambda job: estimate).jobs}
    assert found == {job.id: estimate if job.id == arm else None for job in plan.jobs}
