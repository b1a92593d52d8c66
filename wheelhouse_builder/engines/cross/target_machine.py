"""Installed into a build environment: `os.uname()` and `platform` answer for the target while a hook runs.

Packages choose SIMD flags and the like by `platform.machine()`, which no variable steers. Only active where
WHB_TARGET_MACHINE is set, that is in the hooks of a foreign target; standard library only.
"""

import os
import sys

machine = os.environ.get("WHB_TARGET_MACHINE")
if machine:
    _host = os.uname()
    _target = os.uname_result((*_host[:4], machine))
    os.uname = lambda: _target
    sys.cross_compiling = True  # type: ignore[attr-defined]  # crossenv's convention, which packages look for
