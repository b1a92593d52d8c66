"""From what a run decided and what came of it to the rows of its report. Pure."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from wheelhouse_builder.artifact import parse_wheel_name
from wheelhouse_builder.diagnose.diagnosis import diagnose
from wheelhouse_builder.errors import JobError, WhbError
from wheelhouse_builder.plan import Action, Decision
from wheelhouse_builder.report.model import Row, Status
from wheelhouse_builder.strategy import Strategy
from wheelhouse_builder.tasks import Ended, Provided, Tasks, verdicts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packaging.utils import NormalizedName

    from wheelhouse_builder.admission import Admission
    from wheelhouse_builder.verify.verdict import Verdict
    from wheelhouse_builder.wheelhouse.stored import StoredWheel


def make_row(decision: Decision, tasks: Tasks, ended: Ended, admission: Admission, seconds: Mapping[str, float]) -> Row:
    """The row of one decision. `seconds` is the wall time of each task."""
    provider = tasks.provider(decision)
    if decision.action is Action.IMPOSSIBLE:
        return _impossible(decision)
    if provider is None:
        return _ready(decision, tasks.stored[str(decision.filename)], Strategy.WHEELHOUSE, None)
    result = ended[provider]
    if isinstance(result, WhbError):
        return _failed(decision, result, seconds.get(provider))
    assert isinstance(result, Provided)
    if lacking := admission.blocked[decision.target].get(decision.name):
        return _blocked(decision, lacking, seconds.get(provider))
    stored = admission.wheels.get(provider)
    if stored is None:
        return _unproved(decision, verdicts_of(result, decision.target, ended), seconds.get(provider))
    if isinstance(stored, WhbError):
        return _failed(decision, stored, seconds.get(provider))
    return _ready(decision, stored, strategy_of(result), seconds.get(provider))


def strategy_of(provided: Provided) -> Strategy | None:
    """How a run came to a wheel; None for one that a whb without a ladder built in a container."""
    build = provided.build
    if build is None and provided.url is None:
        return Strategy.WHEELHOUSE
    if all(tag.platform == "any" for tag in parse_wheel_name(provided.path.name)[-1]):
        return Strategy.PURE
    return build.rung if build else Strategy.UPSTREAM


def _impossible(decision: Decision) -> Row:
    known = diagnose(io.BytesIO(), message=decision.reason)
    hint = known.remedy if known.known else ""
    return _row(decision, Status.IMPOSSIBLE, message=decision.reason, hint=hint, kind=known.kind)


def _ready(decision: Decision, stored: StoredWheel, strategy: Strategy | None, seconds: float | None) -> Row:
    if decision.version is None:  # of a local project: its wheel says it
        decision = replace(decision, version=parse_wheel_name(stored.filename)[1])
    verdicts = tuple(verdict for verdict in stored.verdicts if verdict.target == str(decision.target))
    return _row(
        decision,
        Status.READY,
        filename=stored.filename,
        size=stored.size,
        strategy=strategy,
        engine=stored.engine,
        native_tools=stored.native_tools,
        seconds=seconds,
        verdicts=verdicts,
    )


def _failed(decision: Decision, error: WhbError, seconds: float | None) -> Row:
    log, tail = (error.log, error.tail) if isinstance(error, JobError) else (None, "")
    return _row(
        decision,
        Status.FAILED,
        seconds=seconds,
        message=error.message,
        hint=error.hint or "",
        log=log,
        tail=tail,
        kind=error.kind,
    )


def _blocked(decision: Decision, lacking: Sequence[NormalizedName], seconds: float | None) -> Row:
    """A wheel that nobody can use yet. What it lacks has a row of its own, which says why."""
    message = f"blocked by {', '.join(lacking)}; the wheel is kept, and taken in when that is there"
    return _row(decision, Status.BLOCKED, seconds=seconds, message=message, blocked_by=tuple(lacking))


def _unproved(decision: Decision, verdicts: tuple[Verdict, ...], seconds: float | None) -> Row:
    """A wheel that was had but does not load or import, here or (abi3, pure) on another target."""
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    return _row(
        decision,
        Status.FAILED,
        seconds=seconds,
        verdicts=verdicts,
        message=problems[0] if problems else "the same wheel fails on another target of this run",
        hint="the wheel is not published",
        tail="\n".join(problems),
        kind="would-not-load",
    )


def _row(decision: Decision, status: Status, **more: object) -> Row:
    return Row(
        name=decision.name,
        version=decision.version,
        target=decision.target,
        action=decision.action,
        reason=decision.reason,
        status=status,
        **more,  # type: ignore[arg-type]  # the other fields, by name
    )
