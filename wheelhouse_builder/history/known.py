"""What is known to fail: a run that nobody watches does not spend hours on it every night."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import JobError

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from wheelhouse_builder.history.model import Attempt
    from wheelhouse_builder.history.store import History


class KnownFailure(JobError):  # noqa: N818 - the failure is known, and not made
    """A build was not tried, since it failed a short while ago with the same inputs."""


@dataclass(frozen=True, kw_only=True)
class KnownFailures:
    """What a history knows to fail."""

    history: History
    logs: Path  # where those of attempts are kept
    now: datetime  # UTC
    expiry: timedelta  # of such knowledge

    def require_unknown(self, key: str, limit: float) -> None:
        """Raise `KnownFailure` if a build with this key is known to fail, within a `limit` in seconds.

        What took too long is tried again under a longer limit.
        """
        known = self.history.known_failure(key, self.now, self.expiry)
        if known is None or (known.kind == "time-out" and known.seconds < limit):
            return
        failed = min(known.started, self.now)
        raise KnownFailure(
            f"failed on {failed:%Y-%m-%d} with the same inputs: {known.message}; tried again after "
            f"{failed + self.expiry:%Y-%m-%d}, when an input changes, or with --retry",
            hint=known.hint or None,
            log=self._log(known),
            tail=known.lines,
            kind=known.kind,
            rule=known.rule,
        )

    def _log(self, known: Attempt) -> Path | None:
        log = self.logs / known.log if known.log else None
        return log if log and log.is_file() else None
