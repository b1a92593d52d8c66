"""The wheelhouse as a directory.

    *.whl, *.whl.metadata       flat on top: `pip install --find-links DIR` works
    simple, links, requirements-*.txt, pylock.*.toml    links into the current generation
    .whb/                       records.sqlite, generations/, current, lock, logs/, tmp/

Wheels are admitted by the one writer that holds the lock, and are never changed: a name stands for one content.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
import string
import tempfile
import threading
from dataclasses import dataclass
from email.parser import BytesParser
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from wheelhouse_builder.errors import DamagedError, JobError
from wheelhouse_builder.events import Listener, ignore
from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.repair import archive
from wheelhouse_builder.repair.canonical import canonicalise, dist_info_of
from wheelhouse_builder.target import Arch
from wheelhouse_builder.wheelhouse import disk
from wheelhouse_builder.wheelhouse.agreement import require_agreement
from wheelhouse_builder.wheelhouse.lock import exclusive
from wheelhouse_builder.wheelhouse.records import Records, StoredWheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from wheelhouse_builder.process import Canceller

DEFAULT_WAIT = 3600.0  # seconds: another `whb build` may run for long
_MAX_METADATA_BYTES = 16 << 20
_PLAIN = frozenset(string.ascii_letters + string.digits + "._-+!")  # what names and versions are written with in wheels


class Trouble(StrEnum):
    """What can be wrong with a file of the wheelhouse."""

    MISSING = "missing"  # it was published, and there is no file
    CHANGED = "changed"  # the content is not what the record says
    FOREIGN = "foreign"  # there is a wheel, and no record


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is not as it should be, and what to do about it."""

    path: Path
    trouble: Trouble
    remedy: str

    def __str__(self) -> str:
        return f"{self.path} is {self.trouble}: {self.remedy}"


class Wheelhouse:
    """A wheelhouse at `root`. Making one of these touches nothing; `lock()` makes the layout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / ".whb"
        self.logs = self.state / "logs"
        self.generations = self.state / "generations"
        self.current = self.state / "current"
        self.scratch = self.state / "tmp"
        self.records = Records(self.state / "records.sqlite")
        self._admitting = threading.Lock()
        self._writing = False

    @contextlib.contextmanager
    def lock(
        self, *, wait: float = DEFAULT_WAIT, listener: Listener = ignore, canceller: Canceller | None = None
    ) -> Iterator[Wheelhouse]:
        """Be the one writer; make the layout if it is not there, and clear away what an interrupted writer left.

        Waits up to `wait` seconds for another writer, telling the listener whom. Raises `MachineError` when the folder
        is not writable or the wait is over, `UsageError` when `root` is no folder, `Cancelled`.
        """
        with contextlib.ExitStack() as stack:
            with disk.writing(self.root):
                for folder in (self.logs, self.generations):
                    folder.mkdir(parents=True, exist_ok=True)
                lock = exclusive(self.state / "lock", wait=wait, listener=listener, canceller=canceller)
                stack.enter_context(lock)
                shutil.rmtree(self.scratch, ignore_errors=True)
                self.scratch.mkdir()
                self.records.create()
            self._writing = True
            stack.callback(setattr, self, "_writing", False)
            yield self

    def wheels(self) -> tuple[StoredWheel, ...]:
        """The wheels that are there, by file name. Their content is not looked at: see `check`."""
        return tuple(wheel for wheel in self.records.all() if (self.root / wheel.filename).is_file())

    def check(self, *, thorough: bool = False) -> list[Problem]:
        """What is wrong with the wheels.

        A file whose size and modification time are as noted is taken for right, unless `thorough`; any other is hashed,
        and under the lock the new time is noted (a copied wheelhouse is hashed once).
        Raises `DamagedError` when the records cannot be read.
        """
        records = {wheel.filename: wheel for wheel in self.records.all()}
        times = {} if thorough else self.records.times()
        problems = []
        for wheel in records.values():
            trouble = self._trouble(wheel, times.get(wheel.filename))
            if trouble is not None:
                problems.append(self._problem(wheel.filename, trouble))
        if self._writing:
            troubled = {problem.path.name for problem in problems}
            present = {name for name in records if (self.root / name).is_file()}
            self._note_times(present - troubled, times)
        foreign = [path.name for path in sorted(self.root.glob("*.whl")) if path.name not in records]
        return problems + [self._problem(name, Trouble.FOREIGN) for name in foreign]

    def require_sound(self, *, thorough: bool = False) -> None:
        """Raise `DamagedError` if the content of a wheel is not what its record says."""
        changed = [problem for problem in self.check(thorough=thorough) if problem.trouble is Trouble.CHANGED]
        if changed:
            raise DamagedError("; ".join(f"{p.path} is damaged" for p in changed), hint=changed[0].remedy)

    def admit(self, wheel: Path, record: StoredWheel) -> StoredWheel:
        """Take a wheel in, under the lock; return its record as stored. Several threads may call this.

        The same content under the same name is no news: only the record is written. A built wheel whose name stands for
        other content gets the next build tag. Raises `JobError` for a wheel that is not for musl, and for a fetched
        wheel whose name stands for other content.
        """
        require_admissible(wheel.name)
        with disk.writing(self.root), self._admitting, tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            source = self._with_free_name(wheel, record, Path(folder))
            stored = record_of(source, **_making(record))
            destination = self.root / source.name
            if destination.is_file() and sha256_of(destination) == stored.sha256:
                return self.records.add(stored, destination.stat().st_mtime_ns)
            return self._place(source, stored, Path(folder))

    def _with_free_name(self, wheel: Path, record: StoredWheel, folder: Path) -> Path:
        """The wheel under a name that stands for no other content: its own, or one with a build tag."""
        built = record.origin == "built"
        if not self._is_taken(wheel) and not (built and self._has_namesake(wheel)):
            return wheel
        if not built:
            raise JobError(
                f"{wheel.name} is in {self.root} with other content than was fetched now",
                hint="a name stands for one content for ever, clients hold its hash: find out which index changed "
                "it, or use another wheelhouse",
            )
        number = (parse_wheel_filename(wheel.name)[2] or (0, ""))[0]
        while True:
            number += 1
            tagged = canonicalise(wheel, folder, epoch=archive.epoch_of(wheel), build=number)
            if not self._is_taken(tagged):
                return tagged
            tagged.unlink()

    def _has_namesake(self, wheel: Path) -> bool:
        """Whether a wheel is here that differs in the spelling of its name alone: installers would take either."""
        parsed = parse_wheel_filename(wheel.name)
        return any(w.filename != wheel.name and parse_wheel_filename(w.filename) == parsed for w in self.wheels())

    def _is_taken(self, wheel: Path) -> bool:
        """Whether this name stands for other content: in the record of a wheel that clients know, or on the disk."""
        path, known = self.root / wheel.name, self.records.by_filename(wheel.name)
        if known is not None and (known.published_at or path.is_file()):
            return known.sha256 != sha256_of(wheel)
        return path.is_file() and sha256_of(path) != sha256_of(wheel)

    def _place(self, source: Path, stored: StoredWheel, folder: Path) -> StoredWheel:
        """Record first, wheel last: whoever dies in between leaves a record of nothing, never a wheel without one."""
        temporary, sidecar = folder / "wheel", folder / "metadata"
        disk.write(sidecar, metadata_of(source))
        disk.copy(source, temporary)
        stored = self.records.add(stored, temporary.stat().st_mtime_ns)
        disk.rename(sidecar, self.root / f"{stored.filename}.metadata")
        disk.rename(temporary, self.root / stored.filename)
        return stored

    def _note_times(self, sound: Iterable[str], noted: Mapping[str, int]) -> None:
        found = {name: (self.root / name).stat().st_mtime_ns for name in sound}
        changed = {name: time for name, time in found.items() if noted.get(name) != time}
        if changed:
            self.records.set_times(changed)

    def _trouble(self, wheel: StoredWheel, known_good: int | None) -> Trouble | None:
        path = self.root / wheel.filename
        try:
            status = path.stat()
            sidecar = path.with_name(f"{path.name}.metadata")
            if not sidecar.is_file() or sha256_of(sidecar) != wheel.metadata_sha256 or status.st_size != wheel.size:
                return Trouble.CHANGED
            if status.st_mtime_ns == known_good or sha256_of(path) == wheel.sha256:
                return None
        except FileNotFoundError:
            return Trouble.MISSING if wheel.published_at else None  # else its admission was interrupted
        return Trouble.CHANGED

    def _problem(self, filename: str, trouble: Trouble) -> Problem:
        path = self.root / filename
        remedy = {
            Trouble.MISSING: "build again to have it back",
            Trouble.CHANGED: f"remove it (rm {path}) and run the same command again: it is fetched or built anew",
            Trouble.FOREIGN: "whb did not put it there and does not publish it, but pip's --find-links would see it: "
            "move it away",
        }[trouble]
        return Problem(path=path, trouble=trouble, remedy=remedy)


def record_of(wheel: Path, **making: Any) -> StoredWheel:
    """The record of a wheel file: what it says itself, and `making`, the fields that say how it was had.

    Raises `JobError` when the file is no readable wheel, or when it is of another project than its name says.
    """
    metadata = metadata_of(wheel)
    require_agreement(wheel.name, dist_info_of(wheel), metadata)
    name, version, _, _ = parse_wheel_filename(wheel.name)
    return StoredWheel(
        filename=wheel.name,
        name=name,
        version=version,
        sha256=sha256_of(wheel),
        size=wheel.stat().st_size,
        metadata_sha256=hashlib.sha256(metadata).hexdigest(),
        requires_python=BytesParser().parsebytes(metadata, headersonly=True)["Requires-Python"],
        **making,
    )


def require_admissible(filename: str) -> None:
    """Raise `JobError` unless this is the name of a wheel that musl can use, and a plain one.

    Installers take `linux_*` for any libc, and pip prefers it to musllinux: one such wheel would break every client.
    `parse_wheel_filename` lets slashes and NUL through in the build tag (`a-1-1/../b-…`), and letters of any script.
    """
    if not _PLAIN.issuperset(filename):
        raise JobError(f"{filename!r} is not the name of a wheel: it has to be of ASCII letters, digits and . _ - + !")
    try:
        platforms = {tag.platform for tag in parse_wheel_filename(filename)[-1]}
    except InvalidWheelFilename as error:
        raise JobError(f"{filename!r} is not the name of a wheel: {error}") from None
    ours = {
        platform
        for platform in platforms
        if platform == "any" or (platform.startswith("musllinux_") and platform.endswith(tuple(f"_{a}" for a in Arch)))
    }
    if not ours or any(platform.startswith("linux_") for platform in platforms):
        raise JobError(
            f"{filename} is not for musl, so the wheelhouse does not take it in",
            hint="it has to be tagged musllinux or any; repair makes it so",
        )


def metadata_of(wheel: Path) -> bytes:
    """METADATA, byte for byte as it is in the wheel. Raises `JobError` when it cannot be read."""
    member = f"{dist_info_of(wheel)}/METADATA"
    with archive.open_wheel(wheel) as opened:
        try:
            info = opened.getinfo(member)
        except KeyError:
            raise JobError(f"{wheel.name} has no {member}") from None
        if info.file_size > _MAX_METADATA_BYTES:
            raise JobError(f"{wheel.name} has {info.file_size} bytes of METADATA; that is no honest file")
        return b"".join(archive.read(opened, info))


def _making(record: StoredWheel) -> dict[str, Any]:
    """The fields of a record that say how the wheel was had."""
    told_by_the_file = {"filename", "name", "version", "sha256", "size", "metadata_sha256", "requires_python"}
    names = {field.name for field in dataclasses.fields(record)} - told_by_the_file - {"published_at", "yanked"}
    return {name: getattr(record, name) for name in names}
