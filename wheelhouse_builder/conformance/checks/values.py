"""Values that both formats write: hashes, versions, specifiers, URLs. Each function says what is wrong, or None."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from wheelhouse_builder.conformance.model import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUSES = frozenset({"active", "archived", "quarantined", "deprecated"})
SECURE = frozenset({"sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512", "blake2b", "blake2s"})
_MAJOR_MINOR = re.compile(r"(\d{1,9})\.(\d{1,9})", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]+", re.ASCII)


def api_version(text: object) -> tuple[int, int] | None:
    """`1.4` as numbers; None if it is not Major.Minor."""
    found = _MAJOR_MINOR.fullmatch(text) if isinstance(text, str) else None
    return (int(found[1]), int(found[2])) if found else None


def version_problem(text: object) -> str | None:
    """What is wrong with a repository version."""
    version = api_version(text)
    if version is None:
        return f"{shown(text)} is not Major.Minor"
    return None if version[0] == 1 else f"{text} is a major version that no client knows"


def specifier_problem(text: object) -> str | None:
    """What is wrong with a Requires-Python."""
    if not isinstance(text, str):
        return f"{shown(text)} is no string"
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return f"{shown(text)} is no version specifier"
    return None


def digest_problem(hashes: Mapping[str, str]) -> str | None:
    """What is wrong with hex encoded digests."""
    for name, digest in hashes.items():
        if not _HEX.fullmatch(digest):
            return f"the {name[:40]} digest {shown(digest)} is not hexadecimal"
        expected = _length(name)
        if expected and len(digest) != expected:
            return f"the {name[:40]} digest has {len(digest)} digits instead of {expected}"
    return None


def _length(name: str) -> int:
    """How many digits a digest has; 0 if that is not known or not fixed."""
    if name.lower() not in hashlib.algorithms_guaranteed:
        return 0
    return 2 * hashlib.new(name.lower(), usedforsecurity=False).digest_size


def provenance_problem(url: object) -> str | None:
    """What is wrong with where the provenance is."""
    if not isinstance(url, str):
        return f"{shown(url)} is no string"
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{shown(url)} is no URL"
    return None if parts.scheme == "https" and parts.netloc else f"{shown(url)} is no fully qualified https URL"
