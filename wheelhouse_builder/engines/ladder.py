"""The ladder: the engines of a run as the rungs that a job tries, one after the other, until one gives the wheel."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import JobError, MachineError
from wheelhouse_builder.events import Level, Listener, Note, ignore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wheelhouse_builder.artifact import Source
    from wheelhouse_builder.engines.base import Engine
    from wheelhouse_builder.errors import WhbError
    from wheelhouse_builder.strategy import Strategy
    from wheelhouse_builder.target import Target

# What no other engine mends: it lies in the moment, or the time that there was is used up.
_FINAL_KINDS = frozenset({"network", "index", "hash-mismatch", "out-of-memory", "disk-full", "time-out"})
# What other compilers may mend, where all else is as it was; "": nobody knows.
_KINDS_OF_COMPILERS = frozenset({"", "compiler", "cross-compiling", "linker", "musl", "rust", "would-not-load"})


@dataclass(frozen=True, kw_only=True)
class Rung:
    """An engine that can build a source for a target here, with its `Engine.fingerprints`."""

    engine: Engine
    fingerprints: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The engines of a run, in the order in which they are tried, and what is known to lack on this machine."""

    engines: tuple[Engine, ...]
    listener: Listener = ignore
    _lacking: dict[tuple[Strategy, Target], MachineError] = field(default_factory=dict, init=False, repr=False)
    _had: dict[tuple[Strategy, Source, Target], tuple[Mapping[str, str], ...]] = field(
        default_factory=dict, init=False, repr=False
    )
    _told: set[str] = field(default_factory=set, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def rungs(self, source: Source, target: Target) -> tuple[Rung, ...]:
        """The rungs that this machine has for a source and a target; none if no engine says more than that.

        One that the machine lacks is passed over and told once. Raises `MachineError` if there is no other engine.
        """
        found: list[Rung] = []
        lacking: list[MachineError] = []
        for engine in self.engines:
            shapes = self._fingerprints(engine, source, target)
            if isinstance(shapes, MachineError):
                lacking.append(shapes)
            elif shapes:
                found.append(Rung(engine=engine, fingerprints=shapes))
        if len(lacking) == len(self.engines):
            raise lacking[0]
        for error in lacking:
            self._tell(f"{error.message}; the other engines go on without it", error)
        return tuple(found)

    def why_not(self, source: Source, target: Target) -> str:
        """Why there are no `rungs`, for people, as the first engine that knows it says; empty if none does."""
        return next(filter(None, (engine.why_not(source, target) for engine in self.engines)), "")

    def rung(self, strategy: Strategy, source: Source, target: Target) -> Rung | None:
        """The same for one engine; None where it cannot build for the target."""
        found = (rung for rung in self.rungs(source, target) if rung.engine.strategy is strategy)
        return next(found, None)

    def _fingerprints(
        self, engine: Engine, source: Source, target: Target
    ) -> tuple[Mapping[str, str], ...] | MachineError:
        """Asked once in a run: to find what was built before is to ask for each build of the source, and each job does.

        Where they cannot be had, once for each target: planning asks for every source.
        """
        if (engine.strategy, target) in self._lacking:
            return self._lacking[engine.strategy, target]
        question = (engine.strategy, source, target)
        if question not in self._had:
            try:
                self._had[question] = engine.fingerprints(source, target)
            except MachineError as error:
                return self._lacking.setdefault((engine.strategy, target), error)
        return self._had[question]

    def _tell(self, text: str, error: MachineError) -> None:
        with self._lock:
            is_new = text not in self._told
            self._told.add(text)
        if is_new:
            told = f"{text} ({error.hint})" if error.hint else text
            self.listener(Note(text=told, level=Level.WARNING))


def ordered(rungs: Sequence[Rung], winner: Strategy | None) -> list[Rung]:
    """The rungs as they are tried: first the one that gave the wheel the last time, then as the settings have them."""
    return sorted(rungs, key=lambda rung: rung.engine.strategy is not winner)


def may_mend(error: WhbError, failed: Engine, following: Engine) -> bool:
    """Whether the following engine may succeed where one failed with this error.

    Not where the failure is the same for every engine, nor where it lies in the moment or took too long already: then
    it is the same try again that helps, or none. In the same image other compilers are all that is different.
    """
    if error.kind in _FINAL_KINDS or (isinstance(error, JobError) and error.everywhere):
        return False
    return following.name != failed.name or not isinstance(error, JobError) or error.kind in _KINDS_OF_COMPILERS


def together(failures: Sequence[tuple[Strategy, WhbError]]) -> WhbError:
    """The failures of all rungs as one: the last that was a try gives kind, remedy and log, all are in the message.

    A library that one of them lacked may be all that it takes: the first that is named stays.
    """
    tries = [(strategy, error) for strategy, error in failures if isinstance(error, JobError)]
    if len(tries) < 2:
        return tries[0][1] if tries else failures[0][1]
    last = tries[-1][1]
    message = "; ".join(f"{strategy}: {error.message}" for strategy, error in tries)
    return JobError(
        message,
        hint=last.hint,
        log=last.log,
        tail=last.tail,
        kind=last.kind,
        rule=last.rule,
        library=next((error.library for _, error in tries if error.library), ""),
        everywhere=last.everywhere,
    )
