"""Reports of runs for tests, made by hand: small ones, and one as a company's night has it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelhouse_builder.events import Outcome
from wheelhouse_builder.history.model import Attempt, AttemptOutcome, PastRow, RunOutcome, RunRecord
from wheelhouse_builder.plan import Action
from wheelhouse_builder.report.changes import compare
from wheelhouse_builder.report.model import Report, Retired, Row, Status
from wheelhouse_builder.report.spans import RUN_LANE, Span
from wheelhouse_builder.strategy import Strategy
from wheelhouse_builder.target import Target
from wheelhouse_builder.verify.verdict import Check, Method, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGAN = datetime(2026, 11, 29, 3, 0, 12, tzinfo=UTC)
LAST = BEGAN - timedelta(days=1)
TARGETS = tuple(
    Target.parse(f"cp{python}-musllinux_1_2_{arch}") for python in (311, 312, 313) for arch in ("x86_64", "aarch64")
)
AMD, ARM = TARGETS[2], TARGETS[3]
TRICK = '<img src=x onerror="document.title=1"> "quoted" & \'all\' | `code` [link](javascript:1)'


def row(name: str = "demo", target: Target = ARM, status: Status = Status.READY, **more: object) -> Row:
    """A row; what is ready was built unless something else is said."""
    ready = status is Status.READY
    base: dict[str, object] = {
        "name": canonicalize_name(name),
        "version": Version("1.0"),
        "target": target,
        "action": Action.BUILD,
        "reason": "no upstream wheel fits",
        "status": status,
        "filename": f"{name}-1.0-{target.interpreter}-{target}.whl" if ready else None,
        "size": 400_000 if ready else None,
        "strategy": Strategy.CROSS if ready else None,
        "seconds": 12.0,
        "verdicts": _verdicts(target) if ready else (),
    }
    return Row(**(base | more))  # type: ignore[arg-type]  # the fields, by name


def _verdicts(target: Target) -> tuple[Verdict, ...]:
    return (
        Verdict(check=Check.LOADER, target=str(target), method=Method.STATIC, environment="musl 1.2.2"),
        Verdict(check=Check.IMPORT, target=str(target), method=Method.QEMU, environment="docker python:3.12-alpine"),
    )


def failed(name: str = "broken", target: Target = ARM, **more: object) -> Row:
    """A row of a package whose build lacked a header."""
    lines = "cc -c Modules/LDAPObject.c\nModules/common.h:15:10: fatal error: lber.h: No such file or directory"
    base: dict[str, object] = {
        "kind": "missing-library",
        "message": "building failed: the header lber.h is missing",
        "hint": "name the library in a recipe: libraries = ['openldap']",
        "log": Path(f"/w/.whb/logs/{name}-1.0-{target}.log"),
        "tail": lines,
    }
    return row(name, target, **({"status": Status.FAILED} | base | more))  # type: ignore[arg-type]  # likewise


def past(now: Row, **more: object) -> PastRow:
    """The same row in an earlier run, as it was there if nothing else is said."""
    base: dict[str, object] = {
        "name": now.name,
        "version": str(now.version) if now.version else None,
        "target": str(now.target),
        "status": "ready",
        "action": str(now.action),
        "filename": now.filename,
        "size": now.size,
    }
    return PastRow(**(base | more))  # type: ignore[arg-type]  # the fields, by name


def run_record(started: datetime = LAST, seconds: float = 71.0) -> RunRecord:
    """An earlier run."""
    return RunRecord(command="refresh", started=started, seconds=seconds, outcome=RunOutcome.CHANGED, number=7)


def attempt(now: Row, started: datetime, outcome: str = "built", **more: object) -> Attempt:
    """A try to build what a row is of."""
    base: dict[str, object] = {
        "job": f"{now.name}-{now.version}-{now.target}",
        "name": now.name,
        "version": str(now.version),
        "target": str(now.target),
        "strategy": Strategy.CROSS,
        "key": "k",
        "outcome": AttemptOutcome(outcome),
        "started": started,
        "seconds": 9.8,
    }
    return Attempt(**(base | more))  # type: ignore[arg-type]  # likewise


def report(*rows: Row, **more: object) -> Report:
    """The report of a run with these rows."""
    base: dict[str, object] = {
        "rows": rows,
        "wheelhouse": Path("/w"),
        "generation": 3,
        "changed": True,
        "seconds": 75.0,
        "command": "refresh",
        "started": BEGAN,
    }
    return Report(**(base | more))  # type: ignore[arg-type]  # likewise


def span(name: str, start: float, end: float, *after: str, **more: object) -> Span:
    """A span of the CPU lane."""
    base: dict[str, object] = {"id": name, "title": name, "lane": "cpu", "start": start, "end": end, "after": after}
    return Span(**(base | more))  # type: ignore[arg-type]  # likewise


def night(packages: int = 30) -> Report:
    """A night with all that a report has: a regression, failures old and new, blocked and impossible, news, spans."""
    rows = [
        row(f"package-{number}", target, Status.READY, **_common(number))
        for number in range(packages)
        for target in TARGETS
    ]
    ldap = [failed("python-ldap", target, message=f"building failed: {TRICK}") for target in TARGETS]
    old = [
        failed("uwsgi", target, kind="time-out", message="building took longer than 30 min, its limit")
        for target in TARGETS
    ]
    blocked = [
        row("bonsai", target, Status.BLOCKED, message="blocked by python-ldap", blocked_by=(ldap[0].name,))
        for target in TARGETS
    ]
    nothing = row(
        "tensorflow",
        TARGETS[1],
        Status.IMPOSSIBLE,
        action=Action.IMPOSSIBLE,
        version=None,
        reason="no sdist and no wheel fits",
    )
    everything = (*rows, *ldap, *old, *blocked, nothing)
    changes = compare(everything, _last(everything), lambda name: _tries(everything, name), began=BEGAN)
    return report(
        *everything,
        changes=changes,
        spans=_spans(rows[: 6 * 8]),
        retired=(Retired(filename="six-1.16.0-py3-none-any.whl", reason="nothing selects it since 2026-10-29"),),
        warnings=("builds are held by unshare alone; more is possible: see `whb doctor`", TRICK),
        seconds=432.0,
    )


def _common(number: int) -> dict[str, object]:
    action = (Action.REUSE, Action.FETCH, Action.BUILD)[number % 3]
    built = action is Action.BUILD
    return {
        "action": action,
        "seconds": 3.0 * number if built else None if action is Action.REUSE else 0.3,
        "strategy": Strategy.CROSS if built else None,
    }


def _last(rows: Sequence[Row]) -> tuple[RunRecord, Sequence[PastRow]]:
    """The same, but for what changed: a package is new, one has a new version, one was removed."""
    then = []
    for now in rows:
        if now.name == "uwsgi":
            then.append(past(now, status="failed"))
        elif now.name == "package-4":
            then.append(past(now, version="0.9", size=300_000))
        elif now.name == "package-5":
            then.append(past(now, size=390_000))
        elif now.name != "package-7":
            then.append(past(now))
    return run_record(seconds=371.0), [*then, past(row("mock"))]


def _tries(rows: Sequence[Row], name: str) -> Sequence[Attempt]:
    good = {"build requirements": "setuptools==80.9.0 \\\n  --hash=sha256:00\nwheel==0.45.1\n", "zig": "0.17.1"}
    bad = good | {"build requirements": "setuptools==81.0.0\nwheel==0.45.1\n"}
    of_it = [now for now in rows if now.name == name and now.action is Action.BUILD]
    earlier = [attempt(now, LAST - timedelta(days=4), inputs=good) for now in of_it if now.name != "uwsgi"]
    return earlier + [attempt(now, BEGAN + timedelta(seconds=9), "failed", inputs=bad) for now in of_it if now.tail]


def _spans(rows: Sequence[Row]) -> tuple[Span, ...]:
    """Four at a time, after the locks are resolved; then each target's imports, and the publication."""
    spans = [span("resolve", 0.1, 6.5, lane=RUN_LANE)]
    free = [6.5] * 4
    for number, now in enumerate(rows):
        start, place = min((end, place) for place, end in enumerate(free))
        end = start + (1 + number % 7 * 4.5) * (6 if number == 11 else 1)
        free[place] = end
        outcome = Outcome.FAILED if number % 13 == 5 else Outcome.DONE
        name = f"{now.name}-{now.target}"
        phases = (("download", start), ("build", start + 0.4))
        title = f"{now.name} 1.0 for {now.target}"
        spans.append(span(name, start, end, title=title, outcome=outcome, phases=phases))
    end, names = max(free), [each.id for each in spans[1:]]
    for number, target in enumerate(TARGETS):
        title = f"import on Alpine, {target}"
        spans.append(span(f"import-{target}", end + 5 * number, end + 5 * (number + 1), *names, title=title))
    last = end + 5 * len(TARGETS)
    return (*spans, span("publish", last, last + 0.9, lane=RUN_LANE))
