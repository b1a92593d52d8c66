"""The engine protocol: how a job becomes a raw wheel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from wheelhouse_builder.artifact import Source
    from wheelhouse_builder.strategy import Strategy
    from wheelhouse_builder.target import Target


def _nobody(build_lock: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What an engine gets: an unpacked source of its own to build in, and where things go."""

    source: Source
    target: Target
    tree: Path  # the unpacked source; may be changed
    scratch: Path  # for the engine's own files; removed after the job
    log: Path
    epoch: int  # SOURCE_DATE_EPOCH, seconds
    phase: Callable[[str], None]  # tells what is being done now
    build_lock: str | None = None  # build requirements with hashes of an earlier build with the same request key
    # The other targets that this source is to be built for, with what `build_lock` is for them: an engine may build for
    # them, too, where that costs less at once.
    siblings: Mapping[Target, str | None] = field(default_factory=dict)
    # Is told the build requirements with hashes as soon as they are pinned, and again if there come to be more; what it
    # raises ends the build.
    settled: Callable[[str], None] = _nobody


@dataclass(frozen=True, kw_only=True)
class RawWheel:
    """What an engine gives: a wheel as the package's build backend made it, not yet repaired."""

    path: Path
    library_dirs: tuple[Path, ...]  # where libraries to be grafted may be found
    build_lock: str  # the build requirements that were installed, with hashes
    fingerprint: Mapping[str, str]  # the one of `Engine.fingerprints` that holds for it
    built_in: Path | None = None  # where the source was then, if not in `Work.tree`
    native_tools: str | None = None  # what ran natively in a container of another architecture: "zig 0.17.1, …"
    peak_memory: int | None = None  # bytes that a container had at the most; what runs here is metered (`process`)
    siblings: Mapping[Target, RawWheel] = field(default_factory=dict)  # those of `Work.siblings` that were built, too


class Engine(Protocol):
    """Builds one source for one target, in one way: it is a rung of the ladder."""

    @property
    def name(self) -> str:
        """`cross` or `container`: part of each record."""

    @property
    def strategy(self) -> Strategy:
        """The rung."""

    def fingerprints(self, source: Source, target: Target) -> tuple[Mapping[str, str], ...]:
        """All of the engine that shapes the result, as text; nothing if it cannot build for the target here.

        One for each way that a build may go, since only the build itself knows whether it takes Rust.

        Starts no subprocess that an earlier call has not paid for: planning calls it.
        """

    def why_not(self, source: Source, target: Target) -> str:
        """Why `fingerprints` are nothing, for people, with what to do; empty where another engine knows better."""

    def build(self, work: Work) -> RawWheel:
        """Build. Raises `JobError`, `MachineError` or `Cancelled`."""
