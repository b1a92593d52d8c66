"""Which wheels leave the index, and which come back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.houses import MOMENT
from tests.wheels import ANY, make_wheel
from wheelhouse_builder.target import Target
from wheelhouse_builder.wheelhouse.generations import current, named_files, publish
from wheelhouse_builder.wheelhouse.published_locks import locked_versions, locked_wheels, published_versions
from wheelhouse_builder.wheelhouse.retention import find_garbage, remove
from wheelhouse_builder.wheelhouse.retired import retired_wheels
from wheelhouse_builder.wheelhouse.retiring import Retiring, note_run, retire_unused, what_can_go
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from pathlib import Path

AMD312, ARM312, AMD313 = (
    Target.parse(name)
    for name in ("cp312-musllinux_1_2_x86_64", "cp312-musllinux_1_2_aarch64", "cp313-musllinux_1_2_x86_64")
)
DAY = timedelta(days=1)
OWN, ABI3 = "cp312-cp312-musllinux_1_2_x86_64", "cp312-abi3-musllinux_1_2_x86_64"
UPSTREAM = "cp312-cp312-musllinux_1_1_x86_64"


class Nights:
    """A wheelhouse, and runs on it."""

    def __init__(self, folder: Path) -> None:
        self.house = Wheelhouse(folder / "wheelhouse")
        self._made = folder / "made"
        self._made.mkdir()

    def take(self, name: str = "demo", version: str = "1.0", tag: str = ANY, origin: str = "built") -> str:
        with self.house.lock():
            wheel = make_wheel(self._made, name=name, version=version, tag=tag)
            return self.house.admit(wheel, record_of(wheel, origin=origin)).filename

    def run(
        self,
        moment: datetime,
        had: Mapping[tuple[str, Target], str | None],
        *,
        keep: int = 10,
        tidies: bool = True,
        unresolved: Collection[Target] = (),
    ) -> Retiring:
        """What `run.build_run` does at its end."""
        normal = {(canonicalize_name(name), target): filename for (name, target), filename in had.items()}
        targets = {target for _, target in had}
        complete = {
            target: [filename for (_, wanted), filename in had.items() if filename and wanted == target]
            for target in targets
            if all(filename for (_, wanted), filename in had.items() if wanted == target)
        }
        with self.house.lock():
            note_run(self.house, normal, moment, unresolved)
            gone = retire_unused(self.house, normal, moment, 30 * DAY, unresolved) if tidies else Retiring()
            publish(self.house, complete, now=moment, keep=keep, without=gone.targets)
        return gone

    @property
    def shown(self) -> list[str]:
        """The wheels that the index has."""
        generation = current(self.house)
        assert generation is not None
        return sorted(named_files(generation))


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


def test_what_every_run_asks_for_stays(nights: Nights) -> None:
    wheel = nights.take()
    for night in range(0, 120, 40):
        assert nights.run(MOMENT + night * DAY, {("demo", AMD312): wheel}).reasons == {}
    assert nights.shown == [wheel]


def test_what_nothing_asked_for_in_a_long_time_leaves_the_index_and_stays_on_the_disk(nights: Nights) -> None:
    old, new = nights.take(version="1.0"), nights.take(version="2.0")
    nights.run(MOMENT, {("demo", AMD312): old})
    assert nights.run(MOMENT + DAY, {("demo", AMD312): new}).reasons == {}
    assert nights.run(MOMENT + 29 * DAY, {("demo", AMD312): new}).reasons == {}
    gone = nights.run(MOMENT + 30 * DAY, {("demo", AMD312): new})
    assert gone.reasons == {old: "no target has asked for it since 2026-01-02"}
    assert nights.shown == [new]
    assert (nights.house.root / old).is_file()
    assert nights.run(MOMENT + 31 * DAY, {("demo", AMD312): new}).reasons == {}


def test_of_a_wheel_that_no_run_asked_for_the_time_counts_from_the_first_refresh(nights: Nights) -> None:
    wheel, other = nights.take("demo"), nights.take("other")
    assert nights.run(MOMENT, {("demo", AMD312): wheel}).reasons == {}
    assert nights.run(MOMENT + 29 * DAY, {("demo", AMD312): wheel}).reasons == {}
    assert nights.run(MOMENT + 30 * DAY, {("demo", AMD312): wheel}).reasons.keys() == {other}


def test_a_build_is_a_use_and_retires_nothing(nights: Nights) -> None:
    old, new = nights.take(version="1.0"), nights.take(version="2.0")
    nights.run(MOMENT, {("demo", AMD312): new})
    nights.run(MOMENT + 29 * DAY, {("demo", AMD312): old}, tidies=False)
    assert nights.run(MOMENT + 40 * DAY, {("demo", AMD312): new}).reasons == {}
    assert nights.run(MOMENT + 100 * DAY, {("demo", AMD312): new}, tidies=False).reasons == {}
    assert nights.shown == [old, new]


def test_what_upstream_ships_by_now_leaves_at_once(nights: Nights) -> None:
    built = nights.take(tag=OWN)
    nights.run(MOMENT, {("demo", AMD312): built})
    fetched = nights.take(tag=UPSTREAM, origin="fetched")
    assert nights.run(MOMENT + DAY, {("demo", AMD312): fetched}).reasons == {built: f"upstream ships {fetched}"}
    assert nights.shown == [fetched]


def test_a_built_wheel_that_one_target_still_needs_stays(nights: Nights) -> None:
    built = nights.take(tag=ABI3)
    fetched = nights.take(tag=UPSTREAM, origin="fetched")
    assert nights.run(MOMENT, {("demo", AMD312): fetched, ("demo", AMD313): built}).reasons == {}


def test_a_built_wheel_that_one_target_has_a_newer_build_of_is_not_superseded(nights: Nights) -> None:
    nights.take(tag=ABI3)
    own, fetched = nights.take(tag="cp313-cp313-musllinux_1_2_x86_64"), nights.take(tag=UPSTREAM, origin="fetched")
    assert nights.run(MOMENT, {("demo", AMD312): fetched, ("demo", AMD313): own}).reasons == {}


def test_another_version_of_upstream_supersedes_nothing(nights: Nights) -> None:
    nights.take(tag=OWN)
    fetched = nights.take(version="2.0", tag=UPSTREAM, origin="fetched")
    assert nights.run(MOMENT, {("demo", AMD312): fetched}).reasons == {}


def test_a_wheel_that_the_lock_of_another_project_names_is_not_superseded(nights: Nights) -> None:
    built = nights.take(tag=ABI3)
    nights.run(MOMENT, {("demo", AMD313): built})
    fetched = nights.take(tag=UPSTREAM, origin="fetched")
    assert nights.run(MOMENT + DAY, {("demo", AMD312): fetched}).reasons == {}
    assert (nights.house.root / f"requirements-{AMD313}.txt").exists()


@pytest.mark.parametrize("had", [{("demo", AMD312): None}, {("demo", AMD312): None, ("other", AMD312): None}])
def test_a_package_that_failed_keeps_its_last_good_wheel(
    nights: Nights, had: dict[tuple[str, Target], str | None]
) -> None:
    wheel = nights.take(tag=OWN)
    nights.run(MOMENT, {("demo", AMD312): wheel})
    for night in range(1, 100, 40):
        assert nights.run(MOMENT + night * DAY, had).reasons == {}
    assert nights.shown == [wheel]


def test_a_failure_for_one_target_keeps_nothing_for_another(nights: Nights) -> None:
    amd, arm = nights.take(tag=OWN), nights.take(tag="cp312-cp312-musllinux_1_2_aarch64")
    nights.run(MOMENT, {("demo", AMD312): amd, ("demo", ARM312): arm})
    gone = nights.run(MOMENT + 30 * DAY, {("demo", AMD312): None})
    assert gone.reasons.keys() == {arm}
    assert nights.shown == [amd]


def test_what_the_lock_of_a_target_that_lacks_something_names_stays(nights: Nights) -> None:
    demo, old, new = nights.take("demo"), nights.take("other", "1.0"), nights.take("other", "2.0")
    nights.run(MOMENT, {("demo", AMD312): demo, ("other", AMD312): old})
    gone = nights.run(MOMENT + 60 * DAY, {("demo", AMD312): None, ("other", AMD312): new})
    assert gone.reasons == {}
    assert locked_versions(nights.house, AMD312)[canonicalize_name("other")] == Version("1.0")


def test_what_fits_a_target_that_is_unresolved_stays_however_long_and_so_does_its_lock(nights: Nights) -> None:
    old, new, idle = nights.take(tag=OWN), nights.take(version="2.0", tag=OWN), nights.take("other", tag=OWN)
    own = nights.take(tag="cp313-cp313-musllinux_1_2_x86_64")
    nights.run(MOMENT, {("demo", AMD312): old, ("demo", AMD313): own})
    for night in range(40, 200, 40):
        assert nights.run(MOMENT + night * DAY, {("demo", AMD313): own}, unresolved=[AMD312]).reasons == {}
    assert nights.shown == [old, own, new, idle]
    assert locked_versions(nights.house, AMD312) == {canonicalize_name("demo"): Version("1.0")}
    assert nights.run(MOMENT + 189 * DAY, {("demo", AMD312): new, ("demo", AMD313): own}).reasons == {}
    gone = nights.run(MOMENT + 190 * DAY, {("demo", AMD312): new, ("demo", AMD313): own})
    assert gone.reasons.keys() == {old, idle}


def test_a_wheel_that_upstream_ships_by_now_stays_for_a_target_that_is_unresolved(nights: Nights) -> None:
    built = nights.take(tag=ABI3)
    nights.run(MOMENT, {("demo", AMD312): built, ("demo", AMD313): built})
    fetched = nights.take(tag=UPSTREAM, origin="fetched")
    assert nights.run(MOMENT + DAY, {("demo", AMD312): fetched}, unresolved=[AMD313]).reasons == {}
    assert built in nights.shown


def test_a_target_that_is_unresolved_keeps_nothing_for_another(nights: Nights) -> None:
    amd, arm = nights.take(tag=OWN), nights.take(tag="cp312-cp312-musllinux_1_2_aarch64")
    nights.run(MOMENT, {("demo", AMD312): amd, ("demo", ARM312): arm})
    pure = nights.take("other")
    gone = nights.run(MOMENT + 30 * DAY, {("other", AMD313): pure}, unresolved=[AMD312])
    assert (set(gone.reasons), set(gone.targets)) == ({arm}, {ARM312})
    assert nights.shown == [amd, pure]


def test_an_uploaded_wheel_is_nobodys_to_retire(nights: Nights) -> None:
    demo, uploaded = nights.take("demo"), nights.take("other", origin="uploaded")
    nights.run(MOMENT, {("demo", AMD312): demo})
    assert nights.run(MOMENT + 300 * DAY, {("demo", AMD312): demo}).reasons == {}
    assert uploaded in nights.shown


def test_a_retired_wheel_that_is_asked_for_again_comes_back(nights: Nights) -> None:
    old, new = nights.take(version="1.0"), nights.take(version="2.0")
    nights.run(MOMENT, {("demo", AMD312): old})
    nights.run(MOMENT + 30 * DAY, {("demo", AMD312): new})
    assert nights.shown == [new]
    assert nights.run(MOMENT + 31 * DAY, {("demo", AMD312): old}).reasons == {}
    assert nights.shown == [old, new]


def test_a_failure_brings_nothing_back(nights: Nights) -> None:
    built, fetched = nights.take(tag=OWN), nights.take(tag=UPSTREAM, origin="fetched")
    assert nights.run(MOMENT, {("demo", AMD312): fetched}).reasons.keys() == {built}
    nights.run(MOMENT + DAY, {("demo", AMD312): None})
    assert nights.shown == [fetched]


def test_a_retired_wheel_that_is_taken_in_again_comes_back(nights: Nights) -> None:
    old, new = nights.take(version="1.0"), nights.take(version="2.0")
    nights.run(MOMENT, {("demo", AMD312): new})
    nights.run(MOMENT + 30 * DAY, {("demo", AMD312): new})
    assert nights.shown == [new]
    assert nights.take(version="1.0") == old
    with nights.house.lock():
        publish(nights.house, {})
    assert nights.shown == [old, new]
    assert nights.run(MOMENT + 31 * DAY, {("demo", AMD312): new}).reasons == {}


def test_the_lock_of_a_target_that_nothing_asks_for_goes_with_its_wheels(nights: Nights) -> None:
    amd, arm = nights.take(tag=OWN), nights.take(tag="cp312-cp312-musllinux_1_2_aarch64")
    nights.run(MOMENT, {("demo", AMD312): amd, ("demo", ARM312): arm})
    assert locked_wheels(nights.house).keys() == {AMD312, ARM312}
    gone = nights.run(MOMENT + 30 * DAY, {("demo", AMD312): amd})
    assert (set(gone.reasons), set(gone.targets)) == ({arm}, {ARM312})
    assert locked_wheels(nights.house).keys() == {AMD312}
    assert not (nights.house.root / f"pylock.{ARM312}.toml").is_symlink()


def test_a_clock_that_was_set_back_retires_nothing_and_counts_anew(nights: Nights) -> None:
    old, new = nights.take(version="1.0"), nights.take(version="2.0")
    nights.run(MOMENT + 365 * DAY, {("demo", AMD312): old})
    assert nights.run(MOMENT, {("demo", AMD312): new}).reasons == {}
    assert nights.shown == [old, new]
    assert nights.run(MOMENT + 29 * DAY, {("demo", AMD312): new}).reasons == {}
    assert nights.run(MOMENT + 30 * DAY, {("demo", AMD312): new}).reasons.keys() == {old}


def test_the_file_of_a_retired_wheel_has_its_grace_though_no_generation_names_it(nights: Nights) -> None:
    old, new = nights.take(version="1.0"), nights.take(version="2.0")
    nights.run(MOMENT, {("demo", AMD312): old})
    far = MOMENT.replace(year=2126)  # the file is of today
    nights.run(far, {("demo", AMD312): new})
    nights.take("other")
    nights.run(far, {("demo", AMD312): new}, keep=1)
    with nights.house.lock():
        assert find_garbage(nights.house, keep=1, grace=30 * DAY, now=far + 29 * DAY).records == ()
        garbage = find_garbage(nights.house, keep=1, grace=30 * DAY, now=far + 31 * DAY)
        assert garbage.records == (old,)
        remove(nights.house, garbage)
    assert retired_wheels(nights.house.records) == {}
    assert not (nights.house.root / old).exists()


def test_a_wheelhouse_without_a_generation_has_no_locks(tmp_path: Path) -> None:
    house = Wheelhouse(tmp_path / "wheelhouse")
    assert (locked_wheels(house), locked_versions(house, AMD312)) == ({}, {})
    assert published_versions(house, AMD312, [canonicalize_name("demo")]) == {}


def test_what_a_target_has_is_known_also_where_a_failure_keeps_it_from_a_lock(nights: Nights) -> None:
    demo, other = nights.take("demo", "2.0"), nights.take("other", "1.0")
    arm = nights.take("demo", "3.0", tag="cp312-cp312-musllinux_1_2_aarch64")
    nights.run(MOMENT, {("demo", AMD312): demo, ("other", AMD312): None, ("demo", ARM312): arm})
    names = [canonicalize_name(name) for name in ("demo", "other", "nowhere")]
    assert published_versions(nights.house, AMD312, names) == {"demo": Version("2.0"), "other": Version("1.0")}
    nights.take("demo", "2.5")
    nights.run(MOMENT, {("demo", AMD312): demo, ("other", AMD312): other})
    nights.run(MOMENT, {("demo", AMD312): None, ("other", AMD312): other})
    assert published_versions(nights.house, AMD312, names) == {"demo": Version("2.0"), "other": Version("1.0")}


def test_what_can_go_is_known_before_anything_is_done(nights: Nights) -> None:
    built, old = nights.take(tag=OWN), nights.take("other", "1.0")
    nights.run(MOMENT, {("demo", AMD312): built, ("other", AMD312): old})
    had = {(canonicalize_name("demo"), AMD312): f"demo-1.0-{UPSTREAM}.whl"}
    later = MOMENT + 30 * DAY
    assert what_can_go(nights.house, had, later, 30 * DAY).reasons.keys() == {built, old}
    found = what_can_go(nights.house, had, later, 60 * DAY, coming=[f"demo-1.0-{UPSTREAM}.whl"])
    assert found.reasons == {built: f"upstream ships demo-1.0-{UPSTREAM}.whl"}
    assert retired_wheels(nights.house.records) == {}


def test_nothing_can_go_of_a_wheelhouse_that_is_not_there(tmp_path: Path) -> None:
    house = Wheelhouse(tmp_path / "wheelhouse")
    assert what_can_go(house, {(canonicalize_name("demo"), AMD312): None}, MOMENT, DAY).reasons == {}
    assert not house.root.exists()
