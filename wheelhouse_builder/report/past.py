"""From the report of a run to what the history remembers of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.history.model import PastRow, RunOutcome, RunRecord
from wheelhouse_builder.redact import redact

if TYPE_CHECKING:
    from wheelhouse_builder.report.model import Report, Row


def run_record(report: Report) -> RunRecord:
    """The run as a whole."""
    outcome = RunOutcome.CHANGED if report.changed else RunOutcome.UNCHANGED
    messages = [f"{target}: {error.message}" for target, error in report.unresolved.items()]
    return RunRecord(
        command=report.command,
        started=report.started,
        seconds=report.seconds,
        outcome=RunOutcome.FAILED if report.error else outcome,
        generation=report.generation,
        message=redact(report.error.message if report.error else "\n".join(messages)),
    )


def past_row(row: Row) -> PastRow:
    """What it came to for one package and one target."""
    return PastRow(
        name=row.name,
        version=str(row.version) if row.version else None,
        target=str(row.target),
        status=row.status,
        action=row.action,
        reason=redact(row.reason),
        strategy=row.strategy,
        filename=row.filename,
        size=row.size,
        seconds=row.seconds,
        message=redact(row.message),
        kind=row.kind,
    )
