"""What the wheelhouse and its history know of a subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.explain.model import Explanation
from wheelhouse_builder.history.model import AttemptOutcome
from wheelhouse_builder.report.model import Status
from wheelhouse_builder.settings.kinds import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from wheelhouse_builder.explain.subject import Subject
    from wheelhouse_builder.history.model import Attempt, PastRow, RunRecord
    from wheelhouse_builder.history.store import History
    from wheelhouse_builder.wheelhouse.store import Wheelhouse
    from wheelhouse_builder.wheelhouse.stored import StoredWheel

    Run = tuple[RunRecord, Sequence[PastRow]]

_RUNS = 20  # that are searched for one that was asked for a package


def gather(subject: Subject, wheelhouse: Wheelhouse, history: History) -> tuple[Explanation, ...]:
    """What is known of it, for each target. Raises `UsageError` when nothing is, `DamagedError`."""
    if not wheelhouse.state.is_dir():
        raise UsageError(f"{wheelhouse.root} is no wheelhouse", hint="--wheelhouse names another")
    wheels = wheelhouse.wheels()
    attempts = history.attempts(job=subject.job) if subject.job else ()
    wheel = next((wheel for wheel in wheels if wheel.filename == subject.wheel), None)
    name = subject.name or (wheel.name if wheel else None) or next((each.name for each in attempts), None)
    if name is None:
        raise _unknown(str(subject.wheel or subject.job), wheelhouse, [])
    package = _Package(
        wheels=[each for each in wheels if each.name == name],
        attempts=history.attempts(name=name),
        run=_last_run_of(name, history),
        logs=wheelhouse.attempt_log_folder,
    )
    found = [each for each in package.explanations() if _is_meant(each, subject, attempts)]
    if not found:
        raise _unknown(f"{name}=={subject.version}" if subject.version else name, wheelhouse, [w.name for w in wheels])
    return tuple(found)


def _is_meant(explanation: Explanation, subject: Subject, attempts: Sequence[Attempt]) -> bool:
    if subject.wheel:
        return explanation.wheel is not None and explanation.wheel.filename == subject.wheel
    if subject.job:
        return (explanation.target, explanation.version) in {(each.target, each.version) for each in attempts}
    return subject.version is None or explanation.version == str(subject.version)


def _unknown(what: str, wheelhouse: Wheelhouse, names: Iterable[str]) -> UsageError:
    elsewhere = "`whb plan` explains what a build would do; --wheelhouse names another"
    hint = did_you_mean(what, sorted(set(names))) or elsewhere
    return UsageError(f"{wheelhouse.root} knows nothing of {what}", hint=hint)


def _last_run_of(name: NormalizedName, history: History) -> Run | None:
    """The newest run that was asked for the package, with its rows."""
    before: int | None = None
    for _ in range(_RUNS):
        last = history.last_run(before=before)
        if last is None:
            return None
        rows = [row for row in last[1] if row.name == name]
        if rows:
            return last[0], rows
        before = last[0].number
    return None


@dataclass(frozen=True, kw_only=True)
class _Package:
    """All that is known of one package."""

    wheels: Sequence[StoredWheel]
    attempts: Sequence[Attempt]  # the newest first
    run: Run | None
    logs: Path

    def explanations(self) -> Iterator[Explanation]:
        """What the last run was asked for, target by target; then the wheels that it did not take."""
        taken: set[str | None] = set()
        record, rows = self.run or (None, ())
        for row in rows:
            taken.add(row.filename)
            wheel = next((wheel for wheel in self.wheels if wheel.filename == row.filename), None)
            yield self._explanation(row.version, row.target, wheel, record, row)
        for attempt in self._tried_elsewhere({(row.version, row.target) for row in rows}):
            yield self._explanation(attempt.version, attempt.target, None, None, None)
        for wheel in self.wheels:
            if wheel.filename not in taken:
                yield self._explanation(str(wheel.version), wheel.built_for, wheel, None, None)

    def _tried_elsewhere(self, known: set[tuple[str | None, str]]) -> Iterator[Attempt]:
        """The last try of each version and target that failed, and that the last run was not asked for."""
        have = {(str(wheel.version), wheel.built_for) for wheel in self.wheels}
        for attempt in self.attempts:
            pair = (attempt.version, attempt.target)
            if pair not in known and pair not in have and attempt.outcome is not AttemptOutcome.BUILT:
                known.add(pair)
                yield attempt

    def _explanation(
        self,
        version: str | None,
        target: str | None,
        wheel: StoredWheel | None,
        run: RunRecord | None,
        row: PastRow | None,
    ) -> Explanation:
        mine = [each for each in self.attempts if each.target == (wheel.built_for if wheel else target)]
        made = _first(mine, lambda each: wheel is not None and _made(each, wheel))
        failed = None
        if not wheel or (row and row.status != Status.READY):
            failed = _first(mine, lambda each: each.version == version and each.outcome is not AttemptOutcome.BUILT)
        last = failed or made
        older = mine[mine.index(last) + 1 :] if last else []
        return Explanation(
            name=row.name if row else wheel.name if wheel else mine[0].name,
            version=version,
            target=target,
            run=run,
            row=row,
            wheel=wheel,
            made=made,
            failed=failed,
            before=_first(older, lambda each: each.outcome is AttemptOutcome.BUILT),
            log=self._log(failed),
        )

    def _log(self, attempt: Attempt | None) -> Path | None:
        log = self.logs / attempt.log if attempt and attempt.log else None
        return log if log and log.is_file() else None


def _made(attempt: Attempt, wheel: StoredWheel) -> bool:
    """Whether it is what made the wheel; its size tells it from a later build of the same version."""
    return (
        attempt.outcome is AttemptOutcome.BUILT
        and attempt.version == str(wheel.version)
        and attempt.size in (None, wheel.size)
    )


def _first(attempts: Iterable[Attempt], holds: Callable[[Attempt], bool]) -> Attempt | None:
    return next((attempt for attempt in attempts if holds(attempt)), None)
