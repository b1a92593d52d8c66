"""Progress: what each event looks like on a plain stream, on CI and as JSON, and what the picture shows."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console as RichConsole

from wheelhouse_builder.cli.ci import Ci, annotation, defused, defused_json, running_on
from wheelhouse_builder.cli.console import Console, make_console, wants_color
from wheelhouse_builder.cli.progress import progress
from wheelhouse_builder.cli.progress.as_json import JsonProgress
from wheelhouse_builder.cli.progress.live import Picture
from wheelhouse_builder.cli.progress.standing import Standing, time_left
from wheelhouse_builder.errors import ResolveError
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
from wheelhouse_builder.schedule.forecast import Forecast

SCHEMA = Path(__file__).parents[2] / "docs/reference/event.schema.json"
EVENTS: tuple[Event, ...] = (
    RunPhase(phase="resolve"),
    Note(text="resolving"),
    Note(text="emulated", level=Level.WARNING),
    RunPhase(phase="build"),
    RunPlanned(
        jobs=(
            PlannedJob(job="cffi-1", title="cffi 1", lane="cpu", seconds=120),
            PlannedJob(job="bad-1", title="bad 1", lane="cpu", after=("cffi-1",)),
        ),
        room={"cpu": 2},
    ),
    JobStarted(job="cffi-1", title="cffi 1"),
    JobPhase(job="cffi-1", phase="build"),
    JobRetried(job="cffi-1", title="cffi 1", seconds=9, message="killed", kind="out-of-memory", delay=2, alone=True),
    JobStarted(job="cffi-1", title="cffi 1"),
    JobFinished(job="cffi-1", title="cffi 1", outcome=Outcome.DONE, seconds=3.2),
    JobFinished(job="bad-1", title="bad 1", outcome=Outcome.FAILED, seconds=61, message="no \x1b[2Jheader"),
)
PLANNED = EVENTS[4]


def told(
    verbosity: int = 0,
    *events: Event,
    color: bool = False,
    ci: Ci | None = None,
    as_json: bool = False,
) -> str:
    stream = io.StringIO()
    console = Console(out=io.StringIO(), err=stream, verbosity=verbosity, color=color, ci=ci, json=as_json)
    with progress(console) as listener:
        for event in events or EVENTS:
            listener(event)
    return stream.getvalue()


def test_one_line_for_each_event() -> None:
    assert told().splitlines() == [
        "resolving",
        "warning: emulated",
        "2 jobs, at least 2 min, 1 job of unknown length",
        "start   cffi 1",
        "again   cffi 1 (9.0 s), in 2.0 s, alone: killed",
        "start   cffi 1",
        "done    cffi 1 (3.2 s)",
        "failed  bad 1 (1 min 01 s): no [2Jheader",
    ]


def test_verbose_tells_phases() -> None:
    assert "        cffi-1: build" in told(1).splitlines()


def test_quiet_tells_warnings_and_failures() -> None:
    assert told(-1).splitlines() == ["warning: emulated", "failed  bad 1 (1 min 01 s): no [2Jheader"]


def test_colour_is_ours_alone() -> None:
    assert told(color=True).splitlines()[-1] == "\x1b[31mfailed \x1b[0m bad 1 (1 min 01 s): no [2Jheader"


def test_a_run_without_jobs_is_not_counted() -> None:
    assert told(0, RunPlanned(jobs=(), room={})) == ""


# On CI


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({"GITHUB_ACTIONS": "true"}, Ci.GITHUB), ({"GITLAB_CI": "true"}, Ci.GITLAB), ({"CI": "true"}, None)],
)
def test_which_service_it_is(environ: dict[str, str], expected: Ci | None) -> None:
    assert running_on(environ) is expected
    assert make_console(environ=environ).ci is expected


def test_there_is_no_picture_on_ci_even_where_it_has_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    assert make_console(environ={}).live
    assert not make_console(environ={"GITLAB_CI": "true"}).live


def test_each_phase_of_the_run_is_a_group_on_github() -> None:
    lines = told(ci=Ci.GITHUB).splitlines()
    assert lines[:2] == ["::group::resolve", "resolving"]
    assert lines[3:5] == ["::endgroup::", "::group::build"]
    assert lines[-1] == "::endgroup::"


def test_each_phase_of_the_run_is_a_section_on_gitlab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1700000000.5)
    lines = told(ci=Ci.GITLAB).split("\n")
    assert lines[0] == "\x1b[0Ksection_start:1700000000:whb_resolve\r\x1b[0Kresolve"
    assert lines[3] == "\x1b[0Ksection_end:1700000000:whb_resolve\r\x1b[0K"
    assert lines[-2] == "\x1b[0Ksection_end:1700000000:whb_build\r\x1b[0K"


def test_quiet_has_no_groups_of_nothing() -> None:
    assert told(-1, ci=Ci.GITHUB) == told(-1)


def test_a_group_ends_with_the_run_that_fails() -> None:
    stream = io.StringIO()
    console = Console(out=io.StringIO(), err=stream, ci=Ci.GITHUB)

    def run() -> None:
        with progress(console) as listener:
            listener(RunPhase(phase="resolve"))
            raise ResolveError("no lxml", hint="ask for less")

    with pytest.raises(ResolveError) as caught:
        run()
    console.error(caught.value)
    assert stream.getvalue().splitlines() == [
        "::group::resolve",
        "::endgroup::",
        "error: no lxml",
        "hint: ask for less",
        "::error title=whb::no lxml%0Aask for less",
    ]


def test_an_annotation_is_one_line_whatever_is_in_it() -> None:
    assert (
        annotation("a: b, 100%", "x: 5%\r\nsecond, line") == "::error title=a%3A b%2C 100%25::x: 5%25%0D%0Asecond, line"
    )


@pytest.mark.parametrize("text", ["::error::x", "  ::set-env name=PATH::/x", "a\n\t::stop-commands::t", "a ##[error]b"])
def test_what_a_package_prints_is_no_command(text: str) -> None:
    """As the runner finds commands: `::` after leading space, `##[` anywhere (ActionCommand.cs)."""
    for line in defused(text).split("\n"):
        assert not line.lstrip().startswith("::")
        assert "##[" not in line
    assert defused("a :: b") == "a :: b"
    assert "\n::error" not in told(0, Note(text=f"said\n{text}"), ci=Ci.GITHUB)
    assert f"said\n{text}" in told(0, Note(text=f"said\n{text}"))


def test_a_document_stays_what_it_is() -> None:
    stream = io.StringIO()
    Console(out=stream, err=io.StringIO(), json=True, ci=Ci.GITHUB).result(json.dumps("a ##[error]b"))
    assert "##[" not in stream.getvalue()
    assert json.loads(stream.getvalue()) == "a ##[error]b"
    assert defused_json("{}") == "{}"


def test_errors_are_annotations_on_github_alone() -> None:
    for ci, as_json, expected in (
        (Ci.GITHUB, False, "::error title=t::x\n"),
        (Ci.GITHUB, True, ""),
        (Ci.GITLAB, False, ""),
    ):
        stream = io.StringIO()
        Console(out=io.StringIO(), err=stream, ci=ci, json=as_json).annotate("t", "x")
        assert stream.getvalue() == expected


# As JSON


def test_each_event_is_an_object_of_the_schema() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema)
    objects = [json.loads(line) for line in told(as_json=True).splitlines()]
    assert [one["event"] for one in objects] == [
        *("run-phase", "note", "note", "run-phase", "run-planned"),
        *("job-started", "job-phase", "job-retried", "job-started", "job-finished", "job-finished"),
    ]
    for one in objects:
        validator.validate(one)
    assert objects[4]["jobs"][1]["after"] == ["cffi-1"]
    assert not validator.is_valid({**objects[0], "phase": 1})


def test_the_schema_has_every_event() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    named = {one["properties"]["event"]["const"] for one in schema["oneOf"]}
    assert len(named) == len(Event.__args__) == len(schema["oneOf"])
    outcomes = next(one for one in schema["oneOf"] if one["properties"]["event"]["const"] == "job-finished")
    assert outcomes["properties"]["outcome"]["enum"] == [str(outcome) for outcome in Outcome]


def test_an_event_says_when() -> None:
    stream, times = io.StringIO(), iter([10.0, 12.3456])
    JsonProgress(Console(out=io.StringIO(), err=stream), clock=lambda: next(times))(
        JobStarted(job="a", title="a", log=Path("/w/a.log"))
    )
    said = json.loads(stream.getvalue())
    assert said == {
        "schema": "whb.event/1",
        "event": "job-started",
        "at": 2.346,
        "job": "a",
        "title": "a",
        "log": "/w/a.log",
    }


# The picture


def standing(*events: Event, at: float = 10.0) -> Standing:
    made = Standing()
    for event in events:
        made.update(event, at)
    return made


def drawn(picture: Picture, *, height: int = 20, width: int = 80) -> list[str]:
    stream = io.StringIO()
    RichConsole(file=stream, width=width, height=height, force_terminal=True, no_color=True).print(picture)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_what_runs_is_shown_with_its_phase_and_time() -> None:
    made = standing(*EVENTS[:7])
    line, counts = drawn(Picture(standing=made, clock=lambda: 13.21))
    assert line[2:] == "cffi 1 build 3.2 s"
    assert counts == "2 jobs: 1 running, 1 waiting; left: at least 2 min"


def test_the_run_itself_is_shown_while_no_job_runs() -> None:
    assert [line[2:] for line in drawn(Picture(standing=standing(*EVENTS[:3]), clock=lambda: 13.21))] == [
        "resolve  3.2 s"
    ]


def test_what_ended_is_counted_by_how() -> None:
    made = standing(*EVENTS)
    assert made.running == ()
    assert made.counts() == "2 jobs: 1 done, 1 failed"
    made.update(JobPhase(job="cffi-1", phase="late"), 15.0)
    assert made.running == ()


def test_a_job_that_will_start_once_more_waits() -> None:
    assert standing(*EVENTS[:8]).counts() == "2 jobs: 2 waiting"


def test_hundreds_of_jobs_stay_within_the_screen() -> None:
    jobs = tuple(PlannedJob(job=f"j{n}", title="x" * 200, lane="network", seconds=10) for n in range(300))
    made = standing(RunPlanned(jobs=jobs, room={"network": 40}))
    for job in jobs[:40]:
        made.update(JobStarted(job=job.job, title=job.title), 10.0)
    lines = drawn(Picture(standing=made, clock=lambda: 12.0), height=12)
    assert len(lines) == 11
    assert lines[-2:] == ["  + 31 more", "300 jobs: 40 running, 260 waiting; left: about 1 min"]
    assert all(len(line) <= 80 for line in lines)


def test_what_is_left_is_played_through_once_a_second() -> None:
    now = [10.0]
    made = standing(*EVENTS[:6])
    picture = Picture(standing=made, clock=lambda: now[0])
    assert "at least 2 min" in drawn(picture)[-1]
    made.plan = RunPlanned(jobs=(), room={})
    now[0] = 10.5
    assert "at least 2 min" in drawn(picture)[-1]
    now[0] = 11.0
    assert "at least 2 min" not in drawn(picture)[-1]


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (Forecast(seconds=0), "about 5 s"),
        (Forecast(seconds=38), "about 40 s"),
        (Forecast(seconds=57), "about 55 s"),
        (Forecast(seconds=58), "about 1 min"),
        (Forecast(seconds=725), "about 12 min"),
        (Forecast(seconds=3600), "about 1 h"),
        (Forecast(seconds=4790), "about 1 h 20 min"),
        (Forecast(seconds=0, unknown=3), "time unknown"),
        (Forecast(seconds=65, unknown=1), "at least 1 min, 1 job of unknown length"),
        (Forecast(seconds=65, unknown=3), "at least 1 min, 3 jobs of unknown length"),
    ],
)
def test_an_estimate_is_rough_and_says_what_it_does_not_know(left: Forecast, expected: str) -> None:
    assert time_left(left) == expected


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
