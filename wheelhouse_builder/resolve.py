"""From requirements to a lock for one target (PEP 751), and from a lock to what is fetched or built.

uv resolves, with the markers of the target. It ignores hashes in its input, so those are enforced here. uv's
`--no-build` is not used, not even for a first attempt: with it uv passes over a version that has no fitting wheel and
silently takes an older one, while building such versions is what we are for. Without it uv runs an sdist on this
machine only if neither static metadata nor any wheel of that version, of whatever platform, says what it depends on; a
`Note` tells of it.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urldefrag

from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockValidationError,
)
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from wheelhouse_builder import process
from wheelhouse_builder.artifact import Sdist, Source, SourceTree, Wheel
from wheelhouse_builder.errors import JobError, MachineError, ResolveError
from wheelhouse_builder.events import Level, Listener, Note, ignore
from wheelhouse_builder.redact import redact
from wheelhouse_builder.requirements import FormatControl, RequirementSet
from wheelhouse_builder.sources.trees import source_tree_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.target import Target

# What of the user's environment may steer uv: where packages are, and how to get in there.
# fmt: off
_INDEX_SETTINGS = frozenset({
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX_STRATEGY", "UV_FIND_LINKS",
    "UV_INSECURE_HOST", "UV_KEYRING_PROVIDER", "UV_SYSTEM_CERTS", "UV_HTTP_TIMEOUT", "NETRC", "HOME",
})
# fmt: on
_INDEX_CREDENTIALS = re.compile(r"UV_INDEX_\w+_(USERNAME|PASSWORD)")
_PREPARED = re.compile(r"^DEBUG Preparing metadata for: (.+)$", re.MULTILINE)
_LOG_LINE = re.compile(r"(\$|DEBUG|TRACE|INFO|WARN)\s")
_SDIST_SUFFIXES = (".tar.gz", ".zip")

_File = TypeVar("_File", Sdist, Wheel)


@dataclass(frozen=True, kw_only=True)
class ResolveOptions:
    """How to resolve: where uv keeps its cache, and what may be used."""

    cache: Path
    python: Path | None = None  # runs sdists that have no static metadata; None: our own interpreter
    offline: bool = False
    format_control: FormatControl = field(default_factory=FormatControl)
    indexes: RequirementSet = field(default_factory=RequirementSet)  # their index options hold for build requirements
    listener: Listener = ignore
    canceller: Canceller | None = None


@dataclass(frozen=True, kw_only=True)
class Lock:
    """What the requirements resolve to for one target. Paths in it are absolute."""

    target: Target
    pylock: Pylock

    @property
    def text(self) -> str:
        """As TOML, in a canonical form: equal locks have equal texts."""
        return _render(self.pylock)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a lock offers for one package: a wheel to fetch, a source to build, or nothing (None) and why."""

    name: NormalizedName
    version: Version | None
    choice: Wheel | Source | None
    reason: str


class _Unusable(Exception):  # noqa: N818 - becomes a Selection, nobody else sees it
    """Why a package of a lock can be neither fetched nor built."""


# Resolve


def resolve(requirements: RequirementSet, target: Target, options: ResolveOptions) -> Lock:
    """Resolve for the target, and enforce the hashes that the requirements give.

    Runs uv in the working directory, to which local paths are relative.
    Raises `ResolveError`, `MachineError`, `Cancelled`.
    """
    with tempfile.TemporaryDirectory(prefix="whb-resolve-") as scratch:
        folder = Path(scratch).resolve()
        inputs = _write_inputs(requirements, folder)
        output = folder / "pylock.toml"
        argv = [
            *("--format", "pylock.toml", "--output-file", output),
            *("--python-platform", target.uv_platform, "--python-version", target.python_version),
            *_option_arguments(requirements, options),
            *inputs,
        ]
        log = _compile(argv, replace(options, indexes=requirements), requirements)
        _tell_built(log, options.listener)
        pylock = _absolute(_parse(output.read_text(encoding="utf-8")), folder)
    return enforce_hashes(Lock(target=target, pylock=pylock), requirements)


def resolve_build_requirements(
    requirements: Sequence[str], python: Path, options: ResolveOptions, *, constraints: Sequence[str] = ()
) -> str:
    """Pin PEP 518 build requirements, with all they need, for the interpreter that runs the build.

    Returns a requirements file with hashes, for `uv pip install --require-hashes`; the same index gives the same text.
    Raises like `resolve`.
    """
    if not requirements:
        return ""
    with tempfile.TemporaryDirectory(prefix="whb-resolve-") as scratch:
        folder = Path(scratch)
        wanted, limits, output = folder / "requirements.txt", folder / "constraints.txt", folder / "pinned.txt"
        wanted.write_text("".join(f"{line}\n" for line in sorted(requirements)), encoding="utf-8")
        limits.write_text("".join(f"{line}\n" for line in constraints), encoding="utf-8")
        argv: list[str | Path] = ["--format", "requirements.txt", "--generate-hashes", "--no-annotate"]
        argv += ["--output-file", output, wanted, "--constraints", limits]
        log = _compile(argv, replace(options, python=python), RequirementSet())
        _tell_built(log, options.listener)
        return output.read_text(encoding="utf-8")


def _write_inputs(requirements: RequirementSet, folder: Path) -> list[str | Path]:
    """The requirements as flat files: uv sees what we have read, and nothing else."""
    wanted, constraints = folder / "requirements.txt", folder / "constraints.txt"
    wanted.write_text(requirements.render(), encoding="utf-8")
    constraints.write_text(requirements.render(constraints=True), encoding="utf-8")
    return [wanted, "--constraints", constraints]


def _option_arguments(requirements: RequirementSet, options: ResolveOptions) -> Iterator[str]:
    control = requirements.format_control(options.format_control)
    for name in sorted(control.no_binary):
        yield from ("--no-binary", name)
    for name in sorted(control.only_binary):
        yield from ("--only-binary", name)
    if requirements.values("pre"):
        yield from ("--prerelease", "allow")


def index_environment(requirements: RequirementSet) -> dict[str, str]:
    """The variables that tell uv where packages are: the user's for uv, else for pip, and what the files say.

    As in pip, an --index-url in a file beats the environment, and other options add to it. `--no-index` has no variable
    and is not in here.
    """
    found = {
        name: value
        for name, value in os.environ.items()
        if name in _INDEX_SETTINGS or _INDEX_CREDENTIALS.fullmatch(name)
    }
    for pips, uvs in (
        ("PIP_INDEX_URL", ("UV_DEFAULT_INDEX", "UV_INDEX_URL")),
        ("PIP_EXTRA_INDEX_URL", ("UV_INDEX", "UV_EXTRA_INDEX_URL")),
    ):
        if os.environ.get(pips) and not any(name in found for name in uvs):
            found[uvs[0]] = os.environ[pips]
    if requirements.values("index-url"):
        found.pop("UV_INDEX_URL", None)
        found["UV_DEFAULT_INDEX"] = requirements.values("index-url")[-1]
    for option, name, separator in (
        ("extra-index-url", "UV_INDEX", " "),
        ("find-links", "UV_FIND_LINKS", ","),
        ("trusted-host", "UV_INSECURE_HOST", " "),
    ):
        if requirements.values(option):
            found[name] = separator.join([*filter(None, [found.get(name)]), *requirements.values(option)])
    return found


def index_urls(requirements: RequirementSet) -> tuple[str, ...]:
    """The indexes that files and environment name, with their passwords: for `sources.credentials_for`."""
    environment = index_environment(requirements)
    names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
    urls = " ".join(environment.get(name, "") for name in names).split()
    return tuple(re.sub(r"^[\w-]+=", "", url) for url in urls)  # uv allows name=url


def _uv() -> str:
    try:
        import uv  # noqa: PLC0415 - only where something is resolved

        return uv.find_uv_bin()
    except (ImportError, FileNotFoundError):
        raise MachineError("uv is not installed", hint="pip install 'wheelhouse-builder[build]'") from None


def _compile(arguments: Sequence[str | Path], options: ResolveOptions, wanted: RequirementSet) -> str:
    """Run `uv pip compile`, and return its log."""
    argv = [_uv(), "pip", "compile", *arguments, "--python", options.python or sys.executable, "--no-header"]
    argv += ["--verbose", "--no-progress", "--color", "never", *(["--offline"] if options.offline else [])]
    argv += ["--no-index"] if options.indexes.values("no-index") else []
    ours = {"UV_CACHE_DIR": str(options.cache / "uv"), "UV_PYTHON_DOWNLOADS": "never"}
    environment = process.base_environment({**index_environment(options.indexes), **ours})
    with tempfile.NamedTemporaryFile(prefix="whb-uv-", suffix=".log") as stream:
        log = Path(stream.name)
        try:
            process.run(argv, env=environment, log=log, canceller=options.canceller, what="uv pip compile")
        except JobError:
            raise _explain(log.read_text(encoding="utf-8", errors="replace"), wanted, options) from None
        return log.read_text(encoding="utf-8", errors="replace")


def _tell_built(log: str, listener: Listener) -> None:
    for name in sorted(set(_PREPARED.findall(log))):
        listener(
            Note(
                text=f"{redact(name)} was run on this machine to learn its dependencies: it does not state them, and "
                "no wheel of that version does",
                level=Level.WARNING,
            )
        )


def _explain(log: str, wanted: RequirementSet, options: ResolveOptions) -> ResolveError:
    """uv's explanation, and which lines of the user's files it is about."""
    lines = [line for line in log.splitlines() if not _LOG_LINE.match(line)]
    start = next((number for number, line in enumerate(lines) if line.startswith("error:")), 0)
    text, _, uv_hint = "\n".join(lines[start:]).partition("\nhint: ")
    text = redact(re.sub(r"^(error: |  cause: |         )", "", text, flags=re.MULTILINE)).strip()
    named = [line for line in wanted.lines if line.name and _mentions(text, line.name)]
    blamed = "".join(f"\n  {line.origin}: {redact(line.render())}" for line in named)
    return ResolveError(
        f"the requirements cannot be resolved\n{text}{blamed}", hint=_hint(text, options, uv_hint.strip())
    )


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text) is not None


def _hint(text: str, options: ResolveOptions, theirs: str) -> str:
    if options.offline:
        return "run once without --offline, so that what is needed is in the cache"
    if "not found in the package registry" in text:
        return "is the name spelled right? A private index is given with --index-url in the file, or UV_INDEX"
    if "error sending request" in text or "Request failed" in text:
        return "the package index cannot be reached: check the network, the proxy and the index settings"
    if "Git operation failed" in text:
        return "can git reach this repository? Requirements from version control cannot be built anyway: give an sdist"
    if "Failed to build" in text or "Failed to download and build" in text:
        return "this sdist does not state its dependencies, and could not be run on this machine to ask it"
    return theirs or "change one of the requirements named above, or add a constraint"


# Locks as text


def write_lock(lock: Lock, path: Path) -> None:
    """Write the lock's canonical text."""
    path.write_text(lock.text, encoding="utf-8")


def read_lock(path: Path, target: Target) -> Lock:
    """Read a lock that was resolved for the target. Raises `ResolveError` if it is no valid PEP 751 file."""
    return Lock(target=target, pylock=_absolute(_parse(path.read_text(encoding="utf-8")), path.resolve().parent))


def _parse(text: str) -> Pylock:
    try:
        return Pylock.from_dict(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, PylockValidationError) as error:
        raise ResolveError(
            f"the lock is not usable: {error}",
            hint="an index without sha256 hashes, or with odd file names, gives such",
        ) from None


def _absolute(pylock: Pylock, base: Path) -> Pylock:
    """With absolute paths instead of paths relative to `base`."""
    return replace(pylock, packages=[_absolute_package(package, base) for package in pylock.packages])


def _absolute_package(package: Package, base: Path) -> Package:
    def anchored(path: str | None) -> str | None:
        return None if path is None else os.path.normpath(base / path)

    return replace(
        package,
        directory=package.directory
        and replace(package.directory, path=os.path.normpath(base / package.directory.path)),
        archive=package.archive and replace(package.archive, path=anchored(package.archive.path)),
        sdist=package.sdist and replace(package.sdist, path=anchored(package.sdist.path)),
        wheels=package.wheels and [replace(wheel, path=anchored(wheel.path)) for wheel in package.wheels],
    )


def _render(pylock: Pylock) -> str:
    document = dict(pylock.to_dict())
    packages = document.pop("packages")
    blocks = ["".join(f"{key} = {_toml(value)}\n" for key, value in document.items())]
    blocks += ["[[packages]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in p.items()) for p in packages]
    return "\n".join(blocks)


def _toml(value: object) -> str:
    """A value in TOML; tables and arrays inline."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + "".join(_TOML_ESCAPES.get(char, char) for char in value) + '"'
        case datetime() | date():
            return value.isoformat()
        case dict():
            return "{ " + ", ".join(f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case _:
            return str(value)


_TOML_ESCAPES = {chr(code): f"\\u{code:04x}" for code in (*range(32), 127)} | {'"': '\\"', "\\": "\\\\"}


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


# Hashes


def enforce_hashes(lock: Lock, requirements: RequirementSet) -> Lock:
    """The lock without the files that the user's hashes do not name. Pure.

    Raises `ResolveError` if nothing of a package is left, or if a package has no hash where all must have one.
    """
    return replace(
        lock, pylock=replace(lock.pylock, packages=[_enforce(p, lock, requirements) for p in lock.pylock.packages])
    )


def _enforce(package: Package, lock: Lock, requirements: RequirementSet) -> Package:
    allowed = requirements.hashes_for(package.name, lock.target.marker_environment)
    title = f"{package.name} {package.version}" if package.version else package.name
    if allowed is None:
        if not requirements.require_hashes:
            return package
        raise ResolveError(
            f"{title} has no --hash, but the requirements ask for hashes of all packages",
            hint="give one for every package and all that it needs; `uv pip compile --generate-hashes` does",
        )
    if package.directory or package.vcs:
        raise ResolveError(
            f"{title} is a source tree: its hash cannot be checked", hint="give an sdist or a wheel instead"
        )
    kept = replace(
        package,
        sdist=package.sdist if package.sdist and _digest(package.sdist) in allowed else None,
        wheels=[wheel for wheel in package.wheels or () if _digest(wheel) in allowed] or None,
    )
    archive_is_good = package.archive is not None and _digest(package.archive) in allowed
    if not (kept.sdist or kept.wheels or archive_is_good):
        raise _hash_mismatch(package, title, allowed, lock.target, requirements)
    return kept


def _digest(file: PackageSdist | PackageWheel | PackageArchive) -> str:
    return f"sha256:{file.hashes.get('sha256', '')}"


def _hash_mismatch(
    package: Package, title: str, allowed: frozenset[str], target: Target, requirements: RequirementSet
) -> ResolveError:
    files = [file for file in (package.archive, package.sdist, *(package.wheels or ())) if file is not None]
    offered = [f"  {_digest(file)}  {_filename(file)}" for file in files]
    where = [f"  {line.origin}: {redact(line.text)}" for line in requirements.lines if line.name == package.name]
    expected = [f"  {digest}" for digest in sorted(allowed)] or ["  (the lines below agree on none)"]
    return ResolveError(
        "\n".join(
            [
                f"{title}: no file for {target} has a hash that is given",
                "given:",
                *expected,
                "offered:",
                *offered,
                *where,
            ]
        ),
        hint="if the new file is to be trusted, give its hash",
    )


# Select


def select(lock: Lock, format_control: FormatControl) -> Iterator[Selection]:
    """Choose for each package of the lock, apart from the others: the best wheel that fits, else the source.

    Reads local source trees (for their digest) and nothing else.
    """
    environment = cast("dict[str, str]", lock.target.marker_environment)
    for package in lock.pylock.packages:
        if package.marker and not package.marker.evaluate(environment, context="lock_file"):
            continue
        try:
            choice, reason = _choose(package, lock, format_control)
        except _Unusable as why:
            choice, reason = None, str(why)
        yield Selection(name=package.name, version=package.version, choice=choice, reason=reason)


def _choose(package: Package, lock: Lock, control: FormatControl) -> tuple[Wheel | Source, str]:
    if package.vcs is not None:
        raise _Unusable("it comes from version control: build an sdist of it and give its path or URL")
    if package.directory is not None:
        return _source_tree(package, package.directory), "a local project"
    if package.archive is not None:
        return _archive(package, package.archive, lock.target)
    return _released(package, lock, control)


def _source_tree(package: Package, directory: PackageDirectory) -> SourceTree:
    path = Path(directory.path, directory.subdirectory or ".")
    if not path.is_dir():
        raise _Unusable(f"there is no directory {path}")
    return SourceTree(name=package.name, version=package.version, path=str(path), digest=source_tree_digest(path))


def _archive(package: Package, archive: PackageArchive, target: Target) -> tuple[Wheel | Sdist, str]:
    """A direct URL: what it names, or nothing. As in pip, --no-binary and --only-binary do not speak of it."""
    filename = _filename(archive)
    if archive.subdirectory:
        raise _Unusable(f"it lies in a subdirectory of {filename}: build an sdist of it and give its path or URL")
    if not filename.endswith(".whl"):
        if not filename.endswith(_SDIST_SUFFIXES):
            raise _Unusable(f"{filename} is neither a wheel nor a .tar.gz or .zip sdist")
        return replace(_remote(Sdist, package, archive), filename=_sdist_name(package, filename)), "given directly"
    try:
        tags = parse_wheel_filename(filename)[-1]
    except InvalidWheelFilename as error:
        raise _Unusable(f"{filename}: {error}") from None
    if not target.fits(tags):
        raise _Unusable(f"{filename}, given directly, does not fit {target}: give its sdist instead")
    return _remote(Wheel, package, archive), "given directly"


def _sdist_name(package: Package, filename: str) -> str:
    """The file name, or a better one for a source archive that is called `main.zip` or `v1.0.tar.gz`."""
    try:
        parse_sdist_filename(filename)
    except InvalidSdistFilename:
        suffix = next(suffix for suffix in _SDIST_SUFFIXES if filename.endswith(suffix))
        return f"{package.name.replace('-', '_')}-{package.version or 0}{suffix}"
    return filename


def _released(package: Package, lock: Lock, control: FormatControl) -> tuple[Wheel | Sdist, str]:
    wheels = list(package.wheels or ()) if control.allows_wheel(package.name) else []
    sdist = package.sdist if control.allows_sdist(package.name) else None
    if not (wheels or sdist):
        raise _Unusable(
            "--only-binary forbids its sdist, and there is no wheel"
            if package.sdist and not package.wheels
            else "--no-binary forbids its wheels, and there is no sdist"
        )
    alone = replace(lock.pylock, packages=[replace(package, wheels=wheels or None, sdist=sdist)])
    try:
        ((_, chosen),) = alone.select(environment=lock.target.marker_environment, tags=lock.target.tags)
    except PylockSelectError as error:
        raise _Unusable(_why_none(package, wheels, lock.target, error)) from None
    if isinstance(chosen, PackageWheel):
        return _remote(Wheel, package, chosen), "the index has a wheel that fits"
    assert isinstance(chosen, PackageSdist)
    if not control.allows_wheel(package.name):
        return _remote(Sdist, package, chosen), "--no-binary asks for its source"
    return _remote(Sdist, package, chosen), f"the index has no wheel for {lock.target}"


def _why_none(package: Package, wheels: Sequence[PackageWheel], target: Target, error: PylockSelectError) -> str:
    if package.requires_python and not package.requires_python.contains(
        target.marker_environment["python_full_version"]
    ):
        return f"it wants Python {package.requires_python}"
    if not wheels:
        return str(error)
    offered = ", ".join(sorted(wheel.filename for wheel in wheels))
    forbidden = "--only-binary forbids its sdist" if package.sdist else "there is no sdist"
    return f"no wheel fits {target} (there are {offered}), and {forbidden}"


def _filename(file: PackageSdist | PackageWheel | PackageArchive) -> str:
    if isinstance(file, PackageArchive):
        return PackageWheel(url=file.url and urldefrag(file.url).url, path=file.path, hashes=file.hashes).filename
    return file.filename


def _remote(kind: type[_File], package: Package, file: PackageSdist | PackageWheel | PackageArchive) -> _File:
    sha256 = file.hashes.get("sha256")
    if sha256 is None:
        raise _Unusable(f"the index gives no sha256 for {_filename(file)}")
    return kind(
        name=package.name,
        version=package.version,
        filename=_filename(file),
        url=urldefrag(file.url).url if file.url else Path(file.path or "").as_uri(),
        sha256=sha256.lower(),
        size=file.size,
        upload_time=file.upload_time,
    )
