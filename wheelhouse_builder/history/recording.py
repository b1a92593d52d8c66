"""An attempt is noted when it ends, however it ends."""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from wheelhouse_builder.errors import Cancelled, JobError, WhbError
from wheelhouse_builder.history.logs import keep_log
from wheelhouse_builder.history.model import Attempt, AttemptOutcome
from wheelhouse_builder.process import metered
from wheelhouse_builder.redact import redact
from wheelhouse_builder.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

    from wheelhouse_builder.builds import Build
    from wheelhouse_builder.history.store import History

# There programs are no children of ours: what could be metered is the client of docker. The engine says what it knows.
_IN_CONTAINERS = frozenset({Strategy.NATIVE, Strategy.ACCELERATED, Strategy.EMULATED})
_LONGEST_VALUE = 80  # of an input as people read it; whole files are part of a build's fingerprint


@dataclass(frozen=True, kw_only=True)
class Built:
    """A wheel that an attempt gave."""

    size: int  # bytes
    seconds: float  # wall time: an engine may build for several targets at once


@dataclass(kw_only=True)
class Course:
    """What becomes known of an attempt while it goes on."""

    key: str = ""  # `Attempt.key`
    inputs: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None  # of a local project the wheel says it
    built: dict[str, Built] = field(default_factory=dict)  # by target: its own, and others that it built for
    peak_memory: int | None = None  # bytes, as far as an engine says it
    is_attempt: bool = True  # false when it turned out that none is to be made


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Where attempts are noted."""

    history: History
    logs: Path  # where those of attempts that failed are kept

    @contextmanager
    def attempt(
        self, *, job: str, name: NormalizedName, version: str | None, target: str, strategy: Strategy, log: Path
    ) -> Iterator[Course]:
        """Note what goes on inside as an attempt; whatever is raised there is raised on."""
        started, clock, course = datetime.now(UTC), time.monotonic(), Course(version=version)
        noted = partial(Attempt, job=job, name=name, strategy=strategy, started=started)
        with metered() as meter:
            try:
                yield course
            except (WhbError, OSError) as error:
                if course.is_attempt:
                    failed: Attempt = noted(
                        version=course.version,
                        target=target,
                        key=course.key,
                        inputs=course.inputs,
                        seconds=time.monotonic() - clock,
                        peak_memory=course.peak_memory if strategy in _IN_CONTAINERS else meter.peak,
                        log=self._keep(log, job, started),
                        outcome=_outcome(error),
                    )
                    self.history.add(_told(failed, error))
                raise
        for other, built in course.built.items():
            self.history.add(
                noted(
                    version=course.version,
                    target=other,
                    key=course.key if other == target else "",
                    inputs=course.inputs,
                    seconds=built.seconds,
                    peak_memory=course.peak_memory if strategy in _IN_CONTAINERS else meter.peak,
                    size=built.size,
                    outcome=AttemptOutcome.BUILT,
                )
            )

    def note_earlier(self, build: Build, wheel: Path, *, job: str, target: str) -> None:
        """Note a build of whb's cache that this history does not know, such as one that another wheelhouse had made."""
        name, version, *_ = parse_wheel_filename(build.filename)
        built = (each for each in self.history.attempts(name=name) if each.outcome is AttemptOutcome.BUILT)
        known = (each.size for each in built if each.target == target)  # an engine may have built for it by another job
        if build.rung is None or build.built_for != target or build.size in known:
            return
        self.history.add(
            Attempt(
                job=job,
                name=name,
                version=str(version),
                target=target,
                strategy=build.rung,
                key="",
                inputs=build.inputs,
                started=datetime.fromtimestamp(wheel.stat().st_mtime, UTC),
                seconds=build.seconds,
                size=build.size,
                outcome=AttemptOutcome.BUILT,
            )
        )

    def _keep(self, log: Path, job: str, started: datetime) -> str | None:
        with suppress(OSError):  # the disk may be full, which the attempt may have failed of; the plain log is there
            return keep_log(log, self.logs, job, started)
        return None


def inputs_of(fingerprint: Mapping[str, str], build_lock: str = "") -> dict[str, str]:
    """`Attempt.inputs`, of an engine's fingerprint and of build requirements with hashes, without those.

    What is too long to be read, such as a whole file, is told by its digest.
    """
    pins = [line.partition(" --hash=")[0].rstrip(" \\") for line in build_lock.splitlines() if line[:1].isalnum()]
    inputs = {name: value if _is_short(value) else _digest(value) for name, value in fingerprint.items() if value}
    return inputs | ({"build requirements": redact("\n".join(pins))} if pins else {})


def _is_short(value: str) -> bool:
    return len(value) <= _LONGEST_VALUE and value.isprintable()


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _outcome(error: Exception) -> AttemptOutcome:
    if isinstance(error, Cancelled):
        return AttemptOutcome.CANCELLED
    timed_out = isinstance(error, JobError) and error.kind == "time-out"
    return AttemptOutcome.TIMED_OUT if timed_out else AttemptOutcome.FAILED


def _told(attempt: Attempt, error: WhbError | OSError) -> Attempt:
    """The attempt with why it failed, fit to be shown."""
    if not isinstance(error, WhbError):
        return replace(attempt, message=redact(str(error)), kind="machine")
    known = replace(attempt, message=redact(error.message), hint=redact(error.hint or ""), kind=error.kind)
    return replace(known, rule=error.rule, lines=redact(error.tail)) if isinstance(error, JobError) else known
