"""Whatever happened before: what is published is what a wheelhouse of the same records would publish from nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from packaging.utils import canonicalize_name

from tests.unit.test_generations import add, tree
from wheelhouse_builder.errors import DamagedError
from wheelhouse_builder.index.model import Mark, Status
from wheelhouse_builder.verify.verdict import Check, Method, Verdict
from wheelhouse_builder.wheelhouse.generations import (
    all_generations,
    current,
    kept_page_keys,
    note_lost_pages,
    publish,
    roll_back,
)
from wheelhouse_builder.wheelhouse.marking import mark
from wheelhouse_builder.wheelhouse.pages import all_folders
from wheelhouse_builder.wheelhouse.retention import find_garbage, remove
from wheelhouse_builder.wheelhouse.store import Wheelhouse
from wheelhouse_builder.wheelhouse.yanking import yank

NAMES = st.sampled_from(["a", "b-c", "d"])
VERSIONS = st.sampled_from(["1.0", "2.0"])
MARKS = st.builds(Mark, status=st.sampled_from(Status), reason=st.sampled_from([None, "<why> & 'so'"]))
MANY = int(os.environ.get("WHB_TEST_LIVES", "5"))  # more by hand, after a change of publication
START = datetime(2026, 1, 1, tzinfo=UTC)


def from_nothing(house: Wheelhouse, folder: Path) -> dict[str, bytes]:
    """What a new wheelhouse with these records and wheels publishes."""
    anew = Wheelhouse(folder)
    shutil.copytree(
        house.root, folder, ignore=lambda _, names: [name for name in names if name == ".whb"], symlinks=True
    )
    (folder / ".whb").mkdir()
    shutil.copyfile(house.records.path, anew.records.path)
    with anew.lock():
        anew.check()
        publish(anew, {}, now=START)
    return pages_of(anew)


def pages_of(house: Wheelhouse) -> dict[str, bytes]:
    generation = current(house)
    assert generation is not None
    return tree(generation.path)


class Life(RuleBasedStateMachine):
    """A wheelhouse to which everything happens, one thing after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="whb-life-"))
        self.house = Wheelhouse(self.folder / "house")
        self.now = START
        self.published = False  # whether the generation in force shows all that is there …
        self.looked = True  # … and whb knows of all that is there
        self.count = 0

    @initialize()
    def begin(self) -> None:
        with self.house.lock():
            add(self.house, self.folder, "a")
            publish(self.house, {}, now=self.now)
        self.published = True

    @rule(name=NAMES, version=VERSIONS)
    def admit(self, name: str, version: str) -> None:
        mark = self.house.records.marks().get(canonicalize_name(name))
        if mark is None or mark.status in (Status.ACTIVE, Status.DEPRECATED):
            with self.house.lock():
                add(self.house, self.folder, name, version)
            self.published = False

    @rule(data=st.data(), reason=st.sampled_from([None, "bad", "<worse>"]))
    def yank(self, data: st.DataObject, reason: str | None) -> None:
        wheels = [wheel for wheel in self.house.wheels() if reason is not None or wheel.yanked is not None]
        if wheels:
            wheel = data.draw(st.sampled_from(wheels))
            with self.house.lock():
                yank(self.house, wheel.name, wheel.version, reason)
            self.published = True

    @rule(data=st.data(), status=MARKS)
    def mark(self, data: st.DataObject, status: Mark) -> None:
        if wheels := self.house.wheels():
            with self.house.lock():
                mark(self.house, data.draw(st.sampled_from(wheels)).name, status)
            self.published = True

    @rule(data=st.data(), method=st.sampled_from(Method))
    def verify(self, data: st.DataObject, method: Method) -> None:
        if wheels := self.house.wheels():
            verdict = Verdict(
                check=Check.IMPORT, target="cp312-musllinux_1_2_aarch64", method=method, environment="Alpine"
            )
            with self.house.lock():
                self.house.records.set_verdicts(data.draw(st.sampled_from(wheels)).filename, [verdict])
            self.published = False

    @rule(data=st.data())
    def wheel_goes(self, data: st.DataObject) -> None:
        if wheels := self.house.wheels():
            wheel = self.house.root / data.draw(st.sampled_from(wheels)).filename
            wheel.rename(self.folder / wheel.name)
            self.looked = False

    @rule()
    def wheels_come_back(self) -> None:
        for wheel in self.folder.glob("*.whl"):
            record = self.house.records.by_filename(wheel.name)
            if record is not None and (self.house.root / f"{wheel.name}.metadata").exists():
                wheel.replace(self.house.root / wheel.name)
                self.looked = False

    @rule(data=st.data())
    def page_goes(self, data: st.DataObject) -> None:
        files = sorted(path for folder in all_folders(self.house) for path in folder.iterdir())
        if files:
            data.draw(st.sampled_from(files)).unlink()
            self.looked = False

    @rule()
    def index(self) -> None:
        self.now += timedelta(days=1)
        with self.house.lock():
            self.house.check()
            note_lost_pages(self.house)
            publish(self.house, {}, now=self.now, keep=3)
        self.published = self.looked = True

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        generations = all_generations(self.house)
        generation = data.draw(st.sampled_from(generations))
        with self.house.lock():
            try:
                roll_back(self.house, generation.number)
            except DamagedError:  # its wheels or pages are gone
                return
        self.published = False

    @rule(keep=st.sampled_from([1, 2]))
    def gc(self, keep: int) -> None:
        with self.house.lock():
            try:
                garbage = find_garbage(self.house, keep=keep, grace=timedelta(), now=self.now)
            except DamagedError:  # a page of a kept generation is gone
                return
            remove(self.house, garbage)

    @precondition(lambda self: self.published and self.looked)
    @invariant()
    def is_as_from_nothing(self) -> None:
        self.count += 1
        anew = self.folder / f"anew-{self.count}"
        with self.house.lock():
            assert self.house.records.changes().names == frozenset()
        wanted, there = from_nothing(self.house, anew), pages_of(self.house)
        shutil.rmtree(anew)
        assert there.keys() == wanted.keys()
        assert {name for name in wanted if there[name] != wanted[name]} == set()

    @invariant()
    def no_page_folder_is_missing_or_left(self) -> None:
        if all_generations(self.house):
            keys = kept_page_keys(self.house)
            assert {folder.name for folder in all_folders(self.house)} >= keys

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestLife = Life.TestCase
Life.TestCase.settings = settings(
    max_examples=MANY, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
