"""Admission: what passed every check goes into the wheelhouse, with its evidence; nothing unproved does."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import JobError, WhbError
from wheelhouse_builder.tasks import Provided, Tasks, verdicts_of
from wheelhouse_builder.wheelhouse.store import record_of
from wheelhouse_builder.wheelhouse.stored import StoredWheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

    from wheelhouse_builder.target import Target
    from wheelhouse_builder.tasks import Blocked, Ended
    from wheelhouse_builder.verify.verdict import Check, Verdict


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What came of the wheels that tasks gave."""

    wheels: Mapping[str, StoredWheel | WhbError]  # what was admitted, by the id of the task that gave the wheel
    blocked: Mapping[Target, Blocked]  # by target that a wheel came for: what lacks something that it needs there


def admit_all(tasks: Tasks, ended: Ended) -> Admission:
    """Take in each wheel that every target that it is for can load and import; under the wheelhouse's lock.

    A target where something that the wheel needs is not there does not count; one where that is there must be left. One
    wheel may come from several tasks (abi3): it is judged, and admitted, once.
    """
    offers = list(_offers(tasks, ended))
    targets = {offer.target for offer in offers}
    first = _blocked(tasks, ended, targets, [offer for offer in offers if offer.fails])
    refused = {offer.provided.path for offer in offers if offer.fails and offer.name not in first[offer.target]}
    failing = [offer for offer in offers if offer.fails or offer.provided.path in refused]
    blocked = _blocked(tasks, ended, targets, failing)
    usable: dict[Path, list[_Offer]] = defaultdict(list)
    for offer in offers:
        if offer.provided.path not in refused and offer.name not in blocked[offer.target]:
            usable[offer.provided.path].append(offer)
    admitted: dict[str, StoredWheel | WhbError] = {}
    known = {key: wheel for wheel in tasks.stored.values() for key in _content(wheel)}
    for found in usable.values():
        verdicts = [verdict for offer in found for verdict in offer.verdicts]
        wheel = _admit(found[0].provided, verdicts, known, tasks)
        admitted |= dict.fromkeys([offer.provider for offer in found], wheel)
        if isinstance(wheel, StoredWheel):  # two builds (of a pure project, for two architectures) may give one wheel
            known |= dict.fromkeys(_content(wheel), wheel)
    return Admission(wheels=admitted, blocked=blocked)


@dataclass(frozen=True, kw_only=True)
class _Offer:
    """A wheel that came for one target."""

    name: NormalizedName
    target: Target
    provider: str  # the id of its task
    provided: Provided
    verdicts: tuple[Verdict, ...]
    judged: bool  # an import check that could not be done says nothing of a wheel, though the wheel does not pass it

    @property
    def fails(self) -> bool:
        return not all(verdict.passed for verdict in self.verdicts)


def _offers(tasks: Tasks, ended: Ended) -> Iterator[_Offer]:
    for decision in tasks.plan.decisions:
        provider, target = tasks.provider(decision), decision.target
        provided = ended[provider] if provider else None
        if provider and isinstance(provided, Provided):
            yield _Offer(
                name=decision.name,
                target=target,
                provider=provider,
                provided=provided,
                verdicts=verdicts_of(provided, target, ended),
                judged=not isinstance(ended.get(tasks.import_task(target)), WhbError),
            )


def _blocked(tasks: Tasks, ended: Ended, targets: Iterable[Target], failed: Iterable[_Offer]) -> dict[Target, Blocked]:
    names: dict[Target, set[NormalizedName]] = defaultdict(set)
    for offer in filter(lambda offer: offer.judged, failed):
        names[offer.target].add(offer.name)
    return {target: tasks.blocked(target, ended, names[target]) for target in targets}


def _admit(
    provided: Provided, verdicts: list[Verdict], known: Mapping[str, StoredWheel], tasks: Tasks
) -> StoredWheel | WhbError:
    wheelhouse = tasks.wheelhouse
    if provided.path.parent == wheelhouse.root:  # it was there, and was looked at for one more target
        record = tasks.stored[provided.path.name]
        merged = _merged(record.verdicts, verdicts)
        wheelhouse.records.set_verdicts(record.filename, merged)
        return replace(record, verdicts=merged)
    try:
        record = record_of(provided.path, **_making(provided))
        same = next((known[key] for key in _content(record) if key in known), None)
        evidence = same.verdicts if same else ()
        log = tasks.pipeline.builds.log(provided.build) if provided.build else None
        return wheelhouse.admit(provided.path, replace(record, verdicts=_merged(evidence, verdicts)), log=log)
    except JobError as error:
        return error


def _making(provided: Provided) -> dict[str, object]:
    """The fields of a record that say how the wheel was had."""
    if provided.build is None:
        return {"origin": "fetched", "url": provided.url}
    build = provided.build
    return {
        "origin": "built",
        "source_sha256": build.source_sha256,
        "request_key": build.request_key,
        "build_key": build.build_key,
        "built_for": build.built_for,
        "engine": build.engine,
        "native_tools": build.native_tools,
        "seconds": build.seconds,
        "project_keys": ((build.project_key, build.built_for),) if build.project_key else (),
    }


def _content(wheel: StoredWheel) -> Iterator[str]:
    """What a wheel is known by; what a build gave may be there under a name with a build tag."""
    yield wheel.sha256
    if wheel.build_key:
        yield wheel.build_key


def _merged(old: Iterable[Verdict], new: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """New verdicts over old ones: one for each target and check."""
    merged: dict[tuple[str, Check], Verdict] = {(v.target, v.check): v for v in (*old, *new)}
    return tuple(merged.values())
