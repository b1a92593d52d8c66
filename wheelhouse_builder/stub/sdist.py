"""The sdist of a stub, from what the wheels of one version say of themselves. Pure: equal wheels give equal bytes.

Its PKG-INFO has Metadata-Version 2.2 and nothing Dynamic, so a resolver may take name, version and dependencies from it
without running the backend (PEP 643). It is stored, not compressed: what compresses has many versions, and a name of a
wheelhouse stands for one content.
"""

from __future__ import annotations

import io
import itertools
import json
import struct
import tarfile
import zlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from wheelhouse_builder.errors import JobError
from wheelhouse_builder.metadata import fields_of
from wheelhouse_builder.stub import BACKEND, FACTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.utils import NormalizedName
    from packaging.version import Version

_PYPROJECT = f'[build-system]\nrequires = []\nbuild-backend = "{BACKEND}"\nbackend-path = ["."]\n'
_EPOCH = 315_532_800  # 1980, the first year that every archive format knows
_BLOCK = 0xFFFF  # the longest stored block of deflate (RFC 1951, 3.2.4)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What installing a version takes: the same for all its wheels, or there is no stub of it."""

    requires_python: str = ""
    requirements: tuple[str, ...] = ()  # in one spelling and order
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StubSdist:
    """A stub, ready to be written."""

    name: NormalizedName
    version: Version
    requires_python: str | None
    content: bytes

    @property
    def filename(self) -> str:
        """As PEP 625 writes it."""
        return f"{_stem(self.name, self.version)}.tar.gz"


def make_stub(name: NormalizedName, version: Version, metadata: Mapping[str, bytes], wheelhouse: str) -> StubSdist:
    """The stub of a version, from the METADATA of each of its wheels by file name, at least one.

    `wheelhouse` is where clients find the wheels: the URL of an index that ends in a slash, or a folder.
    Raises `JobError` if the wheels do not agree on what they need.
    """
    needs = _agreed(name, version, metadata)
    where = {"name": name, "version": str(version), "wheelhouse": wheelhouse}
    members = {
        "PKG-INFO": _pkg_info(name, version, needs).encode(),
        "pyproject.toml": _PYPROJECT.encode(),
        FACTS: f"{json.dumps(where, indent=2)}\n".encode(),
        f"{BACKEND}.py": files(__package__).joinpath(f"{BACKEND}.py").read_bytes(),
    }
    return StubSdist(
        name=name,
        version=version,
        requires_python=needs.requires_python or None,
        content=_gzipped(_archive(_stem(name, version), members)),
    )


def _stem(name: NormalizedName, version: Version) -> str:
    return f"{name.replace('-', '_')}-{version}"


def _pkg_info(name: NormalizedName, version: Version, needs: Needs) -> str:
    lines = ["Metadata-Version: 2.2", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {needs.requires_python}"] if needs.requires_python else []
    lines += [f"Requires-Dist: {requirement}" for requirement in needs.requirements]
    lines += [f"Provides-Extra: {extra}" for extra in needs.extras]
    return "\n".join([*lines, ""])


def _agreed(name: NormalizedName, version: Version, metadata: Mapping[str, bytes]) -> Needs:
    needs = {filename: _needs_of(filename, content) for filename, content in sorted(metadata.items())}
    for (first, one), (second, other) in itertools.pairwise(needs.items()):
        if one != other:
            raise JobError(
                f"there is no stub of {name} {version}: its wheels do not need the same. "
                f"{'; '.join(_differences(first, one, second, other))}",
                hint="a resolver takes what the stub says for every target: install this version from its wheels",
            )
    return next(iter(needs.values()))


def _differences(first: str, one: Needs, second: str, other: Needs) -> Iterator[str]:
    if one.requires_python != other.requires_python:
        yield (
            f"Requires-Python is {one.requires_python or 'absent'} in {first} "
            f"and {other.requires_python or 'absent'} in {second}"
        )
    for what, mine, theirs in (
        ("Requires-Dist", one.requirements, other.requirements),
        ("Provides-Extra", one.extras, other.extras),
    ):
        for has, lacks, only in ((first, second, {*mine} - {*theirs}), (second, first, {*theirs} - {*mine})):
            if only:
                yield f"{has} has {what} {', '.join(sorted(only))}, {lacks} has not"


def _needs_of(filename: str, metadata: bytes) -> Needs:
    fields = fields_of(metadata)
    try:
        return Needs(
            requires_python=str(SpecifierSet(fields.get("requires_python", ""))),
            requirements=tuple(sorted({_spelt(text) for text in fields.get("requires_dist", [])})),
            extras=tuple(sorted({canonicalize_name(extra) for extra in fields.get("provides_extra", [])})),
        )
    except (InvalidRequirement, InvalidSpecifier) as error:
        raise JobError(
            f"the METADATA of {filename} cannot be read: {error}", hint="there is no stub of such a version"
        ) from None


def _spelt(text: str) -> str:
    requirement = Requirement(text)
    requirement.name = canonicalize_name(requirement.name)
    requirement.extras = {canonicalize_name(extra) for extra in requirement.extras}
    return str(requirement)


def _archive(folder: str, members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(members.items()):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime = len(content), _EPOCH
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _gzipped(content: bytes) -> bytes:
    """A gzip file (RFC 1952) of stored blocks: no time, no name, no compressor. `content` is not empty."""
    blocks = [content[start : start + _BLOCK] for start in range(0, len(content), _BLOCK)]
    last = len(blocks) - 1
    body = b"".join(
        struct.pack("<BHH", number == last, len(block), len(block) ^ _BLOCK) + block
        for number, block in enumerate(blocks)
    )
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + body + struct.pack("<II", zlib.crc32(content), len(content))
