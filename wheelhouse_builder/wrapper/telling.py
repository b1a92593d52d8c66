"""What a hook says: lines on standard error, since front ends read nothing else of it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import WhbError

if TYPE_CHECKING:
    from collections.abc import Iterator


def tell(text: str) -> None:
    """One line for the user; pip shows it when a build fails, and with `-v`."""
    sys.stdout.flush()  # of what the wrapped backend printed: both streams end in one log
    sys.stderr.write(f"whb: {' '.join(text.split())}\n")
    sys.stderr.flush()


@contextmanager
def errors_told() -> Iterator[None]:
    """Tell a `WhbError` in two lines at most, and end with exit code 1.

    Front ends show a traceback for an exception, and for `SystemExit` just what was printed.
    """
    try:
        yield
    except WhbError as error:
        tell(f"error: {_in_one_line(error.message)}")
        if error.hint:
            tell(f"hint: {_in_one_line(error.hint)}")
        raise SystemExit(1) from None


def _in_one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip()).replace(":; ", ": ")
