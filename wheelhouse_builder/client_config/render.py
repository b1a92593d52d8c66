"""Ready-made settings for clients and web servers of an index. Pure: an address in, text out.

The templates (`template.fill`) are in `templates/`; their fields are what an address tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.template import fill, when

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wheelhouse_builder.client_config.address import IndexAddress


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of settings."""

    summary: str  # one line
    template: str  # the name of its file
    needs_url: bool = True
    own_host: bool = False  # a server configuration: the index is all that its host has


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "pip": Kind(summary="pip.conf: the wheelhouse is the only index", template="pip.conf"),
        "pip-links": Kind(summary="pip.conf: no index, one page of wheels", template="pip-links.conf"),
        "uv": Kind(summary="uv.toml: the wheelhouse is the only index", template="uv.toml"),
        "uv-explicit": Kind(
            summary="pyproject.toml for uv: only the packages named come from the wheelhouse",
            template="uv-explicit.toml",
        ),
        "env": Kind(summary="the same for pip and uv by environment variables", template="wheelhouse.env"),
        "netrc": Kind(summary="the password for pip, uv and curl", template="netrc"),
        "dockerfile": Kind(
            summary="Dockerfile: pip installs over HTTP, the password as a build secret", template="Dockerfile"
        ),
        "dockerfile-uv": Kind(summary="Dockerfile: the same with uv", template="uv.Dockerfile"),
        "dockerfile-bind": Kind(
            summary="Dockerfile: from a wheelhouse in the build context, without network",
            template="bind.Dockerfile",
            needs_url=False,
        ),
        "nginx": Kind(summary="nginx serves the wheelhouse", template="nginx.conf", own_host=True),
        "apache": Kind(summary="Apache httpd serves the wheelhouse", template="apache.conf", own_host=True),
        "caddy": Kind(summary="Caddy serves the wheelhouse", template="Caddyfile", own_host=True),
        "nginx-proxy": Kind(summary="nginx in front of whb serve", template="nginx-proxy.conf"),
        "s3-policy": Kind(
            summary="bucket policy: whoever reaches the bucket may read", template="s3-policy.json", needs_url=False
        ),
        "s3-website": Kind(
            summary="website configuration of a bucket: HTML pages", template="s3-website.json", needs_url=False
        ),
        "cloudfront": Kind(
            summary="CloudFront function in front of a bucket: HTML and JSON", template="cloudfront.js", needs_url=False
        ),
    }
)


def render(kind: str, index: IndexAddress) -> str:
    """The settings of a kind (a key of `KINDS`) for an index; ends with a line end.

    Raises `UsageError` when that kind cannot express the address.
    """
    chosen = KINDS[kind]
    if chosen.own_host and index.path != "/":
        raise UsageError(
            f"--url: {index.url}: {kind} settings are for a host of its own, without a path",
            hint="leave the path out, and adapt the text by hand where the index shares its host",
        )
    template = resources.files(__package__) / "templates" / chosen.template
    return fill(template.read_text(encoding="utf-8"), _fields(index))


def _fields(index: IndexAddress) -> dict[str, str | None]:
    tls = index.scheme == "https"
    return {
        "scheme": index.scheme,
        "host": index.host,
        "port": str(index.port),
        "path": index.path,
        "root_path": None if index.path == "/" else index.path.rstrip("/"),
        "if_top": when(index.path == "/"),
        "backend": index.backend,
        "simple": f"{index.url}simple/",
        "links": f"{index.url}links/",
        "unprotected": when(index.unprotected),
        "trusted_host": index.authority if index.unprotected else None,
        "ca": index.ca,
        "if_ca": when(index.ca),
        "user": index.user,
        "login": index.user or "__token__",
        "if_user": when(index.user),
        "if_open": when(not index.user),
        "machine": index.host.strip("[]"),
        "root": index.root,
        "if_http": when(not tls),
        "if_tls": when(tls),
        "certificate": index.certificate if tls else None,
        "key": index.key if tls else None,
        "bucket": index.bucket,
    }
