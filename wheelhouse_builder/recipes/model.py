"""Recipes: the few lines that one package, or one C library, needs beyond the generic way."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from wheelhouse_builder.recipes import placeholders

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from packaging.version import Version

    from wheelhouse_builder.recipes.table import Table
    from wheelhouse_builder.target import Target

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CRATE = re.compile(r"[A-Za-z0-9_-]+")
_CRATE_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*")
_RELATIVE = re.compile(r"(?!/)(?!.*(^|/)\.\.(/|$)).+")
# A name and no more: nothing that apk-add(8) takes for an option, a file (`.apk`), a version or a repository.
_ALPINE = re.compile(r"(?!.*\.apk)[A-Za-z0-9_][A-Za-z0-9+_.-]*")


def _digest(values: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


# Packages


@dataclass(frozen=True, kw_only=True)
class PackageRecipe:
    """What one package needs; without values: nothing. `{openssl.prefix}` and `{target.arch}` may stand in values."""

    applies: str = ""  # the versions that this is for, as a specifier (PEP 440)
    libraries: tuple[str, ...] = ()  # C libraries, found through pkg-config and the placeholders
    apk: tuple[str, ...] = ()  # Alpine packages, for the container engine: what there is no library recipe of
    before_build: str = ""  # a shell command that cibuildwheel runs before the build, for the container engine
    environment: Mapping[str, str] = field(default_factory=dict)
    config_settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # PEP 517
    network: bool = False  # whether the package's build may use the network: what it fetches there is not checked

    @property
    def digest(self) -> str:
        """sha256 over all that the recipe says, but not over the libraries' own recipes."""
        said = asdict(self)
        for later in ("apk", "before_build"):  # they came later: what was built before them keeps its key
            if not said[later]:
                del said[later]
        return _digest(said)

    @property
    def container_only(self) -> str:
        """What it says that the container engine alone can do, for people; empty if nothing."""
        if self.apk:
            return f"names Alpine packages ({', '.join(self.apk)})"
        return "has a before-build" if self.before_build else ""

    def fits(self, version: Version | None) -> bool:
        """Whether the recipe is for this version. A version that is not known is taken for a new one."""
        return version is None or SpecifierSet(self.applies).contains(version, prereleases=True)

    def extended(self, other: PackageRecipe) -> PackageRecipe:
        """This recipe with another over it: libraries are added, and where both name a key the other's value counts."""
        return replace(
            self,
            libraries=tuple(dict.fromkeys(self.libraries + other.libraries)),
            apk=tuple(dict.fromkeys(self.apk + other.apk)),
            before_build=other.before_build or self.before_build,
            environment={**self.environment, **other.environment},
            config_settings={**self.config_settings, **other.config_settings},
            network=self.network or other.network,
        )

    def environment_for(self, target: Target, prefixes: Mapping[str, Path]) -> dict[str, str]:
        """The environment of the package's build hooks; `prefixes` says where each library is."""
        values = placeholders.values_for(target, prefixes)
        return {name: placeholders.expand(text, values) for name, text in self.environment.items()}

    def config_settings_for(self, target: Target, prefixes: Mapping[str, Path]) -> dict[str, list[str]]:
        """The `config_settings` for the build hooks (PEP 517)."""
        values = placeholders.values_for(target, prefixes)
        return {
            name: [placeholders.expand(text, values) for text in texts] for name, texts in self.config_settings.items()
        }


def parse_package_recipe(table: Table) -> PackageRecipe:
    """The recipe that a table holds, its placeholders not checked yet. Raises `UsageError`."""
    table.only("applies", "libraries", "apk", "before-build", "environment", "config-settings", "network")
    applies = table.text("applies") if "applies" in table.values else ""
    try:
        SpecifierSet(applies)
    except InvalidSpecifier:
        raise table.wrong("applies", f"{applies!r} is no version specifier", hint='write it as ">=40,<45"') from None
    recipe = PackageRecipe(
        applies=applies,
        libraries=table.texts("libraries"),
        apk=table.texts("apk"),
        before_build=table.text("before-build") if "before-build" in table.values else "",
        environment=table.text_map("environment"),
        config_settings=table.texts_map("config-settings"),
        network=table.flag("network"),
    )
    for name in recipe.environment:
        if not _VARIABLE.fullmatch(name):
            raise table.wrong(f"environment.{name}", "is no name of an environment variable")
    for name in recipe.apk:
        if not _ALPINE.fullmatch(name):
            raise table.wrong("apk", f"{name!r} is no name of an Alpine package", hint='write it as "libxml2-dev"')
    return recipe


def check_placeholders(recipe: PackageRecipe, table: Table) -> None:
    """Raise `UsageError`, naming `table`, if a value of the recipe holds a placeholder that stands for nothing."""
    known = placeholders.known_names(recipe.libraries)
    texts = [(f"environment.{name}", text) for name, text in recipe.environment.items()]
    texts += [(f"config-settings.{name}", text) for name, all_ in recipe.config_settings.items() for text in all_]
    for key, text in texts:
        try:
            names = placeholders.names_in(text)
        except ValueError as error:
            raise table.wrong(key, str(error), hint="a brace itself is written twice: {{ or }}") from None
        for name in names:
            if name not in known:
                raise table.wrong(key, f"nothing is known by the name {{{name}}}", hint=f"known: {', '.join(known)}")


# C libraries


class BuildSystem(StrEnum):
    """How a library is built."""

    AUTOTOOLS = "autotools"
    CMAKE = "cmake"
    OPENSSL = "openssl"
    SOURCES = "sources"  # it has none that works here: its C files are compiled into one archive


@dataclass(frozen=True, kw_only=True)
class CrateSource:
    """C source that a Rust crate carries: checksummed by the crate registry, fetched by cargo, mirrors included."""

    crate: str
    version: str
    sha256: str  # of the .crate file
    path: str  # the library's folder in the crate


@dataclass(frozen=True, kw_only=True)
class UrlSource:
    """A source archive on some server, with one folder at its top."""

    url: str
    sha256: str
    path: str  # the library's folder below the top one; "." for that itself


@dataclass(frozen=True, kw_only=True)
class LibraryRecipe:
    """How to build one C library, static and position-independent, and what must be there afterwards."""

    name: str
    version: str
    source: CrateSource | UrlSource
    build_system: BuildSystem
    options: tuple[str, ...] = ()  # for configure, cmake or OpenSSL's Configure; for `sources`: for the compiler
    compile: tuple[str, ...] = ()  # for `sources`: the C files, as glob patterns
    pkg_config: tuple[str, ...] = ()  # the names that pkg-config knows it by
    headers: tuple[str, ...]  # below include/
    archives: tuple[str, ...]  # below lib/

    @property
    def digest(self) -> str:
        """sha256 over all that the recipe says, the source's checksum included."""
        return _digest(asdict(self))


def parse_library_recipe(table: Table, name: str) -> LibraryRecipe:
    """The recipe that a table holds. Raises `UsageError`."""
    table.only("version", "source", "build-system", "options", "compile", "provides")
    provides = table.table("provides")
    provides.only("pkg-config", "headers", "archives")
    system = table.text("build-system")
    if system not in list(BuildSystem):
        raise table.wrong("build-system", f"{system!r} is unknown", hint=f"known: {', '.join(BuildSystem)}")
    recipe = LibraryRecipe(
        name=name,
        version=table.text("version"),
        source=_parse_source(table.table("source")),
        build_system=BuildSystem(system),
        options=table.texts("options"),
        compile=table.texts("compile"),
        pkg_config=provides.texts("pkg-config"),
        headers=provides.texts("headers"),
        archives=provides.texts("archives"),
    )
    if bool(recipe.compile) != (recipe.build_system is BuildSystem.SOURCES):
        raise table.wrong("compile", "goes with build-system = 'sources', and only with it")
    for key in ("headers", "archives"):
        if not provides.texts(key):
            raise provides.wrong(key, "is missing: without it nobody can tell whether the build worked")
    for key, paths in {"headers": recipe.headers, "archives": recipe.archives, "compile": recipe.compile}.items():
        for path in paths:
            if not _RELATIVE.fullmatch(path):
                raise table.wrong(key, f"{path!r} leads out of the library's folder")
    return recipe


def _parse_source(table: Table) -> CrateSource | UrlSource:
    if not _SHA256.fullmatch(table.text("sha256")):
        raise table.wrong("sha256", "must be 64 hexadecimal digits, in lower case")
    if not _RELATIVE.fullmatch(table.text("path")):
        raise table.wrong("path", f"{table.text('path')!r} leads out of the source")
    if "url" in table.values:
        table.only("url", "sha256", "path")
        return UrlSource(url=table.text("url"), sha256=table.text("sha256"), path=table.text("path"))
    table.only("crate", "version", "sha256", "path")
    source = CrateSource(
        crate=table.text("crate"),
        version=table.text("version"),
        sha256=table.text("sha256"),
        path=table.text("path"),
    )
    if not _CRATE.fullmatch(source.crate):
        raise table.wrong("crate", f"{source.crate!r} is no name of a crate")
    if not _CRATE_VERSION.fullmatch(source.version):
        raise table.wrong("version", f"{source.version!r} is no version of a crate")
    return source
