"""How fast index servers answer, `whb serve` among them: project pages under load, and a large wheel.

    python -m benchmarks.serve [--work DIR] [--rounds 5] [--seconds 3]

From the root of the repository. 2,000 wheels: 200 projects, five versions, two architectures; each server on the first
core, wrk with eight connections on the second, every server once in each round, and downloads of the large wheel in
turn. Needs nginx, wrk, curl and taskset. Medians; what counts are the ratios, since the machine is noisy.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import statistics
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import peers
from tests.integration.web import free_port
from tests.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from benchmarks.peers import Bench

PROJECTS = 200
BIG = "big-1.0-py3-none-any.whl"
JSON = "application/vnd.pypi.simple.v1+json"
REQUIRES = tuple(f"requirement-{number}>=1.{number}" for number in range(6))
LUA = """\
local number = 0
request = function()
  number = (number + 1) % {projects}
  return wrk.format("GET", "{prefix}project-" .. number .. "/{suffix}", {{["Accept"] = "{accept}"}})
end
"""
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Sample:
    """One round of wrk."""

    rate: float  # requests per second
    p99: float  # milliseconds


def two_thousand_wheels(folder: Path) -> None:
    """As many as a company of some size has."""
    for number in range(PROJECTS):
        for version in range(5):
            for arch in ("x86_64", "aarch64"):
                tag = f"cp312-cp312-musllinux_1_2_{arch}"
                make_wheel(folder, name=f"project-{number}", version=f"1.{version}", tag=tag, requires=REQUIRES)


def with_a_large_one(folder: Path) -> None:
    """The same, and a wheel of 64 MiB."""
    two_thousand_wheels(folder)
    make_wheel(folder, name="big", files={"big.bin": random.Random(1).randbytes(64 << 20)})


@contextlib.contextmanager
def nginx_static(bench: Bench) -> Iterator[str]:
    """Files as they are: no choice of a form, no compression, no log."""
    port = free_port()
    site = f"server {{ listen {port}; root {bench.wheelhouse}; access_log off; sendfile on; tcp_nopush on; "
    site += f"keepalive_requests 100000000; types {{ text/html html; {JSON} v1_json; }} index index.html; }}"
    with peers.nginx(bench, port, site):
        yield f"http://127.0.0.1:{port}/simple/"


def whb(*options: str) -> Callable[[Bench], AbstractContextManager[str]]:
    """`whb serve` with these options; like nginx here, it writes no log."""
    return lambda bench: peers.whb_serve(bench, "--access-log", "off", *options)


BASE, WHB, GRANIAN = "nginx, static files", "whb serve", "whb serve --server granian"
SERVERS: dict[str, Callable[[Bench], AbstractContextManager[str]]] = {
    BASE: nginx_static,
    "nginx, as client-config prints it": peers.whb_nginx,
    WHB: whb(),
    GRANIAN: whb("--server", "granian"),
    "simple-repository-server": peers.simple_repository_server,
    "devpi-server": peers.devpi,
    "pypiserver": peers.pypiserver,
}
WITH_WHEEL = (BASE, WHB, GRANIAN)


def wrk(bench: Bench, url: str, accept: str, suffix: str, seconds: int) -> Sample:
    """Load on the project pages. Raises `AssertionError` when an answer was no page."""
    root, _, path = url.removeprefix("http://").partition("/")
    script = bench.work / "wrk.lua"
    script.write_text(LUA.format(projects=PROJECTS, prefix=f"/{path}", suffix=suffix, accept=accept), encoding="utf-8")
    argv = ("wrk", "-t1", "-c8", f"-d{seconds}s", "--latency", "-s", script, f"http://{root}/")
    told = bench.run("taskset", "-c", "1", *argv)
    assert "Non-2xx" not in told, told
    assert "Socket errors" not in told, told
    rate, p99 = re.search(r"Requests/sec:\s+([\d.]+)", told), re.search(r"99%\s+([\d.]+)(us|ms|s)", told)
    assert rate, told
    assert p99, told
    return Sample(float(rate[1]), float(p99[1]) * UNITS[p99[2]])


def download(bench: Bench, url: str) -> float:
    """Bytes a second of the large wheel."""
    wheel = f"{url.removesuffix('simple/')}{BIG}"
    argv = ("taskset", "-c", "1", "curl", "-sf", "-o", os.devnull, "-w", "%{speed_download}", wheel)
    return float(bench.run(*argv))


def main() -> None:
    """Measure all, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "whb-serve")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--downloads", type=int, default=5, help="of the large wheel, in each round")
    parser.add_argument("--only", action="append", choices=SERVERS)
    options = parser.parse_args()
    bench = peers.Bench(options.work, core=0)
    bench.work.mkdir(parents=True, exist_ok=True)
    bench.work.chmod(0o755)
    os.umask(0o022)
    peers.prepare(bench, with_a_large_one)
    pages: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    speeds: dict[str, list[float]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        urls = {name: stack.enter_context(SERVERS[name](bench)) for name in options.only or SERVERS}
        for _ in range(options.rounds):
            for name, url in urls.items():
                if name != "pypiserver":  # it has no JSON
                    suffix = "index.v1_json" if name == BASE else ""
                    pages["JSON", name].append(wrk(bench, url, JSON, suffix, options.seconds))
                pages["HTML", name].append(wrk(bench, url, "text/html", "", options.seconds))
            for _, name in product(range(options.downloads), filter(urls.get, WITH_WHEEL)):
                speeds[name].append(download(bench, urls[name]))
    show(pages, speeds)


def show(pages: Mapping[tuple[str, str], Sequence[Sample]], speeds: Mapping[str, Sequence[float]]) -> None:
    """Medians, and what part of nginx each is."""
    for form in ("JSON", "HTML"):
        print(f"\n| project pages as {form} | requests/s | of nginx | `whb serve` is | p99 ms |")
        print("| --- | ---: | ---: | ---: | ---: |")
        rates = {name: median(s.rate for s in samples) for (f, name), samples in pages.items() if f == form}
        for name, rate in rates.items():
            p99 = median(sample.p99 for sample in pages[form, name])
            print(f"| {name} | {rate:,.0f} | {rate / rates[BASE]:.2f} | {rates[WHB] / rate:.1f} x | {p99:.2f} |")
    print("\n| a wheel of 64 MiB | MB/s | of nginx |\n| --- | ---: | ---: |")
    for name, found in speeds.items():
        print(f"| {name} | {median(found) / 1e6:,.0f} | {median(found) / median(speeds[BASE]):.2f} |")


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(list(values))


if __name__ == "__main__":
    main()
