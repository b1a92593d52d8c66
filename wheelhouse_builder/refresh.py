"""`whb refresh`: the run that a machine starts every night, and that nobody watches.

It is a build that always resolves again, retires and removes what nothing needs, and leaves reports.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wheelhouse_builder.reporting import reported
from wheelhouse_builder.run import build_run

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.report.model import Report
    from wheelhouse_builder.settings import Settings

COMMAND = "refresh"


def refresh(
    settings: Settings,
    *,
    listener: Listener,
    canceller: Canceller,
    retry: bool = False,
    fixes: bool = False,
    summary: Path | None = None,
) -> tuple[Report, tuple[Path, ...]]:
    """Bring the wheelhouse up to date with the index; what came of it, and the files that tell it.

    What failed a short while ago with the same inputs is not tried again, unless with `retry`; `fixes` is that of
    `run.build_run`.
    A target that cannot be resolved stays as it is, and the report tells why.
    Raises what `run.build_run` and `reporting.reported` raise.
    """

    def run() -> Report:
        upgrading = replace(settings, upgrade=True)
        return build_run(
            upgrading,
            listener=listener,
            canceller=canceller,
            command=COMMAND,
            tidies=True,
            skips_known=not retry,
            fixes=fixes,
            leaves_unresolved=True,
        )

    return reported(
        run,
        command=COMMAND,
        wheelhouse=settings.wheelhouse,
        folder=settings.refresh.report,
        listener=listener,
        summary=summary,
    )
