"""What changed since the last run: the rows against those of then, and a build's inputs against the last good one's."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from tests.reports import AMD, ARM, BEGAN, LAST, attempt, failed, past, row, run_record
from wheelhouse_builder.plan import Action
from wheelhouse_builder.report.changes import compare, input_changes
from wheelhouse_builder.report.model import Before, Change, ChangeKind, Changes, Row, Status
from wheelhouse_builder.strategy import Strategy

if TYPE_CHECKING:
    from wheelhouse_builder.history.model import Attempt, PastRow

KEPT = row(action=Action.REUSE, seconds=None)


def changes(now: list[Row], then: list[PastRow], *tries: Attempt) -> Changes:
    def of(name: str) -> list[Attempt]:
        return [each for each in tries if each.name == name]

    return compare(now, (run_record(), then), of, began=BEGAN)


def kinds(now: list[Row], then: list[PastRow], *tries: Attempt) -> list[tuple[ChangeKind, str]]:
    return [(change.kind, change.name) for change in changes(now, then, *tries).items]


def test_what_is_as_it_was_is_no_change() -> None:
    found = changes([KEPT], [past(KEPT)])
    assert (found.items, found.before) == ((), {})
    assert (found.since, found.seconds, found.size) == (LAST, 71.0, KEPT.size)


@pytest.mark.parametrize(
    ("now", "then", "kind"),
    [
        (KEPT, None, ChangeKind.NEW),
        (KEPT, past(KEPT, version="0.9"), ChangeKind.UPDATED),
        (KEPT, past(KEPT, status="failed"), ChangeKind.FIXED),
        (KEPT, past(KEPT, status="blocked"), ChangeKind.FIXED),
        (row(), past(row()), ChangeKind.REBUILT),
        (failed(), past(failed()), ChangeKind.REGRESSED),
        (row(status=Status.BLOCKED), past(row()), ChangeKind.REGRESSED),
        (failed(), past(failed(), status="failed"), ChangeKind.STILL_FAILING),
        (failed(), None, ChangeKind.NEW),
    ],
)
def test_each_kind_of_change(now: Row, then: PastRow | None, kind: ChangeKind) -> None:
    assert kinds([now], [then] if then else []) == [(kind, now.name)]


def test_what_nothing_asks_for_any_more_is_removed_if_it_was_there() -> None:
    gone = changes([], [past(row("six")), past(row("never"), status="failed")])
    assert gone.items == (Change(kind=ChangeKind.REMOVED, name="six", target=str(ARM), before="1.0"),)


def test_a_run_that_was_asked_for_a_part_says_nothing_of_the_rest() -> None:
    then = (run_record(), [past(row("six"))])
    assert compare([], then, lambda name: [], began=BEGAN, whole=False).items == ()


def test_regressions_come_first() -> None:
    now = [row("a-new-one"), KEPT, failed("zlib")]
    assert [name for _, name in kinds(now, [past(KEPT), past(failed("zlib"))])] == ["zlib", "a-new-one"]


def test_a_regression_tells_when_it_was_there_and_what_is_different() -> None:
    now = failed("lxml")
    good = attempt(now, BEGAN - timedelta(days=9), inputs={"zig": "0.16.0", "build requirements": "wheel==0.45.1"})
    older = attempt(now, BEGAN - timedelta(days=20), inputs={"zig": "0.15.0"})
    bad = attempt(now, BEGAN, "failed", inputs={"zig": "0.17.1", "build requirements": "wheel==0.45.1"})
    other = attempt(failed("lxml", AMD), BEGAN - timedelta(days=1), inputs={"zig": "0.17.1"})
    (change,) = changes([now], [past(now)], bad, other, good, older).items
    assert (change.good, change.inputs) == (good.started, ("zig 0.16.0 → 0.17.1",))


def test_a_regression_of_what_was_fetched_was_there_in_the_last_run() -> None:
    now = failed("lxml", action=Action.FETCH)
    (change,) = changes([now], [past(now)]).items
    assert (change.good, change.inputs) == (LAST, ())


def test_a_known_failure_is_compared_by_the_try_that_it_is_known_from() -> None:
    """The negative cache: this run made no try."""
    now = failed("lxml")
    good = attempt(now, BEGAN - timedelta(days=9), inputs={"zig": "0.16.0"})
    bad = attempt(now, BEGAN - timedelta(days=2), "failed", inputs={"zig": "0.17.1"})
    (change,) = changes([now], [past(now, status="failed")], bad, good).items
    assert (change.good, change.inputs) == (good.started, ("zig 0.16.0 → 0.17.1",))


def test_another_version_regresses_too() -> None:
    now = failed("lxml", version=Version("6.0"))
    (change,) = changes([now], [past(now, version="5.4")]).items
    assert (change.kind, change.before, change.version) == (ChangeKind.REGRESSED, "5.4", "6.0")


def test_another_strategy_is_a_change_of_the_inputs() -> None:
    now = row(seconds=40.0)
    new = attempt(now, BEGAN, strategy=Strategy.EMULATED)
    (change,) = changes([now], [past(now)], new, attempt(now, LAST)).items
    assert change.inputs == ("strategy cross → container-emulated",)


def test_sizes_and_times_are_of_the_run_before() -> None:
    now = row(size=420_000)
    tries = (attempt(now, BEGAN, seconds=12.0), attempt(now, LAST, seconds=9.8), attempt(now, LAST, "failed"))
    found = changes([now], [past(now, size=400_000)], *tries)
    assert found.before == {("demo", str(ARM)): Before(size=400_000, seconds=9.8)}


def test_a_wheel_of_two_targets_counts_once() -> None:
    both = [past(row(target=target), filename="demo-1.0-py3-none-any.whl", size=7) for target in (AMD, ARM)]
    assert changes([], both).size == 7


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {}, ()),
        ({"zig": "0.16.0"}, {"zig": "0.16.0"}, ()),
        ({"zig": "0.16.0"}, {"zig": "0.17.1"}, ("zig 0.16.0 → 0.17.1",)),
        ({}, {"recipe": "libffi"}, ("recipe none → libffi",)),
        ({"sdist": "0" * 64}, {"sdist": "1" * 64}, (f"sdist {'0' * 12}… → {'1' * 12}…",)),
        (
            {"build requirements": "setuptools==80.9.0 \\\n    --hash=sha256:ab\nwheel==0.45.1"},
            {"build requirements": "setuptools==81.0.0 \\\n    --hash=sha256:cd\nwheel==0.45.1\nx-y==2"},
            ("setuptools 80.9.0 → 81.0.0", "x-y none → 2"),
        ),
    ],
)
def test_inputs_are_told_for_people(before: dict[str, str], after: dict[str, str], told: tuple[str, ...]) -> None:
    assert input_changes(before, after) == told
