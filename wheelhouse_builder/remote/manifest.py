"""`whb-manifest.json` at the destination: what is published there, so that a run with nothing new asks for one object.

It tells of each unit (a project, or a file beside the projects) what it was made from. Before a unit is written over,
the manifest forgets what it told of it; so what it tells is true also after a run that was killed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wheelhouse_builder.remote.items import headers_of

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "whb-manifest.json"
HEADERS = headers_of(KEY)
_SCHEMA = "whb.published/1"


@dataclass(frozen=True, kw_only=True)
class Published:
    """What is at a destination; `generation` is None while a publication is under way or was interrupted."""

    generation: int | None = None
    units: Mapping[str, str | None] = field(default_factory=dict)


def dump(published: Published) -> bytes:
    """As JSON, the same for the same content."""
    document = {"schema": _SCHEMA, "generation": published.generation, "units": dict(sorted(published.units.items()))}
    return json.dumps(document, indent=0).encode()


def load(data: bytes) -> Published | None:
    """The inverse of `dump`; None for anything else: then all that is there is looked at."""
    try:
        document = json.loads(data)
        generation, units = document["generation"], document["units"]
        known = document["schema"] == _SCHEMA and isinstance(generation, int | None)
    except (ValueError, KeyError, TypeError):
        return None
    if not known or not isinstance(units, dict) or not all(isinstance(made, str | None) for made in units.values()):
        return None
    return Published(generation=generation, units=units)
