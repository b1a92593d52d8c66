"""Requirements, constraints and options as values, with where they stand."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.requirements.format_control import FormatControl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.markers import Environment
    from packaging.requirements import Requirement
    from packaging.utils import NormalizedName

PROJECT_FILES = ("pyproject.toml", "setup.cfg", "setup.py")  # what says what a project depends on


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a line stands; `file` is None for the command line. A setting has a `key` instead of a line."""

    file: Path | None
    number: int
    key: str = ""

    def __str__(self) -> str:
        if self.file is None:
            return self.key or "command line"
        return f"{self.file}: {self.key}" if self.key else f"{self.file}, line {self.number}"


@dataclass(frozen=True, kw_only=True)
class RequirementLine:
    """One requirement or constraint. `requirement` is None for a bare path or URL."""

    origin: Origin
    text: str  # without options
    requirement: Requirement | None
    hashes: frozenset[str] = frozenset()  # "sha256:…"
    editable: bool = False
    constraint: bool = False

    @property
    def name(self) -> NormalizedName | None:
        """The normalised name; for a bare path or URL, what its file name says, or None."""
        if self.requirement is not None:
            return canonicalize_name(self.requirement.name)
        filename = unquote(urlsplit(location_of(self.text)).path.rpartition("/")[-1])
        try:
            parse = parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename
            return parse(filename)[0]
        except (InvalidWheelFilename, InvalidSdistFilename):
            return None

    @property
    def path(self) -> Path | None:
        """The local file or directory that it names, relative to the working directory as in pip."""
        if self.requirement is None:
            return local_path(self.text)
        return local_path(self.requirement.url) if self.requirement.url else None

    def applies(self, environment: Environment) -> bool:
        """Whether its marker, if it has one, holds."""
        marker = self.requirement.marker if self.requirement else None
        return marker is None or marker.evaluate(cast("dict[str, str]", environment))

    def render(self) -> str:
        """The line as uv reads it, without hashes."""
        return f"-e {self.text}" if self.editable else self.text


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option on a line of its own, by its long name; `value` is empty for a flag."""

    origin: Origin
    name: str
    value: str = ""


@dataclass(frozen=True, kw_only=True)
class RequirementSet:
    """All that the requirements files, constraints files and the command line ask for, in order."""

    lines: tuple[RequirementLine, ...] = ()
    options: tuple[Option, ...] = ()

    def values(self, option: str) -> tuple[str, ...]:
        """Every value of an option, in order: `values("extra-index-url")`; one empty string per use of a flag."""
        return tuple(found.value for found in self.options if found.name == option)

    @property
    def require_hashes(self) -> bool:
        """Whether every package must have a hash: asked for, or implied by one hash anywhere, as in pip."""
        return bool(self.values("require-hashes")) or any(line.hashes for line in self.lines)

    def format_control(self, base: FormatControl | None = None) -> FormatControl:
        """`base` (from the command line), and over it what the files say, as in pip."""
        options = [(found.name, found.value) for found in self.options if found.name in {"no-binary", "only-binary"}]
        return (base or FormatControl()).apply(options)

    def hashes_for(self, name: str, environment: Environment) -> frozenset[str] | None:
        """The `sha256:…` that a package's file may have there; None if no line that applies gives any.

        Several lines with hashes (a requirement and a constraint) must all agree, as in pip's resolver.
        """
        name = canonicalize_name(name)
        given = [line.hashes for line in self.lines if line.hashes and line.name == name and line.applies(environment)]
        return frozenset.intersection(*given) if given else None

    def render(self, *, constraints: bool = False) -> str:
        """The requirements (or the constraints), one a line, as a flat file."""
        return "".join(f"{line.render()}\n" for line in self.lines if line.constraint is constraints)

    @property
    def digest(self) -> str:
        """sha256 (hexadecimal) over everything here and over what local projects say of themselves."""
        digest = hashlib.sha256()
        for line in self.lines:
            fields = (line.render(), str(line.constraint), *sorted(line.hashes), *_describe_local(line.path))
            digest.update(repr(fields).encode())
        for option in self.options:
            digest.update(repr((option.name, option.value)).encode())
        return digest.hexdigest()


def location_of(text: str) -> str:
    """A bare path or URL without the marker and the extras that may follow it."""
    return re.sub(r"\[[^][/]*\]$", "", re.split(r"\s+;|\s+#|;\s", text, maxsplit=1)[0].strip())


def local_path(text: str) -> Path | None:
    """The path that a bare path or a `file:` URL names; None for other URLs."""
    location = location_of(text)
    scheme = location.partition(":")[0].lower() if ":" in location else ""
    if scheme == "file":
        return Path(unquote(urlsplit(location).path))
    return None if "://" in location else Path(location)


def _describe_local(path: Path | None) -> Iterator[str]:
    """What decides a local project's dependencies: its project files, or the whole of an archive."""
    if path is None:
        return
    for file in [path / name for name in PROJECT_FILES] if path.is_dir() else [path]:
        if file.is_file():
            yield sha256_of(file)
