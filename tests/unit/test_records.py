from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from tests.unit.test_index import stored
from wheelhouse_builder.errors import DamagedError, MachineError
from wheelhouse_builder.index.model import UNMARKED, Mark, Status
from wheelhouse_builder.verify.verdict import Check, Method, Verdict
from wheelhouse_builder.wheelhouse import schema
from wheelhouse_builder.wheelhouse.records import Base, Records, _as_ours
from wheelhouse_builder.wheelhouse.stored import Seen, StoredWheel

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
    engine="container",
    native_tools="zig 0.17.1",
    project_keys=(("p", "cp312-musllinux_1_2_aarch64"),),
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


def seen(records: Records) -> dict[str, Seen]:
    return {facts.filename: facts.seen for facts in records.facts()}


def test_a_record_comes_back_as_it_went_in(records: Records) -> None:
    records.add(FULL, Seen(17))
    assert records.by_filename(FULL.filename) == FULL
    assert records.all() == (FULL,)
    assert seen(records) == {FULL.filename: Seen(17)}
    assert {tag.abi for tag in FULL.tags} == {"cp312"}


def test_every_field_is_kept(records: Records) -> None:
    """A new field of `StoredWheel` needs a column."""
    with sqlite3.connect(records.path) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(wheels)")}
    connection.close()
    assert columns == {field.name for field in dataclasses.fields(StoredWheel)} - {"yanked"} | {
        *Seen._fields,
        "collected",
    }


def test_first_publication_is_kept(records: Records) -> None:
    first, later = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)
    records.add(FULL, Seen(1))
    records.mark_published([FULL.filename], first)
    records.mark_published([FULL.filename], later)
    assert records.add(dataclasses.replace(FULL, request_key="new"), Seen(2)).published_at == first
    again = records.by_filename(FULL.filename)
    assert again is not None
    assert (again.published_at, again.request_key) == (first, "new")


def test_the_same_wheel_of_another_source_is_found_by_both(records: Records) -> None:
    other, none = (dataclasses.replace(FULL, project_keys=keys) for keys in ((("q", "cp311-x"), ("p", "cp312-y")), ()))
    for wheel in (FULL, other, none):
        stored = records.add(wheel, Seen(1))
    assert stored.project_keys == (("p", "cp312-y"), ("q", "cp311-x"))
    assert records.all() == (stored,)
    changed = dataclasses.replace(FULL, sha256="other", project_keys=(("r", "cp312-z"),))
    assert records.add(changed, Seen(1)).project_keys == changed.project_keys


def test_other_content_is_published_for_the_first_time(records: Records) -> None:
    records.add(FULL, Seen(1))
    records.mark_published([FULL.filename], datetime(2026, 1, 2, tzinfo=UTC))
    assert records.add(dataclasses.replace(FULL, sha256="other"), Seen(2)).published_at is None


def test_verdicts_are_replaced(records: Records) -> None:
    records.add(FULL, Seen(1))
    passed = dataclasses.replace(VERDICT, problems=())
    records.set_verdicts(FULL.filename, [passed])
    again = records.by_filename(FULL.filename)
    assert again is not None
    assert again.verdicts == (passed,)
    assert again.verdicts[0].passed


def test_without_a_file_there_are_no_records(tmp_path: Path) -> None:
    records = Records(tmp_path / "records.sqlite")
    assert records.all() == ()
    assert records.facts() == []
    assert not records.path.exists()


def test_a_creation_that_a_full_disk_ends_leaves_no_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by `benchmarks.refresh kills`: an empty file was left, of which each later run said that it is damaged."""
    records = Records(tmp_path / "records.sqlite")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "migration", lambda version: "PRAGMA max_page_count = 1; CREATE TABLE a (b);")
        with pytest.raises(MachineError):
            records.create()
    assert not records.path.exists()
    assert records.all() == ()
    records.create()
    records.add(FULL, Seen(1))
    assert records.all() == (FULL,)
    assert [path.name for path in tmp_path.iterdir()] == ["records.sqlite"]


def test_interrupted_creation_is_finished(tmp_path: Path) -> None:
    records = Records(tmp_path / "records.sqlite")
    records.path.touch()
    records.create()
    records.add(FULL, Seen(1))
    assert records.all() == (FULL,)


def test_a_failing_transaction_leaves_nothing(records: Records) -> None:
    broken = dataclasses.replace(FULL, origin=None)  # type: ignore[arg-type]  # what the schema refuses
    with pytest.raises(DamagedError):
        records.add(broken, Seen(1))
    assert records.all() == ()


@pytest.mark.parametrize("content", [b"", b"this is no database" * 100])
def test_a_damaged_file_is_told_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "records.sqlite"
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=r"records\.sqlite") as caught:
        Records(path).all()
    assert caught.value.exit_code == 5
    assert "move it away" in (caught.value.hint or "")


def test_damaged_pages_are_told(records: Records) -> None:
    for number in range(3):
        records.add(
            dataclasses.replace(FULL, filename=f"x{number}-1-py3-none-any.whl", notes=("long" * 5000,)), Seen(1)
        )
    content = bytearray(records.path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    records.path.write_bytes(content)
    with pytest.raises(DamagedError, match="damaged") as caught:
        records.all()
    assert "move it away" in (caught.value.hint or "")


def test_a_damaged_field_is_told(records: Records) -> None:
    records.add(FULL, Seen(1))
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


def older(path: Path, version: int) -> Records:
    """A file as whb of that version made it, with one wheel."""
    ours = Records(path.with_name("ours.sqlite"))
    ours.create()
    ours.add(FULL, Seen(17))
    columns = [field.name for field in dataclasses.fields(OLD) if field.name not in NEW]
    columns.append("mtime_ns")
    with sqlite3.connect(ours.path) as connection:
        row = connection.execute(f"SELECT {', '.join(columns)} FROM wheels").fetchone()
    connection.close()
    with sqlite3.connect(path) as connection:
        connection.executescript("".join(schema.STEPS[:version]) + f"PRAGMA user_version = {version}")
        connection.execute(f"INSERT INTO wheels ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", row)
    connection.close()
    return Records(path)


OLDER = range(1, schema.VERSION)
NEW = ("yanked", "project_keys", "native_tools")  # what no column was for in the first version
OLD = dataclasses.replace(FULL, project_keys=(), native_tools=None)


@pytest.mark.parametrize("version", OLDER)
def test_older_records_are_read_without_a_change(tmp_path: Path, version: int) -> None:
    records = older(tmp_path / "records.sqlite", version)
    before = records.path.read_bytes()
    records.path.chmod(0o444)
    assert records.all() == (OLD,)
    assert records.by_filename(FULL.filename) == OLD
    assert (records.marks(), records.base()) == ({}, None)
    assert records.path.read_bytes() == before


@pytest.mark.parametrize("version", OLDER)
def test_older_records_become_ours_when_someone_writes(tmp_path: Path, version: int) -> None:
    records = older(tmp_path / "records.sqlite", version)
    with pytest.raises(MachineError):
        records.set_yank(FULL.name, FULL.version, "broken")
    records.create()
    records.set_yank(FULL.name, FULL.version, "broken")
    assert records.all() == (dataclasses.replace(OLD, yanked="broken"),)
    assert seen(records) == {FULL.filename: Seen(17)}
    records.create()
    assert records.all()[0].yanked == "broken"


@pytest.mark.parametrize("version", OLDER)
def test_an_interrupted_migration_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    records = older(tmp_path / "records.sqlite", version)
    before = records.path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "STEPS", (*schema.STEPS[:-1], f"{schema.STEPS[-1]}no SQL;"))
        with pytest.raises(MachineError):
            records.create()
    assert records.path.read_bytes() == before
    records.create()
    assert records.all() == (OLD,)


def test_records_that_someone_makes_ours_while_they_are_read(tmp_path: Path) -> None:
    """Between the look at the version and the copy in memory."""
    records = older(tmp_path / "records.sqlite", 3)
    with contextlib.closing(sqlite3.connect(records.path)) as connection:
        records.create()
        with _as_ours(connection, 3) as ours:
            assert len(ours.execute("SELECT project_keys FROM wheels").fetchall()) == 1


def table(records: Records, name: str) -> list[str]:
    """What a table and its triggers are made of."""
    query = "SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type, name"
    with contextlib.closing(sqlite3.connect(records.path)) as connection:
        columns = [
            str(row[1:]) for row in connection.execute("SELECT * FROM pragma_table_info(?) ORDER BY name", [name])
        ]
        return columns + [row[0] for row in connection.execute(query, [name]) if not row[0].startswith("CREATE TABLE")]


@pytest.mark.parametrize("version", OLDER)
def test_migrated_records_are_those_that_are_made_anew(tmp_path: Path, records: Records, version: int) -> None:
    migrated = older(tmp_path / "old.sqlite", version)
    migrated.create()
    for name in ("wheels", "yanks", "marks", "stubs", "changes", "base"):
        assert table(migrated, name) == table(records, name)


def test_a_migration_is_no_change_of_a_project(tmp_path: Path) -> None:
    """The pages are written anew because whb writes them in another way, not because of the column."""
    records = older(tmp_path / "records.sqlite", 3)
    with contextlib.closing(sqlite3.connect(records.path)) as connection, connection:
        connection.execute("DELETE FROM changes")
    records.create()
    assert changed(records) == []


def test_a_yank_is_of_the_version_and_its_files_to_come(records: Records) -> None:
    other = dataclasses.replace(FULL, filename="cffi-2.1.1-py3-none-any.whl")
    newer = dataclasses.replace(FULL, filename="cffi-2.1.2-py3-none-any.whl", version=Version("2.1.2"))
    records.add(FULL, Seen(1))
    records.set_yank(FULL.name, FULL.version, "one")
    records.set_yank(FULL.name, FULL.version, "two")
    assert records.add(other, Seen(1)).yanked == "two"
    assert records.add(FULL, Seen(1)).yanked == "two"
    assert records.add(newer, Seen(1)).yanked is None
    records.set_yank(FULL.name, FULL.version, None)
    assert [wheel.yanked for wheel in records.all()] == [None, None, None]


def test_removed_wheels_are_forgotten(records: Records) -> None:
    records.add(FULL, Seen(1))
    records.remove([FULL.filename])
    assert records.all() == ()


def test_a_folder_that_is_not_there_is_the_machine(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="unable to open"):
        Records(tmp_path / "nowhere" / "records.sqlite").create()


def test_versions_are_parsed(records: Records) -> None:
    records.add(FULL, Seen(1))
    assert records.all()[0].version == Version("2.1.1")


# changes


def changed(records: Records) -> list[str]:
    """What changed since the last call."""
    changes = records.changes()
    records.set_base(Base(1, "digest"), changes.until)
    return sorted(changes.names)


def test_whatever_pages_show_is_a_change(records: Records) -> None:
    cffi, name = FULL.filename, FULL.name
    for change in (
        lambda: records.add(FULL, Seen(1)),
        lambda: records.add(dataclasses.replace(FULL, sha256="other"), Seen(1)),
        lambda: records.set_verdicts(cffi, []),
        lambda: records.set_yank(name, FULL.version, "one"),
        lambda: records.set_yank(name, FULL.version, "two"),
        lambda: records.set_yank(name, FULL.version, None),
        lambda: records.set_mark(name, Mark(status=Status.ARCHIVED)),
        lambda: records.set_mark(name, Mark(status=Status.ARCHIVED, reason="done")),
        lambda: records.set_mark(name, UNMARKED),
        lambda: records.note_changes([name]),
        lambda: records.remove([cffi]),
    ):
        change()
        assert changed(records) == ["cffi"]
        assert changed(records) == []


def test_every_column_of_a_wheel_counts_but_those_that_publication_writes(records: Records) -> None:
    columns = {field.name for field in dataclasses.fields(StoredWheel)} - {"filename", "yanked"} | {"collected"}
    records.add(FULL, Seen(1))
    changed(records)
    for column in (*sorted(columns), *Seen._fields):
        with sqlite3.connect(records.path) as connection:
            connection.execute(f"UPDATE wheels SET {column} = {column}")
        connection.close()
        assert changed(records) == ([] if column in ("published_at", *Seen._fields) else ["cffi"]), column


def test_every_column_of_a_stub_counts_but_those_that_publication_writes(records: Records) -> None:
    columns = ("filename", "name", "version", "sha256", "size", "requires_python", "published_at", "mtime_ns")
    with contextlib.closing(sqlite3.connect(records.path)) as connection, connection:
        connection.execute(
            f"INSERT INTO stubs ({', '.join(columns)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            ("cffi-2.1.1.tar.gz", "cffi", "2.1.1", "0", 1, ">=3.8", None, 2),
        )
    assert changed(records) == ["cffi"]
    for column in (*columns[1:], "collected"):
        with contextlib.closing(sqlite3.connect(records.path)) as connection, connection:
            connection.execute(f"UPDATE stubs SET {column} = {column}")
        assert changed(records) == ([] if column in ("published_at", "mtime_ns") else ["cffi"]), column
    with contextlib.closing(sqlite3.connect(records.path)) as connection, connection:
        connection.execute("DELETE FROM stubs")
    assert changed(records) == ["cffi"]


def test_what_changes_again_is_not_cleared_with_what_was_seen(records: Records) -> None:
    records.add(FULL, Seen(1))
    seen_before = records.changes()
    records.set_yank(FULL.name, FULL.version, "meanwhile")
    records.set_base(Base(1, "digest"), seen_before.until)
    assert records.changes().names == {"cffi"}
    assert records.base() == Base(1, "digest")


# what gc removed


def test_name_of_a_wheel_that_was_published_stays_taken(records: Records) -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    records.add(FULL, Seen(1))
    records.mark_published([FULL.filename], moment)
    records.remove([FULL.filename])
    assert (records.all(), records.facts(), records.of_projects([FULL.name])) == ((), [], ())
    known = records.by_filename(FULL.filename)
    assert known is not None
    assert (known.sha256, known.published_at) == (FULL.sha256, moment)
    assert records.add(FULL, Seen(2)).published_at == moment
    assert len(records.all()) == 1
