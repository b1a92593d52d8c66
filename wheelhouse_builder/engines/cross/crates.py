"""Crates, fetched by cargo: the C source that recipes name, and what a package's Rust code depends on.

cargo does it because it knows the user's mirrors and checks every crate against the registry's checksum. It runs in a
CARGO_HOME of whb's own, which takes over how registries are reached from the user's configuration and nothing else:
compilers, linkers and flags in there must not steer a build.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from wheelhouse_builder.errors import DownloadError, JobError, UsageError
from wheelhouse_builder.files import settle, sha256_of, write_atomically
from wheelhouse_builder.process import Canceller, base_environment, run
from wheelhouse_builder.sources.archives import unpack_sdist
from wheelhouse_builder.toml import toml_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wheelhouse_builder.recipes.model import CrateSource

_TAKEN_OVER = ("source", "registry", "registries", "net", "http")
_FOLDERS = ("directory", "local-registry")  # in a source: relative to the folder that holds .cargo
_NOT_OURS = frozenset({"target", "vendor", "node_modules", ".git"})
_STALE_LOCK = "--locked"  # cargo names the option when it refuses a lock that does not fit its manifest


def prepare_cargo_home(home: Path) -> None:
    """Make `home` a CARGO_HOME with the user's registries, mirrors and proxies. Raises `UsageError`."""
    text = _registry_settings(Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")))
    config = home / "config.toml"
    if not config.exists() or config.read_text(encoding="utf-8") != text:
        write_atomically(config, text.encode())


def fetch_crate(
    source: CrateSource, *, cargo: Path, cache: Path, log: Path, canceller: Canceller, offline: bool
) -> Path:
    """The unpacked crate in whb's cache, fetched once.

    Raises `DownloadError` if it cannot be had or is not the one that the recipe names.
    """
    unpacked = cache / "crates" / f"{source.crate}-{source.version}-{source.sha256[:16]}"
    if unpacked.is_dir():
        return unpacked
    unpacked.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=unpacked.parent, prefix=".fetch-") as scratch:
        archive = _fetch_archive(source, Path(scratch), cargo, cache / "cargo", log, canceller, offline)
        if (actual := sha256_of(archive)) != source.sha256:
            raise DownloadError(
                f"crate {source.crate} {source.version}: its sha256 is {actual}, the recipe says {source.sha256}",
                hint="either the recipe or the registry's mirror is wrong; nothing of it was used",
                log=log,
            )
        try:
            settle(unpack_sdist(archive, Path(scratch) / "unpacked"), unpacked)
        except OSError:
            if not unpacked.is_dir():  # another process was first
                raise
    return unpacked


def _fetch_archive(
    source: CrateSource, scratch: Path, cargo: Path, home: Path, log: Path, canceller: Canceller, offline: bool
) -> Path:
    """The `.crate` file in cargo's own cache. Not `cargo vendor`: before 1.86 it leaves out files that crates carry."""
    prepare_cargo_home(home)
    (scratch / "lib.rs").touch()
    manifest = scratch / "Cargo.toml"
    manifest.write_text(
        '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[lib]\npath = "lib.rs"\n[workspace]\n'
        f'[dependencies]\n{source.crate} = "={source.version.partition("+")[0]}"\n',
        encoding="utf-8",
    )
    message = f"crate {source.crate} {source.version} cannot be fetched"
    try:
        _fetch(manifest, cargo, home, log, canceller, offline=offline, locked=False)
    except JobError as error:
        hint = "there is no network in offline mode: run once without --offline" if offline else "see the log"
        raise DownloadError(message, hint=hint, log=log, tail=error.tail) from error
    found = sorted((home / "registry/cache").glob(f"*/{source.crate}-{source.version}.crate"))
    if not found:
        hint = "a mirror that is a folder of unpacked crates does not do: give cargo a registry or a local-registry"
        raise DownloadError(message, hint=hint, log=log)
    return next((archive for archive in found if sha256_of(archive) == source.sha256), found[0])


def prefetch_crates(
    source_tree: Path, *, cargo: Path, cargo_home: Path, log: Path, canceller: Canceller, offline: bool
) -> None:
    """Have every crate that a package's Rust code depends on in `cargo_home`, so that its build needs no network.

    Raises `DownloadError`.
    """
    prepare_cargo_home(cargo_home)
    for manifest in rust_manifests(source_tree):
        locked = manifest.with_name("Cargo.lock").exists()
        sources = package_sources(manifest.parent, source_tree)
        try:
            _fetch(manifest, cargo, cargo_home, log, canceller, offline=offline, locked=locked, sources=sources)
        except JobError as error:
            if not (locked and _STALE_LOCK in error.tail):
                hint = "run once without --offline" if offline else "see the log"
                where = manifest.relative_to(source_tree)
                raise DownloadError(
                    f"{where}: its crates cannot be fetched", hint=hint, log=log, tail=error.tail
                ) from error
            # The package was released with a lock that does not fit, and its own build would go on without --locked.
            _fetch(manifest, cargo, cargo_home, log, canceller, offline=offline, locked=False, sources=sources)


def _fetch(
    manifest: Path,
    cargo: Path,
    home: Path,
    log: Path,
    canceller: Canceller,
    *,
    offline: bool,
    locked: bool,
    sources: Mapping[str, object] = MappingProxyType({}),
) -> None:
    # For all platforms: build backends call `cargo metadata`, which wants them all.
    argv = [str(cargo), "fetch", "--manifest-path", str(manifest)]
    argv += [option for option, wanted in (("--locked", locked), ("--offline", offline)) if wanted]
    with tempfile.TemporaryDirectory(dir=home, prefix=".fetch-") as place:
        if sources:
            config = Path(place) / "sources.toml"
            config.write_text(f"source = {toml_value(sources)}\n", encoding="utf-8")
            argv += ["--config", str(config)]
        # Not in the package's folder: its .cargo/config.toml and rust-toolchain.toml can name programs, which cargo and
        # rustup would run here, outside the sandbox (doc.rust-lang.org/cargo/reference/config.html, build.rustc).
        run(argv, env=_environment(home), cwd=Path(place), log=log, canceller=canceller, what="fetching crates")


def package_sources(folder: Path, source_tree: Path) -> dict[str, dict[str, object]]:
    """Where a package says that its crates are (`cargo vendor`); nothing else of its cargo configuration is taken.

    Raises `DownloadError` if cargo could not read it either.
    """
    sources: dict[str, dict[str, object]] = {}
    for place in reversed([folder, *(parent for parent in folder.parents if parent.is_relative_to(source_tree))]):
        try:
            read = _sources(place / ".cargo")
        except UsageError as error:
            raise DownloadError(error.message, hint="report it to the package's authors") from None
        for name, source in read.items():
            sources.setdefault(name, {}).update(source)
    return sources


def _is_vendored(folder: Path) -> bool:
    """Whether `cargo vendor` put a crate there: its own lock, if any, is not what the package is built with."""
    return (folder / ".cargo-checksum.json").exists()


def rust_manifests(source_tree: Path) -> Iterator[Path]:
    """The Cargo.toml files to fetch for: those with a Cargo.lock beside them, and the topmost ones."""
    pending = [(source_tree, True)]
    while pending:
        folder, topmost = pending.pop()
        manifest = folder / "Cargo.toml"
        if manifest.is_file() and (topmost or manifest.with_name("Cargo.lock").is_file()):
            yield manifest
        topmost = topmost and not manifest.is_file()
        pending += [
            (entry, topmost)
            for entry in sorted(folder.iterdir(), reverse=True)
            if entry.is_dir() and not entry.is_symlink() and entry.name not in _NOT_OURS and not _is_vendored(entry)
        ]


def _environment(home: Path) -> dict[str, str]:
    extra = {"CARGO_HOME": str(home), "HOME": str(Path.home()), "CARGO_TERM_COLOR": "never"}
    # For cargo as rustup's shim
    extra |= {name: os.environ[name] for name in ("RUSTUP_HOME", "RUSTUP_TOOLCHAIN") if name in os.environ}
    return base_environment(extra)


# The user's configuration of registries


def _registry_settings(user_home: Path) -> str:
    """What whb's CARGO_HOME takes over from the user's, as TOML."""
    settings = {**_configuration(user_home), "source": _sources(user_home)}
    taken = {name: settings[name] for name in _TAKEN_OVER if settings.get(name)}
    return "".join(f"{name} = {toml_value(value)}\n" for name, value in taken.items())


def _sources(folder: Path) -> dict[str, dict[str, Any]]:
    """The `[source]` tables of the configuration in a folder, with absolute paths. Raises `UsageError`."""
    sources: dict[str, dict[str, Any]] = _configuration(folder).get("source", {})
    try:
        for source in sources.values():
            source.update({key: str(folder.parent / source[key]) for key in _FOLDERS if key in source})
    except (AttributeError, TypeError):
        raise UsageError(f"{folder}: [source] is not what cargo takes", hint="cargo itself refuses it too") from None
    return sources


def _configuration(folder: Path) -> dict[str, Any]:
    """The cargo configuration in a folder. Raises `UsageError`."""
    file = next((file for name in ("config.toml", "config") if (file := folder / name).is_file()), None)
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: {error}", hint="cargo itself cannot read this file either") from None
