"""What is printed where: results on standard output, everything else on standard error.

With `--json` standard output carries one JSON document and nothing else. Text from outside (messages, log tails) loses
its control characters, so that a package cannot steer the terminal.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from wheelhouse_builder.cli.ci import Ci, annotation, defused, defused_json, running_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wheelhouse_builder.errors import WhbError

_PRINTABLE_CONTROLS = frozenset("\n\t")


def wants_color(choice: str, stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to colour: `always` and `never` decide; in `auto` NO_COLOR beats FORCE_COLOR beats the terminal."""
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or is_terminal(stream, environ)


def is_terminal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the stream is a terminal that understands cursor movements and colours."""
    return stream.isatty() and environ.get("TERM") != "dumb"


def clean(text: str) -> str:
    """The text without control characters other than line ends and tabs."""
    return "".join(char for char in text if char in _PRINTABLE_CONTROLS or char.isprintable())


@dataclass(frozen=True, kw_only=True)
class Console:
    """Where and how a command prints. `verbosity` is 0 by default, below with `-q`, above with `-v`."""

    out: TextIO
    err: TextIO
    json: bool = False
    verbosity: int = 0
    color: bool = False
    live: bool = False  # progress that redraws itself
    ci: Ci | None = None  # what reads the output besides people

    def result(self, text: str) -> None:
        """What was asked for."""
        print(defused_json(clean(text)) if self.json and self.ci else self._shown(text), file=self.out)

    def say(self, text: str) -> None:
        """What helps to follow; `-q` silences it."""
        if self.verbosity >= 0:
            print(self._shown(text), file=self.err)

    def complain(self, text: str) -> None:
        """What must be seen."""
        print(self._shown(text), file=self.err)

    def annotate(self, title: str, text: str) -> None:
        """Where a CI service shows errors beside the run: have it show this one."""
        if self.ci is Ci.GITHUB and not self.json:
            print(annotation(clean(title), clean(text)), file=self.err)

    def harmless(self, text: str) -> str:
        """The text without a command for the CI service that reads it."""
        return defused(text) if self.ci is Ci.GITHUB else text

    def _shown(self, text: str) -> str:
        return self.harmless(clean(text))

    def paint(self, text: str, style: str) -> str:
        """The text in a style (`red`, `green`, `yellow`, `dim`, `bold`), if colours are wanted."""
        codes = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33}
        return f"\x1b[{codes[style]}m{text}\x1b[0m" if self.color else text

    def error(self, error: WhbError) -> None:
        """`error: …`, `hint: …`, and for a failed job its log and last lines."""
        self._labelled("error", "red", error.message)
        if error.hint:
            self._labelled("hint", "yellow", error.hint)
        if log := getattr(error, "log", None):
            self.complain(f"log: {log}")
        if tail := getattr(error, "tail", ""):
            self.complain(quoted(tail))
        self.annotate("whb", "\n".join(filter(None, (error.message, error.hint))))

    def _labelled(self, label: str, style: str, text: str) -> None:
        print(f"{self.paint(f'{label}:', style)} {self._shown(text)}", file=self.err)


def quoted(text: str) -> str:
    """Lines of a log, marked as such."""
    return "\n".join(f"  | {line}" for line in text.splitlines())


def make_console(
    *, json: bool = False, verbosity: int = 0, color: str = "auto", progress: bool = True, environ: Mapping[str, str]
) -> Console:
    """The console of this process."""
    ci = running_on(environ)
    live = progress and verbosity >= 0 and ci is None and is_terminal(sys.stderr, environ)
    return Console(
        out=sys.stdout,
        err=sys.stderr,
        json=json,
        verbosity=verbosity,
        color=wants_color(color, sys.stderr, environ),
        live=live,
        ci=ci,
    )


def open_closed_streams() -> None:
    """What is said to a stream that the caller closed (`>&-`) is read by nobody; Python has None for such a stream."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for as long as we live


def silence_stdout() -> None:
    """After a broken pipe: keep the interpreter from complaining when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
