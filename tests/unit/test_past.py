"""What the history remembers of a run's report."""

from __future__ import annotations

from dataclasses import fields, replace

from tests.unit.test_history import NOW
from tests.unit.test_table import REPORT, ROWS
from wheelhouse_builder.errors import ResolveError
from wheelhouse_builder.history.model import PastRow, RunOutcome
from wheelhouse_builder.report.past import past_row, run_record
from wheelhouse_builder.strategy import Strategy


def test_a_row_is_remembered_as_plain_text_and_numbers() -> None:
    row = replace(ROWS[0], strategy=Strategy.CROSS, message="no https://me:secret@host/", kind="compiler")
    past = past_row(row)
    assert past == PastRow(
        name=row.name,
        version="2.1.1",
        target="cp312-musllinux_1_2_aarch64",
        status="ready",
        action="build",
        reason=row.reason,
        strategy=Strategy.CROSS,
        filename=row.filename,
        size=400_000,
        seconds=row.seconds,
        message="no https://***@host/",
        kind="compiler",
    )
    assert all(getattr(past, field.name) for field in fields(past))  # one that is forgotten would be as if unknown
    assert past_row(ROWS[1]).version is None


def test_a_run_is_remembered_by_whether_it_published() -> None:
    record = run_record(replace(REPORT, command="refresh", started=NOW))
    assert (record.command, record.started, record.seconds) == ("refresh", NOW, REPORT.seconds)
    assert (record.outcome, record.generation) == (RunOutcome.CHANGED, 3)
    assert run_record(replace(REPORT, changed=False)).outcome is RunOutcome.UNCHANGED


def test_a_run_with_a_target_that_is_unresolved_is_remembered_with_the_reason() -> None:
    error = ResolveError("nothing fits https://me:secret@host/")
    record = run_record(replace(REPORT, unresolved={ROWS[0].target: error}))
    assert record.outcome is RunOutcome.CHANGED
    assert record.message == f"{ROWS[0].target}: nothing fits https://***@host/"
