"""The failures of a run as a CI service shows them beside it: few, since it shows but some. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from wheelhouse_builder.report.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wheelhouse_builder.report.model import Report, Row


def errors_for_ci(report: Report) -> Iterator[tuple[str, str]]:
    """Title and text of each target that is unresolved, and of each failure: one for all targets where it is alike.

    What is only blocked is not among them: there the failure is another's.
    """
    for target, error in report.unresolved.items():
        yield f"{target} unresolved", "\n".join(filter(None, (error.message, error.hint)))
    alike: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in report.failed:
        if row.status is not Status.BLOCKED:
            alike[row.name, row.version, row.status, row.kind or row.message].append(row)
    for first, *others in alike.values():
        name = f"{first.name} {first.version}" if first.version else first.name
        targets = ", ".join(str(row.target) for row in (first, *others))
        title = f"{name} {first.status}" + (f", {first.kind}" if first.kind else "")
        yield title, "\n".join(filter(None, (first.message or first.reason, first.hint, f"targets: {targets}")))
