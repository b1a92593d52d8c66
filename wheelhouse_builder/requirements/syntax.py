"""The text of one requirements file. The format is pip's, and its `req_file.py` the only specification."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.redact import redact
from wheelhouse_builder.requirements.model import Option, Origin, RequirementLine, location_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# As in pip's req_file.py.
_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_FIRST_OPTION = re.compile(r"(?:^|\s)(?=-)")

_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^]]*\])?\s*@")
_ARCHIVE_SUFFIXES = (".whl", ".tar.gz", ".zip", ".tgz", ".tar", ".tar.bz2", ".tar.xz")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


def parse_requirements(
    text: str, *, file: Path, constraint: bool = False, variables: Mapping[str, str]
) -> Iterator[RequirementLine | Option]:
    """Parse the text of one file, following nothing; `-r` and `-c` come as options `requirement` and `constraint`.

    `variables` replace `${NAME}`. Raises `UsageError` naming line and text.
    """
    for number, line in _logical_lines(text):
        content = _COMMENT.sub("", line).strip()
        content = _VARIABLE.sub(lambda found: variables.get(found[1]) or found[0], content)
        if content:
            yield from _parse_line(content, Origin(file=file, number=number), constraint)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Join lines that end in a backslash, numbered by the first; a comment line ends a joined line."""
    joined: list[str] = []
    first = 1
    number = 0
    for number, line in enumerate(text.splitlines(), start=1):
        first = first if joined else number
        comment = _COMMENT.match(line)
        if line.endswith("\\") and not comment:
            joined.append(line.strip("\\"))
            continue
        yield first, "".join([*joined, f" {line}" if comment else line])
        joined = []
    if joined:
        yield first, "".join(joined)


def _parse_line(content: str, origin: Origin, constraint: bool) -> Iterator[RequirementLine | Option]:
    split = _FIRST_OPTION.search(content)
    text = content[: split.start()].strip() if split else content
    options = _parse_options(content[split.start() :], content, origin) if split else []
    hashes = frozenset(value for name, value in options if name == "hash")
    others = [(name, value) for name, value in options if name != "hash"]
    for value in hashes:
        if not _SHA256.fullmatch(value):
            raise _syntax_error(f"{value!r} is no sha256:… hash with 64 hexadecimal digits", content, origin)
    if text:
        if others:
            raise _syntax_error(f"--{others[0][0]} cannot stand on the line of a requirement", content, origin)
        yield parse_requirement(text, origin, hashes=hashes, constraint=constraint)
    elif hashes:
        raise _syntax_error("--hash without a requirement", content, origin)
    for name, value in others:
        if name == "editable":
            if constraint:
                raise _syntax_error("a constraint cannot be editable", content, origin)
            yield parse_requirement(value, origin, editable=True)
        else:
            yield Option(origin=origin, name=name, value=value)


class _Record(argparse.Action):
    """Keeps all options in one list, in the order in which they stand."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: object = None
    ) -> None:
        namespace.found = [*getattr(namespace, "found", []), (self.dest.replace("_", "-"), values or "")]


class _OptionError(Exception):
    pass


class _OptionParser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise _OptionError(message)


def _option_parser() -> argparse.ArgumentParser:
    parser = _OptionParser(add_help=False, allow_abbrev=False)
    for names in (
        ["-r", "--requirement"], ["-c", "--constraint"], ["-e", "--editable"], ["--hash"], ["-i", "--index-url"],
        ["--extra-index-url"], ["-f", "--find-links"], ["--no-binary"], ["--only-binary"], ["--trusted-host"],
    ):  # fmt: skip
        parser.add_argument(*names, action=_Record)
    for name in ("--no-index", "--pre", "--prefer-binary", "--require-hashes"):
        parser.add_argument(name, action=_Record, nargs=0)
    return parser


_OPTIONS = _option_parser()


def _parse_options(text: str, content: str, origin: Origin) -> list[tuple[str, str]]:
    try:
        found: list[tuple[str, str]] = getattr(_OPTIONS.parse_args(shlex.split(text)), "found", [])
    except (_OptionError, ValueError) as error:  # ValueError: a quotation that does not end
        raise _syntax_error(str(error), content, origin) from None
    return found


def parse_requirement(
    text: str,
    origin: Origin,
    *,
    hashes: frozenset[str] = frozenset(),
    editable: bool = False,
    constraint: bool = False,
) -> RequirementLine:
    """One requirement without options: a name with what belongs to it, a path or a URL. Raises `UsageError`."""
    requirement = None
    if not (editable or _is_location(text)):
        try:
            requirement = Requirement(text)
        except (InvalidRequirement, RecursionError) as error:
            raise _syntax_error(str(error).partition("\n")[0] or "nested too deeply", text, origin) from None
    line = RequirementLine(
        origin=origin, text=text, requirement=requirement, hashes=hashes, editable=editable, constraint=constraint
    )
    try:
        _, path = line.name, line.path  # both take URLs apart
    except ValueError as error:
        raise _syntax_error(str(error), text, origin) from None
    if path is not None and not os.path.exists(path):  # noqa: PTH110 - Path.exists raises on null bytes
        raise UsageError(f"{origin}: there is no {str(path)!r}", hint="paths are relative to the working directory")
    return line


def _syntax_error(reason: str, content: str, origin: Origin) -> UsageError:
    unset = _VARIABLE.search(content)
    hint = f"the variable {unset[1]} is not set" if unset else "the format is that of pip's requirements files"
    return UsageError(f"{origin}: {redact(reason)}: {redact(content)!r}", hint=hint)


def _is_location(text: str) -> bool:
    """Whether a line is a bare path or URL: it holds a slash, or ends like an archive, and is no `name @ url`."""
    location = location_of(text)
    return not _NAMED.match(text) and (
        location.startswith(".") or "/" in location or location.endswith(_ARCHIVE_SUFFIXES)
    )
