"""Ten minutes of everything at once against `whb serve`: readers, new generations and roll-backs every second, slow
clients, clients that hang up.

    python -m benchmarks.load [--minutes 10] [--server uvicorn|granian]

From the root of the repository. Each answer is checked: whole (its length), what it says it is (an ETag is the hash of
the body), and of one generation (the same page of the same generation never has two contents). Memory and descriptors
of the server are read from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import hashlib
import itertools
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from backports import zstd
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.integration.serve import whb_serve
from tests.wheels import make_wheel
from wheelhouse_builder.wheelhouse.generations import publish, roll_back
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of
from wheelhouse_builder.wheelhouse.yanking import yank

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PROJECTS, READERS, SLOW, ABORTING, SILENT = 60, 8, 4, 2, 50
BIG = "big-1.0-py3-none-any.whl"
BIG_BYTES = 24 << 20
ACCEPTS = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01",
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01",
    "text/html",
)
UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "zstd": zstd.decompress, "": bytes}


@dataclass
class Load:
    """What happened."""

    port: int
    deadline: float
    big: int  # bytes of the large wheel
    done: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    seen: dict[tuple[str, ...], str] = field(default_factory=dict)  # page of a generation in a form → its ETag

    def running(self) -> bool:
        """Whether the time is not over."""
        return time.monotonic() < self.deadline and len(self.errors) < 20


@dataclass(frozen=True)
class Answer:
    """One answer, its body decoded."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, **headers: str) -> Answer:
    """One request on a connection that stays."""
    lines = [f"GET {path} HTTP/1.1", "Host: x", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *fields = head.rstrip().split("\r\n")
    told = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    number = int(status.split()[1])
    body = b"" if number == 304 else await reader.readexactly(int(told["content-length"]))
    return Answer(number, told, body)


def judge(load: Load, path: str, answer: Answer) -> None:
    """Note what is wrong with an answer."""
    load.done[str(answer.status)] += 1
    if answer.status == 304:
        return
    if answer.status != 200:
        load.errors.append(f"{path}: {answer.status} {answer.body[:100]!r}")
        return
    coding = answer.headers.get("content-encoding", "")
    plain = UNPACK[coding](answer.body)
    if path.startswith("/simple/") and not plain.rstrip().endswith((b"</html>", b"}")):
        load.errors.append(f"{path}: cut off")
    page = (path, answer.headers.get("x-whb-generation", ""), answer.headers["content-type"], coding)
    known = load.seen.setdefault(page, answer.headers["etag"])
    if known != answer.headers["etag"]:
        load.errors.append(f"{page}: two contents, {known} and {answer.headers['etag']}")
    if path.endswith(".whl") and hashlib.sha256(plain).hexdigest() not in answer.headers["etag"]:
        load.errors.append(f"{path}: not the content that its ETag tells")


async def read(load: Load) -> None:
    """A client as pip and uv are: pages, conditional, in every form, and wheels."""
    reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
    known: dict[tuple[str, str, str], str] = {}
    while load.running():
        number = random.randrange(PROJECTS)
        path = random.choice(
            [f"/simple/project{number}/"] * 6 + ["/simple/", "/links/", f"/project{number}-1.0-py3-none-any.whl"]
        )
        accept, coding = random.choice(ACCEPTS), random.choice(["gzip", "zstd, gzip", "identity"])
        old = known.get((path, accept, coding))
        more = {"If_None_Match": old} if old and random.random() < 0.5 else {}
        answer = await ask(reader, writer, path, Accept=accept, Accept_Encoding=coding, **more)
        judge(load, path, answer)
        known[path, accept, coding] = answer.headers.get("etag", "")
        if answer.headers.get("connection") == "close":
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
    writer.close()


async def read_slowly(load: Load) -> None:
    """A client that takes a large wheel in small sips, to its end."""
    while load.running():
        reader, writer = await asyncio.open_connection("127.0.0.1", load.port, limit=1 << 14)
        writer.write(f"GET /{BIG} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        digest, size = hashlib.sha256(), 0
        while load.running() and (part := await reader.read(1 << 16)):
            digest.update(part)
            size += len(part)
            await asyncio.sleep(0.02)
        if load.running() and size != load.big:
            load.errors.append(f"slow download: {size} bytes of {load.big}")
        load.done["slow downloads"] += size == load.big
        writer.close()


async def hang_up(load: Load) -> None:
    """A client that begins a download and goes."""
    while load.running():
        reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
        writer.write(f"GET /{BIG} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.read(random.randrange(1, 1 << 18))
        writer.transport.abort()
        load.done["aborted"] += 1
        await asyncio.sleep(0.05)


async def say_nothing(load: Load) -> None:
    """A client that connects and waits until the server has enough of it."""
    while load.running():
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), max(0.1, load.deadline - time.monotonic()))
            writer.close()
        await asyncio.sleep(0.5)


async def guarded(load: Load, client: Callable[[Load], Awaitable[None]]) -> None:
    """Any client, whose end by an error is an error."""
    try:
        await client(load)
    except (OSError, EOFError, ValueError, KeyError) as error:
        load.errors.append(f"{client.__name__}: {type(error).__name__} {error}")


def fill(house: Wheelhouse, folder: Path) -> int:
    """Small projects and one large wheel, published; the size of that one in bytes."""
    with house.lock():
        for number in range(PROJECTS):
            for version in ("1.0", "2.0"):
                wheel = make_wheel(folder, name=f"project{number}", version=version)
                house.admit(wheel, record_of(wheel, origin="built"))
        big = make_wheel(folder, name="big", files={"big.bin": random.Random(1).randbytes(BIG_BYTES)})
        house.admit(big, record_of(big, origin="built"))
        publish(house, {})
        return big.stat().st_size


def swap(house: Wheelhouse, load: Load) -> None:
    """A new generation or a roll-back every second."""
    for turn in itertools.count():
        if not load.running():
            return
        try:
            with house.lock():
                name, version = canonicalize_name(f"project{turn // 2 % PROJECTS}"), Version("2.0")
                if turn % 5 == 4:
                    roll_back(house)
                    load.done["roll-backs"] += 1
                else:
                    yanked = any(w.yanked for w in house.wheels() if w.name == name)
                    yank(house, name, version, None if yanked else f"turn {turn}")
                    load.done["generations"] += 1
        except Exception as error:
            load.errors.append(f"publisher: {error!r}")
        time.sleep(1)


async def watch(load: Load, pid: int) -> None:
    """Memory and descriptors of the server, four times a minute."""
    proc = Path("/proc", str(pid))
    begun = time.monotonic()
    while load.running():
        status = (proc / "status").read_text(encoding="utf-8")
        rss = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
        files, answers = len(list((proc / "fd").iterdir())), load.done["200"] + load.done["304"]
        took = time.monotonic() - begun
        memory = f"{rss / 1024:6.1f} MiB {files:4} descriptors"
        print(f"{took:5.0f} s {memory} {answers:8} answers {len(load.errors)} errors")
        await asyncio.sleep(15)


async def everything(load: Load, pid: int) -> None:
    """All clients at once."""
    crowd = [(read, READERS), (read_slowly, SLOW), (hang_up, ABORTING), (say_nothing, SILENT)]
    clients = [guarded(load, client) for client, count in crowd for _ in range(count)]
    await asyncio.gather(*clients, watch(load, pid))


def main() -> int:
    """Run it; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--server", default="uvicorn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for name in ("wheels", "serve"):
            (work / name).mkdir()
        house = Wheelhouse(work / "house")
        big = fill(house, work / "wheels")
        with whb_serve(house.root, work / "serve", "--server", options.server) as server:
            load = Load(server.port, time.monotonic() + options.minutes * 60, big)
            publisher = threading.Thread(target=swap, args=(house, load))
            publisher.start()
            asyncio.run(everything(load, server.process.pid))
            publisher.join()
    print(", ".join(f"{count} {what}" for what, count in sorted(load.done.items())))
    print(f"{len(load.errors)} errors other than those aborted", *load.errors[:20], sep="\n  ")
    return bool(load.errors)


if __name__ == "__main__":
    sys.exit(main())
