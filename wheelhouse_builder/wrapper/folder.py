"""A wheelhouse in a folder, as `wheelhouse_builder.wrapper.stored` asks it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import DamagedError, DownloadError

if TYPE_CHECKING:
    from pathlib import Path

    from wheelhouse_builder.wrapper.offers import Offer

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Folder:
    """The index in `simple/`, the wheels flat on top. A folder that is not there holds nothing."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def page(self, name: str) -> tuple[bytes, str] | None:
        """The JSON page of a project; its URLs are not used."""
        path = self.path / "simple" / name / "index.v1_json"
        try:
            return path.read_bytes(), ""
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DownloadError(f"cannot read {path}: {error.strerror}") from None

    def copy(self, offer: Offer, path: Path) -> str:
        """Copy a wheel; returns its sha256."""
        wheel = self.path / offer.filename
        digest = hashlib.sha256()
        try:
            source = wheel.open("rb")
        except FileNotFoundError:
            hint = f"`whb index -w {self.path}` makes the index anew"
            raise DamagedError(f"{wheel} is not there, and the index names it", hint=hint) from None
        except OSError as error:
            raise DownloadError(f"cannot read {wheel}: {error.strerror}") from None
        with source, path.open("xb") as copy:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                copy.write(chunk)
        return digest.hexdigest()
