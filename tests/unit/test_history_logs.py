from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.history.logs import keep_log, prune_logs, read_log

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 29, 3, 0, 0, 250, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "job.log"
    path.write_bytes(b"fetching https://me:secret@host/x?sig=secret\n\xff\n")
    return path


def test_a_log_is_kept_packed_and_fit_to_be_shown(tmp_path: Path, log: Path) -> None:
    folder = tmp_path / "attempts"
    name = keep_log(log, folder, "cffi-2.1.1-cp312", NOW)
    assert name == "cffi-2.1.1-cp312.20261129T030000.000250Z.log.zst"
    assert read_log(folder / name) == "fetching https://***@host/x?***\n\N{REPLACEMENT CHARACTER}\n"
    assert [path.name for path in folder.iterdir()] == [name]


def test_of_an_empty_log_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    for name in ("empty.log", "missing.log"):
        assert keep_log(tmp_path / name, tmp_path / "attempts", "job", NOW) is None
    assert not (tmp_path / "attempts").exists()


def test_every_kind_of_log_is_read(tmp_path: Path, log: Path) -> None:
    assert read_log(log).startswith("fetching https://me:secret@")
    (tmp_path / "wheel.log.gz").write_bytes(gzip.compress(b"text"))
    assert read_log(tmp_path / "wheel.log.gz") == "text"


@pytest.mark.parametrize("suffix", [".zst", ".gz"])
@pytest.mark.parametrize("content", [b"no packed file", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd"])
def test_a_damaged_log_is_told_as_such(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"job.log{suffix}"
    path.write_bytes(content)
    with pytest.raises(OSError):  # noqa: PT011 - gzip has its own kind of it
        read_log(path)


def test_logs_that_nothing_names_go_once_they_are_old(tmp_path: Path, log: Path) -> None:
    names = [keep_log(log, tmp_path / "attempts", f"job{number}", NOW) for number in range(3)]
    old, named, new = map(str, names)
    (tmp_path / "attempts" / ".half").touch()  # of a run that was killed
    os.utime(tmp_path / "attempts" / ".half", (0, 0))
    (tmp_path / "wheels").mkdir()
    of_wheel, plain = tmp_path / "wheels" / "x.log.gz", tmp_path / "old.log"
    for path in (of_wheel, plain):
        path.touch()
    for path in (tmp_path / "attempts" / old, tmp_path / "attempts" / named, of_wheel, plain):
        os.utime(path, (0, 0))
    prune_logs(tmp_path, {named}, plain=NOW, packed=NOW)
    assert {path.name for path in (tmp_path / "attempts").iterdir()} == {named, new}
    assert (log.exists(), of_wheel.exists(), plain.exists()) == (True, True, False)
    prune_logs(tmp_path / "missing", (), plain=NOW, packed=NOW)


def test_a_plain_log_goes_before_the_packed_one(tmp_path: Path, log: Path) -> None:
    kept = keep_log(log, tmp_path / "attempts", "job", NOW)
    prune_logs(tmp_path, (), plain=NOW + timedelta(days=1), packed=NOW - timedelta(days=9999))
    assert [path.name for path in (tmp_path / "attempts").iterdir()] == [kept]
    assert not log.exists()
