"""Which packages may come as a wheel and which as an sdist: pip's `--no-binary` and `--only-binary`.

The rules are those of pip's `models/format_control.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class FormatControl:
    """The two lists: normalised names and `:all:`."""

    no_binary: frozenset[str] = frozenset()
    only_binary: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, no_binary: Sequence[str] = (), only_binary: Sequence[str] = ()) -> FormatControl:
        """From the values of the two options, each a comma-separated list. Raises `UsageError`.

        A name that both options give is, as the later one wins, `--only-binary`.
        """
        return cls().apply([*(("no-binary", v) for v in no_binary), *(("only-binary", v) for v in only_binary)])

    def apply(self, options: Iterable[tuple[str, str]]) -> FormatControl:
        """With more `("no-binary" | "only-binary", value)` pairs after these: a later one wins."""
        names = {"no-binary": self.no_binary, "only-binary": self.only_binary}
        for option, value in options:
            other = "only-binary" if option == "no-binary" else "no-binary"
            names[option], names[other] = _exclude_mutually(value, names[option], names[other])
        return FormatControl(names["no-binary"], names["only-binary"])

    def allows_wheel(self, name: str) -> bool:
        """Whether the package may be installed from an upstream wheel."""
        return not self._is_listed(name, self.no_binary, self.only_binary)

    def allows_sdist(self, name: str) -> bool:
        """Whether the package may be built from an sdist."""
        return not self._is_listed(name, self.only_binary, self.no_binary)

    @staticmethod
    def _is_listed(name: str, names: frozenset[str], others: frozenset[str]) -> bool:
        """A name beats `:all:`; `--only-binary :all:` beats `--no-binary :all:` (they exclude each other anyway)."""
        name = canonicalize_name(name)
        return name in names or (":all:" in names and name not in others)


def _exclude_mutually(
    value: str, target: frozenset[str], other: frozenset[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """pip's `handle_mutual_excludes`: `:all:` forgets what came before it, `:none:` empties the option."""
    if value.startswith("-"):
        raise UsageError(f"{value!r} is no package name", hint="--no-binary and --only-binary take names, or :all:")
    new = value.split(",")
    while ":all:" in new:
        target, other = frozenset({":all:"}), frozenset()
        del new[: new.index(":all:") + 1]
        if ":none:" not in new:  # every name after it is covered by :all:
            return target, other
    for name in new:
        if name == ":none:":
            target = frozenset()
        else:
            target, other = target | {canonicalize_name(name)}, other - {canonicalize_name(name)}
    return target, other
