"""What the steps of a run share, put together from the settings: engines, pipeline, wheelhouse, history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.artifact import parse_wheel_name
from wheelhouse_builder.builds import Builds
from wheelhouse_builder.engines.cross.engine import CrossEngine
from wheelhouse_builder.engines.ladder import Ladder
from wheelhouse_builder.events import once
from wheelhouse_builder.history.estimates import Estimates, Sample
from wheelhouse_builder.history.known import KnownFailures
from wheelhouse_builder.history.recording import Recording
from wheelhouse_builder.history.store import History
from wheelhouse_builder.pipeline import Pipeline
from wheelhouse_builder.project.workspace import with_members
from wheelhouse_builder.report.spans import Recorder
from wheelhouse_builder.requirements.format_control import FormatControl
from wheelhouse_builder.requirements.read import read_requirements
from wheelhouse_builder.resolve.constraints import constraint_lines
from wheelhouse_builder.resolve.indexes import index_urls
from wheelhouse_builder.resolve.uv import ResolveOptions
from wheelhouse_builder.schedule.limits import limit_of
from wheelhouse_builder.sources.credentials import credentials_for
from wheelhouse_builder.sources.downloads import Downloads
from wheelhouse_builder.verify.symbols import DEFAULT_FLOOR
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from wheelhouse_builder.builds import Build
    from wheelhouse_builder.engines.base import Engine
    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.requirements.model import RequirementSet
    from wheelhouse_builder.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the steps of one run share."""

    settings: Settings
    requirements: RequirementSet
    wheelhouse: Wheelhouse
    history: History
    estimates: Callable[[], Estimates]  # read when they are first asked for: most runs build nothing
    pipeline: Pipeline
    resolving: ResolveOptions
    recorder: Recorder  # the listener of everything in the run
    canceller: Canceller
    started: datetime
    command: str


def assemble(
    settings: Settings,
    listener: Listener,
    canceller: Canceller,
    *,
    command: str,
    pulls: bool = True,
    skips_known: bool = False,
) -> Run:
    """Everything that a run needs; nothing is written.

    `pulls`: the container engine may pull images. `skips_known`: as for `build_run`.
    Raises `UsageError` if the requirements cannot be read.
    """
    started, recorder = datetime.now(UTC), Recorder(listener)
    requirements = _requirements(settings)
    wheelhouse = Wheelhouse(settings.wheelhouse)
    history = History(wheelhouse.history, recorder)
    estimates = cache(lambda: Estimates(_samples(history, Builds(settings.cache).all())))
    resolving = _resolving(settings, requirements, started, recorder, canceller)
    downloads = _downloads(settings, resolving)
    recording = Recording(history=history, logs=wheelhouse.attempt_log_folder)
    known = KnownFailures(history=history, logs=recording.logs, now=started, expiry=settings.refresh.retry_after)
    pipeline = Pipeline(
        ladder=ladder_for(settings, resolving, downloads, pulls=pulls),
        downloads=downloads,
        builds=Builds(settings.cache),
        cache=settings.cache,
        logs=wheelhouse.logs,
        musl_floor=settings.musl_floor or DEFAULT_FLOOR,
        canceller=canceller,
        recording=recording,
        known=known if skips_known else None,
        limit=lambda name, way: limit_of(estimates().longest(name, way), settings.job_timeout.total_seconds()),
        winner=lambda name, target: history.winner(name, str(target)),
    )
    return Run(
        settings=settings,
        requirements=requirements,
        wheelhouse=wheelhouse,
        history=history,
        estimates=estimates,
        pipeline=pipeline,
        resolving=resolving,
        recorder=recorder,
        canceller=canceller,
        started=started,
        command=command,
    )


def ladder_for(settings: Settings, resolving: ResolveOptions, downloads: Downloads, *, pulls: bool = True) -> Ladder:
    """The engines of the settings, in their order; `pulls` as for `assemble`."""
    engines = tuple(_engines(settings, resolving, downloads, pulls=pulls))
    return Ladder(engines=engines, listener=resolving.listener)


def _engines(settings: Settings, resolving: ResolveOptions, downloads: Downloads, *, pulls: bool) -> Iterator[Engine]:
    common: dict[str, Any] = {
        "cache": settings.cache,
        "jobs": settings.jobs,
        "canceller": resolving.canceller,
        "listener": resolving.listener,
        "resolving": replace(resolving, format_control=FormatControl()),  # what is asked for speaks not of build tools
        "package_tables": settings.package_tables,
    }
    for name in settings.engines:
        if name == "container":
            from wheelhouse_builder.engines.container.engine import WAYS, ContainerEngine  # noqa: PLC0415 - if used

            own: dict[str, Any] = {"downloads": downloads, "settings": settings.container, "pulls": pulls}
            yield from (ContainerEngine(strategy=way, **own, **common) for way in WAYS)
        else:
            yield CrossEngine(target_trees=settings.cross.target_trees, **common)


def _requirements(settings: Settings) -> RequirementSet:
    """What is asked for, with the members of workspaces and with `[constraints]`."""
    asked = with_members(
        read_requirements(settings.requirements, constraints=settings.constraints, extra=settings.packages)
    )
    limits = constraint_lines(settings.package_constraints, settings.origins)
    return replace(asked, lines=(*asked.lines, *limits))


def _resolving(
    settings: Settings, requirements: RequirementSet, now: datetime, listener: Listener, canceller: Canceller
) -> ResolveOptions:
    return ResolveOptions(
        cache=settings.cache,
        offline=settings.offline,
        min_age=settings.min_age,
        now=now,
        format_control=requirements.format_control(FormatControl.parse(settings.no_binary, settings.only_binary)),
        indexes=requirements,
        listener=once(listener),
        canceller=canceller,
    )


def _downloads(settings: Settings, resolving: ResolveOptions) -> Downloads:
    return Downloads(
        settings.cache,
        offline=settings.offline,
        canceller=resolving.canceller,
        listener=resolving.listener,
        credentials=credentials_for(index_urls(resolving.indexes)),
    )


def _samples(history: History, builds: Iterable[Build]) -> Iterator[Sample]:
    """What builds took: for this wheelhouse, and of packages that are new to it for any other of this machine."""
    known = history.samples()
    names = {sample.name for sample in known}
    for build in builds:
        name = parse_wheel_name(build.filename)[0]
        if build.rung and name not in names:
            yield Sample(name=name, target=build.built_for, strategy=build.rung, seconds=build.seconds)
    yield from known
