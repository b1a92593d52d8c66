"""A folder as a destination: for a static web server, or to be copied on by rsync."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import MachineError
from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.remote.items import Found
from wheelhouse_builder.remote.store import ABSENT, Refused

if TYPE_CHECKING:
    from wheelhouse_builder.remote.items import Headers

_TEMPORARY = ".whb-"


class FolderStore:
    """The files below `root`, which is made when something is written."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def listing(self) -> dict[str, int]:
        """The size of every file."""
        found = {}
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder, name)
                if not name.startswith(_TEMPORARY):
                    found[path.relative_to(self.root).as_posix()] = path.stat().st_size
        return found

    def look(self, key: str, *, read: bool = False) -> Found | None:
        """The size and the digest of a file."""
        path = self.root / key
        try:
            return Found(size=path.stat().st_size, sha256=sha256_of(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def get(self, key: str) -> tuple[bytes, str] | None:
        """A file and its digest, which is its version."""
        try:
            content = (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return content, hashlib.sha256(content).hexdigest()

    def put(
        self,
        key: str,
        content: bytes | Path,
        headers: Headers,
        *,
        sha256: str,
        when: str | None = None,
    ) -> str:
        """Write under a temporary name, flush, rename. Two writers at the same file: the condition is no lock."""
        path = self.root / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = _written(content, path.parent)
            try:
                self._place(temporary, path, when)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise MachineError(
                f"cannot write {path}: {error.strerror or error}",
                hint="what is there stays; run the same command again",
            ) from error
        return sha256

    def delete(self, key: str) -> None:
        """Remove a file, and its folder when that is empty then. No file has a name that ends in a slash."""
        if key.endswith("/"):
            return
        path = self.root / key
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    def _place(self, temporary: Path, path: Path, when: str | None) -> None:
        if when == ABSENT:
            if path.exists():
                raise Refused(path.name)
        elif when is not None:
            there = self.get(path.relative_to(self.root).as_posix())
            if there is None or there[1] != when:
                raise Refused(path.name)
        temporary.replace(path)


def _written(content: bytes | Path, folder: Path) -> Path:
    with tempfile.NamedTemporaryFile("wb", dir=folder, prefix=_TEMPORARY, delete=False) as stream:
        if isinstance(content, bytes):
            stream.write(content)
        else:
            with content.open("rb") as source:
                shutil.copyfileobj(source, stream, 1 << 20)
        stream.flush()
        os.fsync(stream.fileno())
    path = Path(stream.name)
    path.chmod(0o644)
    return path
