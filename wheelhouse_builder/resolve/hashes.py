"""The hashes that the requirements give, enforced on a lock. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import ResolveError
from wheelhouse_builder.redact import redact
from wheelhouse_builder.resolve.lock import filename_of

if TYPE_CHECKING:
    from packaging.pylock import Package, PackageArchive, PackageSdist, PackageWheel

    from wheelhouse_builder.requirements.model import RequirementSet
    from wheelhouse_builder.resolve.lock import Lock
    from wheelhouse_builder.target import Target


def enforce_hashes(lock: Lock, requirements: RequirementSet) -> Lock:
    """The lock without the files that the user's hashes do not name.

    Raises `ResolveError` if nothing of a package is left, or if a package has no hash where all must have one.
    """
    return replace(
        lock, pylock=replace(lock.pylock, packages=[_enforce(p, lock, requirements) for p in lock.pylock.packages])
    )


def _enforce(package: Package, lock: Lock, requirements: RequirementSet) -> Package:
    allowed = requirements.hashes_for(package.name, lock.target.marker_environment)
    title = f"{package.name} {package.version}" if package.version else package.name
    if allowed is None:
        if not requirements.require_hashes:
            return package
        raise ResolveError(
            f"{title} has no --hash, but the requirements ask for hashes of all packages",
            hint="give one for every package and all that it needs; `uv pip compile --generate-hashes` does",
        )
    if package.directory or package.vcs:
        raise ResolveError(
            f"{title} is a source tree: its hash cannot be checked", hint="give an sdist or a wheel instead"
        )
    kept = replace(
        package,
        sdist=package.sdist if package.sdist and _digest(package.sdist) in allowed else None,
        wheels=[wheel for wheel in package.wheels or () if _digest(wheel) in allowed] or None,
    )
    archive_is_good = package.archive is not None and _digest(package.archive) in allowed
    if not (kept.sdist or kept.wheels or archive_is_good):
        raise _hash_mismatch(package, title, allowed, lock.target, requirements)
    return kept


def _digest(file: PackageSdist | PackageWheel | PackageArchive) -> str:
    return f"sha256:{file.hashes.get('sha256', '')}"


def _hash_mismatch(
    package: Package, title: str, allowed: frozenset[str], target: Target, requirements: RequirementSet
) -> ResolveError:
    files = [file for file in (package.archive, package.sdist, *(package.wheels or ())) if file is not None]
    offered = [f"  {_digest(file)}  {filename_of(file)}" for file in files]
    where = [f"  {line.origin}: {redact(line.text)}" for line in requirements.lines if line.name == package.name]
    expected = [f"  {digest}" for digest in sorted(allowed)] or ["  (the lines below agree on none)"]
    return ResolveError(
        "\n".join(
            [
                f"{title}: no file for {target} has a hash that is given",
                "given:",
                *expected,
                "offered:",
                *offered,
                *where,
            ]
        ),
        hint="if the new file is to be trusted, give its hash",
    )
