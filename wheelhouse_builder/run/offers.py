"""What the locks of a run's targets offer, after resolving where no earlier lock fits."""

from __future__ import annotations

import sysconfig
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelhouse_builder.engines.cross.interpreter import find_python
from wheelhouse_builder.errors import ResolveError
from wheelhouse_builder.events import Level, Note, RunPhase
from wheelhouse_builder.redact import redact
from wheelhouse_builder.resolve.constraints import hold_lines, idle_holds
from wheelhouse_builder.resolve.kept import lock_for
from wheelhouse_builder.resolve.selection import select
from wheelhouse_builder.resolve.uv import yank_reason
from wheelhouse_builder.resolve.withdrawn import lock_without
from wheelhouse_builder.wheelhouse.published_locks import published_versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.utils import NormalizedName

    from wheelhouse_builder.requirements.model import RequirementSet
    from wheelhouse_builder.resolve.lock import Lock
    from wheelhouse_builder.resolve.selection import Selection
    from wheelhouse_builder.resolve.uv import ResolveOptions
    from wheelhouse_builder.resolve.withdrawn import Pin
    from wheelhouse_builder.run.assembly import Run
    from wheelhouse_builder.target import Target


@dataclass(frozen=True, kw_only=True)
class Offers:
    """The selections of each target that could be resolved, and why the others could not."""

    by_target: Mapping[Target, list[Selection]]
    unresolved: Mapping[Target, ResolveError] = field(default_factory=dict)


def offers_of(run: Run, *, leaves_unresolved: bool = False) -> Offers:
    """What there is for each target; `leaves_unresolved` as for `build_run`.

    Raises `UsageError`, `ResolveError`, `MachineError` or `Cancelled`.
    """
    settings, yanks, had = run.settings, run.wheelhouse.records.yanks(), _had(run)
    run.recorder(RunPhase(phase="resolve"))

    def offered(target: Target) -> list[Selection] | ResolveError:
        try:
            return _offered(run, target, yanks, had.get(str(target), {}))
        except ResolveError as error:
            return error

    sysconfig.get_config_vars()  # filled at first use, and not by two threads at once (cpython#92452)
    with ThreadPoolExecutor() as pool:
        found = dict(zip(settings.targets, pool.map(offered, settings.targets), strict=True))
    by_target = {target: one for target, one in found.items() if not isinstance(one, ResolveError)}
    unresolved = {target: one for target, one in found.items() if isinstance(one, ResolveError)}
    if unresolved and not (leaves_unresolved and by_target):
        raise next(iter(unresolved.values()))
    if not unresolved:  # else nobody knows what all targets ask for
        for text in idle_holds(settings.hold, {one.name for selections in by_target.values() for one in selections}):
            run.recorder(Note(text=text, level=Level.WARNING))
    return Offers(by_target=by_target, unresolved=unresolved)


def _had(run: Run) -> Mapping[str, Mapping[NormalizedName, Version]]:
    """By target, what the last run had of each package: a lock that a failure keeps from being renewed is older."""
    had: dict[str, dict[NormalizedName, Version]] = defaultdict(dict)
    _, rows = run.history.last_run() or (None, ())
    for row in rows:
        if row.filename and row.version:
            had[row.target][row.name] = Version(row.version)
    return had


def _offered(
    run: Run, target: Target, yanks: Mapping[Pin, str], had: Mapping[NormalizedName, Version]
) -> list[Selection]:
    settings = run.settings
    host = find_python(target.python, settings.cache)
    options = replace(run.resolving, python=host.path if host else None)
    here = published_versions(run.wheelhouse, target, map(canonicalize_name, settings.hold))
    held = hold_lines(settings.hold, here, settings.origins.get("hold"))
    wanted = replace(run.requirements, lines=(*run.requirements.lines, *held))

    def locked(requirements: RequirementSet) -> Lock:
        return lock_for(requirements, target, options, upgrade=settings.upgrade)

    selections = list(select(lock_without(yanks, wanted, locked), options.format_control))
    before = published_versions(run.wheelhouse, target, [one.name for one in selections])
    _tell_yanked({**before, **had}, selections, target, options)
    return selections


def _tell_yanked(
    before: Mapping[NormalizedName, Version], now: list[Selection], target: Target, options: ResolveOptions
) -> None:
    """Name the versions that went back since upstream yanked the one that there was before."""
    back = [(one.name, before[one.name], one.version) for one in now if one.version and one.name in before]
    for name, old, new in back:
        if new < old and (reason := yank_reason(name, old, target, options)):
            text = f"{name} {old} is yanked upstream ({redact(reason)}): {new} is taken"
            options.listener(Note(text=text, level=Level.WARNING))
