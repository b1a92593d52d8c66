"""What all tests share."""

from __future__ import annotations

import gc
import os

from hypothesis import settings

settings.register_profile("whb", deadline=None)  # a busy machine is no defect
settings.load_profile("whb")

gc.disable()  # until all tests are collected

for name in ("COLUMNS", "LINES"):  # from the readline that pytest loads to its workers: programs fold lines by them
    os.environ.pop(name, None)


def pytest_collection_finish() -> None:
    """Look no more for garbage among modules and tests, which stay till the end: that was a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.enable()
