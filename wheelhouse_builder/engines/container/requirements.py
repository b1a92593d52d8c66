"""Build requirements for a build in a container, which has no network: all in one folder, checked by hash.

They are resolved for the target, since what is native among them runs there, under the container's own Python. The
installer of the build front end takes them from the folder (UV_FIND_LINKS or PIP_FIND_LINKS, and no index), resolving
once more: each environment that it makes finds its own versions in there. A requirement that has only an sdist for the
target is built in the container, so what that takes lies in the folder, too.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.artifact import Sdist, Wheel
from wheelhouse_builder.engines.container.dynamic import dynamic_requirements
from wheelhouse_builder.engines.cross.environment import BuildEnvironment
from wheelhouse_builder.engines.cross.hooks import Hooks
from wheelhouse_builder.engines.cross.interpreter import find_python
from wheelhouse_builder.errors import JobError, ResolveError
from wheelhouse_builder.project.build_system import read_build_system
from wheelhouse_builder.requirements.build import parse_build_requirement
from wheelhouse_builder.requirements.format_control import FormatControl
from wheelhouse_builder.requirements.model import Origin, RequirementLine, RequirementSet
from wheelhouse_builder.requirements.syntax import parse_requirements
from wheelhouse_builder.resolve.indexes import index_environment
from wheelhouse_builder.resolve.selection import select
from wheelhouse_builder.resolve.uv import resolve, resolve_build_requirements
from wheelhouse_builder.sources.archives import unpack_sdist

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from wheelhouse_builder.engines.base import Work
    from wheelhouse_builder.project.build_system import BuildSystem
    from wheelhouse_builder.resolve.uv import ResolveOptions
    from wheelhouse_builder.sources.downloads import Downloads

_WHERE_PACKAGES_ARE = frozenset({"index-url", "extra-index-url", "find-links", "no-index", "trusted-host"})

# Between the requirements of the source and those that a requirement is itself built with: each is resolved alone.
_NEXT = "\n\n"


@dataclass(frozen=True, kw_only=True)
class BuildRequirements:
    """What the installer in the container finds."""

    folder: Path  # wheels and sdists, flat
    lock: str  # what is in there, as requirement lines with hashes: `Work.build_lock` of a later build
    sources: tuple[Path, ...]  # the unpacked sdists among them: they are built in the container


def provide_requirements(
    work: Work,
    system: BuildSystem,
    *,
    resolving: ResolveOptions,
    downloads: Downloads,
    config_settings: Mapping[str, str | Sequence[str]],
) -> BuildRequirements:
    """Have all that building a source takes in `scratch/wheels`; a `build_lock` of an earlier build is honoured.

    A backend that may ask for more by `get_requires_for_build_wheel` is asked on this machine, in the sandbox; if it
    fails here, it is for the container to say what is missing.
    Raises `ResolveError`, `JobError`, `DownloadError`, `MachineError`, `Cancelled`.
    """
    folder = work.scratch / "wheels"
    folder.mkdir()
    provider = _Provider(work=work, resolving=resolving, downloads=downloads, folder=folder)
    if work.build_lock is None:
        lock = _NEXT.join(provider.for_source(work.tree, system, config_settings))
    else:
        lock = _NEXT.join(provider.for_lock(text) for text in work.build_lock.split(_NEXT))
    return BuildRequirements(folder=folder, lock=lock, sources=tuple(provider.sources))


@dataclass(kw_only=True)
class _Provider:
    work: Work
    resolving: ResolveOptions
    downloads: Downloads
    folder: Path
    sources: list[Path] = field(default_factory=list)
    _done: set[str] = field(default_factory=set)  # the digests of the sdists in the folder

    def for_source(
        self, tree: Path, system: BuildSystem, config_settings: Mapping[str, str | Sequence[str]]
    ) -> Iterator[str]:
        """Provide for a source; the locks of its requirements, and of those that are built themselves."""
        dynamic = dynamic_requirements(tree, system)
        wanted = {*system.requires, *dynamic.requires}
        if dynamic.asked:
            wanted |= self._ask(tree, system, config_settings)
        text, sdists = self._provide(requirement_set(wanted))
        yield text
        for archive in sdists:
            yield from self._for_sdist(archive)

    def for_lock(self, text: str) -> str:
        """Provide what an earlier build was made with."""
        lines = parse_requirements(text, file=Path("build-requirements.txt"), variables={})
        wanted = RequirementSet(lines=tuple(line for line in lines if isinstance(line, RequirementLine)))
        found, sdists = self._provide(wanted)
        for archive in sdists:
            self._unpack(archive)
        return found

    def _for_sdist(self, archive: Path) -> Iterator[str]:
        tree = self._unpack(archive)
        yield from self.for_source(tree, read_build_system(tree), {})

    def _unpack(self, archive: Path) -> Path:
        place = self.work.scratch / "requirements" / f"{len(self.sources)}"
        place.mkdir(parents=True)
        tree = unpack_sdist(archive, place)
        self.sources.append(tree)
        return tree

    # what lies in the folder

    def _provide(self, wanted: RequirementSet) -> tuple[str, list[Path]]:
        """Resolve and fetch; the lock, and the sdists that were not in the folder before."""
        if not wanted.lines:
            return "", []
        options = tuple(option for option in self.resolving.indexes.options if option.name in _WHERE_PACKAGES_ARE)
        lock = resolve(replace(wanted, options=options), self.work.target, self.resolving, of_build=True)
        lines, sdists = [], []
        for selection in select(lock, FormatControl()):
            choice = selection.choice
            if not isinstance(choice, Wheel | Sdist):
                raise JobError(f"the build requirement {selection.name} {selection.version}: {selection.reason}")
            path = self.downloads.fetch(choice)
            _place(path, self.folder)
            lines.append(f"{choice.name}=={choice.version} \\\n    --hash=sha256:{choice.sha256}\n")
            if isinstance(choice, Sdist) and choice.sha256 not in self._done:
                self._done.add(choice.sha256)
                sdists.append(path)
        return "".join(lines), sdists

    # what only the backend knows

    def _ask(self, tree: Path, system: BuildSystem, config_settings: Mapping[str, str | Sequence[str]]) -> set[str]:
        """What the backend says here that it needs. It gets a copy of the source: the build shall find it untouched."""
        place = self.work.scratch / "ask"
        place.mkdir()
        copy = place / "source"
        shutil.copytree(tree, copy, symlinks=True)
        try:
            return self._answer(place, copy, system, config_settings)
        except (JobError, ResolveError) as error:
            with self.work.log.open("a", encoding="utf-8") as log:
                log.write(f"whb: the backend could not be asked on this machine what it needs: {error.message}\n")
            return set()
        finally:
            shutil.rmtree(place)

    def _answer(
        self, place: Path, tree: Path, system: BuildSystem, config_settings: Mapping[str, str | Sequence[str]]
    ) -> set[str]:
        host = find_python(self.work.target.python, self.resolving.cache)
        python = host.path if host else Path(sys.executable)
        environment = BuildEnvironment.create(
            python,
            machine=str(self.work.target.arch),
            path=place / "venv",
            scratch=place,
            cache=self.resolving.cache,
            log=self.work.log,
            canceller=self.resolving.canceller,
            variables={"PATH": os.environ.get("PATH", os.defpath)},
            writable=(place,),
            indexes=index_environment(self.resolving.indexes),
            offline=self.resolving.offline,
        )
        environment.install(resolve_build_requirements(sorted(set(system.requires)), python, self.resolving))
        hooks = Hooks(system=system, environment=environment, tree=tree, log=self.work.log)
        return hooks.get_requires_for_build_wheel(config_settings)


def requirement_set(texts: Collection[str]) -> RequirementSet:
    """Build requirements as values, in the order of their texts.

    Raises `JobError` for what is no requirement, and for what is a URL: the installer in the container would ask the
    network for it.
    """
    lines = []
    for number, text in enumerate(sorted(texts), start=1):
        requirement = parse_build_requirement(text)
        if requirement.url:
            raise JobError(
                f"the build requirement {requirement} is a URL, which a container without network cannot install",
                hint="--engine cross can build it",
            )
        origin = Origin(file=None, number=number)
        lines.append(RequirementLine(origin=origin, text=str(requirement), requirement=requirement))
    return RequirementSet(lines=tuple(lines))


def _place(file: Path, folder: Path) -> None:
    """Put a file of the cache into the folder, which is mounted alone: no symbolic link would do."""
    place = folder / file.name
    if place.exists():
        return
    try:
        os.link(file, place)
    except OSError:  # another disk
        shutil.copyfile(file, place)
