"""Pages of the documentation, for tests that do what they say."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(?:^(?: {4,}\S.*)?\n)+", re.MULTILINE)
_COMMAND = re.compile(r"(?:\w+=\S+ )*(?:docker|pip|python|uv|whb) ")


def section(page: str, heading: str) -> str:
    """The text below a heading of the second level, to the next one; for "" what is before the first."""
    parts = re.split(r"^## (.*)\n", "## \n" + (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[heading]


def blocks(text: str) -> list[str]:
    """The indented blocks, without their indentation; each ends with a line end."""
    found = (textwrap.dedent(block).strip("\n") for block in _BLOCK.findall(text))
    return [f"{block}\n" for block in found if block]


def commands(text: str) -> list[str]:
    """The lines of the blocks that run a program which the tests know."""
    return [line for block in blocks(text) for line in block.splitlines() if _COMMAND.match(line)]


def named_blocks(text: str) -> dict[str, str]:
    """The first block after each name in bold at the start of a line: `**name** is for …`."""
    parts = re.split(r"^\*\*([^*\n]+)\*\*", text, flags=re.MULTILINE)
    return {name: blocks(part)[0] for name, part in zip(parts[1::2], parts[2::2], strict=True)}


def tables(text: str) -> list[list[dict[str, str]]]:
    """The tables, each a list of rows by the names of their columns; code without its backticks."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *rows = (
            [cell.strip().replace("`", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in table.splitlines()
        )
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found
