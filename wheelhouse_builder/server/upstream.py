"""Redirects to another index, for projects that are not ours: off unless asked for, and never a way around our names.

The danger is dependency confusion: somebody registers one of our internal names on a public index and clients take it
from there. So a name goes upstream only if it was never ours (no record, also of wheels that are yanked or were
removed, and no kept generation has it) and no `reserved` pattern covers it. Nothing is merged: the list of projects is
ours alone, and a project that we have is shown with our versions alone. What cannot be found out is answered with no.

Sources: pypiserver redirects whatever it does not have, by default; devpi's `mirror_whitelist` and
simple-repository's PrioritySelectedProjectsRepository decide by project, as this does; pip #8606 has the attack.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from packaging.utils import InvalidName, canonicalize_name

from wheelhouse_builder.errors import UsageError, WhbError
from wheelhouse_builder.wheelhouse.generations import all_generations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wheelhouse_builder.wheelhouse.store import Wheelhouse

_log = logging.getLogger(__name__)


class Upstream:
    """Says where a project is to be looked for that is not served here."""

    def __init__(self, wheelhouse: Wheelhouse, url: str, reserved: Sequence[str]) -> None:
        """`url` is that of a simple index; `reserved` are normalised names and patterns with `*`.

        Raises `UsageError` for a URL that is neither https nor on this machine: a redirect over plain http would let
        anybody on the way choose what is installed.
        """
        require_safe(url)
        self._wheelhouse = wheelhouse
        self._url = f"{url.rstrip('/')}/"
        self._reserved = tuple(reserved)
        self._generations: dict[Path, frozenset[str]] = {}  # the projects of each, which never change
        self._stamp: object = None
        self._owned: frozenset[str] = frozenset()

    def __call__(self, name: str) -> str | None:
        """The URL of a project upstream, None if it must not be looked for there. `name` in any spelling."""
        try:
            project = canonicalize_name(name, validate=True)
        except InvalidName:
            return None
        if not project.isascii() or any(fnmatchcase(project, pattern) for pattern in self._reserved):
            return None
        try:
            owned = self._names()
        except (WhbError, OSError) as error:
            _log.error("no redirect to the upstream index, since our own names cannot be read: %s", error)
            return None
        return None if project in owned else f"{self._url}{project}/"

    def warnings(self) -> list[str]:
        """What to tell loudly when the server starts."""
        if self._reserved:
            return []
        text = (
            f"upstream is on and nothing is reserved: a name that was never in this wheelhouse comes from {self._url}, "
            "also an internal one that somebody registers there; reserve yours: --reserve 'acme-*' ([serve] reserved)"
        )
        return [text]

    def _names(self) -> frozenset[str]:
        """All names that are or were ours; read again when the records or the generations changed."""
        status = self._wheelhouse.records.path.stat()
        kept = [generation.path for generation in all_generations(self._wheelhouse)]
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size, kept)
        if stamp != self._stamp:
            known = {path: self._generations.get(path) or _projects(path) for path in kept}
            self._generations = known
            self._owned = self._wheelhouse.records.names().union(*known.values())
            self._stamp = stamp
        return self._owned


def require_safe(url: str) -> None:
    """Raise `UsageError` unless a redirect to `url` cannot be listened to or changed on the way."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and _is_this_machine(parts.hostname or ""):
        return
    raise UsageError(f"{url!r} is no safe upstream index", hint="use an https:// URL; http:// is for this machine only")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return re.fullmatch(r"([a-z0-9-]+\.)*localhost", host) is not None


def _projects(generation: Path) -> frozenset[str]:
    return frozenset(path.name for path in (generation / "simple").iterdir())
