"""A run leaves its reports, however it ends."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.reports import report, row
from wheelhouse_builder.errors import Cancelled, ResolveError, WhbError
from wheelhouse_builder.events import Event, Note
from wheelhouse_builder.history.model import RunOutcome
from wheelhouse_builder.history.store import History
from wheelhouse_builder.reporting import reported
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.report.model import Report

DOWN = ResolveError("the index does not answer", hint="try again")


@dataclass
class Runs:
    """Reports below a folder, and what was told."""

    folder: Path
    told: list[Event] = field(default_factory=list)

    @property
    def house(self) -> Wheelhouse:
        return Wheelhouse(self.folder / "wheelhouse")

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    def run(self, outcome: Report | WhbError) -> Report:
        def run() -> Report:
            if isinstance(outcome, WhbError):
                raise outcome
            return outcome

        told, _ = reported(
            run,
            command="refresh",
            wheelhouse=self.house.root,
            folder=self.reports,
            listener=self.told.append,
            summary=self.folder / "summary",
        )
        return told

    def data(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.reports / "report.json").read_bytes())
        return found


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_a_run_is_given_back_after_its_report_is_written(runs: Runs) -> None:
    told = report(row())
    assert runs.run(told) is told
    assert runs.data()["error"] is None
    assert (runs.folder / "summary").is_file()


def test_a_run_that_could_not_begin_is_reported_and_remembered(runs: Runs) -> None:
    with runs.house.lock():
        publish(runs.house, {})
    runs.run(report(row()))
    with pytest.raises(ResolveError):
        runs.run(DOWN)
    data = runs.data()  # in place of the one before
    assert (data["rows"], data["generation"], data["changed"]) == ([], 1, False)
    assert data["error"] == {"message": DOWN.message, "hint": DOWN.hint, "exit_code": 3}
    (record,) = History(runs.house.history).runs()
    assert (record.command, record.outcome, record.message) == ("refresh", RunOutcome.FAILED, DOWN.message)


def test_a_run_without_a_wheelhouse_makes_none(runs: Runs) -> None:
    with pytest.raises(ResolveError):
        runs.run(DOWN)
    assert runs.data()["generation"] is None
    assert not runs.house.root.exists()


def test_what_was_interrupted_has_no_report(runs: Runs) -> None:
    with pytest.raises(Cancelled):
        runs.run(Cancelled("interrupted"))
    assert not runs.reports.exists()


def test_where_nothing_can_be_written_that_is_noted_and_what_the_run_came_to_is_told(runs: Runs) -> None:
    runs.reports.touch()
    told = report(row())
    assert runs.run(told) is told
    with pytest.raises(ResolveError):
        runs.run(DOWN)
    for note in runs.told:
        assert isinstance(note, Note)
        assert note.text.startswith("cannot write the report: ")
    assert len(runs.told) == 2
