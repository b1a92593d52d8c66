"""The build cache: what was built on this machine, by request key, for any wheelhouse to take.

One folder a build: the repaired wheel, its build requirements with hashes, the log, and a small JSON file that is
written last, so that a folder without it is no build. Nothing here is proved to import; admission to a wheelhouse asks
for that.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.files import settle, sha256_of
from wheelhouse_builder.job_log import shown
from wheelhouse_builder.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping

_RECORD = "build.json"
_LOCK = "build-requirements.txt"
_LOG = "build.log.gz"


@dataclass(frozen=True, kw_only=True)
class Build:
    """One build. Satisfies `plan.Known`."""

    filename: str
    sha256: str
    size: int  # bytes
    source_sha256: str
    request_key: str
    build_key: str  # the request key and the build requirements
    built_for: str  # str(Target)
    engine: str
    strategy: str | None = None  # the rung of the ladder; None: of a whb that had no ladder
    seconds: float  # wall time
    native: bool  # the source holds native code
    native_tools: str | None = None  # what ran natively in a container of another architecture
    project_key: str | None = None  # of a project that builds by our wrapper: what that finds the wheel by
    inputs: Mapping[str, str] = field(default_factory=dict, hash=False)  # what the build key is made of, for people

    @property
    def rung(self) -> Strategy | None:
        """The strategy; None for what a whb without a ladder built in a container."""
        return next((known for known in Strategy if known in (self.strategy, self.engine)), None)


def build_key(request_key: str, build_lock: str) -> str:
    """The digest of all that shapes a wheel."""
    return hashlib.sha256(f"{request_key}\0{build_lock}".encode()).hexdigest()


def request_key(inputs: Mapping[str, str]) -> str:
    """The digest of all that shapes a wheel and is known before its build requirements are."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def packed_log(log: Path) -> bytes:
    """A build's log as gzip, which every browser reads, fit for anyone's eyes (`job_log.shown`)."""
    return gzip.compress(shown(log), mtime=0)


def _parse(record: bytes) -> Build | None:
    try:
        return Build(**json.loads(record))
    except (ValueError, TypeError):
        return None


class Builds:
    """The build cache below whb's cache folder."""

    def __init__(self, cache: Path) -> None:
        self._root = cache / "builds"
        self._parsed: dict[Path, tuple[int, Build | None]] = {}  # with the time of the file

    def all(self) -> tuple[Build, ...]:
        """Every build, in a stable order. A damaged one is left out: it is built again."""
        records = sorted(self._root.glob(f"*/{_RECORD}"))
        builds = ((record.parent, self._read(record)) for record in records)
        return tuple(build for folder, build in builds if build and (folder / build.filename).is_file())

    def _read(self, record: Path) -> Build | None:
        """Parsed once for each content: every job of a run asks for all builds, and a cache has thousands."""
        try:
            time = record.stat().st_mtime_ns
            if self._parsed.get(record, (None, None))[0] != time:
                self._parsed[record] = time, _parse(record.read_bytes())
        except FileNotFoundError:  # another process found it damaged
            return None
        return self._parsed[record][1]

    def path(self, build: Build) -> Path | None:
        """The wheel of a build, None (and forgotten) if it is not what was stored."""
        folder = self._root / build.request_key
        wheel = folder / build.filename
        if wheel.is_file() and sha256_of(wheel) == build.sha256:
            return wheel
        (folder / _RECORD).unlink(missing_ok=True)
        return None

    def lock(self, key: str) -> str | None:
        """The build requirements of an earlier build with this request key."""
        try:
            return (self._root / key / _LOCK).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def log(self, build: Build) -> Path | None:
        """What the build printed, as gzip, fit to be shown; None for a build of the time before logs were kept."""
        log = self._root / build.request_key / _LOG
        return log if log.is_file() else None

    def add(self, wheel: Path, build: Build, build_lock: str, log: bytes = b"") -> None:
        """Store a build, `log` being what `packed_log` gave. `wheel` is moved; on failure nothing is stored."""
        self._root.mkdir(parents=True, exist_ok=True)
        final = self._root / build.request_key
        with tempfile.TemporaryDirectory(dir=self._root, prefix=".new.") as scratch:
            folder = Path(scratch) / "build"
            folder.mkdir()
            shutil.move(wheel, folder / build.filename)
            (folder / _LOCK).write_text(build_lock, encoding="utf-8")
            if log:
                (folder / _LOG).write_bytes(log)
            (folder / _RECORD).write_text(json.dumps(asdict(build), indent=1), encoding="utf-8")
            if final.exists():
                final.rename(Path(scratch) / "old")
            settle(folder, final)
