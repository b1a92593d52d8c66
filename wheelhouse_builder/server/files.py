"""Wheels, their metadata, stubs and the texts beside the index.

What is served is found among what was published: a wheel or a stub by its name in the JSON page of its project,
anything else in the listing of its folder. No path is made from what a request says. Pages that clients still hold may
be of an older generation, so a file that any kept one names is there too.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import stat
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    is_normalized_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from starlette.responses import FileResponse

from wheelhouse_builder.server import ranges
from wheelhouse_builder.server.conditional import status_of
from wheelhouse_builder.server.documents import Document, packed, read_document
from wheelhouse_builder.server.negotiation import Coding
from wheelhouse_builder.server.replies import headers_of, note, send_document, send_text
from wheelhouse_builder.wheelhouse import generations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from wheelhouse_builder.server.replies import Policy
    from wheelhouse_builder.server.snapshot import Snapshot
    from wheelhouse_builder.wheelhouse.store import Wheelhouse

_log = logging.getLogger(__name__)
_MAX_NAME = 255  # characters; no file system has longer names
_CHUNK_BYTES = 256 << 10  # each is one trip to a thread; Starlette's 64 KiB halve the throughput
_METADATA = ".metadata"
_TEXTS = {
    ".html": b"text/html; charset=utf-8",
    ".txt": b"text/plain; charset=utf-8",
    ".log": b"text/plain; charset=utf-8",
    ".toml": b"application/toml",
    ".json": b"application/json",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What a page of the index tells of a wheel, or of a stub."""

    sha256: str
    size: int
    metadata_sha256: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a page of the index tells of a project."""

    wheels: Mapping[str, Entry] = field(default_factory=dict)
    quarantined: bool = False


async def send_wheel(
    scope: Scope, receive: Receive, send: Send, name: str, snapshot: Snapshot, wheelhouse: Wheelhouse, policy: Policy
) -> None:
    """Answer a GET or HEAD for a wheel, its metadata or a stub: 200, 206, 304, 412, 416; 404 if it is none of ours."""
    wheel = name.removesuffix(_METADATA)
    note(scope, route="file" if wheel == name else "metadata")
    entry = await _entry(wheel, snapshot, wheelhouse)
    if entry is None:
        await send_text(scope, send, 404, "no such file is published", policy.text_headers)
    elif wheel == name:
        await _send_file(scope, receive, send, wheelhouse.root / wheel, entry, policy)
    else:
        await _send_metadata(scope, send, wheelhouse.root / name, entry, policy)


async def _entry(wheel: str, snapshot: Snapshot, wheelhouse: Wheelhouse) -> Entry | None:
    """What is published of a wheel: by the snapshot, or else by the newest kept generation that names it.

    Of a project in quarantine nothing is there, whatever older pages say.
    """
    project = _project_of(wheel)
    if project is None:
        return None
    listing = _listing_in(snapshot, project)
    if wheel in listing.wheels or listing.quarantined:
        return listing.wheels.get(wheel)
    return await asyncio.to_thread(_entry_in_older, wheelhouse, project, wheel)


def is_named(wheel: str, snapshot: Snapshot) -> bool:
    """Whether a page of the snapshot names a wheel."""
    project = _project_of(wheel)
    return project is not None and wheel in _listing_in(snapshot, project).wheels


def _listing_in(snapshot: Snapshot, project: str) -> Listing:
    page = snapshot.page_of(project)
    return _listing(page.json.plain) if page and page.json else Listing()


def _project_of(wheel: str) -> str | None:
    try:
        parse = parse_wheel_filename if wheel.endswith(".whl") else parse_sdist_filename
        name = parse(wheel)[0] if len(wheel) <= _MAX_NAME else ""
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    return name if is_normalized_name(name) else None


def _entry_in_older(wheelhouse: Wheelhouse, project: str, wheel: str) -> Entry | None:
    for generation in reversed(generations.all_generations(wheelhouse)):
        try:
            page = (generation.path / "simple" / project / "index.v1_json").read_bytes()
            found = _listing(page).wheels.get(wheel)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it never had the project, or was removed meanwhile
        if found:
            return found
    return None


@lru_cache(maxsize=256)
def _listing(page: bytes) -> Listing:
    """What a JSON page tells."""
    document = json.loads(page)
    wheels = {
        file["filename"]: Entry(
            sha256=file["hashes"]["sha256"],
            size=file["size"],
            metadata_sha256=(file.get("core-metadata") or {}).get("sha256"),
        )
        for file in document["files"]
    }
    return Listing(wheels, document.get("project-status", {}).get("status") == "quarantined")


async def _send_file(scope: Scope, receive: Receive, send: Send, path: Path, entry: Entry, policy: Policy) -> None:
    """The wheel, whole or in ranges: Starlette's FileResponse, with what `ranges` says about its Range."""
    try:
        status = await asyncio.to_thread(os.lstat, path)
    except OSError as error:
        await _send_lost(scope, send, f"{path.name} is published and cannot be read: {error.strerror}", policy)
        return
    if not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
        await _send_lost(scope, send, f"{path.name} is published and is not what it was", policy)
        return
    etag = f'"sha256-{entry.sha256}"'.encode()
    modified = formatdate(status.st_mtime, usegmt=True).encode()
    headers = [(b"etag", etag), (b"last-modified", modified), (b"accept-ranges", b"bytes"), *policy.file_headers]
    asked = headers_of(scope)
    if (answer := status_of(asked, etag, modified)) != 200:
        await send({"type": "http.response.start", "status": answer, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    try:
        wanted = _range(scope["method"], asked, etag, modified, entry.size)
    except ranges.Unsatisfiable:
        told = (*headers, (b"content-range", f"bytes */{entry.size}".encode()))
        await send_text(scope, send, 416, f"the file has {entry.size} bytes", told)
        return
    response = FileResponse(
        path,
        headers={name.decode(): value.decode() for name, value in headers},
        media_type="application/octet-stream",
        stat_result=status,
    )
    response.chunk_size = _CHUNK_BYTES
    await response({**scope, "headers": [(b"range", wanted.encode())] if wanted else []}, receive, send)


def _range(method: str, asked: Mapping[bytes, bytes], etag: bytes, modified: bytes, size: int) -> str | None:
    """The ranges to send; None for the whole file."""
    given = asked.get(b"range")
    if method != "GET" or given is None or asked.get(b"if-range", etag) not in (etag, modified):
        return None
    return ranges.usable(given.decode("latin-1"), size)


async def _send_metadata(scope: Scope, send: Send, path: Path, entry: Entry, policy: Policy) -> None:
    """The sidecar; pip fails on one that is not what the page says, so it is looked at before it goes out."""
    try:
        status = await asyncio.to_thread(os.lstat, path)
        body = await asyncio.to_thread(path.read_bytes) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        await _send_lost(scope, send, f"{path.name} is published and cannot be read: {error.strerror}", policy)
        return
    if hashlib.sha256(body).hexdigest() != entry.metadata_sha256:
        await _send_lost(scope, send, f"{path.name} is published and is not what it was", policy)
        return
    document = Document({Coding.IDENTITY: packed(body)}, formatdate(status.st_mtime, usegmt=True).encode())
    await send_document(scope, send, headers_of(scope), document, b"text/plain; charset=utf-8", policy.file_headers)


async def _send_lost(scope: Scope, send: Send, what: str, policy: Policy) -> None:
    """404 for what the index promises and the disk does not hold: never half of it, never something else."""
    _log.error("%s: `whb index` says more", what)
    await send_text(scope, send, 404, "the file is published, but it is gone or damaged", policy.text_headers)


async def send_other(scope: Scope, send: Send, path: str, snapshot: Snapshot, policy: Policy) -> bool:
    """Answer for a lock, a page for people or a log; False, and no answer, if the snapshot names none at `path`."""
    try:
        found = await asyncio.to_thread(_other, path, snapshot)
    except Exception as error:  # whatever lies there
        note(scope, route="browse")
        await _send_lost(scope, send, f"{path} is published and cannot be read: {error}", policy)
        return True
    if found is None:
        return False
    media_type, document = found
    note(scope, route="lock" if path.endswith((".txt", ".toml")) else "browse")
    await send_document(scope, send, headers_of(scope), document, media_type, (*policy.page_headers, snapshot.header))
    return True


@lru_cache(maxsize=32)
def _read(path: Path, _: tuple[int, ...]) -> Document:
    return read_document(path)


def _other(path: str, snapshot: Snapshot) -> tuple[bytes, Document] | None:
    """The text at a path of the URL, with its media type."""
    file = snapshot.others.get(path) or _beside_a_page(path, snapshot)
    media_type = _TEXTS.get(file.suffix) if file else None
    return (media_type, _read(file, snapshot.identity)) if file and media_type else None


def _beside_a_page(path: str, snapshot: Snapshot) -> Path | None:
    """What lies beside the page of a project: its page for people, logs."""
    folder, _, name = path.rpartition("/")
    top, _, project = folder.rpartition("/")
    if top != "/simple" or project not in snapshot.projects or name.startswith("index."):
        return None
    return next((found for found in _files(snapshot.generation.path / "simple" / project) if found.name == name), None)


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as listing:
        yield from (folder / entry.name for entry in listing if entry.is_file(follow_symlinks=False))
