"""The files on JSON pages: PEP 691, 700, 714, 740."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from wheelhouse_builder.conformance.checks.json import DETAIL, PEP700, details, modern_pages
from wheelhouse_builder.conformance.checks.values import (
    SECURE,
    digest_problem,
    provenance_problem,
    specifier_problem,
)
from wheelhouse_builder.conformance.model import Check, Format, Level, each, shown
from wheelhouse_builder.conformance.pages import Dict, dicts, hashes_in, json_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.conformance.model import Observed


_PEP714 = "https://peps.python.org/pep-0714/#servers"

_CORE, _OLD = "core-metadata", "dist-info-metadata"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)


def _with(*keys: str) -> Callable[[Observed], Iterator[tuple[str, Dict]]]:
    return lambda observed: ((where, file) for where, file in json_files(observed) if any(key in file for key in keys))


def _modern_files(observed: Observed) -> Iterator[tuple[str, Dict]]:
    modern = {where for where, _ in modern_pages(observed)}
    for page in observed.of(Format.JSON, projects=True):
        if page.where in modern:
            yield from ((f"{page.where}: {file.get('filename')}", file) for file in dicts(page.json, "files"))


def _unique_files(document: Dict) -> str | None:
    names = Counter(str(file.get("filename")) for file in dicts(document, "files"))
    doubles = [name for name, count in names.items() if count > 1]
    return f"more than once: {', '.join(map(shown, doubles[:5]))}" if doubles else None


def _filename(file: Dict) -> str | None:
    for key in ("filename", "url"):
        if not isinstance(file.get(key), str) or not file[key]:
            return f"{key} is {shown(file.get(key))}"
    return None


def _hashes(value: object) -> str | None:
    if not isinstance(value, dict):
        return f"hashes is {shown(value)}"
    if len(hashes_in(value)) != len(value):
        return f"{shown(value)} does not map names to digests"
    return digest_problem(hashes_in(value))


def _lowercase(file: Dict) -> str | None:
    found = [name for name in hashes_in(file.get("hashes")) if name != name.lower()]
    return f"{', '.join(map(shown, found))}" if found else None


def _secure(file: Dict) -> str | None:
    names = hashes_in(file.get("hashes"))
    return None if SECURE & set(names) else f"the hashes are {', '.join(sorted(names)) or 'none'}"


def _requires_python(file: Dict) -> str | None:
    value = file["requires-python"]
    return None if value is None else specifier_problem(value)  # the package index itself writes null


def _metadata(file: Dict) -> str | None:
    value = file.get(_CORE, file.get(_OLD))
    if isinstance(value, bool):
        return None
    return (
        _hashes(value) if isinstance(value, dict) else f"{shown(value)} is neither a boolean nor a dictionary of hashes"
    )


def _advertised(observed: Observed) -> Iterator[tuple[str, Dict]]:
    yield from ((where, file) for where, file in json_files(observed) if file.get(_CORE) or file.get(_OLD))


def _metadata_hash(file: Dict) -> str | None:
    return None if hashes_in(file.get(_CORE, file.get(_OLD))) else "no hash of the metadata"


def _yanked(file: Dict) -> str | None:
    value = file["yanked"]
    good = isinstance(value, bool) or (isinstance(value, str) and value != "")
    return None if good else f"{shown(value)} is neither a boolean nor a non-empty string"


def _size(file: Dict) -> str | None:
    size = file.get("size")
    good = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    return None if good else f"size is {shown(size)}"


def _upload_time(file: Dict) -> str | None:
    value = file["upload-time"]
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return f"{shown(value)} is not yyyy-mm-ddThh:mm:ss.ffffffZ"
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return f"{value} is no time"
    return None


def _has_upload_time(file: Dict) -> str | None:
    return None if "upload-time" in file else "no upload-time"


def _provenance(file: Dict) -> str | None:
    return None if file["provenance"] is None else provenance_problem(file["provenance"])


def _boolean_signature(file: Dict) -> str | None:
    return None if isinstance(file["gpg-sig"], bool) else f"gpg-sig is {shown(file['gpg-sig'])}"


CHECKS = (
    Check(
        id="json.files.unique",
        level=Level.MUST,
        says="each one representing an individual file",
        link=DETAIL,
        examine=each(details, _unique_files),
    ),
    Check(
        id="json.files.filename",
        level=Level.MUST,
        says="filename: The filename that is being represented; url: The URL that the file can be fetched from",
        link=DETAIL,
        examine=each(json_files, _filename),
    ),
    Check(
        id="json.files.hashes",
        level=Level.MUST,
        says="The hashes dictionary MUST be present, mapping a hash name to a hex encoded digest",
        link=DETAIL,
        examine=each(json_files, lambda file: _hashes(file.get("hashes"))),
    ),
    Check(
        id="json.files.hashes.lowercase",
        level=Level.SHOULD,
        says="These hash names SHOULD always be normalized to be lowercase",
        link=DETAIL,
        examine=each(json_files, _lowercase),
    ),
    Check(
        id="json.files.hashes.secure",
        level=Level.SHOULD,
        says="At least one secure algorithm from hashlib.algorithms_guaranteed SHOULD always be included",
        link=DETAIL,
        examine=each(json_files, _secure),
    ),
    Check(
        id="json.files.requires-python",
        level=Level.MUST,
        says="an optional key that exposes the Requires-Python metadata field: a version specifier",
        link=DETAIL,
        examine=each(_with("requires-python"), _requires_python),
    ),
    Check(
        id="json.files.core-metadata",
        level=Level.MUST,
        says="it MUST be either a boolean or a dictionary mapping hash names to a hex encoded digest",
        link=DETAIL,
        examine=each(_with(_CORE, _OLD), _metadata),
    ),
    Check(
        id="json.files.core-metadata.name",
        level=Level.MUST,
        says="the JSON representation MUST be emitted using the key core-metadata",
        link=_PEP714,
        examine=each(_with(_CORE, _OLD), lambda file: None if _CORE in file else f"only {_OLD} is there"),
    ),
    Check(
        id="json.files.core-metadata.hash",
        level=Level.SHOULD,
        says="It is recommended that servers make the hashes of the metadata file available if possible",
        link=DETAIL,
        examine=each(_advertised, _metadata_hash),
    ),
    Check(
        id="json.files.dist-info-metadata",
        level=Level.GOOD,
        says="pip 22.3 to 23.1 fail on a dictionary under the old key, so JSON is better without it",
        link="https://peps.python.org/pep-0714/#motivation-and-rationale",
        examine=each(_with(_CORE, _OLD), lambda file: "dist-info-metadata is there" if _OLD in file else None),
    ),
    Check(
        id="json.files.gpg-sig",
        level=Level.MUST,
        says="gpg-sig: An optional key that acts a boolean",
        link=DETAIL,
        examine=each(_with("gpg-sig"), _boolean_signature),
    ),
    Check(
        id="json.files.yanked",
        level=Level.MUST,
        says="yanked: either a boolean, or a non empty, but otherwise arbitrary, string",
        link=DETAIL,
        examine=each(_with("yanked"), _yanked),
    ),
    Check(
        id="json.files.size",
        level=Level.MUST,
        says="size: This field is mandatory. It MUST contain an integer which is the file size in bytes",
        link=PEP700,
        examine=each(_modern_files, _size),
    ),
    Check(
        id="json.files.upload-time",
        level=Level.MUST,
        says="If present, it MUST contain a valid ISO 8601 date/time string, in the format yyyy-mm-ddThh:mm:ss.ffffffZ",
        link=PEP700,
        examine=each(_with("upload-time"), _upload_time),
    ),
    Check(
        id="json.files.upload-time.there",
        level=Level.GOOD,
        says="pip's --uploaded-prior-to stops with an error where it is missing, uv's --exclude-newer finds nothing",
        link="https://pip.pypa.io/en/stable/cli/pip_install/#cmdoption-uploaded-prior-to",
        examine=each(json_files, _has_upload_time),
    ),
    Check(
        id="json.files.provenance",
        level=Level.MUST,
        says="provenance: null, or a fully qualified URL on a secure origin",
        link=DETAIL,
        examine=each(_with("provenance"), _provenance),
    ),
)
