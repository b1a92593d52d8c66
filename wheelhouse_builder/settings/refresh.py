"""`[refresh]`: what `whb refresh` keeps, for how long, and where it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from wheelhouse_builder.settings.kinds import COUNT, DURATION, PATH, declare


@dataclass(frozen=True, kw_only=True)
class RefreshSettings:
    """How a wheelhouse that is refreshed every night grows old."""

    keep_generations: int = field(
        default=10,
        metadata=declare(COUNT, "how many generations stay, to go back to (default: 10)", "--keep", metavar="N"),
    )
    grace: timedelta = field(
        default=timedelta(days=30),
        metadata=declare(
            DURATION,
            "how long a wheel's file stays after its last use, as 12h or 4w (default: 30 days)",
            "--grace",
            metavar="TIME",
        ),
    )
    retire_after: timedelta = field(
        default=timedelta(days=30),
        metadata=declare(DURATION, "a wheel that no target asked for so long leaves the index (default: 30 days)"),
    )
    retry_after: timedelta = field(
        default=timedelta(days=7),
        metadata=declare(
            DURATION, "a build that failed is tried again after it, unless its inputs change (default: 7 days)"
        ),
    )
    report: Path = field(
        default_factory=lambda: Path("whb-report").absolute(),
        metadata=declare(PATH, "the folder of the reports (default: whb-report)", "--report", metavar="DIR"),
    )
