"""What the wheels of one version cover: for each Python on each architecture the wheel that pip takes, and its proof.

The truth about a cell is what was seen of this very Python. One thing is known of several: a wheel that uses the stable
ABI was checked by the loader's rules against every Python that its tag promises (`verify.loader`). An import is known
of the Python that did it, and of no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from wheelhouse_builder.artifact import parse_wheel_name
from wheelhouse_builder.index.wheels import Published
from wheelhouse_builder.target import NEWEST_PYTHON, OLDEST_PYTHON, Arch, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from packaging.tags import Tag
    from packaging.utils import BuildTag
    from packaging.version import Version

PYTHONS = tuple((3, minor) for minor in range(OLDEST_PYTHON[1], NEWEST_PYTHON[1] + 1))
_ANY_MUSL = (1, 9)  # whether a machine's musl is new enough is for the wheel's tag to say, not for the table
_PATCHES = (0, 99)  # `>=3.11.4` is for Python 3.11, and so is `<3.11.5`


class Evidence(Protocol):
    """One check of a wheel (`verify.verdict.Verdict`): a value, so it has a hash."""

    def __hash__(self) -> int: ...

    @property
    def check(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def environment(self) -> str: ...
    @property
    def problems(self) -> Sequence[str]: ...
    @property
    def notes(self) -> Sequence[str]: ...


class Kept(Published, Protocol):
    """All that the wheelhouse knows of a wheel (`wheelhouse.stored.StoredWheel`)."""

    @property
    def origin(self) -> str: ...
    @property
    def url(self) -> str | None: ...
    @property
    def source_sha256(self) -> str | None: ...
    @property
    def build_key(self) -> str | None: ...
    @property
    def built_for(self) -> str | None: ...
    @property
    def engine(self) -> str | None: ...
    @property
    def native_tools(self) -> str | None: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def verdicts(self) -> Sequence[Evidence]: ...


KeptWheel = TypeVar("KeptWheel", bound=Kept)


class Standing(StrEnum):
    """What is known of a cell, best first."""

    IMPORTED = "imported"  # installed and imported on Alpine
    LOADER = "loader"  # its files would load; nothing ran
    UNVERIFIED = "unverified"  # it installs there, and nobody looked
    FAILED = "failed"  # a check found a problem
    MISSING = "missing"  # no wheel installs there


@dataclass(frozen=True, kw_only=True)
class Cell(Generic[KeptWheel]):
    """One Python on one architecture."""

    standing: Standing
    wheel: KeptWheel | None = None  # the one that pip takes
    method: str | None = None  # of the import: `native` or `qemu`


def coverage(wheels: Iterable[KeptWheel]) -> Mapping[Target, Cell[KeptWheel]]:
    """A cell for every Python on every architecture that whb knows, in their order, from the wheels of one version."""
    best: list[tuple[int, BuildTag, str, KeptWheel] | None] = [None] * len(targets())
    for wheel in wheels:
        _, _, build, tags = parse_wheel_name(wheel.filename)
        for place, rank in _installs_on(tags, wheel.requires_python):
            found, known = (-rank, build, wheel.filename, wheel), best[place]
            if known is None or found > known:
                best[place] = found
    missing = Cell[KeptWheel](standing=Standing.MISSING)
    pairs = zip(targets(), best, strict=True)
    return {target: _judged(found[-1], target) if found else missing for target, found in pairs}


@cache
def targets() -> tuple[Target, ...]:
    """Every architecture with every Python."""
    return tuple(Target(python, arch, _ANY_MUSL) for arch in Arch for python in PYTHONS)


def newest(wheels: Iterable[KeptWheel]) -> tuple[Version, list[KeptWheel]]:
    """The version that an installer takes by itself, and its wheels: yanked ones and pre-releases only if all are."""
    versions: dict[Version, list[KeptWheel]] = {}
    for wheel in wheels:
        versions.setdefault(wheel.version, []).append(wheel)

    def rank(version: Version) -> tuple[bool, bool, Version]:
        yanked = all(wheel.yanked is not None for wheel in versions[version])
        return (not yanked, not version.is_prerelease, version)

    version = max(versions, key=rank)
    return version, versions[version]


def standing(verdicts: Iterable[Evidence]) -> Standing:
    """What checks say together: one problem spoils all, the best of the rest counts."""
    found = list(verdicts)
    if any(verdict.problems for verdict in found):
        return Standing.FAILED
    checks = {verdict.check for verdict in found}
    if "import" in checks:
        return Standing.IMPORTED
    return Standing.LOADER if checks else Standing.UNVERIFIED


@lru_cache(maxsize=1024)  # most wheels have the tags of many others
def _installs_on(tags: frozenset[Tag], requires_python: str | None) -> tuple[tuple[int, int], ...]:
    """Which of `targets` take a wheel, by place, each with the place of its best tag there: 0 is the first choice."""
    return tuple(
        (place, min(ranks[tag] for tag in tags & ranks.keys()))
        for place, target in enumerate(targets())
        if not (ranks := _ranks(target)).keys().isdisjoint(tags) and _allows(requires_python, target)
    )


@cache
def _ranks(target: Target) -> dict[Tag, int]:
    return {tag: rank for rank, tag in enumerate(target.tags)}


@cache
def _allows(requires_python: str | None, target: Target) -> bool:
    """Whether an installer on this Python takes it; like pip it takes no notice of what is no specifier."""
    try:
        wanted = SpecifierSet(requires_python or "")
    except InvalidSpecifier:
        return True
    return any(wanted.contains(f"{target.python_version}.{patch}", prereleases=True) for patch in _PATCHES)


def _judged(wheel: KeptWheel, target: Target) -> Cell[KeptWheel]:
    verdicts = [verdict for verdict in wheel.verdicts if _speaks_of(verdict, wheel, target)]
    imports = (verdict.method for verdict in verdicts if verdict.check == "import")
    return Cell(standing=standing(verdicts), wheel=wheel, method=next(imports, None))


def _speaks_of(verdict: Evidence, wheel: Kept, target: Target) -> bool:
    interpreter, _, platform = verdict.target.partition("-")
    if not platform.endswith(f"_{target.arch}"):
        return False
    if interpreter == target.interpreter:
        return True
    return verdict.check == "loader" and _is_for_stable_abi(wheel)


def _is_for_stable_abi(wheel: Kept) -> bool:
    return any(tag.abi == "abi3" for tag in parse_wheel_name(wheel.filename)[-1])
