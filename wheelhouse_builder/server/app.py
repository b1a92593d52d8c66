"""The server as one ASGI application: what is asked for, and who answers.

Access, logs and metrics are wrappers around it and come from their own modules; so do upload, upstream and health.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.routing import Router

from wheelhouse_builder.server.files import send_other, send_wheel
from wheelhouse_builder.server.pages import send_no_page, send_page
from wheelhouse_builder.server.people import send_for_people
from wheelhouse_builder.server.replies import (
    READING,
    RETRY_SECONDS,
    Policy,
    note,
    path_of,
    send_options,
    send_redirect,
    send_text,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from wheelhouse_builder.server.pages import Upstream
    from wheelhouse_builder.server.snapshot import Snapshots

UPLOAD_PATHS = ("/", "/legacy/")


def make_app(
    snapshots: Snapshots,
    *,
    policy: Policy | None = None,
    upload: ASGIApp | None = None,
    upstream: Upstream | None = None,
    routes: Mapping[str, ASGIApp] | None = None,
    wrappers: Sequence[Callable[[ASGIApp], ASGIApp]] = (),
    poll_seconds: float = 1.0,
) -> ASGIApp:
    """The application.

    `upload` answers POST on `/` and `/legacy/`; `upstream` says where an unknown project is, by normalised name;
    `routes` are further answerers by exact path (`/healthz`, `/metrics`); `wrappers` stand around all of it, the first
    outermost. While it runs (ASGI lifespan), it looks for a new generation every `poll_seconds`.
    """
    app: ASGIApp = _Server(
        snapshots=snapshots,
        policy=policy or Policy(),
        upload=upload,
        upstream=upstream,
        routes=dict(routes or {}),
        router=Router(lifespan=lambda _: _watching(snapshots, poll_seconds)),
    )
    for wrapper in reversed(wrappers):
        app = wrapper(app)
    return app


@contextlib.asynccontextmanager
async def _watching(snapshots: Snapshots, poll_seconds: float) -> AsyncIterator[None]:
    """Take up what is published, and go on looking, as long as the server runs."""

    async def watch() -> None:
        while True:
            await asyncio.sleep(poll_seconds)
            await asyncio.to_thread(snapshots.refresh)

    await asyncio.to_thread(snapshots.refresh)
    gc.freeze()  # else a full collection looks at all pages again: 100 ms of standstill with 10,000 projects
    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@dataclass(frozen=True, kw_only=True)
class _Server:
    snapshots: Snapshots
    policy: Policy
    upload: ASGIApp | None
    upstream: Upstream | None
    routes: Mapping[str, ASGIApp]
    router: Router = field(repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.router(scope, receive, send)  # lifespan; a websocket is refused
            return
        path, snapshot = path_of(scope), self.snapshots.current
        reads = scope["method"] in {"GET", "HEAD"}
        if reads and snapshot is not None and (page := snapshot.pages.get(path)):
            await send_page(scope, send, path, page, snapshot, self.policy)
        elif answerer := self._other_answerer(scope["method"], path):
            await answerer(scope, receive, send)
        elif reads:
            await self._read(scope, receive, send, path)
        elif scope["method"] == "OPTIONS":
            note(scope, route="options")
            await send_options(send, self.policy.text_headers)
        else:
            note(scope, route="none")
            allow = (b"allow", READING.encode())
            await send_text(scope, send, 405, f"this index is read with {READING}", (allow, *self.policy.text_headers))

    def _other_answerer(self, method: str, path: str) -> ASGIApp | None:
        if method == "POST" and path in UPLOAD_PATHS and self.upload is not None:
            return self.upload
        return self.routes.get(path)

    async def _read(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        """Answer a GET or HEAD for what is no page of the index."""
        snapshot = self.snapshots.current
        if snapshot is None:
            note(scope, route="none")
            retry = (b"retry-after", RETRY_SECONDS)
            await send_text(scope, send, 503, "nothing is published yet", (retry, *self.policy.text_headers))
        elif path in {"", "/"}:
            note(scope, route="redirect")
            place = "browse/" if "/browse/" in snapshot.others else "simple/"
            above = (
                "" if path else f"{quote(scope['path'].rpartition('/')[2])}/"
            )  # `/pypi` comes here as well as `/pypi/`
            await send_redirect(scope, send, 302, above + place, self.policy.page_headers)
        elif path.count("/") == 1 and path.endswith((".whl", ".whl.metadata", ".tar.gz")):
            await send_wheel(scope, receive, send, path[1:], snapshot, self.snapshots.wheelhouse, self.policy)
        elif await send_for_people(scope, send, path, snapshot, self.policy):
            return
        elif not await send_other(scope, send, path, snapshot, self.policy):
            await send_no_page(scope, send, path, snapshot, self.policy, self.upstream)
