from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from wheelhouse_builder.errors import JobError
from wheelhouse_builder.files import CHUNK_BYTES, raise_disk_error, settle, sha256_of, write_atomically


def test_the_digest_is_over_the_whole_file(tmp_path: Path) -> None:
    content = b"x" * (CHUNK_BYTES + 1)
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, b"old")
    with path.open("rb") as reader:
        write_atomically(path, b"new content", mode=0o755)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new content"
    assert path.stat().st_mode & 0o777 == 0o755
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_gets_its_name_once_all_in_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, final = tmp_path / "made", tmp_path / "final"
    (made / "lib").mkdir(parents=True)
    (made / "lib/a.so").write_bytes(b"a")
    (made / "link").symlink_to("nowhere")
    flushed: list[str] = []

    def flush(handle: int) -> None:
        flushed.append(f"{Path(f'/proc/self/fd/{handle}').readlink().relative_to(tmp_path)} {final.exists()}")

    monkeypatch.setattr(os, "fsync", flush)
    settle(made, final)
    assert sorted(flushed[:-1]) == ["made False", "made/lib False", "made/lib/a.so False"]
    assert flushed[-1] == ". True"
    assert (final / "lib/a.so").read_bytes() == b"a"


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="Input/output"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "no space left on the disk for"), (errno.EROFS, "Read-only file system")]
)
def test_a_disk_that_refuses_is_named(number: int, message: str) -> None:
    with pytest.raises(JobError, match=message) as error:
        raise_disk_error(OSError(number, "Read-only file system"), Path("/cache/file"))
    assert "/cache/file" in error.value.message
