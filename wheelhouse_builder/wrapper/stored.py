"""The project's wheel in the wheelhouse: found by its project key, taken out with its hash checked."""

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

from wheelhouse_builder.errors import DamagedError, DownloadError, MachineError, WhbError
from wheelhouse_builder.redact import redact
from wheelhouse_builder.target import Target
from wheelhouse_builder.wrapper.offers import Offer, choose, parse_page
from wheelhouse_builder.wrapper.own import own_tags
from wheelhouse_builder.wrapper.telling import tell

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from packaging.tags import Tag

    from wheelhouse_builder.project.identity import Identity
    from wheelhouse_builder.settings import Settings
    from wheelhouse_builder.wrapper.request import Request


class Place(Hashable, Protocol):
    """Where wheels lie."""

    def page(self, name: str) -> tuple[bytes, str] | None:
        """The JSON page of a project and its URL; None: the project is not there. Raises as `copy` does."""

    def copy(self, offer: Offer, path: Path) -> str:
        """Copy a wheel of a page to a new file; returns the sha256 of what was written.

        Raises `DownloadError`, `DamagedError`, and `OSError` for what the new file meets.
        """


@dataclass(frozen=True, kw_only=True)
class Found:
    """The wheel of a project, there to be fetched."""

    offer: Offer
    place: Place


def place_of(settings: Settings) -> Place:
    """The wheelhouse that is asked."""
    if settings.backend.index is None:
        return _folder(settings.wheelhouse)
    return _index(settings.backend.index)


def find(request: Request, target: Target | None) -> Found | None:
    """The best wheel of the request's sources that installs for `target`, by default for this interpreter.

    None: there is none, or nothing to find it by; the latter is said. Raises `DownloadError` or `DamagedError` for what
    is wrong with the wheelhouse, `UsageError` for a tree that cannot be read.
    """
    name = request.identity.name
    if name is None:
        tell(f"{request.root}: its files do not say its name, so no wheel is looked up")
        return None
    if request.settings.offline and request.settings.backend.index:
        tell(f"{redact(request.settings.backend.index)} is not asked: offline")
        return None
    place = place_of(request.settings)
    offers = _offers(place, name)
    if offers is None:  # then the tree need not be read
        return None
    if request.inputs is None:
        tell(f"{name}: its version comes from version control, so no wheel is looked up; that of an sdist is")
        return None
    keys = cache(request.inputs.key)
    same = [offer for offer in offers if offer.key == keys(Target.parse(offer.built_for))]
    best = choose(same, request.identity, own_tags() if target is None else target.tags)
    return Found(offer=best, place=place) if best else None


def has_others(request: Request, target: Target | None) -> bool:
    """Whether a wheel of the project's name and version would install for `target`, but for its project key."""
    name, settings = request.identity.name, request.settings
    if name is None or request.inputs is None or (settings.offline and settings.backend.index):
        return False
    offers = _answer(place_of(settings), name)
    tags = own_tags() if target is None else target.tags
    return isinstance(offers, tuple) and any(_would_install(offer, request.identity, tags) for offer in offers)


def fetch(found: Found, folder: Path) -> Path:
    """Copy the wheel into a folder.

    Raises `DamagedError` if it is not what the page promises, `DownloadError`, `MachineError` (the folder).
    """
    offer = found.offer
    path = folder / offer.filename
    part = folder / f".{offer.filename}.{os.getpid()}.part"
    try:
        digest = found.place.copy(offer, part)
        if digest != offer.sha256:
            raise DamagedError(
                f"{found.place} has {offer.filename} with sha256 {digest}, and its page says {offer.sha256}",
                hint="`whb index --thorough` finds damage in a wheelhouse",
            )
        part.replace(path)
    except OSError as error:
        raise MachineError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _would_install(offer: Offer, identity: Identity, tags: Iterable[Tag]) -> bool:
    try:
        return choose([offer], identity, tags) is not None
    except DamagedError:  # another version, mostly
        return False


# Places, each made and asked once in a process: one that is slow or down is so once


def _offers(place: Place, name: str) -> tuple[Offer, ...] | None:
    answer = _answer(place, name)
    if isinstance(answer, WhbError):
        raise answer
    return answer


@cache
def _answer(place: Place, name: str) -> tuple[Offer, ...] | WhbError | None:
    try:
        page = place.page(name)
        return page and parse_page(*page, what=f"{place}: the page of {name}")
    except (DownloadError, DamagedError) as error:
        return error


@cache
def _folder(path: Path) -> Place:
    from wheelhouse_builder.wrapper.folder import Folder  # noqa: PLC0415 - one of the two

    return Folder(path)


@cache
def _index(url: str) -> Place:
    from wheelhouse_builder.wrapper.index import Index  # noqa: PLC0415 - one of the two

    return Index(url)
