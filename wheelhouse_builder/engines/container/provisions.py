"""What a build in a container takes beside Python packages: crates, and the C libraries that its recipe names.

Both are made on this machine as for the embedded engine, and mounted where they lie.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wheelhouse_builder.engines.container.mounts import Mount
from wheelhouse_builder.engines.container.toolchain import runnable_copies
from wheelhouse_builder.engines.cross.crates import prefetch_crates
from wheelhouse_builder.engines.cross.libraries import ensure_libraries
from wheelhouse_builder.engines.cross.pkgconfig import pkgconf_binary
from wheelhouse_builder.engines.cross.zig import warm_zig
from wheelhouse_builder.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from wheelhouse_builder.engines.base import Work
    from wheelhouse_builder.process import Canceller

# The libraries come before the image's own. As in engines/cross/pkgconfig.py they are archives (--static) that were
# configured for /usr and lie elsewhere (--define-prefix). Our pkgconf runs where native programs do, else the image's.
_PKG_CONFIG = """\
#!/bin/sh
for program in {pkgconf} /usr/bin/pkgconf /usr/bin/pkg-config; do
  if "$program" --version >/dev/null 2>&1; then
    PKG_CONFIG_PATH={folders} exec "$program" --define-prefix --static "$@"
  fi
done
echo "pkg-config: command not found in this image, and whb's own does not run in it" >&2
exit 127
"""


@dataclass(frozen=True, kw_only=True)
class Provision:
    """What lies ready for a container, and how a build there finds it."""

    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()  # to stand before the container's PATH


def provide_crates(
    trees: Iterable[Path], work: Work, *, cargo: Path, cache: Path, canceller: Canceller, offline: bool, network: bool
) -> Provision:
    """Have the crates of these sources in a CARGO_HOME, read-only; with `network` it is the build's own, and writable.

    Raises `DownloadError`, `Cancelled`.
    """
    home = (work.scratch if network else cache) / "cargo"
    work.phase("crates")
    for tree in trees:
        prefetch_crates(tree, cargo=cargo, cargo_home=home, log=work.log, canceller=canceller, offline=offline)
    environment = {"CARGO_HOME": str(home), "CARGO_NET_OFFLINE": "false" if network else "true"}
    return Provision(mounts=(Mount(path=home, writable=network),), environment=environment)


def provide_libraries(
    names: Sequence[str], work: Work, *, cache: Path, jobs: int, canceller: Canceller, offline: bool
) -> tuple[Mapping[str, Path], Provision]:
    """Have these C libraries for the work's architecture: the prefix of each, and how the container finds them.

    Raises `UsageError` (no such recipe), `MachineError` (what builds them is missing), `JobError`, `Cancelled`.
    """
    if not names:
        return {}, Provision()
    tools = warm_zig(work.target.arch, cache, log=work.log, canceller=canceller, phase=work.phase)
    prefixes = ensure_libraries(
        names,
        tools,
        cache=cache,
        jobs=jobs,
        offline=offline,
        log=work.log,
        canceller=canceller,
        phase=work.phase,
    )
    return prefixes, _pkg_config(tuple(prefixes.values()), work.scratch / "pkg-config", cache)


def _pkg_config(prefixes: Sequence[Path], folder: Path, cache: Path) -> Provision:
    """A `pkg-config` for the container, which knows the libraries in `prefixes` and all that the image has."""
    copies, wrapper = runnable_copies([pkgconf_binary()], cache), folder / "pkg-config"
    folders = ":".join(str(prefix / "lib/pkgconfig") for prefix in prefixes)
    text = _PKG_CONFIG.format(pkgconf=shlex.quote(str(copies / "bin/pkgconf")), folders=shlex.quote(folders))
    write_atomically(wrapper, text.encode(), mode=0o755)
    return Provision(
        mounts=tuple(Mount(path=path) for path in (folder, copies, *prefixes)),
        environment={"PKG_CONFIG": str(wrapper)},
        path=(str(folder),),
    )
