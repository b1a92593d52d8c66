"""What a run spent its time on, from its events; and what it waited for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.reports import span
from wheelhouse_builder.events import (
    Event,
    JobFinished,
    JobPhase,
    JobRetried,
    JobStarted,
    Level,
    Note,
    Outcome,
    PlannedJob,
    RunPhase,
    RunPlanned,
)
from wheelhouse_builder.report.critical_path import Because, critical_path
from wheelhouse_builder.report.spans import RUN_LANE, Recorder, Span


class Clock:
    """Counts the seconds that it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def record(*events: tuple[float, Event]) -> tuple[Recorder, list[Event]]:
    clock, told = Clock(), list[Event]()
    recorder = Recorder(told.append, clock=clock)
    for moment, event in events:
        clock.now = 100 + moment
        recorder(event)
    return recorder, told


def started(job: str) -> JobStarted:
    return JobStarted(job=job, title=f"{job} 1.0")


def finished(job: str, outcome: Outcome = Outcome.DONE) -> JobFinished:
    return JobFinished(job=job, title=f"{job} 1.0", outcome=outcome, seconds=0)


def test_a_job_is_a_span_with_its_phases() -> None:
    plan = PlannedJob(job="b", title="b 1.0", lane="cpu", after=("a",))
    recorder, told = record(
        (0, RunPlanned(jobs=(plan,), room={})),
        (1, started("b")),
        (2, JobPhase(job="b", phase="download")),
        (3, JobPhase(job="b", phase="build")),
        (9, finished("b", Outcome.FAILED)),
    )
    (found,) = recorder.spans()
    phases = (("download", 2.0), ("build", 3.0))
    assert found == span("b", 1.0, 9.0, "a", title="b 1.0", lane="cpu", outcome=Outcome.FAILED, phases=phases)
    assert found.seconds == 8.0
    assert len(told) == 5  # every event is handed on


def test_a_phase_of_the_run_is_a_span_unless_jobs_tell_of_it() -> None:
    recorder, _ = record(
        (1, RunPhase(phase="resolve")),
        (5, RunPhase(phase="build")),
        (6, started("a")),
        (8, finished("a")),
        (9, RunPhase(phase="publish")),
        (11, Note(text="the end")),
    )
    assert [(each.id, each.lane, each.start, each.end) for each in recorder.spans()] == [
        ("resolve", RUN_LANE, 1.0, 5.0),
        ("a", "", 6.0, 8.0),
        ("publish", RUN_LANE, 9.0, 11.0),
    ]


def test_what_did_not_end_was_cancelled() -> None:
    recorder, _ = record((1, started("a")))
    assert recorder.spans()[0].outcome is Outcome.CANCELLED


def test_each_try_of_a_job_is_a_span() -> None:
    again = JobRetried(job="a", title="a", seconds=2, message="down", kind="network", delay=2, alone=False)
    recorder, _ = record(
        (1, started("a")), (3, again), (5, started("a")), (6, again), (9, started("a")), (10, finished("a"))
    )
    assert [(each.id, each.start, each.end, each.outcome) for each in recorder.spans()] == [
        ("a try 1", 1.0, 3.0, Outcome.FAILED),
        ("a try 2", 5.0, 6.0, Outcome.FAILED),
        ("a", 9.0, 10.0, Outcome.DONE),
    ]


def test_a_warning_is_kept_once() -> None:
    warning = Note(text="the disk is slow", level=Level.WARNING)
    recorder, _ = record((1, warning), (2, Note(text="hello")), (3, warning))
    assert recorder.warnings == ["the disk is slow"]


def steps(*spans: Span) -> list[tuple[str, Because | None]]:
    return [(step.span.id, step.because) for step in critical_path(spans)]


def test_no_spans_have_no_path() -> None:
    assert critical_path([]) == ()


def test_the_path_leads_through_what_was_waited_for() -> None:
    assert steps(
        span("resolve", 0, 5, lane=RUN_LANE),
        span("slow", 5, 60),
        span("quick", 5, 9),
        span("import", 60.1, 62, "slow", "quick"),
        span("publish", 62.1, 63, lane=RUN_LANE),
    ) == [
        ("resolve", None),
        ("slow", Because.ORDER),
        ("import", Because.RESULT),
        ("publish", Because.ORDER),
    ]


def test_the_path_tells_that_a_job_waited_for_its_place() -> None:
    assert steps(span("first", 0, 10), span("fetch", 0, 9.9, lane="network"), span("second", 10, 12)) == [
        ("first", None),
        ("second", Because.ROOM),
    ]


def test_what_was_long_ended_is_not_what_was_waited_for() -> None:
    """`second` needs `early`, but that had ended: it was the place that it had not."""
    assert steps(span("early", 0, 1), span("first", 0, 10), span("second", 10, 12, "early")) == [
        ("first", None),
        ("second", Because.ROOM),
    ]


def test_a_phase_of_the_run_follows_what_ended_last_however_short_the_run() -> None:
    assert steps(
        span("resolve", 0, 0.1, lane=RUN_LANE), span("a", 0.1, 0.2), span("publish", 0.21, 0.3, lane=RUN_LANE)
    ) == [("resolve", None), ("a", Because.ORDER), ("publish", Because.ORDER)]


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50), st.sampled_from(["cpu", "network", RUN_LANE])), max_size=30)
)
def test_a_path_goes_from_left_to_right(places: list[tuple[float, float, str]]) -> None:
    spans = [span(str(n), start, start + long, lane=lane) for n, (start, long, lane) in enumerate(places)]
    path = [step.span for step in critical_path(spans)]
    assert [each.start for each in path] == sorted(each.start for each in path)
    assert len({each.id for each in path}) == len(path)
    if spans:
        assert path[-1].end == max(each.end for each in spans)
        assert not [each for each in spans if each.end < path[0].start - 0.25]
