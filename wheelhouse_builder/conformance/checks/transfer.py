"""How files are sent: conditions, ranges, headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.conformance.checks.conditions import not_modified
from wheelhouse_builder.conformance.checks.files import asked, fetched, files
from wheelhouse_builder.conformance.checks.http import RFC, Pair, head_length
from wheelhouse_builder.conformance.model import Check, FileSeen, Level, each, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.conformance.model import Observed

_PARTS = ("range", "range-open", "range-suffix")


def _over_http(observed: Observed) -> Iterator[tuple[str, FileSeen]]:
    if observed.folder is None:
        yield from fetched(observed)


def _pairs(name: str) -> Callable[[Observed], Iterator[tuple[str, Pair]]]:
    found = asked(name)
    return lambda observed: ((where, (file.got, file.asked[name])) for where, file in found(observed))


def _ranged(observed: Observed) -> Iterator[tuple[str, FileSeen]]:
    """Files that are sent in parts."""
    yield from ((where, file) for where, file in asked("range")(observed) if file.asked["range"].status == 206)


def _partial(observed: Observed) -> Iterator[tuple[str, tuple[FileSeen, str]]]:
    for where, file in files(observed):
        for name in _PARTS:
            if name in file.asked and file.asked[name].status == 206:
                yield f"{where} with Range: {file.asked[name].asked.get('Range')}", (file, name)


def _length(file: FileSeen) -> str | None:
    told = file.got.headers.get("content-length")
    return None if told == str(file.got.size) else f"Content-Length is {shown(told)}, {file.got.size} bytes came"


def _no_coding(file: FileSeen) -> str | None:
    coding = file.asked["gzip"].headers.get("content-encoding", "identity")
    return None if coding == "identity" else f"sent with Content-Encoding: {coding}"


def _validator(file: FileSeen) -> str | None:
    return (
        None if file.got.headers.get("etag") or file.got.headers.get("last-modified") else "no ETag, no Last-Modified"
    )


def _disposition(file: FileSeen) -> str | None:
    told = file.got.headers.get("content-disposition", "")
    good = "filename" not in told or file.link.filename in told
    return None if good else f"Content-Disposition is {shown(told)}"


def _accepts_ranges(file: FileSeen) -> str | None:
    told = file.asked["head"].headers.get("accept-ranges", "").lower()
    return None if told == "bytes" else f"Accept-Ranges is {shown(told)}"


def _part(subject: tuple[FileSeen, str]) -> str | None:
    """Whether Content-Range and content are those of the part that was asked for."""
    file, name = subject
    answer, expected = file.asked[name], file.slices.get(name, b"")
    size = file.got.size
    first = {"range": 0, "range-open": size // 2, "range-suffix": max(size - 10, 0)}[name]
    last = min(9, size - 1) if name == "range" else size - 1
    told = " ".join(answer.headers.get("content-range", "").split())
    if told not in {f"bytes {first}-{last}/{size}", f"bytes {first}-{last}/*"}:
        return f"Content-Range is {shown(told)}, not bytes {first}-{last}/{size}"
    if answer.size != last - first + 1 or not answer.body.startswith(expected[: len(answer.body)]):
        return f"{answer.size} other bytes than bytes {first}-{last} of the file"
    return None


def _unsatisfiable(file: FileSeen) -> str | None:
    answer = file.asked["beyond"]
    if answer.status != 416:
        return f"answered {answer.told}"
    told = " ".join(answer.headers.get("content-range", "").split())
    return None if told == f"bytes */{file.got.size}" else f"Content-Range is {shown(told)}"


def _if_range(file: FileSeen) -> str | None:
    answer = file.asked["if-range"]
    return None if answer.status == 200 else f"answered {answer.told}: a resumed download is two files in one"


def _if_range_same(file: FileSeen) -> str | None:
    return None if file.asked["if-range-same"].status == 206 else f"answered {file.asked['if-range-same'].told}"


def _resumable(name: str) -> Callable[[Observed], Iterator[tuple[str, FileSeen]]]:
    return lambda observed: ((where, file) for where, file in _ranged(observed) if name in file.asked)


def _suffix(file: FileSeen) -> str | None:
    return None if file.asked["range-suffix"].status == 206 else f"answered {file.asked['range-suffix'].told}"


def _cached(file: FileSeen) -> str | None:
    return None if file.got.headers.get("cache-control") else "no Cache-Control"


def _head(pair: Pair) -> str | None:
    got, head = pair
    return head_length(pair) if head.status == got.status else f"answered {head.told}"


CHECKS = (
    Check(
        id="files.length",
        level=Level.SHOULD,
        says="an origin server SHOULD send a Content-Length when the content size is known",
        link=f"{RFC}#section-8.6",
        examine=each(_over_http, _length),
    ),
    Check(
        id="files.validator",
        level=Level.SHOULD,
        says="SHOULD send an ETag or Last-Modified: without one a download cannot be resumed",
        link=f"{RFC}#section-8.8",
        examine=each(_over_http, _validator),
    ),
    Check(
        id="files.304",
        level=Level.MUST,
        says="If-None-Match with the ETag: the origin server MUST respond with 304 (Not Modified)",
        link=f"{RFC}#section-13.1.2",
        examine=each(_pairs("match"), not_modified),
    ),
    Check(
        id="files.cache-control",
        level=Level.GOOD,
        says="a file never changes: max-age and immutable spare every later request",
        link="https://www.rfc-editor.org/rfc/rfc8246.html",
        examine=each(_over_http, _cached),
    ),
    Check(
        id="files.disposition",
        level=Level.GOOD,
        says="pip takes the file name of Content-Disposition",
        link="https://www.rfc-editor.org/rfc/rfc6266.html",
        examine=each(_over_http, _disposition),
    ),
    Check(
        id="files.encoding",
        level=Level.GOOD,
        says="no Content-Encoding on wheels and sdists: hashes, ranges and resumption are of the file itself",
        link=f"{RFC}#section-8.4",
        examine=each(asked("gzip"), _no_coding),
    ),
    Check(
        id="files.head",
        level=Level.SHOULD,
        says="The server SHOULD send the same header fields in response to a HEAD request as to GET",
        link=f"{RFC}#section-9.3.2",
        examine=each(_pairs("head"), _head),
    ),
    Check(
        id="files.ranges",
        level=Level.GOOD,
        says="Range: downloads are resumed, and uv reads METADATA of a wheel without fetching it whole",
        link=f"{RFC}#section-14.2",
        examine=each(asked("range"), lambda file: None if file.asked["range"].status == 206 else "the whole file came"),
    ),
    Check(
        id="files.ranges.told",
        level=Level.GOOD,
        says="Accept-Ranges: bytes tells that ranges are understood; pip and uv look for it",
        link=f"{RFC}#section-14.3",
        examine=each(_resumable("head"), _accepts_ranges),
    ),
    Check(
        id="files.ranges.part",
        level=Level.MUST,
        says="a 206 MUST have a Content-Range that describes what range is enclosed",
        link=f"{RFC}#section-15.3.7.1",
        examine=each(_partial, _part),
    ),
    Check(
        id="files.ranges.suffix",
        level=Level.GOOD,
        says="a suffix range: uv asks for the end of a wheel, where its directory is",
        link=f"{RFC}#section-14.1.2",
        examine=each(_resumable("range-suffix"), _suffix),
    ),
    Check(
        id="files.ranges.beyond",
        level=Level.SHOULD,
        says="416 for a range that starts after the end, with Content-Range: bytes */<size>",
        link=f"{RFC}#section-15.5.17",
        examine=each(_resumable("beyond"), _unsatisfiable),
    ),
    Check(
        id="files.if-range",
        level=Level.MUST,
        says="If the validator does not match, the recipient MUST ignore the Range header field",
        link=f"{RFC}#section-13.1.5",
        examine=each(_resumable("if-range"), _if_range),
    ),
    Check(
        id="files.if-range.same",
        level=Level.SHOULD,
        says="If-Range with the ETag: the part is sent",
        link=f"{RFC}#section-13.1.5",
        examine=each(_resumable("if-range-same"), _if_range_same),
    ),
)
