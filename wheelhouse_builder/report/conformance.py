"""What `whb check` found, for people and for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.conformance.judge import score
from wheelhouse_builder.conformance.model import Level, Result
from wheelhouse_builder.report.table import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wheelhouse_builder.conformance.judge import Judged
    from wheelhouse_builder.conformance.model import Observed
    from wheelhouse_builder.report.as_json import Data

_SHOWN_FINDINGS = 3


def conformance_table(judged: Sequence[Judged]) -> str:
    """Passed of applicable, for each area and level."""
    areas = list(dict.fromkeys(item.check.area for item in judged))
    rows = [_row(area, [item for item in judged if item.check.area == area]) for area in areas]
    return render(("area", *Level), [*rows, _row("all", judged)], right=tuple(Level))


def _row(area: str, judged: Sequence[Judged]) -> tuple[str, ...]:
    scores = [score(judged, level) for level in Level]
    return (area, *(str(found) if found.applicable else "-" for found in scores))


def failures_text(judged: Sequence[Judged]) -> str:
    """Each broken sentence: what it is, where it was seen, what the specification says, with the link."""
    return "\n".join(_failure(item) for level in Level for item in judged if item.failed and item.check.level is level)


def _failure(item: Judged) -> str:
    check, outcome = item.check, item.outcome
    lines = [f"{check.level} {check.id}: {outcome.failed} of {outcome.seen} failed"]
    lines += [f"  {finding.where}\n    {finding.what}" for finding in outcome.findings[:_SHOWN_FINDINGS]]
    if outcome.failed > _SHOWN_FINDINGS:
        lines.append(f"  … and {outcome.failed - _SHOWN_FINDINGS} more")
    return "\n".join([*lines, f"  “{check.says}”", f"  {check.link}"])


def conformance_data(observed: Observed, judged: Sequence[Judged]) -> Data:
    """Everything: each check with its evidence."""
    return {
        "index": observed.base,
        "projects": len({page.name for page in observed.pages if page.name}),
        "complete": observed.complete,
        "files": len(observed.files),
        "score": {str(level): vars(score(judged, level)) for level in Level},
        "checks": [_check_data(item) for item in judged],
    }


def _check_data(item: Judged) -> Data:
    outcome = item.outcome
    data: Data = {
        "id": item.check.id,
        "level": str(item.check.level),
        "says": item.check.says,
        "link": item.check.link,
        "result": str(outcome.result),
    }
    if outcome.result is not Result.NOT_APPLICABLE:
        data |= {"seen": outcome.seen, "failed": outcome.failed}
        data["findings"] = [vars(finding) for finding in outcome.findings]
    return data
