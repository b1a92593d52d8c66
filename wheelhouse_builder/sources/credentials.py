"""Who we are to a host: from a netrc file and from URLs."""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def credentials_for(index_urls: Iterable[str], netrc_file: Path | None = None) -> dict[str, tuple[str, str]]:
    """Host → (user name, password) from a netrc file ($NETRC, else ~/.netrc), and over it from the URLs of indexes.

    uv leaves passwords of indexes out of the lock, so the files that it names need them from here. Raises `UsageError`
    for a netrc file that cannot be read.
    """
    found = {}
    if path := netrc_file or _usual_netrc_file():
        try:
            found = {host: (login, password) for host, (login, _, password) in netrc.netrc(path).hosts.items()}
        except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {path}: {error}") from None
    for parts in map(urlsplit, index_urls):
        if parts.hostname and parts.username:
            found[parts.hostname] = (unquote(parts.username), unquote(parts.password or ""))
    return found


def _usual_netrc_file() -> Path | None:
    """None also where nobody's home is known, and in the home of another user."""
    try:
        path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
        return path if path.is_file() else None
    except (RuntimeError, PermissionError):
        return None
