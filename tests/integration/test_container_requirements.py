"""Build requirements for containers: got from the package index and from indexes of our own, installed in a container.

The projects hold no native code: what is to be seen is that a front end finds all that it asks for, and that what is
native among that runs there.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.engines import work_on
from tests.integration.docker import docker, this_machine
from tests.integration.projects import MODULE, sdist
from tests.integration.web import Files, serving_files
from tests.wheels import make_wheel
from wheelhouse_builder.engines.container.mounts import Mount
from wheelhouse_builder.engines.container.preflight import prepare
from wheelhouse_builder.engines.container.requirements import BuildRequirements, provide_requirements
from wheelhouse_builder.engines.container.toolchain import native_tools
from wheelhouse_builder.errors import DownloadError, ResolveError
from wheelhouse_builder.project.build_system import read_build_system
from wheelhouse_builder.requirements.read import read_requirements
from wheelhouse_builder.resolve.indexes import index_urls
from wheelhouse_builder.resolve.uv import ResolveOptions
from wheelhouse_builder.settings.container import ContainerSettings
from wheelhouse_builder.sources.credentials import credentials_for
from wheelhouse_builder.sources.downloads import Downloads
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.integration.conftest import Whb
    from wheelhouse_builder.engines.base import Work

pytestmark = pytest.mark.integration

ARM = Target((3, 12), Arch.AARCH64)
IMAGE = "whb-test/musllinux_1_2:{arch}"
IMAGES = ",".join(f"{arch}={IMAGE.format(arch=arch)}" for arch in ("amd64", "arm64"))
PROJECT = '[project]\nname = "demo"\nversion = "1.0"\ndescription = "A demo"\n'


def project(requires: str, backend: str, more: str = "", **files: str) -> dict[str, str]:
    table = f'[build-system]\nrequires = {requires}\nbuild-backend = "{backend}"\n'
    return {"pyproject.toml": f"{table}{more}\n{PROJECT}", **files}


SETUP = "from setuptools import setup\nsetup(name='demo', version='1.0', py_modules=['demo']{more})\n"
# A native requirement that setup.py alone names, and that it uses when it makes a wheel.
SETUP_OF_CFFI = """\
import sys
if 'bdist_wheel' in sys.argv:
    import cffi
    cffi.FFI().cdef('int f(void);')
""" + SETUP.format(more=", setup_requires=['cffi']")
MESON = """\
project('demo', version: '1.0')
import('python').find_installation(pure: true).install_sources('demo.py')
"""
CMAKE = """\
cmake_minimum_required(VERSION 3.15)
project(demo LANGUAGES NONE)
install(FILES demo.py DESTINATION .)
"""
# A backend in the source: it asks for more, and calls a native program that it requires.
BACKEND = """\
import os, subprocess, sys
from flit_core import buildapi

def get_requires_for_build_wheel(config_settings=None):
    return ["packaging"] if os.uname().machine == "{machine}" else ["no-such-package-of-whb"]

def build_wheel(*arguments):
    import packaging
    subprocess.run([sys.executable, "-m", "maturin", "--version"], check=True)
    return buildapi.build_wheel(*arguments)
"""
FLIT = """\
[build-system]
requires = ["flit_core"]
build-backend = "flit_core.buildapi"
[project]
name = "whb-tool"
version = "1.0"
description = "A tool"
"""


def setuptools(requires: str, setup: str) -> dict[str, str]:
    return project(requires, "setuptools.build_meta", **{"setup.py": setup, "demo.py": ""})


PROJECTS: dict[str, dict[str, str]] = {
    "setuptools": setuptools('["setuptools"]', SETUP.format(more="")),
    "cffi": setuptools('["setuptools"]', SETUP_OF_CFFI),
    "meson-python": project('["meson-python"]', "mesonpy", **{"meson.build": MESON, "demo.py": ""}),
    "scikit-build-core": project(
        '["scikit-build-core"]', "scikit_build_core.build", **{"CMakeLists.txt": CMAKE, "demo.py": ""}
    ),
    "sdist-only": setuptools('["setuptools", "whb-tool"]', "import whb_tool\n" + SETUP.format(more="")),
    "in-tree": project(
        '["flit_core", "maturin>=1,<2"]', "backend", 'backend-path = ["."]', **{"backend.py": BACKEND, "demo.py": ""}
    ),
}


@dataclass
class Provider:
    """Provides for projects of a test, with the cache of all tests."""

    folder: Path
    cache: Path
    offline: bool = False
    requirements: str = ""  # the lines of a requirements file, for its indexes
    jobs: list[Work] = field(default_factory=list)

    def __call__(
        self, name: str, files: Mapping[str, str], target: Target, build_lock: str | None = None
    ) -> BuildRequirements:
        place = self.folder / f"{len(self.jobs)}-{name}"
        tree, scratch = place / "source", place / "scratch"
        scratch.mkdir(parents=True)
        for path, text in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        work = work_on(tree, target, scratch=scratch, log=place / "log", build_lock=build_lock)
        self.jobs.append(work)
        (place / "requirements.txt").write_text(self.requirements)
        said = read_requirements([place / "requirements.txt"])
        resolving = ResolveOptions(cache=self.cache, offline=self.offline, indexes=said)
        credentials = credentials_for(index_urls(said))
        with closing(
            Downloads(self.cache, offline=self.offline, credentials=credentials, pause=lambda _: None)
        ) as downloads:
            return provide_requirements(
                work, read_build_system(tree), resolving=resolving, downloads=downloads, config_settings={}
            )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def provide(tmp_path: Path, whb: Whb) -> Provider:
    return Provider(folder=tmp_path / "jobs", cache=whb.cache)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with the sdist of a tool that there is no wheel of."""
    folder = tmp_path / "tools"
    folder.mkdir()
    sdist(folder, "whb-tool", {"pyproject.toml": FLIT, "whb_tool.py": ""})
    return folder


FRONT_ENDS = {
    "uv": "uv build --quiet --wheel --python $python --out-dir",
    "pip": "$python -m build --wheel --outdir",
}
BUILD = """\
export PIP_NO_INDEX=1 UV_OFFLINE=1
python=/opt/python/cp312-cp312/bin/python
for job in {folder}/*; do
    export PIP_FIND_LINKS=$job/scratch/wheels UV_FIND_LINKS=$job/scratch/wheels
    mkdir -p "/tmp$job"
    cp -r "$job/source" "/tmp$job"
    {front_end} "/tmp$job/wheel" "/tmp$job/source" >/tmp/log 2>&1 || {{ echo "$job"; cat /tmp/log; exit 1; }}
    echo "/tmp$job"/wheel/*
done
"""


def build_inside(folder: Path, arch: Arch, front_end: str, cache: Path) -> list[str]:
    """Build every project in the folder in one container without network; the names of the wheels."""
    image = IMAGE.format(arch=arch.docker)
    place = prepare(ContainerSettings(images={arch: image}), Target((3, 12), arch), pull=False)
    tools = native_tools(place, Target((3, 12), arch), cache=cache, c=False, rust=None)
    script = f"export PATH={':'.join(tools.path)}:$PATH\n" + BUILD.format(
        folder=folder, front_end=FRONT_ENDS[front_end]
    )
    mounts = [option for mount in (Mount(path=folder), *tools.mounts) for option in mount.options()]
    where = ("--network", "none", "--platform", f"linux/{arch.docker}")
    done = docker("run", "--rm", *where, *mounts, image, "sh", "-euc", script)
    return [Path(line).name for line in done.stdout.splitlines()]


# Emulated, each takes half a minute: two whose native requirements run there.
@pytest.mark.parametrize(
    ("arch", "front_end", "projects"),
    [(Arch.X86_64, "pip", tuple(PROJECTS)), (Arch.AARCH64, "uv", ("cffi", "in-tree"))],
)
def test_a_front_end_without_network_finds_all_that_it_asks_for(
    provide: Provider, tools: Path, arch: Arch, front_end: str, projects: tuple[str, ...]
) -> None:
    provide.requirements = f"--find-links {tools}\n"
    for name in projects:
        files = {path: text.replace("{machine}", arch) for path, text in PROJECTS[name].items()}
        provide(name, files, Target((3, 12), arch))
    wheels = build_inside(provide.folder, arch, front_end, provide.cache)
    assert len(wheels) == len(projects)


def test_a_lock_gives_the_same_files_again_and_without_network(provide: Provider, tools: Path) -> None:
    provide.requirements = f"--find-links {tools}\n"
    files = PROJECTS["sdist-only"]
    found = provide("first", files, ARM)
    assert "whb-tool==1.0" in found.lock
    assert "flit-core==" in found.lock  # what the tool is built with
    for offline, lock in ((False, found.lock), (True, found.lock), (True, None)):
        provide.offline = offline
        again = provide("again", files, ARM, lock)
        assert again.lock == found.lock
        assert names(again.folder) == names(found.folder)


def test_a_backend_that_fails_on_this_machine_leaves_it_to_the_container(provide: Provider) -> None:
    """It gets what it requires, and the log says why there is no more."""
    fails = "def get_requires_for_build_wheel(_):\n    open('made', 'w')\n    raise SystemExit('only on Alpine')\n"
    files = project('["flit_core"]', "backend", 'backend-path = ["."]', **{"backend.py": fails})
    found = provide("fails", files, ARM)
    (work,) = provide.jobs
    assert [name.partition("-")[0] for name in names(found.folder)] == ["flit_core"]
    log = work.log.read_text()
    assert "only on Alpine" in log
    assert "whb: the backend could not be asked on this machine what it needs: the build backend failed" in log
    assert names(work.tree) == ["backend.py", "pyproject.toml"]  # it was asked in a copy


def test_without_network_and_without_a_cache_it_is_told_what_to_do(provide: Provider, tmp_path: Path) -> None:
    provide.cache, provide.offline = tmp_path / "cache", True
    with pytest.raises(ResolveError, match="the build requirements cannot be resolved for cp312") as caught:
        provide("offline", PROJECTS["setuptools"], ARM)
    assert "run once without --offline" in (caught.value.hint or "")


def test_an_index_that_is_down_is_told(provide: Provider, tmp_path: Path) -> None:
    provide.cache, provide.requirements = tmp_path / "cache", "--index-url http://127.0.0.1:1/simple\n"
    with pytest.raises(ResolveError, match="the build requirements cannot be resolved for cp312") as caught:
        provide("down", PROJECTS["setuptools"], ARM)
    assert "the package index cannot be reached" in (caught.value.hint or "")


class _WithPassword(Files):
    """Wants a password."""

    def do_GET(self) -> None:  # noqa: N802 - its name there
        if self.headers.get("Authorization") == f"Basic {base64.b64encode(b'me:pass word').decode()}":
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Basic")
        self.end_headers()


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """What an index of our own serves: a setuptools that only it has, and a wheel."""
    for name in ("setuptools", "wheel"):
        folder = tmp_path / "served/simple" / name
        folder.mkdir(parents=True)
        wheel = make_wheel(folder, name=name, version="999.0")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        (folder / "index.html").write_text(f'<!DOCTYPE html><a href="{wheel.name}#sha256={digest}">{wheel.name}</a>')
    return tmp_path / "served"


def test_a_private_index_is_asked_with_its_password_and_no_lock_tells_it(provide: Provider, private: Path) -> None:
    with serving_files(private, handler=_WithPassword) as host:
        provide.requirements = f"--index-url http://me:pass%20word@{host}/simple\n"
        found = provide("private", PROJECTS["setuptools"], ARM)
    assert names(found.folder) == ["setuptools-999.0-py3-none-any.whl", "wheel-999.0-py3-none-any.whl"]
    assert "pass" not in found.lock
    assert not any("pass" in work.log.read_text() for work in provide.jobs if work.log.exists())


def test_a_file_whose_hash_does_not_fit_does_not_come_in(provide: Provider, private: Path, tmp_path: Path) -> None:
    page = private / "simple/wheel/index.html"
    page.write_text(re.sub("sha256=[0-9a-f]{64}", f"sha256={'0' * 64}", page.read_text()))
    provide.cache = tmp_path / "cache"
    with serving_files(private, handler=_WithPassword) as host:
        provide.requirements = f"--index-url http://me:pass%20word@{host}/simple\n"
        with pytest.raises(
            DownloadError, match=r"wheel-999\.0-py3-none-any\.whl is not what the lock promises"
        ) as caught:
            provide("changed", PROJECTS["setuptools"], ARM)
    assert "pass" not in caught.value.message
    assert "wheel-999.0-py3-none-any.whl" not in names(provide.jobs[0].scratch / "wheels")


# a C library of a recipe

LINKS_ZLIB = """\
import os, shlex, subprocess
from setuptools import Extension, setup
answer = subprocess.check_output([os.environ["PKG_CONFIG"], "--cflags", "--libs", "zlib"], text=True)
assert answer == subprocess.check_output(["pkg-config", "--cflags", "--libs", "zlib"], text=True)
flags = shlex.split(answer)
include = [flag for flag in flags if flag.startswith("-I")]
rest = [flag for flag in flags if flag not in include]
module = Extension("demo", ["demo.c"], extra_compile_args=include, extra_link_args=rest)
setup(name="demo", version="1.0", ext_modules=[module])
"""


def test_a_build_in_a_container_finds_the_c_libraries_of_its_recipe(whb: Whb, tmp_path: Path) -> None:
    body = "return PyUnicode_FromString(zlibVersion());"
    source = MODULE.format(module="demo", includes="#include <zlib.h>", body=body)
    archive = sdist(tmp_path, "demo", {**setuptools('["setuptools"]', LINKS_ZLIB), "demo.c": source})
    (tmp_path / "whb.toml").write_text(
        '[packages.demo]\nlibraries = ["zlib"]\nconfig-settings = { zlib = "{zlib.prefix}" }\n'
    )
    build = ("build", "-P", f"demo @ {archive.as_uri()}", "--python", "3.12", "--arch", "arm64")
    whb.ok(*build, "--engine", "container", cwd=tmp_path, WHB_CONTAINER_IMAGES=IMAGES)  # imported on Alpine
    (wheel,) = (tmp_path / "wheelhouse").glob("demo-1.0-*.whl")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if ".libs/" in name]  # the library is in the module


# a build that wants network

WANTS_NETWORK = """\
import urllib.request
answer = urllib.request.urlopen("http://{host}/answer.py").read().decode()
open("demo.py", "w").write(answer)
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A server on this machine that a container with network reaches."""
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers/answer.py").write_text("ANSWER = 42\n")
    with serving_files(tmp_path / "answers", host=this_machine()) as address:
        yield address


@pytest.mark.parametrize("engine", ["container", "cross"])
def test_a_build_that_wants_network_is_told_the_setting_and_gets_it(
    whb: Whb, tmp_path: Path, host: str, engine: str
) -> None:
    files = setuptools('["setuptools"]', WANTS_NETWORK.format(host=host) + SETUP.format(more=""))
    archive = sdist(tmp_path, "demo", files)
    build = ("build", "-P", f"demo @ {archive.as_uri()}", "--python", "3.12", "--arch", "amd64", "--engine", engine)
    failed = whb(*build, cwd=tmp_path, WHB_CONTAINER_IMAGES=IMAGES)
    assert failed.returncode == 1
    assert "the build wanted something from the network" in failed.stderr
    assert "network = true under [packages.demo]" in failed.stderr
    (tmp_path / "whb.toml").write_text("[packages.demo]\nnetwork = true\n")
    whb.ok(*build, cwd=tmp_path, WHB_CONTAINER_IMAGES=IMAGES)
    (wheel,) = (tmp_path / "wheelhouse").glob("demo-1.0-*.whl")
    assert zipfile.ZipFile(wheel).read("demo.py") == b"ANSWER = 42\n"
