"""A run that leaves reports, also when it could not begin: then they say why, and that the wheelhouse is as it was."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import Cancelled, MachineError, WhbError
from wheelhouse_builder.events import Level, Note
from wheelhouse_builder.history.store import History
from wheelhouse_builder.report.model import Report
from wheelhouse_builder.report.past import run_record
from wheelhouse_builder.report.write import write_reports
from wheelhouse_builder.wheelhouse.generations import current
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wheelhouse_builder.events import Listener


def reported(
    run: Callable[[], Report], *, command: str, wheelhouse: Path, folder: Path, listener: Listener, summary: Path | None
) -> tuple[Report, tuple[Path, ...]]:
    """What a run came to, and the files in `folder` that tell it; `summary` is a file that the report is added to.

    What `run` raises is raised on, after reports that say so: an old one must not look like today's. Of what was
    interrupted there are none. Where they cannot be written that is told, and there are no files.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    try:
        report = run()
    except Cancelled:
        raise
    except WhbError as error:
        report = _failed(error, command, Wheelhouse(wheelhouse), started, time.monotonic() - clock)
        _remember(report, Wheelhouse(wheelhouse), listener)
        _written(folder, report, summary, listener)
        raise
    return report, _written(folder, report, summary, listener)


def _written(folder: Path, report: Report, summary: Path | None, listener: Listener) -> tuple[Path, ...]:
    """The files of a report; what else there is to tell of the run is worth more than an error about them."""
    try:
        return write_reports(folder, report, summary=summary)
    except MachineError as error:
        listener(Note(text=f"{error.message}; {error.hint}", level=Level.WARNING))
        return ()


def _failed(error: WhbError, command: str, wheelhouse: Wheelhouse, started: datetime, seconds: float) -> Report:
    generation = current(wheelhouse)
    return Report(
        rows=(),
        wheelhouse=wheelhouse.root,
        generation=generation.number if generation else None,
        changed=False,
        seconds=seconds,
        command=command,
        started=started,
        error=error,
    )


def _remember(report: Report, wheelhouse: Wheelhouse, listener: Listener) -> None:
    """Note such a run in the history of a wheelhouse that is there."""
    if wheelhouse.state.is_dir():
        History(wheelhouse.history, listener).end_run(run_record(report))
