"""Who a project is: its name and version, as far as its files say so without being run."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import InvalidName, canonicalize_name
from packaging.version import Version

from wheelhouse_builder.metadata import fields_of
from wheelhouse_builder.project.build_system import read_pyproject, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from packaging.utils import NormalizedName

_Said = tuple[object, object]  # a name and a version, of whatever type


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A project's name and version; None where they are not said statically, or not in a valid form."""

    name: NormalizedName | None
    version: Version | None


def read_identity(tree: Path) -> Identity:
    """The name and version that the tree states, each by the first that says it: `[project]`, PKG-INFO, older tables.

    Raises `JobError` if pyproject.toml is not valid TOML.
    """
    said = list(_said(tree))
    return Identity(
        name=next((name for text, _ in said if (name := _name(text))), None),
        version=next((version for _, text in said if (version := _version(text))), None),
    )


def sdist_version(tree: Path) -> Version | None:
    """The version in the PKG-INFO of an unpacked sdist; None if the tree is none."""
    name, version = _of_pkg_info(tree)
    return _version(version) if _name(name) else None


def _said(tree: Path) -> Iterator[_Said]:
    content = read_pyproject(tree)
    project = table_of(content, "project")
    yield project.get("name"), project.get("version")
    yield _of_pkg_info(tree)
    if project:  # then nothing else may say it: the version is dynamic (PEP 621)
        return
    poetry = table_of(content, "tool", "poetry")
    yield poetry.get("name"), poetry.get("version")
    flit = table_of(content, "tool", "flit", "metadata")  # its version stands in the module
    yield flit.get("dist-name", flit.get("module")), None
    yield _of_setup_cfg(tree)


def _of_pkg_info(tree: Path) -> _Said:
    try:
        fields = fields_of((tree / "PKG-INFO").read_bytes())
    except OSError:
        return None, None
    return fields.get("name"), fields.get("version")


def _of_setup_cfg(tree: Path) -> _Said:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string((tree / "setup.cfg").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return None, None
    return parser.get("metadata", "name", fallback=None), parser.get("metadata", "version", fallback=None)


def _name(text: object) -> NormalizedName | None:
    try:
        return canonicalize_name(text, validate=True) if isinstance(text, str) else None
    except InvalidName:
        return None


def _version(text: object) -> Version | None:
    try:
        return Version(text) if isinstance(text, str) else None
    except ValueError:  # also setuptools' `attr: module.__version__`, and numbers that are too long
        return None
