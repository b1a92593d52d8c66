"""What this interpreter and machine are, to the build-backend wrapper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.tags import Tag, sys_tags

from tests.wrapping import TARGET, new_process, run_on
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.wrapper import own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    new_process()
    yield
    new_process()


def test_own_tags_are_those_of_this_interpreter() -> None:
    assert own.own_tags() == tuple(sys_tags())


@pytest.mark.parametrize("target", [TARGET, Target((3, 11), Arch.X86_64), Target((3, 14), Arch.AARCH64)])
def test_an_interpreter_on_musl_is_a_target(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    run_on(monkeypatch, target)
    assert own.own_target() == target


@pytest.mark.parametrize(
    "tag",
    [
        Tag("cp312", "cp312", "manylinux_2_17_aarch64"),
        Tag("cp312", "cp312", "linux_aarch64"),
        Tag("cp312", "cp312", "musllinux_1_1_aarch64"),  # a musl of before 1.2
        Tag("cp312", "cp312", "musllinux_1_2_riscv64"),
        Tag("cp312", "cp312t", "musllinux_1_2_aarch64"),  # free-threaded
        Tag("pp310", "pypy310_pp73", "musllinux_1_2_aarch64"),
        Tag("py3", "none", "musllinux_1_2_aarch64"),
    ],
)
def test_other_interpreters_are_none(tag: Tag, monkeypatch: pytest.MonkeyPatch) -> None:
    run_on(monkeypatch, TARGET)
    monkeypatch.setattr(own, "sys_tags", lambda: [tag, Tag("py3", "none", "any")])
    assert own.own_target() is None


def test_a_python_that_whb_does_not_know_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    run_on(monkeypatch, Target((3, 99), Arch.AARCH64))
    assert own.own_target() is None


@pytest.mark.parametrize(
    ("names", "named", "there"),
    [
        ((), None, False),
        (("cc",), None, True),
        (("clang",), None, True),
        (("gcc",), "gcc -pthread", True),
        (("gcc",), "aarch64-gcc", False),
        (("my-cc",), "my-cc", True),
        (("gcc",), "'", False),
    ],
)
def test_a_compiler(
    names: tuple[str, ...], named: str | None, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names:
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", named or "")
    assert own.has_compiler() is there
