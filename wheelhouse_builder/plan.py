"""The plan: what happens to each package of each lock, and the jobs that it takes. Pure: values in, values out.

For each (package, target) one decision: *reuse* what the wheelhouse or the build cache has, *fetch* the upstream wheel,
*build* from source, or *impossible*. One job is one source built for one target; the jobs of one source for one
architecture follow each other, lowest Python first, because an abi3 or pure wheel of the first serves the others.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeVar

from packaging.utils import BuildTag, parse_wheel_filename

from wheelhouse_builder.artifact import Source, Wheel, describe
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from packaging.tags import Tag
    from packaging.utils import NormalizedName
    from packaging.version import Version

    from wheelhouse_builder.history.estimates import Estimate
    from wheelhouse_builder.resolve.selection import Selection


class Action(StrEnum):
    """What is done to have a package for a target."""

    REUSE = "reuse"
    FETCH = "fetch"
    BUILD = "build"
    IMPOSSIBLE = "impossible"


class Known(Protocol):
    """A wheel that is there already: `wheelhouse.stored.StoredWheel`, or `builds.Build`."""

    @property
    def filename(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def source_sha256(self) -> str | None: ...
    @property
    def request_key(self) -> str | None: ...
    @property
    def built_for(self) -> str | None: ...
    @property
    def size(self) -> int: ...


K = TypeVar("K", bound=Known)


class KeyMaker(Protocol):
    """The digests of all that shapes a build before its build requirements are known: one for each way it may go.

    None where this machine cannot build for the target.
    """

    def __call__(self, source: Source, target: Target) -> tuple[str, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is done for one package and one target, and why."""

    name: NormalizedName
    version: Version | None
    target: Target
    action: Action
    reason: str
    filename: str | None = None  # of the wheel, where it is known before a build
    wheel: Wheel | None = None  # to fetch
    job: str | None = None  # the id of the job that provides it
    size: int | None = None  # bytes, where known


@dataclass(frozen=True, kw_only=True)
class Job:
    """One source to be built for one target. `after` are jobs whose result may serve this target too.

    `also` are the targets of the later jobs of this source and architecture: an engine may build for them at once.
    """

    source: Source
    target: Target
    request_keys: tuple[str, ...]  # the wheel will have one of them
    after: tuple[str, ...] = ()
    also: tuple[Target, ...] = ()
    estimate: Estimate | None = None  # how long its build will take; None if nothing like it was measured

    @property
    def id(self) -> str:
        """`cffi-2.1.1-cp312-musllinux_1_2_aarch64`: unique in a plan, and safe as a file name."""
        version = f"-{self.source.version}" if self.source.version else ""
        return f"{self.source.name}{version}-{self.target}"

    @property
    def title(self) -> str:
        """`cffi 2.1.1 for cp312-musllinux_1_2_aarch64`, for people."""
        return f"{describe(self.source)} for {self.target}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All decisions and jobs of a run, in a stable order."""

    decisions: tuple[Decision, ...] = ()
    jobs: tuple[Job, ...] = ()
    targets: tuple[Target, ...] = ()
    retiring: Mapping[str, str] = field(default_factory=dict)  # wheels that a refresh would retire, with the reason

    def of(self, action: Action) -> tuple[Decision, ...]:
        """The decisions of one kind."""
        return tuple(decision for decision in self.decisions if decision.action is action)

    def building(self) -> frozenset[str]:
        """The ids of the jobs that build; the others take what was built before."""
        return frozenset(decision.job for decision in self.of(Action.BUILD) if decision.job)


def with_estimates(plan: Plan, likely: Callable[[Job], Estimate | None]) -> Plan:
    """The plan with what each job that builds is likely to take."""
    building = plan.building()
    jobs = (replace(job, estimate=likely(job)) if job.id in building else job for job in plan.jobs)
    return replace(plan, jobs=tuple(jobs))


def make_plan(
    selections: Mapping[Target, Iterable[Selection]],
    stored: Sequence[Known],
    cached: Sequence[Known],
    request_keys: KeyMaker,
    quarantined: Mapping[NormalizedName, str | None] = MappingProxyType({}),
    why_not: Callable[[Source, Target], str] = lambda source, target: "",
) -> Plan:
    """Decide for each selection. `stored` is what the wheelhouse holds, `cached` what any earlier run built here.

    `why_not` says why there are no `request_keys` for a source, for people.
    Nothing is done for the projects that are `quarantined` there (with the reason, if one is given).
    """
    decisions: list[Decision] = []
    jobs: dict[str, Job] = {}
    everything = [
        (_without(selection, quarantined), target) for target, offered in selections.items() for selection in offered
    ]
    here, known = _Shelf.of(stored), _Shelf.of(cached)
    for selection, target in sorted(everything, key=lambda pair: (pair[0].name, pair[1])):
        decision, job = _decide(selection, target, here, known, request_keys, why_not)
        decisions.append(decision)
        if job is not None:
            jobs[job.id] = replace(job, after=tuple(_predecessors(job, jobs.values())))
    built = {decision.job for decision in decisions if decision.action is Action.BUILD}
    grouped = tuple(_with_siblings(job, [jobs[name] for name in jobs if name in built]) for job in jobs.values())
    return Plan(decisions=tuple(decisions), jobs=grouped, targets=tuple(sorted(selections)))


def _without(selection: Selection, quarantined: Mapping[NormalizedName, str | None]) -> Selection:
    if selection.name not in quarantined:
        return selection
    why = f": {quarantined[selection.name]}" if quarantined[selection.name] else ""
    reason = f"quarantined in the wheelhouse{why}; `whb mark {selection.name} active` ends that"
    return replace(selection, choice=None, reason=reason)


@dataclass(frozen=True, kw_only=True)
class _Shelf:
    """Wheels that are there, by what a decision asks for: it looks at few of thousands."""

    same: Mapping[str, Known]  # by sha256
    namesakes: Mapping[object, Known]  # those that were built, by what their name means
    of_source: Mapping[str | None, Sequence[Known]]  # by what they were built from

    @classmethod
    def of(cls, wheels: Sequence[Known]) -> _Shelf:
        of_source: dict[str | None, list[Known]] = defaultdict(list)
        for wheel in wheels:
            of_source[wheel.source_sha256].append(wheel)
        first = list(reversed(wheels))  # of two, the first is taken
        return cls(
            same={wheel.sha256: wheel for wheel in first},
            namesakes={_parsed(wheel.filename): wheel for wheel in first if wheel.built_for},
            of_source=of_source,
        )

    def built_from(self, source: Source, target: Target, request_keys: KeyMaker) -> Known | None:
        """The best wheel that was built from this source and serves the target."""
        return best(built_from(source, target, self.of_source.get(source.source_id, ()), request_keys))


def _decide(
    selection: Selection,
    target: Target,
    stored: _Shelf,
    cached: _Shelf,
    request_keys: KeyMaker,
    why_not: Callable[[Source, Target], str],
) -> tuple[Decision, Job | None]:
    def decided(action: Action, reason: str, **more: object) -> Decision:
        return Decision(
            name=selection.name,
            version=selection.version,
            target=target,
            action=action,
            reason=reason,
            **more,  # type: ignore[arg-type]  # the optional fields of Decision, by name
        )

    choice = selection.choice
    if choice is None:
        return decided(Action.IMPOSSIBLE, selection.reason), None
    if isinstance(choice, Wheel):
        same = stored.same.get(choice.sha256)
        # Old names are spelled `MarkupSafe-…`, those of today `markupsafe-…`, and mean the same.
        if there := same or stored.namesakes.get(_parsed(choice.filename)):
            why = "the upstream wheel" if same else "built from source under the name that the upstream wheel has"
            return decided(Action.REUSE, f"in the wheelhouse: {why}", filename=there.filename, size=there.size), None
        more = {"filename": choice.filename, "wheel": choice, "size": choice.size}
        return decided(Action.FETCH, selection.reason, **more), None
    if built := stored.built_from(choice, target, request_keys):
        reason = "in the wheelhouse: built from this source"
        return decided(Action.REUSE, reason, filename=built.filename, size=built.size), None
    keys = request_keys(choice, target)
    if not keys:
        return decided(Action.IMPOSSIBLE, why_not(choice, target) or "no engine can build it here"), None
    job = Job(source=choice, target=target, request_keys=keys)
    if cached.built_from(choice, target, request_keys):
        return decided(Action.REUSE, "built before, taken from the build cache", job=job.id), job
    return decided(Action.BUILD, selection.reason, job=job.id), job


def built_from(source: Source, target: Target, known: Iterable[K], request_keys: KeyMaker) -> list[K]:
    """The wheels built from this source with today's inputs that install on the target.

    A wheel built for another target counts when its tags fit (abi3, pure): then the key of *that* target decides.
    """
    return [
        wheel
        for wheel in known
        if wheel.source_sha256 == source.source_id
        and wheel.built_for is not None
        and target.fits(_tags(wheel.filename))
        and wheel.request_key in request_keys(source, Target.parse(wheel.built_for))
    ]


def best(wheels: Iterable[K]) -> K | None:
    """The one with the highest build tag: what an installer would take."""
    return max(wheels, key=lambda wheel: _build_tag(wheel.filename), default=None)


_parsed = cache(parse_wheel_filename)  # the wheels of one source are looked at for each of its targets


def _tags(filename: str) -> frozenset[Tag]:
    return _parsed(filename)[-1]


def _build_tag(filename: str) -> BuildTag:
    return _parsed(filename)[2]


def _predecessors(job: Job, others: Iterable[Job]) -> Iterable[str]:
    """The job of the same source and architecture for the next lower Python."""
    same = [other for other in _alike(job, others) if other.target < job.target]
    return [max(same, key=lambda other: other.target).id] if same else []


def _with_siblings(job: Job, builds: Sequence[Job]) -> Job:
    """The job with the targets of the others of its source and architecture, if it is the first that builds."""
    alike = sorted(other.target for other in _alike(job, builds))
    return replace(job, also=tuple(alike[1:])) if alike and alike[0] == job.target else job


def _alike(job: Job, others: Iterable[Job]) -> Iterable[Job]:
    """The jobs of the same source and architecture."""
    return (
        other
        for other in others
        if other.source.source_id == job.source.source_id and other.target.arch == job.target.arch
    )
