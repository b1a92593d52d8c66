"""QEMU and the kernel: what counts as registered, and what is written to register it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.engines.container.binfmt import is_registered, register
from wheelhouse_builder.errors import MachineError
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from pathlib import Path

# As a kernel shows Debian's entry
ENTRY = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: {flags}\noffset 0\nmagic 7f454c46\n"
# What Debian's qemu-user-static 7.2 has for aarch64 (/usr/lib/binfmt.d/qemu-aarch64.conf), but for \x45\x4c\x46 = ELF
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (ENTRY.format(flags="OCF"), True),
        (ENTRY.format(flags="F"), True),
        (ENTRY.format(flags="OC"), False),
        (ENTRY.format(flags="OCF").replace("enabled", "disabled"), False),
        (None, False),
    ],
)
def test_what_counts_as_registered(entry: str | None, expected: bool, tmp_path: Path) -> None:
    if entry is not None:
        (tmp_path / "qemu-aarch64").write_text(entry)
    assert is_registered(Arch.AARCH64, tmp_path) is expected


def test_registering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    register(Arch.AARCH64, tmp_path)
    line = (tmp_path / "register").read_text()
    assert line == f":qemu-aarch64:M::{MAGIC}:{MASK}:/usr/bin/qemu-aarch64-static:OCF"


def test_an_entry_without_the_flag_is_taken_away_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    (tmp_path / "qemu-aarch64").write_text(ENTRY.format(flags="OC"))
    register(Arch.AARCH64, tmp_path)
    assert (tmp_path / "qemu-aarch64").read_text() == "-1"


def test_without_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(MachineError, match="no qemu-aarch64-static") as caught:
        register(Arch.AARCH64, tmp_path)
    assert caught.value.hint == "`apt install qemu-user-static`"


def test_without_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    with pytest.raises(MachineError, match="No such file or directory") as caught:
        register(Arch.AARCH64, tmp_path / "nothing")
    assert "mount -t binfmt_misc" in str(caught.value.hint)
