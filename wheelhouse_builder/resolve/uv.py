"""uv resolves, with the markers of the target.

It ignores hashes in its input, so those are enforced afterwards (`resolve.hashes`). uv's `--no-build` is not used, not
even for a first attempt: with it uv passes over a version that has no fitting wheel and silently takes an older one,
while building such versions is what we are for. Without it uv runs an sdist on this machine only if neither static
metadata nor any wheel of that version, of whatever platform, says what it depends on; a `Note` tells of it.
"""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder import process
from wheelhouse_builder.errors import JobError, MachineError, ResolveError
from wheelhouse_builder.events import Listener, ignore
from wheelhouse_builder.redact import redact
from wheelhouse_builder.requirements.build import parse_build_requirement
from wheelhouse_builder.requirements.format_control import FormatControl
from wheelhouse_builder.requirements.model import RequirementSet
from wheelhouse_builder.resolve.hashes import enforce_hashes
from wheelhouse_builder.resolve.indexes import index_environment
from wheelhouse_builder.resolve.lock import Lock, parse_lock
from wheelhouse_builder.resolve.log import notes_in, undated, yanked
from wheelhouse_builder.settings.kinds import show_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from wheelhouse_builder.target import Target

_LOG_LINE = re.compile(r"(\$|DEBUG|TRACE|INFO|WARN)\s")

# How uv's options, which its hints name, are given to us.
_OURS = {
    "--python-version": "--python",
    "--prerelease=allow": "--pre (in a requirements file)",
    "--index-strategy unsafe-best-match": "UV_INDEX_STRATEGY=unsafe-best-match",
}

# What to do about what uv says; the first that fits holds.
_AT_FAULT = "the package index does not hand out what it names: ask who runs it, or use another"
_UNUSABLE = "--only-binary, here or in the file, forbids to build it: leave the name out, or allow another version"
_NOT_RUN = "this sdist does not state its dependencies, and could not be run on this machine to ask it"
_HINTS = {
    "Git operation failed": (
        "can git reach this repository? Requirements from version control cannot be built anyway: give an sdist"
    ),
    "has no usable wheels": _UNUSABLE,
    "have no usable wheels": _UNUSABLE,
    "does not match given name": "give it the name that it has itself",
    "Failed to build": _NOT_RUN,
    "Failed to download and build": _NOT_RUN,
    "Failed to fetch": _AT_FAULT,
    "Received some unexpected": _AT_FAULT,
}


@dataclass(frozen=True, kw_only=True)
class ResolveOptions:
    """How to resolve: where uv keeps its cache, and what may be used."""

    cache: Path
    python: Path | None = None  # runs sdists that have no static metadata; None: our own interpreter
    offline: bool = False
    min_age: timedelta = timedelta()  # what was uploaded more recently than that before `now` is not there
    now: datetime | None = None  # UTC, what `min_age` counts from; None: the time of the call
    format_control: FormatControl = field(default_factory=FormatControl)
    indexes: RequirementSet = field(default_factory=RequirementSet)  # their index options hold for build requirements
    listener: Listener = ignore
    canceller: process.Canceller = field(default_factory=process.Canceller)

    @property
    def cut_off(self) -> datetime | None:
        """The upload time from which on nothing is taken; None: there is none."""
        return (self.now or datetime.now(UTC)) - self.min_age if self.min_age else None


def resolve(requirements: RequirementSet, target: Target, options: ResolveOptions, *, of_build: bool = False) -> Lock:
    """Resolve for the target, and enforce the hashes that the requirements give.

    Runs uv in the working directory, to which local paths are relative. `of_build`: they are build requirements, which
    stand on no line that a message could name.
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
        what = f"the {'build ' if of_build else ''}requirements cannot be resolved for {target}"
        blamed = RequirementSet() if of_build else requirements
        log = _compile(argv, replace(options, indexes=requirements), blamed, what=what)
        _tell(log, options.listener)
        lock = parse_lock(output.read_text(encoding="utf-8"), target, folder)
    return enforce_hashes(lock, requirements)


def resolve_build_requirements(
    requirements: Sequence[str], python: Path, options: ResolveOptions, *, constraints: Sequence[str] = ()
) -> str:
    """Pin PEP 518 build requirements, with all they need, for the interpreter that runs the build.

    Returns a requirements file with hashes, for `uv pip install --require-hashes`; the same index gives the same text.
    Raises like `resolve`, and `JobError` for what is no requirement.
    """
    if not requirements:
        return ""
    for text in requirements:
        parse_build_requirement(text)
    with tempfile.TemporaryDirectory(prefix="whb-resolve-") as scratch:
        folder = Path(scratch)
        wanted, limits, output = folder / "requirements.txt", folder / "constraints.txt", folder / "pinned.txt"
        wanted.write_text("".join(f"{line}\n" for line in sorted(requirements)), encoding="utf-8")
        limits.write_text("".join(f"{line}\n" for line in constraints), encoding="utf-8")
        argv: list[str | Path] = ["--format", "requirements.txt", "--generate-hashes", "--no-annotate"]
        argv += ["--output-file", output, wanted, "--constraints", limits]
        log = _compile(
            argv, replace(options, python=python), RequirementSet(), what="the build requirements cannot be resolved"
        )
        _tell(log, options.listener)
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


def _uv() -> str:
    try:
        import uv  # noqa: PLC0415 - only where something is resolved

        return uv.find_uv_bin()
    except (ImportError, FileNotFoundError):
        raise MachineError("uv is not installed", hint="pip install 'wheelhouse-builder[build]'") from None


def _compile(
    arguments: Sequence[str | Path],
    options: ResolveOptions,
    wanted: RequirementSet,
    *,
    what: str,
) -> str:
    """Run `uv pip compile`, and return its log."""
    argv = [_uv(), "pip", "compile", *arguments, "--python", options.python or sys.executable, "--no-header"]
    argv += ["--verbose", "--no-progress", "--color", "never", *(["--offline"] if options.offline else [])]
    argv += ["--no-index"] if options.indexes.values("no-index") else []
    argv += ["--exclude-newer", f"{options.cut_off:%Y-%m-%dT%H:%M:%SZ}"] if options.cut_off else []
    ours = {"UV_CACHE_DIR": str(options.cache / "uv"), "UV_PYTHON_DOWNLOADS": "never"}
    environment = process.base_environment({**index_environment(options.indexes), **ours})
    with tempfile.NamedTemporaryFile(prefix="whb-uv-", suffix=".log") as stream:
        log = Path(stream.name)
        try:
            process.run(argv, env=environment, log=log, canceller=options.canceller, what="uv pip compile")
        except JobError:
            raise _explain(log.read_text(encoding="utf-8", errors="replace"), wanted, options, what) from None
        return log.read_text(encoding="utf-8", errors="replace")


def _tell(log: str, listener: Listener) -> None:
    for note in notes_in(log):
        listener(note)


def yank_reason(name: NormalizedName, version: Version, target: Target, options: ResolveOptions) -> str | None:
    """Why this version is yanked upstream; None if it is not, or is not there (uv tells of a yank when one pins it)."""
    with tempfile.TemporaryDirectory(prefix="whb-resolve-") as scratch:
        wanted, output = Path(scratch, "requirements.txt"), Path(scratch, "pinned.txt")
        wanted.write_text(f"{name}=={version}\n", encoding="utf-8")
        argv: list[str | Path] = ["--no-deps", "--output-file", output, wanted]
        argv += ["--python-platform", target.uv_platform, "--python-version", target.python_version]
        try:
            log = _compile(argv, replace(options, min_age=timedelta()), RequirementSet(), what="")
        except ResolveError:
            return None
    return yanked(log).get((name, version))


def _explain(log: str, wanted: RequirementSet, options: ResolveOptions, what: str) -> ResolveError | MachineError:
    """uv's explanation, and which lines of the user's files it is about."""
    lines = [line for line in log.splitlines() if not _LOG_LINE.match(line)]
    start = next((number for number, line in enumerate(lines) if line.startswith("error:")), 0)
    text, _, uv_hint = "\n".join(lines[start:]).partition("\nhint: ")
    text = redact(re.sub(r"^(error: |  cause: |         )", "", text, flags=re.MULTILINE)).strip()
    if "Failed to initialize cache" in text or "No space left on device" in text:
        return MachineError(text, hint="`whb doctor` checks the cache; --cache-dir names another folder")
    named = [line for line in wanted.lines if line.name and _mentions(text, line.name)]
    blamed = "".join(f"\n  {line.origin}: {redact(line.render())}" for line in named)
    theirs = redact(uv_hint.strip())
    hint = _too_new(log, theirs, options) if "exclude-newer" in theirs else _hint(text, options, theirs)
    return ResolveError(f"{what}\n{text}{blamed}", hint=hint, kind="network" if is_unreachable(text) else "")


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text) is not None


def is_unreachable(said: str) -> bool:
    """Whether uv says that it did not get to an index, which may pass."""
    return "error sending request" in said or "Request failed" in said


def _too_new(log: str, theirs: str, options: ResolveOptions) -> str:
    """What to do when all that would do is younger than `min-age`, or of unknown age."""
    if names := undated(log):
        return (
            f"the index tells no upload time (PEP 700) of {', '.join(names)}: use one that does, or min-age = '0 days'"
        )
    ours = f"min-age ({show_duration(options.min_age)})"
    told = theirs.partition(" Consider using")[0].replace("`exclude-newer`", ours)
    return f"{told} Wait, ask for an older version, or lower min-age"


def _hint(text: str, options: ResolveOptions, theirs: str) -> str:
    if options.offline:
        return "run once without --offline, so that what is needed is in the cache"
    if "authentication credentials" in theirs or "403 Forbidden" in theirs:
        return theirs
    if "not found in the package registry" in text:
        return "is the name spelled right? A private index is given with --index-url in the file, or UV_INDEX"
    if is_unreachable(text):
        return "the package index cannot be reached: check the network, the proxy and the index settings"
    if hint := next((hint for said, hint in _HINTS.items() if said in text), None):
        return hint
    for option, ours in _OURS.items():
        theirs = theirs.replace(option, ours)
    return theirs or "change one of the requirements, or add a constraint"
