"""`whb refresh`: the run that a machine starts every night, and that nobody watches.

It is a build that always resolves again, retires and removes what nothing needs, and leaves reports, also when it could
not begin: then they say why, and the generation in force stays.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import Cancelled, MachineError, UsageError, WhbError
from wheelhouse_builder.events import Level, Note
from wheelhouse_builder.history.model import RunOutcome, RunRecord
from wheelhouse_builder.history.store import History
from wheelhouse_builder.report.model import Report
from wheelhouse_builder.report.write import write_reports
from wheelhouse_builder.run import build_run
from wheelhouse_builder.wheelhouse.generations import current
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.settings import Settings

COMMAND = "refresh"


def refresh(
    settings: Settings, *, listener: Listener, canceller: Canceller, summary: Path | None = None
) -> tuple[Report, tuple[Path, ...]]:
    """Bring the wheelhouse up to date with the index; what came of it, and the files that tell it.

    `summary` is a file that the report is added to (`report.write`).
    Raises what `run.build_run` raises, after reports that say so; of `UsageError` and `Cancelled` there are none.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    try:
        report = build_run(replace(settings, upgrade=True), listener=listener, canceller=canceller, tidies=True)
    except (UsageError, Cancelled):
        raise
    except WhbError as error:
        report = _failed(settings, error, started, time.monotonic() - clock)
        _remember(report, Wheelhouse(settings.wheelhouse), listener)
        try:
            write_reports(settings.refresh.report, report, summary=summary)
        except MachineError as second:
            listener(Note(text=second.message, level=Level.WARNING))
        raise
    report = replace(report, command=COMMAND)
    return report, write_reports(settings.refresh.report, report, summary=summary)


def _failed(settings: Settings, error: WhbError, started: datetime, seconds: float) -> Report:
    """The report of a run that came to nothing: the wheelhouse is as it was."""
    generation = current(Wheelhouse(settings.wheelhouse))
    return Report(
        rows=(),
        wheelhouse=settings.wheelhouse,
        generation=generation.number if generation else None,
        changed=False,
        seconds=seconds,
        command=COMMAND,
        started=started,
        error=error,
    )


def _remember(report: Report, wheelhouse: Wheelhouse, listener: Listener) -> None:
    """Note such a run in the history of a wheelhouse that is there."""
    if report.error is None or report.started is None or not wheelhouse.state.is_dir():
        return
    record = RunRecord(
        command=COMMAND,
        started=report.started,
        seconds=report.seconds,
        outcome=RunOutcome.FAILED,
        generation=report.generation,
        message=report.error.message,
    )
    History(wheelhouse.state / "history.sqlite", listener).end_run(record)
