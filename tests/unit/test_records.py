from __future__ import annotations

import dataclasses
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from tests.unit.test_index import stored
from wheelhouse_builder.errors import DamagedError, MachineError
from wheelhouse_builder.verify.verdict import Check, Method, Verdict
from wheelhouse_builder.wheelhouse import records as records_module
from wheelhouse_builder.wheelhouse.records import Records, StoredWheel

if TYPE_CHECKING:
    from pathlib import Path

VERDICT = Verdict(
    check=Check.IMPORT,
    target="cp312-musllinux_1_2_aarch64",
    method=Method.QEMU,
    environment="docker",
    problems=("no",),
    notes=("a", "b"),
)
FULL = dataclasses.replace(
    stored("cffi-2.1.1-cp312-cp312-musllinux_1_2_aarch64.whl"),
    origin="built",
    url="https://example.org/x",
    source_sha256="s",
    request_key="r",
    build_key="b",
    built_for="cp312-musllinux_1_2_aarch64",
    engine="cross",
    seconds=1.5,
    notes=("one", "two"),
    verdicts=(VERDICT,),
    published_at=None,
)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    made = Records(tmp_path / "records.sqlite")
    made.create()
    return made


def test_a_record_comes_back_as_it_went_in(records: Records) -> None:
    records.add(FULL, 17)
    assert records.by_filename(FULL.filename) == FULL
    assert records.all() == (FULL,)
    assert records.times() == {FULL.filename: 17}
    assert {tag.abi for tag in FULL.tags} == {"cp312"}


def test_every_field_is_kept(records: Records) -> None:
    """A new field of `StoredWheel` needs a column."""
    with sqlite3.connect(records.path) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(wheels)")}
    connection.close()
    assert columns == {field.name for field in dataclasses.fields(StoredWheel)} - {"yanked"} | {"mtime_ns"}


def test_first_publication_is_kept(records: Records) -> None:
    first, later = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)
    records.add(FULL, 1)
    records.mark_published([FULL.filename], first)
    records.mark_published([FULL.filename], later)
    assert records.add(dataclasses.replace(FULL, request_key="new"), 2).published_at == first
    again = records.by_filename(FULL.filename)
    assert again is not None
    assert (again.published_at, again.request_key) == (first, "new")


def test_other_content_is_published_for_the_first_time(records: Records) -> None:
    records.add(FULL, 1)
    records.mark_published([FULL.filename], datetime(2026, 1, 2, tzinfo=UTC))
    assert records.add(dataclasses.replace(FULL, sha256="other"), 2).published_at is None


def test_verdicts_are_replaced(records: Records) -> None:
    records.add(FULL, 1)
    passed = dataclasses.replace(VERDICT, problems=())
    records.set_verdicts(FULL.filename, [passed])
    again = records.by_filename(FULL.filename)
    assert again is not None
    assert again.verdicts == (passed,)
    assert again.verdicts[0].passed


def test_without_a_file_there_are_no_records(tmp_path: Path) -> None:
    records = Records(tmp_path / "records.sqlite")
    assert records.all() == ()
    assert records.times() == {}
    assert not records.path.exists()


def test_interrupted_creation_is_finished(tmp_path: Path) -> None:
    records = Records(tmp_path / "records.sqlite")
    records.path.touch()
    records.create()
    records.add(FULL, 1)
    assert records.all() == (FULL,)


def test_a_failing_transaction_leaves_nothing(records: Records) -> None:
    broken = dataclasses.replace(FULL, origin=None)  # type: ignore[arg-type]  # what the schema refuses
    with pytest.raises(DamagedError):
        records.add(broken, 1)
    assert records.all() == ()


@pytest.mark.parametrize("content", [b"", b"this is no database" * 100])
def test_a_damaged_file_is_told_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "records.sqlite"
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=r"records\.sqlite") as caught:
        Records(path).all()
    assert caught.value.exit_code == 5
    assert caught.value.hint


def test_damaged_pages_are_told(records: Records) -> None:
    for number in range(3):
        records.add(dataclasses.replace(FULL, filename=f"x{number}-1-py3-none-any.whl", notes=("long" * 5000,)), 1)
    content = bytearray(records.path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    records.path.write_bytes(content)
    with pytest.raises(DamagedError, match="damaged") as caught:
        records.all()
    assert "move it away" in (caught.value.hint or "")


def test_a_damaged_field_is_told(records: Records) -> None:
    records.add(FULL, 1)
    with sqlite3.connect(records.path) as connection:
        connection.execute("UPDATE wheels SET verdicts = 'no JSON'")
    connection.close()
    with pytest.raises(DamagedError, match="damaged"):
        records.all()


def test_records_of_the_future_are_left_alone(records: Records) -> None:
    with sqlite3.connect(records.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    records.create()
    with pytest.raises(DamagedError, match="version 99") as caught:
        records.all()
    assert "use the whb that wrote it" in (caught.value.hint or "")


def make_older(records: Records) -> None:
    """What version 1 was: no yanks."""
    with sqlite3.connect(records.path) as connection:
        connection.executescript("DROP TABLE yanks; PRAGMA user_version = 1;")
    connection.close()


def test_records_of_version_1_are_read_without_a_change(records: Records) -> None:
    records.add(FULL, 1)
    make_older(records)
    before = records.path.read_bytes()
    records.path.chmod(0o444)
    assert records.all() == (FULL,)
    assert records.by_filename(FULL.filename) == FULL
    assert records.path.read_bytes() == before


def test_records_of_version_1_become_ours_when_someone_writes(records: Records) -> None:
    records.add(FULL, 17)
    make_older(records)
    records.create()
    records.set_yank(FULL.name, FULL.version, "broken")
    assert records.all() == (dataclasses.replace(FULL, yanked="broken"),)
    assert records.times() == {FULL.filename: 17}
    records.create()
    assert records.all()[0].yanked == "broken"


def test_an_interrupted_migration_changes_nothing(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    records.add(FULL, 1)
    make_older(records)
    steps = records_module._STEPS
    monkeypatch.setattr(records_module, "_STEPS", (steps[0], steps[1] + "no SQL;"))
    with pytest.raises(MachineError):
        records.create()
    monkeypatch.setattr(records_module, "_STEPS", steps)
    assert records.all() == (FULL,)
    records.create()
    assert records.all() == (FULL,)


def test_a_yank_is_of_the_version_and_its_files_to_come(records: Records) -> None:
    other = dataclasses.replace(FULL, filename="cffi-2.1.1-py3-none-any.whl")
    newer = dataclasses.replace(FULL, filename="cffi-2.1.2-py3-none-any.whl", version=Version("2.1.2"))
    records.add(FULL, 1)
    records.set_yank(FULL.name, FULL.version, "one")
    records.set_yank(FULL.name, FULL.version, "two")
    assert records.add(other, 1).yanked == "two"
    assert records.add(FULL, 1).yanked == "two"
    assert records.add(newer, 1).yanked is None
    records.set_yank(FULL.name, FULL.version, None)
    assert [wheel.yanked for wheel in records.all()] == [None, None, None]


def test_removed_wheels_are_forgotten(records: Records) -> None:
    records.add(FULL, 1)
    records.remove([FULL.filename])
    assert records.all() == ()


def test_a_folder_that_is_not_there_is_the_machine(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="unable to open"):
        Records(tmp_path / "nowhere" / "records.sqlite").create()


def test_versions_are_parsed(records: Records) -> None:
    records.add(FULL, 1)
    assert records.all()[0].version == Version("2.1.1")
