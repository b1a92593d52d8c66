"""The recipes that whb ships: TOML files beside this module."""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from importlib import resources
from typing import TYPE_CHECKING

from packaging.utils import InvalidName, canonicalize_name

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.recipes.model import (
    LibraryRecipe,
    PackageRecipe,
    check_placeholders,
    parse_library_recipe,
    parse_package_recipe,
)
from wheelhouse_builder.recipes.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

    from packaging.version import Version

_NO_TABLE: Mapping[str, object] = {}


def load_package_recipe(
    name: str, version: Version | None, project: Mapping[str, object] = _NO_TABLE, *, where: str = "packages"
) -> PackageRecipe:
    """The recipe for one version of a package: the shipped one, extended by the project's own table; often empty.

    `project` is the settings' `[packages.NAME]`, and `where` says where it stands, for messages. Raises `UsageError`.
    """
    recipe = next((recipe for recipe in _shipped(name) if recipe.fits(version)), PackageRecipe())
    if not project:
        return recipe
    table = Table(f"{where}.{name}", project)
    own = parse_package_recipe(table)
    return _checked(recipe.extended(own), table) if own.fits(version) else recipe


def problems_of(values: Mapping[str, object], where: str) -> Iterator[UsageError]:
    """What is wrong with a project's own table: each key that is, whether a run comes to use it or not."""
    for key, value in values.items():
        table = Table(where, {key: value})
        try:
            _check_libraries(parse_package_recipe(table), table)
        except UsageError as error:
            yield error


def load_library(name: str) -> LibraryRecipe:
    """The recipe of a C library. Raises `UsageError` for one that is not known."""
    if name not in library_names():
        close = difflib.get_close_matches(name, library_names(), n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(library_names())}"
        raise UsageError(f"there is no recipe for a C library {name!r}", hint=hint)
    return parse_library_recipe(_read("libraries", name), name)


def package_names() -> tuple[str, ...]:
    """The packages that have a recipe."""
    return _names("packages")


def library_names() -> tuple[str, ...]:
    """The C libraries that have a recipe."""
    return _names("libraries")


def build_digest(recipe: PackageRecipe) -> str:
    """sha256 over a recipe and the recipes of its libraries: this part of a build key changes when any of them does."""
    parts = [recipe.digest, *(load_library(name).digest for name in recipe.libraries)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def lint() -> list[str]:
    """What is wrong with the shipped recipes."""
    problems = []
    for name in library_names():
        try:
            load_library(name)
        except UsageError as error:
            problems.append(error.message)
    for name in package_names():
        if canonicalize_name(name) != name:
            problems.append(f"recipes/packages/{name}.toml: the file must be named {canonicalize_name(name)}.toml")
        try:
            _shipped(name)
        except UsageError as error:
            problems.append(error.message)
    return problems


def _shipped(name: str) -> list[PackageRecipe]:
    """The recipes in the package's file, in its order: one in the table itself, or several in `[[recipe]]` tables."""
    try:
        normal = canonicalize_name(name, validate=True)
    except InvalidName:
        raise UsageError(f"{name!r} is no name of a package") from None
    if normal not in package_names():
        return []
    table = _read("packages", normal)
    tables = [table]
    if "recipe" in table.values:
        table.only("recipe")
        tables = list(table.tables("recipe"))
    return [_checked(parse_package_recipe(each), each) for each in tables]


def _checked(recipe: PackageRecipe, table: Table) -> PackageRecipe:
    """The same recipe, whose libraries and placeholders are all known."""
    _check_libraries(recipe, table)
    check_placeholders(recipe, table)
    return recipe


def _check_libraries(recipe: PackageRecipe, table: Table) -> None:
    for library in recipe.libraries:
        try:
            load_library(library)
        except UsageError as error:
            raise table.wrong("libraries", error.message, hint=error.hint) from None


def _folder(kind: str) -> Traversable:
    return resources.files("wheelhouse_builder.recipes") / kind


def _names(kind: str) -> tuple[str, ...]:
    return tuple(
        sorted(file.name.removesuffix(".toml") for file in _folder(kind).iterdir() if file.name.endswith(".toml"))
    )


def _read(kind: str, name: str) -> Table:
    where = f"recipes/{kind}/{name}.toml"
    try:
        return Table(where, tomllib.loads((_folder(kind) / f"{name}.toml").read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: {error}") from None
