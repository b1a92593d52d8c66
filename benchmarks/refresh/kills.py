"""`whb refresh` that is killed again and again, and what the wheelhouse is in the end.

Each round starts from nothing. A refresh of a few small packages is disturbed at a random moment, three times: whb is
killed with SIGKILL, a build's process group is, or the disk is full (a small tmpfs, which wants root). Then one refresh
runs undisturbed, and the wheelhouse must be that of a run that nothing ever disturbed, bit for bit: every wheel, every
page and every lock. Times of publication do not count, nor what is different between two undisturbed runs (said at the
end). After each kill of whb nothing that it started may live on.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.projects import c_extension, sdist
from wheelhouse_builder.settings import default_cache
from wheelhouse_builder.zstd import zstd

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

PACKAGES = tuple(f"small-{number}" for number in range(4))
DISTURBANCES_A_ROUND = 3
_ROOMY, _PATIENCE_SECONDS = 256 << 20, 20.0
# When something was done, and how long it took: a page says of each wheel "built … in 2.1 s".
_TIME = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|\+00:00| UTC)?| in (\d+ min )?\d+(\.\d)? s\b")
# What a machine that builds has ready. zig's cache is a copy: it may be killed in the middle of writing there.
_READY, _COPIED = ("answers", "targets", "toolchains", "uv"), ("zig",)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("--rounds", type=int, default=20, help="each with three disturbances (default: 20)")
    parser.add_argument("--seed", type=int, default=7)


def measure(options: argparse.Namespace) -> None:
    """Print how often what was done, and whether it left a trace."""
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="whb-kills-", dir="/var/tmp") as scratch:
        bench = Bench(folder=Path(scratch))
        bench.prepare()
        first, second = bench.undisturbed("first"), bench.undisturbed("second")
        varying = {name for name in first.files if first.files[name] != second.files.get(name)}
        assert first.files.keys() == second.files.keys()
        print(f"undisturbed: {first.seconds:.1f} s, {len(first.files)} files, {len(varying)} of them never the same")
        done: Counter[str] = Counter()
        for number in range(options.rounds):
            difference = bench.round(f"round-{number}", first, varying, chance, done)
            print(f"round {number}: {'equal' if not difference else 'DIFFERENT: ' + ', '.join(difference)}", flush=True)
            if difference:
                raise SystemExit(1)
    told = ", ".join(f"{count} {what}" for what, count in sorted(done.items()))
    print(f"{sum(done.values())} disturbances ({told}); every end state is that of an undisturbed run")
    print(f"never the same, so only there or not: {', '.join(sorted(varying)) or 'nothing'}")


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a wheelhouse holds at the end, and how long the run took."""

    files: dict[str, str]  # by path: the digest of the content without times
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where the rounds take place."""

    folder: Path

    def prepare(self) -> None:
        """The packages, and the cache of toolchains."""
        source = Path(os.environ.get("WHB_CACHE_DIR", default_cache()))
        (self.folder / "ready").mkdir()
        for name in _READY:
            (self.folder / "ready" / name).symlink_to(source / name)
        for name in _COPIED:
            shutil.copytree(source / name, self.folder / "ready" / name, symlinks=True)
        (self.folder / "sdists").mkdir()
        for name in PACKAGES:
            sdist(self.folder / "sdists", name, c_extension(name))

    def place(self, name: str) -> Path:
        """A folder with the project and a cache in which nothing was built yet."""
        place = self.folder / name
        (place / "cache").mkdir(parents=True, exist_ok=True)
        for ready in (self.folder / "ready").iterdir():
            (place / "cache" / ready.name).symlink_to(ready)
        lines = [f"{path}\n" for path in sorted((self.folder / "sdists").iterdir())]
        (place / "requirements.txt").write_text("".join(lines), encoding="utf-8")
        (place / "whb.toml").write_text(
            'requirements = ["requirements.txt"]\npythons = ["3.12"]\n[verify]\nengine = "off"\n', encoding="utf-8"
        )
        return place

    def undisturbed(self, name: str) -> Run:
        """A whole run, from nothing."""
        place = self.place(name)
        started = time.perf_counter()
        finish(place)
        run = Run(files=state(place / "wheelhouse"), seconds=time.perf_counter() - started)
        shutil.rmtree(place)
        return run

    def round(
        self, name: str, expected: Run, varying: set[str], chance: random.Random, done: Counter[str]
    ) -> list[str]:
        """Disturb, finish, and name the files that are not as expected."""
        (self.folder / name).mkdir()
        with tmpfs(self.folder / name) as resize:
            place = self.place(name)
            for _ in range(DISTURBANCES_A_ROUND):
                what = chance.choice(("whb killed", "build killed", "disk full"))
                moment = chance.uniform(0, expected.seconds)
                if what == "disk full":
                    fill_up(place, resize, chance)
                else:
                    kill(place, moment, chance, build=what == "build killed")
                require_nothing_alive(place)
                done[what] += 1
            finish(place)
            found = state(place / "wheelhouse")
        shutil.rmtree(place)
        same = {path: digest for path, digest in expected.files.items() if path not in varying}
        missing = expected.files.keys() ^ found.keys()
        return sorted(missing | {path for path, digest in same.items() if found.get(path) != digest})


def start(place: Path) -> subprocess.Popen[bytes]:
    """A refresh in a process group of its own."""
    argv = [sys.executable, "-m", "wheelhouse_builder", "refresh", "--retry", "-q"]
    environ = {**os.environ, "WHB_CACHE_DIR": str(place / "cache")}
    with (place.parent / f"{place.name}.log").open("ab") as log:
        return subprocess.Popen(argv, cwd=place, env=environ, stdout=log, stderr=log, start_new_session=True)


def finish(place: Path) -> None:
    """Refresh; exits if something fails."""
    if start(place).wait():
        raise SystemExit((place.parent / f"{place.name}.log").read_text(encoding="utf-8"))


def kill(place: Path, moment: float, chance: random.Random, *, build: bool) -> None:
    """Start a refresh and kill it, or a process group under it, after so many seconds."""
    process = start(place)
    with suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    if not build:
        process.kill()
    elif groups := sorted({group_of(pid) for pid in descendants(process.pid)} - {0, process.pid}):
        with suppress(ProcessLookupError):
            os.killpg(chance.choice(groups), signal.SIGKILL)
    process.wait()


def descendants(pid: int) -> set[int]:
    """The processes that it started, and those that these started."""
    parents: dict[int, int] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(file.parent.name)] = int(file.read_text().rpartition(")")[2].split()[1])
    found, new = set[int](), {pid}
    while new := {child for child, parent in parents.items() if parent in new} - found:
        found |= new
    return found


def group_of(pid: int) -> int:
    """The process group, 0 for a process that is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def fill_up(place: Path, resize: Callable[[int], None], chance: random.Random) -> None:
    """Refresh with little room left, then make room again."""
    used = shutil.disk_usage(place).used
    resize(used + int((64 << 10) * 2 ** chance.uniform(0, 10)))
    start(place).wait()
    resize(_ROOMY)


class tmpfs:  # noqa: N801 - used as a function
    """A file system in memory at a folder, as a context manager; gives the function that changes its size."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Callable[[int], None]:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_ROOMY}", "tmpfs", self.folder], check=True)
        return self.resize

    def __exit__(self, *exception: object) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True)

    def resize(self, size: int) -> None:
        """Give it so many bytes, in whole pages."""
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)


def require_nothing_alive(place: Path) -> None:
    """Fail if a process still works in a folder some time after it was left."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while alive := [pid for pid in Path("/proc").iterdir() if pid.name.isdecimal() and works_in(pid, place)]:
        if time.monotonic() > deadline:
            raise SystemExit(f"{place}: {', '.join((pid / 'cmdline').read_text() for pid in alive)} lives on")
        time.sleep(0.05)


def works_in(pid: Path, place: Path) -> bool:
    """Whether a process stands in the folder."""
    try:
        return (pid / "cwd").resolve().is_relative_to(place)
    except OSError:
        return False


def state(wheelhouse: Path) -> dict[str, str]:
    """Everything that a client of the wheelhouse sees, by path."""
    tops = [path for path in wheelhouse.iterdir() if path.name != ".whb"] + [wheelhouse / ".whb" / "current"]
    paths = [
        Path(folder, name) for top in tops for folder, _, names in os.walk(top, followlinks=True) for name in names
    ]
    paths += [top for top in tops if top.is_file()]
    return {str(path.relative_to(wheelhouse)): hashlib.sha256(plain(path)).hexdigest() for path in paths}


def plain(path: Path) -> bytes:
    """The content without times, unpacked."""
    content = path.read_bytes()
    if path.suffix == ".whl":
        return content
    unpack = {".gz": gzip.decompress, ".zst": zstd.decompress}.get(path.suffix, bytes)
    return _TIME.sub(b"TIME", unpack(content))
