from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.errors import JobError
from wheelhouse_builder.files import EARLIEST_EPOCH
from wheelhouse_builder.sources import archives
from wheelhouse_builder.sources.archives import source_date_epoch, unpack_sdist

if TYPE_CHECKING:
    from collections.abc import Callable


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


COMPRESS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    path.write_bytes(COMPRESS[path.suffix](plain.getvalue()))
    return path


def zipped(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in members:
            archive.writestr(info, content)
    return path


FOLDER = member("foo-1.0", type=tarfile.DIRTYPE, mode=0o700)
SETUP = member("foo-1.0/setup.py", b"print()", mode=0o640, mtime=1_700_000_000)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_tar_is_unpacked_with_plain_modes_and_its_times(tmp_path: Path, suffix: str) -> None:
    program = member("foo-1.0/sub/configure", b"#!", mode=0o4775, mtime=1_700_000_001)
    archive = tar(tmp_path / f"foo-1.0.tar.{suffix}", FOLDER, SETUP, program)
    top = unpack_sdist(archive, tmp_path / "out")
    assert top == tmp_path / "out" / "foo-1.0"
    assert (top / "setup.py").read_bytes() == b"print()"
    assert stat.S_IMODE((top / "setup.py").stat().st_mode) == 0o644
    assert stat.S_IMODE((top / "sub" / "configure").stat().st_mode) == 0o755
    assert (top / "setup.py").stat().st_mtime == 1_700_000_000
    assert source_date_epoch(archive) == 1_700_000_001


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("foo-1.0/configure", (2024, 1, 2, 3, 4, 6))
    info.external_attr = 0o100755 << 16
    archive = zipped(tmp_path / "foo-1.0.zip", ("foo-1.0/", b""), (info, b"#!"))
    top = unpack_sdist(archive, tmp_path / "out")
    assert stat.S_IMODE((top / "configure").stat().st_mode) == 0o755
    assert (top / "configure").stat().st_mtime == 1_704_164_646  # 2024-01-02 03:04:06 UTC
    assert source_date_epoch(archive) >= 1_704_164_646


def test_the_last_of_two_members_of_one_name_is_kept(tmp_path: Path) -> None:
    archive = tar(tmp_path / "foo-1.0.tar.gz", member("foo-1.0/a", b"1"), member("foo-1.0/a", b"2"))
    assert (unpack_sdist(archive, tmp_path / "out") / "a").read_bytes() == b"2"


def test_links_inside_are_kept(tmp_path: Path) -> None:
    archive = tar(
        tmp_path / "foo-1.0.tar.gz",
        member("foo-1.0/sub/soft", type=tarfile.SYMTYPE, linkname="../setup.py"),
        member("foo-1.0/hard", type=tarfile.LNKTYPE, linkname="foo-1.0/setup.py"),
        SETUP,
    )
    top = unpack_sdist(archive, tmp_path / "out")
    assert (top / "sub" / "soft").readlink() == Path("../setup.py")
    assert (top / "hard").read_bytes() == (top / "sub" / "soft").read_bytes() == b"print()"


def soft(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, linkname=target)


BAD_TARS = {
    "path traversal": ("outside", [SETUP, member("foo-1.0/../../evil", b"x")]),
    "absolute path": ("outside", [SETUP, member("/tmp/evil", b"x")]),
    "folders without end": ("deeper", [SETUP, member(f"foo-1.0/{'a/' * 1800}x", b"x")]),
    "link outside": ("outside", [SETUP, soft("foo-1.0/a", "../../evil")]),
    "link to the other side of the top": ("outside", [SETUP, soft("foo-1.0/a", "../bar")]),
    "absolute link": ("outside", [SETUP, soft("foo-1.0/a", "/etc/passwd")]),
    "link that climbs out of a link": ("outside", [SETUP, soft("foo-1.0/d", "."), soft("foo-1.0/a", "d/../..")]),
    "hard link outside": ("outside", [SETUP, member("foo-1.0/a", type=tarfile.LNKTYPE, linkname="../evil")]),
    "hard link to nothing": (
        "no file of the archive",
        [SETUP, member("foo-1.0/a", type=tarfile.LNKTYPE, linkname="foo-1.0/b")],
    ),
    "hard link to a link": (
        "no file of the archive",
        [SETUP, soft("foo-1.0/b", "setup.py"), member("foo-1.0/a", type=tarfile.LNKTYPE, linkname="foo-1.0/b")],
    ),
    "file below a link": ("directory should be", [SETUP, soft("foo-1.0/a", "."), member("foo-1.0/a/b", b"x")]),
    "file below a file": ("below a file", [SETUP, member("foo-1.0/setup.py/b", b"x")]),
    "file over a directory": ("directory should be", [FOLDER, SETUP, member("foo-1.0/a/b", b""), member("foo-1.0/a")]),
    "link at the top": ("directory should be", [soft("foo-1.0", ".")]),
    "device": ("neither a file", [SETUP, member("foo-1.0/null", type=tarfile.CHRTYPE)]),
    "pipe": ("neither a file", [SETUP, member("foo-1.0/pipe", type=tarfile.FIFOTYPE)]),
    "two tops": ("2 entries at its top", [SETUP, member("bar-1.0/setup.py", b"x")]),
    "file at the top": ("directory should be", [SETUP, member("evil.py", b"x")]),
    "nothing": ("0 entries at its top", []),
}


@pytest.mark.parametrize("defect", BAD_TARS)
def test_a_bad_tar_is_refused(tmp_path: Path, defect: str) -> None:
    problem, members = BAD_TARS[defect]
    archive = tar(tmp_path / "foo-1.0.tar.gz", *members)
    with pytest.raises(JobError, match=problem) as error:
        unpack_sdist(archive, tmp_path / "a" / "out")
    assert error.value.message.startswith("foo-1.0.tar.gz is refused: ")
    assert {path.name for path in tmp_path.iterdir()} <= {"foo-1.0.tar.gz", "a"}
    assert {path.name for path in tmp_path.glob("a/*")} <= {"out"}


def link_info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


BAD_ZIPS: dict[str, tuple[str, list[tuple[zipfile.ZipInfo | str, bytes]]]] = {
    "path traversal": ("outside", [("foo-1.0/../../evil", b"x")]),
    "absolute path": ("outside", [("/evil", b"x")]),
    "link": ("neither a file", [(link_info("foo-1.0/a"), b"/etc/passwd")]),
    "two tops": ("2 entries", [("foo-1.0/a", b"x"), ("bar/a", b"x")]),
}


@pytest.mark.parametrize("defect", BAD_ZIPS)
def test_a_bad_zip_is_refused(tmp_path: Path, defect: str) -> None:
    problem, members = BAD_ZIPS[defect]
    with pytest.raises(JobError, match=problem):
        unpack_sdist(zipped(tmp_path / "foo-1.0.zip", *members), tmp_path / "a" / "out")
    assert not (tmp_path / "evil").exists()


def test_a_zip_bomb_is_stopped_while_it_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "RATIO_FREE_BYTES", 1000)
    zeros = bytes(10_000_000)
    for archive in (
        tar(tmp_path / "foo-1.0.tar.gz", member("foo-1.0/zeros", zeros)),
        zipped(tmp_path / "foo-1.0.zip", ("foo-1.0/zeros", zeros)),
    ):
        with pytest.raises(JobError, match="zip bomb"):
            unpack_sdist(archive, tmp_path / archive.suffix)
        assert (tmp_path / archive.suffix / "foo-1.0" / "zeros").stat().st_size < len(zeros)


def test_size_and_number_of_members_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tar(tmp_path / "foo-1.0.tar.gz", FOLDER, SETUP, member("foo-1.0/a", b"12345"))
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 11)
    with pytest.raises(JobError, match="unpacks to more than"):
        unpack_sdist(archive, tmp_path / "1")
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    with pytest.raises(JobError, match="more than 2 members"):
        unpack_sdist(archive, tmp_path / "2")


@pytest.mark.parametrize("name", ["foo-1.0.tar.gz", "foo-1.0.zip"])
@pytest.mark.parametrize("keep", [0, 20, -20])
def test_a_truncated_archive_is_damaged(tmp_path: Path, name: str, keep: int) -> None:
    content = os.urandom(100_000)
    path = tmp_path / name
    archive = tar(path, member("foo-1.0/a", content)) if name.endswith("gz") else zipped(path, ("foo-1.0/a", content))
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(JobError, match="damaged archive"):
        unpack_sdist(archive, tmp_path / "out")


def test_flipped_bits_in_a_zip_are_seen(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "foo-1.0.zip", ("foo-1.0/a", os.urandom(1000)))
    content = bytearray(archive.read_bytes())
    content[500] ^= 1
    archive.write_bytes(content)
    with pytest.raises(JobError, match="damaged archive"):
        unpack_sdist(archive, tmp_path / "out")


def test_no_epoch_is_before_1980(tmp_path: Path) -> None:
    assert source_date_epoch(tar(tmp_path / "foo-1.0.tar.gz", member("foo-1.0/a", mtime=0))) == EARLIEST_EPOCH
