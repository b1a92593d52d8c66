"""Where an index is read from: what the observer needs of HTTP (`http.py`) and of a folder (`folder.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from wheelhouse_builder.conformance.model import Exchange, Format


ELSEWHERE = "not in the folder"  # the error of an answer about a URL that this source cannot follow


class Source(Protocol):
    """An index. No method raises for what the index answers: an `Exchange` tells it."""

    @property
    def base(self) -> str:
        """The URL of the project list, with its slash."""

    def page(self, name: str, form: Format) -> Exchange | None:
        """The project list ("") or a project's page; None if this source can have no such form."""

    def fetch(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        follow: bool = True,
        sink: IO[bytes] | None = None,
    ) -> Exchange:
        """Ask. The body is in the answer, or written to `sink`; without one it may be at most `MAX_PAGE_BYTES`."""
