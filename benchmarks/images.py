"""One small image built three ways: with gcc in one stage, in two stages, from a wheelhouse without a compiler.

    python -m benchmarks.images measure [--work DIR] [--base NAME:{arch}] [--rounds N] >docs/images/three-ways.json
    python -m benchmarks.images show docs/images/three-ways.json docs/images/three-ways.svg

From the root of the repository; needs docker with BuildKit, and what `scripts/test` sets up. `show` prints the table of
docs/explanation/images.md and draws the plot. The image is benchmarks/app: cffi, from its sdist in all three ways.

Seconds are of the clock. *cold*: nothing built, no layer cached; of the wheelhouse, `whb build` is part of it, with its
toolchains at hand, as the base image is. *requirements*: requirements.txt has changed. *program*: app.py has. Packages
of Python come from a folder in all three, so no download of theirs is measured; those of Alpine come from its mirror.
Where none answers, one is made that offers zig (that of scripts/musllinux-images) as gcc, musl-dev and libffi-dev.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bars import Panel, chart
from tests.integration.docker import docker
from wheelhouse_builder.engines.cross.libraries import library_prefix
from wheelhouse_builder.engines.cross.zig import ensure_zig, zig_version
from wheelhouse_builder.recipes.store import load_library
from wheelhouse_builder.settings import default_cache
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

REPOSITORY = Path(__file__).parents[1]
APP = REPOSITORY / "benchmarks/app"
ONE, MULTI, WHEELHOUSE = "gcc in one stage", "multi-stage", "wheelhouse"
DOCKERFILES = {
    ONE: APP / "one-stage.Dockerfile",
    MULTI: APP / "multi-stage.Dockerfile",
    WHEELHOUSE: REPOSITORY / "docker/runtime/Dockerfile",
}
CHANGES = {"requirements": "requirements.txt", "program": "app.py"}
TIMES = ("cold", *CHANGES)
COUNT = "apk info -q | wc -l; python3 -c 'import importlib.metadata as m; print(len(list(m.distributions())))'"
# What of zig is for other systems than Linux with musl.
FOREIGN = ("mingw", "darwin", "wasi", "freebsd", "netbsd", "openbsd", "glibc")
FOREIGN_HEADERS = ("*windows*", "*darwin*", "*bsd*", "*wasi*", "*glibc*", "*gnu*")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where things are."""

    work: Path
    cache: Path
    base: str  # with {arch}
    mirror: bool  # whether one of Alpine's answers

    def image(self, arch: Arch) -> str:
        """The base image."""
        return self.base.format(arch=arch.docker)

    def context(self, way: str, arch: Arch) -> Path:
        """What docker is sent."""
        return self.work / f"{way.replace(' ', '-')}-{arch.docker}"


def prepare(bench: Bench) -> None:
    """Sources, contexts, what stands in for gcc; and one build by whb, so that its libraries are there."""
    sources = bench.work / "sources"
    sources.mkdir(exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(sources)]
    subprocess.run([*pip, "--no-binary", "cffi", "-r", str(APP / "requirements.txt")], check=True)
    subprocess.run([*pip, "setuptools", "pycparser"], check=True)
    for arch in Arch:
        for way in DOCKERFILES:
            context = bench.context(way, arch)
            shutil.rmtree(context, ignore_errors=True)
            shutil.copytree(APP, context)
        whb(bench, arch)
        for way in (ONE, MULTI):
            shutil.copytree(sources, bench.context(way, arch) / "sources")
            (bench.context(way, arch) / "mirror").mkdir()
            if not bench.mirror:
                for path in stand_in(bench, arch).iterdir():
                    shutil.copy(path, bench.context(way, arch) / "mirror")


def has_mirror(image: str) -> bool:
    """Whether Alpine's packages can be had."""
    done = docker("run", "--rm", image, "timeout", "60", "apk", "add", "--no-cache", "--simulate", "gcc", check=False)
    return done.returncode == 0


def stand_in(bench: Bench, arch: Arch) -> Path:
    """A folder that apk takes packages from: one with zig, which is gcc, and libffi. Made once."""
    mirror, root = bench.work / f"mirror-{arch.docker}", bench.work / f"root-{arch.docker}"
    if mirror.exists():
        return mirror
    shutil.rmtree(root, ignore_errors=True)
    for name in ("opt", "usr/local/bin", "usr/local/lib", "usr/include"):
        (root / name).mkdir(parents=True)
    container = docker("create", f"whb-test/musllinux_1_2:{arch.docker}").stdout.strip()
    docker("cp", f"{container}:/opt/zig", str(root / "opt/zig"))
    docker("cp", f"{container}:/usr/local/bin/gcc", str(root / "usr/local/bin/gcc"))
    docker("rm", container)
    libc = root / "opt/zig/lib/libc"
    headers = [path for pattern in FOREIGN_HEADERS for path in (libc / "include").glob(pattern)]
    for path in {libc / name for name in FOREIGN}.union(headers):
        shutil.rmtree(path)
    prefix = library_prefix(load_library("libffi"), ensure_zig(arch, bench.cache), bench.cache)
    shutil.copytree(prefix / "include", root / "usr/include/ffi")
    shutil.copy(prefix / "lib/libffi.a", root / "usr/local/lib")
    return _packed(bench, arch, root, mirror)


def _packed(bench: Bench, arch: Arch, root: Path, mirror: Path) -> Path:
    """As a package and its index, which Alpine's own apk makes: natively, for either architecture."""
    scratch = mirror.with_suffix(".new")
    scratch.mkdir(exist_ok=True)
    version = f"{zig_version()}-r0"
    told = {"name": "gcc", "version": version, "arch": str(arch), "description": "zig in place of gcc"}
    info = " ".join(f"--info '{key}:{value}'" for key, value in told.items())
    info += f" --info 'provides:musl-dev={version} libffi-dev={version}'"
    package = f"{scratch}/gcc-{version}.apk"
    script = f"apk mkpkg --compression deflate:1 --files {root} {info} --output {package}; "
    script += f"apk mkndx --allow-untrusted --output {scratch}/Packages.adb {package}"
    here = next(each for each in Arch if each == os.uname().machine)
    docker(
        "run", "--rm", "--network", "none", "-v", f"{bench.work}:{bench.work}", bench.image(here), "sh", "-ec", script
    )
    (scratch / "repositories").write_text("/mirror/Packages.adb\n", encoding="utf-8")
    return scratch.rename(mirror)


def whb(bench: Bench, arch: Arch, *, again: bool = False) -> float:
    """Fill the wheelhouse of the image; seconds. `again`: what is built already may be taken."""
    context = bench.context(WHEELHOUSE, arch)
    if not again:
        shutil.rmtree(context / "wheelhouse", ignore_errors=True)
        stamp = f'[packages.cffi.environment]\nBENCHMARK = "{time.time_ns()}"\n'  # part of the build key
        (context / "whb.toml").write_text(stamp, encoding="utf-8")
    argv = [sys.executable, "-m", "wheelhouse_builder", "build", "requirements.txt", "--no-binary", "cffi", "-q"]
    argv += ["--python", "3.12", "--arch", arch.docker]
    environ = {**os.environ, "WHB_CACHE_DIR": str(bench.cache), "WHB_VERIFY_ENGINE": "off"}
    started = time.monotonic()
    subprocess.run(argv, cwd=context, env=environ, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def build(bench: Bench, way: str, arch: Arch, *options: str) -> float:
    """Build the image; seconds."""
    argv = ["build", "--quiet", "--platform", f"linux/{arch.docker}", "--build-arg", f"BASE={bench.image(arch)}"]
    if way == WHEELHOUSE or not bench.mirror:
        argv += ["--network", "none"]
    if way != WHEELHOUSE and not bench.mirror:
        argv += ["--build-arg", "APK=--allow-untrusted --repositories-file /mirror/repositories"]
    context = bench.context(way, arch)
    argv += ["--tag", tag(way, arch), "--file", str(DOCKERFILES[way]), *options, str(context)]
    started = time.monotonic()
    docker(*argv)
    return time.monotonic() - started


def tag(way: str, arch: Arch) -> str:
    """The name of the image that is built."""
    return f"whb-test/{way.replace(' ', '-')}:{arch.docker}"


def times(bench: Bench, way: str, arch: Arch) -> dict[str, float]:
    """Seconds of one build with nothing there, and of one after each change."""
    cold = whb(bench, arch) if way == WHEELHOUSE else 0.0
    found = {"cold": cold + build(bench, way, arch, "--no-cache")}
    for change, name in CHANGES.items():
        with (bench.context(way, arch) / name).open("a", encoding="utf-8") as stream:
            stream.write(f"# {time.time_ns()}\n")
        before = whb(bench, arch, again=True) if way == WHEELHOUSE and change == "requirements" else 0.0
        found[change] = before + build(bench, way, arch)
    return found


def content(image: str, arch: Arch) -> dict[str, int]:
    """Bytes and packages of an image."""
    size = docker("image", "inspect", "--format", "{{.Size}}", image).stdout
    run = ("run", "--rm", "--network", "none", "--platform", f"linux/{arch.docker}", image, "sh", "-ec", COUNT)
    apk, python = docker(*run).stdout.split()
    return {"bytes": int(size), "apk": int(apk), "python": int(python)}


def measure(bench: Bench, rounds: int) -> dict[str, Any]:
    """All of it, as a document; every image is run."""
    prepare(bench)
    taken: dict[tuple[str, Arch], list[dict[str, float]]] = defaultdict(list)
    loads = []
    for number in range(rounds):
        for arch in Arch:
            for way in DOCKERFILES:
                taken[way, arch].append(times(bench, way, arch))
                loads.append(round(os.getloadavg()[0], 1))
                print(number, arch.docker, way, taken[way, arch][-1], loads[-1], file=sys.stderr, flush=True)
    images = []
    for (way, arch), found in taken.items():
        run = ("run", "--rm", "--network", "none", "--platform", f"linux/{arch.docker}", tag(way, arch))
        assert docker(*run).stdout == "ok\n"
        seconds = {name: round(statistics.median(each[name] for each in found), 1) for name in TIMES}
        images.append({"way": way, "arch": arch.docker, **content(tag(way, arch), arch), "seconds": seconds})
    return {
        "date": datetime.now(tz=UTC).date().isoformat(),
        "compiler": "gcc" if bench.mirror else f"zig {zig_version()}",
        "rounds": rounds,
        "load": {"least": min(loads), "most": max(loads)},
        "bases": {arch.docker: content(bench.image(arch), arch) for arch in Arch},
        "images": images,
    }


def table(document: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = ["| image | MB | over the base | cold | requirements | program | Alpine packages | Python packages |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for arch, base in document["bases"].items():
        cells = [_megabytes(base["bytes"]), "", "", "", "", base["apk"], base["python"]]
        lines.append(_row(f"base, {arch}", cells))
        for image in document["images"]:
            if image["arch"] == arch:
                cells = [_megabytes(image["bytes"]), _megabytes(image["bytes"] - base["bytes"])]
                cells += [f"{image['seconds'][name]:.1f} s" for name in TIMES] + [image["apk"], image["python"]]
                lines.append(_row(f"{named(image['way'], document)}, {arch}", cells))
    return "\n".join(lines)


def _row(name: str, cells: Iterable[object]) -> str:
    return f"| {name} | {' | '.join(map(str, cells))} |"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}"


def named(way: str, document: Mapping[str, Any]) -> str:
    """The way, with the compiler that was there."""
    return way.replace("gcc", document["compiler"])


def plot(document: Mapping[str, Any]) -> str:
    """SVG."""
    archs = list(document["bases"])

    def values(pick: str) -> dict[str, Sequence[float]]:
        found: dict[str, Sequence[float]] = {"the base": _bases(document)} if pick == "bytes" else {}
        for way in DOCKERFILES:
            of_way = {image["arch"]: image for image in document["images"] if image["way"] == way}
            cells = [of_way[arch] for arch in archs]
            found[named(way, document)] = [
                image["bytes"] / 1e6 if pick == "bytes" else image["seconds"][pick] for image in cells
            ]
        return found

    panels = [
        Panel("size of the image, MB", values("bytes")),
        Panel("build with nothing cached, seconds", values("cold"), 1),
        Panel("build after a change of requirements.txt, seconds", values("requirements"), 1),
    ]
    described = f"{'; '.join(panel.title for panel in panels)}: the figures of the table in docs/explanation/images.md"
    return chart("One image built three ways", described, archs, panels)


def _bases(document: Mapping[str, Any]) -> list[float]:
    return [base["bytes"] / 1e6 for base in document["bases"].values()]


def main() -> None:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure", help="print JSON")
    measuring.add_argument("--work", type=Path, default=Path(".test/images"))
    measuring.add_argument("--base", default="whb-test/python:3.12-alpine-{arch}")
    measuring.add_argument("--rounds", type=int, default=1)
    showing = commands.add_parser("show", help="print the table, write the plot")
    showing.add_argument("document", type=Path)
    showing.add_argument("svg", type=Path)
    options = parser.parse_args()
    if options.command == "show":
        document = json.loads(options.document.read_text(encoding="utf-8"))
        print(table(document))
        options.svg.write_text(plot(document), encoding="utf-8")
        return
    work, cache = options.work.absolute(), Path(os.environ.get("WHB_CACHE_DIR", default_cache())).absolute()
    work.mkdir(parents=True, exist_ok=True)
    mirror = has_mirror(options.base.format(arch=next(iter(Arch)).docker))
    print(
        json.dumps(measure(Bench(work=work, cache=cache, base=options.base, mirror=mirror), options.rounds), indent=2)
    )


if __name__ == "__main__":
    main()
