"""From an answer to a page that can be read, and from a page to its links. Pure."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import json
import zlib
from typing import TYPE_CHECKING, cast
from urllib.parse import urljoin, urlsplit

from packaging.utils import canonicalize_name, is_normalized_name

from wheelhouse_builder.conformance.html import read_html
from wheelhouse_builder.conformance.model import Format, Link, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wheelhouse_builder.conformance.html import Anchor
    from wheelhouse_builder.conformance.model import Exchange, Observed

Dict = dict[str, object]
MAX_PAGE_BYTES = 256 << 20  # the project list of the largest index has some 40 MB


def decoded(exchange: Exchange) -> bytes | None:
    """The body without its content coding; None if it cannot be decoded, or not here."""
    return decompressed(exchange.body, exchange.headers.get("content-encoding", "").strip().lower())


def decompressed(data: bytes, coding: str) -> bytes | None:
    """`gzip`, `deflate` or `zstd` undone; None if that fails, if it grows too large, or if the coding is unknown."""
    if coding in {"", "identity"}:
        return data
    with contextlib.suppress(zlib.error, gzip.BadGzipFile, EOFError, ImportError, ValueError, OSError):
        if coding in {"gzip", "x-gzip", "deflate"}:
            unpacker = zlib.decompressobj(wbits=47 if coding != "deflate" else 15)
            whole = unpacker.decompress(data, MAX_PAGE_BYTES)
            return whole if unpacker.eof and not unpacker.unused_data else None
        if coding == "zstd":
            return _unzstd(data)
    return None


def _unzstd(data: bytes) -> bytes | None:
    module = zstd_module()
    if module is None:
        return None
    zstd = importlib.import_module(module)
    try:
        unpacker = zstd.ZstdDecompressor()
        whole = cast("bytes", unpacker.decompress(data, MAX_PAGE_BYTES))
    except zstd.ZstdError:
        return None
    return whole if unpacker.eof and not unpacker.unused_data else None


def zstd_module() -> str | None:
    """The module that undoes zstd, if this Python has one: `compression.zstd` since 3.14."""
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            return name
    return None


def read_page(name: str, exchange: Exchange, form: Format | None = None) -> Page:
    """The page in an answer with status 200; `form` only if no header tells it."""
    body = decoded(exchange)
    form = form or form_of(exchange, body or b"")
    if body is None:
        coding = exchange.headers.get("content-encoding", "")
        return Page(name=name, format=form, exchange=exchange, problem=f"cannot be decoded from {coding}")
    try:
        text = body.decode("utf-8-sig" if form is Format.HTML else "utf-8")
        if form is Format.HTML:
            return Page(name=name, format=form, exchange=exchange, html=read_html(text, _url(exchange)))
        return Page(name=name, format=form, exchange=exchange, json=json.loads(text, parse_constant=_no_constant))
    except (ValueError, RecursionError) as error:
        return Page(name=name, format=form, exchange=exchange, problem=f"cannot be read: {error}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def form_of(exchange: Exchange, body: bytes) -> Format:
    """JSON or HTML, by the media type, else by how it begins."""
    media_type = exchange.media_type
    if media_type.endswith("json"):
        return Format.JSON
    if media_type.endswith("html"):
        return Format.HTML
    return Format.JSON if body.lstrip()[:1] in {b"{", b"["} else Format.HTML


def names_of(page: Page) -> list[str]:
    """The projects that a project list names, normalised, each once; without what can be no project's name."""
    if page.html is not None:
        found = [anchor.text for anchor in page.html.anchors]
    else:
        found = [
            str(project["name"]) for project in dicts(page.json, "projects") if isinstance(project.get("name"), str)
        ]
    return [name for name in dict.fromkeys(map(canonicalize_name, found)) if is_normalized_name(name)]


def links_of(page: Page) -> list[Link]:
    """The files that a project page names."""
    if page.html is not None:
        return [link for anchor in page.html.anchors if (link := _html_link(anchor))]
    return [link for file in dicts(page.json, "files") if (link := _json_link(file, _url(page.exchange)))]


def dicts(document: object, key: str) -> list[Dict]:
    """The objects in the list `document[key]`."""
    found = document.get(key) if isinstance(document, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def json_files(observed: Observed) -> Iterator[tuple[str, Dict]]:
    """Every file in the JSON pages of projects."""
    for page in observed.of(Format.JSON, projects=True):
        for number, file in enumerate(dicts(page.json, "files")):
            name = file.get("filename")
            yield f"{page.where}: {name if isinstance(name, str) else f'files[{number}]'}", file


def html_files(observed: Observed) -> Iterator[tuple[str, Anchor]]:
    """Every anchor in the HTML pages of projects."""
    for page in observed.of(Format.HTML, projects=True):
        for anchor in page.html.anchors if page.html else ():
            yield f"{page.where}: {anchor.text or anchor.raw}", anchor


def hashes_in(value: object) -> dict[str, str]:
    """The hashes in a JSON value, if that is what it is."""
    if not isinstance(value, dict):
        return {}
    return {name: digest for name, digest in value.items() if isinstance(name, str) and isinstance(digest, str)}


def hash_of(text: str) -> tuple[str, str] | None:
    """`sha256=ab…` → (`sha256`, `ab…`)"""
    name, equals, digest = text.partition("=")
    return (name, digest) if equals and name and digest else None


def _html_link(anchor: Anchor) -> Link | None:
    if not anchor.filename:
        return None
    attributes = anchor.attributes
    told = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))
    digest, metadata = hash_of(anchor.fragment), hash_of(told or "")
    return Link(
        filename=anchor.filename,
        url=anchor.target,
        hashes=dict([digest]) if digest else {},
        requires_python=attributes.get("data-requires-python") or None,
        core_metadata=metadata is not None or told == "true",
        metadata_hashes=dict([metadata]) if metadata else {},
        yanked=attributes.get("data-yanked"),
        signed=attributes.get("data-gpg-sig") == "true",
        provenance=attributes.get("data-provenance"),
    )


def _json_link(file: Dict, base: str) -> Link | None:
    name, url, size = file.get("filename"), file.get("url"), file.get("size")
    if not isinstance(name, str) or not isinstance(url, str):
        return None
    try:
        absolute = urljoin(base, url)
        urlsplit(absolute)
    except ValueError:
        return None
    metadata = file.get("core-metadata", file.get("dist-info-metadata"))
    python, provenance, yanked = file.get("requires-python"), file.get("provenance"), file.get("yanked")
    return Link(
        filename=name,
        url=absolute,
        hashes=hashes_in(file.get("hashes")),
        size=size if isinstance(size, int) and not isinstance(size, bool) else None,
        requires_python=python if isinstance(python, str) and python else None,
        core_metadata=bool(metadata),
        metadata_hashes=hashes_in(metadata),
        yanked=yanked if isinstance(yanked, str) and yanked else "" if yanked is True else None,
        signed=file.get("gpg-sig") is True,
        provenance=provenance if isinstance(provenance, str) else None,
    )


def _url(exchange: Exchange) -> str:
    return exchange.final_url or exchange.url
