"""What uv's log says besides its result. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from wheelhouse_builder.events import Level, Note
from wheelhouse_builder.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.utils import NormalizedName

_PREPARED = re.compile(r"^DEBUG Preparing metadata for: (.+)$", re.MULTILINE)
_UNDATED = re.compile(r"^warning: `([^`]+)` is missing an upload date", re.MULTILINE)
_YANKED = re.compile(r'^warning: `([^`=]+)==([^`]+)` is yanked(?: \(reason: "((?s:.*?))"\)$)?', re.MULTILINE)


def notes_in(log: str) -> Iterator[Note]:
    """What a user should know of a resolution that came to its end."""
    for name in sorted(set(_PREPARED.findall(log))):
        text = f"{redact(name)} was run on this machine to learn its dependencies: it does not state them, and no wheel"
        yield Note(text=f"{text} of that version does", level=Level.WARNING)
    for name in undated(log):
        text = f"{name}: the index tells no upload time (PEP 700) of some files, so they are not taken under min-age"
        yield Note(text=text, level=Level.WARNING)
    for (name, version), reason in yanked(log).items():
        text = f"{name} {version} is yanked upstream ({redact(reason)}); it is taken since the requirements pin it"
        yield Note(text=text, level=Level.WARNING)


def undated(log: str) -> list[str]:
    """The projects of which files were left out, since the index does not tell when they were uploaded."""
    return sorted({_project(filename) for filename in _UNDATED.findall(log)})


def yanked(log: str) -> dict[tuple[NormalizedName, Version], str]:
    """The yanked versions that were picked, with the reason."""
    found = {}
    for name, version, reason in _YANKED.findall(log):
        try:
            found[canonicalize_name(name), Version(version)] = " ".join(reason.split()) or "no reason is given"
        except InvalidVersion:
            continue
    return found


def _project(filename: str) -> str:
    try:
        return (parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename)(filename)[0]
    except ValueError:
        return filename
