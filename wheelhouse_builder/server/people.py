"""The pages for people where a server can do more than a folder: search without a script, logs that a browser shows.

Both are answered out of the generation that the snapshot is of; a log only for a wheel that it names.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from wheelhouse_builder.index.render_browse import browse_page
from wheelhouse_builder.server.documents import Document, packed
from wheelhouse_builder.server.files import is_named
from wheelhouse_builder.server.negotiation import Coding
from wheelhouse_builder.server.replies import headers_of, note, send_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from starlette.types import Scope, Send

    from wheelhouse_builder.server.replies import Policy
    from wheelhouse_builder.server.snapshot import Snapshot

_LISTS = ("/browse/", "/browse/index.html")
_LOGS, _LOG = "/browse/logs/", ".log.gz"
_MAX_QUERY_FIELDS = 16


async def send_for_people(scope: Scope, send: Send, path: str, snapshot: Snapshot, policy: Policy) -> bool:
    """Answer for a search or a build log; False, and no answer, for anything else and for what is not there."""
    if path in _LISTS and (query := _query(scope["query_string"])):
        document, media_type = await asyncio.to_thread(_found, snapshot, query), b"text/html; charset=utf-8"
    elif path.startswith(_LOGS) and path.endswith(_LOG):
        wheel = path.removeprefix(_LOGS).removesuffix(_LOG)
        document, media_type = await asyncio.to_thread(_log, snapshot, wheel), b"text/plain; charset=utf-8"
    else:
        return False
    if document is None:
        return False
    note(scope, route="browse")
    headers = (*policy.page_headers, snapshot.header)
    await send_document(scope, send, headers_of(scope), document, media_type, headers)
    return True


def _query(query_string: bytes) -> str:
    """The value of `?q=`, empty without one."""
    try:
        fields = parse_qs(query_string.decode("latin-1"), max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:
        return ""
    return fields.get("q", [""])[0].strip()


def _found(snapshot: Snapshot, query: str) -> Document | None:
    try:
        summaries = _summaries(snapshot.generation.path, snapshot.identity)
    except (OSError, ValueError):  # a generation of the time before there were such pages
        return None
    body = browse_page(summaries, query).encode()
    return Document({Coding.IDENTITY: packed(body)}, _modified(snapshot.generation.path))


@lru_cache(maxsize=1)
def _summaries(folder: Path, _: tuple[int, ...]) -> Mapping[str, Mapping[str, Any]]:
    """What the list shows of each project; read once a generation."""
    found: Mapping[str, Mapping[str, Any]] = json.loads((folder / "summaries.json").read_bytes())
    return found


def _log(snapshot: Snapshot, wheel: str) -> Document | None:
    """The log of the build of a wheel, as it lies there and unpacked."""
    if not is_named(wheel, snapshot):
        return None
    path = snapshot.generation.path / "browse" / "logs" / f"{wheel}{_LOG}"
    try:
        content = path.read_bytes()
        text = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return None
    codings = {Coding.IDENTITY: packed(text), Coding.GZIP: packed(content, Coding.GZIP)}
    return Document(codings, _modified(path))


def _modified(path: Path) -> bytes:
    return formatdate(path.stat().st_mtime, usegmt=True).encode()
