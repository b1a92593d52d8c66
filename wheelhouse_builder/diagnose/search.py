"""Searching a whole log, which may have tens of megabytes: from its end, piece by piece, for the words of the rules.

A rule's pattern is tried on the lines alone that have one of its words: `bytes.find` reads some gigabytes in a second,
a regular expression some hundredths of that. And a log that is so long says the same again and again, but for numbers
(progress, warnings of one header in a thousand files): the words are looked for in what is left without repetitions.
"""

from __future__ import annotations

import os
import re
import string
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from wheelhouse_builder.diagnose.rules import Rule

BESIDE = -1  # the start of a piece that is not of the log
_PIECE = 8 << 20  # bytes
_LONGEST = 2000  # characters of a line on either side of a rule's word: some programs write megabytes into one
_MOST_LINES = 300_000  # that are remembered
_DIGITS = string.digits.encode()
# What compiles for a question of the build's configuration (autoconf, distutils, CMake, Meson): a failure is an answer.
_PROBE = re.compile(r"\b(?:conftest|_configtest|testC(?:XX)?Compiler|CheckSymbolExists|sanitycheckc(?:pp)?)\.\w+")
_COLOUR = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_ByWord = dict[bytes, list[tuple[int, "Rule"]]]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some whole lines of a log, without colours."""

    start: int  # in bytes of the log
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A line that a rule decides."""

    rule: Rule
    match: re.Match[str]
    piece: Piece
    at: int  # where the line starts in the piece


def pieces(log: BinaryIO, size: int = _PIECE) -> Iterator[Piece]:
    """The log in pieces of about `size` bytes, the last one first."""
    end = log.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - size)
        log.seek(start)
        content = log.read(end - start)
        cut = content.find(b"\n") + 1 if start else 0
        if cut < len(content):  # what begins in the piece before belongs to it; a line may be longer than a piece
            content, start = content[cut:], start + cut
        yield Piece(start=start, content=_COLOUR.sub(b"", content))
        end = start


def last_said(text: str, rules: Sequence[Rule]) -> Hit | None:
    """The last line of an error of our own that one of `rules` decides; of several rules for it, the first.

    A general rule decides only where no other one does.
    """
    found = (_last_said(text, [rule for rule in rules if rule.general is general]) for general in (False, True))
    return next((hit for hit in found if hit), None)


def _last_said(text: str, rules: Sequence[Rule]) -> Hit | None:
    piece = Piece(start=BESIDE, content=text.encode(errors="replace"))
    at = len(piece.content)
    for line in reversed(piece.content.split(b"\n")):
        at -= len(line) + 1
        for rule in rules:
            tried = (pattern.search(text_of(line)) for pattern in (rule.said, rule.pattern) if pattern)
            if match := next(filter(None, tried), None):
                return Hit(rule=rule, match=match, piece=piece, at=at + 1)
    return None


def last_hit(log: BinaryIO, rules: Sequence[Rule]) -> Hit | None:
    """The last line of a log that one of `rules` decides; of several rules for it, the first.

    A general rule decides only where no other one does.
    """
    specific, general = (_by_word(rules, general=general) for general in (False, True))
    vocabulary = _Vocabulary({*specific, *general})
    fallback = None
    for piece in pieces(log):
        words = vocabulary.of(piece)
        if hit := _last_in(piece, words, specific):
            return hit
        fallback = fallback or _last_in(piece, words, general)
    return fallback


class _Vocabulary:
    """Which words a log has, piece by piece. Each line is looked at once, whatever the numbers in it."""

    def __init__(self, words: set[bytes]) -> None:
        self._left = {word: word.translate(None, _DIGITS) for word in words}
        self._found: set[bytes] = set()
        self._lines: set[bytes] = set()

    def of(self, piece: Piece) -> set[bytes]:
        """The words that the piece may have: all of its own, and those of the pieces before it."""
        lines = set(piece.content.translate(None, _DIGITS).split(b"\n"))
        unseen = b"\n".join(lines - self._lines)
        self._lines = self._lines | lines if len(self._lines) < _MOST_LINES else lines
        self._found |= {word for word, letters in self._left.items() if letters in unseen}
        self._left = {word: letters for word, letters in self._left.items() if word not in self._found}
        return self._found


def _by_word(rules: Sequence[Rule], *, general: bool) -> _ByWord:
    """The rules of either kind by their words, each with its place among them all."""
    found: _ByWord = defaultdict(list)
    for order, rule in enumerate(rules):
        for word in rule.words if rule.general is general else ():
            found[word.encode()].append((order, rule))
    return found


def _last_in(piece: Piece, words: set[bytes], by_word: _ByWord) -> Hit | None:
    best: tuple[int, int, Hit] | None = None  # the line, the rule's order (negative: the first one wins)
    content = piece.content
    for word in words & by_word.keys():
        if word not in content:  # `rfind` takes several times as long to see that
            continue
        candidates, earliest, end = by_word[word], best[0] if best else 0, len(content)
        while (position := content.rfind(word, earliest, end)) >= 0:
            line_start, line = line_around(content, position)
            for order, rule in [] if _PROBE.search(line) else candidates:
                if rule.pattern and (match := rule.pattern.search(line)):
                    hit = Hit(rule=rule, match=match, piece=piece, at=line_start)
                    best = max(best or (-1, 0, hit), (line_start, -order, hit), key=lambda one: one[:2])
                    break
            if best and best[0] == line_start:
                break
            end = line_start
    return best[2] if best else None


def first_about(piece: Piece, rule: Rule, file: str) -> Hit | None:
    """The first line of a piece that `rule` decides and where its group `file` is this one."""
    word, position = f"{file}:".encode(), 0
    while (position := piece.content.find(word, position)) >= 0:
        start, line = line_around(piece.content, position)
        match = rule.pattern.search(line) if rule.pattern else None
        if match and match["file"] == file:
            return Hit(rule=rule, match=match, piece=piece, at=start)
        position += len(word)
    return None


def line_around(content: bytes, position: int) -> tuple[int, str]:
    """The line at a position, as text without control characters, and where it starts. `\\r` ends a line too."""
    start = content.rfind(b"\n", 0, position) + 1
    start = content.rfind(b"\r", start, position) + 1 or start
    end = content.find(b"\n", position)
    end = len(content) if end < 0 else end
    carriage = content.find(b"\r", position, end)
    end = end if carriage < 0 else carriage
    return start, text_of(content[max(start, position - _LONGEST) : min(end, position + _LONGEST)])


def text_of(line: bytes) -> str:
    """A line of a log as text that does nothing to a terminal."""
    return _CONTROL.sub("", line.decode(errors="replace"))


def lines_before(log: BinaryIO, piece: Piece, at: int) -> int:
    """How many lines of the log stand before the position `at` of a piece."""
    log.seek(0)
    count, left = 0, piece.start
    while left > 0 and (block := log.read(min(left, _PIECE))):
        count += block.count(b"\n")
        left -= len(block)
    return count + piece.content.count(b"\n", 0, at)
