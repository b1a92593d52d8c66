"""The index as JSON: PEP 691, PEP 700 and PEP 792, version 1.4.

Only `core-metadata` is written, never `dist-info-metadata`: pip of the time before PEP 714 fails on the latter. The
status is a key of its own, as the text of the specification says, not one of `meta`, as its example has it. `_whb` is
for our build-backend wrapper alone: "keys (at any level) with a leading underscore are reserved as private for index
server use" (PEP 691).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.index.model import JSON_API_VERSION, UNMARKED, File, Project

if TYPE_CHECKING:
    from collections.abc import Iterable

_META = {"api-version": JSON_API_VERSION}


def project_list(names: Iterable[str]) -> str:
    """The root document."""
    return _dump({"meta": _META, "projects": [{"name": name} for name in names]})


def project_page(project: Project) -> str:
    """The document of one project."""
    document: dict[str, Any] = {"meta": _META, "name": project.name}
    if project.mark != UNMARKED:
        mark = {"status": str(project.mark.status), "reason": project.mark.reason}
        document["project-status"] = {key: value for key, value in mark.items() if value is not None}
    document["versions"] = list(project.versions)
    document["files"] = [_file(file) for file in project.files]
    return _dump(document)


def _file(file: File) -> dict[str, Any]:
    document: dict[str, Any] = {
        "filename": file.filename,
        "url": file.url,
        "hashes": {"sha256": file.sha256},
        "size": file.size,
        "requires-python": file.requires_python,
        "core-metadata": {"sha256": file.metadata_sha256} if file.metadata_sha256 else None,
        "upload-time": file.upload_time_text,
        "yanked": file.yanked,
        "_whb": {"project-keys": dict(file.project_keys)} if file.project_keys else None,
    }
    return {key: value for key, value in document.items() if value is not None}


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"
