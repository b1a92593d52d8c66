"""What happens, told as typed events.

Progress bars, logs, JSON lines and the report listen; the pipeline prints nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Level(StrEnum):
    """How much a note matters."""

    INFO = "info"
    WARNING = "warning"


class Outcome(StrEnum):
    """How a job ended."""

    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something worth saying that belongs to no job."""

    text: str
    level: Level = Level.INFO


@dataclass(frozen=True, kw_only=True)
class RunPhase:
    """The run as a whole does something else now: `resolve`, `build`, `publish`."""

    phase: str


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """A job of the plan, before any starts."""

    job: str  # its id, unique in the run
    title: str  # for people
    lane: str  # what it mostly uses: jobs of one lane share its room
    after: tuple[str, ...] = ()  # the jobs that it waits for
    seconds: float | None = None  # how long it will take, None if nothing like it was measured


@dataclass(frozen=True, kw_only=True)
class RunPlanned:
    """All jobs are known."""

    jobs: tuple[PlannedJob, ...]
    room: Mapping[str, int]  # how many jobs of each lane run at once


@dataclass(frozen=True, kw_only=True)
class JobStarted:
    """A job left the queue."""

    job: str  # its id, unique in the run
    title: str  # for people: "cffi 2.1.1 for cp312-musllinux_1_2_aarch64"
    log: Path | None = None


@dataclass(frozen=True, kw_only=True)
class JobPhase:
    """A running job does something else now; `phase` is for people: `download`, `build`, `look for Alpine`."""

    job: str
    phase: str


@dataclass(frozen=True, kw_only=True)
class JobRetried:
    """A job failed in a way that may pass: it goes back to the queue, and will start once more."""

    job: str
    title: str
    seconds: float  # wall time of the try
    message: str  # why it failed
    kind: str  # the class of its failure
    delay: float  # seconds until the next try, at the least
    alone: bool  # nothing else will run beside it


@dataclass(frozen=True, kw_only=True)
class JobFinished:
    """A job ended. `seconds` is wall time."""

    job: str
    title: str
    outcome: Outcome
    seconds: float
    message: str = ""
    hint: str = ""
    log: Path | None = None
    tail: str = ""  # the last lines of the log of a failed job
    kind: str = ""  # the class of its failure, empty where it is not known


Event = Note | RunPhase | RunPlanned | JobStarted | JobPhase | JobRetried | JobFinished
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""


def once(listener: Listener) -> Listener:
    """A listener that tells each note once: what is said of one target is mostly to be said of all. Safe in threads."""
    told: set[Note] = set()
    lock = threading.Lock()

    def tell(event: Event) -> None:
        if isinstance(event, Note):
            with lock:
                if event in told:
                    return
                told.add(event)
        listener(event)

    return tell
