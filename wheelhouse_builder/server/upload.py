"""Uploads: the legacy `file_upload` endpoint, which `twine upload` and `uv publish` speak.

A wheel comes into a folder of its own under `.whb/uploads`, on the file system of the wheelhouse; judging it, admitting
it and publishing happen in a worker thread, one wheel at a time. Who may publish is not decided here: only requests
that `access.Guard` let through arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import MachineError
from wheelhouse_builder.server.intake import LOCK_WAIT, require_claims, take_in
from wheelhouse_builder.server.replies import note, send_text
from wheelhouse_builder.server.upload_form import MAX_OTHER_BYTES, Refused, read_form, too_large

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import Receive, Scope, Send

MAX_BYTES = 1 << 30  # of a wheel
SILENCE_SECONDS = 60.0  # a client that sends nothing for so long is gone
LONGEST_SECONDS = 3600.0  # for one body
_AT_ONCE = 4  # bodies; more wait, which their clients see as a slow server
_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))

_log = logging.getLogger(__name__)


class Uploads:
    """The endpoint as an ASGI application, for the path `/legacy/`.

    `root` is the wheelhouse; `refresh` makes the server show the new generation, and is called in a worker thread.
    Answers are one line of plain text: what uv, and twine with --verbose, show to their users.
    """

    def __init__(
        self,
        root: Path,
        refresh: Callable[[], object],
        *,
        musl_floor: str,
        max_bytes: int = MAX_BYTES,
        lock_wait: float = LOCK_WAIT,
    ) -> None:
        """Raises `MachineError` when the wheelhouse cannot be written."""
        if not os.access(root, os.W_OK | os.X_OK):
            raise MachineError(f"{root} cannot be written, which uploads need", hint="serve without --upload")
        self._root = root
        self._refresh = refresh
        self._musl_floor = musl_floor
        self._max_bytes = max_bytes
        self._lock_wait = lock_wait
        self._receiving = asyncio.Semaphore(_AT_ONCE)
        self._judging = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one upload."""
        note(scope, route="upload")
        try:
            text = await self._take(scope, _Body(receive), scope["whb"].get("user"))
        except _GoneError:
            return
        except Refused as refused:
            await _refuse(scope, send, refused, refused.__cause__)
        except OSError as error:
            text = "the server cannot write what is sent; its log says why"
            await _refuse(scope, send, Refused(507, text), error)
        else:
            await send_text(scope, send, 200, text, _HEADERS)

    async def _take(self, scope: Scope, body: _Body, user: str | None) -> str:
        headers = dict(scope["headers"])
        if scope["method"] != "POST":
            raise Refused(405, "uploads come by POST: twine upload --repository-url, uv publish --publish-url")
        if b"origin" in headers:  # any page could send a form, with the password that a browser keeps
            raise Refused(403, "uploads come from twine and uv publish, not from a web page")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_bytes + MAX_OTHER_BYTES:
            raise too_large(self._max_bytes)
        async with self._receiving:
            with tempfile.TemporaryDirectory(dir=self._uploads(), ignore_cleanup_errors=True) as folder:
                content = Path(folder, "content")
                content_type = headers.get(b"content-type", b"").decode("latin-1")
                form = await read_form(content_type, body, content, max_bytes=self._max_bytes)
                require_claims(form)
                wheel = content.rename(Path(folder, form.filename))
                async with self._judging:
                    return await asyncio.to_thread(self._judge, wheel, user)

    def _uploads(self) -> Path:
        """The folder of those that are coming; what a killed server left is cleared away when it is old enough."""
        parent = self._root / ".whb" / "uploads"
        parent.mkdir(parents=True, exist_ok=True)
        for folder in parent.iterdir():
            with contextlib.suppress(FileNotFoundError):  # that upload has just ended
                if folder.stat().st_mtime < time.time() - 2 * LONGEST_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
        return parent

    def _judge(self, wheel: Path, user: str | None) -> str:
        text = take_in(wheel, self._root, user=user, musl_floor=self._musl_floor, lock_wait=self._lock_wait)
        self._refresh()
        return text


async def _refuse(scope: Scope, send: Send, refused: Refused, cause: BaseException | None) -> None:
    """Say no. The body may still be coming: uvicorn and Granian read it to its end, so clients do get the answer."""
    if refused.status >= 500:
        _log.warning("no upload: %s: %s", refused.text, cause)
    headers = list(_HEADERS)
    if refused.status == 405:
        headers.append((b"allow", b"POST"))
    if refused.retry_after is not None:
        headers.append((b"retry-after", b"%d" % refused.retry_after))
    one_line = " ".join(refused.text.split())  # names of libraries and members are in it, as they were sent
    await send_text(scope, send, refused.status, one_line, headers)


class _GoneError(Exception):
    """The client went away; nobody is there to be answered."""


class _Body:
    """The body of a request as chunks, with limits of time."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._deadline = time.monotonic() + LONGEST_SECONDS
        self.ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self.ended:
            try:
                message = await asyncio.wait_for(self._receive(), SILENCE_SECONDS)
            except TimeoutError:
                raise Refused(408, f"nothing came for {SILENCE_SECONDS:.0f} seconds") from None
            if message["type"] == "http.disconnect":
                self.ended = True
                raise _GoneError
            if time.monotonic() > self._deadline:
                raise Refused(408, f"the upload took longer than {LONGEST_SECONDS:.0f} seconds")
            self.ended = not message.get("more_body", False)
            yield message.get("body", b"")
