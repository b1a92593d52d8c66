"""The build cache: whole builds or none."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.wheels import make_wheel
from wheelhouse_builder.builds import Build, Builds, build_key, packed_log, request_key
from wheelhouse_builder.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path


def stored(folder: Path, builds: Builds, key: str = "k1", **about: str) -> Build:
    (folder / key).mkdir()
    wheel = make_wheel(folder / key, **about)  # type: ignore[arg-type]  # only text is given
    build = Build(
        filename=wheel.name,
        sha256=sha256_of(wheel),
        size=wheel.stat().st_size,
        source_sha256="a" * 64,
        request_key=key,
        build_key=build_key(key, "setuptools==80"),
        built_for="cp312-musllinux_1_2_aarch64",
        engine="cross",
        seconds=1.5,
        native=False,
    )
    builds.add(wheel, build, "setuptools==80\n")
    return build


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    return Builds(tmp_path / "cache")


def test_what_was_added_is_there(tmp_path: Path, builds: Builds) -> None:
    build = stored(tmp_path, builds)
    assert builds.all() == (build,)
    path = builds.path(build)
    assert path is not None
    assert sha256_of(path) == build.sha256
    assert builds.lock("k1") == "setuptools==80\n"
    assert builds.lock("k2") is None


def test_a_changed_wheel_is_no_build_any_more(tmp_path: Path, builds: Builds) -> None:
    build = stored(tmp_path, builds)
    path = builds.path(build)
    assert path is not None
    path.write_bytes(b"something else")
    assert builds.path(build) is None
    assert builds.all() == ()


def test_a_folder_without_its_record_is_no_build(tmp_path: Path, builds: Builds) -> None:
    build = stored(tmp_path, builds)
    path = builds.path(build)
    assert path is not None
    (path.parent / "build.json").write_text("{")
    assert builds.all() == ()


def test_the_same_key_again_takes_the_place_of_the_first(tmp_path: Path, builds: Builds) -> None:
    stored(tmp_path, builds, name="first")
    (tmp_path / "again").mkdir()
    second = stored(tmp_path / "again", builds, name="second")
    assert builds.all() == (second,)


def test_what_another_process_does_meanwhile_is_seen(tmp_path: Path, builds: Builds) -> None:
    """Though what was read once is not read again."""
    first = stored(tmp_path, builds)
    assert builds.all() == (first,)
    (tmp_path / "again").mkdir()
    other = Builds(tmp_path / "cache")
    second, third = stored(tmp_path / "again", other, name="second"), stored(tmp_path / "again", other, "k2")
    assert builds.all() == (second, third)
    shutil.rmtree(tmp_path / "cache/builds/k1")
    assert builds.all() == (third,)


def test_a_failure_leaves_nothing(tmp_path: Path, builds: Builds) -> None:
    build = stored(tmp_path, builds)
    with pytest.raises(FileNotFoundError):
        builds.add(tmp_path / "missing.whl", replace(build, request_key="k2"), "")
    assert builds.all() == (build,)
    assert [path.name for path in (tmp_path / "cache/builds").iterdir()] == ["k1"]


def test_every_input_is_part_of_the_keys() -> None:
    inputs = {"source": "a", "target": "t"}
    assert request_key(inputs) == request_key(dict(reversed(inputs.items())))
    assert len({request_key(inputs), request_key({**inputs, "zig": "1"}), request_key({**inputs, "target": "u"})}) == 3
    assert build_key("k", "a==1") != build_key("k", "a==2")


def test_a_log_is_kept_with_its_build(tmp_path: Path, builds: Builds) -> None:
    first = stored(tmp_path, builds)
    assert builds.log(first) is None
    log = tmp_path / "job.log"
    log.write_text("fetching https://me:secret@host/x?sig=secret\ndone\n")
    wheel = make_wheel(tmp_path)
    second = replace(first, request_key="k2", sha256=sha256_of(wheel))
    builds.add(wheel, second, "", packed_log(log))
    kept = builds.log(second)
    assert kept is not None
    assert gzip.decompress(kept.read_bytes()).decode() == "fetching https://***@host/x?***\ndone\n"
    assert packed_log(log) == packed_log(log)


def test_of_a_huge_log_both_ends_are_kept_in_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    line = "https://me:secret@host/some/place\n"
    log.write_text("first\n" + line * 200_000 + "last\n")
    text = gzip.decompress(packed_log(log)).decode()
    assert text.startswith("first\n")
    assert text.endswith("\nlast\n")
    assert len(text) < 5 << 20
    assert "secret" not in text
    rest = {line for line in text.splitlines() if "left out" not in line}
    assert rest == {"first", "https://***@host/some/place", "last"}
    (told,) = {line for line in text.splitlines() if "left out" in line}
    assert told == f"[{int(told[1:].split()[0])} bytes are left out here]"
