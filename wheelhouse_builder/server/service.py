"""All of the server but its sockets: the application, what stands around it, and what is read again while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import MachineError, UsageError
from wheelhouse_builder.server.access import Access, Guard
from wheelhouse_builder.server.access_log import AccessLog
from wheelhouse_builder.server.app import make_app
from wheelhouse_builder.server.health import Readiness, health_routes
from wheelhouse_builder.server.metrics import Metrics
from wheelhouse_builder.server.observe import Observed
from wheelhouse_builder.server.proxies import BehindProxy, parse_address
from wheelhouse_builder.server.replies import Policy
from wheelhouse_builder.server.snapshot import Snapshots
from wheelhouse_builder.server.tls import Tls
from wheelhouse_builder.server.upstream import Upstream
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from wheelhouse_builder.settings import Settings
    from wheelhouse_builder.settings.serve import ServeSettings


@dataclass(frozen=True, kw_only=True)
class Service:
    """One server."""

    app: ASGIApp
    snapshots: Snapshots
    readiness: Readiness
    metrics: Metrics
    access: Access
    tls: Tls | None
    log: AccessLog | None
    warnings: tuple[str, ...]  # what is careless, to be told loudly

    def refresh(self, complain: Callable[[str], None], *, force: bool = False) -> None:
        """Read users, tokens and the certificate again if they changed; what is broken stays as it was, and is told."""
        for name, held in (("users and tokens", self.access), ("certificate", self.tls)):
            try:
                if held is not None and held.refresh(force=force):
                    complain(f"{name}: read again")
            except UsageError as error:
                complain(f"{name}: as before, since {error.message}")
        if force and self.log is not None:
            self.log.reopen()


def make_service(settings: Settings, complain: Callable[[str], None]) -> Service:
    """The server of a wheelhouse. Raises `UsageError` and `MachineError` for what the settings name and is not so."""
    serve = settings.serve
    snapshots = Snapshots(Wheelhouse(settings.wheelhouse), on_problem=complain)
    access = Access(htpasswd=serve.htpasswd, tokens=serve.tokens, anonymous_read=serve.anonymous_read)
    metrics, readiness = Metrics(snapshots), Readiness(settings.wheelhouse, snapshots)
    log = _make_log(serve)
    upstream = Upstream(snapshots.wheelhouse, serve.upstream, serve.reserved) if serve.upstream else None
    listeners = [metrics.observe, log.observe] if log else [metrics.observe]

    def observed(app: ASGIApp) -> ASGIApp:
        wrapper = Observed(app, listeners, max_requests=serve.max_requests)
        metrics.gauges["whb_requests_in_progress", "Requests under way."] = lambda: wrapper.in_progress
        return wrapper

    app = make_app(
        snapshots,
        policy=Policy(max_age=serve.max_age, private=not access.anonymous_read),
        upload=_make_upload(settings, snapshots) if serve.upload else None,
        upstream=upstream,
        routes=health_routes(readiness, metrics),
        wrappers=(
            partial(BehindProxy, trusted=serve.trusted_proxies, root_path=serve.root_path),
            observed,
            partial(Guard, access=access, upload=serve.upload),
        ),
    )
    return Service(
        app=app,
        snapshots=snapshots,
        readiness=readiness,
        metrics=metrics,
        access=access,
        tls=Tls(serve.tls_cert, serve.tls_key) if serve.tls_cert else None,
        log=log,
        warnings=(*careless(serve), *access.warnings, *(upstream.warnings() if upstream else ())),
    )


def careless(serve: ServeSettings) -> list[str]:
    """What is dangerous about these settings, to be told loudly."""
    warnings = []
    if serve.upload and not serve.tokens:
        warnings.append("--upload without --tokens: nobody may upload; `whb token NAME --scope publish` makes a token")
    if serve.uds is not None or serve.host == "localhost" or _is_loopback(serve.host):
        return warnings
    guarded = bool(serve.htpasswd or serve.tokens)
    if not guarded:
        warnings.append(f"{serve.host} is more than this machine, and anybody may read: --tokens or --htpasswd")
    if not serve.tls_cert:
        what = "passwords and tokens are" if guarded else "wheels are"
        warnings.append(f"{what} sent in the clear: --tls-cert, or a proxy that has TLS")
    if serve.upload and not serve.tls_cert:
        warnings.append("uploads come without TLS: whoever listens gets a token that publishes")
    return warnings


def _is_loopback(host: str) -> bool:
    address = parse_address(host)
    return address is not None and address.is_loopback


def _make_log(serve: ServeSettings) -> AccessLog | None:
    if serve.access_log == "off":
        return None
    try:
        return AccessLog(serve.access_log if isinstance(serve.access_log, Path) else None)
    except OSError as error:
        raise MachineError(
            f"{serve.access_log}: {error.strerror}", hint="--access-log names a file, - or off"
        ) from None


def _make_upload(settings: Settings, snapshots: Snapshots) -> ASGIApp:
    from wheelhouse_builder.server.upload import Uploads  # noqa: PLC0415 - needs all that verification needs
    from wheelhouse_builder.verify.symbols import DEFAULT_FLOOR  # noqa: PLC0415

    floor = settings.musl_floor or DEFAULT_FLOOR
    return Uploads(settings.wheelhouse, snapshots.refresh, musl_floor=floor, max_bytes=settings.serve.max_upload)
