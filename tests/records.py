"""Records of wheels for tests, made by hand."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from packaging.utils import parse_wheel_filename

from wheelhouse_builder.verify.verdict import Check, Method, Verdict
from wheelhouse_builder.wheelhouse.stored import StoredWheel

MOMENT = datetime(2026, 11, 24, 4, 18, 42, tzinfo=UTC)


def stored(filename: str, *verdicts: Verdict, requires_python: str | None = ">=3.8") -> StoredWheel:
    """The record of a wheel that was built and published."""
    name, version, _, _ = parse_wheel_filename(filename)
    return StoredWheel(
        filename=filename,
        name=name,
        version=version,
        sha256=hashlib.sha256(filename.encode()).hexdigest(),
        size=len(filename),
        metadata_sha256=hashlib.sha256(b"metadata").hexdigest(),
        requires_python=requires_python,
        origin="built",
        published_at=MOMENT,
        verdicts=verdicts,
    )


def verdict(
    check: str, target: str, *, method: str = "native", problems: tuple[str, ...] = (), notes: tuple[str, ...] = ()
) -> Verdict:
    """What one check of a wheel said."""
    return Verdict(
        check=Check(check),
        target=target,
        method=Method.STATIC if check == "loader" else Method(method),
        environment="musl 1.2.3, CPython 3.12" if check == "loader" else "docker python:3.12-alpine",
        problems=problems,
        notes=notes,
    )
