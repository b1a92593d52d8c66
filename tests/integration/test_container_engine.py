"""The container engine with real cibuildwheel in real docker: what it gives, what it refuses, what it leaves.

`scripts/musllinux-images` makes the images. Few runs with many packages each: a container starts in seconds, and under
emulation takes several times that.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import canonicalize_name

from tests.integration.conftest import IMAGE, Whb
from tests.integration.docker import docker
from tests.integration.projects import c_extension, sdist
from tests.integration.services import Dockerd, dockerd
from tests.integration.test_bad_inputs import wait_for, wait_until
from tests.integration.wrapped_projects import PROJECTS
from wheelhouse_builder.history.store import History
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from wheelhouse_builder.wheelhouse.stored import StoredWheel

pytestmark = pytest.mark.integration

MUSLLINUX = "whb-test/musllinux_1_2:{arch}"
IN_CONTAINERS = {
    "WHB_ENGINE": "container",
    "WHB_CONTAINER_IMAGES": ",".join(f"{arch}={MUSLLINUX.format(arch=arch)}" for arch in ("amd64", "arm64")),
}
BOTH = ("--arch", "amd64", "--arch", "arm64")
AMD312 = ("--python", "3.12", "--arch", "amd64")
AMD, ARM = "musllinux_1_2_x86_64", "musllinux_1_2_aarch64"
SETUPTOOLS = '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    for arch in ("amd64", "arm64"):
        image = MUSLLINUX.format(arch=arch)
        assert docker("image", "inspect", image, check=False).returncode == 0, f"scripts/musllinux-images makes {image}"


def requirement(name: str, archive: Path) -> tuple[str, str]:
    return "-P", f"{name} @ {archive.as_uri()}"


def rows(output: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows of a report in JSON, by package and target."""
    return {(row["name"], row["target"]): row for row in json.loads(output)["rows"]}


def stored(wheelhouse: Path) -> dict[str, StoredWheel]:
    return {wheel.filename: wheel for wheel in Wheelhouse(wheelhouse).wheels()}


def assert_alike(one: Path, other: Path) -> None:
    """The same files with the same metadata: only machine code may differ, and its hashes with it."""
    with zipfile.ZipFile(one) as first, zipfile.ZipFile(other) as second:
        assert [(info.filename, info.date_time, info.external_attr) for info in first.infolist()] == [
            (info.filename, info.date_time, info.external_attr) for info in second.infolist()
        ]
        for name in first.namelist():
            if not name.endswith((".so", "/RECORD")):
                assert first.read(name) == second.read(name), name


def log_of(folder: Path, job: str) -> str:
    return (folder / "wheelhouse/.whb/logs" / f"{job}.log").read_text()


# one run with all that is to succeed

# Tries what no build may do, and says how it went; gives a pure wheel.
PROBE = """\
import os, pathlib, socket
from setuptools import setup

def told(name, attempt):
    try:
        attempt()
        print("PROBE", name, "possible")
    except OSError as error:
        print("PROBE", name, type(error).__name__)

told("host", lambda: os.listdir("/host"))
told("network", lambda: socket.create_connection(("172.17.0.1", 2375), timeout=5))
told("requirements", lambda: pathlib.Path(os.environ["UV_FIND_LINKS"].removeprefix("file://"), "planted.whl").touch())
told("docker", lambda: os.stat("/var/run/docker.sock"))
told("device", lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0)))
setup(name="probe", version="1.0", py_modules=["probe"])
"""


@pytest.fixture(scope="module")
def folder(whb: Whb, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all the good ones gave: two Pythons of a C extension on both architectures, and others on amd64."""
    folder = tmp_path_factory.mktemp("container")
    stamp = f"# {folder.stat().st_mtime_ns}\n"  # what no earlier run has built
    tiny = c_extension("tiny")
    # Modules of the source under names that cibuildwheel itself imports, here and in the container.
    planted = dict.fromkeys(("build.py", "json.py", "packaging.py"), "raise SystemExit('foreign code')\n")
    files = {**tiny, **planted, "pyproject.toml": stamp + tiny["pyproject.toml"]}
    files["pyproject.toml"] += (
        '[tool.cibuildwheel]\nskip = "*musllinux*"\nbefore-all = "false"\ntest-command = "false"\n'
    )
    archive = sdist(folder, "tiny", files)
    whb.ok(
        "build",
        *requirement("tiny", archive),
        "--python",
        "3.12",
        "--python",
        "3.13",
        *BOTH,
        cwd=folder,
        **IN_CONTAINERS,
    )
    probe = sdist(folder, "probe", {"pyproject.toml": stamp + SETUPTOOLS, "setup.py": PROBE, "probe.py": ""})
    wrapped = PROJECTS["tiny-c"].write(folder / "wrapped", "tiny-c", stamp=stamp)
    whb.ok("build", *requirement("probe", probe), str(wrapped), *AMD312, cwd=folder, **IN_CONTAINERS)
    return folder


@pytest.fixture(scope="module")
def crossed(whb: Whb, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same C extension by the embedded engine."""
    other = tmp_path_factory.mktemp("cross")
    source = requirement("tiny", folder / "tiny-1.0.tar.gz")
    whb.ok("build", *source, "--python", "3.12", *BOTH, cwd=other, WHB_VERIFY_ENGINE="off")
    return other


def test_every_python_and_architecture_has_its_wheel(folder: Path) -> None:
    wheels = stored(folder / "wheelhouse")
    tiny = {name: wheel for name, wheel in wheels.items() if wheel.name == "tiny"}
    assert sorted(tiny) == [
        f"tiny-1.0-{python}-{python}-{platform}.whl" for python in ("cp312", "cp313") for platform in (ARM, AMD)
    ]
    for wheel in tiny.values():
        assert (wheel.origin, wheel.engine) == ("built", "container")
        assert [(verdict.check, verdict.passed) for verdict in wheel.verdicts] == [("loader", True), ("import", True)]


def test_the_record_says_what_ran_natively(folder: Path) -> None:
    wheels = stored(folder / "wheelhouse")
    assert wheels[f"tiny-1.0-cp312-cp312-{AMD}.whl"].native_tools is None
    for python in ("cp312", "cp313"):
        native = wheels[f"tiny-1.0-{python}-{python}-{ARM}.whl"].native_tools
        assert native
        assert re.search(r"\bzig \d", native)
        assert re.search(r"\buv \d", native)
    about = (folder / "wheelhouse/simple/tiny/about.html").read_text()
    assert "built by the container engine" in about
    assert "Ran natively" in about


def test_the_history_knows_how_much_memory_a_container_had(folder: Path) -> None:
    attempts = History(Wheelhouse(folder / "wheelhouse").history).attempts(name=canonicalize_name("tiny"))
    peaks = [attempt.peak_memory for attempt in attempts]
    assert len(peaks) == 4
    assert all(peak and 5 << 20 < peak < 8 << 30 for peak in peaks)  # a Python; not a number for "no limit"


@pytest.mark.parametrize("platform", [AMD, ARM])
def test_two_pythons_are_built_in_one_container(folder: Path, platform: str) -> None:
    packed = folder / f"wheelhouse/.whb/logs/wheels/tiny-1.0-cp312-cp312-{platform}.whl.log.gz"
    log = gzip.decompress(packed.read_bytes()).decode()
    assert log.count("Starting container image") == 1
    arch = platform.removeprefix("musllinux_1_2_")
    assert [line for line in log.splitlines() if line.startswith("Building cp")] == [
        f"Building {python}-musllinux_{arch} wheel" for python in ("cp312", "cp313")
    ]
    assert "foreign code" not in log


@pytest.mark.parametrize("platform", [AMD, ARM])
def test_both_engines_make_the_same_wheel(folder: Path, crossed: Path, platform: str) -> None:
    name = f"tiny-1.0-cp312-cp312-{platform}.whl"
    assert_alike(folder / "wheelhouse" / name, crossed / "wheelhouse" / name)


def test_a_pure_wheel_is_taken_though_cibuildwheel_has_no_use_for_it(folder: Path) -> None:
    assert stored(folder / "wheelhouse")["probe-1.0-py3-none-any.whl"].engine == "container"


def test_a_build_reaches_nothing_of_this_machine(folder: Path) -> None:
    said = dict(re.findall(r"^PROBE (\w+) (\w+)$", log_of(folder, f"probe-1.0-cp312-{AMD}"), re.MULTILINE))
    assert said == {
        "host": "FileNotFoundError",
        "network": "OSError",  # unreachable
        "requirements": "OSError",  # a read-only file system
        "docker": "FileNotFoundError",
        "device": "PermissionError",
    }


def test_a_wrapped_project_is_built_by_the_backend_that_it_wraps(folder: Path) -> None:
    wheel = stored(folder / "wheelhouse")[f"tiny_c-1.0-cp312-cp312-{AMD}.whl"]
    assert wheel.project_keys


def test_a_second_run_has_nothing_to_do(whb: Whb, folder: Path) -> None:
    source = requirement("tiny", folder / "tiny-1.0.tar.gz")
    done = whb.ok("build", *source, "--python", "3.12", *BOTH, "--json", cwd=folder, **IN_CONTAINERS)
    assert {row["decision"] for row in rows(done.stdout).values()} == {"reuse"}


def test_nothing_is_left(folder: Path) -> None:
    assert containers_of(lambda pid: not Path(f"/proc/{pid}").exists()) == []


# one run with all that is to fail


@pytest.fixture(scope="module")
def failed(whb: Whb, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dict[str, Any]]:
    """The rows of four packages that cannot be built, and of one that can, by name."""
    folder = tmp_path_factory.mktemp("failed")
    network = "import urllib.request\nurllib.request.urlopen('http://whb.invalid/x')\n"
    packages = {
        # What is resolved says nothing of it: only cibuildwheel looks here.
        "newer": {"pyproject.toml": SETUPTOOLS, "setup.cfg": "[options]\npython_requires = >=3.13\n"},
        "broken": c_extension("broken", body="return not_declared_anywhere;"),
        "networked": {"pyproject.toml": SETUPTOOLS, "setup.py": network},
        "good": c_extension("good"),
    }
    asked = [part for name, files in packages.items() for part in requirement(name, sdist(folder, name, files))]
    done = whb("build", *asked, *AMD312, "--json", cwd=folder, WHB_VERIFY_ENGINE="off", **IN_CONTAINERS)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return {name: row for (name, _), row in rows(done.stdout).items()}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("newer", "the source is not for this Python"),
        ("broken", "not_declared_anywhere"),
        ("networked", "packages.networked"),
    ],
)
def test_a_failure_says_what_it_is(failed: Mapping[str, dict[str, Any]], name: str, told: str) -> None:
    row = failed[name]
    assert row["status"] == "failed"
    assert told in json.dumps(row)
    assert Path(row["log"]).is_file()


def test_the_others_go_on(failed: Mapping[str, dict[str, Any]]) -> None:
    assert failed["good"]["status"] == "ready"


def test_what_zig_refuses_is_built_by_the_images_own_compiler(whb: Whb, tmp_path: Path) -> None:
    """A stand-in for such a package, which refuses zig itself: the compiler of the image is zig here, too."""
    setup = (
        "import os\nfrom setuptools import setup\n"
        "if 'toolchains' in os.environ.get('CC', ''):\n"
        "    raise SystemExit('error: unsupported linker arg: -Wl,--some-option')\n"
        f"setup(name='picky', version='1.0', py_modules=['picky'])  # {tmp_path.stat().st_mtime_ns}\n"
    )
    archive = sdist(tmp_path, "picky", {"pyproject.toml": SETUPTOOLS, "setup.py": setup, "picky.py": ""})
    arguments = ("build", *requirement("picky", archive), "--python", "3.12", "--arch", "arm64")
    done = whb.ok(*arguments, cwd=tmp_path, WHB_VERIFY_ENGINE="off", **IN_CONTAINERS)
    job = f"picky-1.0-cp312-{ARM}"
    assert f"picky 1.0 for cp312-{ARM}: container-accelerated failed, container-emulated is tried" in done.stderr
    assert "unsupported linker arg: -Wl,--some-option" in log_of(tmp_path, f"{job}.container-accelerated")
    assert "unsupported linker arg" not in log_of(tmp_path, job)
    (wheel,) = stored(tmp_path / "wheelhouse").values()
    assert "zig" not in (wheel.native_tools or "")


def test_what_a_recipe_has_run_before_the_build_is_there_and_what_the_package_has_is_not(
    whb: Whb, tmp_path: Path
) -> None:
    files = c_extension("early", includes='#include "answer.h"', body="return PyLong_FromLong(ANSWER);")
    files["pyproject.toml"] += (
        f"[tool.cibuildwheel]\nbefore-build = 'exit 7'  # {tmp_path.stat().st_mtime_ns}\n"
        "[tool.cibuildwheel.environment]\nPACKAGES_OWN = '1'\n"
    )
    arguments = ("build", *requirement("early", sdist(tmp_path, "early", files)), "--python", "3.12", *BOTH)
    without = whb(*arguments, cwd=tmp_path, **IN_CONTAINERS)
    assert without.returncode == 1
    assert "answer.h" in without.stderr
    command = 'test -z "$PACKAGES_OWN" && echo "#define ANSWER 42" >{package}/answer.h'
    (tmp_path / "whb.toml").write_text(f"[packages.early]\nbefore-build = '{command}'\n")
    done = whb.ok(*arguments, cwd=tmp_path, **IN_CONTAINERS)
    assert "import ok" in done.stdout
    assert {wheel.engine for wheel in stored(tmp_path / "wheelhouse").values()} == {"container"}


# what is started and what is left


def containers_of(is_wanted: Callable[[int], bool]) -> list[str]:
    """The containers of whb processes with such a number, running or not."""
    found = []
    for container in docker("ps", "--all", "--quiet", "--filter", "label=whb.owner").stdout.split():
        owner = docker("inspect", "--format", '{{index .Config.Labels "whb.owner"}}', container, check=False).stdout
        if owner.strip() and is_wanted(int(owner.rsplit(".", 2)[1])):
            found.append(container)
    return found


Process = subprocess.Popen[str]


@dataclass(frozen=True, kw_only=True)
class Starting:
    """Starts whb, and ends what a test leaves of it."""

    whb: Whb
    processes: list[Process] = field(default_factory=list)

    def __call__(self, *arguments: str, cwd: Path, **environment: str) -> Process:
        env = {**os.environ, "WHB_CACHE_DIR": str(self.whb.cache), "WHB_VERIFY_ENGINE": "off"}
        command = [sys.executable, "-m", "wheelhouse_builder", *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, cwd=cwd, env={**env, **IN_CONTAINERS, **environment}, **pipes)
        self.processes.append(process)
        return process

    def begun(self, folder: Path, **environment: str) -> Process:
        """A whb whose build has begun to wait."""
        process = self(*slow_project(folder), cwd=folder, **environment)
        wait_until(lambda: has_begun(folder) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        pids = {process.pid for process in self.processes}
        for container in containers_of(pids.__contains__):
            docker("rm", "--force", container, check=False)


@pytest.fixture
def starting(whb: Whb) -> Iterator[Starting]:
    made = Starting(whb=whb)
    yield made
    made.end()


def slow_project(folder: Path) -> tuple[str, ...]:
    """The arguments that build an sdist whose build waits for `/tmp/gate` in its container."""
    setup = (
        "import os, time\nfrom setuptools import setup\nprint('SLOW has begun', flush=True)\n"
        "while not os.path.exists('/tmp/gate'): time.sleep(0.05)\n"
        f"setup(name='slow', version='1.0', py_modules=['slow'])  # {folder.stat().st_mtime_ns}\n"
    )
    archive = sdist(folder, "slow", {"pyproject.toml": SETUPTOOLS, "setup.py": setup, "slow.py": ""})
    return ("build", *requirement("slow", archive), *AMD312)


def has_begun(folder: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return "SLOW has begun" in log_of(folder, f"slow-1.0-cp312-{AMD}")
    return False


def test_ctrl_c_ends_the_container(starting: Starting, tmp_path: Path) -> None:
    process = starting.begun(tmp_path)
    assert len(containers_of(process.pid.__eq__)) == 1
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert containers_of(process.pid.__eq__) == []


def test_the_container_ends_with_a_whb_that_is_killed(starting: Starting, tmp_path: Path) -> None:
    process = starting.begun(tmp_path)
    process.kill()
    process.communicate()
    wait_until(lambda: containers_of(process.pid.__eq__) == [])


def test_a_later_run_removes_what_a_dead_one_left(starting: Starting, tmp_path: Path) -> None:
    """Here by whatever also killed what watches over the container."""
    process = starting.begun(tmp_path)
    (left,) = containers_of(process.pid.__eq__)
    for supervisor in descendants(process.pid):
        os.kill(supervisor, signal.SIGKILL)
    process.kill()
    process.communicate()
    (tmp_path / "later").mkdir()
    starting.begun(tmp_path / "later")
    assert left not in containers_of(lambda _: True)


def test_a_cibuildwheel_that_is_killed_is_a_failed_job(starting: Starting, tmp_path: Path) -> None:
    process = starting.begun(tmp_path)
    commands = {pid: command_of(pid).split("\0") for pid in descendants(process.pid)}
    (pid,) = (pid for pid, command in commands.items() if command[0] == sys.executable and "cibuildwheel" in command)
    os.kill(pid, signal.SIGKILL)
    output, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "cibuildwheel" in output + said
    assert "Traceback" not in said
    assert containers_of(process.pid.__eq__) == []


def test_two_builds_of_one_source_at_once_take_turns(starting: Starting, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    builds = starting.begun(first)
    waits = starting("build", *requirement("slow", first / "slow-1.0.tar.gz"), *AMD312, "--json", cwd=second)
    wait_for(second / "wheelhouse/.whb/logs" / f"slow-1.0-cp312-{AMD}.log")
    (container,) = containers_of(builds.pid.__eq__)
    docker("exec", container, "touch", "/tmp/gate")
    assert (builds.wait(timeout=300), waits.wait(timeout=300)) == (0, 0)
    assert log_of(second, f"slow-1.0-cp312-{AMD}") == ""
    assert list((second / "wheelhouse").glob("slow-*.whl"))


def descendants(pid: int) -> list[int]:
    """The processes below one, the nearest first."""
    children = [
        int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()
    ]
    return [*children, *(below for child in children for below in descendants(child))]


def command_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


# a service of its own, which may die


@pytest.fixture
def own_docker(tmp_path: Path) -> Iterator[Dockerd]:
    """A second docker, with the least image that cibuildwheel takes."""
    base = IMAGE.format(python="3.12", arch="amd64")
    with dockerd() as service:
        service.load(base)
        make_least_image(tmp_path / "least", service, base)
        yield service


def make_least_image(context: Path, service: Dockerd, base: str) -> None:
    tree = context / "tree"
    for folder in ("opt/python", "bin"):
        (tree / folder).mkdir(parents=True)
    for name in ("cp312-cp312", "cp39-cp39"):
        (tree / "opt/python" / name).symlink_to("/usr/local")
    (tree / "bin/bash").write_text('#!/bin/sh\nexec sh "$@"\n')
    (tree / "bin/bash").chmod(0o755)
    (context / "Dockerfile").write_text(f"FROM {base}\nCOPY tree/ /\n")
    service.client("build", "--network", "none", "--tag", "whb-test/least:amd64", str(context))


def test_a_docker_that_dies_is_told_and_nothing_is_lost(
    starting: Starting, tmp_path: Path, own_docker: Dockerd
) -> None:
    ours = {"WHB_CONTAINER_IMAGES": "amd64=whb-test/least:amd64", "WHB_CONTAINER_HOSTS": f"amd64={own_docker.host}"}
    process = starting.begun(tmp_path, **ours)
    os.kill(own_docker.pid, signal.SIGKILL)
    output, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert "does not answer" in output + said
    assert "Traceback" not in said
    assert not list((tmp_path / "wheelhouse").glob("*.whl"))


# the packages of the main job


@pytest.fixture(scope="module")
def trio(whb: Whb, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cffi for both architectures, and bcrypt, which is written in Rust, for arm64."""
    folder = tmp_path_factory.mktemp("trio")
    forced = ("--no-binary", "cffi,bcrypt", "--python", "3.12")
    whb.ok("build", "-P", "cffi", *forced, *BOTH, cwd=folder, **IN_CONTAINERS)
    whb.ok("build", "-P", "bcrypt", *forced, "--arch", "arm64", cwd=folder, **IN_CONTAINERS)
    return folder / "wheelhouse"


def test_the_embedded_engine_makes_the_same_of_them(whb: Whb, trio: Path, tmp_path: Path) -> None:
    forced = ("-P", "cffi", "-P", "bcrypt", "--no-binary", "cffi,bcrypt", "--python", "3.12", *BOTH)
    whb.ok("build", *forced, cwd=tmp_path, WHB_VERIFY_ENGINE="off")
    for name, wheel in stored(trio).items():
        if wheel.origin == "built":
            assert_alike(trio / name, tmp_path / "wheelhouse" / name)


def test_cffi_and_bcrypt_are_built_and_import(trio: Path) -> None:
    built = {
        (str(wheel.name), str(wheel.built_for)): wheel for wheel in stored(trio).values() if wheel.origin == "built"
    }
    assert sorted(built) == [("bcrypt", f"cp312-{ARM}"), ("cffi", f"cp312-{ARM}"), ("cffi", f"cp312-{AMD}")]
    for wheel in built.values():
        assert wheel.engine == "container"
        assert {verdict.check for verdict in wheel.verdicts if verdict.passed} == {"loader", "import"}
    native = built["bcrypt", f"cp312-{ARM}"].native_tools
    assert native
    assert re.search(r"\brustc \d", native)
