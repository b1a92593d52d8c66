"""`whb verify`: the checks of a build, for wheels that are there already, wherever they come from."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from wheelhouse_builder.errors import JobError, UsageError
from wheelhouse_builder.events import Level, Note
from wheelhouse_builder.target import NEWEST_PYTHON, OLDEST_PYTHON, Arch, Target
from wheelhouse_builder.verify.alpine import NoAlpine, find_alpine
from wheelhouse_builder.verify.imports import check_imports
from wheelhouse_builder.verify.loader import check_loader
from wheelhouse_builder.verify.symbols import DEFAULT_FLOOR
from wheelhouse_builder.verify.verdict import Check, Method, Verdict
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from wheelhouse_builder.events import Listener
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.settings import Settings

_MINORS = range(OLDEST_PYTHON[1], NEWEST_PYTHON[1] + 1)
EVERY_TARGET = tuple(Target((3, minor), arch) for minor, arch in product(_MINORS, Arch))


def find_wheels(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The wheels that the paths name: files, or folders with wheels in them.

    Raises `UsageError`, and `DamagedError` for a wheelhouse whose wheels are not what its records say.
    """
    wheels: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist", hint="name wheels, or folders of wheels")
        found = sorted(path.glob("*.whl")) if path.is_dir() else [path]
        if not found:
            raise UsageError(f"no wheel is in {path}", hint="name a folder with wheels on top, such as a wheelhouse")
        if path.is_dir():
            Wheelhouse(path).require_sound(thorough=True)
        for wheel in found:
            if wheels.setdefault(wheel.name, wheel) != wheel:
                raise UsageError(f"{wheel.name} is named twice", hint="verify one folder after the other")
    for wheel in wheels.values():
        _project(wheel)
    return tuple(wheels.values())


def _project(wheel: Path) -> str:
    try:
        return parse_wheel_filename(wheel.name)[0]
    except InvalidWheelFilename as error:
        raise UsageError(f"{wheel}: {error}", hint="name wheels, or a folder of wheels") from None


def check_wheels(
    wheels: Sequence[Path], settings: Settings, *, listener: Listener, canceller: Canceller
) -> dict[str, tuple[Verdict, ...]]:
    """Check each wheel on each wanted target that it fits; file name → verdicts.

    A wheel that fits none of them is checked on the first one that it fits. Imports are tried where an Alpine can run.
    """
    plan = {wheel: targets_of(wheel, settings.targets) for wheel in wheels}
    verdicts: dict[str, list[Verdict]] = {wheel.name: [] for wheel in wheels}
    floor = settings.musl_floor or DEFAULT_FLOOR
    for wheel, targets in plan.items():
        canceller.check()
        verdicts[wheel.name] += [_loader(wheel, target, floor) for target in targets]
    for target in sorted({target for targets in plan.values() for target in targets}):
        fitting = [wheel for wheel, targets in plan.items() if target in targets]
        for name, verdict in _imports(fitting, target, settings, listener, canceller):
            verdicts[name].append(verdict)
    return {name: tuple(found) for name, found in verdicts.items()}


def targets_of(wheel: Path, wanted: Sequence[Target]) -> tuple[Target, ...]:
    """The wanted targets that the wheel fits, else the first of all that it fits, else one of its architecture."""
    tags = parse_wheel_filename(wheel.name)[-1]
    fitting = tuple(target for target in wanted if target.fits(tags))
    if fitting:
        return fitting
    near = [target for target in wanted if any(tag.platform.endswith(target.arch) for tag in tags)]
    return (next((target for target in EVERY_TARGET if target.fits(tags)), next(iter(near or wanted))),)


def _loader(wheel: Path, target: Target, floor: str) -> Verdict:
    try:
        return check_loader(wheel, target, musl_floor=floor)
    except JobError as error:
        return Verdict(
            check=Check.LOADER,
            target=str(target),
            method=Method.STATIC,
            environment=f"musl {floor}",
            problems=(error.message,),
        )


def _imports(
    wheels: Sequence[Path], target: Target, settings: Settings, listener: Listener, canceller: Canceller
) -> Iterator[tuple[str, Verdict]]:
    place = settings.verify
    rootfs = None if place.rootfs is None else str(place.rootfs)
    alpine = find_alpine(target, engine=place.engine, image=place.image, rootfs=rootfs, canceller=canceller)
    if isinstance(alpine, NoAlpine):
        listener(Note(text=f"no import check for {target}: {alpine.reason}", level=Level.WARNING))
        return
    log = settings.cache / "logs" / "verify.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    for wanted, together in rounds(wheels):
        names = ", ".join(wheel.name for wheel in wanted)
        listener(Note(text=f"importing in {alpine.name}: {names}"))
        try:
            wanted_names = {wheel.name for wheel in wanted}
            found = check_imports(together, target, alpine, wanted=wanted_names, log=log, canceller=canceller)
        except JobError as error:
            raise JobError(f"the import check could not be done: {error.message}", log=log, tail=error.tail) from error
        yield from found.items()


def rounds(wheels: Sequence[Path]) -> Iterator[tuple[list[Path], list[Path]]]:
    """Sets with one wheel of each project, newest first, until each wheel was wanted once: (wanted, all of the set)."""
    projects: dict[str, list[Path]] = {}
    for wheel in sorted(wheels, key=lambda wheel: parse_wheel_filename(wheel.name)[1:3], reverse=True):
        projects.setdefault(_project(wheel), []).append(wheel)
    for number in range(max(map(len, projects.values()), default=0)):
        wanted = [versions[number] for versions in projects.values() if number < len(versions)]
        yield wanted, [versions[min(number, len(versions) - 1)] for versions in projects.values()]
