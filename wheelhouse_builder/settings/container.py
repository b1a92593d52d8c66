"""`[container]`: the engine that builds in the official images, by docker or podman."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.settings.kinds import SWITCH, Kind, by_arch, declare, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wheelhouse_builder.target import Arch

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")  # what may stand in a reference, of whatever registry
_CONTEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")  # docker/cli, cli/context/store
_HOST = re.compile(r"(?:ssh|tcp)://[A-Za-z0-9\[][^\s?#]*|unix:///\S+")


def _parse_image(text: str) -> str:
    if not _IMAGE.fullmatch(text):
        raise UsageError(
            f"{text!r} is not the name of an image", hint="write it as host/name:tag or host/name@sha256:…"
        )
    return text


def _parse_host(text: str) -> str:
    if not (_HOST if "://" in text else _CONTEXT).fullmatch(text) or not text.isprintable():
        hint = "write it as ssh://user@host, tcp://host:2376, unix:///path, or as the name of a docker context"
        raise UsageError(f"{text!r} is not a container host", hint=hint)
    return text


@dataclass(frozen=True, kw_only=True)
class ContainerSettings:
    """What runs the containers, which images, and where."""

    engine: str = field(
        default="docker",
        metadata=declare(one_of("docker", "podman"), "what runs the containers (default: docker)"),
    )
    images: Mapping[Arch, str] = field(
        default_factory=dict,
        metadata=declare(
            by_arch(Kind(parse=_parse_image, what="")), "the image for an architecture (default: the official one)"
        ),
    )
    accelerate: bool = field(
        default=True,
        metadata=declare(SWITCH, "run compilers natively in containers of a foreign architecture (default: true)"),
    )
    hosts: Mapping[Arch, str] = field(
        default_factory=dict,
        metadata=declare(
            by_arch(Kind(parse=_parse_host, what="")), "where containers of an architecture run (default: here)"
        ),
    )
