"""abi3 wheels use only the stable ABI of the Python that their tag names (PEP 384).

The data is `abi3info`, the list that abi3audit's authors keep; the rule is abi3audit's, applied to the dynamic symbols
that were read anyway (abi3audit itself is a command with a private API and costs a second a wheel; a test compares the
two on real wheels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.tags import Tag

    from wheelhouse_builder.elf import ElfFile


def minimum_minor(tags: frozenset[Tag]) -> int:
    """The Python 3 minor that an abi3 wheel's tags name; the newest if they name several, as abi3audit takes it."""
    minors = [tag.interpreter.removeprefix("cp3") for tag in tags if tag.abi == "abi3"]
    return max((int(minor) for minor in minors if minor.isdecimal()), default=2)  # 3.2 brought the stable ABI


def audit(name: str, elf: ElfFile, minor: int) -> Iterator[str]:
    """The symbols of `elf` (called `name` in the messages) that are no part of Python 3.`minor`'s stable ABI."""
    from abi3info import DATAS, FUNCTIONS  # noqa: PLC0415 - 1000 objects, wanted for abi3 wheels only
    from abi3info.models import PyVersion, Symbol  # noqa: PLC0415

    for undefined in elf.undefined:
        if not undefined.name.startswith(("Py", "_Py")):
            continue
        symbol = Symbol(undefined.name)
        known = FUNCTIONS.get(symbol) or DATAS.get(symbol)
        if known is None:
            yield f"{name}: uses {undefined.name}, which is not in the stable ABI"
        elif known.added > PyVersion(3, minor):
            yield f"{name}: uses {undefined.name}, which the stable ABI has since {known.added}, not in 3.{minor}"
