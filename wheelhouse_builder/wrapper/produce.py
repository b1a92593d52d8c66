"""Wheels that whb makes in a hook: for another target, and to keep, of what the wrapped backend made."""

from __future__ import annotations

import platform
import shutil
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from wheelhouse_builder.artifact import SourceTree, parse_wheel_name
from wheelhouse_builder.errors import DamagedError, JobError, UsageError
from wheelhouse_builder.events import Event, JobFinished, JobStarted, Level, Note, ignore
from wheelhouse_builder.files import EARLIEST_EPOCH, sha256_of
from wheelhouse_builder.interrupts import cancelling
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.redact import redact
from wheelhouse_builder.report.table import duration
from wheelhouse_builder.target import NEWEST_PYTHON, OLDEST_PYTHON, Arch, Target
from wheelhouse_builder.wrapper.own import own_target
from wheelhouse_builder.wrapper.telling import tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wheelhouse_builder.report.model import Row
    from wheelhouse_builder.settings import Settings
    from wheelhouse_builder.wheelhouse.stored import StoredWheel
    from wheelhouse_builder.wrapper.request import Request

ENGINE = "backend"  # what made the wheels that are kept: not one of our engines

_SHOWN_BYTES = 256 << 10  # of the log of a failed build


# For another target


def build_for(request: Request, target: Target, folder: Path) -> Path:
    """Build the project for a target as `whb build` does; the wheel, as a new file in `folder`.

    With the setting `store` the wheelhouse there keeps it, once it was checked as every wheel there; without, it is
    checked by the loader's rules alone. Raises `JobError` with the log of the build told, `UsageError`, `MachineError`,
    `DamagedError` (the wheelhouse), `Cancelled` on SIGINT and SIGTERM.
    """
    from wheelhouse_builder.cached import mark_cache  # noqa: PLC0415 - what builds is much to import
    from wheelhouse_builder.engines.cross.zig import keep_zig  # noqa: PLC0415
    from wheelhouse_builder.run import build_tree  # noqa: PLC0415

    canceller = Canceller()
    with cancelling(canceller), _settings_for(request.settings, target) as settings:
        with suppress(OSError):  # who needs the cache says what is wrong with it
            mark_cache(settings.cache)
        keep_zig(settings.cache, canceller)  # the front end made this environment for this hook
        report = build_tree(settings, _tree_of(request), listener=told, canceller=canceller)
        (row,) = report.rows
        if row.filename is None:
            raise _failure(row)
        return _copy(report.wheelhouse, row.filename, folder)


@contextmanager
def _settings_for(settings: Settings, target: Target) -> Iterator[Settings]:
    """The settings of a run for one target alone: into the wheelhouse that keeps wheels, or one for this call."""
    wanted = replace(settings, pythons=(target.python,), archs=(target.arch,), musl=target.musl)
    if settings.backend.store:
        yield replace(wanted, wheelhouse=settings.backend.store)
        return
    with TemporaryDirectory(prefix="whb-wheel-") as scratch:
        yield replace(wanted, wheelhouse=Path(scratch), verify=replace(settings.verify, engine="off"))


def _tree_of(request: Request) -> SourceTree:
    from wheelhouse_builder.project.key import normalised  # noqa: PLC0415 - as above
    from wheelhouse_builder.sources.trees import source_tree_digest  # noqa: PLC0415

    name = request.identity.name
    if name is None:
        raise UsageError(
            f"the files of {request.root} do not say its name, so it cannot be built for another target",
            hint="write it into [project] of pyproject.toml",
        )
    return SourceTree(
        name=name,
        version=request.identity.version,
        path=str(request.root),
        digest=source_tree_digest(request.root),
        config_settings=tuple(normalised(request.config_settings).items()),
    )


def _failure(row: Row) -> JobError:
    """Why there is no wheel; what the build said is told at once, as front ends show that of a backend."""
    if row.log and row.log.is_file():
        with row.log.open("rb") as stream:
            stream.seek(max(0, row.log.stat().st_size - _SHOWN_BYTES))
            said = stream.read().decode(errors="replace")
        print(redact(said), file=sys.stderr, flush=True)
    return JobError(row.message or row.reason, hint=row.hint or None)


def _copy(wheelhouse: Path, filename: str, folder: Path) -> Path:
    from wheelhouse_builder.wheelhouse.store import Wheelhouse  # noqa: PLC0415 - as above

    stored, copy = Wheelhouse(wheelhouse).records.by_filename(filename), folder / filename
    shutil.copyfile(wheelhouse / filename, copy)
    if stored is None or sha256_of(copy) != stored.sha256:
        raise DamagedError(f"{wheelhouse / filename} is not what was stored", hint="`whb index --thorough` says more")
    return copy


# Kept


def store_own(request: Request, wheel: Path) -> Path | None:
    """Put the wheel that the wrapped backend made for this machine into the wheelhouse of the setting `store`.

    It is repaired, checked and published as one that `whb build` made; returns where it is, under the name that it has
    there. None, and why is told in one line: it cannot be kept, as one for glibc cannot. `request.inputs` are to be
    read before the wrapped backend runs, since it may write into the tree.
    Raises `UsageError`, `MachineError` or `DamagedError` for what is wrong with the wheelhouse, `Cancelled`.
    """
    canceller = Canceller()
    with cancelling(canceller), TemporaryDirectory(prefix="whb-store-") as scratch:
        try:
            target = _kept_for(request, wheel)
            repaired = _repaired(request, wheel, target, Path(scratch), canceller)
            return _admitted(request, repaired, target, canceller)
        except JobError as error:
            told(Note(text=f"{wheel.name} is not stored: {error.message}", level=Level.WARNING))
            return None


def _kept_for(request: Request, wheel: Path) -> Target:
    """The target that the wheel was built for. Raises `JobError` if it is for none."""
    from wheelhouse_builder.verify.native import native_sources  # noqa: PLC0415 - as above

    if any(tag.platform != "any" for tag in parse_wheel_name(wheel.name)[-1]):
        target = own_target()
        if target is None:
            raise JobError("it is for this machine, which is no musl target; -C whb.target=TARGET builds for one")
        return target
    if native_sources(request.root):
        raise JobError("a pure wheel came out of a project with native code: no extension was built")
    python, machine = sys.version_info[:2], platform.machine()
    arch = next((arch for arch in Arch if arch == machine), None)
    if arch is None or sys.implementation.name != "cpython" or not OLDEST_PYTHON <= python <= NEWEST_PYTHON:
        raise JobError(f"whb has no target with {sys.implementation.name} {python[0]}.{python[1]} on {machine}")
    return Target(python, arch)


def _repaired(request: Request, wheel: Path, target: Target, scratch: Path, canceller: Canceller) -> Path:
    from wheelhouse_builder.repair.musllinux import repair  # noqa: PLC0415 - as above
    from wheelhouse_builder.repair.system import library_folders, link_libraries  # noqa: PLC0415

    return repair(
        wheel,
        target,
        library_dirs=[link_libraries(wheel, library_folders(target.arch), scratch / "libraries")],
        source_tree=request.root,
        scratch=scratch / "repair",
        epoch=EARLIEST_EPOCH,
        log=scratch / "repair.log",
        canceller=canceller,
    )


def _admitted(request: Request, wheel: Path, target: Target, canceller: Canceller) -> Path:
    """Check the wheel and take it in. The locks of targets stay as they are: they are of whole runs."""
    from wheelhouse_builder.wheelhouse.generations import publish  # noqa: PLC0415 - as above
    from wheelhouse_builder.wheelhouse.store import Wheelhouse  # noqa: PLC0415

    assert request.settings.backend.store is not None
    record = _record(request, wheel, target, canceller)
    wheelhouse = Wheelhouse(request.settings.backend.store)
    with wheelhouse.lock(listener=told, canceller=canceller):
        stored = wheelhouse.admit(wheel, record)
        publish(wheelhouse, {})
    return wheelhouse.root / stored.filename


def _record(request: Request, wheel: Path, target: Target, canceller: Canceller) -> StoredWheel:
    """The record of the wheel, with the evidence that it loads. Raises `JobError` if it does not."""
    from wheelhouse_builder.verification import check_wheels  # noqa: PLC0415 - as above
    from wheelhouse_builder.wheelhouse.store import record_of  # noqa: PLC0415

    settings = replace(request.settings, pythons=(target.python,), archs=(target.arch,), musl=target.musl)
    listener = ignore if settings.verify.engine == "off" else told  # that there is no import check is known then
    verdicts = check_wheels([wheel], settings, listener=listener, canceller=canceller)[wheel.name]
    for problem in (problem for verdict in verdicts for problem in verdict.problems):
        raise JobError(f"it would not load on {target}: {problem}")
    made_of = request.inputs
    return record_of(
        wheel,
        origin="built",
        engine=ENGINE,
        built_for=str(target),
        project_keys=((made_of.key(target), str(target)),) if made_of else (),
        source_sha256=made_of and made_of.source,
        verdicts=verdicts,
    )


def told(event: Event) -> None:
    """Tell an event as a line on standard error; who would read it may be gone, as after Ctrl-C."""
    with suppress(OSError):
        match event:
            case Note():
                tell(f"warning: {event.text}" if event.level is Level.WARNING else event.text)
            case JobStarted():
                tell(f"start {event.title}")
            case JobFinished():
                tell(f"{event.outcome} {event.title} ({duration(event.seconds)})")
