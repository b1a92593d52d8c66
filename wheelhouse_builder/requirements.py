"""Requirements files: what they ask for, read once, by one set of rules.

The format is pip's (its `req_file.py` is the only specification), with everything nested already followed. What is read
here is all that the resolver gets to see, so that the hashes which are enforced and the requirements which are resolved
can never come from two different readings of one file.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.format_control import FormatControl
from wheelhouse_builder.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from packaging.markers import Environment
    from packaging.utils import NormalizedName

# As in pip's req_file.py.
_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_FIRST_OPTION = re.compile(r"(?:^|\s)(?=-)")

_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^]]*\])?\s*@")
_ARCHIVE_SUFFIXES = (".whl", ".tar.gz", ".zip", ".tgz", ".tar", ".tar.bz2", ".tar.xz")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_PROJECT_FILES = ("pyproject.toml", "setup.cfg", "setup.py")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a line stands; `file` is None for the command line."""

    file: Path | None
    number: int

    def __str__(self) -> str:
        return "command line" if self.file is None else f"{self.file}, line {self.number}"


@dataclass(frozen=True, kw_only=True)
class RequirementLine:
    """One requirement or constraint. `requirement` is None for a bare path or URL."""

    origin: Origin
    text: str  # without options
    requirement: Requirement | None
    hashes: frozenset[str] = frozenset()  # "sha256:…"
    editable: bool = False
    constraint: bool = False

    @property
    def name(self) -> NormalizedName | None:
        """The normalised name; for a bare path or URL, what its file name says, or None."""
        if self.requirement is not None:
            return canonicalize_name(self.requirement.name)
        filename = unquote(urlsplit(_location(self.text)).path.rpartition("/")[-1])
        try:
            parse = parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename
            return parse(filename)[0]
        except (InvalidWheelFilename, InvalidSdistFilename):
            return None

    @property
    def path(self) -> Path | None:
        """The local file or directory that it names, relative to the working directory as in pip."""
        if self.requirement is None:
            return _local_path(self.text)
        return _local_path(self.requirement.url) if self.requirement.url else None

    def applies(self, environment: Environment) -> bool:
        """Whether its marker, if it has one, holds."""
        marker = self.requirement.marker if self.requirement else None
        return marker is None or marker.evaluate(cast("dict[str, str]", environment))

    def render(self) -> str:
        """The line as uv reads it, without hashes."""
        return f"-e {self.text}" if self.editable else self.text


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option on a line of its own, by its long name; `value` is empty for a flag."""

    origin: Origin
    name: str
    value: str = ""


@dataclass(frozen=True, kw_only=True)
class RequirementSet:
    """All that the requirements files, constraints files and the command line ask for, in order."""

    lines: tuple[RequirementLine, ...] = ()
    options: tuple[Option, ...] = ()

    def values(self, option: str) -> tuple[str, ...]:
        """Every value of an option, in order: `values("extra-index-url")`; one empty string per use of a flag."""
        return tuple(found.value for found in self.options if found.name == option)

    @property
    def require_hashes(self) -> bool:
        """Whether every package must have a hash: asked for, or implied by one hash anywhere, as in pip."""
        return bool(self.values("require-hashes")) or any(line.hashes for line in self.lines)

    def format_control(self, base: FormatControl | None = None) -> FormatControl:
        """`base` (from the command line), and over it what the files say, as in pip."""
        options = [(found.name, found.value) for found in self.options if found.name in {"no-binary", "only-binary"}]
        return (base or FormatControl()).apply(options)

    def hashes_for(self, name: str, environment: Environment) -> frozenset[str] | None:
        """The `sha256:…` that a package's file may have there; None if no line that applies gives any.

        Several lines with hashes (a requirement and a constraint) must all agree, as in pip's resolver.
        """
        name = canonicalize_name(name)
        given = [line.hashes for line in self.lines if line.hashes and line.name == name and line.applies(environment)]
        return frozenset.intersection(*given) if given else None

    def render(self, *, constraints: bool = False) -> str:
        """The requirements (or the constraints), one a line, as a flat file."""
        return "".join(f"{line.render()}\n" for line in self.lines if line.constraint is constraints)

    @property
    def digest(self) -> str:
        """sha256 (hexadecimal) over everything here and over what local projects say of themselves."""
        digest = hashlib.sha256()
        for line in self.lines:
            fields = (line.render(), str(line.constraint), *sorted(line.hashes), *_describe_local(line.path))
            digest.update(repr(fields).encode())
        for option in self.options:
            digest.update(repr((option.name, option.value)).encode())
        return digest.hexdigest()


def read_requirements(
    files: Sequence[Path], *, constraints: Sequence[Path] = (), extra: Sequence[str] = ()
) -> RequirementSet:
    """Read requirements files, constraints files and requirements from the command line, and all that they include.

    Raises `UsageError` naming file, line and text.
    """
    entries: list[RequirementLine | Option] = []
    for file in files:
        entries += _read_file(file, constraint=False, ancestors=(), included_by=None)
    for file in constraints:
        entries += _read_file(file, constraint=True, ancestors=(), included_by=None)
    for number, text in enumerate(extra, start=1):
        entries.append(_parse_requirement(text.strip(), Origin(file=None, number=number)))
    return RequirementSet(
        lines=tuple(entry for entry in entries if isinstance(entry, RequirementLine)),
        options=tuple(entry for entry in entries if isinstance(entry, Option)),
    )


def _read_file(
    file: Path, *, constraint: bool, ancestors: tuple[Path, ...], included_by: Origin | None
) -> Iterator[RequirementLine | Option]:
    """Yield the entries of a file and, in place, those of the files that it includes."""
    by = f" (included by {included_by})" if included_by else ""
    try:
        resolved = file.resolve()
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}{by} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(f"cannot read the requirements file {str(file)!r}{by}: {reason}") from None
    if resolved in ancestors:
        raise UsageError(f"{file} includes itself{by}", hint="remove one of the -r or -c lines")
    for entry in parse_requirements(text, file=file, constraint=constraint, variables=os.environ):
        if isinstance(entry, Option) and entry.name in {"requirement", "constraint"}:
            yield from _read_file(
                _included(entry),
                constraint=entry.name == "constraint",
                ancestors=(*ancestors, resolved),
                included_by=entry.origin,
            )
        elif isinstance(entry, Option) and entry.name == "find-links":
            yield Option(origin=entry.origin, name=entry.name, value=_found_links(entry.value, file))
        else:
            yield entry


def _included(option: Option) -> Path:
    if "://" in option.value and not option.value.startswith("file:"):
        raise UsageError(
            f"{option.origin}: {redact(option.value)!r} is not a local file", hint="download it, and include the copy"
        )
    assert option.origin.file is not None
    return option.origin.file.parent / (_local_path(option.value) or option.value)


def _found_links(value: str, file: Path) -> str:
    """A directory beside the file is meant before one in the working directory, as in pip."""
    if "://" in value:
        return value
    beside = file.parent / value
    return str((beside if os.path.lexists(beside) else Path(value)).absolute())


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
        yield _parse_requirement(text, origin, hashes=hashes, constraint=constraint)
    elif hashes:
        raise _syntax_error("--hash without a requirement", content, origin)
    for name, value in others:
        if name == "editable":
            if constraint:
                raise _syntax_error("a constraint cannot be editable", content, origin)
            yield _parse_requirement(value, origin, editable=True)
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


def _parse_requirement(
    text: str,
    origin: Origin,
    *,
    hashes: frozenset[str] = frozenset(),
    editable: bool = False,
    constraint: bool = False,
) -> RequirementLine:
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
    return UsageError(f"{origin}: {redact(reason)}: {redact(content)!r}")


def _location(text: str) -> str:
    """A bare path or URL without the marker and the extras that may follow it."""
    return re.sub(r"\[[^][/]*\]$", "", re.split(r"\s+;|\s+#|;\s", text, maxsplit=1)[0].strip())


def _is_location(text: str) -> bool:
    """Whether a line is a bare path or URL: it holds a slash, or ends like an archive, and is no `name @ url`."""
    location = _location(text)
    return not _NAMED.match(text) and (
        location.startswith(".") or "/" in location or location.endswith(_ARCHIVE_SUFFIXES)
    )


def _local_path(text: str) -> Path | None:
    """The path that a bare path or a `file:` URL names; None for other URLs."""
    location = _location(text)
    scheme = location.partition(":")[0].lower() if ":" in location else ""
    if scheme == "file":
        return Path(unquote(urlsplit(location).path))
    return None if "://" in location else Path(location)


def _describe_local(path: Path | None) -> Iterator[str]:
    """What decides a local project's dependencies: its project files, or the whole of an archive."""
    if path is None:
        return
    for file in [path / name for name in _PROJECT_FILES] if path.is_dir() else [path]:
        if file.is_file():
            yield hashlib.sha256(file.read_bytes()).hexdigest()
