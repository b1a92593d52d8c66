"""What real pip and uv see of a yank, of a mark and of a roll-back."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.wheels import make_wheel
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

UV: list[str | Path] = [sys.executable, "-m", "uv"]
CLIENTS = ("pip", "uv")
WAYS = {"index": ("--index-url", "{url}/simple/"), "page": ("--no-index", "--find-links", "{url}/links/index.html")}


def run(argv: list[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "WHB_"))}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def pip(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """pip, in an environment of its own."""
    folder = tmp_path_factory.mktemp("pip")
    python = folder / "venv" / "bin" / "python"
    assert run([*UV, "venv", "--quiet", "--python", sys.executable, folder / "venv"], folder).returncode == 0
    assert run([*UV, "pip", "install", "--quiet", "--python", python, "pip>=26.1"], folder).returncode == 0
    return [python, "-m", "pip", "install", "--no-cache-dir"]


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    """Two generations: demo 1.0, then demo 2.0 too."""
    house = Wheelhouse(tmp_path / "wheel house")
    for version in ("1.0", "2.0"):
        with house.lock():
            wheel = make_wheel(tmp_path, version=version)
            house.admit(wheel, record_of(wheel, origin="built"))
            publish(house, {})
    return house


def whb(house: Wheelhouse, *arguments: str) -> None:
    done = run([sys.executable, "-m", "wheelhouse_builder", *arguments, "-w", house.root], house.root.parent)
    assert done.returncode == 0, done.stderr


class Installer:
    """One client, one way to the wheelhouse."""

    def __init__(self, argv: list[str | Path], house: Wheelhouse, way: str) -> None:
        self.argv = [*argv, *(option.format(url=house.root.as_uri()) for option in WAYS[way])]
        self.folder = house.root.parent
        self.count = 0

    def __call__(self, requirement: str, *options: str) -> str | None:
        """The version that it installs; None if it finds none."""
        self.count += 1
        out = self.folder / f"out-{self.count}"
        done = run([*self.argv, "--target", out, *options, requirement], self.folder)
        assert done.returncode == 0 or "demo" in done.stdout + done.stderr
        found = [path.name.split("-")[1].removesuffix(".dist") for path in out.glob("*.dist-info")]
        return found[0] if found else None


COMBINATIONS = [(client, way) for client in CLIENTS for way in WAYS]


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def install(request: pytest.FixtureRequest, pip: list[str | Path], house: Wheelhouse) -> Installer:
    client, way = request.param
    uv: list[str | Path] = [*UV, "pip", "install", "--no-cache", "--python", sys.executable]
    return Installer(pip if client == "pip" else uv, house, way)


# uv 0.13 takes no notice of `data-yanked` on a page that is given with --find-links.
@pytest.mark.parametrize(
    "install", [pair for pair in COMBINATIONS if pair != ("uv", "page")], ids="-".join, indirect=True
)
def test_a_yanked_version_is_for_who_pins_it(house: Wheelhouse, install: Installer) -> None:
    assert install("demo") == "2.0"
    whb(house, "yank", "demo==2.0", "--reason", "broken <on> \"arm64\" & 'amd64'")
    assert install("demo") == "1.0"
    assert install("demo==2.0") == "2.0"
    whb(house, "yank", "demo==2.0", "--undo")
    assert install("demo") == "2.0"


def test_clients_see_a_roll_back(house: Wheelhouse, install: Installer) -> None:
    whb(house, "rollback")
    assert install("demo") == "1.0"
    assert install("demo==2.0") is None
    whb(house, "index")
    assert install("demo") == "2.0"


def test_quarantined_project_is_installed_by_nobody(house: Wheelhouse, install: Installer) -> None:
    whb(house, "mark", "demo", "quarantined", "--reason", "malware <found>")
    assert install("demo") is None
    assert install("demo==1.0") is None
    for status in ("archived", "deprecated", "active"):
        whb(house, "mark", "demo", status)
        assert install("demo") == "2.0"


def test_times_stay_through_yank_and_roll_back(house: Wheelhouse, tmp_path: Path) -> None:
    """uv's cut-off works on static files, and no publication makes a wheel younger."""
    install = Installer([*UV, "pip", "install", "--no-cache", "--python", sys.executable], house, "index")
    before = (house.root / "simple" / "demo" / "index.html").read_text().partition("data-upload-time=")[2][:22]
    whb(house, "yank", "demo==2.0", "--reason", "broken")
    whb(house, "rollback", "1")
    whb(house, "index")
    assert (house.root / "simple" / "demo" / "index.html").read_text().partition("data-upload-time=")[2][:22] == before
    assert install("demo", "--exclude-newer", "2100-01-01") == "1.0"
    assert install("demo", "--exclude-newer", "2020-01-01") is None
