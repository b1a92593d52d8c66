"""The manifest of a generation: which page folder each project has, and how long its part of the flat page is.

It is all that a publication has to read of the generation that it starts from, and all that a reader has to compare.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "manifest.json"
SUMMARIES = "summaries.json"


class Entry(NamedTuple):
    """One project."""

    pages: str  # the name of its page folder: equal names, equal bytes
    links: int  # bytes of its lines on the flat page


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One generation."""

    form: str  # how its pages were written; empty for generations of whb before page folders
    projects: Mapping[str, Entry]  # by normalised name, in order
    summaries: str = ""  # the sha256 of `summaries.json`: what the list for people shows of each project

    def dump(self) -> bytes:
        """The file."""
        projects = {name: entry._asdict() for name, entry in self.projects.items()}
        return _dump({"form": self.form, "summaries": self.summaries, "projects": projects})


def parse_manifest(content: bytes) -> Manifest:
    """Read a file. Before there were page folders it was a plain object of project and hash.

    Raises `ValueError`, `KeyError`, `TypeError` or `AttributeError` when it is no manifest.
    """
    document = json.loads(content)
    if "form" not in document:
        return Manifest(form="", projects={name: Entry(pages=str(key), links=0) for name, key in document.items()})
    projects = {name: Entry(entry["pages"], entry["links"]) for name, entry in document["projects"].items()}
    return Manifest(form=document["form"], projects=projects, summaries=document["summaries"])


def dump_summaries(summaries: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The file with the summary of each project."""
    return _dump(summaries)


def sha256(content: bytes) -> str:
    """The digest, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
