"""The list of projects for people: `browse/index.html`, from a small summary of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wheelhouse_builder.index.model import Project
    from wheelhouse_builder.index.wheels import Published


def summary(project: Project, wheels: Sequence[Published]) -> dict[str, Any]:
    """What the list shows of a project, fit for JSON."""
    return {"files": len(project.files), "latest": next(reversed(project.versions), None)}


def browse_page(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """The list, from the summary of each project by name."""
    lines = [
        f'<li><a href="../simple/{name}/about.html">{name}</a> {told["latest"] or ""}</li>'
        for name, told in summaries.items()
    ]
    head = '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Wheelhouse</title>'
    return "\n".join((head, "<h1>Wheelhouse</h1>", "<ul>", *lines, "</ul>", ""))
