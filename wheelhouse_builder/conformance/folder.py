"""An index in a folder: the static tree that a plain web server would serve, or pip reads as `file://`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from wheelhouse_builder.conformance.model import Exchange, Format
from wheelhouse_builder.conformance.pages import MAX_PAGE_BYTES, decompressed, zstd_module
from wheelhouse_builder.conformance.source import ELSEWHERE
from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import IO

_PAGES = {Format.HTML: ("index.html",), Format.JSON: ("index.v1_json", "index.json")}


class FolderSource:
    """The index in `folder`: `folder/simple`, else the folder itself. `tree` is what nothing may lead out of."""

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()
        within = (folder / "simple").is_dir()
        self.simple = folder / "simple" if within else folder
        self.tree = folder if within else folder.parent
        self.base = self.simple.as_uri() + "/"
        self.outside: dict[str, str] = {}  # what was met on the way
        if not any((self.simple / name).is_file() for names in _PAGES.values() for name in names):
            raise UsageError(
                f"{folder} holds no index", hint="a folder with simple/index.html is one; `whb index` makes it"
            )

    def page(self, name: str, form: Format) -> Exchange | None:
        """The page, if there is a file for it; HTML is expected."""
        folder = self.simple / name
        for file in _PAGES[form]:
            if form is Format.HTML or (folder / file).is_file():
                return self.fetch((folder / file).as_uri(), {})
        return None

    def fetch(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        follow: bool = True,
        sink: IO[bytes] | None = None,
    ) -> Exchange:
        """The file behind a `file://` URL; 404 if there is none."""
        del headers, method, follow  # a folder knows one answer
        parts = urlsplit(url)
        if parts.scheme != "file":
            return Exchange(url=url, error=ELSEWHERE)
        path = Path(unquote(parts.path))
        try:
            return self._read(path, url, sink)
        except (OSError, ValueError) as error:
            return Exchange(url=url, final_url=url, status=404, error=f"cannot be read: {error}")

    def _read(self, path: Path, url: str, sink: IO[bytes] | None) -> Exchange:
        real = path.resolve()
        if not real.is_relative_to(self.tree.resolve()):
            self.outside[str(path)] = str(real)
            return Exchange(url=url, final_url=url, status=404, error="leads out of the folder")
        if not real.is_file():
            return Exchange(url=url, final_url=url, status=404)
        size = real.stat().st_size
        if sink is not None:
            with real.open("rb") as stream:
                shutil.copyfileobj(stream, sink)
            return Exchange(url=url, final_url=url, status=200, size=size)
        if size > MAX_PAGE_BYTES:
            return Exchange(url=url, final_url=url, status=200, size=size, error=f"more than {MAX_PAGE_BYTES} bytes")
        return Exchange(url=url, final_url=url, status=200, size=size, body=real.read_bytes())


def unlisted_projects(source: FolderSource, listed: Collection[str]) -> tuple[str, ...]:
    """The folders of projects that the list does not name."""
    folders = (path for path in source.simple.iterdir() if path.name not in listed and (path / "index.html").is_file())
    return tuple(sorted(path.name for path in folders))


def compressed_copies(source: FolderSource, names: Iterable[str]) -> dict[str, bool]:
    """The compressed copies of the list, of the pages of these projects and of the flat page: do they hold the page?"""
    copies, suffixes = {}, {".gz": "gzip"} | ({".zst": "zstd"} if zstd_module() else {})
    for folder in (source.simple, *(source.simple / name for name in names), source.tree / "links"):
        for suffix, coding in suffixes.items():
            for copy in sorted(folder.glob(f"*{suffix}")):
                plain = copy.with_name(copy.name.removesuffix(suffix))
                if _inside(source, copy):
                    content = decompressed(copy.read_bytes(), coding)
                    copies[copy.as_uri()] = plain.is_file() and content == plain.read_bytes()
    return copies


def _inside(source: FolderSource, path: Path) -> bool:
    real = path.resolve()
    if real.is_relative_to(source.tree.resolve()):
        return real.is_file()
    source.outside[str(path)] = str(real)
    return False
