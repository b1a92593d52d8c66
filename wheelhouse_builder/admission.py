"""Admission: what passed every check goes into the wheelhouse, with its evidence; nothing unproved does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import JobError, WhbError
from wheelhouse_builder.tasks import Ended, Provided, Tasks, verdicts_of
from wheelhouse_builder.wheelhouse.store import record_of
from wheelhouse_builder.wheelhouse.stored import StoredWheel

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from wheelhouse_builder.builds import Build
    from wheelhouse_builder.verify.verdict import Check, Verdict

Admitted = Mapping[str, StoredWheel | WhbError]  # by the id of the task that gave the wheel


def admit_all(tasks: Tasks, ended: Ended) -> Admitted:
    """Take in each wheel that every target that it is for can load and import; under the wheelhouse's lock.

    One wheel may come from several tasks (abi3): it is judged, and admitted, once.
    """
    providers: dict[Path, set[str]] = defaultdict(set)
    evidence: dict[Path, list[Verdict]] = defaultdict(list)
    for decision in tasks.plan.decisions:
        provider = tasks.provider(decision)
        provided = ended[provider] if provider else None
        if provider and isinstance(provided, Provided):
            providers[provided.path].add(provider)
            evidence[provided.path] += verdicts_of(provided, decision.target, ended)
    admitted: dict[str, StoredWheel | WhbError] = {}
    for path, names in providers.items():
        if all(verdict.passed for verdict in evidence[path]):
            provided = ended[next(iter(names))]
            assert isinstance(provided, Provided)
            admitted |= dict.fromkeys(names, _admit(provided, evidence[path], tasks))
    return admitted


def _admit(provided: Provided, verdicts: list[Verdict], tasks: Tasks) -> StoredWheel | WhbError:
    wheelhouse = tasks.wheelhouse
    if provided.path.parent == wheelhouse.root:  # it was there, and was looked at for one more target
        record = tasks.stored[provided.path.name]
        merged = _merged(record.verdicts, verdicts)
        wheelhouse.records.set_verdicts(record.filename, merged)
        return replace(record, verdicts=merged)
    try:
        record = record_of(provided.path, **_making(provided))
        known = _known(record, provided.build, tasks.stored.values())
        log = tasks.pipeline.builds.log(provided.build) if provided.build else None
        return wheelhouse.admit(provided.path, replace(record, verdicts=_merged(known, verdicts)), log=log)
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


def _known(record: StoredWheel, build: Build | None, stored: Iterable[StoredWheel]) -> tuple[Verdict, ...]:
    """The evidence that the wheelhouse has of the same wheel; a build may be there under a name with a build tag."""
    for other in stored:
        if other.sha256 == record.sha256 or (build and other.build_key == build.build_key):
            return other.verdicts
    return ()


def _merged(old: Iterable[Verdict], new: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """New verdicts over old ones: one for each target and check."""
    merged: dict[tuple[str, Check], Verdict] = {(v.target, v.check): v for v in (*old, *new)}
    return tuple(merged.values())
