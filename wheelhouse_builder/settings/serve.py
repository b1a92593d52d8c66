"""`[serve]`: what `whb serve` listens on, who may do what, and its limits."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.settings.kinds import (
    COUNT,
    NUMBER,
    PATH,
    SWITCH,
    TEXT,
    Kind,
    declare,
    many_of,
    one_of,
    parse_path,
)

if TYPE_CHECKING:
    from pathlib import Path

UNIX = "unix"  # the peers of a Unix socket, as a trusted proxy
_NO_PREFIX = {".", "..", "simple", "links", "browse", "legacy", "healthz", "readyz", "metrics"}  # they would be hidden
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
_PATTERN = re.compile(r"[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?")


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise UsageError(f"{text!r} is not a port", hint="use a number up to 65535; 0 takes any free one")
    return int(text)


def _parse_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text) or _NO_PREFIX & set(text.split("/")):
        raise UsageError(f"{text!r} cannot be the prefix of the server's paths", hint="write it as /wheels")
    return text.rstrip("/")


def _parse_proxy(text: str) -> str:
    if text == UNIX:
        return text
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        hint = "write it as 10.0.0.7 or 10.0.0.0/8, or unix for whoever uses the Unix socket"
        raise UsageError(f"{text!r} is not a network: {error}", hint=hint) from None


def _parse_pattern(text: str) -> str:
    pattern = re.sub(r"[-_.]+", "-", text).lower()
    if not _PATTERN.fullmatch(pattern):
        raise UsageError(f"{text!r} is neither a project name nor a pattern", hint="write it as acme or acme-*")
    return pattern


def _parse_upstream(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s?#@]+", text) or not text.isascii() or not text.isprintable():
        hint = "write it as https://host/simple/, other letters than those of ASCII as xn--… or %-codes"
        raise UsageError(f"{text!r} is not the URL of an index", hint=hint)
    return text.rstrip("/") + "/"


def _parse_log(text: str) -> Path | str:
    return text if text in {"-", "off"} else parse_path(text)


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """`[serve]`: the index over HTTP."""

    host: str = field(
        default="127.0.0.1",
        metadata=declare(TEXT, "the address to listen on (default: 127.0.0.1)", "--host", metavar="ADDRESS"),
    )
    port: int = field(
        default=8080,
        metadata=declare(
            Kind(parse=_parse_port, what="a whole number", toml=int),
            "the port to listen on (default: 8080; 0: any)",
            "--port",
            metavar="N",
        ),
    )
    uds: Path | None = field(
        default=None, metadata=declare(PATH, "listen on this Unix socket instead", "--uds", metavar="PATH")
    )
    root_path: str = field(
        default="",
        metadata=declare(
            Kind(parse=_parse_prefix, what="a string"),
            "the path under which a proxy shows the server, such as /wheels",
            "--root-path",
            metavar="PATH",
        ),
    )
    server: str = field(
        default="uvicorn",
        metadata=declare(one_of("uvicorn", "granian"), "what speaks HTTP (default: uvicorn)", "--server"),
    )
    tls_cert: Path | None = field(
        default=None, metadata=declare(PATH, "certificate chain (PEM): serve HTTPS", "--tls-cert", metavar="FILE")
    )
    tls_key: Path | None = field(
        default=None, metadata=declare(PATH, "the key of the certificate (PEM)", "--tls-key", metavar="FILE")
    )
    htpasswd: Path | None = field(
        default=None,
        metadata=declare(PATH, "users who may read, with bcrypt or argon2 hashes", "--htpasswd", metavar="FILE"),
    )
    tokens: Path | None = field(
        default=None,
        metadata=declare(PATH, "tokens and what each may do; `whb token` makes one", "--tokens", metavar="FILE"),
    )
    anonymous_read: bool = field(
        default=False,
        metadata=declare(SWITCH, "let anybody read, users or tokens or not", "--anonymous-read"),
    )
    max_age: int = field(
        default=60,
        metadata=declare(
            NUMBER, "seconds that clients may use a page without asking again (default: 60)", "--max-age", metavar="N"
        ),
    )
    trusted_proxies: tuple[str, ...] = field(
        default=(),
        metadata=declare(
            many_of(Kind(parse=_parse_proxy, what="")),
            "a proxy whose X-Forwarded-For is believed",
            "--trusted-proxy",
            metavar="NETWORK",
        ),
    )
    access_log: Path | str = field(
        default="-",
        metadata=declare(
            Kind(parse=_parse_log, what="a string"),
            "where a line of JSON for each request goes: a file, off, or - for standard output (default)",
            "--access-log",
            metavar="FILE",
        ),
    )
    upload: bool = field(
        default=False,
        metadata=declare(SWITCH, "take uploads of twine and uv publish (scope publish)", "--upload"),
    )
    max_upload: int = field(
        default=1 << 30, metadata=declare(COUNT, "bytes that an uploaded wheel may have (default: 1 GiB)")
    )
    upstream: str | None = field(
        default=None,
        metadata=declare(
            Kind(parse=_parse_upstream, what="a string"),
            "redirect to this index for projects that are neither ours nor reserved",
            "--upstream",
            metavar="URL",
        ),
    )
    reserved: tuple[str, ...] = field(
        default=(),
        metadata=declare(
            many_of(Kind(parse=_parse_pattern, what="")),
            "a project name or pattern (acme-*) that is never looked for upstream",
            "--reserve",
            metavar="NAME",
        ),
    )
    max_requests: int = field(
        default=2000, metadata=declare(COUNT, "requests at a time; more are answered 503 (default: 2000)")
    )
    drain_delay: int = field(
        default=1,
        metadata=declare(NUMBER, "seconds from SIGTERM to the last new connection, for proxies to notice (default: 1)"),
    )
    drain_timeout: int = field(
        default=30, metadata=declare(COUNT, "seconds that running downloads get after that (default: 30)")
    )
