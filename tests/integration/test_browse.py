"""The pages for people in a real browser: what is seen, found, clicked, and who would be kept out."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.chromium import AXE, DESK, PHONE, Browser, chromium
from tests.integration.test_client_config import SERVERS, site
from tests.integration.web import serving_files
from tests.records import verdict
from tests.server import serving
from tests.wheels import make_wheel
from wheelhouse_builder.builds import packed_log
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Whb
    from wheelhouse_builder.verify.verdict import Verdict

pytestmark = pytest.mark.integration

TARGETS = {"amd64": "cp312-musllinux_1_2_x86_64", "arm64": "cp312-musllinux_1_2_aarch64"}
TRICK = '<img src=x onerror="document.title=1"> "quoted" & \'all\''
PAGES = ("browse/index.html", "simple/cffi/about.html", "simple/pure-demo/about.html", "simple/odd-demo/about.html")
OPEN_ALL = "document.querySelectorAll('details').forEach(found => { found.open = true })"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    """A published wheelhouse: both architectures, a pure wheel, a yank, a failed check, 120 projects more."""
    folder = tmp_path_factory.mktemp("made")
    house = Wheelhouse(folder / "wheel house")  # a space: every link has to be right
    log = folder / "build.log"
    log.write_text("building https://me:secret@host/cffi\nbuilt: ✓\n", encoding="utf-8")
    (folder / "build.log.gz").write_bytes(packed_log(log))
    with house.lock():
        for target in TARGETS.values():
            seen = [verdict("loader", target), verdict("import", target, method="qemu", notes=(TRICK,))]
            admit(house, folder, "cffi", "2.1.1", target.replace("cp312-", "cp312-cp312-"), *seen)
        admit(house, folder, "pure-demo", "1.0", "py3-none-any", verdict("import", TARGETS["amd64"]))
        failed = verdict("loader", TARGETS["arm64"], problems=(TRICK,))
        admit(house, folder, "odd-demo", "1.0", "cp311-abi3-musllinux_1_2_aarch64", failed)
        admit(house, folder, "odd-demo", "2.0", "py3-none-any")
        for number in range(120):
            admit(house, folder, f"{chr(97 + number % 26)}-project-{number}", "1.0", "py3-none-any")
        wheel = house.records.by_filename("odd_demo-2.0-py3-none-any.whl")
        assert wheel is not None
        house.records.set_yank(wheel.name, wheel.version, TRICK)
        publish(house, {})
    return house


def admit(house: Wheelhouse, folder: Path, name: str, version: str, tag: str, *verdicts: Verdict) -> None:
    wheel = make_wheel(folder, name=name, version=version, tag=tag)
    record = replace(record_of(wheel, origin="built", engine="cross", seconds=127.0), verdicts=verdicts)
    house.admit(wheel, record, log=folder / "build.log.gz" if name == "cffi" else None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@contextlib.contextmanager
def static_server(folder: Path) -> Iterator[str]:
    """Any web server that can do nothing but files, with the folder below a prefix."""
    with serving_files(folder.parent) as address:
        yield f"http://{address}/{folder.name.replace(' ', '%20')}"


@pytest.fixture(scope="module", params=["file", "static", "whb serve"])
def base(request: pytest.FixtureRequest, house: Wheelhouse) -> Iterator[str]:
    """The address of the wheelhouse, without a slash at its end."""
    if request.param == "file":
        yield house.root.as_uri()
    elif request.param == "static":
        with static_server(house.root) as url:
            yield url
    else:
        with serving(house.root) as url:
            yield url


@pytest.fixture(scope="module")
def served(house: Wheelhouse) -> Iterator[str]:
    with serving(house.root) as url:
        yield url


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_whole_wherever_it_lies(browser: Browser, base: str, page: str) -> None:
    browser.look_as()
    browser.open(f"{base}/{page}")
    assert browser.complaints() == []
    assert browser.run("return getComputedStyle(document.body).maxWidth") == "992px"  # the style sheet is there
    assert browser.run("return document.images.length") == 0
    assert browser.driver.title != "1"
    for command in browser.texts(".install dd:not(:last-of-type) code"):
        assert f" {base}/" in command  # so is the script
        assert "URL-OF-THIS-INDEX" not in command


def test_what_a_project_has_is_seen(browser: Browser, base: str) -> None:
    browser.look_as()
    browser.open(f"{base}/simple/cffi/about.html")
    assert browser.texts(".matrix tbody th") == ["amd64", "arm64"]
    assert browser.texts(".matrix td.imported") == ["imported\nemulated"] * 2
    marks = "return getComputedStyle(document.querySelector(arguments[0]), '::before').content"
    assert "✓" in browser.run(marks, ".matrix td.imported a")  # never colour alone
    assert browser.texts(".matrix td.missing a") == []
    assert len(browser.texts(".matrix td.missing")) == 6
    assert browser.texts(".body") == []


def test_a_cell_opens_its_wheel(browser: Browser, base: str) -> None:
    browser.look_as()
    browser.open(f"{base}/simple/cffi/about.html")
    browser.driver.find_elements("css selector", ".matrix td.imported a")[1].click()
    browser.wait(lambda: browser.texts(".body"))
    (shown,) = browser.texts(".body")
    assert "cffi-2.1.1-cp312-cp312-musllinux_1_2_aarch64.whl" in shown
    assert "under emulation" in shown
    assert TRICK in shown


def test_a_yank_and_a_failure_are_told(browser: Browser, base: str) -> None:
    browser.look_as()
    browser.open(f"{base}/simple/odd-demo/about.html")
    assert browser.texts("h1") == ["odd-demo 1.0"]
    assert browser.texts(".notice") == [f"Yanked: {TRICK}"]
    assert browser.texts(".matrix td.failed") == ["fails"] * 4
    assert browser.texts(".matrix td.unverified") == ["not verified"] * 8


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("page", PAGES)
def test_nobody_is_kept_out(
    browser: Browser, house: Wheelhouse, test_dir: Path, page: str, size: Any, dark: bool
) -> None:
    """axe-core finds nothing; no page is wider than the screen."""
    browser.look_as(size, dark=dark)
    browser.open(f"{house.root.as_uri()}/{page}")
    browser.run(OPEN_ALL)
    assert browser.run("return document.documentElement.scrollWidth") <= size[0]
    assert browser.barriers(test_dir / AXE) == []


def test_dark_is_dark(browser: Browser, house: Wheelhouse) -> None:
    grounds = []
    for dark in (False, True):
        browser.look_as(dark=dark)
        browser.open(f"{house.root.as_uri()}/browse/index.html")
        grounds.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(17, 21, 26)"]


def names(browser: Browser) -> list[str]:
    return browser.texts(".projects tbody a")


def type_in(browser: Browser, text: str) -> Any:
    field = browser.driver.find_element("id", "q")
    field.clear()
    field.send_keys(text)
    return field


def test_the_list_follows_the_search(browser: Browser, base: str) -> None:
    browser.look_as()
    browser.open(f"{base}/browse/index.html")
    assert len(names(browser)) == 123
    assert browser.texts("#count") == ["123 projects, 125 wheels"]
    assert len(browser.texts(".letters a")) == 26
    type_in(browser, "Pure_Demo")
    assert names(browser) == ["pure-demo"]
    assert browser.texts("#count") == ["1 project for “Pure_Demo”, of 123"]
    assert browser.texts(".part h2") == ["P"]
    type_in(browser, "demo")
    assert names(browser) == ["odd-demo", "pure-demo"]
    type_in(browser, "no such thing")
    assert names(browser) == []
    assert browser.texts(".nothing") == ["No project has that in its name or summary."]
    type_in(browser, " ")
    assert len(names(browser)) == 123


def test_a_search_from_another_page_arrives(browser: Browser, base: str) -> None:
    browser.look_as()
    browser.open(f"{base}/simple/cffi/about.html")
    type_in(browser, "demo").submit()
    browser.wait(lambda: "/browse/" in browser.driver.current_url)
    browser.wait(lambda: names(browser) == ["odd-demo", "pure-demo"])
    assert browser.driver.find_element("id", "q").get_attribute("value") == "demo"


def test_the_search_needs_no_script_on_whb_serve(browser: Browser, served: str) -> None:
    browser.look_as(script=False)
    browser.open(f"{served}/browse/")
    assert len(names(browser)) == 123
    type_in(browser, "Demo").submit()
    browser.wait(lambda: "?q=Demo" in browser.driver.current_url)
    assert names(browser) == ["odd-demo", "pure-demo"]
    assert browser.texts("#count") == ["2 projects for “Demo”, of 123"]
    browser.driver.find_element("link text", "All projects").click()
    browser.wait(lambda: len(names(browser)) == 123)


def test_a_page_reads_well_without_a_script(browser: Browser, base: str) -> None:
    browser.look_as(script=False)
    browser.open(f"{base}/simple/cffi/about.html")
    assert browser.texts(".install code")[0] == "pip install --index-url URL-OF-THIS-INDEX/simple/ cffi==2.1.1"
    assert "URL-OF-THIS-INDEX is the address of this index." in browser.texts(".install + p")[0]
    assert browser.texts("button.copy") == []
    browser.driver.find_elements("css selector", ".wheel summary")[0].click()
    assert len(browser.texts(".body")) == 1


def press_copy(browser: Browser, served: str, *permissions: str) -> str:
    """Press the first button to copy; what it says then. What is not among the permissions is denied."""
    browser.open(f"{served}/simple/cffi/about.html")
    grant = {"permissions": permissions, "origin": served}
    browser.driver.execute_cdp_cmd("Browser.grantPermissions", grant)
    browser.driver.find_elements("css selector", "button.copy")[0].click()
    browser.wait(lambda: browser.texts("button.copy")[0] != "Copy")
    return browser.texts("button.copy")[0]


def test_a_line_can_be_copied(browser: Browser, served: str) -> None:
    browser.look_as()
    line = f"pip install --index-url {served}/simple/ cffi==2.1.1"
    assert press_copy(browser, served, "clipboardReadWrite", "clipboardSanitizedWrite") == "Copied"
    assert browser.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])") == line
    assert press_copy(browser, served, "midi") == "Selected"
    assert browser.run("return getSelection().toString()") == line
    assert browser.complaints() == []


def test_the_keyboard_reaches_everything(browser: Browser, house: Wheelhouse) -> None:
    """The first key leads past the header; what has the focus is seen."""
    browser.look_as()
    browser.open(f"{house.root.as_uri()}/simple/cffi/about.html")
    browser.driver.find_element("css selector", "body").send_keys("\ue004")  # Tab
    assert browser.run("return document.activeElement.textContent") == "Skip to content"
    assert browser.run("return document.activeElement.getBoundingClientRect().top") >= 0
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.fixture(params=["whb serve", *SERVERS])
def any_server(request: pytest.FixtureRequest, house: Wheelhouse, whb: Whb) -> Iterator[str]:
    """whb serve, or a web server as `whb client-config` sets it up; without a slash at the end."""
    if request.param == "whb serve":
        with serving(house.root) as url:
            yield url
        return
    with tempfile.TemporaryDirectory() as name:  # the server's own user has to read it
        Path(name).chmod(0o755)
        copy = shutil.copytree(house.root, Path(name, "wheelhouse"), symlinks=True)
        with site(request.param, whb, copy) as made:
            yield made.url.removesuffix("/")


def test_every_server_shows_the_pages(browser: Browser, any_server: str) -> None:
    browser.look_as()
    browser.open(f"{any_server}/")
    browser.wait(lambda: browser.driver.current_url == f"{any_server}/browse/")
    assert browser.run("return getComputedStyle(document.body).maxWidth") == "992px"
    browser.driver.find_element("link text", "cffi").click()
    browser.wait(lambda: browser.texts(".matrix"))
    assert browser.texts(".install code")[0] == f"pip install --index-url {any_server}/simple/ cffi==2.1.1"
    type_in(browser, "pure").submit()
    browser.wait(lambda: names(browser) == ["pure-demo"])
    assert browser.complaints() == []
    browser.driver.find_element("link text", "links/").click()
    browser.wait(lambda: browser.driver.title == "Links")


def test_a_log_can_be_read_where_it_is_linked(browser: Browser, any_server: str) -> None:
    browser.look_as()
    browser.open(f"{any_server}/simple/cffi/about.html")
    browser.run(OPEN_ALL)
    browser.driver.find_element("link text", "Log of the build").click()
    browser.wait(lambda: browser.driver.current_url.endswith(".log.gz"))
    assert browser.texts("body") == ["building https://***@host/cffi\nbuilt: ✓"]
