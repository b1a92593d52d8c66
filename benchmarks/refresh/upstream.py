"""A package index on this machine: generated projects, served by nginx (PEP 691, ETags, every page asked for anew)."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import socket
import subprocess
import tarfile
import time
import urllib.request
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
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
}}
"""
UPLOADED = "2026-01-02T03:04:05Z"
# A backend of a few lines in the source itself: a build of such a project has no requirements.
BACKEND = """\
import os, zipfile
NAME, VERSION = {name!r}, {version!r}
def build_wheel(folder, config_settings=None, metadata_directory=None):
    wheel, info = f"{{NAME}}-{{VERSION}}-py3-none-any.whl", f"{{NAME}}-{{VERSION}}.dist-info"
    with zipfile.ZipFile(os.path.join(folder, wheel), "w") as archive:
        archive.writestr(f"{{NAME}}.py", "")
        archive.writestr(f"{{info}}/METADATA", f"Metadata-Version: 2.2\\nName: {{NAME}}\\nVersion: {{VERSION}}\\n")
        archive.writestr(f"{{info}}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(f"{{info}}/RECORD", "")
    return wheel
"""
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


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
        path = self._files / f"{name}-{version}.tar.gz"
        members = {
            "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
            "pyproject.toml": PYPROJECT,
            "backend.py": BACKEND.format(name=name, version=version),
        }
        with tarfile.open(path, "w:gz") as archive:
            for member, text in members.items():
                info = tarfile.TarInfo(f"{name}-{version}/{member}")
                info.size, info.mtime = len(text.encode()), 1_700_000_000
                archive.addfile(info, io.BytesIO(text.encode()))
        return path


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The URL of the index, while nginx serves it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port), encoding="utf-8")
    process = subprocess.Popen(["nginx", "-p", folder, "-c", config], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/simple/"
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(url)
                break
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(30)
