"""Wheels that were damaged or made by somebody with bad intent: an error of ours, whatever `zipfile` stumbles over."""

from __future__ import annotations

import contextlib
import errno
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wheels import make_wheel
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.files import reading_zip
from wheelhouse_builder.repair.record import require_record
from wheelhouse_builder.target import Target
from wheelhouse_builder.verify.loader import check_loader
from wheelhouse_builder.wheelhouse.store import record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TARGET = Target.parse("cp312-musllinux_1_2_x86_64")
EXTENSION = Path(__file__).parents[1] / "data/elf/extension-x86_64.so"
RECORD = "demo-1.0.dist-info/RECORD"


def repacked(wheel: Path, compression: int, changes: Mapping[str, bytes | None] | None = None) -> Path:
    """The wheel with other compression, and with members changed, added or (None) left out."""
    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w", compression) as archive:
        for name, data in {**content, **(changes or {})}.items():
            if data is not None:
                archive.writestr(name, data)
    return wheel


@pytest.fixture(scope="module", params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    made = make_wheel(folder, tag=f"cp312-{TARGET}", files={"demo.so": EXTENSION.read_bytes()})
    return repacked(made, request.param)


def look_at(wheel: Path) -> None:
    """All that reads a wheel on its way into the wheelhouse."""
    looks: list[Callable[[], object]] = [
        lambda: record_of(wheel, origin="uploaded"),
        lambda: require_record(wheel),
        lambda: check_loader(wheel, TARGET),
    ]
    for look in looks:
        with contextlib.suppress(JobError):
            look()


def test_the_wheel_is_whole(wheel: Path) -> None:
    record_of(wheel, origin="built")
    require_record(wheel)
    assert "libdep.so.1" in check_loader(wheel, TARGET).problems[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_damage_anywhere_is_an_error_of_ours(wheel: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(wheel.read_bytes())
    end = len(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, end - 1) | st.integers(0, 300) | st.integers(end - 700, end - 1))
        content[at] = data.draw(st.sampled_from([0, 255]) | st.integers(0, 255))
    damaged = tmp_path / wheel.name
    damaged.write_bytes(content[: data.draw(st.integers(end - 50, end))])
    look_at(damaged)


@pytest.mark.parametrize(
    "error",
    [zipfile.BadZipFile("x"), EOFError("x"), NotImplementedError("x"), UnicodeDecodeError("utf-8", b"", 0, 1, "x")],
)
def test_damage_is_told_with_its_place(error: Exception) -> None:
    with pytest.raises(JobError, match=r"a\.whl is damaged: .*x"), reading_zip("a.whl is damaged"):
        raise error


def test_errors_of_the_disk_are_not_taken_for_damage() -> None:
    with pytest.raises(OSError, match="Input/output error"), reading_zip("a.whl is damaged"):
        raise OSError(errno.EIO, "Input/output error")


# RECORD


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"added.py": b""}, "added.py is not in RECORD"),
        ({"demo.py": None}, "demo.py is in RECORD only"),
        ({RECORD: None}, f"has no {RECORD}"),
        ({"demo-1.0.dist-info/WHEEL": None}, "has no demo-1.0.dist-info/WHEEL"),
        ({RECORD: b"demo.py,sha256=AAAA,12"}, "METADATA is not in RECORD"),
        ({RECORD: b"demo.py,,\ndemo.py,,"}, "lists a file twice"),
        ({RECORD: b"demo.py,"}, "cannot be read"),
        ({RECORD: b"\xff,,"}, "cannot be read"),
    ],
)
def test_record_is_held_against_what_is_there(
    tmp_path: Path, changes: Mapping[str, bytes | None], message: str
) -> None:
    wheel = repacked(make_wheel(tmp_path), zipfile.ZIP_DEFLATED, changes)
    with pytest.raises(JobError, match=message):
        require_record(wheel)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("sha256=AAAA,", "demo.py is not what RECORD says"),
        (",13", "demo.py is not what RECORD says"),
        ("md5=AAAA,", "a hash of the kind 'md5'"),
        ("sha256=eqTw7ch_xLfczu17pcLGw5KoEkEiRtx8SQB6A8qAJdY,12", "demo.py is not what RECORD says"),
    ],
)
def test_hashes_and_sizes_in_record_have_to_be_right(tmp_path: Path, row: str, message: str) -> None:
    others = "".join(f"demo-1.0.dist-info/{name},,\n" for name in ("METADATA", "WHEEL", "RECORD"))
    wheel = repacked(make_wheel(tmp_path), zipfile.ZIP_STORED, {RECORD: f"demo.py,{row}\n{others}".encode()})
    with pytest.raises(JobError, match=message):
        require_record(wheel)


def test_signatures_need_not_be_listed(tmp_path: Path) -> None:
    wheel = repacked(make_wheel(tmp_path), zipfile.ZIP_STORED, {"demo-1.0.dist-info/RECORD.jws": b"signed"})
    require_record(wheel)


def test_a_record_as_whb_writes_it_is_right(tmp_path: Path) -> None:
    from wheelhouse_builder.repair.canonical import canonicalise

    (tmp_path / "out").mkdir()
    require_record(canonicalise(make_wheel(tmp_path), tmp_path / "out", epoch=0))
