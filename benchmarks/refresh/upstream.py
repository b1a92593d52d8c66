"""A package index on this machine: generated projects, served by nginx (PEP 691, ETags, every page asked for anew)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import zipfile
from typing import TYPE_CHECKING

from tests.integration import web
from tests.integration.projects import sdist, without_requirements
from tests.integration.web import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SITE = """\
keepalive_requests 100000;
server {{
    listen 127.0.0.1:{port};
    root {folder}/root;
    location /simple/ {{
        index index.json;
        types {{ application/vnd.pypi.simple.v1+json json; }}
        add_header Cache-Control no-cache;
    }}
}}
"""
UPLOADED = "2026-01-02T03:04:05Z"


class Upstream:
    """The files of the index below a folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self._files = self.root / "files"
        self._files.mkdir(parents=True, exist_ok=True)

    def project(self, name: str, files: Iterable[Path]) -> None:
        """Write the page of a project."""
        entries = []
        for path in files:
            entry: dict[str, object] = {
                "filename": path.name,
                "url": f"../../files/{path.name}",
                "hashes": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
                "size": path.stat().st_size,
                "upload-time": UPLOADED,
                "requires-python": ">=3.9",
            }
            metadata = path.with_name(f"{path.name}.metadata")
            if metadata.is_file():
                entry["core-metadata"] = {"sha256": hashlib.sha256(metadata.read_bytes()).hexdigest()}
            entries.append(entry)
        folder = self.root / "simple" / name
        folder.mkdir(parents=True, exist_ok=True)
        page = {"meta": {"api-version": "1.1"}, "name": name, "files": entries}
        (folder / "index.json").write_text(json.dumps(page), encoding="utf-8")

    def wheel(self, name: str, version: str, tag: str, requires: Iterable[str] = ()) -> Path:
        """Write a wheel of a few bytes, and its METADATA beside it."""
        path, info = self._files / f"{name}-{version}-{tag}.whl", f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\nRequires-Python: >=3.9\n"
        metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        pure = str(tag.endswith("any")).lower()
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{name}.py", "")
            archive.writestr(f"{info}/METADATA", metadata)
            archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: {pure}\nTag: {tag}\n")
            archive.writestr(f"{info}/RECORD", "")
        path.with_name(f"{path.name}.metadata").write_text(metadata, encoding="utf-8")
        return path

    def sdist(self, name: str, version: str) -> Path:
        """Write an sdist that builds in a moment."""
        return sdist(self._files, name, without_requirements(name, version), version=version)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The URL of the index, while nginx serves it."""
    folder.chmod(0o755)  # a temporary one is for its owner alone, and nginx gives up the rights of root
    port = free_port()
    with web.serving("nginx", SITE.format(folder=folder, port=port), folder, port):
        yield f"http://127.0.0.1:{port}/simple/"
