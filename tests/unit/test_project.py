"""What a project's tree says of itself: its build system, its name and version, its key."""

from __future__ import annotations

import configparser
import io
import os
import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelhouse_builder.errors import JobError, UsageError
from wheelhouse_builder.project.build_system import BuildSystem, read_build_system
from wheelhouse_builder.project.identity import Identity, read_identity
from wheelhouse_builder.project.key import Inputs, normalised, read_inputs, setup_cfg_sections
from wheelhouse_builder.stub.sdist import make_stub
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

DEMO = canonicalize_name("demo")
ARM = Target.parse("cp312-musllinux_1_2_aarch64")
WRAPPED = """\
[build-system]
requires = ["Wheelhouse_Builder[build]>=1,<2", "setuptools>=80", "cffi"]
build-backend = "wheelhouse_builder.backend"
[project]
name = "Demo_Project"
version = "1.0"
[tool.whb]
build-backend = "setuptools.build_meta"
"""


def write(tree: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")
    return tree


def with_pyproject(tree: Path, text: str) -> Path:
    return write(tree, {"pyproject.toml": text})


# the build system


def test_a_wrapped_project_is_built_by_the_backend_that_it_names(tmp_path: Path) -> None:
    assert read_build_system(with_pyproject(tmp_path, WRAPPED)) == BuildSystem(
        backend="setuptools.build_meta", requires=("setuptools>=80", "cffi"), wrapped=True
    )


def test_a_wrapped_backend_may_lie_in_the_tree(tmp_path: Path) -> None:
    text = WRAPPED.replace("setuptools.build_meta", "own.backend:hooks.all")
    (tmp_path / "tools").mkdir()
    system = read_build_system(
        with_pyproject(tmp_path, f'{text}backend-path = [".", "tools"]\nkey-exclude = ["tests", "*.md"]\n')
    )
    assert (system.backend, system.backend_path) == ("own.backend:hooks.all", (".", "tools"))
    assert system.key_exclude == ("tests", "*.md")


def test_the_tool_table_says_nothing_where_the_wrapper_is_not_named(tmp_path: Path) -> None:
    text = '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\nbackend-path = ["."]\n'
    system = read_build_system(with_pyproject(tmp_path, f'{text}[tool.whb]\nbuild-backend = "x"\n'))
    assert system == BuildSystem(backend="flit_core.buildapi", requires=("flit_core",), backend_path=(".",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[build-system", "pyproject.toml is not valid TOML"),
        ('[build-system]\nrequires = ["=="]\n', "requires holds no valid requirement"),
        ("build-system = 1\n", "no list of strings called requires"),
        ('[build-system]\nbuild-backend = "x"\n', "no list of strings called requires"),
        ('[build-system]\nrequires = "setuptools"\n', "no list of strings called requires"),
        ("[build-system]\nrequires = [1]\n", "no list of strings called requires"),
        ("[build-system]\nrequires = []\nbuild-backend = 1\n", "build-backend in pyproject.toml is not a string"),
        ('[build-system]\nrequires = []\nbackend-path = "."\n', r"\[build-system\] backend-path is not a list of str"),
        ('[build-system]\nrequires = []\nbackend-path = [".."]\n', r"backend-path leads out of the project: '\.\.'"),
        ("x = " + "[" * 5000, "pyproject.toml is not valid TOML"),
        ("x = " + "1" * 5000, "pyproject.toml is not valid TOML"),
    ],
)
def test_a_build_system_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(JobError, match=message) as caught:
        read_build_system(with_pyproject(tmp_path, text))
    assert caught.value.hint == "report it to the package's authors"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", r"wheelhouse_builder\.backend has no backend to wrap: \[tool\.whb\] has no build-backend"),
        ('build-backend = "wheelhouse_builder.backend"', "would wrap itself"),
        ('build-backend = "wheelhouse_builder.backend:x"', "would wrap itself"),
        ("build-backend = 1", "is no name of a backend: 1"),
        ('build-backend = ""', "is no name of a backend: ''"),
        ('build-backend = "a b"', "is no name of a backend: 'a b'"),
        ('build-backend = "x"\nbackend-path = ["/tmp"]', "backend-path leads out of the project: '/tmp'"),
        ('build-backend = "x"\nbackend-path = ["a/../.."]', r"backend-path leads out of the project: 'a/\.\./\.\.'"),
        ('build-backend = "x"\nbackend-path = ["out"]', "backend-path leads out of the project: 'out'"),
        ('build-backend = "x"\nbackend-path = ["a\\u0000"]', "backend-path leads out of the project"),
        ('build-backend = "x"\nbackend-path = ["round"]', "backend-path leads out of the project: 'round'"),
        ('build-backend = "x"\nkey-exclude = "tests"', "key-exclude is not a list of strings: 'tests'"),
    ],
)
def test_a_wrapped_project_that_is_not_set_up_well(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "out").symlink_to("/")
    (tmp_path / "round").symlink_to("round")
    text = WRAPPED.replace('build-backend = "setuptools.build_meta"', line)
    with pytest.raises(JobError, match=message) as caught:
        read_build_system(with_pyproject(tmp_path, text))
    assert caught.value.hint


def test_a_stub_of_a_wheelhouse_is_no_project(tmp_path: Path) -> None:
    """An index may offer one as the sdist of a version."""
    stub = make_stub(DEMO, Version("1.0"), {"demo-1.0-py3-none-any.whl": b"Metadata-Version: 2.1\n"}, "/srv/wheelhouse")
    with tarfile.open(fileobj=io.BytesIO(stub.content)) as archive:
        archive.extractall(tmp_path, filter="data")
    with pytest.raises(JobError, match="a stub of a wheelhouse, which holds no source") as caught:
        read_build_system(tmp_path / "demo-1.0")
    assert "an index that has the source" in str(caught.value.hint)
    (tmp_path / "demo-1.0/stub.json").unlink()
    assert read_build_system(tmp_path / "demo-1.0").backend == "stub_backend"


# name and version

PKG_INFO = "Metadata-Version: 2.1\nName: Demo.Project\nVersion: 2.0\n\nversion: 3\n"


@pytest.mark.parametrize(
    ("files", "name", "version"),
    [
        ({}, None, None),
        ({"pyproject.toml": WRAPPED}, "demo-project", "1.0"),
        ({"pyproject.toml": '[project]\nname = "x"\ndynamic = ["version"]\n'}, "x", None),
        ({"pyproject.toml": '[project]\nname = "x"\ndynamic = ["version"]\n', "PKG-INFO": PKG_INFO}, "x", "2.0"),
        ({"pyproject.toml": '[project]\nname = "x"\n', "setup.cfg": "[metadata]\nversion = 1\n"}, "x", None),
        ({"PKG-INFO": PKG_INFO}, "demo-project", "2.0"),
        ({"pyproject.toml": '[tool.poetry]\nname = "x"\nversion = "1"\n'}, "x", "1"),
        ({"pyproject.toml": '[tool.flit.metadata]\nmodule = "x_y"\n'}, "x-y", None),
        ({"pyproject.toml": '[tool.flit.metadata]\nmodule = "x"\ndist-name = "y"\n'}, "y", None),
        ({"setup.cfg": "[metadata]\nname = x\nversion = 1.0\n"}, "x", "1.0"),
        ({"setup.cfg": "[metadata]\nname = x\nversion = attr: x.__version__\n"}, "x", None),
        ({"setup.cfg": "no section\n"}, None, None),
        ({"pyproject.toml": '[project]\nname = "../x"\nversion = "one"\n'}, None, None),
        ({"pyproject.toml": "[project]\nname = 1\nversion = 1\n"}, None, None),
        ({"pyproject.toml": f'[project]\nname = "x"\nversion = "{"1" * 5000}"\n'}, "x", None),
        ({"pyproject.toml": "project = 1\n"}, None, None),
    ],
)
def test_who_a_project_is(tmp_path: Path, files: dict[str, str], name: str | None, version: str | None) -> None:
    identity = Identity(name=name, version=Version(version) if version else None)  # type: ignore[arg-type]  # normal
    assert read_identity(write(tmp_path, files)) == identity


# the key


FILES = {
    "pyproject.toml": WRAPPED,
    "src/demo/__init__.py": "x = 1\n",
    "src/demo/build/__init__.py": "",
    "_demo.c": "int x;\n",
    "README.md": "# demo\n",
}


def inputs(tree: Path, **settings: object) -> Inputs:
    found = read_inputs(tree, read_build_system(tree), config_settings=settings, musl_floor="1.2.3")
    assert found is not None
    return found


def key(tree: Path, **settings: object) -> str:
    return inputs(tree, **settings).key(ARM)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write(tmp_path / "tree", FILES)


CACHE = {"target/CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n", "target/debug/x.o": "x"}

NOT_OF_THE_SOURCE: list[dict[str, str]] = [
    {"PKG-INFO": PKG_INFO},
    {"src/demo.egg-info/PKG-INFO": PKG_INFO, "src/demo.egg-info/SOURCES.txt": "x"},
    {".git/HEAD": "x", ".gitignore": "*.so\n", "src/.gitattributes": "x", ".github/workflows/ci.yml": "x"},
    {".hgignore": "x", ".svn/x": "x", "CVS/Root": "x"},
    {"setup.cfg": "[egg_info]\ntag_build = \ntag_date = 0\n\n"},
    CACHE,
    {"wheelhouse/.whb/records.sqlite": "x", "wheelhouse/demo-1.0-py3-none-any.whl": "x"},
    {"src/demo/_demo.cpython-312-x86_64-linux-gnu.so": "x", "_demo.abi3.so": "x"},
    {"demo_project-1.0-py3-none-any.whl": "x"},
    {"build/lib/x.py": "x", "dist/demo-1.0.tar.gz": "x", "src/demo/__pycache__/x.cpython-312.pyc": "x"},
]


@pytest.mark.parametrize("files", NOT_OF_THE_SOURCE, ids=lambda files: next(iter(files)))
def test_a_checkout_and_its_sdist_have_one_key(tree: Path, files: dict[str, str]) -> None:
    before = key(tree)
    assert key(write(tree, files)) == before


OF_THE_SOURCE: list[dict[str, str]] = [
    {"_demo.c": "int y;\n"},
    {"setup.cfg": "[egg_info]\ntag_build = dev\n"},
    {"setup.cfg": "[options]\nzip_safe = false\n"},
    {"setup.cfg": "no section\n"},
    {"target/CACHEDIR.TAG": "Signature: none\n"},
    {"src/demo/_demo.so": "x"},
    {"src/setup.cfg": "[egg_info]\ntag_build = \n"},
    {"src/demo/dist/x.py": ""},
    {"src/demo/bundled-1.0-py3-none-any.whl": "x"},
    {"pyproject.toml": WRAPPED.replace("80", "81")},
]


@pytest.mark.parametrize("files", OF_THE_SOURCE, ids=str)
def test_what_shapes_the_wheel_shapes_the_key(tree: Path, files: dict[str, str]) -> None:
    before = key(tree)
    assert key(write(tree, files)) != before


def test_each_input_shapes_the_key(tree: Path) -> None:
    system = read_build_system(tree)
    base = inputs(tree)
    other = read_inputs(tree, system, config_settings={}, musl_floor="1.2.5")
    assert other is not None
    keys = [
        base.key(ARM),
        base.key(Target.parse("cp312-musllinux_1_2_x86_64")),
        base.key(Target.parse("cp313-musllinux_1_2_aarch64")),
        other.key(ARM),
        key(tree, debug="1"),
    ]
    assert len(set(keys)) == len(keys)
    (tree / "_demo.c").chmod(0o755)
    assert key(tree) not in keys


def test_a_key_is_the_same_tomorrow(tmp_path: Path) -> None:
    """Wheels that are stored today are to be found by later releases, or `_FORMAT` is counted up."""
    text = '[build-system]\nrequires = []\nbuild-backend = "x"\n'
    found = key(with_pyproject(tmp_path, text), b="1", a=["2", "3"])
    assert found == "eb3b735be88f80abd8f248ccc7beb91a6aa8adfa60fe613c6f65c44cde3ce9c2"


def test_files_that_backends_read_from_version_control_count(tree: Path) -> None:
    text = WRAPPED.replace("setuptools.build_meta", "hatchling.build")
    before = key(with_pyproject(tree, text))
    ignored = key(write(tree, {".gitignore": "*.so\n"}))
    assert ignored != before
    assert key(write(tree, {".hgignore": "*.so\n"})) != ignored


def test_what_cython_makes_does_not_count(tree: Path) -> None:
    with_pyproject(tree, WRAPPED.replace("requires = [", 'requires = ["Cython>=3", '))
    before = key(write(tree, {"src/x.pyx": "a = 1\n", "src/y.pyx": "b = 1\n"}))
    made = "/* Generated by Cython 3.2.1 */\n"
    assert key(write(tree, {"src/x.c": made, "src/y.cpp": made})) == before
    assert key(write(tree, {"src/z.c": made})) != before


@pytest.mark.parametrize(("requires", "text"), [('"Cython", ', "int y;\n"), ("", "/* Generated by Cython 3 */\n")])
def test_c_beside_a_pyx_counts_unless_the_build_makes_it_anew(tree: Path, requires: str, text: str) -> None:
    with_pyproject(tree, WRAPPED.replace("requires = [", f"requires = [{requires}"))
    before = key(write(tree, {"src/x.pyx": "a = 1\n"}))
    assert key(write(tree, {"src/x.c": text})) != before


def test_what_the_project_excludes_does_not_count(tree: Path) -> None:
    with_pyproject(tree, f'{WRAPPED}key-exclude = ["tests", "docs/", "*.md", "src/*/x_?.py"]\n')
    before = key(tree)
    left_out = {"tests/deep/test_x.py": "x", "docs/a.rst": "x", "NEWS.md": "x", "src/demo/x_1.py": "x"}
    assert key(write(tree, left_out)) == before
    assert key(write(tree, {"src/tests.py": "x"})) != before


def test_links_count_as_what_they_lead_to(tree: Path, tmp_path: Path) -> None:
    """sdists have a file in the place of a link, as most backends make them."""
    write(tmp_path, {"shared/common.c": "1", "shared/build/x.c": "2"})
    (tree / "LICENSE").symlink_to("README.md")
    (tree / "common").symlink_to(tmp_path / "shared")
    linked = key(tree)
    shutil.copytree(tree, tmp_path / "copy")  # follows them
    assert not (tmp_path / "copy" / "LICENSE").is_symlink()
    assert key(tmp_path / "copy") == linked
    write(tmp_path, {"shared/common.c": "3"})
    assert key(tree) != linked


def test_links_that_lead_nowhere_or_round_end(tree: Path) -> None:
    changes: list[Callable[[], object]] = [
        lambda: (tree / "gone").symlink_to("nothing"),
        lambda: (tree / "round").symlink_to("."),
        lambda: (tree / "src" / "up").symlink_to(".."),
        lambda: (tree / "self").symlink_to("self"),
    ]
    seen = {key(tree)}
    for change in changes:
        change()
        seen.add(key(tree))
    assert len(seen) == 5


def test_pipes_are_not_read(tree: Path) -> None:
    before = key(tree)
    os.mkfifo(tree / "pipe")
    assert key(tree) == before


def test_a_tree_that_is_far_too_large_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wheelhouse_builder.sources.trees.MAX_MEMBERS", 4)
    with pytest.raises(UsageError, match="has more than 4 files"):
        key(tree)


@pytest.mark.parametrize("gone", ["gone.c", "setup.cfg", "Cargo.toml"])
def test_a_file_that_vanishes_is_named(tree: Path, gone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system = read_build_system(tree)
    monkeypatch.setattr("wheelhouse_builder.project.key.tree_files", lambda path, follow_links: [*FILES, gone])
    with pytest.raises(UsageError, match=rf"cannot read {tree}/{gone}: No such file"):
        read_inputs(tree, system, musl_floor="1.2.3")


CARGO = '[package]\nname = "demo"  # its name\n'


def test_the_readme_that_cargo_finds_is_the_one_that_an_sdist_names(tree: Path) -> None:
    """`maturin sdist` writes it into Cargo.toml."""
    found = key(write(tree, {"Cargo.toml": CARGO}))
    assert key(write(tree, {"Cargo.toml": f'{CARGO}readme = "README.md"\n'})) == found
    assert key(write(tree, {"Cargo.toml": f'{CARGO}readme = "OTHER.md"\n'})) != found
    assert key(write(tree, {"Cargo.toml": f"{CARGO}version = 2020-01-01\n"})) != found
    assert key(write(tree, {"Cargo.toml": "no TOML"})) != found
    assert key(write(tree, {"Cargo.toml": "x = " + "[" * 5000})) != found
    assert key(write(tree, {"Cargo.toml": "x = " + "1" * 5000})) != found


# versions from version control

SCM = '[build-system]\nrequires = ["{}"]\nbuild-backend = "x"\n[project]\nname = "x"\n{}\n'
DYNAMIC = 'dynamic = ["version"]'


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": SCM.format("Setuptools_SCM>=8", DYNAMIC)},
        {"pyproject.toml": SCM.format("hatch-vcs", DYNAMIC)},
        {"pyproject.toml": SCM.format("pdm-backend", f'{DYNAMIC}\n[tool.pdm.version]\nsource = "scm"')},
        {"pyproject.toml": SCM.format("setuptools", DYNAMIC), "versioneer.py": ""},
        {"pyproject.toml": '[build-system]\nrequires = ["pbr", "setuptools"]\n', "setup.cfg": "[metadata]\nname = x\n"},
        {"setup.py": "from setuptools import setup\nsetup(use_scm_version=True, setup_requires=['setuptools_scm'])\n"},
        {"setup.cfg": "[options]\nsetup_requires =\n    setuptools-scm>=8\n"},
    ],
)
def test_a_checkout_whose_version_is_not_in_its_files_has_no_key(tmp_path: Path, files: dict[str, str]) -> None:
    write(tmp_path, files)
    system = read_build_system(tmp_path)
    assert read_inputs(tmp_path, system, musl_floor="1.2.3") is None
    first = inputs(write(tmp_path, {"PKG-INFO": PKG_INFO}))
    assert first.version == "2.0"
    assert key(write(tmp_path, {"PKG-INFO": PKG_INFO.replace("2.0", "2.1")})) != first.key(ARM)


@pytest.mark.parametrize(
    "text",
    [
        SCM.format("setuptools-scm", 'version = "1"'),
        SCM.format("hatchling", DYNAMIC),
        SCM.format("pdm-backend", DYNAMIC),
    ],
)
def test_other_versions_are_in_the_files(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"setup.py": "from setuptools import setup\nsetup(py_modules=['pbrick'])\n"})
    assert inputs(with_pyproject(tmp_path, text)).version is None


# config settings

TEXTS = st.text(max_size=4)
SETTINGS = st.dictionaries(TEXTS, st.lists(TEXTS, min_size=1, max_size=3), max_size=4)


@given(SETTINGS, st.randoms(use_true_random=False))
def test_config_settings_are_alike_however_a_front_end_gives_them(given: dict[str, list[str]], random) -> None:  # type: ignore[no-untyped-def]  # hypothesis'
    shuffled = list(given.items())
    random.shuffle(shuffled)
    otherwise: dict[str, object] = {
        name: random.choice([values[0], (values[0],)]) if len(values) == 1 else tuple(values)
        for name, values in shuffled
    }
    assert normalised(otherwise) == normalised(given) == {name: tuple(values) for name, values in given.items()}
    assert list(normalised(otherwise)) == sorted(given)


@given(SETTINGS, SETTINGS)
def test_other_config_settings_are_other(one: dict[str, list[str]], two: dict[str, list[str]]) -> None:
    assert (normalised(one) == normalised(two)) == (one == two)


def test_no_config_settings() -> None:
    assert normalised(None) == normalised({}) == normalised({"a": []}) == {}


# setup.cfg, as setuptools writes it into an sdist

WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=6)
LINES = st.lists(WORDS, max_size=3).map("\n".join)
SECTIONS = st.dictionaries(WORDS.filter(lambda name: name != "DEFAULT"), st.dictionaries(WORDS, LINES, max_size=3))


def written(sections: Mapping[str, Mapping[str, str]], comment: str = "") -> str:
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as setuptools has it
    parser.read_dict(sections)
    stream = io.StringIO(comment)
    stream.seek(0, io.SEEK_END)
    parser.write(stream)
    return stream.getvalue()


@given(SECTIONS, st.sampled_from(["", "dev", ".post1"]))
def test_what_setuptools_writes_into_a_setup_cfg_does_not_count(sections: dict[str, dict[str, str]], tag: str) -> None:
    checkout = {**sections, "egg_info": {"tag_build": tag}} if tag else sections
    sdist = {**sections, "egg_info": {"tag_build": tag, "tag_date": "0"}}
    assert setup_cfg_sections(written(sdist)) == setup_cfg_sections(written(checkout, "# a comment\n\n"))


# checkouts and sdists in general

NAMES = st.sampled_from(["a.py", "pkg/a.py", "pkg/b.c", "pkg/build/x", "setup.cfg", "pkg/setup.cfg"])


@settings(max_examples=40)  # each writes two trees
@given(
    st.dictionaries(NAMES, st.sampled_from(["", "x\n", "[a]\nb = 1\n"])), st.lists(st.sampled_from(NOT_OF_THE_SOURCE))
)
def test_any_tree_has_the_key_of_its_sdist(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, str], more: list[dict[str, str]]
) -> None:
    checkout = write(tmp_path_factory.mktemp("checkout"), {"pyproject.toml": WRAPPED, **files})
    sdist = write(tmp_path_factory.mktemp("sdist"), {"pyproject.toml": WRAPPED, **files})
    for added in more:
        if "setup.cfg" not in added or "setup.cfg" not in files:
            write(sdist, added)
    assert key(checkout) == key(sdist)
