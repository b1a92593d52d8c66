"""Where an index is, as its clients see it. What is in here may be put into any configuration file as it is.

Every value is held to characters that mean nothing to pip, uv, a shell, a Dockerfile, TOML, JSON or a web server. So no
template needs quoting, and nobody who chooses a name can add a line to someone's configuration.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from wheelhouse_builder.errors import UsageError

_LABEL = r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_URL_PATH = re.compile(r"(?:/[a-zA-Z0-9_~-][a-zA-Z0-9._~-]*)*/?")
_FILE = re.compile(r"(?:/[a-zA-Z0-9._+@-]+)+")
_USER = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._@+-]{0,63}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # the rules of S3
_BACKEND = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:]+\]):[0-9]{{1,5}}")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class IndexAddress:
    """An index and what its clients and its web server need to know. `parse_url` makes the first four.

    Raises `UsageError` for a value that could mean more than itself in some configuration file.
    """

    scheme: str
    host: str  # as in a URL: an IPv6 address has its brackets
    port: int
    path: str = "/"  # below it lie simple/, links/ and the wheels
    user: str | None = None  # who asks; None: no password is wanted
    ca: str | None = None  # the certificate of the authority that signed the server's
    root: str = "/srv/wheelhouse"  # the wheelhouse on the web server
    certificate: str = "/etc/ssl/certs/wheelhouse.pem"  # of the web server
    key: str = "/etc/ssl/private/wheelhouse.key"
    backend: str = "127.0.0.1:8080"  # where `whb serve` listens behind a proxy
    bucket: str = "wheelhouse"

    def __post_init__(self) -> None:
        for what, value in {
            "--ca": self.ca,
            "--wheelhouse": self.root,
            "--tls-cert": self.certificate,
            "--tls-key": self.key,
        }.items():
            if value is not None and (not _FILE.fullmatch(value) or ".." in value.split("/")):
                hint = (
                    "give an absolute path of letters, digits and . _ + @ - / only: it goes into other programs' files"
                )
                raise UsageError(f"{what}: {value!r} cannot go into a configuration", hint=hint)
        if self.user is not None and not _USER.fullmatch(self.user):
            raise UsageError(f"--user: {self.user!r} is no user name", hint="letters, digits and . _ @ + - only")
        if not _BACKEND.fullmatch(self.backend):
            raise UsageError(f"--backend: {self.backend!r} is no host and port", hint="give it as 127.0.0.1:8080")
        if not _BUCKET.fullmatch(self.bucket):
            raise UsageError(
                f"--bucket: {self.bucket!r} is no name of a bucket", hint="lower case letters, digits, . and -"
            )

    @property
    def authority(self) -> str:
        """Host and port, the port only when it is not the scheme's own."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The top; ends with a slash."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can be meant; pip trusts that without TLS."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def unprotected(self) -> bool:
        """Whether others on the network can read and change what is sent."""
        return self.scheme == "http" and not self.loopback


def parse_url(url: str) -> IndexAddress:
    """The address in a URL: `http://wheelhouse:8080/`, or that of its `simple/` or `links/`. Raises `UsageError`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _refused(url, str(error)) from error
    if not url.isascii() or not url.isprintable() or " " in url:
        raise _refused(url, "it has characters that no URL has")
    if parts.scheme not in _PORTS:
        raise _refused(url, "it has to begin with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "--url has a user or a password in it", hint="name the user with --user; the password belongs into netrc"
        )
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise _refused(url, "an index has no query and no fragment")
    if not _URL_PATH.fullmatch(parts.path):
        raise _refused(url, "its path may have letters, digits and . _ ~ - only")
    if port == 0:
        raise _refused(url, "port 0 is no port")
    path = re.sub(r"/(?:simple|links)/?$", "/", parts.path)
    return IndexAddress(
        scheme=parts.scheme,
        host=_host(url, host, bracketed="[" in parts.netloc),
        port=_PORTS[parts.scheme] if port is None else port,
        path=path if path.endswith("/") else path + "/",
    )


def _host(url: str, host: str, *, bracketed: bool) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if bracketed or len(host) > 253 or not _HOST.fullmatch(host):
            raise _refused(url, f"{host!r} is no host") from None
        return host
    if "%" in host or bracketed != (address.version == 6):
        raise _refused(url, f"{host!r} is no host")
    return f"[{address}]" if bracketed else str(address)


def _refused(url: str, why: str) -> UsageError:
    return UsageError(f"--url: {url!r}: {why}", hint="give the index as its clients reach it: http://wheelhouse:8080/")
