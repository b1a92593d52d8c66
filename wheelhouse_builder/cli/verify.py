"""`whb verify`: evidence that wheels load on their targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import TARGETS, add_settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.cli.console import Console
    from wheelhouse_builder.verify.verdict import Verdict


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("wheels", nargs="+", type=Path, metavar="WHEEL|WHEELHOUSE", help="wheels, or folders of them")
    add_settings(parser, (*TARGETS, "cache-dir"))


def execute(invocation: Invocation) -> int:
    """Print the verdicts; 1 if one is bad."""
    from wheelhouse_builder.cli.progress import brief_progress
    from wheelhouse_builder.report.as_json import dump, verdicts_data
    from wheelhouse_builder.verification import check_wheels, find_wheels

    console = invocation.console
    wheels = find_wheels(invocation.options.wheels)
    listener, canceller = brief_progress(console), invocation.canceller
    verdicts = check_wheels(wheels, invocation.settings, listener=listener, canceller=canceller)
    if console.json:
        console.result(dump("verdicts", verdicts_data(verdicts)))
    else:
        _show(verdicts, console)
    return 0 if all(verdict.passed for found in verdicts.values() for verdict in found) else 1


def _show(verdicts: Mapping[str, Sequence[Verdict]], console: Console) -> None:
    from wheelhouse_builder.report.table import verdict_table

    bad = {name: [verdict for verdict in found if not verdict.passed] for name, found in verdicts.items()}
    bad = {name: found for name, found in bad.items() if found}
    shown = verdicts if console.verbosity >= 0 else bad
    if shown:
        console.result(verdict_table(shown))
    for name, found in bad.items():
        for verdict in found:
            console.complain(f"\n{console.paint('FAILED', 'red')} {name}: {verdict.check} on {verdict.target}")
            console.complain("\n".join(f"  {problem}" for problem in verdict.problems))
    for name, notes in _notes(verdicts).items():
        console.say(f"note {name}: {'; '.join(notes)}")
    console.say(f"\n{len(verdicts)} wheels, {len(bad)} bad")


def _notes(verdicts: Mapping[str, Sequence[Verdict]]) -> dict[str, list[str]]:
    """What is worth knowing of each wheel, said once."""
    said = {
        name: dict.fromkeys(note for verdict in found for note in verdict.notes) for name, found in verdicts.items()
    }
    return {name: list(notes) for name, notes in said.items() if notes}
