"""Meson's cross file: what makes it take a build for a cross build, and run nothing that it compiled.

It holds no path: compilers, archiver and pkg-config are those that the environment names, which Meson takes for the
machine that a build is for (https://mesonbuild.com/Cross-compilation.html).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# A program linked to musl does not run on glibc either, whatever the processor, and Meson sees the processor alone.
# python and numpy-config are those of the build environment: Meson looks for no other numpy-config in a cross build.
_CROSS_FILE = """\
[host_machine]
system = 'linux'
cpu_family = '{arch}'
cpu = '{arch}'
endian = 'little'

[binaries]
python = 'python'
numpy-config = 'numpy-config'

[properties]
needs_exe_wrapper = true
longdouble_format = '{long_double}'
"""

# numpy finds it out by a program that it runs (https://numpy.org/devdocs/building/cross_compilation.html).
_LONG_DOUBLE = {Arch.X86_64: "INTEL_EXTENDED_16_BYTES_LE", Arch.AARCH64: "IEEE_QUAD_LE"}


def cross_file_text(arch: Arch) -> str:
    """The cross file for one architecture: part of the build key."""
    return _CROSS_FILE.format(arch=arch, long_double=_LONG_DOUBLE[arch])


def with_cross_file(settings: Mapping[str, str | Sequence[str]], file: Path) -> dict[str, str | Sequence[str]]:
    """Config settings for meson-python (PEP 517) with a cross file before their own arguments for `meson setup`.

    Of several cross files the later ones count, so those of a recipe or a user replace values of ours.
    """
    given = settings.get("setup-args", ())
    return {**settings, "setup-args": [f"--cross-file={file}", *([given] if isinstance(given, str) else given)]}
