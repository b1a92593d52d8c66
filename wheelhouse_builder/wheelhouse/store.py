"""The wheelhouse as a directory.

    *.whl, *.whl.metadata       flat on top: `pip install --find-links DIR` works; stubs as *.tar.gz
    simple, links, requirements-*.txt, pylock.*.toml    links into the current generation
    .whb/                       records.sqlite, history.sqlite, generations/, pages/, current, lock, logs/, tmp/

Wheels are admitted by the one writer that holds the lock, and are never changed: a name stands for one content.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import shutil
import string
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename

from wheelhouse_builder.artifact import parse_wheel_name
from wheelhouse_builder.errors import DamagedError, JobError
from wheelhouse_builder.events import Listener, ignore
from wheelhouse_builder.files import sha256_of
from wheelhouse_builder.index.model import UNMARKED, Status
from wheelhouse_builder.repair import archive
from wheelhouse_builder.repair.canonical import canonicalise, dist_info_in, parse_name
from wheelhouse_builder.target import Arch
from wheelhouse_builder.wheelhouse import disk
from wheelhouse_builder.wheelhouse.agreement import require_agreement
from wheelhouse_builder.wheelhouse.lock import exclusive
from wheelhouse_builder.wheelhouse.records import Records
from wheelhouse_builder.wheelhouse.retired import retired_wheels
from wheelhouse_builder.wheelhouse.soundness import Look, Problem, Trouble, look_at
from wheelhouse_builder.wheelhouse.stored import Facts, Seen, StoredStub, StoredWheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from typing import Any, BinaryIO

    from packaging.utils import NormalizedName

    from wheelhouse_builder.process import Canceller

DEFAULT_WAIT = 3600.0  # seconds: another `whb build` may run for long
_MAX_METADATA_BYTES = 16 << 20
_SMALL_BYTES = 1 << 16  # of a wheel that is read in one step: zipfile takes some twenty for what it needs
_LONGEST_NAME = 255 - len(".metadata")  # of a wheel: what file systems take, with the name of its sidecar
_PLAIN = frozenset(string.ascii_letters + string.digits + "._-+!")  # what names and versions are written with in wheels


class Wheelhouse:
    """A wheelhouse at `root`. Making one of these touches nothing; `lock()` makes the layout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / ".whb"
        self.logs = self.state / "logs"
        self.build_log_folder = self.logs / "wheels"
        self.attempt_log_folder = self.logs / "attempts"
        self.history = self.state / "history.sqlite"
        self.generations = self.state / "generations"
        self.pages = self.state / "pages"
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
                for folder in (self.build_log_folder, self.generations, self.pages):
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

        A file whose size and modification time are as noted is taken for right, unless `thorough`; any other is hashed.
        Under the lock what was found is noted (a copied wheelhouse is hashed once), and the next publication looks at
        each project of which something is not as it was noted.
        Raises `DamagedError` when the records cannot be read.
        """
        records = self.records.facts()
        looks = {facts.filename: look_at(self.root, facts, thorough=thorough) for facts in records}
        if self._writing:
            self._note(records, looks)
        problems = [
            Problem(path=self.root / name, trouble=look.trouble) for name, look in looks.items() if look.trouble
        ]
        foreign = sorted(path for path in self.root.glob("*.whl") if path.name not in looks)
        return problems + [Problem(path=path, trouble=Trouble.FOREIGN) for path in foreign]

    def require_sound(self, *, thorough: bool = False) -> None:
        """Raise `DamagedError` if the content of a wheel is not what its record says."""
        _require_unchanged(self.check(thorough=thorough))

    def sound_wheels(self, moment: datetime, names: Iterable[NormalizedName] | None = None) -> list[StoredWheel]:
        """The wheels of these projects (of all) that are to be published, by file name; no other file is looked at.

        `moment` is noted as the time of first publication of those that have none: to be called to publish them.
        Raises `DamagedError` if the content of one, or of a stub, is not what its record says.
        """
        records = self.records.facts(names)
        looks = {facts.filename: look_at(self.root, facts) for facts in records}
        _require_unchanged(
            Problem(path=self.root / name, trouble=look.trouble) for name, look in looks.items() if look.trouble
        )
        retired = retired_wheels(self.records).keys()
        there = {facts.filename for facts in records if not facts.is_stub and looks[facts.filename].there} - retired
        if new := [facts.filename for facts in records if not facts.published and facts.filename in there]:
            self.records.mark_published(new, moment)
        wheels = self.records.all() if names is None else self.records.of_projects(names)
        return [wheel for wheel in wheels if wheel.filename in there]

    def stubs_beside(
        self, wheels: Iterable[StoredWheel], moment: datetime, names: Iterable[NormalizedName] | None = None
    ) -> list[StoredStub]:
        """The stubs of these projects (of all) that are there, of the versions that these wheels are of.

        A stub without a wheel could only fail, and installers would prefer it to an older version that works.
        `moment` as for `sound_wheels`.
        """
        stubs = [stub for stub in self.records.stubs(names) if (self.root / stub.filename).is_file()]
        if not stubs:
            return []
        served = {(wheel.name, wheel.version) for wheel in wheels}
        shown = [stub for stub in stubs if (stub.name, stub.version) in served]
        self.records.mark_published([stub.filename for stub in shown], moment)
        return [dataclasses.replace(stub, published_at=stub.published_at or moment) for stub in shown]

    def metadata(self, filename: str) -> bytes:
        """The METADATA of a wheel that is there."""
        return (self.root / f"{filename}.metadata").read_bytes()

    def build_log(self, filename: str) -> Path:
        """Where the log of the build of a wheel lies, if there is one."""
        return self.build_log_folder / f"{filename}.log.gz"

    def has_build_log(self, filename: str) -> bool:
        """Whether the log of the build of a wheel is kept."""
        return os.path.exists(f"{self.build_log_folder}/{filename}.log.gz")  # noqa: PTH110  # as in `look_at`

    def build_logs(self) -> frozenset[str]:
        """The file names of the wheels whose build log is kept."""
        try:
            return frozenset(path.name.removesuffix(".log.gz") for path in self.build_log_folder.iterdir())
        except FileNotFoundError:
            return frozenset()

    def admit(self, wheel: Path, record: StoredWheel, *, log: Path | None = None) -> StoredWheel:
        """Take a wheel in, under the lock; return its record as stored. Several threads may call this.

        `log` is that of the build that gave it, as `builds.packed_log` packs it; it is kept as long as the wheel.

        The same content under the same name is no news: only the record is written. A built wheel whose name stands for
        other content gets the next build tag. Raises `JobError` for a wheel that is not for musl, for a fetched
        wheel whose name stands for other content, and for a new file of a project that is archived or quarantined.
        """
        require_admissible(wheel.name)
        with disk.writing(self.root), self._admitting, tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            source = self._with_free_name(wheel, record, Path(folder))
            stored, metadata = read_wheel(source, **_making(record))
            look = look_at(self.root, _facts(stored))
            if look.there:
                return self.records.add(stored, look.seen)
            known = self.records.by_filename(stored.filename)
            self.require_open(stored.name, stored.filename, published=bool(known and known.published_at))
            return self._place(source, stored, metadata, Path(folder), log)

    def require_open(self, name: NormalizedName, filename: str, *, published: bool) -> None:
        """Raise `JobError` if the project takes no new files (PEP 792); one that was `published` before is none."""
        mark = self.records.marks().get(name, UNMARKED)
        if mark.status in (Status.ARCHIVED, Status.QUARANTINED) and not published:
            why = f" ({mark.reason})" if mark.reason else ""
            raise JobError(
                f"{filename} is not taken in: {name} is {mark.status}{why}",
                hint=f"`whb mark {name} active` opens it again",
            )

    def _with_free_name(self, wheel: Path, record: StoredWheel, folder: Path) -> Path:
        """The wheel under a name that stands for no other content: its own, or one with a build tag."""
        built = record.origin == "built"
        if not self._is_taken(wheel) and not (built and self._has_namesake(wheel)):
            return wheel
        if not built:
            raise JobError(
                f"{wheel.name} is in {self.root} with other content",
                hint="a name stands for one content for ever, clients hold its hash: find out which index changed "
                "it, or use another wheelhouse",
            )
        number = (parse_wheel_name(wheel.name)[2] or (0, ""))[0]
        while True:
            number += 1
            tagged = canonicalise(wheel, folder, epoch=archive.epoch_of(wheel), build=number)
            if not self._is_taken(tagged):
                return tagged
            tagged.unlink()

    def _has_namesake(self, wheel: Path) -> bool:
        """Whether a wheel is here that differs in the spelling of its name alone: installers would take either."""
        parsed = parse_wheel_name(wheel.name)
        return any(
            facts.filename != wheel.name and parse_wheel_name(facts.filename) == parsed
            for facts in self.records.facts([parsed[0]])
            if not facts.is_stub and (self.root / facts.filename).is_file()
        )

    def _is_taken(self, wheel: Path) -> bool:
        """Whether this name stands for other content: in the record of a wheel that clients know, or on the disk."""
        path, known = self.root / wheel.name, self.records.by_filename(wheel.name)
        if known is not None and (known.published_at or path.is_file()):
            return known.sha256 != sha256_of(wheel)
        return path.is_file() and sha256_of(path) != sha256_of(wheel)

    def _place(self, source: Path, stored: StoredWheel, metadata: bytes, folder: Path, log: Path | None) -> StoredWheel:
        """Record first, wheel last: whoever dies in between leaves a record of nothing, never a wheel without one."""
        temporary, sidecar = folder / "wheel", folder / "metadata"
        if log is not None:
            disk.copy(log, folder / "log")
            disk.rename(folder / "log", self.build_log(stored.filename))
        disk.write(sidecar, metadata)
        disk.copy(source, temporary)
        beside = sidecar.stat()
        stored = self.records.add(stored, Seen(temporary.stat().st_mtime_ns, beside.st_mtime_ns, beside.st_size))
        disk.rename(sidecar, self.root / f"{stored.filename}.metadata")
        disk.rename(temporary, self.root / stored.filename)
        return stored

    def _note(self, records: Iterable[Facts], looks: Mapping[str, Look]) -> None:
        news = [
            facts
            for facts in records
            if looks[facts.filename].trouble is Trouble.CHANGED or looks[facts.filename].seen != facts.seen
        ]
        if news:
            self.records.note_changes({facts.name for facts in news})
            self.records.set_seen({facts.filename: looks[facts.filename].seen for facts in news})


def _require_unchanged(problems: Iterable[Problem]) -> None:
    changed = [problem for problem in problems if problem.trouble is Trouble.CHANGED]
    if changed:
        raise DamagedError("; ".join(f"{p.path} is damaged" for p in changed), hint=changed[0].remedy)


def record_of(wheel: Path, **making: Any) -> StoredWheel:
    """The record of a wheel file: what it says itself, and `making`, the fields that say how it was had.

    Raises `JobError` when the file is no readable wheel, or when it is of another project than its name says.
    """
    return read_wheel(wheel, **making)[0]


def read_wheel(wheel: Path, **making: Any) -> tuple[StoredWheel, bytes]:
    """The same, with METADATA, byte for byte as it is in the wheel."""
    parse_name(wheel.name)
    with wheel.open("rb") as file:  # once: what is told of the content is of what was hashed
        start = file.read(_SMALL_BYTES)
        file.seek(0)
        is_small = len(start) < _SMALL_BYTES
        stream = io.BytesIO(start) if is_small else file
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = len(start) if is_small else stream.tell()
        dist_info, metadata = _described(wheel, stream)
    fields = require_agreement(wheel.name, dist_info, metadata)
    name, version, _, _ = parse_wheel_name(wheel.name)
    record = StoredWheel(
        filename=wheel.name,
        name=name,
        version=version,
        sha256=digest,
        size=size,
        metadata_sha256=hashlib.sha256(metadata).hexdigest(),
        requires_python=fields.get("requires_python"),
        **making,
    )
    return record, metadata


def metadata_of(wheel: Path) -> bytes:
    """METADATA alone, of a wheel file anywhere. Raises `JobError` when the file is no readable wheel."""
    with wheel.open("rb") as file:
        return _described(wheel, file)[1]


def require_admissible(filename: str) -> None:
    """Raise `JobError` unless this is the name of a wheel that musl can use, and a plain one.

    Installers take `linux_*` for any libc, and pip prefers it to musllinux: one such wheel would break every client.
    `packaging` lets slashes and NUL through in the build tag (`a-1-1/../b-…`), and letters of any script.
    """
    if not _PLAIN.issuperset(filename):
        raise JobError(f"{filename!r} is not the name of a wheel: it has to be of ASCII letters, digits and . _ - + !")
    if len(filename) > _LONGEST_NAME:
        raise JobError(f"{filename[:32]}… has {len(filename)} characters; the name of a wheel may have {_LONGEST_NAME}")
    try:
        platforms = {tag.platform for tag in parse_wheel_name(filename)[-1]}
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


def _described(wheel: Path, stream: BinaryIO) -> tuple[str, bytes]:
    """The name of its `.dist-info` folder, and METADATA."""
    with archive.open_wheel(wheel, stream) as opened:
        dist_info = dist_info_in(opened, wheel)
        try:
            info = opened.getinfo(f"{dist_info}/METADATA")
        except KeyError:
            raise JobError(f"{wheel.name} has no {dist_info}/METADATA") from None
        if info.file_size > _MAX_METADATA_BYTES:
            raise JobError(f"{wheel.name} has {info.file_size} bytes of METADATA; that is no honest file")
        return dist_info, b"".join(archive.read(opened, info))


def _facts(wheel: StoredWheel) -> Facts:
    return Facts(
        filename=wheel.filename,
        name=wheel.name,
        sha256=wheel.sha256,
        size=wheel.size,
        metadata_sha256=wheel.metadata_sha256,
        published=wheel.published_at is not None,
        seen=Seen(),
    )


def _making(record: StoredWheel) -> dict[str, Any]:
    """The fields of a record that say how the wheel was had."""
    told_by_the_file = {"filename", "name", "version", "sha256", "size", "metadata_sha256", "requires_python"}
    names = {field.name for field in dataclasses.fields(record)} - told_by_the_file - {"published_at", "yanked"}
    return {name: getattr(record, name) for name in names}
