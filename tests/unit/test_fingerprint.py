"""What a build key of the cross engine covers, and what it must not depend on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelhouse_builder.artifact import Sdist
from wheelhouse_builder.engines.cross import engine as module
from wheelhouse_builder.engines.cross.engine import CrossEngine
from wheelhouse_builder.engines.cross.interpreter import HostPython
from wheelhouse_builder.engines.cross.rust import Rust
from wheelhouse_builder.events import ignore
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.resolve.uv import ResolveOptions
from wheelhouse_builder.target import Target

ARM = Target.parse("cp312-musllinux_1_2_aarch64")
SDIST = Sdist(
    name=canonicalize_name("demo"),
    version=Version("1.0"),
    filename="demo-1.0.tar.gz",
    url="https://host/demo-1.0.tar.gz",
    sha256="a" * 64,
)
HOST = HostPython(
    path=Path("/usr/bin/python3.12"),
    version="3.12.1",
    origin="on PATH",
    include=Path("/usr/include"),
    pyconfig=Path("/usr/include/pyconfig.h"),
    variables={},
)
RUST = Rust(
    cargo=Path("/usr/bin/cargo"),
    rustc=Path("/usr/bin/rustc"),
    version="1.96.0",
    commit="c0ffee",
    host="x86_64-unknown-linux-gnu",
    sysroot=Path("/usr"),
    cache=Path("/cache"),
)


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "zig_version", lambda: "0.17.1")
    monkeypatch.setattr(module, "find_python", lambda python, cache: HOST)
    monkeypatch.setattr(module, "find_rust", lambda cache: RUST)


def make_engine(cache: str = "/cache", **settings: object) -> CrossEngine:
    base: dict[str, object] = {
        "cache": Path(cache),
        "jobs": 2,
        "canceller": Canceller(),
        "listener": ignore,
        "resolving": ResolveOptions(cache=Path(cache)),
    }
    return CrossEngine(**(base | settings))  # type: ignore[arg-type]  # the fields, by name


def test_where_things_lie_and_how_many_run_at_once_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_engine().fingerprints(SDIST, ARM)
    monkeypatch.setattr(module, "find_python", lambda python, cache: replace(HOST, path=Path("/opt/python")))
    monkeypatch.setattr(module, "find_rust", lambda cache: replace(RUST, rustc=Path("/opt/rustc"), cache=Path("/x")))
    offline = ResolveOptions(cache=Path("/elsewhere"), offline=True)
    assert make_engine("/elsewhere", jobs=64, resolving=offline).fingerprints(SDIST, ARM) == before


def test_without_a_compiler_or_a_host_python_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setattr(module, "zig_version", lambda: None)
        assert make_engine().fingerprints(SDIST, ARM) == ()
    monkeypatch.setattr(module, "find_python", lambda python, cache: None)
    assert make_engine().fingerprints(SDIST, ARM) == ()


def test_why_there_is_none() -> None:
    assert "whb doctor --install --python 3.12" in make_engine().why_not(SDIST, ARM)


def test_a_package_that_wants_alpines_is_none_of_its_jobs() -> None:
    engine = make_engine(package_tables={"demo": {"apk": ["libxml2-dev", "libxslt-dev"]}})
    assert engine.fingerprints(SDIST, ARM) == ()
    why = engine.why_not(SDIST, ARM)
    assert why.startswith("the recipe of demo names Alpine packages (libxml2-dev, libxslt-dev), which the container")
    assert 'engine = ["cross", "container"]' in why


def test_nor_is_one_with_something_to_run_before_the_build() -> None:
    engine = make_engine(package_tables={"demo": {"before-build": "make headers"}})
    assert engine.fingerprints(SDIST, ARM) == ()
    assert engine.why_not(SDIST, ARM).startswith("the recipe of demo has a before-build, which the container engine")


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        ("zig_version", "0.18.0"),
        ("find_python", replace(HOST, version="3.12.2")),
        ("find_rust", replace(RUST, version="1.97.0")),
        ("find_rust", replace(RUST, commit="decaf")),
        ("profiles_text", "another profile"),
    ],
)
def test_the_tools_matter(monkeypatch: pytest.MonkeyPatch, function: str, answer: object) -> None:
    before = make_engine().fingerprints(SDIST, ARM)
    monkeypatch.setattr(module, function, lambda *_: answer)
    assert make_engine().fingerprints(SDIST, ARM) != before


def test_another_rust_leaves_builds_without_rust_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, rusty = make_engine().fingerprints(SDIST, ARM)
    monkeypatch.setattr(module, "find_rust", lambda cache: replace(RUST, version="1.97.0"))
    assert make_engine().fingerprints(SDIST, ARM)[0] == plain
    assert make_engine().fingerprints(SDIST, ARM)[1] != rusty
    monkeypatch.setattr(module, "find_rust", lambda cache: None)
    assert make_engine().fingerprints(SDIST, ARM) == (plain,)


def test_a_recipe_matters_for_its_package_alone() -> None:
    other = replace(SDIST, name=canonicalize_name("other"))
    plain, told = make_engine(), make_engine(package_tables={"demo": {"libraries": ["zlib"]}})
    assert told.fingerprints(SDIST, ARM) != plain.fingerprints(SDIST, ARM)
    assert told.fingerprints(other, ARM) == plain.fingerprints(other, ARM)


def test_a_target_tree_matters_by_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "tree_identity", lambda target, tree: f"content of {tree.name}")
    plain = make_engine().fingerprints(SDIST, ARM)
    here, there, other = (
        make_engine(target_trees={str(ARM): Path(tree)}).fingerprints(SDIST, ARM)
        for tree in ("/here/musl", "/there/musl", "/here/other")
    )
    assert here == there
    assert len({str(plain), str(here), str(other)}) == 3
