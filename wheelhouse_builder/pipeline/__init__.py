"""One job from source to a proved wheel in the build cache: download, unpack, build, finish.

What can build it is tried rung by rung (`engines.ladder`); how the rest is done: `finishing`, `folders`, `failure`.
"""

from __future__ import annotations

import io
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from wheelhouse_builder.artifact import Sdist, Source, SourceTree
from wheelhouse_builder.builds import Build, Builds, build_key, request_key
from wheelhouse_builder.diagnose.diagnosis import diagnose
from wheelhouse_builder.diagnose.rules import rules
from wheelhouse_builder.engines.base import RawWheel, Work
from wheelhouse_builder.engines.ladder import Ladder, may_mend, ordered, together
from wheelhouse_builder.errors import JobError, MachineError, ResolveError
from wheelhouse_builder.events import Level, Note
from wheelhouse_builder.files import EARLIEST_EPOCH
from wheelhouse_builder.history.known import KnownFailure
from wheelhouse_builder.history.recording import Built
from wheelhouse_builder.pipeline.failure import explained
from wheelhouse_builder.pipeline.finishing import Finishing, facts_of, made_of
from wheelhouse_builder.pipeline.folders import empty, workplace
from wheelhouse_builder.plan import Job, best, built_from
from wheelhouse_builder.process import limited
from wheelhouse_builder.sources.archives import source_date_epoch, unpack_sdist
from wheelhouse_builder.sources.trees import copy_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from packaging.utils import NormalizedName

    from wheelhouse_builder.engines.base import Engine
    from wheelhouse_builder.engines.ladder import Rung
    from wheelhouse_builder.errors import WhbError
    from wheelhouse_builder.history.known import KnownFailures
    from wheelhouse_builder.history.recording import Course, Recording
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.schedule.limits import Limit
    from wheelhouse_builder.sources.downloads import Downloads
    from wheelhouse_builder.strategy import Strategy
    from wheelhouse_builder.target import Target


def _unknown(name: NormalizedName, target: Target) -> Strategy | None:
    """Nothing is known of earlier runs."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """What the jobs of a run share."""

    ladder: Ladder
    downloads: Downloads
    builds: Builds
    cache: Path
    logs: Path
    musl_floor: str
    canceller: Canceller
    recording: Recording
    limit: Callable[[NormalizedName, Strategy], Limit]  # how long a build of a project may take
    known: KnownFailures | None = None  # what is not tried; None: everything is
    winner: Callable[[NormalizedName, Target], Strategy | None] = _unknown  # what built the project the last time

    def request_keys(self, source: Source, target: Target) -> tuple[str, ...]:
        """The digests of all that shapes a build before its build requirements are known (`plan.KeyMaker`).

        Those of every engine: a wheel by any of them serves. Raises `MachineError` if no engine can be had.
        """
        rungs = self.ladder.rungs(source, target)
        return tuple(key for rung in rungs for key in self._keys(rung, source, target))

    def _keys(self, rung: Rung, source: Source, target: Target) -> tuple[str, ...]:
        return tuple(self._key(rung.engine, source, target, shape) for shape in rung.fingerprints)

    def _key(self, engine: Engine, source: Source, target: Target, fingerprint: Mapping[str, str]) -> str:
        own = {"source": source.source_id, "target": str(target), "engine": engine.name}
        if isinstance(source, SourceTree):  # a build has one project key, which the policy is part of
            own["musl-floor"] = self.musl_floor
        return request_key({**own, **fingerprint})

    def log(self, job: Job) -> Path:
        """The job's log file."""
        return self.logs / f"{job.id}.log"

    def run(self, job: Job, phase: Callable[[str], None]) -> tuple[Build, Path]:
        """Do a job, or find that an earlier one did it; the build and its wheel.

        Raises `JobError`, `MachineError` or `Cancelled`.
        """
        if earlier := self._earlier(job):
            return earlier
        self.logs.mkdir(parents=True, exist_ok=True)
        self.log(job).write_bytes(b"")
        with workplace(self.cache, job, self.canceller) as place:
            if earlier := self._earlier(job):  # another process may just have built it
                return earlier
            return self._climb(job, place, phase)

    def _earlier(self, job: Job) -> tuple[Build, Path] | None:
        """What was built from the same source with the same inputs, for this target or (abi3, pure) for another."""
        found = best(built_from(job.source, job.target, self.builds.all(), self.request_keys))
        path = self.builds.path(found) if found else None
        if found is None or path is None:
            return None
        self.recording.note_earlier(found, path, job=job.id, target=str(job.target))
        return found, path

    def _climb(self, job: Job, place: Path, phase: Callable[[str], None]) -> tuple[Build, Path]:
        """Try one rung after the other until one gives the wheel, or the failure is one of every rung."""
        failures: list[tuple[Engine, WhbError]] = []
        for rung in self._rungs(job):
            if failures:
                failed, error = failures[-1]
                if not may_mend(error, failed, rung.engine):
                    continue
                self._turn(job, failed.strategy, error, rung.engine.strategy)
            try:
                return self._attempt(job, rung, place, phase)
            except (JobError, MachineError) as raised:
                failures.append((rung.engine, raised))
        raise together([(engine.strategy, error) for engine, error in failures])

    def first(self, job: Job) -> Strategy | None:
        """The rung that a job tries first; None if there is none. Raises `MachineError` like `request_keys`."""
        return next((rung.engine.strategy for rung in self._rungs(job)), None)

    def _rungs(self, job: Job) -> list[Rung]:
        """What a job tries, in this order."""
        winner = self.winner(job.source.name, job.target)
        return ordered(self.ladder.rungs(job.source, job.target), winner)

    def _turn(self, job: Job, failed: Strategy, error: WhbError, following: Strategy) -> None:
        """Tell that the next rung is tried, with a log of its own: a diagnosis reads no other."""
        log = self.log(job)
        kept = log.replace(log.with_name(f"{job.id}.{failed}.log"))
        log.write_bytes(b"")
        text = f"{job.title}: {failed} failed, {following} is tried: {error.message} (log: {kept})"
        self.ladder.listener(Note(text=text, level=Level.WARNING))

    def _attempt(self, job: Job, rung: Rung, place: Path, phase: Callable[[str], None]) -> tuple[Build, Path]:
        """One rung. Raises `JobError` with what is known of the cause, `MachineError` or `Cancelled`."""
        empty(place)
        source = job.source
        with self.recording.attempt(
            job=job.id,
            name=source.name,
            version=str(source.version) if source.version else None,
            target=str(job.target),
            strategy=rung.engine.strategy,
            log=self.log(job),
        ) as course:
            limit = self.limit(source.name, rung.engine.strategy)
            try:
                with limited(limit.seconds, limit.why):
                    return self._run(job, rung, place, phase, course)
            except KnownFailure as error:
                course.is_attempt = False
                error.everywhere = any(rule.everywhere for rule in rules() if rule.id == error.rule)
                error.library = diagnose(io.BytesIO(error.tail.encode())).library
                raise
            except ResolveError as error:  # of build requirements
                failure = JobError(error.message, hint=error.hint, kind=error.kind)
                raise explained(failure, self.log(job), source.name) from error
            except JobError as error:
                raise explained(error, self.log(job), source.name) from error

    def _run(
        self, job: Job, rung: Rung, place: Path, phase: Callable[[str], None], course: Course
    ) -> tuple[Build, Path]:
        started = time.monotonic()
        engine = rung.engine
        keys = self._keys(rung, job.source, job.target)
        course.inputs = made_of(job.source, rung.fingerprints[0])  # which way it goes is not known before its end

        tree, epoch = self._source(job, place, phase)
        finishing = Finishing(
            engine=engine,
            facts=facts_of(tree, job.source, self.musl_floor),
            builds=self.builds,
            musl_floor=self.musl_floor,
            canceller=self.canceller,
        )
        scratch = place / "scratch"
        scratch.mkdir()
        work = Work(
            source=job.source,
            target=job.target,
            tree=tree,
            scratch=scratch,
            log=self.log(job),
            epoch=epoch,
            build_lock=self._lock(keys),
            siblings=self._siblings(job, engine),
            phase=phase,
            settled=self._settling(job, rung, keys, course),
        )
        raw = engine.build(work)
        course.peak_memory = raw.peak_memory
        course.inputs = made_of(job.source, raw.fingerprint, raw.build_lock)
        seconds = (time.monotonic() - started) / (1 + len(raw.siblings))

        def finish(made: RawWheel, target: Target) -> Build:
            key = self._key(engine, job.source, target, made.fingerprint)
            build = finishing.finish(made, replace(work, target=target), key, seconds)
            course.built[str(target)] = Built(size=build.size, seconds=build.seconds)
            return build

        build = finish(raw, job.target)
        course.version = str(parse_wheel_filename(build.filename)[1])
        for target, other in raw.siblings.items():
            with suppress(JobError):  # the job for that target builds it alone, and tells
                finish(other, target)
        path = self.builds.path(build)
        assert path is not None
        return build, path

    def _settling(self, job: Job, rung: Rung, keys: tuple[str, ...], course: Course) -> Callable[[str], None]:
        """`Work.settled`: with the build requirements the attempt has its key, by which it may be known to fail."""

        def settled(build_lock: str) -> None:
            course.key = build_key("|".join(sorted(keys)), build_lock)
            course.inputs = made_of(job.source, rung.fingerprints[0], build_lock)
            if self.known:
                self.known.require_unknown(course.key, self.limit(job.source.name, rung.engine.strategy).seconds)

        return settled

    def _siblings(self, job: Job, engine: Engine) -> dict[Target, str | None]:
        """The later targets of the source that the engine can build for, each with its build requirements."""
        rungs = {target: self.ladder.rung(engine.strategy, job.source, target) for target in job.also}
        return {target: self._lock(self._keys(rung, job.source, target)) for target, rung in rungs.items() if rung}

    def _lock(self, request_keys: tuple[str, ...]) -> str | None:
        """The build requirements of the last build like this one."""
        return next(filter(None, map(self.builds.lock, request_keys)), None)

    def _source(self, job: Job, place: Path, phase: Callable[[str], None]) -> tuple[Path, int]:
        """The unpacked source, and its time. Raises `JobError`, which then is none of the engine's."""
        try:
            return self._unpacked(job, place / "source", phase)
        except JobError as error:
            error.everywhere = True
            raise

    def _unpacked(self, job: Job, destination: Path, phase: Callable[[str], None]) -> tuple[Path, int]:
        if isinstance(job.source, Sdist):
            phase("download")
            archive = self.downloads.fetch(job.source)
            phase("unpack")
            destination.mkdir()
            return unpack_sdist(archive, destination), source_date_epoch(archive)
        phase("copy")
        copy_tree(Path(job.source.path), destination)
        return destination, EARLIEST_EPOCH
