"""docs/reference/failures.md, made from the rules: `python -m tests.failures_page` writes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.diagnose.rules import LiesIn, failure_classes, rules

if TYPE_CHECKING:
    from wheelhouse_builder.diagnose.rules import FailureClass, Rule

PAGE = Path(__file__).parent.parent / "docs/reference/failures.md"
INTRODUCTION = """# What fails, and what to do

When a build fails, its whole log is searched for what the rules on this page know. Of several lines that a rule decides
the last one counts, since builds probe, and the failure of a probe is none of the build; a rule that is marked as
general counts only where no other one does. The report and the command line show the line among its neighbours, with
its number, and the remedy. Where no rule fits they show the last lines that look like errors, and say that why is not
known.

The class of a failure says whether another try is worth it. What lies in the *inputs* (the source, its build
requirements, the recipe, the settings) fails again: `whb refresh` leaves it until one of them changes, for as long as
`retry-after` says. What lies in the *machine* or the *network* is tried again by the next run, and some of it in the
same run, where it may pass in a moment ([when something fails](../explanation/keep-going.md)).

Where a library is missing that whb has no recipe of, and Alpine is known to have, the remedy names the line that has
[Alpine's](../how-to/recipe.md#what-alpine-has) in the container engine: `apk = ["libxml2-dev"]`.

What fails on *every* engine is not tried on the next one ([when a build fails on one engine](../how-to/engines.md)).

This page is made from `wheelhouse_builder/diagnose/rules/` by `python -m tests.failures_page`. For each rule,
`tests/data/diagnose/` has the log of a failure that was provoked.
"""
LIES_IN = {LiesIn.INPUTS: "the inputs", LiesIn.MACHINE: "the machine", LiesIn.NETWORK: "the network"}
NAMES = re.compile(r"(?:\{\w+\})+")
THREAD = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)#(?P<number>\d+)")


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for kind in failure_classes().values():
        of_kind = [rule for rule in rules() if rule.kind == kind.name]
        parts.append(section(kind, of_kind))
    return "\n".join(parts)


def section(kind: FailureClass, of_kind: list[Rule]) -> str:
    """What a class is, and its rules."""
    head = f"## {kind.name}\n\n{kind.text[0].upper()}{kind.text[1:]}. Its cause lies in {LIES_IN[kind.lies_in]}.\n"
    if not of_kind:
        return head
    rows = ["| rule | cause | remedy | engines | seen in |", "| --- | --- | --- | --- | --- |", *map(row, of_kind)]
    return f"{head}\n" + "\n".join(rows) + "\n"


def row(rule: Rule) -> str:
    """A line of the table."""
    name = f"`{rule.id}`" + (" (general)" if rule.general else "")
    engines = "every" if rule.everywhere else "this one"
    cells = (name, text(rule.cause), text(rule.remedy), engines, link(rule.thread))
    return f"| {' | '.join(cells)} |"


def text(template: str) -> str:
    """A cause or remedy with `…` for what a log fills in."""
    filled = NAMES.sub("…", template).replace("|", "\\|").replace("<", "&lt;")
    return re.sub(r"docs/how-to/(\w+)\.md", r"[\1](../how-to/\1.md)", filled)


def link(thread: str | None) -> str:
    """A thread as a link."""
    if thread is None:
        return ""
    match = THREAD.fullmatch(thread)
    return f"[{thread}](https://github.com/{match['repository']}/issues/{match['number']})" if match else f"<{thread}>"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
