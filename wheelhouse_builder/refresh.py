"""`whb refresh`: the run that a machine starts every night, and that nobody watches.

It is a build that always resolves again, and that retires and removes what nothing needs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wheelhouse_builder.run import build_run

if TYPE_CHECKING:
    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.report.model import Report
    from wheelhouse_builder.settings import Settings


def refresh(settings: Settings, *, listener: Listener, canceller: Canceller) -> Report:
    """Bring the wheelhouse up to date with the index, and say what came of it. Raises what `run.build_run` raises."""
    report = build_run(replace(settings, upgrade=True), listener=listener, canceller=canceller, tidies=True)
    return replace(report, command="refresh")
