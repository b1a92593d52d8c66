"""The log of a build stays with its wheel: kept, published, and gone with it."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.unit.test_run import AMD312, ARM312, world  # noqa: F401 - a fixture
from tests.wheels import make_wheel
from wheelhouse_builder.wheelhouse.generations import publish, roll_back
from wheelhouse_builder.wheelhouse.retention import find_garbage, remove
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.test_run import World

WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return Wheelhouse(tmp_path / "wheelhouse")


def admit(house: Wheelhouse, folder: Path, text: str | None, content: bytes = b"1") -> str:
    place = folder / text if text else folder / "none"
    place.mkdir(exist_ok=True)
    log = None
    if text is not None:
        log = place / "log.gz"
        log.write_bytes(gzip.compress(text.encode()))
    wheel = make_wheel(place, files={"demo.py": content})
    return house.admit(wheel, record_of(wheel, origin="built"), log=log).filename


def text_of(house: Wheelhouse, wheel: str) -> str:
    return gzip.decompress(house.build_log(wheel).read_bytes()).decode()


def test_a_log_is_kept_and_never_changes(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        assert house.build_logs() == frozenset()
        assert admit(house, tmp_path, "first") == WHEEL
        admit(house, tmp_path, "second")  # the same wheel, built once more
        rebuilt = admit(house, tmp_path, "third", b"2")
    assert rebuilt == "demo-1.0-1-py3-none-any.whl"
    assert (text_of(house, WHEEL), text_of(house, rebuilt)) == ("first", "third")
    assert house.build_logs() == {WHEEL, rebuilt}
    assert house.build_log(WHEEL).stat().st_mode & 0o777 == 0o644


def test_a_wheel_without_a_log_is_a_wheel(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        admit(house, tmp_path, None)
        publish(house, {})
    assert house.build_logs() == frozenset()
    assert "Build log" not in (house.root / "simple" / "demo" / "about.html").read_text()


def test_every_generation_leads_to_the_logs(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        admit(house, tmp_path, "first")
        publish(house, {})
        admit(house, tmp_path, "second", b"2")
        publish(house, {})
        roll_back(house)
    page = (house.root / "simple" / "demo" / "about.html").read_text()
    assert f'href="../../browse/logs/{WHEEL}.log.gz"' in page
    published = house.root / "browse" / "logs" / f"{WHEEL}.log.gz"
    assert gzip.decompress(published.read_bytes()) == b"first"


def test_a_log_goes_with_its_wheel(house: Wheelhouse, tmp_path: Path) -> None:
    with house.lock():
        admit(house, tmp_path, "first")
        house.build_log("gone-1.0-py3-none-any.whl").write_bytes(b"of a wheel that nobody knows")
        publish(house, {})
        spare = admit(house, tmp_path, "second", b"2")
        garbage = find_garbage(house, grace=timedelta(0))
        assert {house.build_log(spare), house.build_log("gone-1.0-py3-none-any.whl")} < set(garbage.files)
        remove(house, garbage)
    assert house.build_logs() == {WHEEL}
    assert not (house.root / spare).exists()


def test_a_build_leaves_its_log(world: World) -> None:  # noqa: F811 - the fixture
    world.offer_sdist()
    world.build(AMD312)
    (wheel,) = world.wheels()
    assert "building demo" in text_of(world.house(), wheel)


def test_a_build_of_an_earlier_run_has_its_log(world: World) -> None:  # noqa: F811 - the fixture
    """It comes out of the build cache: nothing is built, and the log of this run says nothing."""
    world.offer_sdist()
    world.build(AMD312)
    world.build(AMD312, wheelhouse="second")
    assert len(world.engine.built) == 1
    (wheel,) = world.wheels("second")
    assert "building demo" in text_of(world.house("second"), wheel)


def test_what_was_fetched_has_no_log(world: World) -> None:  # noqa: F811 - the fixture
    world.offer_wheel(make_wheel(world.folder))
    world.build(AMD312)
    assert world.house().build_logs() == frozenset()


def test_the_pages_are_published_with_the_evidence(world: World) -> None:  # noqa: F811 - the fixture
    """New evidence of a wheel that is there makes its page anew, and no other."""
    world.offer_sdist()
    world.offer_wheel(make_wheel(world.folder, name="other"), "other")
    world.build(AMD312)
    page = world.house().root / "simple" / "demo" / "about.html"
    assert f"Loader</span> passed for <code>{AMD312}</code>" in page.read_text()
    assert f"<code>{ARM312}</code>" not in page.read_text()
    with world.house().lock() as house:
        before = (house.root / "simple" / "other").resolve()
        wheel = house.records.by_filename(world.wheels()[0])
        assert wheel is not None
        house.records.set_verdicts(wheel.filename, [replace(wheel.verdicts[0], target=str(ARM312))])
        assert publish(house, {}) is not None
        assert (house.root / "simple" / "other").resolve() == before
    assert f"<code>{ARM312}</code>" in page.read_text()
    summaries = json.loads((world.house().current / "summaries.json").read_text())
    assert set(summaries) == {"demo", "other"}
