"""What a project's JSON page offers: wheels that say what they were made of, and the best of them.

That is `_whb` (docs/reference/http.md); a file without it is never taken, whatever its name and version.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from wheelhouse_builder.errors import DamagedError, UsageError
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.tags import Tag
    from packaging.utils import BuildTag

    from wheelhouse_builder.project.identity import Identity


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A wheel on a page that says what it was made of."""

    filename: str  # as the page has it: it may be anything
    url: str
    sha256: str
    size: int | None  # bytes
    key: str
    built_for: str


def parse_page(content: bytes, base: str = "", *, what: str) -> tuple[Offer, ...]:
    """What a JSON page offers: wheels that are not yanked and say what they were made of. Raises `DamagedError`."""
    try:
        files = json.loads(content)["files"]
        return tuple(_parse_offers(files, base))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(
            f"{what} is not a JSON page of the simple repository API: {type(error).__name__}: {error}",
            hint="is this the URL of the index, such as https://host/simple/?",
        ) from None


def _parse_offers(files: list[dict[str, object]], base: str) -> Iterator[Offer]:
    for file in files:
        match file:
            case {
                "filename": str(filename),
                "url": str(url),
                "hashes": {"sha256": str(sha256)},
                "_whb": {"project-keys": dict(keys)},
            } if not file.get("yanked"):
                size = file.get("size")
                yield from (
                    Offer(
                        filename=filename,
                        url=urljoin(base, url),
                        sha256=sha256.lower(),
                        size=size if isinstance(size, int) else None,
                        key=key,
                        built_for=built_for,
                    )
                    for key, built_for in keys.items()
                    if _is_target(built_for)
                )
            case {"filename": str()}:
                pass
            case _:
                raise ValueError("a file of it has no name")


def _is_target(text: str) -> bool:
    try:
        Target.parse(text)
    except UsageError:  # of a later version of whb
        return False
    return True


def _checked_name(offer: Offer, identity: Identity) -> tuple[BuildTag, frozenset[Tag]]:
    """What the file name says beyond the project's name and version, which it must say, too."""
    filename = offer.filename
    try:
        if not filename.isascii() or not filename.isprintable() or {"/", "\\"} & set(filename):
            raise InvalidWheelFilename(filename)
        name, version, build, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        raise DamagedError(f"the wheelhouse offers {filename!r}, which is no name of a wheel") from None
    if name != identity.name or identity.version not in (None, version):
        raise DamagedError(
            f"the wheelhouse offers {filename} for {identity.name} {identity.version or ''}".rstrip(),
            hint="another wheel was stored as this project's: see `whb index --thorough`, and `whb yank` withdraws it",
        )
    return build, tags


def choose(offers: Iterable[Offer], identity: Identity, tags: Iterable[Tag]) -> Offer | None:
    """The offer with the best tag, then the highest build tag; `tags` are those that install, best first.

    Raises `DamagedError` for an offer that is no wheel of the project.
    """
    ranks = {tag: rank for rank, tag in enumerate(tags)}
    fitting: list[tuple[int, BuildTag, Offer]] = []
    for offer in offers:
        build, wheel_tags = _checked_name(offer, identity)
        if found := [ranks[tag] for tag in wheel_tags if tag in ranks]:
            fitting.append((-min(found), build, offer))
    return max(fitting, key=lambda item: item[:2])[2] if fitting else None
