"""What the settings add to the requirements, and what uv's log tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelhouse_builder.events import Event, Level, Note, RunPhase, once
from wheelhouse_builder.requirements.model import RequirementSet
from wheelhouse_builder.resolve.constraints import constraint_lines, hold_lines, idle_holds
from wheelhouse_builder.resolve.log import notes_in, undated, yanked
from wheelhouse_builder.resolve.uv import ResolveOptions

NOW = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
CFFI = canonicalize_name("cffi")


def test_constraints_of_the_settings_are_constraints_that_say_where_they_stand() -> None:
    (line,) = constraint_lines({"cffi": "<2,>=1"}, {"constraints.cffi": "/p/whb.toml"})
    assert str(line.origin) == "/p/whb.toml: constraints.cffi"
    assert RequirementSet(lines=(line,)).render(constraints=True) == "cffi<2,>=1\n"
    assert RequirementSet(lines=(line,)).render() == ""


def test_what_is_on_hold_is_pinned_to_what_the_lock_has() -> None:
    (line,) = hold_lines(["CFFI", "lxml"], {CFFI: Version("1.17.1")}, "/p/whb.toml")
    assert (line.text, line.constraint, str(line.origin)) == ("cffi==1.17.1", True, "/p/whb.toml: hold")
    assert hold_lines(["lxml"], {CFFI: Version("1.17.1")}) == ()


def test_a_hold_of_what_nothing_asks_for_is_told() -> None:
    assert list(idle_holds(["CFFI"], {CFFI})) == []
    assert list(idle_holds(["cfi", "lxml"], {CFFI})) == [
        "hold: nothing asks for cfi (did you mean cffi?)",
        "hold: nothing asks for lxml",
    ]


def test_the_cut_off_is_so_long_ago() -> None:
    assert ResolveOptions(cache=Path("c")).cut_off is None
    options = ResolveOptions(cache=Path("c"), min_age=timedelta(days=3), now=NOW)
    assert options.cut_off == datetime(2026, 11, 26, 3, 0, tzinfo=UTC)
    free = ResolveOptions(cache=Path("c"), min_age=timedelta(days=3)).cut_off
    assert free is not None
    assert abs(datetime.now(UTC) - timedelta(days=3) - free) < timedelta(minutes=1)


LOG = """\
DEBUG Preparing metadata for: odd==1.0
warning: `bb-1.0-py3-none-any.whl` is missing an upload date, but user provided: 2026-11-20T00:00:00Z
warning: `bb-1.0.tar.gz` is missing an upload date, but user provided: 2026-11-20T00:00:00Z
warning: `Zope.Thing-2.0.tar.gz` is missing an upload date, but user provided: 2026-11-20T00:00:00Z
warning: `aa==1.1` is yanked (reason: "broken on "musl" (again)")
warning: `cc==2.0` is yanked
warning: `dd==1.0` is yanked (reason: "loses
  data ")")
DEBUG what follows (reason: "no")
"""


def test_yanked_versions_are_read_with_their_reason() -> None:
    assert yanked(LOG) == {
        ("aa", Version("1.1")): 'broken on "musl" (again)',
        ("cc", Version("2.0")): "no reason is given",
        ("dd", Version("1.0")): 'loses data ")',
    }
    assert yanked("DEBUG `aa==1.1` is yanked\n") == {}


def test_files_without_an_upload_time_are_told_by_project() -> None:
    assert undated(LOG) == ["bb", "zope-thing"]
    assert undated("warning: `odd` is missing an upload date") == ["odd"]


def test_what_matters_of_a_log_is_told() -> None:
    texts = [note.text for note in notes_in(LOG)]
    assert [text.partition(" ")[0] for text in texts] == ["odd==1.0", "bb:", "zope-thing:", "aa", "cc", "dd"]
    assert list(notes_in("Resolved 1 package in 16ms\n")) == []


def test_a_secret_in_a_reason_is_not_told() -> None:
    (note,) = notes_in('warning: `aa==1.1` is yanked (reason: "see https://me:secret@host/")\n')
    assert "secret" not in note.text


def test_what_is_said_of_every_target_is_told_once() -> None:
    told: list[Event] = []
    listener = once(told.append)
    for text in ("one", "two", "one"):
        listener(Note(text=text))
    listener(Note(text="one", level=Level.WARNING))
    phase = RunPhase(phase="resolve")
    listener(phase)
    listener(phase)
    assert told == [Note(text="one"), Note(text="two"), Note(text="one", level=Level.WARNING), phase, phase]
