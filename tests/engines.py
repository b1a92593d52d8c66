"""An engine for tests: it compiles nothing and hands out wheels that it makes up."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name, parse_sdist_filename

from tests.elf import MACHINES, make_elf
from tests.wheels import ANY, make_wheel
from wheelhouse_builder.artifact import Sdist, SourceTree
from wheelhouse_builder.engines.base import RawWheel, Work
from wheelhouse_builder.repair.canonical import canonicalise
from wheelhouse_builder.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from wheelhouse_builder.artifact import Source
    from wheelhouse_builder.process import Canceller
    from wheelhouse_builder.target import Target

BUILD_LOCK = "setuptools==80 --hash=sha256:00\n"


def work_on(tree: Path, target: Target, **more: Any) -> Work:
    """Work for an engine on a local project; `more` are its fields, `scratch` and `log` among them."""
    source = SourceTree(name=canonicalize_name("demo"), version=None, path=str(tree), digest="")
    return Work(source=source, target=target, tree=tree, epoch=0, phase=lambda _: None, **more)


def own_abi(target: Target) -> str:
    """The tag of an extension for one Python."""
    minor = f"cp3{target.python[1]}"
    return f"{minor}-{minor}-{target.platform_tag}"


def abi3(target: Target) -> str:
    """The tag of an extension for this Python and those after it."""
    return f"cp3{target.python[1]}-abi3-{target.platform_tag}"


def pure(_: Target) -> str:
    """The tag of Python code."""
    return ANY


def extension(target: Target, *, symbol: str = "PyLong_FromLong") -> bytes:
    """An extension module that calls `symbol`."""
    machine = MACHINES[target.arch]
    return make_elf(machine=machine, needed=(target.libc_soname,), undefined=(symbol,), exported=("PyInit_demo",))


@dataclass(kw_only=True)
class FakeEngine:
    """Satisfies `engines.base.Engine`. `built` tells what was asked of it."""

    tag: Callable[[Target], str] = own_abi
    symbol: str = "PyLong_FromLong"  # what the extension calls
    revision: str = "1"
    version: str | None = None  # of the wheels, if not that of the source
    fails: Callable[[Work], None] = lambda _: None  # may raise
    at_once: bool = False  # it builds for the siblings, too
    built: list[Work] = field(default_factory=list)
    name: str = "fake"
    strategy: Strategy = Strategy.CROSS

    def fingerprints(self, source: Source, target: Target) -> tuple[Mapping[str, str], ...]:
        return ({"revision": self.revision},)

    def why_not(self, source: Source, target: Target) -> str:
        return ""

    def build(self, work: Work) -> RawWheel:
        self.built.append(work)
        with work.log.open("a") as log:
            log.write(f"building {work.source.name} in {work.tree.name}\n")
        work.settled(work.build_lock or BUILD_LOCK)
        self.fails(work)
        raw = self._build(work)
        if not self.at_once:
            return raw
        others = {
            target: self._build(replace(work, target=target, build_lock=lock)) for target, lock in work.siblings.items()
        }
        return replace(raw, siblings=others)

    def _build(self, work: Work) -> RawWheel:
        files = {"demo.py": f"# revision {self.revision}\n".encode()}
        if (tag := self.tag(work.target)) != ANY:
            files["demo.so"] = extension(work.target, symbol=self.symbol)
        version = self.version or str(work.source.version)
        wheel = make_wheel(work.scratch, name=work.source.name, version=version, tag=tag, files=files)
        return RawWheel(
            path=wheel,
            library_dirs=(),
            build_lock=work.build_lock or BUILD_LOCK,
            fingerprint={"revision": self.revision},
        )

    @property
    def targets(self) -> list[Target]:
        """What it built for."""
        return [work.target for work in self.built]


def repair_nothing(
    raw: Path,
    target: Target,
    *,
    library_dirs: Sequence[Path],
    source_tree: Path,
    scratch: Path,
    epoch: int,
    log: Path,
    canceller: Canceller | None = None,
) -> Path:
    """In the place of `repair`, which runs patchelf and auditwheel: the wheels of the fake engine need none."""
    out = scratch / "repaired"
    out.mkdir()
    return canonicalise(raw, out, epoch=epoch)


def as_sdist(archive: Path) -> Sdist:
    """An archive on this disk, as a lock would name it."""
    name, version = parse_sdist_filename(archive.name)
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    return Sdist(name=name, version=version, filename=archive.name, url=archive.as_uri(), sha256=sha256)
