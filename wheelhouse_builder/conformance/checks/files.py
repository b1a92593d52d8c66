"""The files: names, content, what is beside them, and how they are sent."""

from __future__ import annotations

import json
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from wheelhouse_builder.conformance.model import Check, Exchange, FileSeen, Level, Link, each, shown
from wheelhouse_builder.conformance.pages import links_of
from wheelhouse_builder.conformance.vectors import SPEC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.conformance.model import Observed

_BASE, _DETAIL = f"{SPEC}#base-html-api", f"{SPEC}#project-detail"
_METADATA = f"{SPEC}#serve-distribution-metadata-in-the-simple-repository-api"
_WHEEL = "https://packaging.python.org/en/latest/specifications/binary-distribution-format/"
_CORE = "https://packaging.python.org/en/latest/specifications/core-metadata/"
_PROVENANCE = "https://packaging.python.org/en/latest/specifications/index-hosted-attestations/#provenance-objects"
_SDIST_ENDINGS = (".tar.gz", ".zip")


def _all_links(observed: Observed) -> Iterator[tuple[str, tuple[str, Link]]]:
    for page in observed.pages:
        if page.name:
            yield from ((f"{page.where}: {link.filename}", (page.name, link)) for link in links_of(page))


def files(observed: Observed) -> Iterator[tuple[str, FileSeen]]:
    """Every file that was asked for."""
    yield from ((file.link.url, file) for file in observed.files)


def fetched(observed: Observed) -> Iterator[tuple[str, FileSeen]]:
    """Those that came whole."""
    yield from ((where, file) for where, file in files(observed) if _whole(file))


def _whole(file: FileSeen) -> bool:
    return file.got.status == 200 and not file.got.error


def _hashed(observed: Observed) -> Iterator[tuple[str, FileSeen]]:
    yield from ((where, file) for where, file in fetched(observed) if file.digests)


def _sized(observed: Observed) -> Iterator[tuple[str, FileSeen]]:
    yield from ((where, file) for where, file in fetched(observed) if file.link.size is not None)


def _wheels(observed: Observed) -> Iterator[tuple[str, FileSeen]]:
    yield from ((where, file) for where, file in fetched(observed) if file.link.filename.endswith(".whl"))


def _read(observed: Observed) -> Iterator[tuple[str, FileSeen]]:
    yield from ((where, file) for where, file in _wheels(observed) if file.metadata is not None)


def asked(name: str) -> Callable[[Observed], Iterator[tuple[str, FileSeen]]]:
    """Those that this question was asked of."""
    return lambda observed: ((where, file) for where, file in files(observed) if name in file.asked)


def _served(name: str) -> Callable[[Observed], Iterator[tuple[str, FileSeen]]]:
    found = asked(name)
    return lambda observed: ((where, file) for where, file in found(observed) if file.asked[name].status == 200)


def _name(subject: tuple[str, Link]) -> str | None:
    name = subject[1].filename
    try:
        if name.endswith(".whl"):
            parse_wheel_filename(name)
        elif name.endswith(_SDIST_ENDINGS):
            parse_sdist_filename(name)
    except (InvalidWheelFilename, InvalidSdistFilename) as error:
        return str(error)
    return None


def _project(subject: tuple[str, Link]) -> str | None:
    project, link = subject
    try:
        found = (parse_wheel_filename if link.filename.endswith(".whl") else parse_sdist_filename)(link.filename)[0]
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None  # `files.name` tells it
    return None if found == project else f"it is of {found}, on the page of {project}"


def _tags(subject: tuple[str, Link]) -> str | None:
    try:
        tags = parse_wheel_filename(subject[1].filename)[-1]
    except InvalidWheelFilename:
        return None
    bare = sorted({tag.platform for tag in tags if tag.platform.startswith("linux_")})
    return f"{', '.join(bare)}: for the machine that built it, for no other" if bare else None


def _advertised(subject: tuple[str, Link]) -> str | None:
    return None if subject[1].core_metadata else "no core-metadata"


def _wheel_links(observed: Observed) -> Iterator[tuple[str, tuple[str, Link]]]:
    yield from ((where, pair) for where, pair in _all_links(observed) if pair[1].filename.endswith(".whl"))


def _digests(file: FileSeen) -> str | None:
    for name, digest in file.digests.items():
        if digest != file.link.hashes[name].lower():
            return f"its {name} is {digest}, the page tells {shown(file.link.hashes[name])}"
    return None


def _size(file: FileSeen) -> str | None:
    return None if file.got.size == file.link.size else f"it has {file.got.size} bytes, the page tells {file.link.size}"


def _sidecar_hash(file: FileSeen) -> str | None:
    import hashlib  # noqa: PLC0415

    body = file.asked["metadata"].body
    for name, expected in file.link.metadata_hashes.items():
        if name in hashlib.algorithms_guaranteed and not name.startswith("shake"):
            digest = hashlib.new(name, body, usedforsecurity=False).hexdigest()
            if digest != expected.lower():
                return f"its {name} is {digest}, the page tells {shown(expected)}"
    return None


def _same_metadata(file: FileSeen) -> str | None:
    same = file.asked["metadata"].body == file.metadata
    return None if same else "it is not what METADATA in the wheel is, byte for byte"


def _sidecars(observed: Observed) -> Iterator[tuple[str, FileSeen]]:
    yield from ((where, file) for where, file in _read(observed) if _good(file.asked.get("metadata")))


def _hashed_sidecars(observed: Observed) -> Iterator[tuple[str, FileSeen]]:
    for where, file in _served("metadata")(observed):
        if file.link.metadata_hashes:
            yield where, file


def _good(exchange: Exchange | None) -> bool:
    return exchange is not None and exchange.status == 200 and not exchange.error


def _field(file: FileSeen, name: str) -> str | None:
    value = BytesHeaderParser().parsebytes(file.metadata or b"").get(name)
    return None if value is None else str(value).strip()


def _requires_python(file: FileSeen) -> str | None:
    inside, told = _field(file, "Requires-Python"), file.link.requires_python
    if inside == told:
        return None
    try:
        if inside and told and SpecifierSet(inside) == SpecifierSet(told):
            return None
    except InvalidSpecifier:
        pass
    return f"METADATA has {shown(inside)}, the page {shown(told)}"


def _python_told(observed: Observed) -> Iterator[tuple[str, FileSeen]]:
    yield from ((where, file) for where, file in _read(observed) if file.link.requires_python is not None)


def _python_there(observed: Observed) -> Iterator[tuple[str, FileSeen]]:
    yield from ((where, file) for where, file in _read(observed) if _field(file, "Requires-Python"))


def _identity(file: FileSeen) -> str | None:
    name, version = _field(file, "Name"), _field(file, "Version")
    try:
        expected_name, expected, _, _ = parse_wheel_filename(file.link.filename)
        same = bool(name) and canonicalize_name(str(name)) == expected_name and Version(str(version)) == expected
    except (InvalidWheelFilename, InvalidVersion):
        same = False
    return None if same else f"METADATA is of {shown(name)} {shown(version)}"


def _is_served(name: str) -> Callable[[FileSeen], str | None]:
    return lambda file: None if _good(file.asked[name]) else f"answered {file.asked[name].told}"


def _provenance(file: FileSeen) -> str | None:
    answer = file.asked["provenance"]
    try:
        document = json.loads(answer.body) if answer.status == 200 else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return f"answered {answer.told}, and no JSON object"
    bundles = document.get("attestation_bundles")
    good = document.get("version") == 1 and isinstance(bundles, list) and bool(bundles)
    return None if good else "no version 1, or no attestation_bundles"


CHECKS = (
    Check(
        id="files.name",
        level=Level.MUST,
        says="the name of a wheel, or of an sdist, is as its specification says",
        link=f"{_WHEEL}#file-name-convention",
        examine=each(_all_links, _name),
    ),
    Check(
        id="files.project",
        level=Level.MUST,
        says="a single anchor element per file for the project: one project a page",
        link=_BASE,
        examine=each(_all_links, _project),
    ),
    Check(
        id="files.platform",
        level=Level.GOOD,
        says="linux_* tells neither glibc nor musl nor their version: manylinux_* and musllinux_* do",
        link="https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/",
        examine=each(_wheel_links, _tags),
    ),
    Check(
        id="files.metadata.advertised",
        level=Level.GOOD,
        says="with core-metadata pip and uv resolve without downloading wheels",
        link=_METADATA,
        examine=each(_wheel_links, _advertised),
    ),
    Check(
        id="files.found",
        level=Level.MUST,
        says="a URL that links to the location of the file for download",
        link=_BASE,
        examine=each(files, lambda file: None if file.got.status == 200 else f"answered {file.got.told}"),
    ),
    Check(
        id="files.hash",
        level=Level.MUST,
        says="a hex encoded digest of the file",
        link=_DETAIL,
        examine=each(_hashed, _digests),
    ),
    Check(
        id="files.size",
        level=Level.MUST,
        says="size MUST contain an integer which is the file size in bytes",
        link="https://peps.python.org/pep-0700/#specification",
        examine=each(_sized, _size),
    ),
    Check(
        id="files.wheel",
        level=Level.MUST,
        says="A wheel is a ZIP-format archive with one {distribution}-{version}.dist-info/METADATA",
        link=f"{_WHEEL}#file-contents",
        examine=each(_wheels, lambda file: file.damage or None),
    ),
    Check(
        id="files.identity",
        level=Level.MUST,
        says="name and version of the file name are those of METADATA",
        link=f"{_WHEEL}#file-name-convention",
        examine=each(_read, _identity),
    ),
    Check(
        id="files.requires-python",
        level=Level.MUST,
        says="exposes the Requires-Python metadata field",
        link=f"{_CORE}#requires-python",
        examine=each(_python_told, _requires_python),
    ),
    Check(
        id="files.requires-python.told",
        level=Level.GOOD,
        says="a wheel that needs a Python is told with it: else an older Python fetches it, and fails then",
        link=f"{_CORE}#requires-python",
        examine=each(
            _python_there, lambda file: None if file.link.requires_python else "METADATA has it, the page not"
        ),
    ),
    Check(
        id="files.metadata",
        level=Level.MUST,
        says="the repository MUST serve the distribution's Core Metadata file with a .metadata appended to its name",
        link=_METADATA,
        examine=each(asked("metadata"), _is_served("metadata")),
    ),
    Check(
        id="files.metadata.hash",
        level=Level.MUST,
        says="the hash of the Core Metadata file",
        link=_METADATA,
        examine=each(_hashed_sidecars, _sidecar_hash),
    ),
    Check(
        id="files.metadata.same",
        level=Level.MUST,
        says="the distribution's Core Metadata file: pip 26.2 on stops with an error where the two disagree",
        link="https://github.com/pypa/pip/pull/13983",
        examine=each(_sidecars, _same_metadata),
    ),
    Check(
        id="files.signature",
        level=Level.MUST,
        says="a GPG signature MUST live alongside that file with the same name with a .asc appended to it",
        link=_BASE,
        examine=each(asked("signature"), _is_served("signature")),
    ),
    Check(
        id="files.provenance",
        level=Level.MUST,
        says="the provenance object is JSON with version 1 and one or more attestation_bundles",
        link=_PROVENANCE,
        examine=each(asked("provenance"), _provenance),
    ),
)
