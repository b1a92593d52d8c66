"""A project's page for people: `simple/<project>/about.html`."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wheelhouse_builder.index.model import Project
    from wheelhouse_builder.index.wheels import Published


def about_page(project: Project, wheels: Sequence[Published]) -> str:
    """The page; `wheels` are those behind `project.files`, in the same order."""
    lines = [f'<li><a href="{escape(file.url)}">{escape(file.filename)}</a></li>' for file in project.files]
    head = f'<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{project.name}</title>'
    return "\n".join((head, f"<h1>{project.name}</h1>", "<ul>", *lines, "</ul>", ""))
