"""The pages of the index: `/simple/`, `/simple/<project>/`, `/links/`, out of memory.

Source: the simple repository API (PEPs 503, 629, 691). The way of a page that is there is one look into a dictionary,
two negotiations (remembered) and two messages.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from packaging.utils import canonicalize_name

from wheelhouse_builder.server.negotiation import MediaType, media_type
from wheelhouse_builder.server.replies import headers_of, note, send_document, send_redirect, send_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Scope, Send

    from wheelhouse_builder.server.replies import Policy
    from wheelhouse_builder.server.snapshot import Page, Snapshot

    Upstream = Callable[[str], str | None]

_ANY_FORM = (MediaType.JSON, MediaType.HTML, MediaType.TEXT)
_HTML_ALONE = (MediaType.HTML, MediaType.TEXT)
_WRITTEN = {media: media.encode() for media in MediaType} | {MediaType.TEXT: b"text/html; charset=utf-8"}
_ROUTES = {"/simple/": "list", "/links/": "links"}
_MAX_QUERY_FIELDS = 16


async def send_page(scope: Scope, send: Send, path: str, page: Page, snapshot: Snapshot, policy: Policy) -> None:
    """Answer a GET or HEAD for a page that the snapshot has."""
    offered = _ANY_FORM if page.json else _HTML_ALONE
    asked = headers_of(scope)
    media = media_type(asked.get(b"accept", b"").decode("latin-1"), _format(scope["query_string"]), offered)
    headers = (*policy.page_headers, snapshot.header)
    note(scope, route=_ROUTES.get(path, "project"), format=media or "none")
    if media is None:
        await send_text(scope, send, 406, f"offered: {', '.join(offered)}", headers)
        return
    document = page.json if media is MediaType.JSON and page.json else page.html
    await send_document(scope, send, asked, document, _WRITTEN[media], headers)


def _format(query: bytes) -> str | None:
    """The value of `?format=`, None without one."""
    if b"format" not in query:
        return None
    try:
        fields = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:
        return ""  # a form that is not offered
    return fields["format"][0] if "format" in fields else None


async def send_no_page(
    scope: Scope, send: Send, path: str, snapshot: Snapshot, policy: Policy, upstream: Upstream | None
) -> None:
    """Answer for a path at which nothing is: on to the right spelling, on to upstream, or 404."""
    if location := right_spelling(path, snapshot):
        note(scope, route="redirect")
        await send_redirect(scope, send, 301, location, policy.page_headers)
        return
    name = project_of(path)
    elsewhere = await asyncio.to_thread(upstream, name) if name and upstream else None  # it may look into records
    if elsewhere:
        note(scope, route="upstream")
        await send_redirect(scope, send, 302, elsewhere, policy.text_headers)  # the name may be ours in a moment
        return
    note(scope, route="project" if name else "none")
    await send_text(scope, send, 404, f"no project {name} here" if name else "not found", policy.text_headers)


def right_spelling(path: str, snapshot: Snapshot) -> str | None:
    """Where that is which was asked for without its last slash or by another spelling; relative to `path`."""
    if f"{path}/" in snapshot.pages or f"{path}/" in snapshot.others:
        return f"{path.rpartition('/')[2]}/"
    if path.endswith("/index.html") and path.removesuffix("index.html") in snapshot.pages:
        return "./"
    name = project_of(path)
    if name not in snapshot.projects:
        return None
    return f"../{name}/" if path.endswith("/") else f"{name}/"


def project_of(path: str) -> str | None:
    """The normalised name of the project that a path `/simple/<name>` or `/simple/<name>/` asks for."""
    top, _, name = path.removesuffix("/").rpartition("/")
    return canonicalize_name(name) if top == "/simple" and name else None
