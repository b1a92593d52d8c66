from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest
from packaging.pylock import Pylock

from tests.locks import MUSL, OLD_MUSL, SDIST, ask, digest, lock, wheels
from wheelhouse_builder.errors import ResolveError
from wheelhouse_builder.resolve.hashes import enforce_hashes

if TYPE_CHECKING:
    from pathlib import Path


def test_only_files_with_a_given_hash_are_left(tmp_path: Path) -> None:
    found = enforce_hashes(
        lock(f"{SDIST}\n{wheels(MUSL, OLD_MUSL)}"),
        ask(tmp_path, f"CFFI --hash=sha256:{digest('a')} --hash=sha256:{digest('c')}"),
    )
    (package,) = found.pylock.packages
    assert package.sdist is not None
    assert [wheel.hashes["sha256"] for wheel in package.wheels or ()] == [digest("c")]
    assert Pylock.from_dict(tomllib.loads(found.text)) == found.pylock


def test_a_wrong_hash_names_what_was_given_and_offered(tmp_path: Path) -> None:
    with pytest.raises(ResolveError) as error:
        enforce_hashes(lock(f"{SDIST}\n{wheels(MUSL)}"), ask(tmp_path, f"cffi --hash=sha256:{digest('9')}"))
    for part in ("cffi 2.1.1", digest("9"), digest("a"), digest("b"), "cffi-2.1.1.tar.gz", "requirements.txt, line 1"):
        assert part in error.value.message


@pytest.mark.parametrize("text", ["cffi\n--require-hashes", f"foo --hash=sha256:{digest('9')}\ncffi"])
def test_a_package_without_a_hash_is_refused_where_all_must_have_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(ResolveError, match=r"cffi 2\.1\.1 has no --hash"):
        enforce_hashes(lock(SDIST), ask(tmp_path, text))


def test_direct_archives_are_checked_and_source_trees_cannot_be(tmp_path: Path) -> None:
    direct = lock(f"archive = {SDIST[8:]}")
    good = ask(tmp_path, f"https://host/files/cffi-2.1.1.tar.gz --hash=sha256:{digest('a')}")
    assert enforce_hashes(direct, good) == direct
    with pytest.raises(ResolveError, match="no file for"):
        enforce_hashes(direct, ask(tmp_path, f"cffi --hash=sha256:{digest('b')}"))
    with pytest.raises(ResolveError, match="source tree"):
        enforce_hashes(lock('directory = { path = "/x" }'), ask(tmp_path, f"cffi --hash=sha256:{digest('b')}"))


def test_without_hashes_nothing_changes(tmp_path: Path) -> None:
    assert enforce_hashes(lock(SDIST), ask(tmp_path, "cffi")) == lock(SDIST)
