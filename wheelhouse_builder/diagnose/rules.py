"""What a failed build's log means: rules as data (`rules/*.toml`), matched against the text. Pure."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

_TAIL_LINES = 25
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One entry of `rules/*.toml`; the file explains the fields."""

    id: str
    pattern: re.Pattern[str]
    kind: str
    cause: str
    remedy: str
    general: bool


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Why a build failed, for people, and what to do."""

    rule: str  # its id
    kind: str  # the rule's class
    cause: str
    remedy: str
    line: str  # of the log: the one that decides
    tail: tuple[str, ...]  # the last lines of the log


def diagnose(log_text: str) -> Diagnosis | None:
    """What the log of a failed build says, None if no rule knows."""
    text = _COLOUR.sub("", log_text)
    for general in (False, True):
        candidates = ((rule, _last_match(rule, text)) for rule in rules() if rule.general is general)
        found = [(rule, match) for rule, match in candidates if match is not None]
        if found:
            rule, match = max(found, key=lambda hit: _line_start(text, hit[1]))
            return _diagnosis(rule, _first_about_same_file(rule, match, text), text)
    return None


@cache
def rules() -> tuple[Rule, ...]:
    """The rules of `rules/*.toml`, file by file in the order of their names."""
    return tuple(
        Rule(
            id=entry["id"],
            pattern=re.compile(entry["pattern"], re.MULTILINE),
            kind=entry["class"],
            cause=entry["cause"],
            remedy=entry["remedy"],
            general=entry.get("general", False),
        )
        for file in sorted((resources.files(__package__) / "rules").iterdir(), key=lambda file: file.name)
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["rule"]
    )


@cache
def _libraries() -> dict[str, Any]:
    text = (resources.files(__package__) / "libraries.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _last_match(rule: Rule, text: str) -> re.Match[str] | None:
    matches = list(rule.pattern.finditer(text))
    return matches[-1] if matches else None


def _first_about_same_file(rule: Rule, match: re.Match[str], text: str) -> re.Match[str]:
    file = match.groupdict().get("file")
    if file is None:
        return match
    return next(other for other in rule.pattern.finditer(text) if other["file"] == file)


def _diagnosis(rule: Rule, match: re.Match[str], text: str) -> Diagnosis:
    names = {name: value or "" for name, value in match.groupdict().items()}
    if "header" in names:
        names["library"] = _library_of(names["header"])
    end = text.find("\n", match.end())
    return Diagnosis(
        rule=rule.id,
        kind=rule.kind,
        cause=rule.cause.format_map(names),
        remedy=rule.remedy.format_map(names),
        line=text[_line_start(text, match) : end if end >= 0 else None].strip(),
        tail=tuple(text.splitlines()[-_TAIL_LINES:]),
    )


def _line_start(text: str, match: re.Match[str]) -> int:
    return text.rfind("\n", 0, match.start()) + 1


def _library_of(header: str) -> str:
    headers: dict[str, str] = _libraries()["headers"]
    return headers.get(header) or headers.get(header.partition("/")[0]) or "the library that has it"
