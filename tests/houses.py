"""Wheelhouses with something published, for tests of what reads them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.wheels import make_wheel
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of
from wheelhouse_builder.wheelhouse.stubs import admit_stub, stub_of

if TYPE_CHECKING:
    from wheelhouse_builder.wheelhouse.generations import Generation

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def add(house: Wheelhouse, name: str = "demo", version: str = "1.0", *, requires: tuple[str, ...] = ()) -> str:
    """Take a small wheel in and return its file name."""
    folder = house.root.parent / "made"
    folder.mkdir(exist_ok=True)
    with house.lock():
        wheel = make_wheel(folder, name=name, version=version, requires=requires)
        return house.admit(wheel, record_of(wheel, origin="built")).filename


def add_stub(
    house: Wheelhouse, name: str = "demo", version: str = "1.0", *, place: str = "https://wheels.example/simple/"
) -> str:
    """Take the stub of a version in and return its file name."""
    with house.lock():
        stub = stub_of(house, canonicalize_name(name), Version(version), place)
        admit_stub(house, stub)
        return stub.filename


def publish_all(house: Wheelhouse, *, now: datetime = MOMENT) -> Generation:
    """Publish what the wheelhouse holds, which has to be news."""
    with house.lock():
        generation = publish(house, {}, now=now)
    assert generation is not None
    return generation


def house_with(root: Path, *names: str) -> Wheelhouse:
    """A wheelhouse with version 1.0 of each project, published."""
    house = Wheelhouse(root)
    for name in names:
        add(house, name)
    publish_all(house)
    return house


def copy_of(house: Wheelhouse, root: Path) -> Wheelhouse:
    """The same wheelhouse in another place, to be changed: a copy takes less time than to make it anew."""
    return Wheelhouse(Path(shutil.copytree(house.root, root, symlinks=True)))
