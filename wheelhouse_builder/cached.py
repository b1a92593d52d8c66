"""Answers of slow questions, kept on disk for as long as the file that they are about is the same.

`whb build` with nothing to do must start no subprocess, so what `rustc -vV` or a Python said is remembered.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that readers see the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def mark_cache(cache: Path) -> None:
    """Make the cache folder, with the tag that tells backup programs to leave it out (Cache Directory Tagging, 0.6)."""
    tag = cache / "CACHEDIR.TAG"
    if not tag.exists():
        write_atomically(tag, b"Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of whb.\n")


def answer_about(program: Path, question: str, cache: Path, ask: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What `ask()` says of `program`, asked again only when the program changed. `question` tells answers apart."""
    real = program.resolve()
    stat = real.stat()
    identity = f"{program}\0{real}\0{stat.st_size}\0{stat.st_mtime_ns}\0{question}"
    kept = cache / "answers" / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"
    try:
        answer: dict[str, str] = json.loads(kept.read_bytes())
    except (FileNotFoundError, ValueError):
        answer = ask()
        write_atomically(kept, json.dumps(answer, indent=1).encode())
    return answer
