"""The simple repository API as values.

Source: the specification "Simple repository API" (PEPs 503, 629, 691, 700, 714, 792, 833), quoted at each field. The
model knows neither where files are kept nor how pages are written.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from wheelhouse_builder.artifact import project_in

if TYPE_CHECKING:
    from datetime import datetime

    from packaging.utils import NormalizedName

HTML_API_VERSION = "1.4"  # "frozen" (PEP 833)
JSON_API_VERSION = "1.4"


@lru_cache(1 << 10)  # what is published together has one time
def _time_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Status(StrEnum):
    """ "A project always has exactly one status" (PEP 792)."""

    ACTIVE = "active"
    ARCHIVED = "archived"  # "MUST NOT allow uploads of new distributions"
    DEPRECATED = "deprecated"  # "the same semantics as active"
    QUARANTINED = "quarantined"  # neither uploads nor downloads


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What is said of a project as a whole."""

    status: Status = Status.ACTIVE
    reason: str | None = None  # "an arbitrary string indicating the reason for the status"


UNMARKED = Mark()  # "if no status is explicitly noted, then the project is considered to be in the active state"


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of a project."""

    filename: str  # "The filename that is being represented"
    url: str  # "The URL that the file can be fetched from", percent-encoded; ours are relative to the page
    sha256: str  # "hashes: a dictionary mapping a hash name to a hex encoded digest"
    size: int  # "the file size in bytes" (mandatory since 1.1)
    requires_python: str | None = None  # "exposing the Requires-Python metadata field"
    metadata_sha256: str | None = None  # of "<file>.metadata", which "is available"
    upload_time: datetime | None = (
        None  # UTC; "a valid ISO 8601 date/time string in the form yyyy-mm-ddThh:mm:ss.ffffffZ"
    )
    yanked: str | None = None  # "an arbitrary string that gives the reason why the file has been yanked" (PEP 592)
    # By what our build-backend wrapper finds the file: project keys, each with the target that it is made for.
    project_keys: tuple[tuple[str, str], ...] = ()

    @property
    def upload_time_text(self) -> str | None:
        """The upload time as the specification writes it."""
        return _time_text(self.upload_time) if self.upload_time else None


@dataclass(frozen=True, kw_only=True)
class Project:
    """All files of one project."""

    name: NormalizedName  # "the normalized name of the project"
    files: tuple[File, ...] = ()
    mark: Mark = UNMARKED

    def __post_init__(self) -> None:
        if self.name != canonicalize_name(self.name):
            raise ValueError(f"{self.name!r} is not normalised")
        if self.files and self.mark.status is Status.QUARANTINED:
            raise ValueError(f"{self.name} is quarantined and offers files")

    @property
    def versions(self) -> tuple[str, ...]:
        """ "all of the project versions uploaded for this project", each once, oldest first."""
        found = {project_in(file.filename)[1] for file in self.files}
        return tuple(map(str, sorted(found)))
