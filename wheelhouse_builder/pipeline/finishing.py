"""From what an engine made to a proved wheel in the build cache: repair, verify, store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from wheelhouse_builder.artifact import SourceTree, describe
from wheelhouse_builder.builds import Build, build_key, packed_log
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.history.recording import inputs_of
from wheelhouse_builder.project.build_system import read_build_system
from wheelhouse_builder.project.key import read_inputs
from wheelhouse_builder.repair.musllinux import repair
from wheelhouse_builder.verify.loader import check_loader
from wheelhouse_builder.verify.native import native_sources

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from wheelhouse_builder.artifact import Source
    from wheelhouse_builder.builds import Builds
    from wheelhouse_builder.engines.base import Engine, RawWheel, Work
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.project.key import Inputs
    from wheelhouse_builder.target import Target


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a source says of itself, before its build changes it."""

    native: bool  # it holds native code
    inputs: Inputs | None  # what our build-backend wrapper finds the wheel by; None where the source does not use it


def facts_of(tree: Path, source: Source, musl_floor: str) -> Facts:
    """What the unpacked source says."""
    native, system = bool(native_sources(tree)), read_build_system(tree)
    if not system.wrapped:
        return Facts(native=native, inputs=None)
    given = dict(source.config_settings) if isinstance(source, SourceTree) else {}
    return Facts(native=native, inputs=read_inputs(tree, system, config_settings=given, musl_floor=musl_floor))


def made_of(source: Source, fingerprint: Mapping[str, str], build_lock: str = "") -> dict[str, str]:
    """What a build is made of, for people."""
    return {"source": source.source_id, **inputs_of(fingerprint, build_lock)}


@dataclass(frozen=True, kw_only=True)
class Finishing:
    """Finishes what one engine makes of one source."""

    engine: Engine
    facts: Facts
    builds: Builds
    musl_floor: str
    canceller: Canceller

    def finish(self, raw: RawWheel, work: Work, request_key: str, seconds: float) -> Build:
        """Repair, verify and store. `seconds` of wall time is what it took to have the raw wheel.

        Raises `JobError` or `Cancelled`.
        """
        started = time.monotonic()
        require_identity(raw.path.name, work.source)
        wheel = self._repair(raw, work)
        work.phase("verify")
        self._verify(wheel, work.target)
        return self._store(wheel, raw, work, request_key, seconds + time.monotonic() - started)

    def _repair(self, raw: RawWheel, work: Work) -> Path:
        work.phase("repair")
        scratch = work.scratch / f"repair-{work.target}"
        scratch.mkdir()
        return repair(
            raw.path,
            work.target,
            library_dirs=raw.library_dirs,
            source_tree=raw.built_in or work.tree,
            scratch=scratch,
            epoch=work.epoch,
            log=work.log,
            canceller=self.canceller,
        )

    def _verify(self, wheel: Path, target: Target) -> None:
        verdict = check_loader(wheel, target, musl_floor=self.musl_floor, native=self.facts.native)
        if not verdict.passed:
            raise JobError(
                f"{wheel.name} was built but would not load: {verdict.problems[0]}", tail="\n".join(verdict.problems)
            )

    def _store(self, wheel: Path, raw: RawWheel, work: Work, request_key: str, seconds: float) -> Build:
        build = Build(
            filename=wheel.name,
            sha256=sha256_of(wheel),
            size=wheel.stat().st_size,
            source_sha256=work.source.source_id,
            request_key=request_key,
            build_key=build_key(request_key, raw.build_lock),
            built_for=str(work.target),
            engine=self.engine.name,
            strategy=self.engine.strategy,
            seconds=seconds,
            native=self.facts.native,
            native_tools=raw.native_tools,
            project_key=self.facts.inputs.key(work.target) if self.facts.inputs else None,
            inputs=made_of(work.source, raw.fingerprint, raw.build_lock),
        )
        self.builds.add(wheel, build, raw.build_lock, packed_log(work.log))
        return build


def require_identity(filename: str, source: Source) -> None:
    """Refuse a wheel of another project or version than its source, as pip does. Raises `JobError`."""
    name, version, _, _ = parse_wheel_filename(filename)
    if name != source.name or source.version not in (None, version):
        raise JobError(
            f"the build made {filename}, which is not {describe(source)}",
            hint="a version that is taken from version control has to be given to the build (docs: write a recipe)",
            everywhere=True,
        )
