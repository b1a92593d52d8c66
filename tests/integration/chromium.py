"""Debian's headless Chromium, as a person with a wide screen or a phone, in the light or the dark, has it."""

from __future__ import annotations

import contextlib
import tempfile
import time
from typing import TYPE_CHECKING, Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AXE = "axe-core-4.14.1.js"  # in the folder of the tests: scripts/axe
PHONE = (360, 780)
DESK = (1200, 900)
# As root, and on a machine that reaches nothing: without these Chromium looks for its maker's hosts.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class Browser:
    """One window."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def look_as(self, size: tuple[int, int] = DESK, *, dark: bool = False, script: bool = True) -> None:
        """Be a screen of this size, in light or dark, with or without scripts, from the next page on."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})

    def open(self, url: str) -> None:
        """Load a page; whatever the one before complained about is forgotten."""
        self.complaints()
        self.driver.get(url)

    def complaints(self) -> list[str]:
        """What the console said since the last time: errors, what the policy forbade, what was not found."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]  # selenium

    def run(self, script: str, *arguments: object) -> Any:
        """The value of a script."""
        return self.driver.execute_script(script, *arguments)

    def texts(self, selector: str) -> list[str]:
        """The text that can be seen of each element that can be."""
        found = self.driver.find_elements("css selector", selector)
        return [element.text for element in found if element.is_displayed()]

    def barriers(self, axe: Path) -> list[tuple[str, str, str]]:
        """What axe-core, which lies there, finds in the page that keeps people out: rule, element, what is wrong."""
        self.run(axe.read_text(encoding="utf-8"))
        found = self.driver.execute_async_script(
            "axe.run(document, {resultTypes: ['violations']}).then(arguments[0], error => arguments[0](String(error)))"
        )
        assert len(found["passes"]) > 20
        return [
            (rule["id"], node["html"], node["failureSummary"]) for rule in found["violations"] for node in rule["nodes"]
        ]

    def wait(self, holds: Callable[[], object], seconds: float = 60.0) -> None:
        """Until something holds; fails when it never does."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.02)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a new profile, which is closed at the end."""
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
