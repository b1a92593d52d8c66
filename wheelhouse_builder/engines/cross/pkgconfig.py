"""pkg-config for cross builds: it knows the libraries that whb built and nothing of the host's.

Nor do `pg_config`, `xml2-config` and their like, which libraries have beside it or had before it: those of this machine
name its own headers, with which a build goes on until the linker, or nobody, finds that they are not the target's.
"""

from __future__ import annotations

import os
import shlex
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import MachineError
from wheelhouse_builder.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The search path stands in the wrapper, so that a build that cleans its environment does not find the host's libraries.
#   --static         the libraries are archives: what they need themselves must be linked too
#   --define-prefix  the .pc files say /usr; their real prefix is where they lie, wherever the cache is
_WRAPPER = """\
#!/bin/sh
PKG_CONFIG_LIBDIR={folders} exec {pkgconf} --define-prefix --static "$@"
"""

_NOT_FOUND = """\
#!/bin/sh
echo "${0##*/}: not found: that of this machine is not for the target" >&2
exit 127
"""


def pkgconf_binary() -> Path:
    """The pkgconf of the wheel of that name, the same on every machine. Raises `MachineError` without it."""
    spec = util.find_spec("pkgconf")
    if spec is None or spec.origin is None:
        raise MachineError("pkgconf is not installed", hint="pip install 'wheelhouse-builder[build]'")
    return Path(spec.origin).parent / ".bin" / "pkgconf"


def write_pkg_config(bin_dir: Path, prefixes: Sequence[Path]) -> Mapping[str, str]:
    """Write `pkg-config` into a folder, for the libraries in `prefixes`; what comes back is the environment to use it.

    The folder belongs at the front of PATH too: some packages call `pkg-config` and do not look at PKG_CONFIG, and what
    else is called so on PATH is hidden there.
    Raises `MachineError` if pkgconf is not installed.
    """
    folders = ":".join(str(prefix / "lib/pkgconfig") for prefix in prefixes) or str(bin_dir / "none")
    wrapper = bin_dir / "pkg-config"
    text = _WRAPPER.format(folders=shlex.quote(folders), pkgconf=shlex.quote(str(pkgconf_binary())))
    write_atomically(wrapper, text.encode(), mode=0o755)
    for program in _config_programs() - {wrapper.name}:
        write_atomically(bin_dir / program, _NOT_FOUND.encode(), mode=0o755)
    crate = {"PKG_CONFIG_ALLOW_CROSS": "1", "PKG_CONFIG_ALL_STATIC": "1"}  # Rust's pkg-config crate asks for these
    return {"PKG_CONFIG": str(wrapper), **crate}


def _config_programs() -> set[str]:
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return {program.name for folder in folders if folder for program in Path(folder).glob("*[-_]config")}
