"""What is tried again: only what may pass by itself. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import DownloadError

if TYPE_CHECKING:
    from wheelhouse_builder.errors import WhbError


@dataclass(frozen=True, kw_only=True)
class Retry:
    """One more try."""

    delay: float = 0.0  # seconds until then, at the least
    alone: bool = False  # with nothing else running


# By the kind of a failure: the tries that follow the first.
_RETRIES = {
    "network": (Retry(delay=2.0), Retry(delay=8.0)),
    "out-of-memory": (Retry(alone=True),),  # what ran beside it may have had the memory
}


def again(error: WhbError, tries: int) -> Retry | None:
    """The next try after `tries` of them that ended with such errors; None if it would come to the same.

    A download is not tried again as a whole: it goes on by itself from where it broke off, several times.
    """
    retries = () if isinstance(error, DownloadError) else _RETRIES.get(error.kind, ())
    return retries[tries - 1] if tries <= len(retries) else None
