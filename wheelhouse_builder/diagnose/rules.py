"""What a failed build's log means: rules as data, a file for each area in `rules/`, and the classes of `classes.toml`.

A rule has these fields:

- `id`: names the rule; reports, the history and docs/reference/failures.md show it.
- `pattern`: a regular expression over one line; its named groups may stand in `cause` and `remedy` as {name}. What a
  group `header`, `package` or `link` found is looked up in `libraries.toml`; {library} is then the library's name.
  <<NAMES>> is any of the names that `names.toml` has under NAMES.
- `words`: literals, one of which stands in every line that the pattern matches: a log is searched for those.
- `said`: such an expression over the lines of an error of our own, beside or instead of `pattern`, which is for both.
- `library`: the missing library's name where the pattern finds none; it may have {names}.
- `class`: one of `classes.toml`.
- `cause`, `remedy`: why, and what to do; [packages.NAME] is shown with the package's name.
- `thread`: where people met it: OWNER/REPOSITORY#NUMBER, or a URL.
- `everywhere`: the other engines would fail alike.
- `shows-log`: not the line that decides is shown, but the last ones of the log that look like errors.
- `general`: what such a line says is nearly always the consequence of something said before, so the rule counts only
  where no other one matches.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = re.compile(r"<<(\w+)>>")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule; this module explains the fields."""

    id: str
    pattern: re.Pattern[str] | None
    said: re.Pattern[str] | None
    words: tuple[str, ...]
    kind: str
    cause: str
    remedy: str
    thread: str | None
    library: str
    everywhere: bool
    shows_log: bool
    general: bool
    area: str  # the file that has it

    @property
    def groups(self) -> frozenset[str]:
        """The names of all that its expressions find."""
        return frozenset(name for pattern in (self.pattern, self.said) if pattern for name in pattern.groupindex)


class LiesIn(StrEnum):
    """Where the cause of a failure lies: whether it is worth another try, and when."""

    INPUTS = "inputs"
    MACHINE = "machine"
    NETWORK = "network"


@dataclass(frozen=True, kw_only=True)
class FailureClass:
    """What kind of failure it is."""

    name: str
    text: str
    lies_in: LiesIn


@cache
def rules() -> tuple[Rule, ...]:
    """The rules, file by file in the order of their names."""
    files = sorted((resources.files(__package__) / "rules").iterdir(), key=lambda file: file.name)
    return tuple(
        _rule(entry, file.name.removesuffix(".toml"))
        for file in files
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["rule"]
    )


def _rule(entry: Mapping[str, Any], area: str) -> Rule:
    return Rule(
        id=entry["id"],
        pattern=_compiled(entry.get("pattern")),
        said=_compiled(entry.get("said")),
        words=tuple(entry.get("words", ())),
        kind=entry["class"],
        cause=entry["cause"],
        remedy=entry["remedy"],
        thread=entry.get("thread"),
        library=entry.get("library", ""),
        everywhere=entry.get("everywhere", False),
        shows_log=entry.get("shows-log", False),
        general=entry.get("general", False),
        area=area,
    )


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    return None if pattern is None else re.compile(_NAMES.sub(_any_of, pattern))


def _any_of(names: re.Match[str]) -> str:
    return f"(?:{'|'.join(_data('names.toml')[names[1]])})"


@cache
def failure_classes() -> Mapping[str, FailureClass]:
    """The classes by name."""
    return {
        name: FailureClass(name=name, text=entry["text"], lies_in=LiesIn(entry["lies-in"]))
        for name, entry in _data("classes.toml").items()
    }


def library_of(names: Mapping[str, str]) -> str:
    """The library that has what a rule's pattern found, by `libraries.toml`; empty if it is not known."""
    data = _data("libraries.toml")
    header, package, link = (names.get(group, "") for group in ("header", "package", "link"))
    found: str = (
        data["headers"].get(header)
        or data["headers"].get(header.partition("/")[0])
        or data["packages"].get(package.lower())
        or data["links"].get(link)
        or ""
    )
    return found


def alpine_package_of(library: str) -> str:
    """The package of Alpine with a library that there is no recipe of; empty if it is not known."""
    found: str = _data("libraries.toml")["alpine"].get(library, "")
    return found


@cache
def _data(file: str) -> Mapping[str, Any]:
    return tomllib.loads((resources.files(__package__) / file).read_text(encoding="utf-8"))
