"""What `whb refresh` asks of a run, and what it prints."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.reports import AMD, failed, report, row
from wheelhouse_builder import refresh
from wheelhouse_builder.cli import main
from wheelhouse_builder.errors import ResolveError
from wheelhouse_builder.events import ignore
from wheelhouse_builder.plan import Action
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.report.model import Change, ChangeKind, Changes, Report, Retired
from wheelhouse_builder.settings import Settings
from wheelhouse_builder.settings.refresh import RefreshSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOTHING_NEW = replace(report(row(action=Action.REUSE)), changed=False)


@pytest.fixture
def came_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[Report | Exception], dict[str, Any]]:
    """Have the run come to a report or an error; what it was asked for is in the answer."""

    def install(outcome: Report | Exception) -> dict[str, Any]:
        asked: dict[str, Any] = {}

        def build_run(settings: Settings, **options: Any) -> Report:
            asked.update(options, settings=settings)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(refresh, "build_run", build_run)
        return asked

    return install


def test_it_always_resolves_again_tidies_and_leaves_out_what_is_known_to_fail(
    came_to: Callable[[Report | Exception], dict[str, Any]], tmp_path: Path
) -> None:
    asked = came_to(NOTHING_NEW)
    settings = Settings(wheelhouse=tmp_path / "wheelhouse", refresh=RefreshSettings(report=tmp_path / "out"))
    told, files = refresh.refresh(settings, listener=ignore, canceller=Canceller())
    assert told == NOTHING_NEW
    assert asked["settings"] == replace(settings, upgrade=True)
    assert (asked["command"], asked["tidies"], asked["skips_known"], asked["fixes"]) == ("refresh", True, True, False)
    assert asked["leaves_unresolved"] is True
    assert {file.parent for file in files} == {tmp_path / "out"}
    refresh.refresh(settings, listener=ignore, canceller=Canceller(), retry=True, fixes=True)
    assert (asked["skips_known"], asked["fixes"]) == (False, True)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["refresh", "-P", "demo", "--color", "never", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def test_when_nothing_moved_it_says_so_in_three_lines(
    came_to: Callable[[Report | Exception], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    came_to(NOTHING_NEW)
    code, out, err = run(capsys)
    assert (code, out) == (0, "")
    assert err.strip().splitlines() == [
        "1 of 1 ready (1 reused) in 1 min 15 s",
        "/w: generation 3, unchanged",
        "report: whb-report/report.html",
    ]
    assert run(capsys, "--quiet") == (0, "", "")


def test_it_says_what_is_new_what_changed_and_what_left(
    came_to: Callable[[Report | Exception], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    fresh, kept = row("fresh"), row("kept", action=Action.REUSE)
    items = tuple(
        Change(kind=ChangeKind.UPDATED, name=f"demo-{number}", target=str(fresh.target), version="2.0", before="1.0")
        for number in range(22)
    )
    changes = Changes(since=datetime(2026, 1, 2, tzinfo=UTC), seconds=9, size=400_000, items=items, before={})
    retired = Retired(filename="old-1.0-py3-none-any.whl", reason="no target has asked for it since 2026-10-29")
    came_to(report(fresh, kept, changes=changes, retired=(retired,)))
    code, out, err = run(capsys)
    assert code == 0
    assert "fresh" in out
    assert "kept" not in out
    assert "updated: demo-0 1.0 → 2.0, demo-1 1.0 → 2.0" in err
    assert "demo-19 1.0 → 2.0 and 2 more" in err
    assert "retired old-1.0-py3-none-any.whl: no target has asked for it since 2026-10-29" in err
    assert "generation 3, published" in err


def test_a_failure_is_told_and_the_exit_code_says_it(
    came_to: Callable[[Report | Exception], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    came_to(report(failed("broken"), row("kept", action=Action.REUSE)))
    code, out, err = run(capsys, "-q")
    assert code == 1
    assert "broken" in out
    assert "lber.h" in err


def test_a_report_that_cannot_be_written_is_told_beside_what_the_run_came_to(
    came_to: Callable[[Report | Exception], dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "nowhere" / "summary.md"))
    came_to(report(failed("broken")))
    code, out, err = run(capsys, "--json")
    assert code == 4
    assert [row["name"] for row in json.loads(out)["rows"]] == ["broken"]
    assert "cannot write the report: " in err
    assert "nowhere/summary.md" in err


def test_what_cannot_be_resolved_is_exit_code_3(
    came_to: Callable[[Report | Exception], dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    came_to(ResolveError("the index is down", hint="look at the network"))
    code, out, err = run(capsys)
    assert (code, out) == (3, "")
    assert "error: the index is down\nhint: look at the network" in err
    assert (tmp_path / "whb-report" / "report.html").is_file()


def test_a_target_that_is_unresolved_is_told_and_is_exit_code_3(
    came_to: Callable[[Report | Exception], dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    came_to(report(failed("broken"), unresolved={AMD: ResolveError("nothing fits", hint="ask for less")}))
    code, _, err = run(capsys)
    assert code == 3
    assert err.index(f"unresolved {AMD}: nothing fits\nhint: ask for less") < err.index("broken 1.0")
    assert "1 target unresolved; 0 of 1 ready in 1 min 15 s" in err
    assert "generation 3, published" in err
    assert f"unresolved {AMD}: nothing fits" in run(capsys, "-q")[2]
    (tmp_path / "file").touch()
    assert run(capsys, "--report", "file/folder")[0] == 4


def test_nothing_to_refresh_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refresh"]) == 2
    assert "nothing to build is named" in capsys.readouterr().err
