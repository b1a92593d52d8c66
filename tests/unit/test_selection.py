from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.locks import GLIBC, LINUX, MUSL, OLD_MUSL, PURE, SDIST, TARGET, file, lock, wheels
from wheelhouse_builder.artifact import Sdist, SourceTree, Wheel
from wheelhouse_builder.requirements.format_control import FormatControl
from wheelhouse_builder.resolve.selection import Selection, select

if TYPE_CHECKING:
    from pathlib import Path

ANY = FormatControl()


def chosen(*lines: str, control: FormatControl = ANY) -> Selection:
    (selection,) = select(lock("\n".join(lines)), control)
    return selection


@pytest.mark.parametrize(
    ("lines", "filename"),
    [
        ([SDIST, wheels(OLD_MUSL, MUSL, PURE)], "cffi-2.1.1-cp312-cp312-musllinux_1_2_aarch64.whl"),
        ([SDIST, wheels(PURE, OLD_MUSL)], "cffi-2.1.1-cp312-cp312-musllinux_1_1_aarch64.whl"),
        ([SDIST, wheels(PURE)], "cffi-2.1.1-py3-none-any.whl"),
        ([SDIST, wheels(GLIBC)], "cffi-2.1.1.tar.gz"),
        ([SDIST, wheels(LINUX)], "cffi-2.1.1.tar.gz"),  # pip would take it; nothing says which libc it is for
        ([SDIST], "cffi-2.1.1.tar.gz"),
    ],
)
def test_the_best_wheel_that_fits_else_the_sdist(lines: list[str], filename: str) -> None:
    choice = chosen(*lines).choice
    assert isinstance(choice, Wheel if filename.endswith(".whl") else Sdist)
    assert choice.filename == filename
    assert choice.url == f"https://host/files/{filename}"


def test_no_binary_builds_though_a_wheel_fits() -> None:
    selection = chosen(SDIST, wheels(MUSL), control=FormatControl.parse(no_binary=["cffi"]))
    assert isinstance(selection.choice, Sdist)
    assert "--no-binary" in selection.reason


def test_only_binary_takes_the_wheel() -> None:
    assert isinstance(chosen(SDIST, wheels(MUSL), control=FormatControl.parse(only_binary=[":all:"])).choice, Wheel)


@pytest.mark.parametrize(
    ("lines", "control", "reasons"),
    [
        ([wheels(PURE)], FormatControl.parse(no_binary=[":all:"]), ["--no-binary", "no sdist"]),
        ([SDIST], FormatControl.parse(only_binary=["cffi"]), ["--only-binary", "no wheel"]),
        ([SDIST, wheels(GLIBC)], FormatControl.parse(only_binary=["cffi"]), ["manylinux_2_28", "--only-binary"]),
        ([wheels(GLIBC, LINUX)], ANY, [str(TARGET), "manylinux_2_28_aarch64", "linux_aarch64", "no sdist"]),
        ([SDIST, 'requires-python = ">=3.13"'], ANY, ["Python >=3.13"]),
        (['vcs = { type = "git", url = "https://host/x.git", commit-id = "1" }'], ANY, ["version control"]),
        ([f"archive = {file('cffi-2.1.1.exe', 'a')}"], ANY, ["cffi-2.1.1.exe"]),
        ([f"archive = {GLIBC}"], ANY, ["does not fit", "sdist"]),
        ([f"archive = {file('x.whl', 'a')}"], ANY, ["x.whl"]),
        ([f"archive = {SDIST[8:-2]}, subdirectory = 'x' }}"], ANY, ["subdirectory"]),
        (['sdist = { url = "https://host/cffi-2.1.1.tar.gz", hashes = { sha512 = "1" } }'], ANY, ["no sha256"]),
        (['directory = { path = "/not/there" }'], ANY, ["/not/there"]),
    ],
)
def test_what_cannot_be_had_says_why(lines: list[str], control: FormatControl, reasons: list[str]) -> None:
    selection = chosen(*lines, control=control)
    assert selection.choice is None
    assert all(reason in selection.reason for reason in reasons), selection.reason


def test_one_impossible_package_does_not_hide_the_others() -> None:
    both = lock(wheels(GLIBC), f'name = "foo"\nversion = "1.0"\nsdist = {file("foo-1.0.zip", "a")}')
    assert [(s.name, s.choice is None) for s in select(both, ANY)] == [("cffi", True), ("foo", False)]


def test_a_package_for_other_targets_is_left_out() -> None:
    assert not list(select(lock("marker = \"sys_platform == 'win32'\"\n" + SDIST), ANY))
    assert list(select(lock("marker = \"platform_machine == 'aarch64'\"\n" + SDIST), ANY))


def test_direct_archives_and_directories(tmp_path: Path) -> None:
    archive = chosen('archive = { path = "/my dir/main.zip", hashes = { sha256 = "1" } }').choice
    assert isinstance(archive, Sdist)
    assert (archive.url, archive.filename) == ("file:///my%20dir/main.zip", "cffi-2.1.1.zip")
    wheel = chosen(f"archive = {MUSL}", control=FormatControl.parse(no_binary=[":all:"])).choice
    assert isinstance(wheel, Wheel)  # pip's --no-binary does not speak of direct URLs either
    (tmp_path / "pyproject.toml").touch()
    tree = chosen(f'directory = {{ path = "{tmp_path}", editable = true }}').choice
    assert isinstance(tree, SourceTree)
    assert tree.path == str(tmp_path)
    assert len(tree.digest) == 64
