"""What a generation has to be copied, read from its files. Links are resolved: an object store has none.

A project page is content-addressed, so a project's fingerprint stands for its pages and the wheels that they name, and
the pages of a project that is there as it is are not even read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING

from wheelhouse_builder.artifact import project_in
from wheelhouse_builder.errors import DamagedError
from wheelhouse_builder.remote.items import DirectoryPages, Item, Stage
from wheelhouse_builder.wheelhouse.generations import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from wheelhouse_builder.wheelhouse.generations import Generation

_COPIES = (".gz", ".zst")
_LOCKS = (".txt", ".toml")  # what else lies there is whb's own
_PAGES = ("index.html", "index.v1_json", "about.html")


def project_unit(name: str) -> str:
    """What a project is called in the manifest of a destination. A file is called by its key."""
    return f"simple/{name}/"


def is_project(unit: str) -> bool:
    """Whether a unit is a project."""
    return unit.startswith("simple/") and unit.endswith("/") and unit != "simple/"


def project_keys(unit: str) -> frozenset[str]:
    """Every key that the pages of a project may have."""
    return frozenset({unit} | {f"{unit}{page}{suffix}" for page in _PAGES for suffix in ("", *_COPIES)})


def project_prints(generation: Generation, pages: DirectoryPages) -> dict[str, str]:
    """For each project, as a unit, what its objects are made from. Raises `DamagedError`."""
    return {project_unit(name): f"{entry.pages} {pages}" for name, entry in read_manifest(generation).projects.items()}


def project_items(generation: Generation, root: Path, unit: str, pages: DirectoryPages) -> list[Item]:
    """The wheels and stubs of a project, from the folder `root`, its build logs and pages. Raises `DamagedError`."""
    folder = generation.path / unit
    with _damage(generation):
        files = json.loads((folder / "index.v1_json").read_bytes())["files"]
        found = [item for file in files for item in _file_items(root, file)]
        logs = [generation.path / "browse" / "logs" / f"{file['filename']}.log.gz" for file in files]
        found += [_item(f"browse/logs/{log.name}", Stage.PAGES, log) for log in logs if log.is_file()]
        for path in sorted(folder.iterdir()):
            stage = Stage.COPIES if path.suffix in _COPIES else Stage.PAGES
            found.append(_item(f"{unit}{path.name}", stage, path))
        return [*found, *_directory_page(unit, Stage.PAGES, folder, pages)]


def other_items(generation: Generation, pages: DirectoryPages) -> list[Item]:
    """Everything beside the projects: each is a unit of its own, under its key. Raises `DamagedError`."""
    with _damage(generation):
        simple = generation.path / "simple"
        found = [_item(f"simple/{path.name}", Stage.ROOT, path) for path in sorted(simple.glob("index.*"))]
        found += _directory_page("simple/", Stage.ROOT, simple, pages)
        for path in sorted(generation.path.iterdir()):
            if path.is_file() and path.suffix in _LOCKS:
                found.append(_item(path.name, Stage.REST, path))
            elif path.is_dir() and path.name != "simple":
                found += _folder_items(path, pages)
        return found


def _folder_items(folder: Path, pages: DirectoryPages) -> Iterator[Item]:
    """A folder of pages for find-links and for people; there is no JSON form of them."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield _item(path.relative_to(folder.parent).as_posix(), Stage.REST, path)
    if pages is not DirectoryPages.NONE:
        yield from _directory_page(f"{folder.name}/", Stage.REST, folder, DirectoryPages.HTML)


def _directory_page(key: str, stage: Stage, folder: Path, pages: DirectoryPages) -> Iterator[Item]:
    name = {DirectoryPages.HTML: "index.html", DirectoryPages.JSON: "index.v1_json"}.get(pages)
    if name is not None:
        yield _item(key, stage, folder / name)


def _file_items(root: Path, file: Mapping[str, object]) -> Iterator[Item]:
    """A wheel and its metadata, or a stub; the page tells their digests."""
    name, told = str(file["filename"]), {}
    project_in(name)  # so it is no path
    if name.endswith(".whl"):
        told[f"{name}.metadata"] = file["core-metadata"]
    for key, digests in (told | {name: file["hashes"]}).items():
        if not isinstance(digests, dict):
            raise TypeError(f"{name} has no digest")
        path = root / key
        size, digest = path.stat().st_size, str(digests["sha256"])
        yield Item(key=key, stage=Stage.WHEELS, source=path, sha256=digest, size=size)


def _item(key: str, stage: Stage, path: Path) -> Item:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return Item(key=key, stage=stage, source=path, sha256=digest, size=len(content))


@contextlib.contextmanager
def _damage(generation: Generation) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(
            f"generation {generation.number} cannot be copied: {error}",
            hint="`whb index` publishes a new one; `whb rollback --list` lists those that are kept",
        ) from error
