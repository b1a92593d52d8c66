"""Real pip and uv are sent on to another index for what is not here, and never for what is ours."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import pytest

from tests.houses import add, house_with, publish_all
from tests.integration.serve import whb_serve
from tests.wheels import make_wheel
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.store import record_of
from wheelhouse_builder.wheelhouse.yanking import yank

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.serve import Running
    from wheelhouse_builder.wheelhouse.store import Wheelhouse

pytestmark = pytest.mark.integration


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Running]:
    """An index where somebody registered our names, with higher versions."""
    house = house_with(tmp_path / "upstream", "public")
    for name in ("ours", "acme", "acme-secret", "acme-new"):
        add(house, name, "99.0")
    publish_all(house)
    with whb_serve(house.root, tmp_path / "run-upstream") as running:
        yield running


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    """`ours` needs `public`, which is upstream only."""
    (tmp_path / "here").mkdir()
    made = house_with(tmp_path / "here" / "wheelhouse", "acme")
    wheel = make_wheel(tmp_path / "here", name="ours", requires=("public",))
    with made.lock():
        made.admit(wheel, record_of(wheel, origin="built"))
        publish(made, {})
    return made


def install(tool: str, index: str, folder: Path, *packages: str) -> subprocess.CompletedProcess[str]:
    tools = {
        "pip": ("pip", "install", "--no-cache-dir", "--index-url", index, "--target", str(folder)),
        "uv": ("uv", "pip", "install", "--no-config", "--no-cache", "--default-index", index, "--target", str(folder)),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "HOME": str(folder.parent)}
    argv = [sys.executable, "-m", *tools[tool], *packages]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


def status_and_text(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_what_is_not_here_comes_from_there_and_ours_from_here(
    house: Wheelhouse, upstream: Running, tmp_path: Path, tool: str
) -> None:
    options = ("--upstream", f"{upstream.url}simple/", "--reserve", "acme-*")
    with whb_serve(house.root, tmp_path / "run", *options) as running:
        assert "nothing is reserved" not in running.said
        index, folder = f"{running.url}simple/", tmp_path / "installed"
        done = install(tool, index, folder, "ours", "acme")
        assert done.returncode == 0, done.stdout + done.stderr
        found = {path.name for path in folder.glob("*.dist-info")}
        assert found == {"ours-1.0.dist-info", "public-1.0.dist-info", "acme-1.0.dist-info"}
        for name in ("acme-new", "Acme_New", "ACME.secret"):
            done = install(tool, index, folder, name)
            assert done.returncode != 0, name
        assert upstream.logs(path="/simple/public/")["status"] == 200
        assert not [line for line in upstream.logged if "acme" in line["path"] or "ours" in line["path"]]
        assert "public" not in status_and_text(index)[1]
        assert running.logs(route="upstream")["status"] == 302


def test_yanked_and_lost_names_stay_ours(house: Wheelhouse, upstream: Running, tmp_path: Path) -> None:
    (record,) = (wheel for wheel in house.records.all() if wheel.name == "acme")
    with house.lock():
        yank(house, record.name, record.version, "bad")
        publish(house, {})
    with whb_serve(house.root, tmp_path / "run", "--upstream", f"{upstream.url}simple/") as running:
        assert "nothing is reserved" in running.said
        assert "99.0" not in status_and_text(f"{running.url}simple/acme/")[1]
        (house.root / record.filename).unlink()
        with house.lock():
            house.check()
            publish(house, {})
        for _ in range(2):
            status, text = status_and_text(f"{running.url}simple/acme/")
            assert status in {200, 404}
            assert "99.0" not in text


def test_an_upstream_over_plain_http_is_refused(house: Wheelhouse, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "wheelhouse_builder", "serve", "--wheelhouse", str(house.root), "--port", "0"]
    done = subprocess.run(
        [*argv, "--upstream", "http://index.example/simple/"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no safe upstream index" in done.stderr
