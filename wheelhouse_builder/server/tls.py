"""The certificate of the server, exchanged while it runs."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.server.stamps import stamps_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Tls:
    """A TLS context whose certificate is that of the files; new connections get what was read last."""

    def __init__(self, cert: Path, key: Path | None) -> None:
        """`key` None: it is in the file of the certificate. Raises `UsageError`."""
        self.cert, self.key = cert, key or cert
        self._stamp = stamps_of((self.cert, self.key))
        self.context = load(self.cert, self.key)
        self.on_change: Callable[[], None] = lambda: None  # for a server that has a context of its own

    def refresh(self, *, force: bool = False) -> bool:
        """Read the files again if they changed; whether they were read. Raises `UsageError`, once for each change."""
        stamp = stamps_of((self.cert, self.key))
        if stamp == self._stamp and not force:
            return False
        self._stamp = stamp
        load(self.cert, self.key)  # a pair that does not fit would leave the live context with half of it
        self.context.load_cert_chain(self.cert, self.key, _no_password)
        self.on_change()
        return True


def load(cert: Path, key: Path) -> ssl.SSLContext:
    """A context for a server with this certificate. Raises `UsageError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for path in (cert, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise UsageError(
                f"{path}: {error.strerror}", hint="name a file that is there and that the server's user may read"
            ) from None
    try:
        context.load_cert_chain(cert, key, _no_password)
    except ssl.SSLError as error:
        raise UsageError(f"{cert} and {key} are no certificate with its key: {_reason(error)}", hint=_HINT) from None
    return context


_HINT = "both must be PEM, the server's own certificate first; `openssl x509 -in FILE -text` shows one"


def _reason(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is that of another certificate"
    return (error.reason or "not PEM").lower().replace("_", " ")


def _no_password() -> str:
    raise UsageError("the key of the certificate is encrypted", hint="`openssl pkey -in KEY -out NEW` decrypts it")
