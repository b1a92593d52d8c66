"""Tables in plain text, for people: a run's report, a plan, verdicts. Pure: values in, text out, no colour needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.plan import Action
from wheelhouse_builder.report.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wheelhouse_builder.doctor import Finding
    from wheelhouse_builder.history.estimates import Estimate
    from wheelhouse_builder.plan import Decision, Plan
    from wheelhouse_builder.report.model import Report, Row
    from wheelhouse_builder.verify.verdict import Verdict

_GAP = "  "
_UNITS = ("B", "KiB", "MiB", "GiB")


def render(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> str:
    """Columns as wide as their widest cell; those named in `right` end at the same place. No trailing space."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    flushed = [name in set(right) for name in header]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_line(cells, widths, flushed) for cells in (lines[0], rule, *lines[1:]))


def _line(cells: Sequence[str], widths: Sequence[int], flushed: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, flushed, strict=True)
    ]
    return _GAP.join(padded).rstrip()


def report_table(report: Report) -> str:
    """One line for each package and target of a run."""
    header = ("package", "version", "target", "decision", "strategy", "result", "time", "size", "verdicts")
    return render(header, map(_report_cells, report.rows), right=("time", "size"))


def _report_cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        str(row.version or ""),
        str(row.target),
        str(row.action),
        str(row.strategy or ""),
        str(row.status) if row.status is Status.READY else str(row.status).upper(),
        duration(row.seconds),
        file_size(row.size),
        ", ".join(map(verdict_word, row.verdicts)),
    )


def plan_table(plan: Plan) -> str:
    """One line for each package and target of a plan, with the reason and what a build is likely to take."""
    estimates = {job.id: job.estimate for job in plan.jobs}
    header = ("package", "version", "target", "decision", "estimate", "reason")
    return render(header, (_plan_cells(decision, estimates) for decision in plan.decisions))


def _plan_cells(decision: Decision, estimates: Mapping[str, Estimate | None]) -> tuple[str, ...]:
    name, version = decision.name, str(decision.version or "")
    known = estimates.get(decision.job or "")
    estimate = f"{duration(known.seconds)} ({known.source})" if known else "unknown"
    shown = estimate if decision.action is Action.BUILD else ""
    return (name, version, str(decision.target), str(decision.action), shown, decision.reason)


def verdict_table(verdicts: Mapping[str, Sequence[Verdict]]) -> str:
    """One line for each check of each wheel; `verdicts` is keyed by file name."""
    header = ("wheel", "target", "check", "result", "how", "environment")
    return render(header, [_verdict_cells(name, verdict) for name, found in verdicts.items() for verdict in found])


def _verdict_cells(name: str, verdict: Verdict) -> tuple[str, ...]:
    result = "ok" if verdict.passed else "FAILED"
    return (name, verdict.target, str(verdict.check), result, str(verdict.method), verdict.environment)


def findings_table(findings: Iterable[Finding]) -> str:
    """One line for each thing that the doctor looked at."""
    return render(("state", "what", "detail"), [(str(item.state), item.name, item.detail) for item in findings])


def verdict_word(verdict: Verdict) -> str:
    """`loader ok`, `import ok (qemu)`, `import FAILED (native)`"""
    result = "ok" if verdict.passed else "FAILED"
    return f"{verdict.check} {result}" + ("" if verdict.method == "static" else f" ({verdict.method})")


def summary(report: Report) -> str:
    """What a run came to, in one line: `11 of 12 ready (4 built, 5 fetched, 2 reused) in 3 min 05 s`."""
    ready = [row for row in report.rows if row.status is Status.READY]
    done = {"build": "built", "fetch": "fetched", "reuse": "reused"}
    counted = [(sum(row.action == action for row in ready), word) for action, word in done.items()]
    parts = [f"{number} {word}" for number, word in counted if number]
    text = f"{len(ready)} of {len(report.rows)} ready" + (f" ({', '.join(parts)})" if parts else "")
    first = unresolved_targets(report)
    return f"{first}; {text} in {duration(report.seconds)}" if first else f"{text} in {duration(report.seconds)}"


def unresolved_targets(report: Report) -> str:
    """`2 targets unresolved`; empty where there is none."""
    number = len(report.unresolved)
    return f"{number} target{'s' if number > 1 else ''} unresolved" if number else ""


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`; empty for None."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def file_size(size: int | None) -> str:
    """`312 B`, `1.4 MiB`; empty for None."""
    if size is None:
        return ""
    power = min((max(size, 1).bit_length() - 1) // 10, len(_UNITS) - 1)
    return f"{size / 1024**power:.1f} {_UNITS[power]}" if power else f"{size} B"
