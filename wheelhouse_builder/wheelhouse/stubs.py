"""Stubs in the wheelhouse: made from its wheels, and taken in like them under names that stand for one content."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import DamagedError, JobError
from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.stub.sdist import StubSdist, make_stub
from wheelhouse_builder.wheelhouse import disk
from wheelhouse_builder.wheelhouse.stored import StoredStub
from wheelhouse_builder.wheelhouse.yanking import wheels_of

if TYPE_CHECKING:
    from packaging.utils import NormalizedName
    from packaging.version import Version

    from wheelhouse_builder.wheelhouse.store import Wheelhouse
    from wheelhouse_builder.wheelhouse.stored import StoredWheel


def stub_of(wheelhouse: Wheelhouse, name: NormalizedName, version: Version, place: str) -> StubSdist:
    """The stub of a version, from its wheels that are here; `place` is where clients find them, as in `make_stub`.

    Raises `UsageError` when there is none, `JobError` when they do not need the same, `DamagedError` when the metadata
    of one is not what its record says: a stub that was published cannot be put right.
    """
    wheels = wheels_of(wheelhouse, name, version)
    metadata = {wheel.filename: _metadata(wheelhouse, wheel) for wheel in wheels}
    return make_stub(name, wheels[0].version, metadata, place)  # as they spell it: 1.0 is 1


def _metadata(wheelhouse: Wheelhouse, wheel: StoredWheel) -> bytes:
    try:
        content = wheelhouse.metadata(wheel.filename)
    except FileNotFoundError:
        content = b""
    if hashlib.sha256(content).hexdigest() != wheel.metadata_sha256:
        raise DamagedError(
            f"the metadata of {wheel.filename} is gone or damaged", hint="`whb index` says what to do about it"
        )
    return content


def admit_stub(wheelhouse: Wheelhouse, stub: StubSdist) -> None:
    """Take a stub in, under the lock; the same again is no news.

    Raises `JobError` when its name stands for other content, or when its project is archived or quarantined.
    """
    digest, path = hashlib.sha256(stub.content).hexdigest(), wheelhouse.root / stub.filename
    known = wheelhouse.records.stub(stub.filename)
    published = known.published_at if known else None
    taken = {known.sha256} if known and published else set()
    taken |= {sha256_of(path)} if path.is_file() else set()
    if taken - {digest}:
        raise JobError(
            f"{stub.filename} is in {wheelhouse.root} with other content",
            hint="a name stands for one content for ever, clients hold its hash. A stub that is there goes on working; "
            "where its wheelhouse moved to, WHB_WHEELHOUSE tells clients",
        )
    wheelhouse.require_open(stub.name, stub.filename, published=published is not None)
    record = StoredStub(
        filename=stub.filename,
        name=stub.name,
        version=stub.version,
        sha256=digest,
        size=len(stub.content),
        requires_python=stub.requires_python,
        published_at=published,
    )
    with disk.writing(wheelhouse.root), tempfile.TemporaryDirectory(dir=wheelhouse.scratch) as folder:
        temporary = Path(folder, "stub")
        disk.write(temporary, stub.content)
        wheelhouse.records.add_stub(record, temporary.stat().st_mtime_ns)
        disk.rename(temporary, path)
