"""The cross file for Meson, and how it stands among a project's own arguments."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.engines.cross.backends import profiles
from wheelhouse_builder.engines.cross.meson import cross_file_text, with_cross_file
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE = Path("/work/meson-cross.ini")
OURS = f"--cross-file={FILE}"


@pytest.mark.parametrize(
    ("arch", "long_double"), [(Arch.X86_64, "INTEL_EXTENDED_16_BYTES_LE"), (Arch.AARCH64, "IEEE_QUAD_LE")]
)
def test_the_file_says_which_machine_it_is_and_that_nothing_of_it_runs_here(arch: Arch, long_double: str) -> None:
    parser = ConfigParser(delimiters=["="], interpolation=None)  # as Meson reads it
    parser.read_string(cross_file_text(arch))
    machine = {"system": "'linux'", "cpu_family": f"'{arch}'", "cpu": f"'{arch}'", "endian": "'little'"}
    assert dict(parser["host_machine"]) == machine
    assert dict(parser["properties"]) == {"needs_exe_wrapper": "true", "longdouble_format": f"'{long_double}'"}
    # Those of the target are in the environment, where a recipe may replace them.
    assert dict(parser["binaries"]) == {"python": "'python'", "numpy-config": "'numpy-config'"}


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, {"setup-args": [OURS]}),
        ({"setup-args": "-Dblas=none"}, {"setup-args": [OURS, "-Dblas=none"]}),
        (
            {"setup-args": ["--cross-file=theirs", "-Da=b"], "builddir": "build"},
            {"setup-args": [OURS, "--cross-file=theirs", "-Da=b"], "builddir": "build"},
        ),
    ],
)
def test_given_arguments_come_after_ours(
    settings: Mapping[str, str | Sequence[str]], wanted: Mapping[str, str | Sequence[str]]
) -> None:
    assert with_cross_file(settings, FILE) == wanted


def test_one_profile_alone_wants_it() -> None:
    assert [profile.name for profile in profiles() if profile.meson] == ["meson-python"]
