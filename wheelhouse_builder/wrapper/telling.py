"""What a hook says: lines on standard error, since front ends read nothing else of it."""

from __future__ import annotations

import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import WhbError

if TYPE_CHECKING:
    from collections.abc import Iterator

_WRAPPED = "wheelhouse_builder.wrapper.wrapped"  # whatever the wrapped backend is asked for goes through this module


def tell(text: str) -> None:
    """One line for the user, without control characters; pip shows it when a build fails, and with `-v`."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    sys.stdout.flush()  # of what the wrapped backend printed: both streams end in one log
    sys.stderr.write(f"whb: {line}\n")
    sys.stderr.flush()


@contextmanager
def errors_told() -> Iterator[None]:
    """Tell a `WhbError`, or what the machine refused us, in two lines at most, and end with exit code 1.

    Front ends show a traceback for an exception, and for `SystemExit` just what was printed. What the wrapped backend
    raises passes.
    """
    try:
        yield
    except WhbError as error:
        tell(f"error: {_in_one_line(error.message)}")
        if error.hint:
            tell(f"hint: {_in_one_line(error.hint)}")
        raise SystemExit(1) from None
    except OSError as error:
        if any(frame.f_globals.get("__name__") == _WRAPPED for frame, _ in traceback.walk_tb(error.__traceback__)):
            raise
        place = "" if error.filename is None else f"{error.filename}: "
        tell(f"error: {place}{error.strerror or error}")
        raise SystemExit(1) from None


def _in_one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip()).replace(":; ", ": ")
