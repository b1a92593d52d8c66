"""The container engine without containers: what it asks for, in which order, and what its wheels are told by."""

from __future__ import annotations

import tomllib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.unit.test_fingerprint import RUST, SDIST
from wheelhouse_builder.artifact import SourceTree
from wheelhouse_builder.engines.base import Work
from wheelhouse_builder.engines.container import engine as module
from wheelhouse_builder.engines.container.cibuildwheel import Made
from wheelhouse_builder.engines.container.engine import WAYS, ContainerEngine
from wheelhouse_builder.engines.container.packages import Installed
from wheelhouse_builder.engines.container.preflight import Place
from wheelhouse_builder.engines.container.requirements import BuildRequirements
from wheelhouse_builder.engines.container.toolchain import NativeTools
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.events import ignore
from wheelhouse_builder.oci import Oci
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.resolve.uv import ResolveOptions
from wheelhouse_builder.settings.container import ContainerSettings
from wheelhouse_builder.sources.downloads import Downloads
from wheelhouse_builder.strategy import Strategy
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.engines.container.cibuildwheel import Order
    from wheelhouse_builder.engines.cross.rust import Rust

AMD312, ARM312, ARM313 = (
    Target.parse(f"cp{python}-musllinux_1_2_{arch}")
    for python, arch in ((312, "x86_64"), (312, "aarch64"), (313, "aarch64"))
)
PLACE = Place(
    oci=Oci(program="docker"),
    arch=ARM312.arch,
    version="20.10.24",
    image="whb-test/musllinux:arm64",
    image_id="sha256:abc",
    emulated=True,
    shares_files=True,
    pythons=frozenset({"cp312-cp312", "cp313-cp313"}),
    has_compiler=True,
    has_cargo=False,
    free=1 << 40,
)
PROJECT = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'


@dataclass(kw_only=True)
class World:
    """What the engine meets in the place of containers and toolchains."""

    place: Place = PLACE
    rust: Rust | None = None
    can_run: bool = True  # whether this machine's programs run there
    pulls: list[bool] = field(default_factory=list)  # whether images may be got, of each question for the place
    orders: list[Order] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)  # of the native tools
    removed: list[str] = field(default_factory=list)
    fails: Callable[[Work | None, int], None] = lambda *_: None  # gets the number of the order
    made: tuple[Target, ...] | None = None  # of what is ordered; None: all
    packages: str | None = "libpq-17.6-r0"  # Alpine's, as they were installed; None: they cannot be
    installs: list[dict[str, Any]] = field(default_factory=list)

    def prepare(self, *_: Any, pull: bool, **__: Any) -> Place:
        self.pulls.append(pull)
        return self.place

    def ensure_installed(self, place: Place, names: tuple[str, ...], **more: Any) -> Installed:
        self.installs.append({"names": names, "may_make": more["may_make"], "again": more["again"]})
        if self.packages is None:
            raise JobError("there is no package libpq-dev")
        return Installed(image_id="sha256:with", packages=self.packages, made=0)

    def native_identity(self, place: Place, *, c: bool, rust: Rust | None, uv: bool = True) -> dict[str, str]:
        if not self.can_run:
            return {}
        tools = {"uv": "0.13.9" if uv else "", "zig": "0.17.1" if c else "", "rustc": rust.version if rust else ""}
        return {name: version for name, version in tools.items() if version}

    def native_tools(self, place: Place, target: Target, **more: Any) -> NativeTools:
        self.asked.append(more)
        identity = self.native_identity(place, c=more["c"], rust=more["rust"], uv=more["uv"])
        told = ", ".join(f"{name} {version}" for name, version in identity.items())
        return NativeTools(uv=more["uv"], told=told, environment={"CC": "zig"} if "zig" in identity else {})

    def cibuildwheel(self, *, scratch: Path, log: Path, **_: Any) -> Any:
        world = self

        class Fake:
            def build(self, order: Order, job: str) -> Made:
                world.orders.append(order)
                try:
                    world.fails(None, len(world.orders))
                except JobError as error:
                    log.write_text(error.tail)
                    raise
                wheels = {
                    target: scratch / f"demo-1.0-{target.interpreter}-{target.interpreter}-{target.linux_tag}.whl"
                    for target in order.targets
                    if world.made is None or target in world.made
                }
                return Made(wheels=wheels, libraries=scratch / "libraries")

        return Fake()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World()

    def provide(work: Work, *_: Any, **__: Any) -> BuildRequirements:
        return BuildRequirements(folder=work.scratch / "wheels", lock=f"lock of {work.target.interpreter}", sources=())

    @contextmanager
    def mounted(*_: Any, **__: Any) -> Iterator[tuple[str, ...]]:
        yield ()

    for name, value in {
        "prepare": made.prepare,
        "ensure_installed": made.ensure_installed,
        "find_rust": lambda _: made.rust,
        "native_identity": made.native_identity,
        "native_tools": made.native_tools,
        "warm_zig": lambda *_, **__: None,
        "ensure_std": lambda *_, **__: None,
        "provide_requirements": provide,
        "remove_left_behind": lambda _: None,
        "mounted": mounted,
        "Cibuildwheel": made.cibuildwheel,
    }.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(Oci, "remove", lambda self, label: made.removed.append(label))
    return made


def make_engine(world: World, tmp_path: Path, **more: Any) -> ContainerEngine:
    cache, canceller = tmp_path / "cache", Canceller()
    fields: dict[str, Any] = {
        "cache": cache,
        "jobs": 2,
        "canceller": canceller,
        "listener": ignore,
        "resolving": ResolveOptions(cache=cache),
        "downloads": Downloads(cache, offline=True, canceller=canceller),
        "settings": ContainerSettings(),
        "strategy": Strategy.ACCELERATED,
    }
    return ContainerEngine(**(fields | more))


def make_work(tmp_path: Path, *, target: Target = ARM312, pyproject: str = PROJECT, **more: Any) -> Work:
    tree, scratch = tmp_path / "source", tmp_path / "scratch"
    for folder in (tree, scratch):
        folder.mkdir()
    (tree / "pyproject.toml").write_text(pyproject)
    (tmp_path / "log").touch()
    fields: dict[str, Any] = {"source": SDIST, "target": target, "tree": tree, "scratch": scratch}
    fields |= {"log": tmp_path / "log", "epoch": 0, "phase": lambda _: None}
    return Work(**(fields | more))


# what is built, and how


def test_siblings_are_ordered_at_once_each_with_its_requirements(world: World, tmp_path: Path) -> None:
    raw = make_engine(world, tmp_path).build(make_work(tmp_path, siblings={ARM313: None}))
    (order,) = world.orders
    assert order.targets == (ARM312, ARM313)
    assert [aim.environment["UV_FIND_LINKS"] for aim in order.aims] == [
        (tmp_path / "scratch" / str(target) / "wheels").as_uri() for target in (ARM312, ARM313)
    ]
    assert raw.path.name == "demo-1.0-cp312-cp312-linux_aarch64.whl"
    assert {target: other.build_lock for target, other in raw.siblings.items()} == {ARM313: "lock of cp313"}
    assert raw.build_lock == "lock of cp312"
    assert raw.built_in == Path("/project")


def test_a_sibling_that_was_not_built_is_left_to_its_job(world: World, tmp_path: Path) -> None:
    world.made = (ARM312,)
    assert make_engine(world, tmp_path).build(make_work(tmp_path, siblings={ARM313: None})).siblings == {}


def test_the_container_has_no_network_and_no_privileges_and_is_removed(world: World, tmp_path: Path) -> None:
    make_engine(world, tmp_path).build(make_work(tmp_path))
    (order,) = world.orders
    text = " ".join(order.create_args)
    assert "--network none --env HTTP_PROXY= " in text
    assert "--cap-drop ALL" in text
    assert "no-new-privileges" in text
    (job,) = world.removed
    assert f"--label {job}" in text


def test_what_a_package_says_to_uv_does_not_count(world: World, tmp_path: Path) -> None:
    make_engine(world, tmp_path).build(make_work(tmp_path))
    ((aim,),) = (order.aims for order in world.orders)
    assert (aim.environment["UV_NO_CONFIG"], aim.environment["UV_NO_SOURCES"]) == ("1", "1")


def test_a_recipe_alone_lets_the_network_in_and_not_offline(world: World, tmp_path: Path) -> None:
    tables = {"demo": {"network": True}}
    make_engine(world, tmp_path, package_tables=tables).build(make_work(tmp_path))
    offline = ResolveOptions(cache=tmp_path, offline=True)
    (tmp_path / "second").mkdir()
    make_engine(world, tmp_path, package_tables=tables, resolving=offline).build(make_work(tmp_path / "second"))
    assert ["none" in order.create_args for order in world.orders] == [False, True]


def test_a_container_is_removed_also_after_a_failure(world: World, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise JobError("broken")

    world.fails = fail
    with pytest.raises(JobError, match="broken"):
        make_engine(world, tmp_path).build(make_work(tmp_path))
    assert len(world.removed) == len(world.orders) == 1


def test_config_settings_of_recipe_and_front_end_reach_it(world: World, tmp_path: Path) -> None:
    source = SourceTree(
        name=canonicalize_name("demo"),
        version=Version("1.0"),
        path="/x",
        digest="d",
        config_settings=(("own", ("1", "2")),),
    )
    tables = {"demo": {"config-settings": {"recipe": ["{target.arch}"]}, "environment": {"MODE": "{target.arch}"}}}
    make_engine(world, tmp_path, package_tables=tables).build(make_work(tmp_path, source=source))
    (aim,) = world.orders[0].aims
    assert aim.config_settings == {"recipe": ["aarch64"], "own": ["1", "2"]}
    assert aim.environment["MODE"] == "aarch64"


def test_a_wrapped_project_is_built_by_the_backend_that_it_wraps(world: World, tmp_path: Path) -> None:
    wrapped = (
        '[build-system]\nrequires = ["wheelhouse-builder>=1,<2", "flit_core"]\n'
        'build-backend = "wheelhouse_builder.backend"\n'
        '[tool.whb]\nbuild-backend = "flit_core.buildapi"\nbackend-path = ["."]\n[project]\nname = "demo"\n'
        'urls = { "Source code" = "https://x" }\n'
    )
    work = make_work(tmp_path, pyproject=wrapped)
    make_engine(world, tmp_path).build(work)
    content = tomllib.loads((work.tree / "pyproject.toml").read_text())
    assert content["build-system"] == {
        "requires": ["flit_core"],
        "build-backend": "flit_core.buildapi",
        "backend-path": ["."],
    }
    before = tomllib.loads(wrapped)
    assert {name: content[name] for name in ("project", "tool")} == {name: before[name] for name in ("project", "tool")}


@pytest.mark.parametrize(
    ("pulls", "offline", "expected"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_an_image_is_got_to_build_and_not_to_plan(
    world: World, tmp_path: Path, pulls: bool, offline: bool, expected: bool
) -> None:
    resolving = ResolveOptions(cache=tmp_path / "cache", offline=offline)
    make_engine(world, tmp_path, pulls=pulls, resolving=resolving).fingerprints(SDIST, ARM312)
    assert set(world.pulls) == {expected}


# Alpine packages

WITH_APK: dict[str, Any] = {"package_tables": {"demo": {"apk": ["libpq-dev"], "environment": {"LDFLAGS": "-Lmine"}}}}


def test_a_recipe_that_names_no_alpine_packages_asks_for_no_image(world: World, tmp_path: Path) -> None:
    engine = make_engine(world, tmp_path)
    assert "packages" not in engine.build(make_work(tmp_path)).fingerprint
    assert world.installs == []


def test_a_build_with_alpine_packages_is_in_their_image_and_told_by_their_versions(
    world: World, tmp_path: Path
) -> None:
    engine = make_engine(world, tmp_path, **WITH_APK)
    raw = engine.build(make_work(tmp_path))
    assert world.orders[0].image == "sha256:with"
    assert (raw.fingerprint["packages"], raw.fingerprint["image"]) == ("libpq-17.6-r0", PLACE.image_id)
    assert raw.fingerprint in engine.fingerprints(SDIST, ARM312)
    assert {asked["names"] for asked in world.installs} == {("libpq-dev",)}
    assert [asked["again"] for asked in world.installs] == [True, False]
    world.packages = "libpq-17.7-r0"
    assert raw.fingerprint not in engine.fingerprints(SDIST, ARM312)


def test_zig_is_told_where_alpine_has_them_and_the_images_own_compiler_knows(world: World, tmp_path: Path) -> None:
    make_engine(world, tmp_path, **WITH_APK).build(make_work(tmp_path))
    (tmp_path / "second").mkdir()
    emulated = make_engine(world, tmp_path, strategy=Strategy.EMULATED, **WITH_APK)
    emulated.build(make_work(tmp_path / "second"))
    by_zig, own = (order.aims[0].environment for order in world.orders)
    assert (by_zig["C_INCLUDE_PATH"], by_zig["LDFLAGS"]) == ("/usr/include", "-Lmine -L/usr/lib")
    assert "C_INCLUDE_PATH" not in own
    assert own["LDFLAGS"] == "-Lmine"


def test_packages_that_cannot_be_installed_fail_their_build_and_no_plan(world: World, tmp_path: Path) -> None:
    world.packages = None
    engine = make_engine(world, tmp_path, **WITH_APK)
    assert [shape["packages"] for shape in engine.fingerprints(SDIST, ARM312)] == ["not installed yet"]
    with pytest.raises(JobError, match="no package libpq-dev"):
        engine.build(make_work(tmp_path))
    assert world.orders == []


@pytest.mark.parametrize(
    ("pulls", "offline", "expected"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_packages_are_installed_to_build_and_not_to_plan(
    world: World, tmp_path: Path, pulls: bool, offline: bool, expected: bool
) -> None:
    resolving = ResolveOptions(cache=tmp_path / "cache", offline=offline)
    make_engine(world, tmp_path, pulls=pulls, resolving=resolving, **WITH_APK).fingerprints(SDIST, ARM312)
    assert [asked["may_make"] for asked in world.installs] == [expected]


# what runs natively


def test_compilers_run_natively_where_it_is_emulated(world: World, tmp_path: Path) -> None:
    raw = make_engine(world, tmp_path).build(make_work(tmp_path))
    assert [asked["c"] for asked in world.asked] == [True]
    assert raw.native_tools == "uv 0.13.9, zig 0.17.1"


OWN = replace(PLACE, emulated=False)
SLOW = ContainerSettings(accelerate=False)


@pytest.mark.parametrize(
    ("place", "settings", "can_run", "ways"),
    [
        (OWN, ContainerSettings(), True, (Strategy.NATIVE,)),
        (PLACE, ContainerSettings(), True, (Strategy.ACCELERATED, Strategy.EMULATED)),
        (PLACE, SLOW, True, (Strategy.EMULATED,)),
        (PLACE, ContainerSettings(), False, (Strategy.EMULATED,)),
        (replace(PLACE, has_compiler=False), ContainerSettings(), True, (Strategy.ACCELERATED,)),
    ],
    ids=["native container", "emulated", "switched off", "another machine", "no compiler in the image"],
)
def test_the_ways_are_those_that_differ(
    world: World, tmp_path: Path, place: Place, settings: ContainerSettings, can_run: bool, ways: tuple[Strategy, ...]
) -> None:
    world.place, world.can_run = place, can_run
    engines = [make_engine(world, tmp_path, settings=settings, strategy=way) for way in WAYS]
    assert tuple(engine.strategy for engine in engines if engine.fingerprints(SDIST, ARM312)) == ways


@pytest.mark.parametrize(
    ("place", "settings", "can_run", "strategy", "native"),
    [
        (OWN, ContainerSettings(), True, Strategy.NATIVE, None),
        (PLACE, ContainerSettings(), True, Strategy.EMULATED, "uv 0.13.9"),
        (PLACE, SLOW, True, Strategy.EMULATED, None),
        (PLACE, ContainerSettings(), False, Strategy.EMULATED, None),
    ],
    ids=["native container", "emulated", "switched off", "another machine"],
)
def test_else_the_image_has_its_own(
    world: World,
    tmp_path: Path,
    place: Place,
    settings: ContainerSettings,
    can_run: bool,
    strategy: Strategy,
    native: str | None,
) -> None:
    world.place, world.can_run = place, can_run
    engine = make_engine(world, tmp_path, settings=settings, strategy=strategy)
    raw = engine.build(make_work(tmp_path))
    assert [asked["c"] for asked in world.asked] == [False]
    assert raw.native_tools == native
    assert raw.fingerprint in engine.fingerprints(SDIST, ARM312)
    assert world.orders[0].uv is not (place.emulated and not settings.accelerate)


def test_an_image_without_a_compiler_gets_one(world: World, tmp_path: Path) -> None:
    world.place = replace(OWN, has_compiler=False)
    make_engine(world, tmp_path, strategy=Strategy.NATIVE).build(make_work(tmp_path))
    assert [asked["c"] for asked in world.asked] == [True]


def test_rust_without_cargo_anywhere_is_told(world: World, tmp_path: Path) -> None:
    rusty = make_work(tmp_path)
    (rusty.tree / "Cargo.toml").touch()
    with pytest.raises(MachineError, match="is written in Rust") as caught:
        make_engine(world, tmp_path).build(rusty)
    assert "whb doctor --install" in str(caught.value.hint)


# fingerprints: planning asks for them


def test_each_way_has_its_fingerprints_without_rust_and_with_it(world: World, tmp_path: Path) -> None:
    engines = [make_engine(world, tmp_path, strategy=way) for way in (Strategy.ACCELERATED, Strategy.EMULATED)]
    for rust, number in ((None, 2), (RUST, 4)):
        world.rust = rust
        assert len({str(shape) for engine in engines for shape in engine.fingerprints(SDIST, ARM312)}) == number


def test_image_and_recipe_matter_and_where_it_runs_does_not(world: World, tmp_path: Path) -> None:
    engine = make_engine(world, tmp_path)
    before = engine.fingerprints(SDIST, ARM312)
    world.place = replace(PLACE, oci=Oci(program="podman", host="ssh://pi"), image="another name", free=1 << 41)
    assert engine.fingerprints(SDIST, ARM312) == before
    told = make_engine(world, tmp_path, package_tables={"demo": {"environment": {"X": "1"}}})
    assert told.fingerprints(SDIST, ARM312) != before
    world.place = replace(PLACE, image_id="sha256:def")
    assert engine.fingerprints(SDIST, ARM312) != before


def test_the_wheel_has_the_fingerprint_of_its_way(world: World, tmp_path: Path) -> None:
    engine = make_engine(world, tmp_path)
    assert engine.build(make_work(tmp_path)).fingerprint == engine.fingerprints(SDIST, ARM312)[0]
