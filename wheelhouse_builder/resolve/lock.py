"""The lock of one target, as a value and as canonical text (PEP 751)."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urldefrag

from packaging.pylock import (
    Package,
    PackageArchive,
    PackageSdist,
    PackageWheel,
    Pylock,
    PylockValidationError,
)

from wheelhouse_builder.errors import ResolveError
from wheelhouse_builder.toml import toml_value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from wheelhouse_builder.target import Target


@dataclass(frozen=True, kw_only=True)
class Lock:
    """What the requirements resolve to for one target. Paths in it are absolute."""

    target: Target
    pylock: Pylock

    @property
    def text(self) -> str:
        """As TOML, in a canonical form: equal locks have equal texts."""
        return _render(self.pylock)


def read_lock(path: Path, target: Target) -> Lock:
    """Read a lock that was resolved for the target. Raises `ResolveError` if it is no valid PEP 751 file."""
    return parse_lock(path.read_text(encoding="utf-8"), target, path.resolve().parent)


def parse_lock(text: str, target: Target, base: Path) -> Lock:
    """The lock in a text whose paths are relative to `base`. Raises `ResolveError` if it is no valid PEP 751 file."""
    try:
        pylock = Pylock.from_dict(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, PylockValidationError) as error:
        raise ResolveError(
            f"the lock is not usable: {error}",
            hint="an index without sha256 hashes, or with odd file names, gives such",
        ) from None
    return Lock(target=target, pylock=_absolute(pylock, base))


def _absolute(pylock: Pylock, base: Path) -> Pylock:
    """With absolute paths instead of paths relative to `base`."""
    return replace(pylock, packages=[_absolute_package(package, base) for package in pylock.packages])


def _absolute_package(package: Package, base: Path) -> Package:
    def anchored(path: str | None) -> str | None:
        return None if path is None else os.path.normpath(base / path)

    return replace(
        package,
        directory=package.directory
        and replace(package.directory, path=os.path.normpath(base / package.directory.path)),
        archive=package.archive and replace(package.archive, path=anchored(package.archive.path)),
        sdist=package.sdist and replace(package.sdist, path=anchored(package.sdist.path)),
        wheels=package.wheels and [replace(wheel, path=anchored(wheel.path)) for wheel in package.wheels],
    )


def _render(pylock: Pylock) -> str:
    document = dict(pylock.to_dict())
    packages = document.pop("packages")
    return "\n".join([_lines(document), *(f"[[packages]]\n{_lines(package)}" for package in packages)])


def _lines(table: Mapping[str, object]) -> str:
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in table.items())


def filename_of(file: PackageSdist | PackageWheel | PackageArchive) -> str:
    """The file name; for a direct URL, the last part of it."""
    if isinstance(file, PackageArchive):
        return PackageWheel(url=file.url and urldefrag(file.url).url, path=file.path, hashes=file.hashes).filename
    return file.filename
