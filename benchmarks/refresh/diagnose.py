"""What it takes to find in a log of 50 MB why the build failed, by where the line is that decides."""

from __future__ import annotations

import itertools
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.diagnose.diagnosis import diagnose
from wheelhouse_builder.diagnose.rules import rules

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

SIZE = 50_000_000
FAILURE = b"/usr/bin/ld: cannot find -lssl: No such file or directory\n"
EXPECTED = dict.fromkeys(("at the end", "in the middle", "at the start"), "library-not-linked")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("--rounds", type=int, default=5)


def measure(options: argparse.Namespace) -> None:
    """Print the median time for each log, and the most memory that the process had."""
    noise, unlike = log_of(build_lines(random.Random(1))), log_of(unlike_lines(random.Random(1)))
    half = noise.index(b"\n", SIZE // 2) + 1
    logs = {
        "at the end": noise + FAILURE,
        "in the middle": noise[:half] + FAILURE + noise[half:],
        "at the start": FAILURE + noise,
        "nowhere": noise,
        "nowhere, no two lines alike": unlike,
    }
    print(f"{len(rules())} rules, {len({word for rule in rules() for word in rule.words})} words")
    with tempfile.TemporaryDirectory(prefix="whb-diagnose-") as scratch:
        for name, content in logs.items():
            log = Path(scratch, "build.log")
            log.write_bytes(content)
            times = [timed(log, EXPECTED.get(name, "")) for _ in range(options.rounds)]
            wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
            print(f"{name}: {len(content) / 1e6:.0f} MB in {wall:.3f} s ({cpu:.3f} s of a processor)")
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB, the logs among it")


def timed(log: Path, expected: str) -> tuple[float, float]:
    """The seconds of one diagnosis, on the wall and of a processor."""
    started, worked = time.perf_counter(), time.process_time()
    with log.open("rb") as stream:
        diagnosis = diagnose(stream)
    seconds = time.perf_counter() - started, time.process_time() - worked
    assert diagnosis.rule == expected, diagnosis
    return seconds


def log_of(lines: Iterator[bytes]) -> bytes:
    """Lines for `SIZE` bytes."""
    log = bytearray()
    while len(log) < SIZE:
        log += next(lines)
    return bytes(log)


def build_lines(chance: random.Random) -> Iterator[bytes]:
    """What a build says that compiles 3,000 files again and again: commands, warnings, answers of a configure."""
    names = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz_", k=chance.randint(4, 14))) for _ in range(3000)]
    for number in itertools.count():
        name, other = names[number % 3000], names[number * 7 % 3000]
        flags = f"-Wsign-compare -fstack-protector-strong -I/usr/include/python3.12 -Iinclude/{name} -DNDEBUG"
        output = f"build/temp.linux-aarch64-cpython-312/src/{name}.o"
        yield f"[{number}/400000] cc {flags} -c src/{name}.c -o {output}\n".encode()
        if number % 4 == 0:
            yield f"src/{name}.c:{number % 4000}:12: warning: unused variable '{other}' [-Wunused-variable]\n".encode()
            yield f"{number % 4000:5} |     int {other} = compute(values, {number});\n      |         ^~~~\n".encode()
        if number % 50 == 0:
            yield f"checking for {name}... no\n".encode()


def unlike_lines(chance: random.Random) -> Iterator[bytes]:
    """Words at random, the worst case."""
    while True:
        yield " ".join("".join(chance.choices("abcdefghijklmnop", k=7)) for _ in range(12)).encode() + b"\n"
