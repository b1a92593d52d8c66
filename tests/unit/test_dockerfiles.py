"""What the Dockerfiles say agrees with the data of the package."""

from __future__ import annotations

from pathlib import Path

from wheelhouse_builder.engines.container.images import official_images

DOCKER = Path(__file__).parents[2] / "docker"


def test_the_musllinux_image_has_the_pinned_base() -> None:
    """After scripts/update-images the Dockerfile is to follow."""
    pinned = official_images()["musllinux_1_2"]["amd64"]
    assert f"ARG BASE={pinned}\n" in (DOCKER / "musllinux/Dockerfile").read_text(encoding="utf-8")
