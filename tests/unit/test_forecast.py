"""The forecast of a run: the queue played through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_plan import AMD312, AMD313, ARM312, ARM313, SDIST, built, keys, offer
from wheelhouse_builder.events import PlannedJob
from wheelhouse_builder.history.estimates import Estimate
from wheelhouse_builder.plan import Plan, make_plan, with_estimates
from wheelhouse_builder.schedule.forecast import Forecast, forecast, forecast_of

if TYPE_CHECKING:
    from wheelhouse_builder.target import Target

ROOM = {"cpu": 2, "network": 8}


def job(name: str, *after: str, seconds: float | None = 10.0, lane: str = "cpu") -> PlannedJob:
    return PlannedJob(job=name, title=name, lane=lane, after=after, seconds=seconds)


def test_nothing_takes_no_time() -> None:
    assert forecast([], ROOM) == Forecast(seconds=0.0)


def test_a_lane_takes_as_many_as_it_has_room_for() -> None:
    assert forecast([job("a"), job("b"), job("c")], ROOM).seconds == 20
    assert forecast([job("a"), job("b"), job("c", lane="network")], ROOM).seconds == 10


def test_what_waits_starts_when_the_last_it_waits_for_has_ended() -> None:
    assert forecast([job("a"), job("b", seconds=3), job("c", "a", "b")], ROOM).seconds == 20


def test_the_longest_path_goes_first() -> None:
    """Started last, `head` and what waits for it would end after 25 seconds."""
    jobs = [job("a", seconds=5), job("b", seconds=5), job("head", seconds=5), job("tail", "head", seconds=15)]
    assert forecast(jobs, ROOM).seconds == 20


def test_what_ran_already_takes_so_much_less() -> None:
    jobs = [job("a"), job("b", "a"), job("c", seconds=12)]
    assert forecast(jobs, ROOM, running={"b": 4.0, "c": 6.0}, ended={"a"}).seconds == 6


def test_what_nobody_knows_is_counted_and_takes_nothing() -> None:
    jobs = [job("a"), job("b", seconds=None), job("c", "b", seconds=5)]
    assert forecast(jobs, ROOM) == Forecast(seconds=10, unknown=1)


def test_a_job_that_takes_longer_than_was_thought_is_of_unknown_length() -> None:
    assert forecast([job("a")], ROOM, running={"a": 10.5}) == Forecast(seconds=0, unknown=1)


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.sampled_from(["cpu", "network"]), st.sets(st.integers(0, 11))), max_size=12
    )
)
def test_it_is_never_shorter_than_the_work_nor_longer_than_one_after_the_other(
    drawn: list[tuple[float, str, set[int]]],
) -> None:
    jobs = [
        job(str(number), *(str(other) for other in after if other < number), seconds=seconds, lane=lane)
        for number, (seconds, lane, after) in enumerate(drawn)
    ]
    total = sum(one.seconds or 0 for one in jobs)
    busiest = max(sum(one.seconds or 0 for one in jobs if one.lane == lane) / ROOM[lane] for lane in ROOM)
    assert busiest - 1e-6 <= forecast(jobs, ROOM).seconds <= total + 1e-6


def test_a_plan_takes_what_its_builds_take() -> None:
    cached = built("cffi-2.1-cp312-cp312-musllinux_1_2_x86_64.whl", AMD312)
    targets = (AMD312, ARM312, AMD313, ARM313)
    plan = make_plan({target: [offer(SDIST)] for target in targets}, [], [cached], keys)
    estimates = {ARM312: 10.0, AMD313: 20.0}

    def likely(target: Target) -> Estimate | None:
        return Estimate(seconds=estimates[target], source="") if target in estimates else None

    estimated = with_estimates(plan, lambda job: likely(job.target))
    assert forecast_of(estimated, ROOM) == Forecast(seconds=20, unknown=1)
    assert forecast_of(Plan(), ROOM) == Forecast(seconds=0)
