"""What commands say to machines: reports, plans and the rest as plain data, to be written as one JSON document.

`schema` names the shape and its version: a key may be added within a version; one that goes or changes its meaning
makes a new version.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from wheelhouse_builder.redact import redact
from wheelhouse_builder.report.critical_path import critical_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from wheelhouse_builder.doctor import Finding
    from wheelhouse_builder.errors import WhbError
    from wheelhouse_builder.plan import Decision, Job, Plan
    from wheelhouse_builder.report.model import Changes, Report, Row
    from wheelhouse_builder.report.spans import Span
    from wheelhouse_builder.schedule.forecast import Forecast
    from wheelhouse_builder.verify.verdict import Verdict
    from wheelhouse_builder.wheelhouse.generations import Generation
    from wheelhouse_builder.wheelhouse.retention import Garbage
    from wheelhouse_builder.wheelhouse.store import Wheelhouse

Data = dict[str, object]


def dump(kind: str, content: Mapping[str, object]) -> str:
    """One document. What kinds there are, and which command prints which: docs/reference/commands.md."""
    return json.dumps({"schema": f"whb.{kind}/1", **content}, indent=2)


def report_data(report: Report) -> Data:
    """A whole run (docs/reference/report.schema.json). Messages and lines of logs hold nothing secret."""
    return {
        "command": report.command,
        "wheelhouse": str(report.wheelhouse),
        "generation": report.generation,
        "changed": report.changed,
        "started": _time(report.started),
        "seconds": round(report.seconds, 3),
        "rows": [_row(row) for row in report.rows],
        "changes": None if report.changes is None else _changes(report.changes),
        "retired": [asdict(retired) | {"reason": redact(retired.reason)} for retired in report.retired],
        "unresolved": [
            {"target": str(target), "message": redact(error.message), "hint": redact(error.hint or "") or None}
            for target, error in report.unresolved.items()
        ],
        "warnings": [redact(warning) for warning in report.warnings],
        "spans": [_span(span) for span in report.spans],
        "critical-path": [
            {"span": step.span.id, "because": _text(step.because)} for step in critical_path(report.spans)
        ],
        **(error_data(report.error) if report.error else {"error": None}),
    }


def _changes(changes: Changes) -> Data:
    return {
        "since": _time(changes.since),
        "seconds": round(changes.seconds, 3),
        "size": changes.size,
        "items": [{**asdict(change), "kind": str(change.kind), "good": _time(change.good)} for change in changes.items],
        "before": [
            {"name": name, "target": target, "size": before.size, "seconds": _seconds(before.seconds)}
            for (name, target), before in changes.before.items()
        ],
    }


def _span(span: Span) -> Data:
    return {
        "id": span.id,
        "title": span.title,
        "lane": span.lane,
        "start": round(span.start, 3),
        "end": round(span.end, 3),
        "outcome": str(span.outcome),
        "phases": [{"phase": phase, "start": round(start, 3)} for phase, start in span.phases],
        "after": list(span.after),
    }


def _row(row: Row) -> Data:
    return {
        "name": row.name,
        "version": _text(row.version),
        "target": str(row.target),
        "decision": str(row.action),
        "reason": row.reason,
        "status": str(row.status),
        "filename": row.filename,
        "size": row.size,
        "strategy": _text(row.strategy),
        "engine": row.engine,
        "native-tools": row.native_tools,
        "seconds": _seconds(row.seconds),
        "verdicts": [verdict_data(verdict) for verdict in row.verdicts],
        "message": redact(row.message) or None,
        "hint": redact(row.hint) or None,
        "log": _text(row.log),
        "tail": redact(row.tail) or None,
        "kind": row.kind or None,
        "blocked-by": list(row.blocked_by),
    }


def plan_data(plan: Plan, forecast: Forecast) -> Data:
    """A plan: decisions and the jobs that they need, and how long its builds will take."""
    return {
        "targets": [str(target) for target in plan.targets],
        "decisions": [_decision(decision) for decision in plan.decisions],
        "jobs": [_job(job) for job in plan.jobs],
        "retiring": [{"filename": filename, "reason": why} for filename, why in sorted(plan.retiring.items())],
        "seconds": round(forecast.seconds, 3),
        "unknown": forecast.unknown,
    }


def _job(job: Job) -> Data:
    return {
        "id": job.id,
        "name": job.source.name,
        "target": str(job.target),
        "keys": job.request_keys,
        "after": job.after,
        "seconds": round(job.estimate.seconds, 3) if job.estimate else None,
        "estimate": job.estimate.source if job.estimate else None,
    }


def _decision(decision: Decision) -> Data:
    return {
        "name": decision.name,
        "version": _text(decision.version),
        "target": str(decision.target),
        "decision": str(decision.action),
        "reason": decision.reason,
        "filename": decision.filename,
        "job": decision.job,
        "size": decision.size,
    }


def verdicts_data(verdicts: Mapping[str, Sequence[Verdict]]) -> Data:
    """Checks of wheels, by file name."""
    return {"wheels": {name: [verdict_data(verdict) for verdict in found] for name, found in verdicts.items()}}


def verdict_data(verdict: Verdict) -> Data:
    """One check."""
    return {
        "check": str(verdict.check),
        "target": verdict.target,
        "method": str(verdict.method),
        "environment": verdict.environment,
        "passed": verdict.passed,
        "problems": verdict.problems,
        "notes": verdict.notes,
    }


def findings_data(findings: Sequence[Finding]) -> Data:
    """What the doctor found."""
    return {"findings": [{**asdict(finding), "state": str(finding.state)} for finding in findings]}


def published_data(wheelhouse: Wheelhouse, generation: Generation | None, *, changed: bool) -> Data:
    """What is in force after a command that publishes, rolls back or yanks."""
    number = generation.number if generation else None
    return {"wheelhouse": str(wheelhouse.root), "generation": number, "changed": changed}


def generations_data(wheelhouse: Wheelhouse, generations: Sequence[Generation], current: Generation | None) -> Data:
    """The generations that are kept."""
    listed = [
        {
            "number": generation.number,
            "published": _time(generation.published),
            "current": generation == current,
        }
        for generation in generations
    ]
    return {"wheelhouse": str(wheelhouse.root), "generations": listed}


def garbage_data(wheelhouse: Wheelhouse, garbage: Garbage, *, removed: bool) -> Data:
    """What goes, or would go."""
    return {
        "wheelhouse": str(wheelhouse.root),
        "removed": removed,
        "generations": [generation.number for generation in garbage.generations],
        "files": [path.name for path in garbage.files],
        "records": list(garbage.records),
        "bytes": garbage.size,
    }


def error_data(error: WhbError) -> Data:
    """An error that ended the run."""
    hint = redact(error.hint) if error.hint else None
    return {"error": {"message": redact(error.message), "hint": hint, "exit_code": error.exit_code}}


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _time(value: datetime | None) -> str | None:
    return None if value is None else f"{value:%Y-%m-%dT%H:%M:%SZ}"


def _text(value: object) -> str | None:
    return None if value is None else str(value)
