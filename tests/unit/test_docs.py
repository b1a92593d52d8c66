"""The documentation says what is so: its commands parse, its settings exist, its links lead somewhere."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.cli import COMMANDS, command_parser
from wheelhouse_builder.cli.options import read_settings
from wheelhouse_builder.project.build_system import read_build_system
from wheelhouse_builder.recipes.model import parse_package_recipe
from wheelhouse_builder.recipes.table import Table
from wheelhouse_builder.settings import OPTIONS
from wheelhouse_builder.settings_sources import load_settings

if TYPE_CHECKING:
    from wheelhouse_builder.settings.kinds import Option

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

INDENTED = re.compile(r"^ {4,}(whb .*)$", re.MULTILINE)
INLINE = re.compile(r"`(whb [^`]+)`")
LINK = re.compile(r"\]\(([^)#:]+)\)")
TOML_BLOCK = re.compile(r"(?:^ {4}\S.*\n|^\n(?= {4}\S))+", re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ").replace("\\|", "|")
        found += [(page.name, line) for pattern in (INDENTED, INLINE) for line in pattern.findall(text)]
    return found


def test_the_documentation_has_commands() -> None:
    assert len(commands()) > 20


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_parses(page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.replace("[", "").replace("]", ""), comments=True)
    _, name, *arguments = itertools.takewhile(lambda word: word not in {">", ">>"}, words)
    if name in {"COMMAND", "--help"}:
        return
    assert name in COMMANDS
    arguments = [argument for argument in arguments if argument != "--help"]
    if "PACKAGE" not in arguments:  # a synopsis
        options = command_parser(name).parse_intermixed_args(
            arguments or ["x"] * (name in {"check", "explain", "publish", "stub", "token", "verify"})
        )
        read_settings(options, {})


def row(option: Option) -> str:
    positional = f"`{option.metavar}`" if option.name == "requirements" else ""
    flags = " ".join(f"`{flag}`" for flag in option.flags) or positional
    key = f"`{option.name}`" if option.in_file else ""
    return f"| {key} | `{option.variable}` | {flags} | {option.help} |".replace("  ", " ")


def test_every_setting_is_documented_as_it_is() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("|")][2:] == list(map(row, OPTIONS.values()))


def toml_blocks(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in TOML_BLOCK.findall(text)]
    return [block for block in blocks if " = " in block]


@pytest.mark.parametrize("page", ["docs/reference/settings.md", "docs/how-to/from-source.md", "docs/how-to/recipe.md"])
def test_every_example_of_settings_loads(page: str, tmp_path: Path) -> None:
    blocks = toml_blocks(page)
    assert blocks
    for block in blocks:
        tomllib.loads(block)
        (tmp_path / "whb.toml").write_text(block, encoding="utf-8")
        settings = load_settings(environ={}, folder=tmp_path)
        for name, table in settings.package_tables.items():
            parse_package_recipe(Table(f"packages.{name}", table))


def test_the_example_of_the_build_backend_is_a_wrapped_project(tmp_path: Path) -> None:
    page = "docs/reference/backend.md"
    (block, *_) = toml_blocks(page)
    (tmp_path / "pyproject.toml").write_text(block, encoding="utf-8")
    system = read_build_system(tmp_path)
    assert (system.wrapped, system.backend) == (True, "setuptools.build_meta")
    assert system.requires == ("setuptools>=80", "cffi")
    assert load_settings(environ={}, folder=tmp_path).backend.index == "https://wheels.example/simple/"
    text = (ROOT / page).read_text(encoding="utf-8").partition("## Settings")[2]
    rows = re.findall(r"^\| `([a-z-]+)` \|", text.partition("## The hooks")[0], re.MULTILINE)
    assert rows
    assert OPTIONS.keys() >= set(rows)


def test_every_link_leads_somewhere() -> None:
    links = [(page, target) for page in PAGES for target in LINK.findall(page.read_text(encoding="utf-8"))]
    assert [f"{page.name}: {target}" for page, target in links if not (page.parent / target).exists()] == []
