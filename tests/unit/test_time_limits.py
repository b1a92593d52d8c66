"""How long a job may take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheelhouse_builder.schedule.limits import limit_of

SIX_HOURS = 6 * 3600.0


@pytest.mark.parametrize(
    ("longest", "seconds", "why"),
    [
        (None, SIX_HOURS, "its limit is 6 h, by the setting job-timeout"),
        ((5.2, 1), 600, "its limit is 10 min, learned from one build of 5 s"),
        ((0.1, 1), 600, "its limit is 10 min, learned from one build of 1 s"),
        ((540.0, 3), 5400, "its limit is 1 h 30 min, learned from 3 builds, of which the longest took 9 min"),
        ((5000.0, 3), SIX_HOURS, "its limit is 6 h, by the setting job-timeout"),
    ],
)
def test_the_limit_of_a_job_is_learned(longest: tuple[float, int] | None, seconds: float, why: str) -> None:
    limit = limit_of(longest, SIX_HOURS)
    assert (limit.seconds, limit.why) == (seconds, why)


def test_the_setting_is_never_exceeded() -> None:
    assert limit_of((5.2, 1), 60).seconds == 60


@given(st.floats(0, 1e6), st.integers(1, 99), st.floats(1, 1e6))
def test_a_build_that_takes_as_long_as_before_is_never_ended(seconds: float, number: int, cap: float) -> None:
    limit = limit_of((seconds, number), cap)
    assert min(seconds, cap) <= limit.seconds <= cap
