"""`whb explain`: why a wheel is as it is, or why a build failed and what to do."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import add_settings
from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation

_STANDARD_INPUT = "-"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    what = "a package (cffi, cffi==2.1.1), a wheel, a job, or the file of a log (- for standard input)"
    parser.add_argument("subject", metavar="NAME|WHEEL|JOB|LOG", help=what)
    add_settings(parser, ("wheelhouse",))


def execute(invocation: Invocation) -> int:
    """Print what is known."""
    subject = invocation.options.subject
    if subject == _STANDARD_INPUT:
        _explain_log(sys.stdin.buffer.read(), invocation)
    elif not subject.endswith(".whl") and Path(subject).is_file():
        _explain_log(_read(Path(subject)), invocation)
    else:
        _explain_subject(subject, invocation)
    return 0


def _explain_subject(text: str, invocation: Invocation) -> None:
    from wheelhouse_builder.cli.progress import brief_progress
    from wheelhouse_builder.explain.data import explanations_data
    from wheelhouse_builder.explain.gather import gather
    from wheelhouse_builder.explain.subject import parse_subject
    from wheelhouse_builder.explain.text import explanation_text
    from wheelhouse_builder.history.store import History
    from wheelhouse_builder.report.as_json import dump
    from wheelhouse_builder.wheelhouse.store import Wheelhouse

    console, wheelhouse = invocation.console, Wheelhouse(invocation.settings.wheelhouse)
    found = gather(parse_subject(text), wheelhouse, History(wheelhouse.history, brief_progress(console)))
    if console.json:
        console.result(dump("explanation", explanations_data(found)))
    else:
        console.result("\n\n".join(map(explanation_text, found)))


def _explain_log(content: bytes, invocation: Invocation) -> None:
    from wheelhouse_builder.diagnose.diagnosis import diagnose
    from wheelhouse_builder.explain.data import diagnosis_data
    from wheelhouse_builder.explain.text import diagnosis_text
    from wheelhouse_builder.report.as_json import dump

    console, diagnosis = invocation.console, diagnose(BytesIO(content))
    if console.json:
        console.result(dump("diagnosis", diagnosis_data(diagnosis)))
    else:
        console.result(diagnosis_text(diagnosis))


def _read(path: Path) -> bytes:
    from wheelhouse_builder.history.logs import read_log

    try:
        return read_log(path).encode()
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror or error}", hint="name a log that can be read"
        ) from error
