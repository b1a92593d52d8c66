from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.elf import make_elf
from tests.wheels import make_wheel
from wheelhouse_builder.repair.system import library_folders, link_libraries
from wheelhouse_builder.target import Arch

TAG = "cp312-cp312-linux_x86_64"


@pytest.mark.parametrize(
    ("told", "folders"),
    [
        (None, ["/lib", "/usr/local/lib", "/usr/lib"]),
        ("/opt/lib\n/lib:/usr/lib\n", ["/opt/lib", "/lib", "/usr/lib"]),
        ("relative:\n", []),
    ],
)
def test_folders_are_those_of_musls_loader(tmp_path: Path, told: str | None, folders: list[str]) -> None:
    if told is not None:
        (tmp_path / "ld-musl-aarch64.path").write_text(told)
    assert library_folders(Arch.AARCH64, tmp_path) == tuple(map(Path, folders))


def test_folders_with_names_that_are_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "ld-musl-aarch64.path").write_bytes(b"/opt/\xe9:/lib")
    assert [bytes(folder) for folder in library_folders(Arch.AARCH64, tmp_path)] == [b"/opt/\xe9", b"/lib"]


def test_a_run_path_where_nobody_may_look_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    wheel = make_wheel(tmp_path, tag=TAG, files={"demo.so": make_elf(needed=("libx.so",), runpath="/root/lib")})
    monkeypatch.setattr(os, "stat", denied)
    assert not os.listdir(link_libraries(wheel, (), tmp_path / "linked"))  # noqa: PTH208 - pathlib asks `os.stat`


def test_what_a_wheel_needs_and_what_that_needs_is_linked(tmp_path: Path) -> None:
    first, second, own = (tmp_path / name for name in ("first", "second", "own"))
    for folder in (first, second, own):
        folder.mkdir()
    for folder in (first, second):
        (folder / "libone.so.1").write_bytes(make_elf(soname="libone.so.1", needed=("libtwo.so", "libc.so")))
    (second / "libtwo.so").write_bytes(make_elf(soname="libtwo.so", needed=("libone.so.1",)))  # a circle
    (own / "libown.so").write_bytes(make_elf(soname="libown.so"))
    for folder in (first, second):  # none of these is wanted
        for name in ("libc.so", "libinside.so", "libunused.so"):
            (folder / name).write_bytes(make_elf())
    needed = ("libone.so.1", "libown.so", "libinside.so", "libnowhere.so", "libc.musl-x86_64.so.1", "../odd.so")
    files = {
        "demo/demo.so": make_elf(needed=needed, runpath=f"{own}:$ORIGIN/libs"),
        "demo/libs/libinside.so": make_elf(soname="libinside.so"),
    }
    wheel = make_wheel(tmp_path, tag=TAG, files=files)
    linked = link_libraries(wheel, (first, second), tmp_path / "linked")
    assert {path.name: path.readlink() for path in linked.iterdir()} == {
        "libone.so.1": first / "libone.so.1",
        "libtwo.so": second / "libtwo.so",
        "libown.so": own / "libown.so",
    }


def test_a_pure_wheel_needs_none(tmp_path: Path) -> None:
    assert list(link_libraries(make_wheel(tmp_path), (), tmp_path / "linked").iterdir()) == []
