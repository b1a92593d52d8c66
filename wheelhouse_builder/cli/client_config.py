"""`whb client-config`: ready-made settings for the clients and the web servers of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.cli.options import add_settings
from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation
    from wheelhouse_builder.client_config.address import IndexAddress

_NOWHERE = "http://localhost/"  # for kinds that say no address


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("kinds", metavar="KIND", nargs="*", help="what to print; with none the kinds are listed")
    parser.add_argument("--url", help="the index as its clients reach it: http://wheelhouse:8080/")
    parser.add_argument("--user", metavar="NAME", help="who asks, where the index wants a password")
    parser.add_argument(
        "--ca", metavar="FILE", help="certificate of the authority that signed the server's, on the client"
    )
    add_settings(parser, ("wheelhouse",))
    group = parser.add_argument_group("web servers and buckets")
    group.add_argument("--tls-cert", metavar="FILE", help="the server's certificate, on the server")
    group.add_argument("--tls-key", metavar="FILE", help="its private key")
    group.add_argument("--backend", metavar="HOST:PORT", help="where whb serve listens (default: 127.0.0.1:8080)")
    group.add_argument("--bucket", metavar="NAME", help="the bucket (default: wheelhouse)")


def execute(invocation: Invocation) -> int:
    """Print them; several have their file names between them."""
    from wheelhouse_builder.client_config.render import KINDS, render
    from wheelhouse_builder.report.as_json import dump

    console, wanted = invocation.console, invocation.options.kinds
    if unknown := [kind for kind in wanted if kind not in KINDS]:
        raise UsageError(f"unknown kind {unknown[0]!r}", hint=f"the kinds are {', '.join(KINDS)}")
    if not wanted:
        width = max(map(len, KINDS))
        listed = [{"kind": name, "summary": kind.summary} for name, kind in KINDS.items()]
        lines = "\n".join(f"{entry['kind']:{width}}  {entry['summary']}" for entry in listed)
        console.result(dump("client-config", {"kinds": listed}) if console.json else lines)
        return 0
    index = _address(invocation)
    texts = {kind: render(kind, index) for kind in wanted}
    if console.json:
        rendered = [{"kind": kind, "file": KINDS[kind].template, "text": text} for kind, text in texts.items()]
        console.result(dump("client-config", {"configs": rendered}))
    else:
        titled = (f"==> {KINDS[kind].template} <==\n{text}" if len(texts) > 1 else text for kind, text in texts.items())
        console.result("\n".join(titled).removesuffix("\n"))
    return 0


def _address(invocation: Invocation) -> IndexAddress:
    from dataclasses import replace

    from wheelhouse_builder.client_config.address import parse_url
    from wheelhouse_builder.client_config.render import KINDS

    options = invocation.options
    if options.url is None and any(KINDS[kind].needs_url for kind in options.kinds):
        raise UsageError(
            "--url is missing", hint="give the index as its clients reach it: --url http://wheelhouse:8080/"
        )
    more = {"user": options.user, "ca": options.ca, "certificate": options.tls_cert, "key": options.tls_key}
    more |= {"bucket": options.bucket, "backend": options.backend, "root": str(invocation.settings.wheelhouse)}
    return replace(
        parse_url(options.url or _NOWHERE), **{name: value for name, value in more.items() if value is not None}
    )
