"""The files on HTML pages: the anchors of a project and their attributes."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from wheelhouse_builder.conformance.checks.html import BASE, projects
from wheelhouse_builder.conformance.checks.values import (
    SECURE,
    digest_problem,
    provenance_problem,
    specifier_problem,
)
from wheelhouse_builder.conformance.model import Check, Format, Level, each, shown
from wheelhouse_builder.conformance.pages import hash_of, html_files
from wheelhouse_builder.conformance.vectors import SPEC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.conformance.html import Anchor, HtmlPage
    from wheelhouse_builder.conformance.model import Observed

_METADATA = f"{SPEC}#serve-distribution-metadata-in-the-simple-repository-api"

_PEP714 = "https://peps.python.org/pep-0714/#servers"

_RAW_PYTHON = re.compile(r"""data-requires-python\s*=\s*("[^"]*[<>][^"]*"|'[^']*[<>][^']*')""", re.IGNORECASE)
_PYTHON, _CORE, _OLD = "data-requires-python", "data-core-metadata", "data-dist-info-metadata"
_SIGNED, _PROVENANCE = "data-gpg-sig", "data-provenance"


def _with(*names: str) -> Callable[[Observed], Iterator[tuple[str, Anchor]]]:
    return lambda observed: (
        (where, anchor) for where, anchor in html_files(observed) if any(name in anchor.attributes for name in names)
    )


def _hashed(observed: Observed) -> Iterator[tuple[str, Anchor]]:
    yield from ((where, anchor) for where, anchor in html_files(observed) if "=" in anchor.fragment)


def _hash_there(anchor: Anchor) -> str | None:
    return None if hash_of(anchor.fragment) else "the URL has no hash"


def _hash_form(anchor: Anchor) -> str | None:
    found = hash_of(anchor.fragment)
    if found is None or found[0] != found[0].lower():
        return f"{shown(anchor.fragment)} is not <lowercase hashname>=<hashvalue>"
    return digest_problem(dict([found]))


def _hash_algorithm(anchor: Anchor) -> str | None:
    name = anchor.fragment.partition("=")[0]
    if name in hashlib.algorithms_guaranteed:
        return None
    return f"{shown(name)} is not guaranteed by hashlib"


def _hash_secure(anchor: Anchor) -> str | None:
    name = anchor.fragment.partition("=")[0]
    return None if name in SECURE else f"{shown(name)} is no secure hash"


def _escaped(anchor: Anchor) -> str | None:
    return f"unescaped in {shown(anchor.raw)}" if _RAW_PYTHON.search(anchor.raw) else None


def _core_metadata(anchor: Anchor) -> str | None:
    new, old = anchor.attributes.get(_CORE), anchor.attributes.get(_OLD)
    if new is None:
        return f"only {_OLD} is there"
    return None if old in {None, new} else f"{_OLD} is {shown(old)}, {_CORE} is {shown(new)}"


def _metadata_value(anchor: Anchor) -> str | None:
    value = anchor.attributes.get(_CORE, anchor.attributes.get(_OLD, ""))
    found = hash_of(value)
    if found:
        return digest_problem(dict([found]))
    return None if value in {"true", "false"} else f"{shown(value)} is neither true nor <hashname>=<hashvalue>"


def _metadata_hash(anchor: Anchor) -> str | None:
    value = anchor.attributes.get(_CORE, anchor.attributes.get(_OLD, ""))
    return None if hash_of(value) else f"{shown(value)} is no hash"


def _signature(anchor: Anchor) -> str | None:
    value = anchor.attributes[_SIGNED]
    return None if value in {"true", "false"} else f"{shown(value)} is neither true nor false"


def _signature_pages(observed: Observed) -> Iterator[tuple[str, HtmlPage]]:
    for where, page in projects(observed):
        if any(_SIGNED in anchor.attributes for anchor in page.anchors):
            yield where, page


def _all_tell_signature(page: HtmlPage) -> str | None:
    silent = [anchor.text for anchor in page.anchors if _SIGNED not in anchor.attributes]
    return f"{len(silent)} links do not tell, {shown(silent[0])} among them" if silent else None


def _only_html(observed: Observed) -> Iterator[tuple[str, Anchor]]:
    """Files that uv knows from HTML alone: it reads no JSON from a folder."""
    json = set() if observed.folder else {page.name for page in observed.of(Format.JSON)}
    for page in observed.of(Format.HTML, projects=True):
        if page.html and page.name not in json:
            yield from ((f"{page.where}: {anchor.text}", anchor) for anchor in page.html.anchors)


def _cutoff(anchor: Anchor) -> str | None:
    return None if "data-upload-time" in anchor.attributes else "no data-upload-time"


CHECKS = (
    Check(
        id="html.files.hash",
        level=Level.SHOULD,
        says="The URL SHOULD include a hash in the form of a URL fragment",
        link=BASE,
        examine=each(html_files, _hash_there),
    ),
    Check(
        id="html.files.hash.form",
        level=Level.MUST,
        says="#<hashname>=<hashvalue>: the lowercase name of the hash function and the hex encoded digest",
        link=BASE,
        examine=each(_hashed, _hash_form),
    ),
    Check(
        id="html.files.hash.algorithm",
        level=Level.SHOULD,
        says="Repositories SHOULD choose a hash function from one of the ones guaranteed to be available via hashlib",
        link=BASE,
        examine=each(_hashed, _hash_algorithm),
    ),
    Check(
        id="html.files.hash.secure",
        level=Level.GOOD,
        says="The current recommendation is to use sha256",
        link=BASE,
        examine=each(_hashed, _hash_secure),
    ),
    Check(
        id="html.files.requires-python.escaped",
        level=Level.MUST,
        says="In the attribute value, < and > have to be HTML encoded as &lt; and &gt;",
        link=BASE,
        examine=each(_with(_PYTHON), _escaped),
    ),
    Check(
        id="html.files.requires-python",
        level=Level.MUST,
        says="This exposes the Requires-Python metadata field: a version specifier",
        link=BASE,
        examine=each(_with(_PYTHON), lambda anchor: specifier_problem(anchor.attributes[_PYTHON])),
    ),
    Check(
        id="html.files.core-metadata",
        level=Level.MUST,
        says="MUST be emitted using the attribute name data-core-metadata; data-dist-info-metadata MUST match it",
        link=_PEP714,
        examine=each(_with(_CORE, _OLD), _core_metadata),
    ),
    Check(
        id="html.files.core-metadata.value",
        level=Level.MUST,
        says="the syntax <hashname>=<hashvalue>, or true if a hash is unavailable",
        link=_METADATA,
        examine=each(_with(_CORE, _OLD), _metadata_value),
    ),
    Check(
        id="html.files.core-metadata.hash",
        level=Level.SHOULD,
        says="The repository SHOULD provide the hash of the Core Metadata file",
        link=_METADATA,
        examine=each(_with(_CORE, _OLD), _metadata_hash),
    ),
    Check(
        id="html.files.gpg-sig",
        level=Level.MUST,
        says="a data-gpg-sig attribute on a file link with a value of either true or false",
        link=BASE,
        examine=each(_with(_SIGNED), _signature),
    ),
    Check(
        id="html.files.gpg-sig.all",
        level=Level.SHOULD,
        says="Repositories that do this SHOULD include it on every link",
        link=BASE,
        examine=each(_signature_pages, _all_tell_signature),
    ),
    Check(
        id="html.files.provenance",
        level=Level.MUST,
        says="data-provenance: the value MUST be a fully qualified URL, on a secure origin",
        link=f"{SPEC}#base-html-api",
        examine=each(_with(_PROVENANCE), lambda anchor: provenance_problem(anchor.attributes[_PROVENANCE])),
    ),
    Check(
        id="html.files.upload-time",
        level=Level.GOOD,
        says="uv's --exclude-newer finds nothing on an HTML page without data-upload-time (no standard attribute)",
        link="https://github.com/astral-sh/uv/pull/11086",
        examine=each(_only_html, _cutoff),
    ),
)
