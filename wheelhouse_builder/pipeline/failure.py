"""What is known of the cause of a job's failure, by its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.diagnose.diagnosis import diagnose
from wheelhouse_builder.errors import DownloadError

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.diagnose.diagnosis import Diagnosis
    from wheelhouse_builder.errors import JobError


def explained(error: JobError, log: Path, package: str) -> JobError:
    """The error of a job for this package with what the log says about its cause."""
    with log.open("rb") as stream:
        diagnosis = diagnose(stream, message=error.message, tail=error.tail)
    message, hint, tail = error.message, error.hint or diagnosis.remedy, error.tail
    explains = _explains(diagnosis, error)
    if explains:
        message, hint, tail = f"{message}: {diagnosis.cause}", diagnosis.remedy, diagnosis.text
    elif not diagnosis.known and not error.kind and error.hint is None:
        message, tail = f"{message}: {diagnosis.cause}", diagnosis.text
    return type(error)(
        message,
        hint=hint.replace("[packages.NAME]", f"[packages.{package}]"),
        log=log,
        tail=tail,
        kind=error.kind or (diagnosis.kind if explains else ""),
        rule=diagnosis.rule if explains else "",
        library=diagnosis.library if explains else "",
        everywhere=error.everywhere or (explains and diagnosis.everywhere),
    )


def _explains(diagnosis: Diagnosis, error: JobError) -> bool:
    """Whether the log knows more than the error: what we know of a failure of our own is no matter of the package."""
    ours = isinstance(error, DownloadError) and diagnosis.kind == "build-wants-network"
    return diagnosis.known and error.kind in ("", diagnosis.kind) and not ours
