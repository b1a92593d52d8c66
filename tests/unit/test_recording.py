"""An attempt is noted when it ends, however it ends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name

from wheelhouse_builder.errors import Cancelled, JobError, MachineError
from wheelhouse_builder.history import recording as module
from wheelhouse_builder.history.logs import read_log
from wheelhouse_builder.history.model import AttemptOutcome
from wheelhouse_builder.history.recording import Built, Course, Recording, inputs_of
from wheelhouse_builder.history.store import History
from wheelhouse_builder.process import Meter
from wheelhouse_builder.strategy import Strategy

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

ARM, NEWER = "cp312-musllinux_1_2_aarch64", "cp313-musllinux_1_2_aarch64"


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    (tmp_path / "job.log").write_text("gcc: error\n")
    return Recording(history=History(tmp_path / "history.sqlite"), logs=tmp_path / "attempts")


def attempt(recording: Recording, strategy: Strategy = Strategy.CROSS) -> AbstractContextManager[Course]:
    return recording.attempt(
        job="cffi-2.1.1",
        name=canonicalize_name("cffi"),
        version="2.1.1",
        target=ARM,
        strategy=strategy,
        log=recording.logs.with_name("job.log"),
    )


def fail(recording: Recording, error: Exception, *, key: str = "", is_attempt: bool = True) -> None:
    with attempt(recording) as course:
        course.key, course.is_attempt = key, is_attempt
        raise error


def test_a_wheel_is_noted_with_what_it_took(recording: Recording) -> None:
    with attempt(recording) as course:
        course.key, course.inputs = "k", {"zig": "0.17.1"}
        course.built[ARM] = Built(size=512, seconds=5.0)
        course.built[NEWER] = Built(size=513, seconds=5.5)
    other, own = recording.history.attempts()
    assert (own.target, own.key, own.size, own.seconds) == (ARM, "k", 512, 5.0)
    assert own.outcome is AttemptOutcome.BUILT
    assert own.inputs == {"zig": "0.17.1"}
    assert (other.target, other.key, other.size, other.seconds) == (NEWER, "", 513, 5.5)
    assert own.log is None
    assert not recording.logs.exists()  # that of a wheel is kept beside it


def test_a_failure_is_noted_with_its_cause_and_its_log(recording: Recording) -> None:
    url = "https://me:secret@host/x"
    error = JobError(f"it failed: {url}", hint=f"do {url}", tail=f"gcc: {url}", kind="compiler", rule="c")
    with pytest.raises(JobError) as caught:
        fail(recording, error, key="k")
    assert caught.value is error
    (noted,) = recording.history.attempts()
    told = (noted.message, noted.hint, noted.lines)
    assert told == ("it failed: https://***@host/x", "do https://***@host/x", "gcc: https://***@host/x")
    assert (noted.kind, noted.rule, noted.key, noted.outcome) == ("compiler", "c", "k", AttemptOutcome.FAILED)
    assert read_log(recording.logs / str(noted.log)) == "gcc: error\n"
    assert 0 <= noted.seconds < 60


@pytest.mark.parametrize(
    ("error", "outcome", "kind"),
    [
        (JobError("no", kind="time-out"), AttemptOutcome.TIMED_OUT, "time-out"),
        (Cancelled("interrupted"), AttemptOutcome.CANCELLED, ""),
        (MachineError("no docker"), AttemptOutcome.FAILED, "machine"),
        (OSError("the disk is full"), AttemptOutcome.FAILED, "machine"),
    ],
)
def test_how_it_ended(recording: Recording, error: Exception, outcome: AttemptOutcome, kind: str) -> None:
    with pytest.raises(type(error)), attempt(recording):
        raise error
    (noted,) = recording.history.attempts()
    assert (noted.outcome, noted.kind) == (outcome, kind)


@pytest.mark.parametrize(("strategy", "peak"), [(Strategy.CROSS, 180), (Strategy.EMULATED, 900)])
def test_memory_is_that_of_programs_below_this_process_or_what_the_engine_says_of_containers(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, strategy: Strategy, peak: int | None
) -> None:
    monkeypatch.setattr(module, "metered", lambda: contextlib.nullcontext(Meter(peak=180)))
    with attempt(recording, strategy) as course:
        course.built[ARM] = Built(size=512, seconds=5.0)
        course.peak_memory = 900
    assert recording.history.attempts()[0].peak_memory == peak


def test_what_was_not_tried_is_not_noted(recording: Recording) -> None:
    """A known failure would else be known for ever."""
    with pytest.raises(JobError):
        fail(recording, JobError("failed before with the same inputs"), is_attempt=False)
    assert recording.history.attempts() == ()


def test_a_log_that_cannot_be_kept_hides_no_failure(recording: Recording) -> None:
    recording.logs.write_text("a file is in the way")
    with pytest.raises(JobError), attempt(recording):
        raise JobError("no")
    assert recording.history.attempts()[0].log is None


def test_inputs_are_for_people() -> None:
    lock = "cffi==2.1.1 \\\n    --hash=sha256:20\n# a comment\n--pre\nown @ https://me:secret@host/x --hash=x\n"
    found = inputs_of({"zig": "0.17.1", "wrappers": "#!/bin/sh\n", "long": "x" * 100, "target tree": ""}, lock)
    assert found["zig"] == "0.17.1"
    assert len(found["wrappers"]) == len(found["long"]) == 64
    assert found["build requirements"] == "cffi==2.1.1\nown @ https://***@host/x"
    assert found.keys() == {"zig", "wrappers", "long", "build requirements"}
    assert inputs_of({}) == {}
