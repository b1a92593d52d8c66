"""`{openssl.prefix}/include`: names in recipes that stand for what is known only when a package is built.

Not `str.format`: a recipe may name values and nothing else (no attributes, indexes or format codes). A brace itself
is written twice.
"""

from __future__ import annotations

from string import Formatter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wheelhouse_builder.target import Target

TARGET_NAMES = ("arch", "interpreter", "multiarch", "python_version", "rust_triple")


def known_names(libraries: tuple[str, ...]) -> tuple[str, ...]:
    """The names that a recipe with these libraries may use."""
    return (*(f"target.{name}" for name in TARGET_NAMES), *(f"{library}.prefix" for library in libraries))


def values_for(target: Target, prefixes: Mapping[str, object]) -> dict[str, str]:
    """What the names stand for: the target's spellings, and the prefix of each library."""
    values = {f"target.{name}": str(getattr(target, name)) for name in TARGET_NAMES}
    return values | {f"{library}.prefix": str(prefix) for library, prefix in prefixes.items()}


def names_in(text: str) -> tuple[str, ...]:
    """The names in a text. Raises `ValueError` if the text is not well-formed."""
    return tuple(name for _, name in _parts(text) if name is not None)


def expand(text: str, values: Mapping[str, str]) -> str:
    """The text with each name replaced. Raises `ValueError` if it is not well-formed, `KeyError` for unknown names."""
    return "".join(literal + ("" if name is None else values[name]) for literal, name in _parts(text))


def _parts(text: str) -> Iterator[tuple[str, str | None]]:
    for literal, name, code, conversion in Formatter().parse(text):
        if code or conversion:
            raise ValueError(f"{{{name}…}}: a placeholder is a name and nothing else")
        yield literal, name
