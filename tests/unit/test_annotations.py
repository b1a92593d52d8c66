"""What a CI service shows beside a run."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.test_table import REPORT, ROWS
from wheelhouse_builder.errors import ResolveError
from wheelhouse_builder.report.annotations import errors_for_ci
from wheelhouse_builder.report.model import Status
from wheelhouse_builder.target import Target

BAD = ROWS[1]
OTHER = Target.parse("cp313-musllinux_1_2_x86_64")


def test_one_annotation_for_all_targets_that_failed_alike() -> None:
    rows = (*ROWS, replace(BAD, target=OTHER), replace(BAD, target=OTHER, message="no space", kind="disk-full"))
    assert list(errors_for_ci(replace(REPORT, rows=rows))) == [
        ("lxml failed", f"libxml2 is missing\nwrite a recipe\ntargets: {BAD.target}, {OTHER}"),
        ("lxml failed, disk-full", f"no space\nwrite a recipe\ntargets: {OTHER}"),
    ]


def test_messages_that_name_the_target_are_alike_by_their_class() -> None:
    rows = tuple(replace(BAD, kind="would-not-load", message=f"not on {target}") for target in (BAD.target, OTHER))
    assert len(list(errors_for_ci(replace(REPORT, rows=rows)))) == 1


def test_what_is_blocked_is_not_a_failure_of_its_own() -> None:
    rows = (BAD, replace(BAD, status=Status.BLOCKED, message="blocked by libxml2"))
    assert len(list(errors_for_ci(replace(REPORT, rows=rows)))) == 1


def test_what_is_impossible_says_why() -> None:
    rows = (replace(BAD, status=Status.IMPOSSIBLE, message="", hint="", reason="no sdist"),)
    assert list(errors_for_ci(replace(REPORT, rows=rows))) == [("lxml impossible", f"no sdist\ntargets: {BAD.target}")]


def test_targets_that_are_unresolved_come_first() -> None:
    told = replace(REPORT, rows=(BAD,), unresolved={OTHER: ResolveError("nothing fits", hint="ask for less")})
    first, _ = errors_for_ci(told)
    assert first == (f"{OTHER} unresolved", "nothing fits\nask for less")
