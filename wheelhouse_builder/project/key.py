"""The project key: what a stored wheel of a project is found by.

It is over all that shapes the wheel, so that equal keys mean equal wheels, and over nothing that differs between a
checkout and the sdist that was made of it, so that both find the same wheel. See docs/decisions/0016-project-key.md.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from wheelhouse_builder.project.build_system import read_pyproject, table_of
from wheelhouse_builder.project.identity import sdist_version
from wheelhouse_builder.sources.trees import file_identity, reading, tree_files

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.project.build_system import BuildSystem
    from wheelhouse_builder.target import Target

ConfigSettings = Mapping[str, object] | None  # as front ends give them

_FORMAT = 1  # counted up when the key is made in another way

# What version control and its hosts leave; sdists have these files or have them not, as their backend likes.
_VERSION_CONTROL = (".git", ".hg", ".bzr", ".cvsignore", ".mailmap")  # beginnings of names: .gitattributes, .github …
_READ_GITIGNORE = frozenset({"hatchling", "scikit_build_core"})  # what it names is not in their wheels
_BUILT_IN_PLACE = ("*.cpython-*.so", "*.abi3.so")
_CARGO_READMES = ("README.md", "README.txt", "README")  # cargo's `package.readme`, where it is not given

# Build requirements that take a version that is not static from version control.
# fmt: off
_VERSIONING = frozenset({
    "dunamai", "flit-scm", "hatch-vcs", "miniver", "pbr", "poetry-dynamic-versioning", "setupmeta",
    "setuptools-git-versioning", "setuptools-scm", "uv-dynamic-versioning", "vcs-versioning", "versioneer",
    "versioningit",
})
# fmt: on


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that shapes the wheel of a project, but the target."""

    source: str  # sha256 over the tree
    system: BuildSystem
    config_settings: Mapping[str, tuple[str, ...]]  # normalised, without whb's own
    musl_floor: str  # the policy: the oldest musl that the wheel must load on
    version: str | None = None  # of an sdist whose version came from version control

    def key(self, target: Target) -> str:
        """The project key of the wheel that is built for a target: sha256, hexadecimal."""
        fields = {
            "format": _FORMAT,
            "target": str(target),
            "source": self.source,
            "backend": self.system.backend,
            "backend-path": self.system.backend_path,
            "requires": self.system.requires,
            "config-settings": self.config_settings,
            "musl-floor": self.musl_floor,
            "version": self.version,
        }
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def read_inputs(
    tree: Path, system: BuildSystem, *, config_settings: ConfigSettings = None, musl_floor: str
) -> Inputs | None:
    """What shapes the wheel of the project in a checkout or an unpacked sdist.

    None if its version comes from version control: a checkout's files do not say which one that is.
    Raises `UsageError` for what cannot be read, `JobError` for a pyproject.toml that is not valid.
    """
    version = None
    if _is_versioned_elsewhere(tree, system):
        version = sdist_version(tree)
        if version is None:
            return None
    return Inputs(
        source=_digest(tree, system),
        system=system,
        config_settings=normalised(config_settings),
        musl_floor=musl_floor,
        version=str(version) if version else None,
    )


def normalised(config_settings: ConfigSettings) -> dict[str, tuple[str, ...]]:
    """Config settings in one form, sorted by name, each with its values in the order in which they were given.

    Front ends give None or {} for none, and a list of texts or one text for a setting.
    """
    given = {
        name: tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)
        for name, value in (config_settings or {}).items()
    }
    return {name: given[name] for name in sorted(given) if given[name]}


def _is_versioned_elsewhere(tree: Path, system: BuildSystem) -> bool:
    content = read_pyproject(tree)
    if isinstance(table_of(content, "project").get("version"), str):
        return False
    return (
        not system.required_names.isdisjoint(_VERSIONING)
        or table_of(content, "tool", "pdm", "version").get("source") == "scm"
        or (tree / "versioneer.py").is_file()
    )


def _digest(tree: Path, system: BuildSystem) -> str:
    digest = hashlib.sha256()
    reads_gitignore = system.backend.partition(":")[0].partition(".")[0] in _READ_GITIGNORE
    for name in tree_files(tree, follow_links=True):
        if _is_left_out(name, system.key_exclude, reads_gitignore=reads_gitignore):
            continue
        if identity := _identity(tree, name):
            digest.update("\0".join((*identity, name, "\n")).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _is_left_out(name: str, patterns: tuple[str, ...], *, reads_gitignore: bool) -> bool:
    path = PurePosixPath(name)
    if path.name == ".gitignore" and reads_gitignore:
        return False
    if any(part.startswith(_VERSION_CONTROL) or part == "CVS" for part in path.parts):
        return True
    if any(fnmatchcase(path.name, pattern) for pattern in _BUILT_IN_PLACE):
        return True
    above = [str(path), *map(str, path.parents)][:-1]
    return any(fnmatchcase(each, pattern.rstrip("/")) for pattern in patterns for each in above)


def _identity(tree: Path, name: str) -> tuple[str, str] | None:
    """What tells one file from another; links count as what they lead to, since sdists have that in their place."""
    file = tree / name
    if not file.is_file() and file.is_symlink():  # to nowhere, or to a folder that it lies in
        return "link", os.readlink(file)  # noqa: PTH115 - text, also of a name that is no UTF-8
    with reading():
        content = _REWRITTEN[name](file) if name in _REWRITTEN else None
    if content is None:
        return file_identity(file)
    return (name, json.dumps(content, sort_keys=True, default=str)) if content else None


def _setup_cfg(file: Path) -> Mapping[str, object] | None:
    try:
        return setup_cfg_sections(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, configparser.Error):
        return None


def setup_cfg_sections(text: str) -> dict[str, dict[str, str]]:
    """What a setup.cfg says, without what setuptools writes into that of an sdist (or creates one for).

    It reads the file, sets `tag_build` and `tag_date` in `[egg_info]`, and writes it anew, without comments
    (`setuptools.command.setopt.edit_config`). Raises `configparser.Error`.
    """
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as setuptools has it: case counts
    parser.read_string(text)
    sections = {name: dict(parser.items(name)) for name in parser.sections()}
    egg_info = sections.get("egg_info", {})
    for option, nothing in (("tag_build", ""), ("tag_date", "0")):
        if egg_info.get(option) == nothing:
            del egg_info[option]
    return {name: options for name, options in sections.items() if options or name != "egg_info"}


def _cargo_toml(file: Path) -> Mapping[str, object] | None:
    """maturin writes the readme that cargo finds anyway into that of an sdist."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        return None
    package = content.get("package")
    found = next((name for name in _CARGO_READMES if file.with_name(name).is_file()), None)
    if isinstance(package, dict) and found:
        package.setdefault("readme", found)
    return content


# What backends write anew for an sdist: how to read it so that it says the same as in a checkout. None: as it stands.
_REWRITTEN: Mapping[str, Callable[[Path], Mapping[str, object] | None]] = {
    "setup.cfg": _setup_cfg,
    "Cargo.toml": _cargo_toml,
}
