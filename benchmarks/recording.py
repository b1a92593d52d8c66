"""Records of many wheels at once: what a benchmark needs before it measures, and nobody else."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from wheelhouse_builder.wheelhouse.records import _INSERT, _dump
from wheelhouse_builder.wheelhouse.stored import Seen, StoredWheel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wheelhouse_builder.wheelhouse.store import Wheelhouse


def record(house: Wheelhouse, wheels: Iterable[StoredWheel]) -> None:
    """Note wheels whose files are there, all in one transaction."""
    rows = []
    for wheel in wheels:
        path = f"{house.root}/{wheel.filename}"
        beside = os.stat(f"{path}.metadata")  # noqa: PTH116  # a Path takes as long again, as in `soundness`
        seen = Seen(os.stat(path).st_mtime_ns, beside.st_mtime_ns, beside.st_size)  # noqa: PTH116
        rows.append(_dump(wheel) | seen._asdict())
    connection = sqlite3.connect(house.records.path)
    with connection:
        connection.executemany(_INSERT, rows)
    connection.close()
