"""The questions that are asked of one page and of one file. GET and HEAD only: nothing changes at the other end."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from wheelhouse_builder.conformance.model import HTML_TYPE, JSON_TYPE, TEXT_TYPE, Exchange, FileSeen, Link, Probed
from wheelhouse_builder.conformance.source import ELSEWHERE
from wheelhouse_builder.conformance.vectors import VECTORS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from wheelhouse_builder.conformance.source import Source

OTHER_TAG = '"whb-no-such-tag"'
UNKNOWN = "whb-no-such-project-0f3a9d"
_FORMATS = {"json": JSON_TYPE, "html": HTML_TYPE}
_SPOOL_BYTES = 8 << 20  # of a file are kept in memory
_MAX_METADATA_BYTES = 16 << 20


def probe_page(source: Source, url: str, name: str) -> Probed:
    """Ask for a page in every way: negotiation, conditions, encodings, HEAD, spellings of its URL."""
    asked: dict[str, Exchange] = {}
    for vector in VECTORS:
        asked[f"accept:{vector.name}"] = source.fetch(url, {"Accept": vector.accept} if vector.accept else {})
    for form, media_type in _FORMATS.items():
        asked[f"format:{form}"] = source.fetch(f"{url}?format={media_type.replace('+', '%2B')}", {"Accept": "*/*"})
        other = {"json": TEXT_TYPE, "html": JSON_TYPE}[form]
        asked[f"format:{form}:wins"] = source.fetch(f"{url}?format={media_type.replace('+', '%2B')}", {"Accept": other})
    best = JSON_TYPE if asked["accept:json"].media_type == JSON_TYPE else TEXT_TYPE
    asked |= _conditions(source, url, {"Accept": best})
    asked |= _spellings(source, url, name, {"Accept": best})
    return Probed(where=url, asked=asked)


def _conditions(source: Source, url: str, accept: Mapping[str, str]) -> dict[str, Exchange]:
    plain = source.fetch(url, accept)
    asked = {"plain": plain, "head": source.fetch(url, accept, method="HEAD")}
    for coding in ("gzip", "zstd"):
        asked[coding] = source.fetch(url, {**accept, "Accept-Encoding": coding})
    asked["uncoded"] = source.fetch(url, {**accept, "Accept-Encoding": "gzip;q=0, zstd;q=0, identity"})
    asked["mismatch"] = source.fetch(url, {**accept, "If-None-Match": OTHER_TAG})
    if tag := plain.headers.get("etag"):
        weak = tag if tag.startswith("W/") else f"W/{tag}"
        asked["match"] = source.fetch(url, {**accept, "If-None-Match": tag})
        asked["match-list"] = source.fetch(url, {**accept, "If-None-Match": f"{OTHER_TAG}, {weak}"})
    if (tag := asked["gzip"].headers.get("etag")) and asked["gzip"].headers.get("content-encoding"):
        asked["match-gzip"] = source.fetch(url, {**accept, "Accept-Encoding": "gzip", "If-None-Match": tag})
    if modified := plain.headers.get("last-modified"):
        asked["since"] = source.fetch(url, {**accept, "If-Modified-Since": modified})
    return asked


def _spellings(source: Source, url: str, name: str, accept: Mapping[str, str]) -> dict[str, Exchange]:
    asked = {}
    if len(urlsplit(url).path) > 1:
        asked["slash"] = source.fetch(url.rstrip("/"), accept, follow=False)
    if name:
        other = name.upper().replace("-", "_")
        if other != name:
            asked["unnormalised"] = source.fetch(f"{source.base}{other}/", accept)
        asked["unknown"] = source.fetch(f"{source.base}{UNKNOWN}/", accept, follow=False)
    return asked


def look_at_file(source: Source, link: Link, project: str, *, probing: bool) -> FileSeen:
    """Fetch a file whole, with its sidecars, and ask for parts of it if `probing`."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as sink:
        got = source.fetch(link.url, {"Accept-Encoding": "identity"}, sink=cast("IO[bytes]", sink))
        whole = got.status == 200 and not got.error
        wheel = link.filename.endswith(".whl")
        digests = {name: digest for name in link.hashes if whole and (digest := _digest(sink, name))}
        metadata, damage = _metadata(cast("IO[bytes]", sink)) if wheel and whole else (None, "")
        slices = _slices(cast("IO[bytes]", sink), got.size) if whole else {}
    asked = _sidecars(source, link)
    if probing and whole:
        asked |= _parts(source, link.url, got)
    return FileSeen(
        link=link,
        project=project,
        got=got,
        digests=digests,
        metadata=metadata,
        damage=damage,
        slices=slices,
        asked=asked,
    )


def _digest(sink: object, name: str) -> str | None:
    stream = cast("IO[bytes]", sink)
    stream.seek(0)
    try:
        digest = hashlib.new(name.lower(), usedforsecurity=False)
    except ValueError:
        return None
    if digest.digest_size == 0:  # shake: has no length of its own
        return None
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _metadata(stream: IO[bytes]) -> tuple[bytes | None, str]:
    """METADATA inside the wheel, or what is wrong with the wheel."""
    try:
        with zipfile.ZipFile(stream) as archive:
            found = [
                member
                for member in archive.infolist()
                if member.filename.endswith(".dist-info/METADATA") and member.filename.count("/") == 1
            ]
            if len(found) != 1:
                return None, f"it has {len(found)} METADATA files"
            if found[0].file_size > _MAX_METADATA_BYTES:
                return None, "its METADATA is too large"
            return archive.read(found[0]), ""
    except Exception as error:  # damaged data: zipfile, zlib, lzma and bz2 each have their own
        return None, f"{type(error).__name__}: {error}"


def _ranges(size: int) -> dict[str, tuple[str, int, int]]:
    """Name → (Range header, first byte, end)."""
    middle = size // 2
    return {
        "range": ("bytes=0-9", 0, min(10, size)),
        "range-open": (f"bytes={middle}-", middle, size),
        "range-suffix": ("bytes=-10", max(size - 10, 0), size),
    }


def _slices(stream: IO[bytes], size: int) -> dict[str, bytes]:
    slices = {}
    for name, (_, first, end) in _ranges(size).items():
        stream.seek(first)
        slices[name] = stream.read(min(end - first, 1 << 16))  # the head of a long part is enough
    return slices


def _sidecars(source: Source, link: Link) -> dict[str, Exchange]:
    asked = {}
    if link.core_metadata:
        asked["metadata"] = source.fetch(f"{link.url}.metadata", {"Accept-Encoding": "identity"})
    if link.signed:
        asked["signature"] = source.fetch(f"{link.url}.asc", {"Accept-Encoding": "identity"})
    if link.provenance and link.provenance.startswith("https://"):
        asked["provenance"] = source.fetch(link.provenance, {"Accept-Encoding": "identity"})
    return {name: answer for name, answer in asked.items() if answer.error != ELSEWHERE}


def _parts(source: Source, url: str, got: Exchange) -> dict[str, Exchange]:
    plain = {"Accept-Encoding": "identity"}
    asked = {"head": source.fetch(url, plain, method="HEAD")}
    asked["gzip"] = source.fetch(url, {"Accept-Encoding": "gzip"}, method="HEAD")
    for name, (header, _, _) in _ranges(got.size).items():
        asked[name] = _drained(source, url, {**plain, "Range": header})
    asked["beyond"] = _drained(source, url, {**plain, "Range": f"bytes={got.size + 10}-"})
    asked["if-range"] = _drained(source, url, {**plain, "Range": "bytes=0-9", "If-Range": OTHER_TAG})
    tag = got.headers.get("etag", "")
    if tag and not tag.startswith("W/"):
        asked["if-range-same"] = _drained(source, url, {**plain, "Range": "bytes=0-9", "If-Range": tag})
    if tag:
        asked["match"] = _drained(source, url, {**plain, "If-None-Match": tag})
    return asked


def _drained(source: Source, url: str, headers: Mapping[str, str]) -> Exchange:
    """The answer with the head of its body only: a server without ranges sends the whole file."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as sink:
        stream = cast("IO[bytes]", sink)
        answer = source.fetch(url, headers, sink=stream)
        stream.seek(0)
        return Exchange(**{**vars(answer), "body": stream.read(1 << 16)})
