"""The JSON pages: PEP 691, 700, 714, 740 and 792, up to version 1.5."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    is_normalized_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from wheelhouse_builder.conformance.checks.values import (
    STATUSES,
    api_version,
    version_problem,
)
from wheelhouse_builder.conformance.model import Check, Format, Level, each, shown
from wheelhouse_builder.conformance.pages import Dict, dicts
from wheelhouse_builder.conformance.vectors import SPEC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wheelhouse_builder.conformance.model import Observed, Page


DETAIL = f"{SPEC}#project-detail"
_JSON, _LIST = f"{SPEC}#json-serialization", f"{SPEC}#project-list"

PEP700 = "https://peps.python.org/pep-0700/#specification"

_STATUS = "https://packaging.python.org/en/latest/specifications/project-status-markers/"
_SINCE = {"size": (1, 1), "upload-time": (1, 1), "provenance": (1, 3)}
_PAGE_SINCE = {"versions": (1, 1), "project-status": (1, 4), "namespaces": (1, 5)}

_PEP708_KEYS = ("alternate-locations", "tracks")


def _pages(observed: Observed) -> Iterator[tuple[str, Page]]:
    yield from ((page.where, page) for page in observed.of(Format.JSON))


def _documents(observed: Observed) -> Iterator[tuple[str, Dict]]:
    yield from ((page.where, page.json) for page in observed.of(Format.JSON) if isinstance(page.json, dict))


def _lists(observed: Observed) -> Iterator[tuple[str, Dict]]:
    for page in observed.of(Format.JSON, projects=False):
        if isinstance(page.json, dict):
            yield page.where, page.json


def details(observed: Observed) -> Iterator[tuple[str, Dict]]:
    """The documents of projects."""
    for page in observed.of(Format.JSON, projects=True):
        if isinstance(page.json, dict):
            yield page.where, page.json


def _named(observed: Observed) -> Iterator[tuple[str, tuple[str, object]]]:
    for page in observed.of(Format.JSON, projects=True):
        if isinstance(page.json, dict):
            yield page.where, (page.name, page.json.get("name"))


def modern_pages(observed: Observed) -> Iterator[tuple[str, Dict]]:
    """Pages of projects that say they are of version 1.1 or later."""
    for where, document in details(observed):
        version = api_version(meta(document).get("api-version"))
        if version and version >= (1, 1):
            yield where, document


def _with_versions(observed: Observed) -> Iterator[tuple[str, Dict]]:
    yield from ((where, page) for where, page in details(observed) if isinstance(page.get("versions"), list))


def _with_status(observed: Observed) -> Iterator[tuple[str, Dict]]:
    for where, page in details(observed):
        if "project-status" in page or "project-status" in meta(page):
            yield where, page


def _quarantined(observed: Observed) -> Iterator[tuple[str, Dict]]:
    for where, page in _with_status(observed):
        status = page.get("project-status")
        if isinstance(status, dict) and status.get("status") == "quarantined":
            yield where, page


def meta(document: Dict) -> Dict:
    meta = document.get("meta")
    return meta if isinstance(meta, dict) else {}


def _is_object(page: Page) -> str | None:
    if page.problem:
        return page.problem
    return None if isinstance(page.json, dict) else f"the document is {shown(page.json)}"


def _api_version(document: Dict) -> str | None:
    if not isinstance(document.get("meta"), dict):
        return f"meta is {shown(document.get('meta'))}"
    return version_problem(meta(document).get("api-version"))


def _features(document: Dict) -> str | None:
    """No key of a later version than the document says it is of."""
    version = api_version(meta(document).get("api-version"))
    if version is None:
        return None  # `json.api-version` tells it
    used = {key: since for key, since in _PAGE_SINCE.items() if key in document}
    for file in dicts(document, "files"):
        used |= {key: since for key, since in _SINCE.items() if key in file}
    late = sorted(key for key, since in used.items() if since > version)
    return f"version {version[0]}.{version[1]} has no {', '.join(late)}" if late else None


def _rejected(document: Dict) -> str | None:
    found = [key for key in _PEP708_KEYS if key in document or key in meta(document)]
    return f"{', '.join(found)} of the rejected PEP 708" if found else None


def _projects(document: Dict) -> str | None:
    projects = document.get("projects")
    if not isinstance(projects, list):
        return f"projects is {shown(projects)}"
    for project in projects:
        name = project.get("name") if isinstance(project, dict) else None
        if not isinstance(name, str) or not is_normalized_name(canonicalize_name(name)):
            return f"{shown(project)} has no name that a project can have"
    return None


def _unique_projects(document: Dict) -> str | None:
    names = Counter(canonicalize_name(str(project.get("name"))) for project in dicts(document, "projects"))
    doubles = [name for name, count in names.items() if count > 1]
    return f"more than once: {', '.join(map(shown, doubles[:5]))}" if doubles else None


def _name(subject: tuple[str, object]) -> str | None:
    expected, name = subject
    return None if name == expected else f"name is {shown(name)} instead of {expected!r}"


def _files(document: Dict) -> str | None:
    files = document.get("files")
    if not isinstance(files, list):
        return f"files is {shown(files)}"
    bad = next((file for file in files if not isinstance(file, dict)), None)
    return f"files holds {shown(bad)}" if bad is not None else None


def _versions(document: Dict) -> str | None:
    versions = document.get("versions")
    if not isinstance(versions, list) or not all(isinstance(version, str) for version in versions):
        return f"versions is {shown(versions)}"
    doubles = [version for version, count in Counter(versions).items() if count > 1]
    return f"more than once: {', '.join(map(shown, doubles[:5]))}" if doubles else None


def _covers_files(document: Dict) -> str | None:
    listed = document["versions"]
    known = {_normal(version) for version in listed if isinstance(version, str)} if isinstance(listed, list) else set()
    for file in dicts(document, "files"):
        version = version_in(str(file.get("filename")))
        if version is not None and version not in known:
            return f"{file.get('filename')} is of no listed version"
    return None


def _normalised_versions(document: Dict) -> str | None:
    listed = document["versions"]
    for version in listed if isinstance(listed, list) else ():
        if isinstance(version, str) and _normal(version) != version:
            return f"{shown(version)} would be {shown(_normal(version))}"
    return None


def _normal(version: str) -> str:
    try:
        return str(Version(version))
    except InvalidVersion:  # "legacy" versions are allowed
        return version


def version_in(filename: str) -> str | None:
    """The version in the name of a wheel or an sdist; None for other names."""
    try:
        if filename.endswith(".whl"):
            return str(parse_wheel_filename(filename)[1])
        return str(parse_sdist_filename(filename)[1])
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None


def _status(document: Dict) -> str | None:
    status = document.get("project-status")
    if not isinstance(status, dict):
        return f"project-status is {shown(status)}, not an object on top"
    if status.get("status", "active") not in sorted(STATUSES):
        return f"{shown(status.get('status'))} is none of {', '.join(sorted(STATUSES))}"
    good = isinstance(status.get("reason", ""), str)
    return None if good else f"the reason is {shown(status['reason'])}"


def _no_files(document: Dict) -> str | None:
    files = dicts(document, "files")
    return f"the project is quarantined and offers {len(files)} files" if files else None


CHECKS = (
    Check(
        id="json.object",
        level=Level.MUST,
        says="All JSON responses will always be a JSON object rather than an array or other type",
        link=_JSON,
        examine=each(_pages, _is_object),
    ),
    Check(
        id="json.api-version",
        level=Level.MUST,
        says="a meta.api-version key, a string that contains the Major.Minor version number",
        link=_JSON,
        examine=each(_documents, _api_version),
    ),
    Check(
        id="json.api-version.features",
        level=Level.MUST,
        says="the minor version MUST be incremented if features are added",
        link=f"{SPEC}#versioning",
        examine=each(details, _features),
    ),
    Check(
        id="json.rejected",
        level=Level.GOOD,
        says="no keys of PEP 708, which was rejected",
        link="https://peps.python.org/pep-0708/",
        examine=each(_documents, _rejected),
    ),
    Check(
        id="json.list",
        level=Level.MUST,
        says="projects: An array where each entry is a dictionary with a single key, name",
        link=_LIST,
        examine=each(_lists, _projects),
    ),
    Check(
        id="json.list.unique",
        level=Level.MUST,
        says="Mentally this is best thought of as a set: each project once",
        link=_LIST,
        examine=each(_lists, _unique_projects),
    ),
    Check(
        id="json.name",
        level=Level.MUST,
        says="name: The normalized name of the project",
        link=DETAIL,
        examine=each(_named, _name),
    ),
    Check(
        id="json.files",
        level=Level.MUST,
        says="files: A list of dictionaries, each one representing an individual file",
        link=DETAIL,
        examine=each(details, _files),
    ),
    Check(
        id="json.versions",
        level=Level.MUST,
        says="versions MUST be present; a list of version strings that may not contain duplicates",
        link=PEP700,
        examine=each(modern_pages, _versions),
    ),
    Check(
        id="json.versions.files",
        level=Level.MUST,
        says="All of the files listed in the files key MUST be associated with one of the versions",
        link=PEP700,
        examine=each(_with_versions, _covers_files),
    ),
    Check(
        id="json.versions.normalised",
        level=Level.SHOULD,
        says="servers SHOULD use normalised versions where possible",
        link=PEP700,
        examine=each(_with_versions, _normalised_versions),
    ),
    Check(
        id="json.status",
        level=Level.MUST,
        says="project-status: an object with status, one of the status markers, and maybe a reason",
        link="https://peps.python.org/pep-0792/#json-index",
        examine=each(_with_status, _status),
    ),
    Check(
        id="json.status.quarantined",
        level=Level.MUST,
        says="The index MUST NOT offer any distributions of a quarantined project for download",
        link=_STATUS,
        examine=each(_quarantined, _no_files),
    ),
)
