"""What a wheel's METADATA says, field by field."""

from __future__ import annotations

import re
from functools import lru_cache

from packaging.metadata import RawMetadata, parse_email

_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")


def fields_of(metadata: bytes) -> RawMetadata:
    """The fields that can be read, however odd the rest is; not the description. It is shared: do not change it."""
    return _fields(_END_OF_HEADERS.split(metadata, maxsplit=1)[0])  # what follows may be the larger part


@lru_cache(maxsize=64)  # a wheel is asked on every step, and the wheels of a version mostly say the same
def _fields(headers: bytes) -> RawMetadata:
    return parse_email(headers)[0]
