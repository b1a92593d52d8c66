"""How long a job may take: what its package took before, with much room, and never more than the settings say. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_TIMES = 10  # the longest build: QEMU costs eight times as much, a busy machine the rest
_LEAST_SECONDS = 600.0  # the first build for a target may have C libraries and toolchains to make


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A time limit, and where it comes from."""

    seconds: float
    why: str  # for people


def limit_of(longest: tuple[float, int] | None, cap: float) -> Limit:
    """The limit of a build. All times in seconds.

    `longest` is the longest of the successful builds of the package by the same strategy, and how many are known; `cap`
    is the setting `job-timeout`.
    """
    if longest is not None:
        seconds, number = longest
        learned = max(_LEAST_SECONDS, _TIMES * seconds)
        if learned < cap:
            builds = f"{number} builds, of which the longest took {_spoken(seconds)}"
            known = builds if number > 1 else f"one build of {_spoken(seconds)}"
            return Limit(seconds=learned, why=f"its limit is {_spoken(learned)}, learned from {known}")
    return Limit(seconds=cap, why=f"its limit is {_spoken(cap)}, by the setting job-timeout")


def _spoken(seconds: float) -> str:
    """`12 s`, `30 min`, `6 h`, `1 h 30 min`: nobody asks a limit for more."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join([f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes))
