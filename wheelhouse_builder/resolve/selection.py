"""What a lock offers for each package: a wheel that fits, else the source, else the reason why there is neither."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urldefrag

from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageWheel,
    PylockSelectError,
)
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from wheelhouse_builder.artifact import Sdist, Source, SourceTree, Wheel
from wheelhouse_builder.resolve.lock import filename_of
from wheelhouse_builder.sources.trees import source_tree_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from wheelhouse_builder.requirements.format_control import FormatControl
    from wheelhouse_builder.resolve.lock import Lock
    from wheelhouse_builder.target import Target

_SDIST_SUFFIXES = (".tar.gz", ".zip")

_File = TypeVar("_File", Sdist, Wheel)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a lock offers for one package: a wheel to fetch, a source to build, or nothing (None) and why."""

    name: NormalizedName
    version: Version | None
    choice: Wheel | Source | None
    reason: str


class _Unusable(Exception):  # noqa: N818 - becomes a Selection, nobody else sees it
    """Why a package of a lock can be neither fetched nor built."""


def select(lock: Lock, format_control: FormatControl) -> Iterator[Selection]:
    """Choose for each package of the lock, apart from the others: the best wheel that fits, else the source.

    Reads local source trees (for their digest) and nothing else.
    """
    environment = cast("dict[str, str]", lock.target.marker_environment)
    for package in lock.pylock.packages:
        if package.marker and not package.marker.evaluate(environment, context="lock_file"):
            continue
        try:
            choice, reason = _choose(package, lock, format_control)
        except _Unusable as why:
            choice, reason = None, str(why)
        yield Selection(name=package.name, version=package.version, choice=choice, reason=reason)


def _choose(package: Package, lock: Lock, control: FormatControl) -> tuple[Wheel | Source, str]:
    if package.vcs is not None:
        raise _Unusable("it comes from version control: build an sdist of it and give its path or URL")
    if package.directory is not None:
        return _source_tree(package, package.directory), "a local project"
    if package.archive is not None:
        return _archive(package, package.archive, lock.target)
    return _released(package, lock, control)


def _source_tree(package: Package, directory: PackageDirectory) -> SourceTree:
    path = Path(directory.path, directory.subdirectory or ".")
    if not path.is_dir():
        raise _Unusable(f"there is no directory {path}")
    return SourceTree(name=package.name, version=package.version, path=str(path), digest=source_tree_digest(path))


def _archive(package: Package, archive: PackageArchive, target: Target) -> tuple[Wheel | Sdist, str]:
    """A direct URL: what it names, or nothing. As in pip, --no-binary and --only-binary do not speak of it."""
    filename = filename_of(archive)
    if archive.subdirectory:
        raise _Unusable(f"it lies in a subdirectory of {filename}: build an sdist of it and give its path or URL")
    if not filename.endswith(".whl"):
        if not filename.endswith(_SDIST_SUFFIXES):
            raise _Unusable(f"{filename} is neither a wheel nor a .tar.gz or .zip sdist")
        return replace(_remote(Sdist, package, archive), filename=_sdist_name(package, filename)), "given directly"
    try:
        tags = parse_wheel_filename(filename)[-1]
    except InvalidWheelFilename as error:
        raise _Unusable(f"{filename}: {error}") from None
    if not target.fits(tags):
        raise _Unusable(f"{filename}, given directly, does not fit {target}: give its sdist instead")
    return _remote(Wheel, package, archive), "given directly"


def _sdist_name(package: Package, filename: str) -> str:
    """The file name, or a better one for a source archive that is called `main.zip` or `v1.0.tar.gz`."""
    try:
        parse_sdist_filename(filename)
    except InvalidSdistFilename:
        suffix = next(suffix for suffix in _SDIST_SUFFIXES if filename.endswith(suffix))
        return f"{package.name.replace('-', '_')}-{package.version or 0}{suffix}"
    return filename


def _released(package: Package, lock: Lock, control: FormatControl) -> tuple[Wheel | Sdist, str]:
    wheels = list(package.wheels or ()) if control.allows_wheel(package.name) else []
    sdist = package.sdist if control.allows_sdist(package.name) else None
    if not (wheels or sdist):
        raise _Unusable(
            "--only-binary forbids its sdist, and there is no wheel"
            if package.sdist and not package.wheels
            else "--no-binary forbids its wheels, and there is no sdist"
        )
    alone = replace(lock.pylock, packages=[replace(package, wheels=wheels or None, sdist=sdist)])
    try:
        ((_, chosen),) = alone.select(environment=lock.target.marker_environment, tags=lock.target.tags)
    except PylockSelectError as error:
        raise _Unusable(_why_none(package, wheels, lock.target, error)) from None
    if isinstance(chosen, PackageWheel):
        return _remote(Wheel, package, chosen), "the index has a wheel that fits"
    assert isinstance(chosen, PackageSdist)
    if not control.allows_wheel(package.name):
        return _remote(Sdist, package, chosen), "--no-binary asks for its source"
    return _remote(Sdist, package, chosen), f"the index has no wheel for {lock.target}"


def _why_none(package: Package, wheels: Sequence[PackageWheel], target: Target, error: PylockSelectError) -> str:
    if package.requires_python and not package.requires_python.contains(
        target.marker_environment["python_full_version"]
    ):
        return f"it wants Python {package.requires_python}"
    if not wheels:
        return str(error)
    offered = ", ".join(sorted(wheel.filename for wheel in wheels))
    forbidden = "--only-binary forbids its sdist" if package.sdist else "there is no sdist"
    return f"no wheel fits {target} (there are {offered}), and {forbidden}"


def _remote(kind: type[_File], package: Package, file: PackageSdist | PackageWheel | PackageArchive) -> _File:
    sha256 = file.hashes.get("sha256")
    if sha256 is None:
        raise _Unusable(f"the index gives no sha256 for {filename_of(file)}")
    return kind(
        name=package.name,
        version=package.version,
        filename=filename_of(file),
        url=urldefrag(file.url).url if file.url else Path(file.path or "").as_uri(),
        sha256=sha256.lower(),
        size=file.size,
        upload_time=file.upload_time,
    )
