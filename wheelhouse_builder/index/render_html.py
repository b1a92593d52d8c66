"""The index as HTML: PEP 503, at its frozen version 1.4 (PEP 833).

Every file is one line, so the flat page is a frame around the lines of each project, one after the other.

A plain file server can only do HTML, so these pages are complete. `data-size` and `data-upload-time` are no standard,
but uv reads them, and with them `--exclude-newer` works on static files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from wheelhouse_builder.index.model import HTML_API_VERSION, UNMARKED, File, Project
from wheelhouse_builder.index.web_page import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DEEP, _FLAT = '<a href="../../', '<a href="../'


def project_list(names: Iterable[str]) -> str:
    """The root page: each project with a link to its own page."""
    return _page("Simple index", [_anchor(f"{quote(name)}/", name) for name in names])


def project_page(project: Project, lines: Sequence[str]) -> str:
    """The page of one project, of the lines of its files."""
    metas = []
    if project.mark != UNMARKED:
        metas.append(("pypi:project-status", str(project.mark.status)))
        if project.mark.reason is not None:
            metas.append(("pypi:project-status-reason", project.mark.reason))
    return _page(f"Links for {project.name}", lines, metas)


def links_frame() -> tuple[str, str]:
    """What is above and below the files on the flat page, for `--find-links URL`."""
    head, tail = _page("Links", ["\0"]).split("\0\n")
    return head, tail


def links_block(lines: Iterable[str]) -> str:
    """The lines of a project's files as they are on the flat page, which lies one folder higher."""
    return "".join(f"{line.replace(_DEEP, _FLAT, 1)}\n" for line in lines)


def file_link(file: File) -> str:
    """One anchor with every attribute that is known."""
    metadata = f"sha256={file.metadata_sha256}" if file.metadata_sha256 else None
    attributes = {
        "data-requires-python": file.requires_python,
        "data-core-metadata": metadata,
        "data-dist-info-metadata": metadata,  # "for backwards compatibility" (PEP 714)
        "data-size": str(file.size),
        "data-upload-time": file.upload_time_text,
        "data-yanked": file.yanked,
    }
    return _anchor(f"{file.url}#sha256={file.sha256}", file.filename, attributes)


def _anchor(href: str, text: str, attributes: dict[str, str | None] | None = None) -> str:
    known = {"href": href} | (attributes or {})
    written = " ".join([f'{name}="{escaped(value)}"' for name, value in known.items() if value is not None])
    return f"<a {written}>{escaped(text)}</a><br>"


def _page(title: str, lines: Sequence[str], metas: Iterable[tuple[str, str]] = ()) -> str:
    head = (
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        *(
            f'<meta name="{name}" content="{escaped(content)}">'
            for name, content in (("pypi:repository-version", HTML_API_VERSION), *metas)
        ),
        f"<title>{escaped(title)}</title>",
        "</head>",
        "<body>",
        f"<h1>{escaped(title)}</h1>",
    )
    return "\n".join((*head, *lines, "</body>", "</html>", ""))
