"""Answers of slow questions, kept on disk for as long as the file that they are about is the same.

`whb build` with nothing to do must start no subprocess, so what `rustc -vV` or a Python said is remembered.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from wheelhouse_builder.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
