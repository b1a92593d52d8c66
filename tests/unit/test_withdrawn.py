"""Versions that the wheelhouse yanked are resolved around, unless they are pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.locks import SDIST, ask, lock
from wheelhouse_builder.errors import ResolveError
from wheelhouse_builder.resolve.withdrawn import lock_without

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.requirements.model import RequirementSet
    from wheelhouse_builder.resolve.lock import Lock

CFFI = canonicalize_name("cffi")
YANKED = {
    (CFFI, Version("2.0")): "broken",
    (CFFI, Version("1.9")): "older",
    (canonicalize_name("x"), Version("1")): "x",
}


class Resolver:
    """An index with cffi 2.0, 1.9 and 1.8; it takes the newest that is not excluded."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, requirements: RequirementSet) -> Lock:
        excluded = [line.text for line in requirements.lines if line.constraint]
        self.asked.append(excluded)
        left = [version for version in ("2.0", "1.9", "1.8") if f"cffi!={version}" not in excluded]
        if any("cffi>=1.9" in line.text for line in requirements.lines):
            left = [version for version in left if version != "1.8"]
        if not left:
            raise ResolveError("no solution")
        return lock(f'name = "cffi"\nversion = "{left[0]}"\n{SDIST.replace("2.1.1", left[0])}')


def version_of(lock: Lock) -> str:
    (package,) = lock.pylock.packages
    return str(package.version)


def test_yanked_versions_are_passed_over_until_one_is_good(tmp_path: Path) -> None:
    resolver = Resolver()
    assert version_of(lock_without(YANKED, ask(tmp_path, "cffi"), resolver)) == "1.8"
    assert resolver.asked == [[], ["cffi!=2.0"], ["cffi!=2.0", "cffi!=1.9"]]


@pytest.mark.parametrize("pin", ["cffi==2.0", "cffi==2.0.0", "cffi===2.0"])
def test_who_pins_a_version_gets_it(tmp_path: Path, pin: str) -> None:
    resolver = Resolver()
    assert version_of(lock_without(YANKED, ask(tmp_path, pin), resolver)) == "2.0"
    assert resolver.asked == [[]]


@pytest.mark.parametrize("asked", ["cffi==2.*", "cffi>=2.0", "cffi==1.9", "cffi<3"])
def test_what_is_no_pin_of_it(tmp_path: Path, asked: str) -> None:
    assert version_of(lock_without({(CFFI, Version("2.0")): "broken"}, ask(tmp_path, asked), Resolver())) == "1.9"


def test_what_was_resolved_for_others_stays(tmp_path: Path) -> None:
    resolver = Resolver()
    lock_without({(canonicalize_name("x"), Version("1")): "x"}, ask(tmp_path, "cffi"), resolver)
    assert resolver.asked == [[]]


def test_when_nothing_is_left_the_yanks_are_told(tmp_path: Path) -> None:
    with pytest.raises(ResolveError, match="no solution") as caught:
        lock_without(YANKED, ask(tmp_path, "cffi>=1.9"), Resolver())
    assert "in the wheelhouse\n  cffi 2.0 is yanked: broken\n  cffi 1.9 is yanked: older" in caught.value.message
    assert "pin the version" in (caught.value.hint or "")
