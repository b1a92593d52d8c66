"""What real pip and uv ask of the server, and what they make of its answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.houses import add, publish_all
from tests.server import serving
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse
from wheelhouse_builder.wheelhouse.yanking import yank

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

UV: list[str | Path] = [sys.executable, "-m", "uv"]
PIPS = ("22.3", "23.2.1", "25.0.1", "newest")
PROJECTS = 10
CHAIN = "chain_{}-1.0-py3-none-any.whl"
FIRST, LATER = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)
CUT = "2026-02-01T00:00:00Z"


def run(argv: list[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "WHB_"))}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def ok(argv: list[str | Path], cwd: Path) -> str:
    done = run(argv, cwd)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def pips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each version of pip the Python that has it."""
    folder, found = tmp_path_factory.mktemp("pips"), {}
    for version in PIPS:
        python = folder / version / "bin" / "python"
        ok([*UV, "venv", "--quiet", "--python", sys.executable, folder / version], folder)
        wanted = "pip" if version == "newest" else f"pip=={version}"
        ok([*UV, "pip", "install", "--quiet", "--python", python, wanted], folder)
        found[version] = python
    return found


@dataclass(frozen=True)
class Served:
    """A wheelhouse that is served, and what was asked of the server."""

    house: Wheelhouse
    url: str
    log: Path

    @property
    def index(self) -> str:
        return f"{self.url}/simple/"

    def requests(self) -> list[tuple[str, int]]:
        """Each request since the last call: path and status."""
        found = re.findall(r'"[A-Z]+ (\S+) HTTP/1.1" ([0-9]+)', self.log.read_text())
        self.log.write_text("")
        return [(path, int(status)) for path, status in found]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A chain of projects, each needing the next; demo in three versions, the newest later, one of them yanked."""
    folder = tmp_path_factory.mktemp("served")
    house = Wheelhouse(folder / "wheel house")
    for number in range(PROJECTS):
        add(house, f"chain-{number}", requires=(f"chain-{number + 1}",) if number + 1 < PROJECTS else ())
    for version in ("1.0", "2.0"):
        add(house, "demo", version)
    publish_all(house, now=FIRST)
    add(house, "demo", "3.0")
    publish_all(house, now=LATER)
    with house.lock():
        yank(house, canonicalize_name("demo"), Version("2.0"), "broken <b> & co")
    log = folder / "requests.log"
    log.touch()
    with serving(house.root, log=log) as url:
        yield Served(house, url, log)


@pytest.fixture(params=PIPS)
def pip(request: pytest.FixtureRequest, pips: dict[str, Path]) -> list[str | Path]:
    return [pips[request.param], "-m", "pip"]


# What each asks for of a wheel that it would install. The first does not know the name `core-metadata`; those
# before 25.1 fetch in a dry run, at its end, what they chose.
ASKED = {"22.3": ("",), "23.2.1": (".metadata", ""), "25.0.1": (".metadata", ""), "newest": (".metadata",)}


@pytest.mark.parametrize("version", PIPS)
def test_pip_resolves_from_metadata(version: str, pips: dict[str, Path], served: Served, tmp_path: Path) -> None:
    arguments: list[str | Path] = [pips[version], "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    arguments += ["--cache-dir", tmp_path / "cache", "--index-url", served.index, "--trusted-host", "127.0.0.1"]
    served.requests()
    assert f"chain-{PROJECTS - 1}-1.0" in ok([*arguments, "chain-0"], tmp_path)
    first = served.requests()
    assert sorted(path for path, _ in first) == sorted(
        path
        for number in range(PROJECTS)
        for path in (f"/simple/chain-{number}/", *(f"/{CHAIN.format(number)}{suffix}" for suffix in ASKED[version]))
    )
    assert {status for _, status in first} == {200}
    ok([*arguments, "chain-0"], tmp_path)
    assert {status for _, status in served.requests()} <= {304}


def test_uv_resolves_from_metadata(served: Served, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("chain-0\n")
    arguments = [*UV, "pip", "compile", "--quiet", "in.txt", "--default-index", served.index]
    arguments += ["--cache-dir", tmp_path / "cache", "--python", sys.executable]
    served.requests()
    ok(arguments, tmp_path)
    first = served.requests()
    assert sorted(path for path, _ in first) == sorted(
        path for number in range(PROJECTS) for path in (f"/simple/chain-{number}/", f"/{CHAIN.format(number)}.metadata")
    )
    assert {status for _, status in first} == {200}
    ok(arguments, tmp_path)
    assert served.requests() == []  # the pages are fresh for a minute
    ok([*arguments, "--refresh"], tmp_path)
    again = served.requests()
    assert {status for _, status in again} == {304}
    assert len(again) <= 2 * PROJECTS


def test_pip_installs_with_hashes(pip: list[str | Path], served: Served, tmp_path: Path) -> None:
    page = urllib.request.Request(f"{served.index}demo/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(page) as answer:
        hashes = {file["filename"]: file["hashes"]["sha256"] for file in json.load(answer)["files"]}
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"demo==3.0 --hash=sha256:{hashes['demo-3.0-py3-none-any.whl']}\n")
    install = [*pip, "install", "--no-cache-dir", "--target", tmp_path / "there", "--index-url", served.index]
    ok([*install, "--require-hashes", "-r", lock], tmp_path)
    assert (tmp_path / "there" / "demo.py").is_file()
    lock.write_text(f"demo==3.0 --hash=sha256:{'0' * 64}\n")
    assert "DO NOT MATCH" in run([*install, "--require-hashes", "-r", lock], tmp_path).stderr


def chosen(output: str) -> str:
    found = re.search(r"demo[-=]+([0-9.]+)", output.rpartition("Would install")[2] or output)
    assert found, output
    return found[1]


def test_pip_sees_yanks(pip: list[str | Path], served: Served, tmp_path: Path) -> None:
    arguments = [*pip, "install", "--dry-run", "--no-cache-dir", "--ignore-installed", "--index-url", served.index]
    assert chosen(ok([*arguments, "demo<3"], tmp_path)) == "1.0"
    told = ok([*arguments, "demo==2.0"], tmp_path)
    assert chosen(told) == "2.0"
    assert "broken <b> & co" in told


def test_pip_sees_when_a_file_was_published(pips: dict[str, Path], served: Served, tmp_path: Path) -> None:
    pip: list[str | Path] = [pips["newest"], "-m", "pip"]
    arguments = [*pip, "install", "--dry-run", "--no-cache-dir", "--ignore-installed", "--index-url", served.index]
    assert chosen(ok([*arguments, "demo"], tmp_path)) == "3.0"
    assert chosen(ok([*arguments, "--uploaded-prior-to", CUT, "demo"], tmp_path)) == "1.0"


def test_uv_sees_yanks_and_when_a_file_was_published(served: Served, tmp_path: Path) -> None:
    def resolved(requirement: str, *options: str) -> str:
        (tmp_path / "in.txt").write_text(requirement)
        arguments = [*UV, "pip", "compile", "--no-header", "in.txt", "--default-index", served.index, "--no-cache"]
        return ok([*arguments, "--python", sys.executable, *options], tmp_path)

    assert chosen(resolved("demo")) == "3.0"
    assert chosen(resolved("demo<3")) == "1.0"
    assert chosen(resolved("demo", "--exclude-newer", CUT)) == "1.0"
    assert "broken <b> & co" in resolved("demo==2.0")


@pytest.mark.parametrize("way", [["--index-url", "{url}/simple/"], ["--no-index", "--find-links", "{url}/links/"]])
def test_uv_installs(served: Served, tmp_path: Path, way: list[str]) -> None:
    options = [option.format(url=served.url) for option in way]
    install: list[str | Path] = [*UV, "pip", "install", "--no-cache", "--python", sys.executable]
    ok([*install, "--target", tmp_path / "there", *options, "chain-0"], tmp_path)
    assert (tmp_path / "there" / f"chain_{PROJECTS - 1}.py").is_file()


def test_pip_installs_from_the_flat_page(pip: list[str | Path], served: Served, tmp_path: Path) -> None:
    arguments = [*pip, "install", "--no-cache-dir", "--target", tmp_path / "there", "--no-index"]
    ok([*arguments, "--find-links", f"{served.url}/links/", "chain-0"], tmp_path)
    assert (tmp_path / "there" / f"chain_{PROJECTS - 1}.py").is_file()


def test_pip_finds_a_project_by_any_spelling(pip: list[str | Path], served: Served, tmp_path: Path) -> None:
    arguments = [*pip, "download", "--no-cache-dir", "--no-deps", "--index-url", served.index, "--dest", tmp_path]
    ok([*arguments, f"Chain_{PROJECTS - 1}"], tmp_path)
    assert (tmp_path / CHAIN.format(PROJECTS - 1)).is_file()


def test_a_resolve_while_generations_change(served: Served, pips: dict[str, Path], tmp_path: Path) -> None:
    """Publications and roll-backs in between; a client may see an older page, never a broken one."""
    arguments: list[str | Path] = [pips["newest"], "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    arguments += ["--no-cache-dir", "--index-url", served.index, "chain-0"]
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        number = 0
        while client.poll() is None:
            number += 1
            add(served.house, "busy", f"1.{number}")
            with served.house.lock():
                publish(served.house, {})
        assert client.stdout is not None
        assert client.returncode == 0, client.stdout.read().decode()
    assert number
