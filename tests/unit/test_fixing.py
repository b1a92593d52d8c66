"""A build that lacks a C library gets it from a recipe, once, and it is written down."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from tests.engines import FakeEngine, as_sdist, repair_nothing
from tests.integration.projects import c_extension, sdist
from wheelhouse_builder.builds import Builds
from wheelhouse_builder.engines.ladder import Ladder
from wheelhouse_builder.errors import JobError, UsageError
from wheelhouse_builder.events import Level, Note
from wheelhouse_builder.fixing import FILE_NAME, Fixing, with_fix, with_libraries
from wheelhouse_builder.history.known import KnownFailures
from wheelhouse_builder.history.recording import Recording
from wheelhouse_builder.history.store import History
from wheelhouse_builder.pipeline import Pipeline, finishing
from wheelhouse_builder.plan import Job
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.recipes.store import library_names, load_package_recipe
from wheelhouse_builder.schedule.limits import Limit
from wheelhouse_builder.sources.downloads import Downloads
from wheelhouse_builder.target import Target
from wheelhouse_builder.verify.symbols import DEFAULT_FLOOR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from wheelhouse_builder.artifact import Source
    from wheelhouse_builder.engines.base import Work
    from wheelhouse_builder.events import Event

AMD312, AMD313 = (Target.parse(f"cp{python}-musllinux_1_2_x86_64") for python in (312, 313))
HEADERS = {"zlib": "zlib.h", "openssl": "openssl/ssl.h", "gmp": "gmp.h"}


@dataclass(kw_only=True)
class Night:
    """A run with an engine whose builds of `demo` want some libraries."""

    place: Path
    wants: tuple[str, ...] = ("zlib",)
    finds: bool = True  # what is there
    says: str = "demo.c:1:10: fatal error: '{header}' file not found"
    skips_known: bool = False
    tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    told: list[Event] = field(default_factory=list)
    tried: list[tuple[str, ...]] = field(default_factory=list)  # the libraries that each build had

    def __post_init__(self) -> None:
        cache = self.place / "cache"
        history, logs = History(self.place / "history.sqlite"), self.place / "attempts"
        known = KnownFailures(history=history, logs=logs, now=datetime.now(UTC), expiry=timedelta(days=7))
        self.pipeline = Pipeline(
            ladder=self.ladder(self.tables),
            downloads=Downloads(cache, offline=True),
            builds=Builds(cache),
            cache=cache,
            logs=self.place / "logs",
            musl_floor=DEFAULT_FLOOR,
            canceller=Canceller(),
            recording=Recording(history=history, logs=logs),
            known=known if self.skips_known else None,
            limit=lambda name, strategy: Limit(seconds=3600, why="its limit is 1 h"),
        )
        self.fixing = Fixing(
            pipeline=self.pipeline,
            tables=self.tables,
            make_ladder=self.ladder,
            file=self.place / FILE_NAME,
            listener=self.told.append,
        )

    def ladder(self, tables: Mapping[str, Mapping[str, object]]) -> Ladder:
        libraries = load_package_recipe("demo", Version("1.0"), tables.get("demo", {})).libraries

        def fails(work: Work) -> None:
            self.tried.append(libraries)
            if missing := [name for name in self.wants if name not in libraries or not self.finds]:
                with work.log.open("a") as log:
                    log.write(self.says.format(header=HEADERS[missing[0]]) + "\n")
                raise JobError("the build backend failed", log=work.log)

        return Ladder(engines=(FakeEngine(revision=str(libraries), fails=fails),))

    def job(self, source: Source, target: Target = AMD312) -> Job:
        return Job(source=source, target=target, request_keys=self.pipeline.request_keys(source, target))

    def run(self, source: Source, target: Target = AMD312) -> Path:
        return self.fixing.run(self.job(source, target), lambda _: None)[1]

    @property
    def written(self) -> dict[str, Any]:
        return tomllib.loads((self.place / FILE_NAME).read_text())

    @property
    def warnings(self) -> list[str]:
        return [event.text for event in self.told if isinstance(event, Note) and event.level is Level.WARNING]


@pytest.fixture(autouse=True)
def _no_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finishing, "repair", repair_nothing)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return as_sdist(sdist(tmp_path, "demo", c_extension("demo")))


# the run


def test_a_missing_library_that_has_a_recipe_is_added_and_the_job_done_again(tmp_path: Path, source: Source) -> None:
    night = Night(place=tmp_path)
    assert night.run(source).is_file()
    assert night.tried == [(), ("zlib",)]
    assert night.written["packages"]["demo"]["libraries"] == ["zlib"]
    assert "# demo 1.0 for cp312-musllinux_1_2_x86_64: the build backend failed: " in (tmp_path / FILE_NAME).read_text()
    (warning,) = night.warnings
    assert str(tmp_path / FILE_NAME) in warning


def test_what_is_written_is_a_recipe_that_needs_no_fixing(tmp_path: Path, source: Source) -> None:
    Night(place=tmp_path / "first").run(source)
    tables = tomllib.loads((tmp_path / "first" / FILE_NAME).read_text())["packages"]
    night = Night(place=tmp_path / "second", tables=tables)
    night.run(source)
    assert night.tried == [("zlib",)]
    assert not (tmp_path / "second" / FILE_NAME).exists()


def test_it_is_built_by_the_same_key_as_with_the_lines_that_are_written(tmp_path: Path, source: Source) -> None:
    first = Night(place=tmp_path)
    first.run(source)
    second = Night(place=tmp_path, tables=first.written["packages"])
    second.run(source)
    assert second.tried == []  # the build cache has it


def test_the_next_job_of_the_package_starts_with_the_library(tmp_path: Path, source: Source) -> None:
    night = Night(place=tmp_path)
    night.run(source)
    night.run(source, AMD313)
    assert night.tried == [(), ("zlib",), ("zlib",)]
    assert len(night.warnings) == 1


def test_a_job_is_done_again_once(tmp_path: Path, source: Source) -> None:
    night = Night(place=tmp_path, wants=("zlib", "openssl"))
    with pytest.raises(JobError) as caught:
        night.run(source)
    assert night.tried == [(), ("zlib",)]
    assert caught.value.message.startswith("with zlib added (--fix): ")
    assert caught.value.library == "openssl"
    assert not (tmp_path / FILE_NAME).exists()  # what does not build is no recipe


def test_a_second_library_is_found_by_the_next_job(tmp_path: Path, source: Source) -> None:
    night = Night(place=tmp_path, wants=("zlib", "openssl"))
    with pytest.raises(JobError):
        night.run(source)
    night.run(source, AMD313)
    assert night.written["packages"]["demo"]["libraries"] == ["zlib", "openssl"]


def test_a_library_without_a_recipe_is_a_failure(tmp_path: Path, source: Source) -> None:
    assert "gmp" not in library_names()
    night = Night(place=tmp_path, wants=("gmp",))
    with pytest.raises(JobError, match=r"^the build backend failed"):
        night.run(source)
    assert night.tried == [()]


@pytest.mark.parametrize("applies", [">=1", ">=2"])  # the version is 1.0
def test_what_the_projects_table_says_of_the_package_counts(tmp_path: Path, source: Source, applies: str) -> None:
    """A library that did not help, or would be added for other versions, is not tried again."""
    table = {"libraries": ["zlib"], "applies": applies}
    night = Night(place=tmp_path, tables={"demo": table}, finds=False)
    with pytest.raises(JobError, match=r"^the build backend failed"):
        night.run(source)
    assert len(night.tried) == 1


def test_another_failure_is_none_to_be_fixed(tmp_path: Path, source: Source) -> None:
    night = Night(place=tmp_path, says="OSError: [Errno 28] No space left on device")
    with pytest.raises(JobError) as caught:
        night.run(source)
    assert (caught.value.kind, night.tried) == ("disk-full", [()])


def test_what_is_known_to_fail_for_want_of_a_library_is_fixed_without_another_try(
    tmp_path: Path, source: Source
) -> None:
    with pytest.raises(JobError):
        Night(place=tmp_path).pipeline.run(Night(place=tmp_path).job(source), lambda _: None)
    night = Night(place=tmp_path, skips_known=True)
    night.run(source)
    assert night.tried == [("zlib",)]


def test_a_file_that_is_not_ours_is_left_alone_and_the_lines_are_told(tmp_path: Path, source: Source) -> None:
    (tmp_path / FILE_NAME).write_text("not = [toml")
    night = Night(place=tmp_path)
    night.run(source)
    assert (tmp_path / FILE_NAME).read_text() == "not = [toml"
    (warning,) = night.warnings
    assert '[packages.demo]; libraries = ["zlib"]' in warning


# the lines


def test_a_packages_own_flags_and_libraries_stay() -> None:
    table = with_libraries({"libraries": ["libffi"], "environment": {"CPPFLAGS": "-DX"}, "network": True}, ["zlib"])
    assert table == {
        "libraries": ["libffi", "zlib"],
        "environment": {"CPPFLAGS": "-DX", "LDFLAGS": "-L{zlib.prefix}/lib -lz"},
        "network": True,
    }


def test_a_new_package_comes_after_those_that_are_there() -> None:
    text = with_fix("", "demo", ["zlib"], "why\n[packages.evil]")
    text = with_fix(text, "other", ["openssl", "zlib"], "because")
    assert list(tomllib.loads(text)["packages"]) == ["demo", "other"]
    assert with_fix(text, "other", ["zlib"], "because") == text


def test_a_library_joins_those_of_its_package() -> None:
    text = with_fix(with_fix("", "demo", ["zlib"], "first"), "demo", ["zlib", "openssl"], "second")
    assert tomllib.loads(text)["packages"] == {
        "demo": {
            "libraries": ["zlib", "openssl"],
            "environment": {
                "CPPFLAGS": "-I{zlib.prefix}/include -I{openssl.prefix}/include",
                "LDFLAGS": "-L{zlib.prefix}/lib -L{openssl.prefix}/lib -lz -lcrypto -lssl",
            },
        }
    }
    assert ("# first" in text, "# second" in text) == (True, True)


def test_lines_that_a_person_changed_are_kept() -> None:
    mine = '[packages.demo]\nlibraries = [ "zlib" ] # mine\n'
    text = with_fix(mine, "demo", ["openssl"], "why")
    assert text.startswith(mine)
    assert tomllib.loads(text) == tomllib.loads(mine)
    assert '# libraries = ["zlib", "openssl"]' in text


@pytest.mark.parametrize("text", ["x = [", "packages = 1", "[packages]\ndemo = 1", "[packages.demo]\nnetwork = true"])
def test_what_is_no_such_file_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        with_fix(text, "demo", ["zlib"], "why")


@given(st.text())
def test_whatever_a_log_says_is_a_comment(why: str) -> None:
    assert list(tomllib.loads(with_fix("", "demo", ["zlib"], why))) == ["packages"]
