"""`whb refresh` against an index of our own, night after night."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.integration.projects import sdist, without_requirements
from tests.integration.serve import wait_until
from tests.integration.web import Files, serving_files
from tests.wheels import make_wheel
from wheelhouse_builder.history.model import RunOutcome
from wheelhouse_builder.history.store import History
from wheelhouse_builder.wheelhouse.generations import current, named_files
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

SETTINGS = """\
requirements = ["requirements.txt"]
pythons = ["3.12"]
archs = ["amd64"]
min-age = "3 days"
[verify]
engine = "off"
"""
BROKEN = "def build_wheel(*arguments): raise SystemExit('fatal error: no.h: No such file or directory')\n"
NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=30)


class File(NamedTuple):
    """What an index tells of a file."""

    path: Path
    uploaded: datetime | None = OLD
    yanked: str | None = None
    requires_python: str | None = None


class Pages(Files):
    """Hands out pages as an index does."""

    extensions_map = {".json": "application/vnd.pypi.simple.v1+json"}  # noqa: RUF012  # as the class above declares it

    def do_GET(self) -> None:  # noqa: N802  # as the class above names it
        """A page lies in its folder."""
        self.path += "index.json" if self.path.endswith("/") else ""
        super().do_GET()

    def end_headers(self) -> None:
        """With one that has clients ask again: uv takes a page without it for good for some minutes."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


class Nights:
    """A project that is refreshed, and the index that it goes by."""

    def __init__(self, whb: Whb, folder: Path) -> None:
        self.whb, self.folder = whb, folder
        self.site, self.project = folder / "site", folder / "project"
        (self.site / "files").mkdir(parents=True)
        self.project.mkdir()
        self.house = Wheelhouse(self.project / "wheelhouse")
        self.index = ""
        self.write(SETTINGS)

    def write(self, settings: str) -> None:
        (self.project / "whb.toml").write_text(settings)

    def ask(self, *requirements: str) -> None:
        (self.project / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements))

    def wheel(self, name: str, version: str, tag: str = "py3-none-any") -> Path:
        return make_wheel(self.site / "files", name=name, version=version, tag=tag)

    def source(self, version: str, backend: str = "") -> Path:
        files = without_requirements("demo", version)
        if backend:
            files["backend.py"] = backend
        return sdist(self.site / "files", "demo", files, version=version)

    def offer(self, name: str, *files: File) -> None:
        page = {"meta": {"api-version": "1.1"}, "name": name, "files": list(map(_entry, files))}
        folder = self.site / "simple" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.json").write_text(json.dumps(page))

    def refresh(self, code: int = 0, *options: str, index: str = "") -> str:
        """Refresh; what it says on standard error."""
        done = self.whb("refresh", *options, cwd=self.project, UV_DEFAULT_INDEX=index or self.index)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr

    @property
    def report(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.project / "whb-report" / "report.json").read_bytes())
        return content

    @property
    def lock(self) -> Path:
        """The lock that the last refresh kept."""
        return max((self.whb.cache / "locks").glob("*.pylock.toml"), key=lambda path: path.stat().st_mtime_ns)

    @property
    def shown(self) -> list[str]:
        """The wheels of the index."""
        generation = current(self.house)
        assert generation is not None
        return sorted(named_files(generation))


def _entry(file: File) -> dict[str, object]:
    entry: dict[str, object] = {
        "filename": file.path.name,
        "url": f"../../files/{file.path.name}",
        "hashes": {"sha256": hashlib.sha256(file.path.read_bytes()).hexdigest()},
        "yanked": file.yanked or False,
        "requires-python": file.requires_python,
    }
    return entry | ({"upload-time": f"{file.uploaded:%Y-%m-%dT%H:%M:%SZ}"} if file.uploaded else {})


@pytest.fixture
def nights(whb: Whb, tmp_path: Path) -> Iterator[Nights]:
    made = Nights(whb, tmp_path)
    with serving_files(made.site, handler=Pages) as address:
        made.index = f"http://{address}/simple/"
        yield made


def test_night_after_night(nights: Nights) -> None:
    nights.ask("demo", "tool")
    nights.offer("demo", File(nights.source("1.0")))
    nights.offer("tool", File(nights.wheel("tool", "1.0")))
    assert "generation 1, published" in nights.refresh()
    built, tool = "demo-1.0-py3-none-any.whl", "tool-1.0-py3-none-any.whl"
    assert nights.shown == [built, tool]

    assert "generation 1, unchanged" in nights.refresh()
    assert (nights.report["changed"], nights.report["command"], nights.report["error"]) == (False, "refresh", None)

    shipped = nights.wheel("demo", "1.0", "py2.py3-none-any")  # upstream comes round to it
    nights.offer("demo", File(nights.source("1.0")), File(shipped))
    planned = nights.whb.ok("plan", "--upgrade", cwd=nights.project, UV_DEFAULT_INDEX=nights.index)
    assert f"a refresh retires {built}: upstream ships {shipped.name}" in planned.stderr
    assert nights.shown == [built, tool]
    assert f"retired {built}: upstream ships {shipped.name}" in nights.refresh()
    assert nights.shown == [shipped.name, tool]
    assert (nights.house.root / built).is_file()
    assert [item["filename"] for item in nights.report["retired"]] == [built]

    nights.offer("demo", File(shipped), File(nights.source("2.0", BROKEN)))
    nights.offer("tool", File(nights.wheel("tool", "2.0")))
    nights.refresh(1)
    assert nights.shown == [shipped.name, tool, "tool-2.0-py3-none-any.whl"]
    assert [(row["name"], row["status"]) for row in nights.report["rows"]] == [("demo", "failed"), ("tool", "ready")]
    assert "demo==1.0" in (nights.house.root / "requirements-cp312-musllinux_1_2_x86_64.txt").read_text()

    nights.refresh(1)
    assert nights.report["rows"][0]["message"].startswith("failed on ")  # and was not tried again


def test_an_index_that_is_down_leaves_all_as_it_was_and_says_so(nights: Nights) -> None:
    nights.ask("tool")
    nights.offer("tool", File(nights.wheel("tool", "1.0")))
    nights.refresh()
    before = {path: path.lstat().st_mtime_ns for path in nights.house.root.rglob("*") if "history" not in path.name}
    said = nights.refresh(3, index="http://127.0.0.1:9/simple/")
    assert "cannot be reached" in said
    after = {path: path.lstat().st_mtime_ns for path in nights.house.root.rglob("*") if "history" not in path.name}
    assert {path for path in before if before[path] != after.get(path)} <= {nights.house.state}
    assert nights.report["error"]["exit_code"] == 3
    assert (nights.report["rows"], nights.report["generation"]) == ([], 1)
    assert "came to nothing" in (nights.project / "whb-report" / "report.md").read_text()
    last, *_ = History(nights.house.history).runs()
    assert last.outcome is RunOutcome.FAILED
    assert "unchanged" in nights.refresh()


def test_a_target_that_cannot_be_resolved_stays_as_it_is_and_the_others_go_on(nights: Nights) -> None:
    settings = SETTINGS.replace('["3.12"]', '["3.12", "3.13"]')
    nights.write(f'{settings}[refresh]\nretire-after = "1s"\ngrace = "1s"\n')
    one, two, three = (nights.wheel("tool", f"{number}.0") for number in (1, 2, 3))
    own = [nights.wheel("own", "1.0", f"{python}-none-musllinux_1_2_x86_64") for python in ("cp312", "cp313")]
    nights.ask("tool", "own")
    nights.offer("tool", File(one))
    nights.offer("own", *map(File, own))
    nights.refresh()
    old, new = (f"cp{python}-musllinux_1_2_x86_64" for python in (312, 313))
    locks = {target: nights.house.root / f"pylock.{target}.toml" for target in (old, new)}
    left = locks[old].read_bytes()

    nights.ask("tool>=2", "own")
    for wheel in (two, three):  # of each night
        nights.offer("tool", File(one), File(wheel, requires_python=">=3.13"))
        said = nights.refresh(3)
        assert f"unresolved {old}: the requirements cannot be resolved for {old}" in said
        assert ", published" in said
        assert nights.report["changed"] is True
        assert [item["target"] for item in nights.report["unresolved"]] == [old]
        assert {(row["name"], row["target"]) for row in nights.report["rows"]} == {("own", new), ("tool", new)}
        news = [(item["kind"], item["name"], item["target"]) for item in nights.report["changes"]["items"]]
        assert news == [("updated", "tool", new)]
        assert nights.report["retired"] == []
        assert {one.name, wheel.name, *(each.name for each in own)} <= set(nights.shown)
        assert locks[old].read_bytes() == left
        assert wheel.name in locks[new].read_text()
        for report in ("report.html", "report.md"):
            assert "What could not be resolved" in (nights.project / "whb-report" / report).read_text()
    last, *_ = History(nights.house.history).runs()
    assert (last.outcome, last.message.startswith(f"{old}: ")) == (RunOutcome.CHANGED, True)

    nights.offer("tool", File(three))
    nights.refresh()
    news = [(item["kind"], item["name"], item["target"]) for item in nights.report["changes"]["items"]]
    assert news == [("updated", "tool", old)]
    assert three.name in locks[old].read_text()


def test_what_is_too_new_waits(nights: Nights) -> None:
    nights.ask("tool")
    old, new = File(nights.wheel("tool", "1.0")), File(nights.wheel("tool", "2.0"), NOW - timedelta(days=1))
    nights.offer("tool", old, new)
    nights.refresh()
    assert nights.shown == [old.path.name]
    nights.refresh(0, "--min-age", "12 h")
    assert nights.shown == [old.path.name, new.path.name]


def test_a_pin_that_is_too_new_is_told_from_one_that_is_not_there(nights: Nights) -> None:
    nights.ask("tool==2.0")
    nights.offer("tool", File(nights.wheel("tool", "2.0"), NOW - timedelta(days=1)))
    said = nights.refresh(3)
    assert "min-age (3 days)" in said
    assert "published at" in said
    assert "lower min-age" in said


def test_a_file_without_an_upload_time_is_never_old_enough(nights: Nights) -> None:
    nights.ask("tool")
    nights.offer("tool", File(nights.wheel("tool", "1.0"), None))
    assert "hint: the index tells no upload time (PEP 700) of tool" in nights.refresh(3)
    nights.offer("tool", File(nights.wheel("tool", "1.0"), OLD), File(nights.wheel("tool", "2.0"), None))
    assert "warning: tool: the index tells no upload time" in nights.refresh()
    assert nights.shown == ["tool-1.0-py3-none-any.whl"]


def test_build_requirements_are_old_enough_too(nights: Nights) -> None:
    nights.ask("demo")
    files = without_requirements("demo")
    files["pyproject.toml"] = files["pyproject.toml"].replace("requires = []", 'requires = ["helper"]')
    nights.offer("demo", File(sdist(nights.site / "files", "demo", files)))
    nights.offer("helper", File(nights.wheel("helper", "1.0"), NOW - timedelta(days=1)))
    nights.refresh(1)
    (row,) = nights.report["rows"]
    assert "min-age (3 days)" in row["hint"]


def test_constraints_and_holds_of_the_settings(nights: Nights) -> None:
    first = [File(nights.wheel(name, "1.0")) for name in ("tool", "kept")]
    nights.ask("tool", "kept")
    nights.offer("tool", first[0])
    nights.offer("kept", first[1])
    nights.write(f'hold = ["kept"]\n{SETTINGS}[constraints]\ntool = "<3"\n')
    nights.refresh()
    nights.offer("tool", first[0], *(File(nights.wheel("tool", version)) for version in ("2.0", "3.0")))
    nights.offer("kept", first[1], File(nights.wheel("kept", "2.0")))
    nights.refresh()
    assert {row["name"]: row["version"] for row in nights.report["rows"]} == {"tool": "2.0", "kept": "1.0"}
    nights.ask("tool>=3", "kept")
    assert "whb.toml: constraints.tool: tool<3" in nights.refresh(3)


def test_a_failure_beside_it_ends_no_hold_and_hides_no_yank(nights: Nights) -> None:
    kept, one, two = nights.wheel("kept", "1.0"), nights.wheel("tool", "1.0"), nights.wheel("tool", "2.0")
    nights.write(f'hold = ["kept", "toool"]\n{SETTINGS}')
    nights.ask("kept", "tool", "demo")
    nights.offer("kept", File(kept))
    nights.offer("tool", File(one), File(two))
    nights.offer("demo", File(nights.source("1.0", BROKEN)))
    assert "warning: hold: nothing asks for toool (did you mean tool?)" in nights.refresh(1)
    nights.offer("kept", File(kept), File(nights.wheel("kept", "2.0")))
    nights.offer("tool", File(one), File(two, yanked="loses\ndata"))
    assert "warning: tool 2.0 is yanked upstream (loses data): 1.0 is taken" in nights.refresh(1)
    assert {row["name"]: row["version"] for row in nights.report["rows"]} == {
        "demo": "1.0",
        "kept": "1.0",
        "tool": "1.0",
    }


def test_a_yank_of_what_came_after_the_lock_is_told(nights: Nights) -> None:
    one, two = nights.wheel("tool", "1.0"), nights.wheel("tool", "2.0")
    good, bad = File(nights.source("1.0")), File(nights.source("2.0", BROKEN))
    nights.ask("tool", "demo")
    for tools, demos in (([File(one)], [good]), ([File(one), File(two)], [good, bad])):
        nights.offer("tool", *tools)
        nights.offer("demo", *demos)
        nights.refresh(1 if bad in demos else 0)
    nights.offer("tool", File(one), File(two, yanked="loses data"))
    assert "warning: tool 2.0 is yanked upstream (loses data): 1.0 is taken" in nights.refresh(1)


def test_a_yanked_version_is_left_and_told(nights: Nights) -> None:
    one, two = nights.wheel("tool", "1.0"), nights.wheel("tool", "2.0")
    nights.ask("tool")
    nights.offer("tool", File(one), File(two))
    nights.refresh()
    nights.offer("tool", File(one), File(two, yanked="loses data"))
    assert "warning: tool 2.0 is yanked upstream (loses data): 1.0 is taken" in nights.refresh()
    assert [row["version"] for row in nights.report["rows"]] == ["1.0"]
    nights.ask("tool==2.0")
    assert "warning: tool 2.0 is yanked upstream (loses data); it is taken since" in nights.refresh()
    assert [row["version"] for row in nights.report["rows"]] == ["2.0"]


def test_a_clock_that_was_set_back_takes_no_version_away(nights: Nights) -> None:
    """The clock of a machine is not a test's to set: the index is of a time that is yet to come instead."""
    nights.ask("tool")
    one, two = nights.wheel("tool", "1.0"), nights.wheel("tool", "2.0")
    nights.offer("tool", File(one), File(two))
    nights.refresh()
    kept = nights.lock
    first, rest = kept.read_text().split("\n", 1)
    assert first == f"# newest upload: {OLD:%Y-%m-%dT%H:%M:%S}+00:00"
    later = NOW + timedelta(days=400)
    kept.write_text(f"# newest upload: {later:%Y-%m-%dT%H:%M:%S}+00:00\n{rest}")
    nights.offer("tool", File(one), File(two, later), File(nights.wheel("tool", "3.0"), later + timedelta(days=1)))
    assert "is the clock right?" in nights.refresh()
    assert nights.report["rows"][0]["version"] == "2.0"


def test_two_at_once_come_one_after_the_other(nights: Nights) -> None:
    nights.ask("tool")
    nights.offer("tool", File(nights.wheel("tool", "1.0")))
    environ = {**os.environ, "WHB_CACHE_DIR": str(nights.whb.cache), "UV_DEFAULT_INDEX": nights.index}
    argv, log = [sys.executable, "-m", "wheelhouse_builder", "refresh"], nights.folder / "said"
    with log.open("wb") as said, nights.house.lock():
        process = subprocess.Popen(argv, cwd=nights.project, env=environ, stdout=subprocess.DEVNULL, stderr=said)
        wait_until(lambda: b"waiting for process" in log.read_bytes() or process.poll() is not None, "the second")
        assert process.poll() is None, log.read_text()
    assert process.wait(60) == 0, log.read_text()
    assert nights.shown == ["tool-1.0-py3-none-any.whl"]
    assert "generation 1, unchanged" in nights.refresh()


def test_every_fault_of_the_settings_is_told_at_once(nights: Nights) -> None:
    nights.ask("tool")
    nights.write('pythonz = ["3.12"]\nmin-age = 3\n[refresh]\ngrace = "soon"\n[constraints]\ntool = "2"\n')
    said = nights.refresh(2)
    assert "error: 4 problems in the settings" in said
    for text in ("'pythonz' (did you mean pythons?)", "min-age must be a time", "refresh.grace: 'soon'"):
        assert text in said
    assert "constraints.tool: '2' is no version specifier" in said
    assert not (nights.project / "whb-report").exists()
