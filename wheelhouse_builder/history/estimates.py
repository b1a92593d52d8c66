"""How long a build will take, from how long builds took. Pure.

What was measured for the same package, target and strategy counts; where there is nothing, what was measured for
another target or strategy, scaled by what that strategy usually costs against this one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from wheelhouse_builder.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LAST = 5  # measurements that count: machines and packages change
# What a strategy costs against `cross`, where nothing better is known: cffi, as measured in docs/explanation/speed.md.
_USUAL = {Strategy.NATIVE: 1.4, Strategy.ACCELERATED: 2.9, Strategy.EMULATED: 7.6}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one build took."""

    name: str
    target: str
    strategy: Strategy
    seconds: float  # wall time


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a build is likely to take."""

    seconds: float  # wall time
    source: str  # where the number comes from, for people


class Estimates:
    """What the samples say; they come oldest first."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._by_name: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self._by_name[sample.name].append(sample)

    def of(self, name: str, target: str, strategy: Strategy | None = None) -> Estimate | None:
        """What a build is likely to take; None when nothing is known of the package.

        Without a strategy, that of the last build of the package for the target is taken.
        """
        samples = self._by_name.get(name, [])
        if not samples:
            return None
        wanted = strategy or (_for_target(samples, target) or samples)[-1].strategy
        same = [sample for sample in samples if sample.strategy is wanted]
        if measured := _for_target(same, target):
            return Estimate(seconds=_middle(measured), source=_measured(len(measured)))
        if same:
            other = same[-1].target
            return Estimate(seconds=_middle(_for_target(same, other)), source=f"as {wanted} for {other}")
        last = samples[-1]
        like = [sample for sample in samples if (sample.target, sample.strategy) == (last.target, last.strategy)]
        scaled = _middle(like) * _USUAL.get(wanted, 1.0) / _USUAL.get(last.strategy, 1.0)
        return Estimate(seconds=scaled, source=f"scaled from {last.strategy} for {last.target}")

    def longest(self, name: str, strategy: Strategy | None = None) -> tuple[float, int] | None:
        """The longest build of the package by this strategy (by any), in seconds, and how many were measured."""
        found = [s.seconds for s in self._by_name.get(name, []) if strategy is None or s.strategy is strategy]
        return (max(found), len(found)) if found else None


def _for_target(samples: Sequence[Sample], target: str) -> list[Sample]:
    return [sample for sample in samples if sample.target == target]


def _middle(samples: Sequence[Sample]) -> float:
    return median(sample.seconds for sample in samples[-_LAST:])


def _measured(number: int) -> str:
    return f"measured, {min(number, _LAST)} builds" if number > 1 else "measured, 1 build"
