"""`whb token`: make a token for `whb serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wheelhouse_builder.cli import Invocation

_SCOPES = ("read", "metrics", "publish")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("name", metavar="NAME", help="who will have it; the access log shows this")
    parser.add_argument(
        "--scope",
        action="append",
        choices=_SCOPES,
        help="what it is good for, may be repeated (default: read)",
    )


def execute(invocation: Invocation) -> int:
    """Print the lines for the tokens file on standard output, and the token, this once, on standard error."""
    from wheelhouse_builder.report.as_json import dump
    from wheelhouse_builder.server.credentials import new_token, parse_tokens, sha256_of_token
    from wheelhouse_builder.toml import toml_value

    console, name = invocation.console, invocation.options.name
    scopes = list(dict.fromkeys(invocation.options.scope or ["read"]))
    if not name.isprintable() or not name:
        raise UsageError(f"{name!r} is no name", hint="use printable characters")
    token = new_token()
    entry = {"name": name, "sha256": sha256_of_token(token), "scopes": scopes}
    lines = "[[token]]\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in entry.items())
    parse_tokens(lines, "the new token")
    if console.json:
        console.result(dump("token", {"token": token, "entry": entry}))
    else:
        console.result(lines)
        console.complain(f"the token, shown this once: {token}")
    return 0
