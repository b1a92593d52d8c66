"""Why a build failed: from its log, and what was said beside it, to a cause, a remedy and the lines that show it."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelhouse_builder.diagnose.rules import alpine_package_of, library_of, rules
from wheelhouse_builder.diagnose.search import (
    BESIDE,
    Piece,
    first_about,
    last_hit,
    last_said,
    lines_before,
    pieces,
    text_of,
)
from wheelhouse_builder.recipes.store import library_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from wheelhouse_builder.diagnose.search import Hit

_BEFORE, _AFTER = 3, 6  # lines of context
_UNKNOWN_LINES = 8
_END_BYTES = 1 << 20  # where a log's last errors are
_LONGEST = 400  # characters of a line that decides
_NEIGHBOUR = 160  # characters of another one
_LIKE_AN_ERROR = re.compile(
    r"(?i)\b(?:errors?|fatal|fail(?:ed|ure|s)?|exception|traceback|abort(?:ed|ing)?|killed|panic(?:ked)?|cannot"
    r"|could not|unable|undefined|not found|no such|denied|unsupported)\b|\w(?:Error|Exception)\b"
)
_HAS_RECIPE = "; there is a recipe, and `--fix` adds it"
_ALPINE_HAS = '; Alpine has it, for --engine cross,container: apk = ["{package}"] under [packages.NAME] in whb.toml'
_NOT_KNOWN = "why is not known: no rule fits what the build said"
_NOT_KNOWN_REMEDY = (
    "the last lines that look like errors are shown, and the log has all that the build said; another version of the"
    " package, or another engine, may build"
)
# Our own command lines, and what front ends say about any failure at all.
_SAYS_NOTHING = re.compile(
    r"^\$ |subprocess-exited-with-error|metadata-generation-failed|This error originates from a subprocess"
    r"|Failed building wheel for|Failed to build|^\s*(?:ERROR|error): (?:Backend|Command) .*(?:returned|exit)"
)


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line of a log."""

    number: int  # from 1; 0: it was said beside the log
    text: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Why a build failed, for people, and what to do."""

    rule: str = ""  # its id; empty: not known
    kind: str = ""  # the rule's class
    cause: str = ""
    remedy: str = ""
    thread: str | None = None  # where others met it
    everywhere: bool = False  # no other engine would build it
    library: str = ""  # what is missing, by `libraries.toml`: often the name of a recipe
    line: str = ""  # the one that decides
    excerpt: tuple[LogLine, ...] = ()  # that line among its neighbours; not known: the last lines like errors

    @property
    def known(self) -> bool:
        """Whether a rule knows the failure."""
        return bool(self.rule)

    @property
    def text(self) -> str:
        """The excerpt as text."""
        return "\n".join(line.text for line in self.excerpt)


def diagnose(log: BinaryIO, *, message: str = "", tail: str = "") -> Diagnosis:
    """What the log of a failed build says, and what its error said beside it, which counts as the log's end.

    `message` is the error's own, `tail` what it quotes, which often is but the end of the log.

    Of several lines that rules decide, the last one counts: builds probe, and the failure of a probe is no failure of
    the build. Where a rule names a {file}, its first line about that file counts: the later ones follow from it.
    """
    quoted = "" if _ends_with(log, tail) else tail  # there it has line numbers
    hit = last_said(f"{message}\n{quoted}", rules())
    if hit is None or hit.rule.general:
        logged = last_hit(log, rules())
        hit = logged if hit is None or (logged and not logged.rule.general) else hit
    return _diagnosis(_first_about_same_file(hit, log), log) if hit else _not_known(log, quoted)


def _ends_with(log: BinaryIO, text: str) -> bool:
    end = next(pieces(log, _END_BYTES), None)
    return end is not None and text.strip().encode(errors="replace") in end.content


def _first_about_same_file(hit: Hit, log: BinaryIO) -> Hit:
    file = hit.match.groupdict().get("file")
    if file is None:
        return hit
    found = (first_about(piece, hit.rule, file) for piece in itertools.chain([hit.piece], pieces(log)))
    *_, first = (hit, *filter(None, found))
    return first


def _diagnosis(hit: Hit, log: BinaryIO) -> Diagnosis:
    rule = hit.rule
    names = dict.fromkeys(rule.groups, "") | {name: value or "" for name, value in hit.match.groupdict().items()}
    library = rule.library.format_map(names) or library_of(names)
    names["library"] = library or "the library that has it"
    return Diagnosis(
        rule=rule.id,
        kind=rule.kind,
        cause=rule.cause.format_map(names),
        remedy=rule.remedy.format_map(names) + _where_it_is(library),
        thread=rule.thread,
        everywhere=rule.everywhere,
        library=library,
        line=_shown(hit.match).strip(),
        excerpt=_last_errors(log) if rule.shows_log else _neighbours(hit, log),
    )


def _where_it_is(library: str) -> str:
    """How a build comes by a library that it lacks, where that is known."""
    if library in library_names():
        return _HAS_RECIPE
    package = alpine_package_of(library)
    return _ALPINE_HAS.format(package=package) if package else ""


def _neighbours(hit: Hit, log: BinaryIO) -> tuple[LogLine, ...]:
    """The line of a hit with what stands around it, up to a traceback of the build's own or a command line of ours."""
    content, said = hit.piece.content, hit.piece.start == BESIDE
    above = [] if said else content[: hit.at].rsplit(b"\n", _BEFORE + 1)[-1 - _BEFORE : -1]
    above = list(itertools.takewhile(_belongs_to_it, reversed(above)))[::-1]
    below = content[hit.at :].rstrip(b"\n").split(b"\n", _AFTER + 1)[1 : _AFTER + 1]
    below = list(itertools.takewhile(_belongs_to_it, below))
    number = None if said else lines_before(log, hit.piece, hit.at) + 1
    return (
        *_numbered(above, number and number - len(above), _NEIGHBOUR),
        LogLine(number=number or 0, text=_shown(hit.match)),
        *_numbered(below, number and number + 1, _NEIGHBOUR),
    )


def _belongs_to_it(line: bytes) -> bool:
    return not line.startswith(b"$ ") and b"Traceback (most recent call last)" not in line


def _not_known(log: BinaryIO, quoted: str) -> Diagnosis:
    shown = _like_errors(_numbered(quoted.encode(errors="replace").splitlines())) or _last_errors(log)
    return Diagnosis(cause=_NOT_KNOWN, remedy=_NOT_KNOWN_REMEDY, excerpt=shown)


def _last_errors(log: BinaryIO) -> tuple[LogLine, ...]:
    end = next(pieces(log, _END_BYTES), Piece(start=0, content=b""))
    return _like_errors(_numbered(end.content.splitlines(), lines_before(log, end, 0) + 1))


def _like_errors(lines: Sequence[LogLine]) -> tuple[LogLine, ...]:
    """The last lines that look like errors; where there are none, the last lines."""
    telling = [line for line in lines if line.text.strip() and not _SAYS_NOTHING.search(line.text)]
    like_errors = [line for line in telling if _LIKE_AN_ERROR.search(line.text)]
    return tuple((like_errors or telling)[-_UNKNOWN_LINES:])


def _numbered(lines: Sequence[bytes], first: int | None = None, longest: int = _LONGEST) -> tuple[LogLine, ...]:
    return tuple(
        LogLine(number=0 if first is None else first + index, text=_short(text_of(line[: 2 * longest]), longest))
        for index, line in enumerate(lines)
    )


def _shown(match: re.Match[str]) -> str:
    """The line of a match; of an endless one, the part that matched."""
    start = max(0, match.start() - _LONGEST // 2) if len(match.string) > _LONGEST else 0
    return _short(("… " if start else "") + match.string[start:])


def _short(line: str, longest: int = _LONGEST) -> str:
    line = line.rstrip()
    return line if len(line) <= longest else f"{line[:longest]} …"
