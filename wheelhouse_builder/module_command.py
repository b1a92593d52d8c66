"""A module of this environment as a command, with nothing of the working directory on its path.

`python -m` looks into the working directory first, where foreign code may lie; `-I` does not, and passes over
PYTHONPATH, too, which is how a build environment of pip's tells where modules are.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

_RUN = """\
import runpy, sys
sys.path[:0] = sys.argv.pop(1).split(":")
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def module_command(name: str, *needed: str) -> list[str]:
    """The start of a command line that runs a module; `needed` are the modules that it imports from other projects."""
    return [sys.executable, "-I", "-c", _RUN, ":".join(module_folders(name, *needed)), name]


def module_folders(*names: str) -> list[str]:
    """The folders that these modules are imported from here."""
    places = [place for name in names if (spec := find_spec(name)) for place in spec.submodule_search_locations or ()]
    return list(dict.fromkeys(str(Path(place).parent) for place in places))
