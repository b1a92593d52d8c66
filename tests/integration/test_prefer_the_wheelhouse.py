"""docs/how-to/prefer-the-wheelhouse.md, done as it is printed: pip old and new, uv; a wheelhouse, an index on loopback.

Each cell of its tables is a test, and so is each sentence that says what a recipe does not guard against.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import in_alpine
from tests.integration.frontends import FRONT_ENDS
from tests.integration.web import serving_files
from tests.pages import ROOT, blocks, commands, named_blocks, section, tables
from tests.wheels import make_wheel
from wheelhouse_builder.errors import WhbError
from wheelhouse_builder.target import Target
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.integration.frontends import FrontEnd

pytestmark = pytest.mark.integration

PAGE = "docs/how-to/prefer-the-wheelhouse.md"
PIPS = ("pip-22", "pip-25", "pip-26")
CLIENTS = (*PIPS, "uv")
PIP, UV_PIP, UV_SYNC = (section(PAGE, heading) for heading in ("pip", "uv pip", "uv sync"))
ANOTHER_PLATFORM = "cp311-cp311-musllinux_1_2_s390x"  # no machine that runs these tests

# Says where the module comes from, what it was asked for, and with what it was built.
BACKEND = """\
import os, zipfile
try:
    from helper import VERSION as HELPER
except ImportError:
    HELPER = None

def build_wheel(folder, config_settings=None, metadata_directory=None):
    module = f"FROM = 'compiled'\\nSETTINGS = {dict(config_settings or {})!r}\\n"
    module += f"WHB_TARGET = {os.environ.get('WHB_TARGET')!r}\\n"
    info = "{name}-{version}.dist-info"
    with zipfile.ZipFile(os.path.join(folder, "{name}-{version}-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("{name}.py", module + f"HELPER = {HELPER!r}\\nSOURCE = {open('{name}.c').read()!r}\\n")
        wheel.writestr(f"{info}/METADATA", open("PKG-INFO").read())
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return "{name}-{version}-py3-none-any.whl"

build_editable = build_wheel
"""


def write_tree(folder: Path, name: str, version: str, requires: tuple[str, ...] = ()) -> Path:
    """A project that `BACKEND` builds; `requires` is for its build environment."""
    project = f'[project]\nname = "{name}"\nversion = "{version}"\nrequires-python = ">=3.11"\n'
    system = f'[build-system]\nrequires = {list(requires)}\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    backend = BACKEND.replace("{name}", name).replace("{version}", version)
    folder.mkdir()
    (folder / "pyproject.toml").write_text(system + project, encoding="utf-8")
    (folder / "PKG-INFO").write_text(f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (folder / "backend.py").write_text(backend, encoding="utf-8")
    (folder / f"{name}.c").write_text("old", encoding="utf-8")
    return folder


def wheel_that_says(folder: Path, origin: str, **wheel: object) -> Path:
    """A wheel whose module knows where it lay."""
    name = str(wheel.get("name", "demo"))
    return make_wheel(folder, files={f"{name}.py": f"FROM = {origin!r}\n".encode()}, **wheel)  # type: ignore[arg-type]  # those of make_wheel


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder with a wheelhouse, an index on loopback, an environment to install into, and clients on PATH."""

    root: Path
    top: str  # the URL of the folder
    python: Path
    pips: Mapping[str, Path]  # folders that hold pip
    uv: Path

    @property
    def index(self) -> str:
        return f"{self.top}index/simple/"

    @property
    def files(self) -> Path:
        return self.root / "index/files"

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.write_text(text, encoding="utf-8")
        return path

    def stock_wheelhouse(self, *wheels: Path, target: str | None = None) -> None:
        """Take these in and publish; as the whole lock of a target, if one is named."""
        house = Wheelhouse(self.root / "wheelhouse")
        with house.lock():
            names = [house.admit(wheel, record_of(wheel, origin="built")).filename for wheel in wheels]
            publish(house, {Target.parse(target): names} if target else {})

    def ours(self, version: str = "1.0", **wheel: object) -> Path:
        """A wheel for the wheelhouse."""
        (self.root / "made").mkdir(exist_ok=True)
        return wheel_that_says(self.root / "made", "ours", version=version, **wheel)

    def indexed(self, version: str = "1.0", **wheel: object) -> Path:
        """A wheel of the index."""
        return wheel_that_says(self.files, "index", version=version, **wheel)

    def indexed_sdist(self, version: str = "1.0", *, requires: tuple[str, ...] = ()) -> Path:
        """An sdist of the index."""
        return self.pack(write_tree(self.root / f"demo-{version}", "demo", version, requires), self.files)

    def pack(self, tree: Path, into: Path) -> Path:
        path = into / f"{tree.name}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(tree, tree.name)
        shutil.rmtree(tree)
        return path

    def publish_index(self) -> None:
        """Pages with hashes for what lies in the index's folder."""
        for name in {path.name.partition("-")[0] for path in self.files.iterdir()}:
            page = self.root / "index/simple" / name / "index.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            files = sorted(path for path in self.files.iterdir() if path.name.startswith(f"{name}-"))
            links = (f'<a href="../../files/{path.name}#sha256={sha256(path)}">{path.name}</a>' for path in files)
            page.write_text(f"<!DOCTYPE html><html><body>{'<br>'.join(links)}</body></html>", encoding="utf-8")

    def run(self, client: str, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a recipe, with this client as `pip` or as `uv`, as somebody whose index is ours."""
        self.publish_index()
        self._put_on_path(client)
        own = re.compile(r"(PIP|UV|WHB|XDG|PYTHON)_.*|VIRTUAL_ENV|PYTHONPATH")
        kept = {name: value for name, value in os.environ.items() if not own.fullmatch(name)}
        environ = {
            "HOME": str(self.root / "home"),
            "PATH": f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PIP_INDEX_URL": self.index,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "UV_DEFAULT_INDEX": self.index,
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_CACHE_DIR": str(self.root / "home/uv"),
            "VIRTUAL_ENV": str(self.root / ".venv"),
        }
        return subprocess.run(
            ["sh", "-ec", script],
            cwd=self.root,
            env={**kept, **environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def _put_on_path(self, client: str) -> None:
        bin_folder, venv = self.root / "bin", self.root / ".venv"
        bin_folder.mkdir(exist_ok=True)
        if not venv.exists():
            options = ("--quiet", "--no-config", "--offline", "--python", str(self.python))
            subprocess.run(
                [str(self.uv), "venv", *options, str(venv)],
                check=True,
                env={**os.environ, "UV_CACHE_DIR": str(self.root / "home/uv")},
            )
        command = f"'{self.uv}'" if client == "uv" else f"'{venv}/bin/python' '{self.pips[client]}'"
        program = bin_folder / ("uv" if client == "uv" else "pip")
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        program.chmod(0o755)

    def module(self, name: str = "demo") -> dict[str, object]:
        """What the installed module says; nothing if there is none."""
        found: dict[str, object] = {}
        (site_packages,) = (self.root / ".venv/lib").glob("python*/site-packages")
        path = site_packages / f"{name}.py"
        if path.exists():
            exec(path.read_text(encoding="utf-8"), found)
        return {key: value for key, value in found.items() if key.isupper()}

    def outcome(self, done: subprocess.CompletedProcess[str], name: str = "demo") -> object:
        """In the words of the page; then what is installed and what is cached goes."""
        module = self.module(name)
        assert bool(module) == (done.returncode == 0), done.stdout + done.stderr
        for folder in (".venv", "home"):
            shutil.rmtree(self.root / folder)
        (self.root / "home").mkdir()
        return module.get("FROM", "fails")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder and its URL."""
    folder = tmp_path_factory.mktemp("served")
    with serving_files(folder) as address:
        yield folder, f"http://{address}/"


@pytest.fixture
def place(served: tuple[Path, str], front_ends: Mapping[str, FrontEnd], tmp_path: Path) -> Iterator[Place]:
    folder, url = served
    root = folder / tmp_path.name
    for name in ("wheelhouse", "index/files", "index/simple", "home"):
        (root / name).mkdir(parents=True)
    uv = front_ends["uv"]
    pips = {name: next(front_ends[name].python.parent.parent.glob("lib/*/site-packages/pip")) for name in PIPS}
    yield Place(root=root, top=f"{url}{root.name}/", python=uv.python, pips=pips, uv=uv.kept.program("uv", "uv"))
    shutil.rmtree(root)


# Tables


@dataclass(frozen=True)
class Case:
    """A row of a table: what lies where, and what becomes of it with each recipe."""

    client: str
    facts: Mapping[str, str]
    wanted: Mapping[str, str]

    def __str__(self) -> str:
        return "-".join((self.client, *self.facts.values()))


def cases(text: str, clients: tuple[str, ...]) -> list[Case]:
    (rows,) = tables(text)
    recipes = named_blocks(text)
    assert [*rows[0]][3:] == [*recipes]
    return [
        Case(client, {name: row[name] for name in [*row][:3]}, {name: read_cell(row[name], client) for name in recipes})
        for client in clients
        for row in rows
    ]


def read_cell(text: str, client: str) -> str:
    """`ours (pip 22.1: index)` holds for all but the one."""
    word, _, of_the_old = text.partition(" (pip 22.1: ")
    return of_the_old.removesuffix(")") if of_the_old and client == PIPS[0] else word


def set_up(place: Place, row: Mapping[str, str]) -> None:
    """What lies where."""
    wheelhouse: Mapping[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "1.0": lambda: place.stock_wheelhouse(place.ours(requires=needed)),
        "1.0 with a build tag": lambda: place.stock_wheelhouse(
            place.ours().rename(place.root / "made/demo-1.0-1-py3-none-any.whl")
        ),
        "1.0 for another platform": lambda: place.ours(tag=ANOTHER_PLATFORM).rename(
            place.root / f"wheelhouse/demo-1.0-{ANOTHER_PLATFORM}.whl"
        ),
        "1.0 as sdist": lambda: place.pack(
            write_tree(place.root / "demo-1.0", "demo", "1.0"), place.root / "wheelhouse"
        ),
    }
    index: Mapping[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "1.0": place.indexed,
        "2.0": lambda: place.indexed("2.0"),
        "1.0 as sdist": place.indexed_sdist,
        "2.0 as sdist": lambda: place.indexed_sdist("2.0"),
        "2.0 of what it needs": lambda: place.indexed("2.0", name="needed"),
    }
    needed = ("needed",) if row["index"] == "2.0 of what it needs" else ()
    if needed:
        place.stock_wheelhouse(place.ours(name="needed"))
    index[row["index"]]()
    place.publish_index()
    wheelhouse[row["wheelhouse"]]()


def requirements(place: Place, words: str) -> str:
    """The text of requirements.txt, and what has to lie beside it."""
    if words == "a folder: ./demo":
        write_tree(place.root / "demo", "demo", "1.0")
        return "./demo\n"
    texts = {
        "demo, after --extra-index-url": f"--extra-index-url {place.index}\ndemo\n",
        "the URL of the sdist": f"demo @ {place.top}index/files/demo-1.0.tar.gz\n",
        "demo": "demo\n",
        "demo==1.0": "demo==1.0\n",
    }
    return texts[words]


@pytest.mark.parametrize("case", [*cases(PIP, (PIPS[0], PIPS[-1])), *cases(UV_PIP, ("uv",))], ids=str)
def test_requirements_are_installed_as_the_table_says(place: Place, case: Case) -> None:
    set_up(place, case.facts)
    place.write("requirements.txt", requirements(place, case.facts["requirements.txt"]))
    recipes = named_blocks(UV_PIP if case.client == "uv" else PIP)
    assert {name: place.outcome(place.run(case.client, recipe)) for name, recipe in recipes.items()} == case.wanted


@pytest.mark.parametrize("case", cases(UV_PIP, ("uv",)), ids=str)
def test_the_file_is_the_same_as_insisting(place: Place, case: Case) -> None:
    set_up(place, case.facts)
    place.write("requirements.txt", requirements(place, case.facts["requirements.txt"]))
    place.write("other.toml", blocks(UV_PIP)[-1])
    install = "uv pip install -r requirements.txt"
    assert place.outcome(place.run("uv", install, UV_CONFIG_FILE="other.toml")) == case.wanted["insist"]
    (place.root / "other.toml").rename(place.root / "uv.toml")
    assert place.outcome(place.run("uv", install)) == case.wanted["insist"]


@pytest.mark.parametrize("case", cases(UV_SYNC, ("uv",)), ids=str)
def test_a_project_is_synchronised_as_the_table_says(place: Place, case: Case) -> None:
    set_up(place, case.facts)
    asked_for = "needed" if "needs" in case.facts["index"] else "demo"
    write_project(place)
    if case.facts["dependencies"] == "demo, locked before":
        (place.root / "wheelhouse").rename(place.root / "hidden")
        assert place.outcome(place.run("uv", "uv sync")) == "index"
        (place.root / "hidden").rename(place.root / "wheelhouse")
    files = [place.root / name for name in ("pyproject.toml", "uv.lock")]
    before = {path.name: path.read_text(encoding="utf-8") for path in files if path.exists()}
    found = {}
    for recipe in named_blocks(UV_SYNC):
        (place.root / "uv.lock").unlink(missing_ok=True)
        for name, text in before.items():
            place.write(name, text)
        add_recipe(place, recipe)
        done = place.run("uv", "uv sync")
        assert bool(place.module("app")) == (done.returncode == 0), done.stderr
        found[recipe] = place.outcome(done, asked_for)
    assert found == case.wanted


def write_project(place: Place) -> None:
    """The project `app` in the place itself, which depends on demo."""
    project = write_tree(place.root / "app", "app", "1.0")
    for path in project.iterdir():
        path.rename(place.root / path.name)
    append(place.root / "pyproject.toml", 'dependencies = ["demo"]\n')


def add_recipe(place: Place, recipe: str) -> None:
    text = named_blocks(UV_SYNC)[recipe].replace("https://wheels.example/", f"{place.top}wheelhouse/")
    append(place.root / "pyproject.toml", text)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


# What else the page says


def test_a_served_wheelhouse_has_a_page_for_links(place: Place) -> None:
    place.indexed()
    place.stock_wheelhouse(place.ours())
    place.write("requirements.txt", "demo\n")
    served = f"{place.top}wheelhouse/links/"
    for client in (PIPS[0], PIPS[-1], "uv"):
        (rows,) = tables(UV_PIP if client == "uv" else PIP)
        for name, recipe in named_blocks(UV_PIP if client == "uv" else PIP).items():
            assert "=wheelhouse " in recipe
            done = place.run(client, recipe.replace("=wheelhouse ", f"={served} "))
            assert (client, name, place.outcome(done)) == (client, name, rows[0][name])


def test_pip_passes_over_a_wheel_for_another_platform_in_silence(place: Place) -> None:
    set_up(place, {"wheelhouse": "1.0 for another platform", "index": "nothing"})
    place.write("requirements.txt", "demo\n")
    for client in (PIPS[0], PIPS[-1]):
        silent = place.run(client, named_blocks(PIP)["insist"])
        assert (silent.returncode, "No matching distribution found" in silent.stderr) == (1, True)
        assert ANOTHER_PLATFORM not in silent.stdout + silent.stderr
        told = place.run(client, named_blocks(PIP)["insist"].replace("pip install", "pip install -vv"))
        assert f"demo-1.0-{ANOTHER_PLATFORM}.whl" in told.stdout


def test_uv_names_the_platforms(place: Place) -> None:
    set_up(place, {"wheelhouse": "1.0 for another platform", "index": "nothing"})
    place.write("requirements.txt", "demo\n")
    assert ANOTHER_PLATFORM.rpartition("-")[2] in place.run("uv", named_blocks(UV_PIP)["insist"]).stderr


@pytest.mark.parametrize("client", [PIPS[0], PIPS[-1]])
def test_what_is_installed_stays(place: Place, client: str) -> None:
    place.indexed()
    place.write("requirements.txt", "demo\n")
    place.run(client, "pip install demo")
    place.stock_wheelhouse(place.ours())
    insist = named_blocks(PIP)["insist"]
    assert place.run(client, insist).returncode == 0
    assert place.module()["FROM"] == "index"
    assert place.run(client, insist.replace("pip install", "pip install --force-reinstall")).returncode == 0
    assert place.module()["FROM"] == "ours"


@pytest.mark.parametrize("variable", ["UV_NO_BUILD", "UV_NO_INDEX"])
def test_uv_pip_does_not_read_the_variable(place: Place, variable: str) -> None:
    place.indexed_sdist()
    place.write("requirements.txt", "demo\n")
    done = place.run("uv", named_blocks(UV_PIP)["links"], **{variable: "1"})
    assert place.outcome(done) == "compiled"


def test_uv_takes_what_it_has_built_before_though_it_may_not_build(place: Place) -> None:
    place.indexed_sdist()
    place.write("requirements.txt", requirements(place, "the URL of the sdist"))
    assert place.run("uv", "uv pip install -r requirements.txt").returncode == 0
    shutil.rmtree(place.root / ".venv")
    assert place.outcome(place.run("uv", named_blocks(UV_PIP)["wheels"])) == "compiled"


def test_a_package_is_moved_over_to_the_wheelhouse(place: Place) -> None:
    write_project(place)
    place.indexed()
    assert place.run("uv", "uv sync").returncode == 0
    place.stock_wheelhouse(place.ours())
    add_recipe(place, "links")
    assert place.run("uv", "uv sync").returncode == 0
    assert place.module()["FROM"] == "index"
    lock, sync = blocks(UV_SYNC)[-1].splitlines()
    for command in (lock, "uv sync"):
        assert place.run("uv", command).returncode == 0
    assert place.module()["FROM"] == "index"  # installed already, and of the same version
    assert place.run("uv", sync).returncode == 0
    assert place.module()["FROM"] == "ours"


def test_a_lock_has_no_hashes_of_a_folder(place: Place) -> None:
    write_project(place)
    place.stock_wheelhouse(place.ours())
    add_recipe(place, "links")
    assert place.outcome(place.run("uv", "uv sync")) == "ours"
    assert "hash = " not in (place.root / "uv.lock").read_text(encoding="utf-8")
    wheel_that_says(place.root / "wheelhouse", "changed")
    assert place.outcome(place.run("uv", "uv sync --locked")) == "changed"


def test_a_lock_has_the_hashes_of_an_index(place: Place) -> None:
    write_project(place)
    place.stock_wheelhouse(place.ours())
    add_recipe(place, "explicit")
    assert place.outcome(place.run("uv", "uv sync")) == "ours"
    wheel_that_says(place.root / "wheelhouse", "changed")
    done = place.run("uv", "uv sync --locked")
    assert (done.returncode, "Hash mismatch" in done.stderr) == (1, True), done.stderr


# Build environments


def helpers(place: Place) -> None:
    """An sdist that is built with a helper, of which the index has two versions."""
    for version in ("1.0", "2.0"):
        module = f"VERSION = '{version} of the index'\n".encode()
        make_wheel(place.files, name="helper", version=version, files={"helper.py": module})
    place.indexed_sdist(requires=("helper",))
    place.write("requirements.txt", "demo\n")
    place.write("build.txt", "helper<2\n")


BUILDING = section(PAGE, "The build environment")
PRINTED = {name: FRONT_ENDS[name][0].replace("==", " ") for name in CLIENTS}  # pip 22.1


def test_the_page_is_about_these_clients() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert set(re.findall(r"pip \d+\.\d+|uv \d+\.\d+\.\d+", text)) == {*PRINTED.values()}
    assert f"with {PRINTED[PIPS[0]]} and {PRINTED[PIPS[-1]].removeprefix('pip ')}" in text


@pytest.mark.parametrize("client", CLIENTS)
def test_versions_of_what_builds(place: Place, client: str) -> None:
    helpers(place)
    kind = "uv" if client == "uv" else "pip"
    (recipe,) = (line for line in commands(BUILDING) if line.startswith(kind.upper()))
    (variable,) = re.findall(r"^\w+", recipe)
    (rows,) = tables(BUILDING)
    for row in rows:
        (asked,) = (name for name in row[""].split(", ") if name.startswith(variable.partition("_")[0]))
        assert place.run(client, recipe.replace(variable, asked)).returncode == 0
        helper = {"holds": "1.0 of the index", "ignored": "2.0 of the index"}[
            row["uv" if client == "uv" else PRINTED[client]]
        ]
        assert (asked, place.module()["HELPER"]) == (asked, helper)
        shutil.rmtree(place.root / ".venv")


@pytest.mark.parametrize("client", [PIPS[0], PIPS[-1], "uv"])
def test_without_index_the_wheelhouse_has_to_have_what_builds(place: Place, client: str) -> None:
    write_tree(place.root / "demo", "demo", "1.0", ("helper",))
    place.indexed(name="helper")
    place.write("requirements.txt", "./demo\n")
    recipe = named_blocks(UV_PIP if client == "uv" else PIP)["insist"].replace("--no-build ", "")
    done = place.run(client, recipe)
    assert "helper" in done.stdout + done.stderr
    assert place.outcome(done) == "fails"
    module = {"helper.py": b"VERSION = 'ours'\n"}
    place.stock_wheelhouse(make_wheel(place.root / "home", name="helper", files=module))
    assert place.run(client, recipe).returncode == 0
    assert place.module()["HELPER"] == "ours"


@pytest.mark.parametrize("client", [PIPS[0], PIPS[-1]])
def test_with_wheels_alone_what_builds_has_to_be_one(place: Place, client: str) -> None:
    write_tree(place.root / "demo", "demo", "1.0", ("helper",))
    place.pack(write_tree(place.root / "helper-1.0", "helper", "1.0"), place.files)
    place.write("requirements.txt", "./demo\n")
    assert place.outcome(place.run(client, named_blocks(PIP)["wheels"])) == "fails"
    assert place.outcome(place.run(client, named_blocks(PIP)["links"])) == "compiled"


# Hashes


HASHES = section(PAGE, "Hashes")


@pytest.mark.parametrize("client", [PIPS[0], PIPS[-1], "uv"])
def test_hashes_hold_to_one_origin(place: Place, client: str) -> None:
    wheels = {"the index's wheel": place.indexed(), "our wheel": place.ours()}
    place.stock_wheelhouse(wheels["our wheel"])
    kind, recipes = ("uv pip", named_blocks(UV_PIP)) if client == "uv" else ("pip", named_blocks(PIP))
    (rows,) = tables(HASHES)
    assert len(rows) == len(wheels)
    for row in rows:
        place.write("requirements.txt", f"demo==1.0 --hash=sha256:{sha256(wheels[row['hash of']])}\n")
        for recipe in ("links", "insist"):
            outcome = place.outcome(place.run(client, recipes[recipe]))
            assert (row["hash of"], recipe, outcome) == (row["hash of"], recipe, row[f"{kind}: {recipe}"])


@pytest.mark.parametrize("client", [PIPS[0], PIPS[-1], "uv"])
def test_the_list_beside_the_index_has_our_hashes(place: Place, client: str) -> None:
    place.indexed()
    place.stock_wheelhouse(place.ours(), target="cp312-musllinux_1_2_x86_64")
    kind = "uv" if client == "uv" else "pip"
    (recipe,) = (line for line in commands(HASHES) if line.startswith(kind))
    assert place.outcome(place.run(client, recipe)) == "ours"


# Caches


CACHES = section(PAGE, "Caches")


@pytest.mark.parametrize("client", [PIPS[0], PIPS[-1], "uv"])
def test_caches_do_not_look_at_everything(place: Place, client: str) -> None:
    helpers(place)
    kind = "uv" if client == "uv" else "pip"
    (without_cache,) = (line for line in commands(CACHES) if line.startswith(kind))
    (cached,) = {without_cache.replace(" --no-cache-dir", "").replace(" --no-cache", "")}
    setting = " --config-settings a=b" if kind == "pip" else " -C a=b"
    variables = {"WHB_TARGET": "other"}
    constraints = dict.fromkeys(("PIP_BUILD_CONSTRAINT", "PIP_CONSTRAINT", "UV_BUILD_CONSTRAINT"), "build.txt")
    changes: Mapping[str, tuple[str, Mapping[str, str]]] = {
        "-C": (cached + setting, {}),
        "a variable such as WHB_TARGET": (cached, variables),
        "build constraints": (cached, constraints),
        "all of them, without cache": (without_cache + setting, {**variables, **constraints}),
    }
    (rows,) = tables(CACHES)
    assert [row["built again after a change of"] for row in rows] == [*changes]
    place.run(client, cached)
    first = place.module()
    for row in rows:
        shutil.rmtree(place.root / ".venv")
        command, environ = changes[row["built again after a change of"]]
        assert place.run(client, command, **environ).returncode == 0
        assert (command, place.module() != first) == (command, row[kind] == "yes")


def edit(place: Place, text: str) -> None:
    place.write("demo/demo.c", text)
    shutil.rmtree(place.root / ".venv")


@pytest.mark.parametrize("client", [PIPS[0], PIPS[-1]])
def test_pip_builds_a_folder_each_time(place: Place, client: str) -> None:
    place.write("requirements.txt", requirements(place, "a folder: ./demo"))
    for text in ("old", "new"):
        assert place.run(client, "pip install -r requirements.txt").returncode == 0
        assert place.module()["SOURCE"] == text
        edit(place, "new")


def test_uv_builds_a_folder_when_one_of_its_keys_changes(place: Place) -> None:
    place.write("requirements.txt", requirements(place, "a folder: ./demo"))

    def built(**environ: str) -> tuple[object, object]:
        assert place.run("uv", "uv pip install -r requirements.txt", **environ).returncode == 0
        module = place.module()
        return module["SOURCE"], module["WHB_TARGET"]

    assert built() == ("old", None)
    edit(place, "new")
    assert built(WHB_TARGET="other") == ("old", None)
    append(place.root / "demo/pyproject.toml", blocks(CACHES)[-1])
    assert built() == ("new", None)
    edit(place, "newest")
    assert built() == ("newest", None)
    edit(place, "newest")
    assert built(WHB_TARGET="other") == ("newest", "other")


# Alpine


@pytest.mark.parametrize(
    ("client", "taken"),
    [("pip-25", "musllinux_1_2_x86_64"), ("pip-26", "linux_x86_64"), ("uv", "musllinux_1_2_x86_64")],
)
def test_native_tags_on_alpine(place: Place, client: str, taken: str) -> None:
    for platform in ("linux_x86_64", "musllinux_1_2_x86_64"):
        wheel_that_says(place.root / "wheelhouse", platform, tag=f"cp312-cp312-{platform}")
    options = "--no-index --find-links wheelhouse demo"
    if client == "uv":
        alpine = "--python-platform x86_64-unknown-linux-musl --python-version 3.12"
        assert place.run("uv", f"uv pip install {alpine} {options}").returncode == 0
        assert place.module()["FROM"] == taken
    else:
        pip = f"cd /place; python3 /pip install -q --root-user-action ignore {options}"
        script = f"{pip}; python3 -c 'import demo; print(demo.FROM)'"
        mounts = (place.root, "/place"), (place.pips[client], "/pip")
        assert in_alpine("3.12", "amd64", script, *mounts) == f"{taken}\n"
    assert f"`{taken}`" in section(PAGE, "On Alpine: `linux_*` wheels")


def test_whb_admits_none(place: Place) -> None:
    with pytest.raises(WhbError, match="linux_x86_64"):
        place.stock_wheelhouse(place.ours(tag="cp312-cp312-linux_x86_64"))
