"""The report of real runs, and its page in a real browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.chromium import AXE, DESK, PHONE, Browser, chromium
from tests.integration.projects import c_extension, sdist
from tests.reports import TRICK, night
from wheelhouse_builder.report.write import write_reports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

JOB = "demo-1.0-cp312-musllinux_1_2_x86_64"
SETTINGS = """\
requirements = ["requirements.txt"]
pythons = ["3.12"]
archs = ["amd64"]
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page with all that a report has, of 60 packages."""
    path, *_ = write_reports(tmp_path_factory.mktemp("a report"), night(60))
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_nobody_is_kept_out(browser: Browser, page: str, test_dir: Path, size: Any, dark: bool) -> None:
    """axe-core finds nothing; the page is no wider than the screen; its policy forbids nothing that it has."""
    browser.look_as(size, dark=dark)
    browser.open(page)
    assert browser.complaints() == []
    assert browser.run("return document.documentElement.scrollWidth") <= size[0]
    ground = "rgb(17, 21, 26)" if dark else "rgb(255, 255, 255)"
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == ground
    browser.run("document.querySelectorAll('details').forEach(found => { found.open = true })")
    assert browser.barriers(test_dir / AXE) == []


def test_all_of_it_is_there_without_a_script(browser: Browser, page: str) -> None:
    browser.look_as(script=False)
    browser.open(page)
    assert browser.driver.title == "3 failed, 2 regressed · Wheelhouse"
    parts = ["What failed", "What changed", "What left the index", "Warnings", "Packages and targets"]
    assert browser.texts("h2") == [*parts, "Where the time went", "What was built"]
    assert browser.texts(".failure h3")[0].startswith("python-ldap 1.0")
    assert TRICK in browser.texts(".failure .why")[0]  # as text: the title is as it was
    assert len(browser.texts(".grid tbody tr")) == 64
    assert len(browser.driver.find_elements("css selector", ".timeline .critical")) > 5


def test_a_cell_leads_to_its_failure(browser: Browser, page: str) -> None:
    browser.look_as(PHONE)
    browser.open(page)
    link = browser.driver.find_element("css selector", ".grid td.impossible a")
    browser.run("arguments[0].click()", link)
    assert browser.run("return document.querySelector(':target h3').textContent").startswith("tensorflow")


def test_the_names_of_packages_stay_in_sight(browser: Browser, page: str) -> None:
    """On a phone the targets are scrolled through beside them."""
    browser.look_as(PHONE)
    browser.open(page)
    place = "return document.querySelector('.grid tbody th').getBoundingClientRect().left"
    before = browser.run(place)
    browser.run("document.querySelector('.scroll:has(.grid)').scrollLeft = 400")
    assert browser.run("return document.querySelector('.grid tbody td').getBoundingClientRect().right") < 100
    assert abs(browser.run(place) - before) < 10


def test_a_night_after_which_a_package_regressed(whb: Whb, tmp_path: Path) -> None:
    """Its source has another hash, and needs a header that nobody has: the report and `explain` say so."""
    links, summary = tmp_path / "links", tmp_path / "summary"
    links.mkdir()
    (tmp_path / "whb.toml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "requirements.txt").write_text("--find-links links\ndemo\n", encoding="utf-8")
    environment = {"WHB_VERIFY_ENGINE": "off", "GITHUB_STEP_SUMMARY": str(summary)}
    sdist(links, "demo", c_extension("demo"))
    whb.ok("refresh", cwd=tmp_path, **environment)
    sdist(links, "demo", c_extension("demo", includes="#include <lber.h>"))
    done = whb("refresh", "--json", cwd=tmp_path, **environment)
    assert done.returncode == 1
    report = json.loads((tmp_path / "whb-report/report.json").read_bytes())
    assert report == json.loads(done.stdout)
    (change,) = report["changes"]["items"]
    assert (change["kind"], change["name"]) == ("regressed", "demo")
    assert [told.split()[0] for told in change["inputs"]] == ["source"]
    assert [step["span"] for step in report["critical-path"]] == ["resolve", JOB, "publish"]
    markdown = (tmp_path / "whb-report/report.md").read_text(encoding="utf-8")
    assert "### demo 1.0 — regressed · failed · missing-library" in markdown
    assert summary.read_text(encoding="utf-8").count("# Wheelhouse: ") == 2  # of both runs
    explained = whb.ok("explain", "demo", cwd=tmp_path).stdout
    assert f"demo 1.0 for {JOB.removeprefix('demo-1.0-')}: failed" in explained
    assert "demo.c:2:10: fatal error: 'lber.h' file not found" in explained
    assert "since the good build of" in explained
    job = json.loads(whb.ok("explain", JOB, "--json", cwd=tmp_path).stdout)
    assert job["explanations"][0]["failed"]["kind"] == "missing-library"


def test_a_run_that_could_not_begin_is_reported(whb: Whb, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("--no-index\nno-such-project-anywhere\n", encoding="utf-8")
    arguments = ("requirements.txt", "--python", "3.12", "--arch", "amd64", "--report", "out")
    assert whb("build", *arguments, cwd=tmp_path).returncode == 3
    report = json.loads((tmp_path / "out/report.json").read_bytes())
    assert (report["rows"], report["error"]["exit_code"]) == ([], 3)
    assert "no-such-project-anywhere" in (tmp_path / "out/report.html").read_text(encoding="utf-8")
