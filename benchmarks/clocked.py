"""`whb`, which writes the time that it waits for cibuildwheel to a file: what `benchmarks.container` measures.

python -m benchmarks.clocked FILE ARGUMENTS...
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.cli import main
from wheelhouse_builder.engines.container import cibuildwheel

if TYPE_CHECKING:
    from collections.abc import Callable


def clocked(action: Callable[..., Any], file: Path) -> Callable[..., Any]:
    """The action, and its seconds are a line of the file."""

    def act(*arguments: Any, **options: Any) -> Any:
        started = time.monotonic()
        try:
            return action(*arguments, **options)
        finally:
            with file.open("a", encoding="utf-8") as stream:
                stream.write(f"{time.monotonic() - started}\n")

    return act


if __name__ == "__main__":
    vars(cibuildwheel)["run"] = clocked(vars(cibuildwheel)["run"], Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
