from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.pylock import Pylock

from tests.locks import MUSL, PURE, SDIST, TARGET, lock, wheels
from wheelhouse_builder.errors import ResolveError
from wheelhouse_builder.resolve.lock import Lock, read_lock

if TYPE_CHECKING:
    from pathlib import Path


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    original = lock(
        "marker = \"python_version > '3'\"\n" + SDIST + "\n" + wheels(MUSL, PURE),
        'name = "foo"\nsdist = { url = "https://host/foo-1.0.zip", size = 3, upload-time = 2025-01-02T03:04:05Z, '
        'hashes = { sha256 = "1" } }\nversion = "1.0"',
    )
    (tmp_path / "pylock.toml").write_text(original.text, encoding="utf-8")
    assert read_lock(tmp_path / "pylock.toml", TARGET) == original
    assert read_lock(tmp_path / "pylock.toml", TARGET).text == original.text


def test_paths_of_a_lock_are_beside_it(tmp_path: Path) -> None:
    (tmp_path / "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "foo"\ndirectory = { path = "../foo" }\n'
    )
    (package,) = read_lock(tmp_path / "pylock.toml", TARGET).pylock.packages
    assert package.directory is not None
    assert package.directory.path == str(tmp_path.parent / "foo")


@pytest.mark.parametrize("text", ["lock-version = ", 'lock-version = "1.0"', f"{lock(SDIST).text}\nwheels = []\n["])
def test_a_lock_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "pylock.toml").write_text(text)
    with pytest.raises(ResolveError, match="not usable"):
        read_lock(tmp_path / "pylock.toml", TARGET)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_in_a_lock(text: str) -> None:
    pylock = Pylock.from_dict({"lock-version": "1.0", "created-by": text, "packages": []})
    assert tomllib.loads(Lock(target=TARGET, pylock=pylock).text + "packages = []")["created-by"] == text
