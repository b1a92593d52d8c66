"""An explanation for people. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.redact import redact
from wheelhouse_builder.report.changes import shortened
from wheelhouse_builder.report.table import duration, file_size, verdict_word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wheelhouse_builder.diagnose.diagnosis import Diagnosis
    from wheelhouse_builder.explain.model import Explanation
    from wheelhouse_builder.history.model import Attempt
    from wheelhouse_builder.wheelhouse.stored import StoredWheel

_LABEL = 12  # characters


def explanation_text(explanation: Explanation) -> str:
    """A title, and what is known line by line."""
    return "\n".join([f"{explanation.title}: {explanation.status}", *_aligned(_facts(explanation))])


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """What a log says: the cause, what to do, and the lines that decide with their numbers."""
    facts = [("cause", diagnosis.cause), ("class", diagnosis.kind), ("what to do", diagnosis.remedy)]
    facts += [("see", diagnosis.thread or ""), ("rule", diagnosis.rule)]
    numbered = "\n".join(f"{line.number or '':>6}  {line.text}".rstrip() for line in diagnosis.excerpt)
    return "\n".join(_aligned([*facts, ("lines", numbered)]))


def _aligned(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Labels to the left; what has several lines is indented below the first."""
    for label, value in facts:
        first, *rest = redact(value).splitlines() or [""]
        if first or rest:
            yield f"  {label:{_LABEL}}{first}"
            yield from (f"  {'':{_LABEL}}{line}" for line in rest)


def _facts(explanation: Explanation) -> Iterator[tuple[str, str]]:
    run, row = explanation.run, explanation.row
    if run and row:
        yield "decision", f"{row.action}: {row.reason}" if row.reason else row.action
        yield "strategy", str(row.strategy or "")
        yield "run", f"{run.number}, whb {run.command}, {run.started:%Y-%m-%d %H:%M UTC}"
    if explanation.failed or (row and row.message):
        yield from _failure(explanation)
    if explanation.wheel:
        yield from _wheel(explanation.wheel, explanation.made)
    yield from _inputs(explanation)


def _failure(explanation: Explanation) -> Iterator[tuple[str, str]]:
    failed, row = explanation.failed, explanation.row
    yield "failed", (row.message if row else "") or (failed.message if failed else "")
    yield "class", (row.kind if row else "") or (failed.kind if failed else "")
    if failed is None:
        return
    yield "what to do", failed.hint
    yield "lines", failed.lines
    yield "tried", f"{failed.started:%Y-%m-%d %H:%M UTC}, by {failed.strategy}, {_took(failed)}"
    if explanation.log:
        yield "log", str(explanation.log)


def _wheel(wheel: StoredWheel, made: Attempt | None) -> Iterator[tuple[str, str]]:
    published = f", published {wheel.published_at:%Y-%m-%d %H:%M UTC}" if wheel.published_at else ""
    yield "wheel", f"{wheel.filename}, {file_size(wheel.size)}{published}"
    if wheel.yanked is not None:
        yield "yanked", wheel.yanked
    yield "origin", _origin(wheel)
    if made:
        yield "built", f"{made.started:%Y-%m-%d %H:%M UTC}, by {made.strategy}, {_took(made)}"
    yield "ran native", wheel.native_tools or ""
    yield "source", f"sha256 {wheel.source_sha256}" if wheel.source_sha256 else ""
    yield "build key", wheel.build_key or ""
    yield (
        "verdicts",
        "\n".join(f"{verdict_word(verdict)} for {verdict.target}: {verdict.environment}" for verdict in wheel.verdicts),
    )
    yield "notes", "\n".join(wheel.notes)


def _origin(wheel: StoredWheel) -> str:
    if wheel.origin == "built":
        engine = f" by the {wheel.engine} engine" if wheel.engine else ""
        return f"built{engine} for {wheel.built_for}" if wheel.built_for else f"built{engine}"
    return f"{wheel.origin} from {wheel.url}" if wheel.url else wheel.origin


def _took(attempt: Attempt) -> str:
    memory = f", at most {file_size(attempt.peak_memory)} of memory" if attempt.peak_memory else ""
    return f"in {duration(attempt.seconds)}{memory}"


def _inputs(explanation: Explanation) -> Iterator[tuple[str, str]]:
    yield (
        "inputs",
        "\n".join(f"{name}: {shortened(', '.join(value.splitlines()))}" for name, value in explanation.inputs.items()),
    )
    before = explanation.before
    if before:
        changed = "\n".join(explanation.changed) or "nothing"
        yield "changed", f"since the good build of {before.started:%Y-%m-%d %H:%M UTC}:\n{changed}"
