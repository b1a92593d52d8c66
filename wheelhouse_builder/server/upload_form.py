"""The form of an upload, read as it comes: the file goes to the disk, the few fields that count are kept, limits hold.

Starlette's form parser spools to $TMPDIR, which in a container with a read-only root is memory; this one writes where
the wheelhouse is. Sources: the package index's legacy upload API (`:action=file_upload`), what twine 7
(`repository.py`) and uv 0.13 (`uv-publish`) send, RFC 7578.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from wheelhouse_builder.files import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from python_multipart.multipart import MultipartCallbacks

MAX_OTHER_BYTES = 16 << 20  # all but the file: METADATA comes once more, as fields, with the README in it
_MAX_PARTS = 10_000
_MAX_VALUE_BYTES = 1024
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it warns of each malformed form; the client is told
_KEPT = frozenset({":action", "protocol_version", "filetype", "name", "version", "sha256_digest"})


class Refused(Exception):  # noqa: N818 - an answer, like Starlette's HTTPException
    """The request is not granted: what is said to the client, in one line of plain text."""

    def __init__(self, status: int, text: str, *, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.retry_after = retry_after  # seconds


@dataclass(frozen=True, kw_only=True)
class Form:
    """What was sent beside the content of the file."""

    fields: Mapping[str, str]  # those that count
    filename: str
    sha256: str  # of what was received, hexadecimal


async def read_form(content_type: str, body: AsyncIterable[bytes], path: Path, *, max_bytes: int) -> Form:
    """Read a `multipart/form-data` body; its part `content` is written to the new file `path`.

    Raises `Refused` (400 for what is no such form, 413 for a file of more than `max_bytes`), `OSError` of the disk, and
    whatever `body` raises.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Refused(400, "this is no upload: send multipart/form-data, as twine upload and uv publish do")
    reader = _Reader(max_bytes)
    digest = hashlib.sha256()
    with path.open("xb") as file:
        try:
            parser = MultipartParser(options[b"boundary"], reader.callbacks())
            async for chunk in body:
                parser.write(chunk)
                reader.received += len(chunk)
                reader.require_limits()
                if len(reader.content) >= CHUNK_BYTES:
                    await asyncio.to_thread(_write, file, digest, reader.take())
        except FormParserError as error:
            raise Refused(400, f"the form is malformed: {error}") from None
        await asyncio.to_thread(_write, file, digest, reader.take())
    if not reader.complete:
        raise Refused(400, "the form is cut off: its last boundary is missing")
    if reader.filename is None:
        raise Refused(400, "the form has no file: the part content is missing")
    return Form(fields=reader.fields, filename=reader.filename, sha256=digest.hexdigest())


def _write(file: BinaryIO, digest: hashlib._Hash, data: bytearray) -> None:
    file.write(data)
    digest.update(data)


class _Reader:
    """The state between two chunks: which part is being read, and what was kept of those before."""

    def __init__(self, max_bytes: int) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.content = bytearray()  # of the file, not written yet
        self.received = 0  # bytes of the whole body
        self.complete = False
        self._max_bytes = max_bytes
        self._file_bytes = 0
        self._parts = 0
        self._header, self._disposition = bytearray(), bytearray()
        self._name = ""
        self._value = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls."""
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_begin": self._header.clear,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def take(self) -> bytearray:
        """The content that is to be written now."""
        content, self.content = self.content, bytearray()
        return content

    def require_limits(self) -> None:
        """Raise `Refused` for more than an honest upload has."""
        if self._file_bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        if self.received - self._file_bytes > MAX_OTHER_BYTES:
            raise Refused(413, f"the fields of the form have more than {MAX_OTHER_BYTES >> 20} MiB")
        if self._parts > _MAX_PARTS:
            raise Refused(413, f"the form has more than {_MAX_PARTS} fields")

    def _on_part_begin(self) -> None:
        self._parts += 1
        self._disposition.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition += data[start:end]

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(bytes(self._disposition))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._value.clear()
        if self._name == "content":
            if self.filename is not None or b"filename" not in options:
                raise Refused(400, "the form has to have one part content, a file with its name")
            self.filename = options[b"filename"].decode("utf-8", "replace")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == "content":
            self.content += data[start:end]
            self._file_bytes += end - start
        elif self._name in _KEPT:
            self._value += data[start:end]
            if len(self._value) > _MAX_VALUE_BYTES:
                raise Refused(400, f"the field {self._name} has more than {_MAX_VALUE_BYTES} bytes")

    def _on_part_end(self) -> None:
        if self._name in _KEPT:
            if self._name in self.fields:
                raise Refused(400, f"the field {self._name} is given twice")
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self.complete = True


def too_large(max_bytes: int) -> Refused:
    """What a client is told whose file is over the limit."""
    return Refused(413, f"the file is larger than {max_bytes} bytes, the limit of this server ([serve] max-upload)")
