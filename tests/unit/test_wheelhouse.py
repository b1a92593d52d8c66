from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import tempfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import parse_wheel_filename

from tests.wheels import make_wheel
from wheelhouse_builder.errors import Cancelled, DamagedError, JobError, MachineError, UsageError
from wheelhouse_builder.events import Event, Note
from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.verification import find_wheels
from wheelhouse_builder.wheelhouse import disk
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.lock import read_holder
from wheelhouse_builder.wheelhouse.soundness import Trouble
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of, require_admissible

if TYPE_CHECKING:
    from wheelhouse_builder.wheelhouse.stored import StoredWheel

MUSL = "cp312-cp312-musllinux_1_2_aarch64"


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return Wheelhouse(tmp_path / "wheelhouse")


def wheel_with(tmp_path: Path, content: bytes = b"1", *, name: str = "demo", tag: str = MUSL) -> Path:
    folder = tempfile.mkdtemp(dir=tmp_path)
    return make_wheel(Path(folder), name=name, tag=tag, files={f"{name}.py": content})


def admit(house: Wheelhouse, wheel: Path, origin: str = "built") -> StoredWheel:
    return house.admit(wheel, record_of(wheel, origin=origin))


def names(house: Wheelhouse) -> list[str]:
    return sorted(path.name for path in house.root.glob("*.whl"))


# admission


def test_admitted_wheel_has_its_sidecar_and_record(house: Wheelhouse, tmp_path: Path) -> None:
    wheel = wheel_with(tmp_path)
    with house.lock():
        stored = house.admit(wheel, record_of(wheel, origin="built", engine="cross", request_key="k"))
    path = house.root / wheel.name
    assert path.read_bytes() == wheel.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o644
    with zipfile.ZipFile(wheel) as opened:
        metadata = opened.read("demo-1.0.dist-info/METADATA")
    assert (house.root / f"{wheel.name}.metadata").read_bytes() == metadata
    assert house.wheels() == (stored,)
    assert (stored.sha256, stored.size) == (sha256_of(wheel), wheel.stat().st_size)
    assert (stored.requires_python, stored.engine, stored.request_key) == (">=3.8", "cross", "k")
    assert house.check() == []


def test_same_content_is_no_news_but_the_record_is(house: Wheelhouse, tmp_path: Path) -> None:
    wheel = wheel_with(tmp_path)
    with house.lock():
        admit(house, wheel)
        before = (house.root / wheel.name).stat()
        again = house.admit(wheel, record_of(wheel, origin="built", request_key="new"))
    after = (house.root / wheel.name).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert house.wheels() == (again,)
    assert again.request_key == "new"


def test_rebuild_with_other_content_gets_build_tags(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        first = admit(house, wheel_with(tmp_path, b"1"))
        second = admit(house, wheel_with(tmp_path, b"2"))
        third = admit(house, wheel_with(tmp_path, b"3"))
        again = admit(house, wheel_with(tmp_path, b"2"))
    assert [parse_wheel_filename(wheel.filename)[2] for wheel in (first, second, third)] == [(), (1, ""), (2, "")]
    assert again == second
    assert len(house.wheels()) == 3
    assert house.check() == []


def test_rebuild_of_a_wheel_whose_name_is_spelled_otherwise_gets_a_build_tag(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        admit(house, wheel_with(tmp_path, b"1", name="Demo"), origin="fetched")
        assert admit(house, wheel_with(tmp_path, b"2")).filename == f"demo-1.0-1-{MUSL}.whl"
        assert admit(house, wheel_with(tmp_path, b"2")).filename == f"demo-1.0-1-{MUSL}.whl"


def test_fetched_wheel_with_other_content_is_refused(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        admit(house, wheel_with(tmp_path, b"1"), "fetched")
        with pytest.raises(JobError, match="other content") as caught:
            admit(house, wheel_with(tmp_path, b"2"), "fetched")
    assert caught.value.hint
    assert (house.root / names(house)[0]).read_bytes() == wheel_with(tmp_path, b"1").read_bytes()


def test_name_that_clients_know_is_not_given_to_other_content(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        first = admit(house, wheel_with(tmp_path, b"1"))
        publish(house, {})
        (house.root / first.filename).unlink()
        second = admit(house, wheel_with(tmp_path, b"2"))
    assert second.filename == "demo-1.0-1-cp312-cp312-musllinux_1_2_aarch64.whl"


def test_wheel_that_nobody_recorded_is_not_overwritten(house: Wheelhouse, tmp_path: Path) -> None:
    foreign = wheel_with(tmp_path, b"foreign")
    with house.lock():
        shutil.copyfile(foreign, house.root / foreign.name)
        stored = admit(house, wheel_with(tmp_path, b"1"))
    assert stored.filename == "demo-1.0-1-cp312-cp312-musllinux_1_2_aarch64.whl"
    assert (house.root / foreign.name).read_bytes() == foreign.read_bytes()


def test_wheel_without_a_record_is_adopted_when_it_comes_again(house: Wheelhouse, tmp_path: Path) -> None:
    wheel = wheel_with(tmp_path)
    with house.lock():
        shutil.copyfile(wheel, house.root / wheel.name)
        stored = admit(house, wheel)
    assert stored.filename == wheel.name
    assert house.wheels() == (stored,)


@pytest.mark.parametrize(
    "tag",
    [
        "py3-none-linux_aarch64",
        "py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64",
        "py3-none-macosx_11_0_arm64",
        "py3-none-win_amd64",
        "py3-none-musllinux_1_2_ppc64le",
        "py3-none-linux_aarch64.musllinux_1_2_aarch64",
        "py3-none-any.linux_x86_64",
    ],
)
def test_foreign_wheels_are_refused(house: Wheelhouse, tmp_path: Path, tag: str) -> None:
    wheel = wheel_with(tmp_path, tag=tag)
    with house.lock(), pytest.raises(JobError, match="not for musl"):
        admit(house, wheel)
    assert names(house) == []


@pytest.mark.parametrize(
    "tag",
    ["py3-none-any", MUSL, "cp311-abi3-musllinux_1_1_x86_64", "py3-none-manylinux2014_x86_64.musllinux_1_1_x86_64"],
)
def test_musl_wheels_are_admissible(tag: str) -> None:
    require_admissible(f"demo-1.0-{tag}.whl")


@given(st.text())
def test_no_odd_name_is_admissible(text: str) -> None:
    with pytest.raises(JobError):
        require_admissible(f"../{text}")


@pytest.mark.parametrize("part", ["1../../x", "1/x", "1\0", "1<b>", "1 ", "1\\x", "1é"])
def test_a_build_tag_is_no_path_and_no_markup(part: str) -> None:
    """`packaging` takes anything after the number."""
    with pytest.raises(JobError, match="ASCII letters"):
        require_admissible(f"demo-1.0-{part}-py3-none-any.whl")


@given(st.text(alphabet="a1./\\\0<é-_ ", max_size=30))
def test_an_admissible_name_is_one_plain_file_name(text: str) -> None:
    filename = f"demo-1.0-{text}-py3-none-any.whl"
    try:
        require_admissible(filename)
    except JobError:
        return
    assert filename.isascii()
    assert not set(filename) & set("/\\\0< ")


def test_threads_may_admit_at_once(house: Wheelhouse, tmp_path: Path) -> None:
    wheels = [wheel_with(tmp_path, bytes([number]), name=f"demo{number % 4}") for number in range(16)]
    with house.lock(), ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda wheel: admit(house, wheel), wheels))
    assert len({wheel.filename for wheel in stored}) == 16
    assert house.check(thorough=True) == []


# damage


def test_changed_wheel_is_damage(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        stored = admit(house, wheel_with(tmp_path))
    path = house.root / stored.filename
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.unlink()
    path.write_bytes(content)
    (problem,) = house.check()
    assert (problem.path, problem.trouble) == (path, Trouble.CHANGED)
    with pytest.raises(DamagedError, match="damaged") as caught:
        house.require_sound()
    assert caught.value.exit_code == 5
    assert f"rm {path}" in (caught.value.hint or "")


def test_verify_looks_at_the_records_first(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        stored = admit(house, wheel_with(tmp_path))
    assert find_wheels([house.root]) == (house.root / stored.filename,)
    with (house.root / stored.filename).open("ab") as wheel:  # a zip with something after its end opens as before
        wheel.write(b"x")
    with pytest.raises(DamagedError, match=stored.filename):
        find_wheels([house.root])


def test_remedy_for_damage_works(house: Wheelhouse, tmp_path: Path) -> None:
    wheel = wheel_with(tmp_path)
    with house.lock():
        stored = admit(house, wheel)
        publish(house, {})
    path = house.root / stored.filename
    path.unlink()
    assert house.wheels() == ()
    assert [problem.trouble for problem in house.check()] == [Trouble.MISSING]
    house.require_sound()
    with house.lock():
        again = admit(house, wheel)
    assert again.filename == stored.filename
    assert house.check() == []


def test_same_size_and_time_are_not_looked_into_unless_thorough(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        stored = admit(house, wheel_with(tmp_path))
    path = house.root / stored.filename
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert house.check() == []
    assert [problem.trouble for problem in house.check(thorough=True)] == [Trouble.CHANGED]


def test_touched_wheel_is_no_damage(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        stored = admit(house, wheel_with(tmp_path))
    os.utime(house.root / stored.filename, (1, 1))
    assert house.check() == []


def test_copied_wheelhouse_is_looked_into_once(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        stored = admit(house, wheel_with(tmp_path))
        os.utime(house.root / stored.filename, (1, 1))
        assert house.check() == []
    (facts,) = house.records.facts()
    assert (facts.filename, facts.seen.mtime_ns) == (stored.filename, 1_000_000_000)


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"Name: other")])
def test_wrong_sidecar_is_damage(house: Wheelhouse, tmp_path: Path, harm: object) -> None:
    assert callable(harm)
    with house.lock():
        stored = admit(house, wheel_with(tmp_path))
    harm(house.root / f"{stored.filename}.metadata")
    assert [problem.trouble for problem in house.check()] == [Trouble.CHANGED]


def test_foreign_wheel_is_told(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        shutil.copyfile(wheel_with(tmp_path), house.root / "demo-1.0-py3-none-linux_aarch64.whl")
    (problem,) = house.check()
    assert problem.trouble is Trouble.FOREIGN
    assert "does not publish it" in str(problem)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no demo-1.0.dist-info/METADATA"),
        ({"demo-1.0.dist-info/METADATA": b"x" * 17_000_000}, "no honest file"),
    ],
)
def test_wheel_without_honest_metadata_is_refused(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in {"demo-1.0.dist-info/WHEEL": b"", **files}.items():
            opened.writestr(name, content)
    with pytest.raises(JobError, match=message):
        record_of(path, origin="built")


# the folder and the disk


def test_a_file_cannot_be_a_wheelhouse(tmp_path: Path) -> None:
    root = tmp_path / "wheelhouse"
    root.touch()
    with pytest.raises(UsageError, match="cannot be a wheelhouse"), Wheelhouse(root).lock():
        pass


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.EROFS, "writable"), (errno.EACCES, "writable"), (errno.ENOSPC, "free some space")]
)
def test_refusals_of_the_disk_are_told(
    house: Wheelhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    with house.lock():
        monkeypatch.setattr(disk, "write", refuse)
        with pytest.raises(MachineError, match=os.strerror(number)) as caught:
            admit(house, wheel_with(tmp_path))
    assert hint in (caught.value.hint or "")
    assert caught.value.exit_code == 4
    assert names(house) == []


def test_what_happens_under_the_lock_keeps_its_own_error(house: Wheelhouse) -> None:
    with pytest.raises(FileNotFoundError), house.lock():
        (house.root / "nothing").read_bytes()


def test_a_wheel_that_is_damaged_here_is_whole_where_it_came_from(house: Wheelhouse, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    before = wheel.read_bytes()
    with house.lock():
        house.admit(wheel, record_of(wheel, origin="fetched"))
    (house.root / wheel.name).write_bytes(b"damaged in place")
    assert wheel.read_bytes() == before


def test_leftovers_are_cleared_by_the_next_writer(house: Wheelhouse) -> None:
    with house.lock():
        (house.scratch / "left").mkdir()
        (house.scratch / "left" / "wheel").touch()
    with house.lock():
        assert list(house.scratch.iterdir()) == []


EFFECTS = ("write", "copy", "rename")


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_admission_that_dies_leaves_nothing_or_a_whole_wheel(
    house: Wheelhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effect: str, when: str
) -> None:
    wheel = wheel_with(tmp_path)
    real = getattr(disk, effect)

    def dying(*args: object) -> None:
        if when == "after":
            real(*args)
        raise KeyboardInterrupt

    with house.lock(), monkeypatch.context() as patch:
        patch.setattr(disk, effect, dying)
        with pytest.raises(KeyboardInterrupt):
            admit(house, wheel)
    assert all((house.root / name).read_bytes() == wheel.read_bytes() for name in names(house))
    assert [known.filename for known in house.wheels()] == names(house)
    assert house.check() == []
    with house.lock():
        stored = admit(house, wheel)
    assert house.wheels() == (stored,)
    assert names(house) == [wheel.name]
    assert house.check(thorough=True) == []


def test_no_wheel_is_there_without_a_record(house: Wheelhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's `--find-links` would see it."""

    def dying(*args: object) -> None:
        raise KeyboardInterrupt

    with house.lock(), monkeypatch.context() as patch:
        patch.setattr(house.records, "add", dying)
        with pytest.raises(KeyboardInterrupt):
            admit(house, wheel_with(tmp_path))
    assert names(house) == []
    assert house.wheels() == ()


# the lock


def test_the_second_writer_is_told_who_holds_the_lock(house: Wheelhouse) -> None:
    seen: list[Event] = []
    with house.lock():
        holder = read_holder(house.state / "lock")
        assert holder is not None
        assert holder.pid == os.getpid()
        with pytest.raises(MachineError, match=f"in use by process {os.getpid()} on "), house.lock(wait=0):
            pass
        with (
            pytest.raises(MachineError, match=str(house.root)),
            Wheelhouse(house.root).lock(wait=0.1, listener=seen.append),
        ):
            pass
    assert [type(event) for event in seen] == [Note]
    assert read_holder(house.state / "lock") is None


def test_waiting_ends_when_the_lock_is_free(house: Wheelhouse) -> None:
    free, waiting = threading.Event(), threading.Event()

    def hold() -> None:
        with house.lock():
            waiting.set()
            free.wait(30)

    first = threading.Thread(target=hold)
    first.start()
    assert waiting.wait(30)
    with Wheelhouse(house.root).lock(wait=30, listener=lambda _: free.set()):
        assert free.is_set()
    first.join(30)


def test_waiting_can_be_cancelled(house: Wheelhouse) -> None:
    canceller = Canceller()
    waiting = Wheelhouse(house.root).lock(listener=lambda _: canceller.cancel(), canceller=canceller)
    with house.lock(), pytest.raises(Cancelled), waiting:
        pass


def test_reading_makes_nothing(house: Wheelhouse) -> None:
    assert house.wheels() == ()
    assert house.check() == []
    house.require_sound()
    assert not house.root.exists()


def test_record_keeps_what_it_was_told(house: Wheelhouse, tmp_path: Path) -> None:
    wheel = wheel_with(tmp_path)
    wrong = dataclasses.replace(record_of(wheel, origin="built"), sha256="0" * 64, size=1)
    with house.lock():
        assert house.admit(wheel, wrong).sha256 == sha256_of(wheel)
