from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheelhouse_builder.history.estimates import Estimate, Estimates, Sample
from wheelhouse_builder.strategy import Strategy

ARM, AMD, NEWER = "cp312-musllinux_1_2_aarch64", "cp312-musllinux_1_2_x86_64", "cp313-musllinux_1_2_aarch64"


def sample(seconds: float, target: str = ARM, strategy: Strategy = Strategy.CROSS, name: str = "cffi") -> Sample:
    return Sample(name=name, target=target, strategy=strategy, seconds=seconds)


def seconds(estimates: Estimates, target: str, strategy: Strategy | None = None) -> float:
    found = estimates.of("cffi", target, strategy)
    assert found is not None
    return found.seconds


def test_of_a_package_that_was_never_built_nothing_is_known() -> None:
    estimates = Estimates([sample(5, name="bcrypt")])
    assert estimates.of("cffi", ARM) is None
    assert estimates.longest("cffi") is None


def test_the_median_of_the_last_builds_counts() -> None:
    estimates = Estimates(map(sample, [900, 900, 900, 4, 6, 5, 60, 5]))
    assert estimates.of("cffi", ARM) == Estimate(seconds=5, source="measured, 5 builds")
    assert Estimates([sample(7)]).of("cffi", ARM) == Estimate(seconds=7, source="measured, 1 build")


def test_another_target_stands_in() -> None:
    estimates = Estimates([sample(5), sample(9, AMD), sample(7)])
    assert estimates.of("cffi", NEWER) == Estimate(seconds=6, source=f"as cross for {ARM}")


def test_another_strategy_is_scaled() -> None:
    estimates = Estimates([sample(10, strategy=Strategy.NATIVE)])
    found = estimates.of("cffi", ARM, Strategy.EMULATED)
    assert found is not None
    assert found.seconds == pytest.approx(10 / 1.4 * 7.6)
    assert found.source == f"scaled from container-native for {ARM}"
    assert seconds(estimates, ARM, Strategy.CROSS) == pytest.approx(10 / 1.4)


def test_without_a_strategy_the_last_one_for_that_target_counts() -> None:
    estimates = Estimates([sample(40, strategy=Strategy.EMULATED), sample(5, AMD)])
    assert seconds(estimates, ARM) == 40
    assert seconds(estimates, AMD) == 5
    assert seconds(estimates, NEWER) == 5


def test_the_longest_of_a_strategy() -> None:
    estimates = Estimates([sample(5), sample(9, AMD), sample(40, strategy=Strategy.EMULATED)])
    assert estimates.longest("cffi", Strategy.CROSS) == (9, 2)
    assert estimates.longest("cffi") == (40, 3)
    assert estimates.longest("cffi", Strategy.NATIVE) is None


@given(
    st.lists(st.builds(sample, st.floats(0, 1e5), st.sampled_from([ARM, AMD]), st.sampled_from(Strategy)), min_size=1),
    st.sampled_from([ARM, AMD, NEWER]),
    st.none() | st.sampled_from(Strategy),
)
def test_whatever_was_built_gives_an_estimate_within_reason(
    samples: list[Sample], target: str, strategy: Strategy | None
) -> None:
    measured = [one.seconds for one in samples]
    assert min(measured) / 8 <= seconds(Estimates(samples), target, strategy) <= max(measured) * 8
