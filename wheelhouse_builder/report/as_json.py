"""The same for machines: plain data, to be written as one JSON document.

`schema` names the shape and its version: a key may be added within a version; one that goes or changes its meaning
makes a new version.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wheelhouse_builder.doctor import Finding
    from wheelhouse_builder.errors import WhbError
    from wheelhouse_builder.plan import Decision, Plan
    from wheelhouse_builder.report.model import Report, Row
    from wheelhouse_builder.verify.verdict import Verdict
    from wheelhouse_builder.wheelhouse.generations import Generation
    from wheelhouse_builder.wheelhouse.retention import Garbage
    from wheelhouse_builder.wheelhouse.store import Wheelhouse

Data = dict[str, object]


def dump(kind: str, content: Mapping[str, object]) -> str:
    """One document. What kinds there are, and which command prints which: docs/reference/commands.md."""
    return json.dumps({"schema": f"whb.{kind}/1", **content}, indent=2)


def report_data(report: Report) -> Data:
    """A whole run."""
    return {
        "wheelhouse": str(report.wheelhouse),
        "generation": report.generation,
        "changed": report.changed,
        "seconds": round(report.seconds, 3),
        "rows": [_row(row) for row in report.rows],
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
        "engine": row.engine,
        "native-tools": row.native_tools,
        "seconds": None if row.seconds is None else round(row.seconds, 3),
        "verdicts": [verdict_data(verdict) for verdict in row.verdicts],
        "message": row.message or None,
        "hint": row.hint or None,
        "log": _text(row.log),
        "tail": row.tail or None,
        "kind": row.kind or None,
    }


def plan_data(plan: Plan) -> Data:
    """A plan: decisions and the jobs that they need."""
    jobs = [
        {"id": job.id, "name": job.source.name, "target": str(job.target), "keys": job.request_keys, "after": job.after}
        for job in plan.jobs
    ]
    return {
        "targets": [str(target) for target in plan.targets],
        "decisions": [_decision(decision) for decision in plan.decisions],
        "jobs": jobs,
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
            "published": f"{generation.published:%Y-%m-%dT%H:%M:%SZ}",
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
    return {"error": {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}}


def _text(value: object) -> str | None:
    return None if value is None else str(value)
