"""Why a wheel is as it is, and why a build failed: from records, history and logs."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.records import MOMENT, verdict
from tests.reports import AMD, ARM, BEGAN, attempt, failed, past, row, run_record
from tests.wheels import make_wheel
from wheelhouse_builder.cli import main
from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.explain.data import explanations_data
from wheelhouse_builder.explain.gather import gather
from wheelhouse_builder.explain.subject import Subject, parse_subject
from wheelhouse_builder.explain.text import explanation_text
from wheelhouse_builder.history.logs import keep_log
from wheelhouse_builder.history.store import History
from wheelhouse_builder.strategy import Strategy
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.explain.model import Explanation
    from wheelhouse_builder.history.model import Attempt, PastRow
    from wheelhouse_builder.target import Target

GOOD = {"zig": "0.16.0", "build requirements": "setuptools==80.9.0\nwheel==0.45.1"}
NEW = GOOD | {"zig": "0.17.1"}
JOB = f"demo-1.0-{ARM}"


@dataclass
class House:
    """A wheelhouse with a history."""

    folder: Path

    @property
    def wheelhouse(self) -> Wheelhouse:
        return Wheelhouse(self.folder / "wheelhouse")

    @property
    def history(self) -> History:
        return History(self.wheelhouse.history)

    def admit(self, target: Target = ARM, *, version: str = "1.0", **more: object) -> str:
        wheel = make_wheel(self.folder, version=version, tag=f"{target.interpreter}-{target}")
        base: dict[str, object] = {
            "engine": "cross",
            "built_for": str(target),
            "build_key": "k" * 64,
            "verdicts": (verdict("loader", str(target)),),
            "published_at": MOMENT,
        }
        record = replace(record_of(wheel, origin="built"), **(base | more))  # type: ignore[arg-type]  # the fields
        with self.wheelhouse.lock():
            self.wheelhouse.admit(wheel, record)
        return record.filename

    def remember(self, *attempts: Attempt, rows: list[PastRow] | None = None) -> None:
        self.history.create()
        for each in attempts:
            self.history.add(each)
        if rows is not None:
            self.history.end_run(run_record(), rows)

    def explain(self, text: str) -> tuple[Explanation, ...]:
        return gather(parse_subject(text), self.wheelhouse, self.history)


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    with made.wheelhouse.lock():
        pass
    return made


# the subject


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("cffi", Subject(name=canonicalize_name("cffi"))),
        ("Ruamel.Yaml", Subject(name=canonicalize_name("ruamel-yaml"))),
        ("cffi==2.1.1", Subject(name=canonicalize_name("cffi"), version=Version("2.1.1"))),
        ("dist/demo-1.0-py3-none-any.whl", Subject(wheel="demo-1.0-py3-none-any.whl")),
        (JOB, Subject(job=JOB)),
        (f"a-b-c-{ARM}", Subject(job=f"a-b-c-{ARM}")),
        (f"-{ARM}", None),
        ("", None),
        ("-", None),
        ("cffi==", None),
        ("cffi>=2", None),
        ("../../etc/passwd", None),
    ],
)
def test_what_is_asked_about(text: str, subject: Subject | None) -> None:
    if subject:
        assert parse_subject(text) == subject
    else:
        with pytest.raises(UsageError, match="nothing that can be explained"):
            parse_subject(text)


@given(st.text())
def test_any_text_is_a_subject_or_wrong_usage(text: str) -> None:
    try:
        subject = parse_subject(text)
    except UsageError:
        return
    assert subject.name or subject.wheel is not None or subject.job


# what is known


def test_a_wheel_is_explained_by_its_run_its_build_and_what_changed(house: House) -> None:
    filename = house.admit()
    now = row(size=house.wheelhouse.wheels()[0].size)
    last = attempt(now, BEGAN, inputs=NEW, size=now.size, peak_memory=74_000_000)
    house.remember(
        attempt(now, BEGAN - timedelta(days=9), inputs=GOOD, size=1),
        attempt(now, BEGAN - timedelta(days=8), "failed", inputs=NEW),
        last,
        attempt(now, BEGAN + timedelta(hours=1), inputs=GOOD, size=2),  # such as of a wheel that did not import
        rows=[past(now, filename=filename, reason="forced by no-binary", strategy=Strategy.CROSS)],
    )
    (found,) = house.explain(filename)
    assert (found.status, found.made, found.failed, found.changed) == ("ready", last, None, ("zig 0.16.0 → 0.17.1",))
    text = explanation_text(found)
    for told in (
        f"demo 1.0 for {ARM}: ready",
        "decision    build: forced by no-binary",
        "run         1, whb refresh, 2026-11-28 03:00 UTC",
        f"origin      built by the cross engine for {ARM}",
        "built       2026-11-29 03:00 UTC, by cross, in 9.8 s, at most 70.6 MiB of memory",
        f"build key   {'k' * 64}",
        f"verdicts    loader ok for {ARM}",
        "zig: 0.17.1\n",
        "build requirements: setuptools==80.9.0, wheel==0.45.1",
        "since the good build of 2026-11-20 03:00 UTC:\n              zig 0.16.0 → 0.17.1",
    ):
        assert told in text


def test_a_failure_is_explained_by_its_class_remedy_and_lines(house: House, tmp_path: Path) -> None:
    now = failed("demo")
    log = tmp_path / "plain.log"
    log.write_text("cc\nfatal error: lber.h\n", encoding="utf-8")
    kept = keep_log(log, house.wheelhouse.attempt_log_folder, JOB, BEGAN)
    told = {"kind": now.kind, "message": now.message, "hint": now.hint, "lines": now.tail, "log": kept}
    house.remember(
        attempt(now, BEGAN - timedelta(days=9), inputs=GOOD),
        attempt(now, BEGAN, "failed", inputs=NEW, **told),
        attempt(
            failed("demo", version=Version("2.0")), BEGAN + timedelta(hours=1), "failed", message="another version"
        ),
        rows=[past(now, status="failed", message=now.message, kind=now.kind)],
    )
    for subject in ("demo==1.0", JOB):
        (found,) = house.explain(subject)
        assert (found.status, found.changed) == ("failed", ("zig 0.16.0 → 0.17.1",))
        assert found.log == house.wheelhouse.attempt_log_folder / str(kept)
        text = explanation_text(found)
        assert f"failed      {now.message}\n  class       missing-library\n  what to do  {now.hint}" in text
        assert "lines       cc -c Modules/LDAPObject.c\n              Modules/common.h:15:10: fatal error" in text


def test_a_package_is_explained_target_by_target_then_the_wheels_that_no_run_took(house: House) -> None:
    amd, _ = house.admit(AMD), house.admit(ARM, version="0.9")
    house.remember(rows=[past(row("demo", AMD), filename=amd), past(failed("demo"), status="failed")])
    found = house.explain("demo")
    told = [(each.version, each.target, each.status) for each in found]
    assert told == [("1.0", str(AMD), "ready"), ("1.0", str(ARM), "failed"), ("0.9", str(ARM), "ready")]
    assert [each.version for each in house.explain("demo==0.9")] == ["0.9"]


def test_a_run_that_was_not_asked_for_the_package_explains_nothing_of_it(house: House) -> None:
    house.remember(rows=[past(row("demo"), status="failed", reason="then")])
    house.remember(rows=[past(row("other"))])
    (found,) = house.explain("demo")
    assert found.row
    assert found.row.reason == "then"


def test_a_try_that_no_run_came_to_rows_of_is_explained(house: House) -> None:
    """Such as of a run that was killed."""
    house.remember(attempt(failed("demo"), BEGAN, "timed-out", message="took too long"))
    (found,) = house.explain("demo")
    assert "failed      took too long" in explanation_text(found)


def test_a_fetched_wheel_tells_where_from_without_a_secret(house: House) -> None:
    house.admit(origin="fetched", url="https://me:hunter2@host/demo.whl?sig=1", built_for=None)
    (found,) = house.explain("demo")
    assert "fetched from https://***@host/demo.whl?***" in explanation_text(found)
    assert "hunter2" not in json.dumps(explanations_data([found]))


@pytest.mark.parametrize("text", ["other", "demo==7", "demo-7-py3-none-any.whl", f"other-1.0-{ARM}"])
def test_what_nothing_is_known_of_is_wrong_usage(house: House, text: str) -> None:
    house.admit()
    with pytest.raises(UsageError, match="knows nothing of"):
        house.explain(text)


def test_a_name_that_is_nearly_right_is_suggested(house: House) -> None:
    house.admit()
    with pytest.raises(UsageError) as caught:
        house.explain("demos")
    assert caught.value.hint == "did you mean demo?"


def test_a_folder_that_is_no_wheelhouse_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no wheelhouse"):
        House(tmp_path / "nothing").explain("demo")


# the command

HEADER = "x.c:1:10: fatal error: 'libpq-fe.h' file not found\n"


def test_the_command_explains_a_package(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.admit()
    place = ("--wheelhouse", str(house.wheelhouse.root))
    assert main(["explain", "demo", *place]) == 0
    assert f"demo 1.0 for {ARM}: ready" in capsys.readouterr().out
    assert main(["explain", "demo", *place, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (found,) = document["explanations"]
    assert (document["schema"], found["wheel"]["origin"], found["status"]) == ("whb.explanation/1", "built", "ready")


@pytest.mark.parametrize("kind", ["plain", "packed", "standard input"])
def test_the_command_explains_a_log(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "build.log"
    log.write_text(f"building\n{HEADER}", encoding="utf-8")
    subject = str(log)
    if kind == "packed":
        subject = str(tmp_path / str(keep_log(log, tmp_path, JOB, BEGAN)))
    elif kind == "standard input":
        subject = "-"
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(log.read_bytes())))
    assert main(["explain", subject]) == 0
    out = capsys.readouterr().out
    assert "class       missing-library" in out
    assert f"2  {HEADER.strip()}" in out  # with the number of its line


def test_a_log_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "build.log"
    log.write_text("nothing that a rule knows\n", encoding="utf-8")
    assert main(["explain", str(log), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["diagnosis"]["known"]) == ("whb.diagnosis/1", False)


def test_a_log_that_is_damaged_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.log.zst").write_bytes(b"no zstd")
    assert main(["explain", str(tmp_path / "x.log.zst")]) == 2
    assert "is damaged" in capsys.readouterr().err
