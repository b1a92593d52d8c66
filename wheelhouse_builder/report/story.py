"""What people are told of a run, in the order in which it matters: what `as_html` and `as_markdown` print. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from wheelhouse_builder.plan import Action
from wheelhouse_builder.redact import redact
from wheelhouse_builder.report.critical_path import critical_path
from wheelhouse_builder.report.model import ChangeKind, Status
from wheelhouse_builder.report.table import duration, file_size, summary, unresolved_targets
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wheelhouse_builder.report.critical_path import Step
    from wheelhouse_builder.report.model import Before, Change, Report, Row

_TAIL_LINES, _TAIL_WIDTH = 40, 400  # of a log, shown for each failure
ALL = "all targets"
LEFT = "Its lock and its wheels stay as they were."  # of a target that could not be resolved
_DONE = {Action.BUILD: "built", Action.FETCH: "fetched", Action.REUSE: "kept"}
_ORDER = (Status.FAILED, Status.IMPOSSIBLE, Status.BLOCKED)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One package that failed in one way, for one target or several. Its texts hold nothing secret."""

    name: str
    version: str
    status: Status
    targets: tuple[Target, ...]
    kind: str
    message: str
    hint: str
    tail: str  # the lines of the log that decide
    log: str  # where the whole of it is
    blocks: tuple[str, ...]  # what waits for it
    change: Change | None  # against the last run

    @property
    def regressed(self) -> bool:
        """Whether it was there in the last run."""
        return self.change is not None and self.change.kind is ChangeKind.REGRESSED

    @property
    def title(self) -> str:
        """`cffi 2.1.1`"""
        return f"{self.name} {self.version}".rstrip()

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is known besides: labels and values."""
        good, before, inputs = "", "", ""
        if self.change and self.change.good:
            before = f" as {self.change.before}" if self.change.before not in (None, self.version) else ""
            good = f"on {self.change.good:%Y-%m-%d}{before}"
        if self.change:
            inputs = "; ".join(self.change.inputs)
        facts = (("Was there", good), ("Since then", inputs), ("Blocks", ", ".join(self.blocks)))
        return tuple((label, value) for label, value in facts if value)


@dataclass(frozen=True, kw_only=True)
class Unresolved:
    """One target whose requirements cannot be resolved. Its texts hold nothing secret."""

    target: Target
    message: str  # of several lines, as a rule
    hint: str


@dataclass(frozen=True, kw_only=True)
class News:
    """Packages that are not as they were, of which the same is to be said."""

    kind: ChangeKind
    packages: tuple[tuple[str, str], ...]  # name, and version: "2.0.0 → 2.1.1", or the one that there is
    told: tuple[str, ...]  # where, since when and by what, as far as it is not everywhere or not known


@dataclass(frozen=True, kw_only=True)
class Built:
    """One wheel that this run built, against the last one."""

    row: Row
    seconds: str  # "12 s, was 9.8 s"
    size: str


@dataclass(frozen=True)
class Story:
    """The parts of a report, made from the run."""

    report: Report

    @cached_property
    def unresolved(self) -> tuple[Unresolved, ...]:
        """The targets that are as they were, and why."""
        errors = sorted(self.report.unresolved.items(), key=lambda item: _place(item[0]))
        return tuple(
            Unresolved(target=target, message=redact(error.message), hint=redact(error.hint or ""))
            for target, error in errors
        )

    @cached_property
    def failures(self) -> tuple[Failure, ...]:
        """What failed: regressions first, then what failed by itself, then what waited for that."""
        items = self.report.changes.items if self.report.changes else ()
        changes = {(change.name, change.target): change for change in items}
        groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
        for row in self.report.failed:
            change = changes.get((row.name, str(row.target)))
            alike = (row.name, str(row.version), row.status, row.kind, row.message, change.kind if change else "")
            groups[alike].append(row)
        blocks: dict[str, set[str]] = defaultdict(set)
        for row in self.report.failed:
            for name in row.blocked_by:
                blocks[name].add(row.name)
        found = [_failure(rows, changes, sorted(blocks[rows[0].name])) for rows in groups.values()]
        return tuple(sorted(found, key=_weight))

    @cached_property
    def news(self) -> tuple[News, ...]:
        """What changed, by kind; packages and targets of which the same is to be said together."""
        alike: dict[tuple[str, ...], list[Change]] = defaultdict(list)
        for change in self.report.changes.items if self.report.changes else ():
            alike[change.kind, change.name, _versions(change), *change.inputs].append(change)
        lines: dict[tuple[ChangeKind, tuple[str, ...]], list[tuple[str, str]]] = defaultdict(list)
        for first, *others in alike.values():
            where = self.on(Target.parse(change.target) for change in (first, *others))
            good = f"last had on {first.good:%Y-%m-%d}" if first.good else ""
            told = tuple(filter(None, ("" if where == ALL else where, good, *first.inputs)))
            lines[first.kind, told].append((first.name, _versions(first)))
        return tuple(News(kind=kind, packages=tuple(packages), told=told) for (kind, told), packages in lines.items())

    @property
    def title(self) -> str:
        """What the run came to, in a few words."""
        report = self.report
        if report.error:
            return f"{report.command} came to nothing"
        own = [failure for failure in self.failures if failure.status is not Status.BLOCKED]
        regressed = len({failure.name for failure in own if failure.regressed})
        parts = (
            unresolved_targets(report),
            f"{len({failure.name for failure in own})} failed" if report.failed else "",
            f"{regressed} regressed" if regressed else "",
        )
        return ", ".join(filter(None, parts)) or ("all ready" if report.changed else "unchanged")

    @property
    def lead(self) -> str:
        """The same in one sentence, with times."""
        report = self.report
        then = f", was {duration(report.changes.seconds)}" if report.changes else ""
        return f"{summary(report)}{then}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is known of the run as a whole: labels and values."""
        report = self.report
        state = "published by this run" if report.changed else "as it was"
        generation = "none" if report.generation is None else f"{report.generation}, {state}"
        facts = [
            ("Started", f"{report.started:%Y-%m-%d %H:%M UTC}"),
            ("Command", f"whb {report.command}"),
            ("Generation", generation),
        ]
        wheels = {row.filename: row.size or 0 for row in report.rows if row.filename}
        if wheels:
            then = f", was {file_size(report.changes.size)}" if report.changes and report.changes.size else ""
            facts.append(("Wheels", f"{len(wheels)}, {file_size(sum(wheels.values()))}{then}"))
        if report.changes:
            facts.append(("Against the run of", f"{report.changes.since:%Y-%m-%d %H:%M UTC}"))
        return tuple(facts)

    @property
    def state_kept(self) -> str:
        """What is in force after a run that came to nothing."""
        if self.report.generation is None:
            return "Nothing was published."
        return f"The wheelhouse is as it was: generation {self.report.generation} stays in force."

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """The columns of the matrix."""
        return tuple(sorted({row.target for row in self.report.rows}, key=_place))

    def on(self, targets: Iterable[Target]) -> str:
        """`all targets`, or which: `3.12 amd64, 3.12 arm64`."""
        named = set(targets)
        if named == {*self.targets, *self.report.unresolved}:
            return ALL
        return ", ".join(map(column, sorted(named, key=_place)))

    @cached_property
    def matrix(self) -> Mapping[str, Mapping[Target, Row]]:
        """What each package came to on each target; those of which something is missing first, then by name."""
        table: dict[str, dict[Target, Row]] = defaultdict(dict)
        for row in sorted(self.report.rows, key=lambda row: row.name):
            table[row.name][row.target] = row
        missing = {row.name for row in self.report.failed}
        return dict(sorted(table.items(), key=lambda item: (item[0] not in missing, item[0])))

    @cached_property
    def path(self) -> tuple[Step, ...]:
        """What the run waited for, from its start to its end."""
        return critical_path(self.report.spans)

    @cached_property
    def built(self) -> tuple[Built, ...]:
        """What this run built, what took longest first."""
        before = self.report.changes.before if self.report.changes else {}
        rows = [row for row in self.report.rows if row.action is Action.BUILD and row.status is Status.READY]
        rows.sort(key=lambda row: (-(row.seconds or 0), row.name, row.target))
        return tuple(_built(row, before.get((row.name, str(row.target)))) for row in rows)


def did(row: Row) -> str:
    """What came of a package on a target, in a word: `built`, `fetched`, `kept`, `failed`, …"""
    return _DONE[row.action] if row.status is Status.READY else str(row.status)


def column(target: Target) -> str:
    """`3.12 arm64`"""
    return f"{target.python_version} {target.arch.docker}"


def _place(target: Target) -> tuple[tuple[int, int], int]:
    return target.python, list(Arch).index(target.arch)


def _weight(failure: Failure) -> tuple[bool, bool, int, str]:
    blocked = failure.status is Status.BLOCKED
    return blocked, not failure.regressed, _ORDER.index(failure.status), failure.name


def _failure(rows: Sequence[Row], changes: Mapping[tuple[str, str], Change], blocks: Sequence[str]) -> Failure:
    first = rows[0]
    lines = redact(first.tail).splitlines()
    shown = lines if len(lines) <= _TAIL_LINES else ["…", *lines[-_TAIL_LINES:]]
    return Failure(
        name=first.name,
        version=str(first.version or ""),
        status=first.status,
        targets=tuple(row.target for row in rows),
        kind=first.kind,
        message=redact(first.message or first.reason),
        hint=redact(first.hint),
        tail="\n".join(line[:_TAIL_WIDTH] for line in shown),
        log=str(first.log or ""),
        blocks=tuple(blocks),
        change=changes.get((first.name, str(first.target))),
    )


def _versions(change: Change) -> str:
    old, new = change.before, change.version
    if old and new and old != new:
        return f"{old} → {new}"
    return new or old or ""


def _built(row: Row, before: Before | None) -> Built:
    seconds, size = duration(row.seconds), file_size(row.size)
    if before and before.seconds is not None:
        seconds += f", was {duration(before.seconds)}"
    if before and before.size not in (None, row.size):
        size += f", was {file_size(before.size)}"
    return Built(row=row, seconds=seconds, size=size)
