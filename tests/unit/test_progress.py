"""Progress: what each event looks like on a plain stream, and what the live view remembers."""

from __future__ import annotations

import io

import pytest

from wheelhouse_builder.cli.console import Console, wants_color
from wheelhouse_builder.cli.progress import PlainProgress, Running, progress
from wheelhouse_builder.events import Event, JobFinished, JobPhase, JobStarted, Level, Note, Outcome

EVENTS: tuple[Event, ...] = (
    Note(text="resolving"),
    Note(text="emulated", level=Level.WARNING),
    JobStarted(job="cffi-1", title="cffi 1"),
    JobPhase(job="cffi-1", phase="build"),
    JobFinished(job="cffi-1", title="cffi 1", outcome=Outcome.DONE, seconds=3.2),
    JobFinished(job="bad-1", title="bad 1", outcome=Outcome.FAILED, seconds=61, message="no \x1b[2Jheader"),
)


def told(verbosity: int, *, color: bool = False) -> list[str]:
    stream = io.StringIO()
    listener = PlainProgress(Console(out=io.StringIO(), err=stream, verbosity=verbosity, color=color))
    for event in EVENTS:
        listener(event)
    return stream.getvalue().splitlines()


def test_one_line_for_each_event() -> None:
    assert told(0) == [
        "resolving",
        "warning: emulated",
        "start   cffi 1",
        "done    cffi 1 (3.2 s)",
        "failed  bad 1 (1 min 01 s): no [2Jheader",
    ]


def test_verbose_tells_phases() -> None:
    assert "        cffi-1: build" in told(1)


def test_quiet_tells_warnings_and_failures() -> None:
    assert told(-1) == ["warning: emulated", "failed  bad 1 (1 min 01 s): no [2Jheader"]


def test_colour_is_ours_alone() -> None:
    assert told(0, color=True)[-1] == "\x1b[31mfailed \x1b[0m bad 1 (1 min 01 s): no [2Jheader"


def test_the_live_view_shows_what_runs() -> None:
    running = Running()
    for event in EVENTS[:4]:
        running.update(event, now=10.0)
    assert running.rows(now=13.21) == [("cffi 1", "build", "3.2 s")]
    running.update(EVENTS[4], now=14.0)
    assert running.rows(now=15.0) == []
    running.update(JobPhase(job="cffi-1", phase="late"), now=15.0)
    assert running.rows(now=15.0) == []


def test_what_is_finished_scrolls_above_the_live_view() -> None:
    stream = io.StringIO()
    with progress(Console(out=io.StringIO(), err=stream, live=True)) as listener:
        for event in EVENTS:
            listener(event)
    assert "done    cffi 1 (3.2 s)\n" in stream.getvalue()
    assert "start" not in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("choice", "environ", "terminal", "expected"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_when_to_colour(choice: str, environ: dict[str, str], terminal: bool, expected: bool) -> None:
    assert wants_color(choice, Terminal() if terminal else io.StringIO(), environ) is expected
