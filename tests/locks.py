"""Locks and requirements for tests."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from packaging.pylock import Pylock

from wheelhouse_builder.requirements.read import read_requirements
from wheelhouse_builder.resolve.lock import Lock
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.requirements.model import RequirementSet

TARGET = Target.parse("cp312-musllinux_1_2_aarch64")


def digest(letter: str) -> str:
    return letter * 64


def file(name: str, letter: str) -> str:
    return f'{{ url = "https://host/files/{name}", hashes = {{ sha256 = "{digest(letter)}" }} }}'


SDIST = f"sdist = {file('cffi-2.1.1.tar.gz', 'a')}"
MUSL = file("cffi-2.1.1-cp312-cp312-musllinux_1_2_aarch64.whl", "b")
OLD_MUSL = file("cffi-2.1.1-cp312-cp312-musllinux_1_1_aarch64.whl", "c")
GLIBC = file("cffi-2.1.1-cp312-cp312-manylinux_2_28_aarch64.whl", "d")
LINUX = file("cffi-2.1.1-cp312-cp312-linux_aarch64.whl", "e")
PURE = file("cffi-2.1.1-py3-none-any.whl", "f")


def lock(*packages: str) -> Lock:
    """A lock with packages that are called cffi unless they say otherwise."""
    cffi = 'name = "cffi"\nversion = "2.1.1"\n'
    blocks = ["[[packages]]\n" + (text if text.startswith("name =") else cffi + text) for text in packages]
    text = 'lock-version = "1.0"\ncreated-by = "test"\n' + "\n".join(blocks)
    return Lock(target=TARGET, pylock=Pylock.from_dict(tomllib.loads(text)))


def wheels(*files: str) -> str:
    return f"wheels = [{', '.join(files)}]"


def ask(tmp_path: Path, text: str) -> RequirementSet:
    (tmp_path / "requirements.txt").write_text(text)
    return read_requirements([tmp_path / "requirements.txt"])
