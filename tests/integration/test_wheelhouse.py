"""The wheelhouse as its clients and a second writer meet it: real pip, real uv, real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.wheels import make_wheel
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.wheelhouse.generations import all_generations, publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

pytestmark = pytest.mark.integration

HOST = Target((sys.version_info[0], sys.version_info[1]), Arch(os.uname().machine))
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    """Two pure wheels, one requiring the other, published with a lock for this host's Python."""
    folder = tmp_path_factory.mktemp("clients")
    house = Wheelhouse(folder / "wheel house")  # a space: every link has to be right
    with house.lock():
        wheels = [
            make_wheel(folder, name="demo-app", version="1.0+local.1", requires=("demo-lib >= 2",)),
            make_wheel(folder, name="demo-lib", version="2.0"),
        ]
        names = [house.admit(wheel, record_of(wheel, origin="built")).filename for wheel in wheels]
        publish(house, {HOST: names})
    return house


def run(argv: list[str | Path], cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def pip(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """The newest pip, in an environment of its own."""
    folder = tmp_path_factory.mktemp("pip")
    run([sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, folder / "venv"], folder)
    python = folder / "venv" / "bin" / "python"
    run([sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, "pip>=26.1"], folder)
    return [python, "-m", "pip", "install", "--no-cache-dir"]


UV: list[str | Path] = [sys.executable, "-m", "uv", "pip", "install", "--no-cache", "--python", sys.executable]
INDEX = ["--index-url", "{url}/simple/", "demo-app"]
WAYS = {
    "index": INDEX,
    "find-links-folder": ["--no-index", "--find-links", "{root}", "demo-app"],
    "find-links-page": ["--no-index", "--find-links", "{url}/links/index.html", "demo-app"],
    "hashes": ["--no-index", "--find-links", "{root}", "--require-hashes", "-r", "{root}/requirements-{target}.txt"],
    "hashes-from-index": ["--index-url", "{url}/simple/", "--require-hashes", "-r", "{root}/requirements-{target}.txt"],
    "lock": ["--no-index", "-r", "{root}/pylock.{target}.toml"],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", ["pip", "uv"])
def test_clients_install(house: Wheelhouse, pip: list[str | Path], tmp_path: Path, client: str, way: str) -> None:
    values = {"root": str(house.root), "url": house.root.as_uri(), "target": str(HOST)}
    options = [option.format(**values) for option in WAYS[way]]
    run([*(pip if client == "pip" else UV), "--target", tmp_path / "out", *options], tmp_path)
    versions = sorted(path.name for path in (tmp_path / "out").glob("*.dist-info"))
    assert versions == ["demo_app-1.0+local.1.dist-info", "demo_lib-2.0.dist-info"]


def test_lock_is_found_by_its_relative_name(house: Wheelhouse, pip: list[str | Path], tmp_path: Path) -> None:
    run([*pip, "--target", tmp_path / "out", "--no-index", "-r", f"pylock.{HOST}.toml"], house.root)
    assert (tmp_path / "out" / "demo_lib.py").is_file()


def test_hashes_are_of_these_wheels(house: Wheelhouse, pip: list[str | Path], tmp_path: Path) -> None:
    text = (house.root / f"requirements-{HOST}.txt").read_text()
    digest = next(line for line in text.splitlines() if "sha256" in line).rpartition(":")[2]
    (tmp_path / "requirements.txt").write_text(text.replace(digest, "0" * 64))
    with pytest.raises(AssertionError, match="DO NOT MATCH"):
        run(
            [*pip, "--target", tmp_path / "out", "--no-index", "--find-links", house.root, "-r", "requirements.txt"],
            tmp_path,
        )


def test_uv_can_cut_off_by_time_on_static_files(house: Wheelhouse, tmp_path: Path) -> None:
    """`data-upload-time` is what uv needs for it (index.md, section 0, 5)."""
    options = ["--default-index", f"{house.root.as_uri()}/simple/", "demo-lib", "--target"]
    run([*UV, *options, "then", "--exclude-newer", "2100-01-01"], tmp_path)
    with pytest.raises(AssertionError, match="demo-lib"):
        run([*UV, *options, "now", "--exclude-newer", "2020-01-01"], tmp_path)


WRITER = """
import sys
from pathlib import Path
from wheelhouse_builder.errors import WhbError
from wheelhouse_builder.wheelhouse.store import Wheelhouse
from wheelhouse_builder.events import Note

def say(event):
    print(f"NOTE {event.text}", flush=True)

try:
    with Wheelhouse(Path(sys.argv[1])).lock(wait=float(sys.argv[2]), listener=say):
        print("HAS IT", flush=True)
        sys.stdin.readline()
except WhbError as error:
    print(f"ERROR {error.exit_code} {error.message}", flush=True)
"""


def writer(root: Path, wait: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, root, str(wait)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)


def test_two_writers(tmp_path: Path) -> None:
    first = writer(tmp_path / "house", 60)
    assert line(first) == "HAS IT"
    impatient = writer(tmp_path / "house", 0)
    assert line(impatient).startswith(f"ERROR 4 {tmp_path / 'house'} is in use by process {first.pid} on ")
    second = writer(tmp_path / "house", 60)
    assert line(second).startswith(f"NOTE waiting for process {first.pid} on ")
    end(first)
    assert line(second) == "HAS IT"
    end(second)
    end(impatient)


def test_lock_of_a_killed_writer_is_free(tmp_path: Path) -> None:
    first = writer(tmp_path / "house", 60)
    assert line(first) == "HAS IT"
    first.kill()
    first.communicate(timeout=60)
    with Wheelhouse(tmp_path / "house").lock(wait=0):
        pass


PUBLISHER = """
import sys
from pathlib import Path
from tests.wheels import make_wheel
from wheelhouse_builder.target import Target
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

root, target = Path(sys.argv[1]), Target.parse(sys.argv[2])
number = 0
while True:
    with Wheelhouse(root).lock() as house:
        number = max([number, *(wheel.version.major for wheel in house.wheels())]) + 1
        wheel = make_wheel(house.scratch, name="demo", version=f"{number}.0")
        name = house.admit(wheel, record_of(wheel, origin="built")).filename
        publish(house, {target: [name]}, keep=2)
    print(number, flush=True)
"""


def test_killed_at_any_moment_the_last_generation_installs(pip: list[str | Path], tmp_path: Path) -> None:
    """kill -9 at ten different moments of endless publication; each time everything that is published is whole."""
    root = tmp_path / "house"
    for round_number in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, root, str(HOST)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2):
            assert line(process)
        time.sleep(0.007 * round_number)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert_whole(root)
    run([*pip, "--target", tmp_path / "a", "--index-url", f"{root.as_uri()}/simple/", "demo"], tmp_path)
    run([*pip, "--target", tmp_path / "b", "--no-index", "-r", root / f"pylock.{HOST}.toml"], tmp_path)
    assert len(all_generations(Wheelhouse(root))) <= 4


def assert_whole(root: Path) -> None:
    """All that the current generation names is there, with the hashes that it tells."""
    house = Wheelhouse(root)
    assert house.check(thorough=True) == []
    known = {wheel.filename: wheel for wheel in house.wheels()}
    files = json.loads((root / "simple" / "demo" / "index.v1_json").read_text())["files"]
    assert files
    for file in files:
        assert file["hashes"] == {"sha256": known[file["filename"]].sha256}
        assert f"#sha256={known[file['filename']].sha256}" in (root / "simple" / "demo" / "index.html").read_text()
    lock = (root / f"requirements-{HOST}.txt").read_text()
    assert any(file["hashes"]["sha256"] in lock for file in files)
