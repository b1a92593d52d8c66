"""An explanation for machines: plain data for one JSON document. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from wheelhouse_builder.redact import redact
from wheelhouse_builder.report.as_json import verdict_data

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from wheelhouse_builder.diagnose.diagnosis import Diagnosis
    from wheelhouse_builder.explain.model import Explanation
    from wheelhouse_builder.history.model import Attempt
    from wheelhouse_builder.report.as_json import Data
    from wheelhouse_builder.wheelhouse.stored import StoredWheel


def explanations_data(explanations: Iterable[Explanation]) -> Data:
    """What is known of a package, for each target."""
    return {"explanations": [_explanation(each) for each in explanations]}


def diagnosis_data(diagnosis: Diagnosis) -> Data:
    """What a log says."""
    return {"diagnosis": {**asdict(diagnosis), "known": diagnosis.known}}


def _explanation(explanation: Explanation) -> Data:
    run, row = explanation.run, explanation.row
    return {
        "name": explanation.name,
        "version": explanation.version,
        "target": explanation.target,
        "status": explanation.status,
        "decision": row.action if row else None,
        "reason": (row.reason or None) if row else None,
        "strategy": (str(row.strategy) if row.strategy else None) if row else None,
        "message": (redact(row.message) or None) if row else None,
        "run": {"number": run.number, "command": run.command, "started": _time(run.started)} if run else None,
        "wheel": _wheel(explanation.wheel) if explanation.wheel else None,
        "made": _attempt(explanation.made),
        "failed": _attempt(explanation.failed),
        "before": _attempt(explanation.before),
        "changed": list(explanation.changed),
        "log": str(explanation.log) if explanation.log else None,
    }


def _wheel(wheel: StoredWheel) -> Data:
    return {
        "filename": wheel.filename,
        "sha256": wheel.sha256,
        "size": wheel.size,
        "origin": wheel.origin,
        "url": redact(wheel.url) if wheel.url else None,
        "engine": wheel.engine,
        "native-tools": wheel.native_tools,
        "built-for": wheel.built_for,
        "source-sha256": wheel.source_sha256,
        "request-key": wheel.request_key,
        "build-key": wheel.build_key,
        "published": _time(wheel.published_at),
        "yanked": wheel.yanked,
        "notes": list(wheel.notes),
        "verdicts": [verdict_data(verdict) for verdict in wheel.verdicts],
    }


def _attempt(attempt: Attempt | None) -> Data | None:
    if attempt is None:
        return None
    return {
        "job": attempt.job,
        "strategy": str(attempt.strategy),
        "outcome": str(attempt.outcome),
        "started": _time(attempt.started),
        "seconds": round(attempt.seconds, 3),
        "peak-memory": attempt.peak_memory,
        "inputs": dict(attempt.inputs),
        "kind": attempt.kind or None,
        "rule": attempt.rule or None,
        "message": redact(attempt.message) or None,
        "hint": redact(attempt.hint) or None,
        "lines": redact(attempt.lines) or None,
    }


def _time(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None
