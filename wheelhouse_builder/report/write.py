"""The files of a report: `report.html`, `report.md` and `report.json` in a folder, each there whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.errors import MachineError
from wheelhouse_builder.files import write_atomically
from wheelhouse_builder.report.as_html import report_html
from wheelhouse_builder.report.as_json import dump, report_data
from wheelhouse_builder.report.as_markdown import report_markdown

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.report.model import Report


def write_reports(folder: Path, report: Report, *, summary: Path | None = None) -> tuple[Path, ...]:
    """Write the three files into a folder, which is made; returns their paths.

    `summary` is what GITHUB_STEP_SUMMARY names: the Markdown is appended to it, since steps before may have written
    there. Raises `MachineError` for a place that cannot be written.
    """
    markdown = report_markdown(report)
    contents = {
        "report.html": report_html(report),
        "report.md": markdown,
        "report.json": dump("report", report_data(report)) + "\n",
    }
    try:
        for name, content in contents.items():
            write_atomically(folder / name, content.encode("utf-8", "replace"))
        if summary:
            with summary.open("a", encoding="utf-8", errors="replace") as stream:
                stream.write(f"{markdown}\n")
    except OSError as error:
        place = error.filename or folder
        raise MachineError(
            f"cannot write the report: {place}: {error.strerror}", hint="name a folder that can be written"
        ) from error
    return tuple(folder / name for name in contents)
