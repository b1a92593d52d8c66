"""The images that wheels are built in: the official ones by digest, or those of the settings."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wheelhouse_builder.settings.container import ContainerSettings
    from wheelhouse_builder.target import Target


def image_for(target: Target, settings: ContainerSettings) -> str:
    """The image that wheels for this target are built in, as docker and podman take it."""
    return settings.images.get(target.arch) or official_images()[_policy(target)][target.arch.docker]


@cache
def official_images() -> Mapping[str, Mapping[str, str]]:
    """By policy (`musllinux_1_2`) and docker's name of the architecture."""
    return tomllib.loads(resources.files(__package__).joinpath("images.toml").read_text(encoding="utf-8"))


def _policy(target: Target) -> str:
    return target.platform_tag.removesuffix(f"_{target.arch}")
