"""Recipes: the shipped ones are sound, and wrong ones are told with their place and a remedy."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.recipes import placeholders, store
from wheelhouse_builder.recipes.model import (
    BuildSystem,
    CrateSource,
    PackageRecipe,
    UrlSource,
    check_placeholders,
    parse_library_recipe,
)
from wheelhouse_builder.recipes.table import Table
from wheelhouse_builder.target import Target

TARGET = Target.parse("cp312-musllinux_1_2_aarch64")
LIBRARY: dict[str, Any] = {
    "version": "1.0",
    "build-system": "autotools",
    "source": {"crate": "x-sys", "version": "1.2.3", "sha256": "0" * 64, "path": "x"},
    "provides": {"pkg-config": ["x"], "headers": ["x.h"], "archives": ["libx.a"]},
}


def library(**changes: object) -> Table:
    return Table("x.toml", {**LIBRARY, **changes})


# ---- what is shipped


def test_shipped_recipes_are_sound() -> None:
    assert store.lint() == []


@pytest.mark.parametrize("name", store.library_names())
def test_shipped_library_comes_from_a_checked_source(name: str) -> None:
    recipe = store.load_library(name)
    assert recipe.name == name
    if isinstance(recipe.source, CrateSource):
        upstream = recipe.source.version.partition("+")[2]  # where the crate's version tells the library's
        assert upstream in {"", recipe.version}
    assert len(recipe.source.sha256) == 64
    assert recipe.pkg_config


def test_trio() -> None:
    prefixes = {"openssl": Path("/cache/openssl"), "libffi": Path("/cache/libffi")}
    assert store.load_package_recipe("cffi", Version("2.1.1")).libraries == ("libffi",)
    cryptography = store.load_package_recipe("cryptography", Version("50.0.2"))
    assert cryptography.libraries == ("openssl",)
    assert cryptography.environment_for(TARGET, prefixes)["OPENSSL_DIR"] == "/cache/openssl"
    bcrypt = store.load_package_recipe("bcrypt", Version("5.0.0"))
    assert bcrypt.config_settings_for(TARGET, {}) == {"--build-option": ["--py-limited-api=cp312"]}


def test_a_recipe_is_for_the_versions_that_it_names() -> None:
    assert store.load_package_recipe("cryptography", Version("3.4.8")) == PackageRecipe()
    assert store.load_package_recipe("cryptography", Version("51.0.0rc1")).libraries == ("openssl",)
    assert store.load_package_recipe("cryptography", None).libraries == ("openssl",)


def test_most_packages_need_none() -> None:
    assert store.load_package_recipe("no-such-package", Version("1")) == PackageRecipe()


@pytest.mark.parametrize("name", ["../libraries/zlib", "a/b", "", "x\0", "ä"])
def test_names_are_no_paths(name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a package"):
        store.load_package_recipe(name, None)


def test_unknown_library_has_a_suggestion() -> None:
    with pytest.raises(UsageError, match="opnssl") as caught:
        store.load_library("opnssl")
    assert caught.value.hint == "did you mean openssl?"
    with pytest.raises(UsageError):
        store.load_library("../packages/cffi")


# ---- a project's own


def test_project_extends_the_shipped_recipe() -> None:
    project = {"libraries": ["zlib"], "environment": {"OPENSSL_STATIC": "0", "EXTRA": "{zlib.prefix}:{openssl.prefix}"}}
    recipe = store.load_package_recipe("cryptography", Version("50"), project)
    assert recipe.libraries == ("openssl", "zlib")
    environment = recipe.environment_for(TARGET, {"openssl": Path("/o"), "zlib": Path("/z")})
    assert environment["OPENSSL_STATIC"] == "0"
    assert environment["EXTRA"] == "/z:/o"
    assert environment["OPENSSL_DIR"] == "/o"


def test_a_variable_may_be_empty() -> None:
    assert store.load_package_recipe("x", None, {"environment": {"LIBS": ""}}).environment == {"LIBS": ""}


def test_network_is_for_the_package_that_says_so_and_part_of_its_key() -> None:
    without, allowed = (store.load_package_recipe("cffi", None, {"network": value}) for value in (False, True))
    assert (without.network, allowed.network) == (False, True)
    assert without.digest == store.load_package_recipe("cffi", None).digest != allowed.digest


def test_alpine_packages_are_added_to_those_of_the_shipped_recipe() -> None:
    recipe = PackageRecipe(apk=("libpq-dev",)).extended(PackageRecipe(apk=("libxml2-dev", "libpq-dev")))
    assert recipe.apk == ("libpq-dev", "libxml2-dev")


def test_a_recipe_without_alpine_packages_has_the_digest_that_it_had_before_there_were_any() -> None:
    assert PackageRecipe().digest == "5a3c481380ded9c1719f61604a19275148e65c1b2df49e6f72019f5caffb6a5c"
    assert PackageRecipe(apk=("libpq-dev",)).digest != PackageRecipe().digest


def test_a_before_build_stands_in_for_that_of_the_shipped_recipe_and_is_part_of_the_key() -> None:
    recipe = store.load_package_recipe("x", None, {"before-build": "make headers"})
    assert recipe.before_build == "make headers"
    assert PackageRecipe(before_build="true").extended(recipe).before_build == "make headers"
    assert recipe.extended(PackageRecipe()).before_build == "make headers"
    assert recipe.digest != PackageRecipe().digest


ALPINE_NAME = st.text("abZ09+_.-", min_size=1).filter(lambda name: name[0] not in "+.-" and ".apk" not in name)


@given(ALPINE_NAME)
def test_names_of_alpine_packages(name: str) -> None:
    assert store.load_package_recipe("x", None, {"apk": [name]}).apk == (name,)


@given(
    st.one_of(st.from_regex(r"[-!@=<>~./+].*", fullmatch=True), st.from_regex(r"[^A-Za-z0-9+_.-]").map("a{}".format))
)
def test_what_apk_or_a_shell_would_take_for_more_than_a_name_is_none(name: str) -> None:
    with pytest.raises(UsageError, match="is no name of an Alpine package"):
        store.load_package_recipe("x", None, {"apk": [name]})


@pytest.mark.parametrize("name", store.package_names())
def test_no_shipped_recipe_lets_a_build_use_the_network(name: str) -> None:
    assert not any(recipe.network for recipe in store._shipped(name))


def test_project_may_name_versions_too() -> None:
    project = {"applies": "<50", "environment": {"OLD": "1"}}
    assert "OLD" in store.load_package_recipe("cryptography", Version("49.0"), project).environment
    assert "OLD" not in store.load_package_recipe("cryptography", Version("50.0"), project).environment


@pytest.mark.parametrize(
    ("project", "message", "hint"),
    [
        ({"enviroment": {}}, "whb.toml: packages.cffi: enviroment: is not a key here", "did you mean environment?"),
        ({"libraries": "zlib"}, "libraries: must be a list of strings", None),
        ({"libraries": ["zlip"]}, "there is no recipe for a C library 'zlip'", "did you mean zlib?"),
        ({"environment": {"A B": "1"}}, "environment.A B: is no name", None),
        ({"environment": {"A": 1}}, "environment: A: must be a string", None),
        ({"libraries": [1]}, "libraries: must be a list of strings", None),
        ({"environment": {"A": "{openssl.prefix}"}}, "nothing is known by the name {openssl.prefix}", "libffi.prefix"),
        ({"environment": {"A": "{target.arch.denominator}"}}, "nothing is known by the name", "target.arch"),
        ({"environment": {"A": "{target.arch!r}"}}, "a name and nothing else", "written twice"),
        ({"environment": {"A": "{"}}, "environment.A", "written twice"),
        ({"config-settings": {"a": ["x", 1]}}, "config-settings: a: must be a list of strings", None),
        ({"config-settings": {"a": ["{x}"]}}, "config-settings.a: nothing is known by the name {x}", "target.arch"),
        ({"applies": "=40"}, "'=40' is no version specifier", '">=40,<45"'),
        ({"environment": []}, "environment: must be a table", None),
        ({"network": "true"}, "network: must be true or false", None),
        ({"apk": "libxml2-dev"}, "apk: must be a list of strings", None),
        ({"apk": ["libxml2-dev=2.13"]}, "'libxml2-dev=2.13' is no name of an Alpine package", '"libxml2-dev"'),
        ({"apk": ["x.apk"]}, "'x.apk' is no name of an Alpine package", None),
        ({"apk": [""]}, "'' is no name of an Alpine package", None),
        ({"before-build": ["make"]}, "before-build: must be a string", None),
        ({"before-build": ""}, "before-build: must be a string, and not empty", None),
    ],
)
def test_wrong_project_recipe(project: dict[str, object], message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        store.load_package_recipe("cffi", None, project, where="whb.toml: packages")
    assert message in caught.value.message
    assert "whb.toml: packages.cffi" in caught.value.message
    assert (hint or "") in (caught.value.hint or "")


def test_every_wrong_key_of_a_projects_table_is_told() -> None:
    good = {"libraries": ["zlib"], "environment": {"A": "{openssl.prefix}"}}
    assert list(store.problems_of(good, "whb.toml: packages.lxml")) == []
    wrong = {"librariez": ["zlib"], "libraries": ["zlip"], "applies": "=40", "network": True}
    messages = [error.message for error in store.problems_of(wrong, "whb.toml: packages.lxml")]
    assert [message.split(": ")[2].split(" ")[0] for message in messages] == ["librariez", "libraries", "applies"]
    assert {message.split(": ")[1] for message in messages} == {"packages.lxml"}


# ---- files


def shipped(monkeypatch: pytest.MonkeyPatch, folder: Path, files: dict[str, str]) -> None:
    for kind in ("packages", "libraries"):
        (folder / kind).mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(store, "_folder", lambda kind: folder / kind)


def test_first_recipe_that_fits_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = '[[recipe]]\napplies = "<2"\nenvironment.A = "old"\n[[recipe]]\nenvironment.A = "new"\n'
    shipped(monkeypatch, tmp_path, {"packages/x.toml": text})
    assert store.load_package_recipe("X", Version("1.9")).environment == {"A": "old"}
    assert store.load_package_recipe("x", Version("2.0")).environment == {"A": "new"}


def test_lint_finds_everything_that_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {
        "packages/a.toml": 'libraries = ["none"]\n',
        "packages/B_b.toml": "",
        "packages/c.toml": "applies = \n",
        "packages/d.toml": "[[recipe]]\n[other]\n",
        "libraries/e.toml": 'version = "1"\n',
    }
    shipped(monkeypatch, tmp_path, files)
    problems = store.lint()
    for place in (
        "packages/a.toml: libraries",
        "B_b.toml: the file must be named b-b.toml",
        "packages/c.toml: Invalid",
        "packages/d.toml: other",
        "libraries/e.toml: build-system: is missing",
    ):
        assert any(place in problem for problem in problems), (place, problems)
    assert len(problems) == len(files)


# ---- libraries


def test_library_recipe() -> None:
    recipe = parse_library_recipe(library(), "x")
    assert recipe.build_system is BuildSystem.AUTOTOOLS
    assert recipe.source == CrateSource(crate="x-sys", version="1.2.3", sha256="0" * 64, path="x")


def test_library_from_an_archive() -> None:
    source = {"url": "https://example.org/x-1.tar.gz", "sha256": "0" * 64, "path": "."}
    recipe = parse_library_recipe(library(source=source), "x")
    assert recipe.source == UrlSource(url="https://example.org/x-1.tar.gz", sha256="0" * 64, path=".")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": ""}, "version: must be a string"),
        ({"build-system": "scons"}, "'scons' is unknown"),
        ({"build-system": "sources"}, "compile: goes with"),
        ({"compile": ["*.c"]}, "compile: goes with"),
        ({"build-system": "sources", "compile": ["../*.c"]}, "leads out"),
        ({"provides": {"headers": ["x.h"]}}, "archives: is missing"),
        ({"provides": {"headers": ["/usr/x.h"], "archives": ["libx.a"]}}, "leads out"),
        ({"source": {**LIBRARY["source"], "sha256": "ABC"}}, "source: sha256: must be 64"),
        ({"source": {**LIBRARY["source"], "path": "a/../../b"}}, "path: 'a/../../b' leads out"),
        ({"source": {**LIBRARY["source"], "crate": 'x"\n[evil]'}}, "is no name of a crate"),
        ({"source": {**LIBRARY["source"], "version": '1", git = "x'}}, "is no version of a crate"),
        ({"source": {**LIBRARY["source"], "url": "https://example.org/x"}}, "source: crate: is not a key here"),
        ({"source": {"url": "https://example.org/x"}}, "source: sha256: is missing"),
        ({"source": {**LIBRARY["source"], "sha": "1"}}, "source: sha: is not a key here"),
    ],
)
def test_wrong_library_recipe(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_library_recipe(library(**changes), "x")
    assert caught.value.message.startswith("x.toml: ")
    assert message in caught.value.message


# ---- digests


def test_every_value_counts_in_a_digest() -> None:
    recipe = parse_library_recipe(library(), "x")
    others = [
        replace(recipe, version="2"),
        replace(recipe, options=("--fast",)),
        replace(recipe, source=replace(recipe.source, sha256="1" * 64)),
        replace(recipe, build_system=BuildSystem.CMAKE),
    ]
    digests = {recipe.digest, *(other.digest for other in others)}
    assert len(digests) == 5
    assert recipe.digest == parse_library_recipe(library(), "x").digest


def test_a_library_counts_in_the_build_digest_of_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = PackageRecipe(libraries=("zlib",))
    before = store.build_digest(recipe)
    newer = replace(store.load_library("zlib"), version="99")
    monkeypatch.setattr(store, "load_library", lambda name: newer)
    assert store.build_digest(recipe) != before
    assert recipe.digest == PackageRecipe(libraries=("zlib",)).digest


# ---- placeholders

NAMES = placeholders.known_names(("zlib",))
VALUES = placeholders.values_for(TARGET, {"zlib": Path("/prefix")})


def test_every_known_name_has_a_value() -> None:
    assert set(NAMES) == set(VALUES)


@given(st.lists(st.one_of(st.text(string.printable), st.sampled_from(NAMES).map(lambda name: ("name", name)))))
def test_expand_replaces_names_and_nothing_else(parts: list[str | tuple[str, str]]) -> None:
    text = "".join(
        f"{{{part[1]}}}" if isinstance(part, tuple) else part.replace("{", "{{").replace("}", "}}") for part in parts
    )
    expected = "".join(VALUES[part[1]] if isinstance(part, tuple) else part for part in parts)
    assert placeholders.expand(text, VALUES) == expected
    assert placeholders.names_in(text) == tuple(part[1] for part in parts if isinstance(part, tuple))


@given(st.text("{}[]().!:%abc", max_size=20))
def test_whatever_is_written_is_expanded_or_told(text: str) -> None:
    recipe = PackageRecipe(environment={"A": text})
    try:
        expanded = recipe.environment_for(TARGET, {"zlib": Path("/prefix")})
    except (ValueError, KeyError):
        with pytest.raises(UsageError, match=r"environment\.A"):
            check_placeholders(recipe, Table("whb.toml", {}))
    else:
        check_placeholders(replace(recipe, libraries=("zlib",)), Table("whb.toml", {}))
        assert expanded["A"] == placeholders.expand(text, VALUES)
