"""The images of the container engine: pinned by digest, unless the settings name others."""

from __future__ import annotations

import re

import pytest

from wheelhouse_builder.engines.container.images import image_for, official_images
from wheelhouse_builder.settings.container import ContainerSettings
from wheelhouse_builder.target import Arch, Target


@pytest.mark.parametrize("arch", list(Arch))
def test_official_images_are_pinned_by_digest(arch: Arch) -> None:
    image = official_images()["musllinux_1_2"][arch.docker]
    assert re.fullmatch(rf"[a-z.]+/pypa/musllinux_1_2_{arch}@sha256:[0-9a-f]{{64}}", image)
    assert image_for(Target((3, 12), arch), ContainerSettings()) == image


def test_each_architecture_has_its_own() -> None:
    assert len(set(official_images()["musllinux_1_2"].values())) == len(Arch)


def test_the_settings_beat_the_data() -> None:
    settings = ContainerSettings(images={Arch.AARCH64: "mine:tag"})
    assert image_for(Target((3, 12), Arch.AARCH64), settings) == "mine:tag"
    assert image_for(Target((3, 12), Arch.X86_64), settings) == official_images()["musllinux_1_2"]["amd64"]
