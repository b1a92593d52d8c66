"""The Dockerfiles that `whb client-config` prints, built as printed: amd64, and arm64 under QEMU."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.integration.docker import build, docker
from tests.integration.test_client_config import PASSWORD, USER, site
from tests.integration.web import Site, certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

ARCHS = ("amd64", "arm64")
HOST = ("--network", "host", "--add-host", "wheelhouse:127.0.0.1")
CALL_BACK = "import cffi; f = cffi.FFI(); print(f.callback('int(int)', lambda x: x + 1)(41))"


@pytest.fixture(scope="module")
def guarded(whb: Whb, cffi_wheelhouse: Path) -> Iterator[Site]:
    """The wheelhouse behind nginx, with a password."""
    with site("nginx", whb, cffi_wheelhouse, "--user", USER, host="wheelhouse") as made:
        (made.folder / "netrc").write_text(made.config("netrc"), encoding="utf-8")
        yield made


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """The folder of an application."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "requirements.txt").write_text("cffi\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=ARCHS)
def uv_image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image that holds /uv, as its makers publish it."""
    folder = tmp_path_factory.mktemp("uv")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[request.param]
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*download, "--dest", str(folder), "--platform", f"musllinux_1_1_{machine}", "uv"], check=True)
    (wheel,) = folder.glob("uv-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        binary = next(name for name in archive.namelist() if name.endswith("scripts/uv"))
        (folder / "uv").write_bytes(archive.read(binary))
    (folder / "uv").chmod(0o755)
    wheel.unlink()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY uv /uv\n", encoding="utf-8")
    docker(
        "build", "--quiet", "--platform", f"linux/{request.param}", "--tag", f"whb-test/uv:{request.param}", str(folder)
    )
    return str(request.param)


def works(tag: str, arch: str) -> None:
    """cffi is in the image and does its work; nothing of how it came there stays behind."""
    shell = ("run", "--rm", "--network", "none", "--platform", f"linux/{arch}", tag)
    assert docker(*shell, "python3", "-c", CALL_BACK).stdout == "42\n"
    left = (
        "find / -xdev '(' -name '*.whl' -o -path '*/.cache/*' -o -name .netrc -o -name ca.pem -o -name uv -type f ')'"
    )
    assert docker(*shell, "sh", "-c", f"{left} ! -path '*/ensurepip/*' -size +0 -print").stdout == ""
    history = docker("history", "--no-trunc", tag).stdout
    assert PASSWORD not in history
    assert USER not in history


@pytest.mark.parametrize("arch", ARCHS)
def test_pip_installs_with_a_secret(guarded: Site, context: Path, arch: str) -> None:
    (context / "Dockerfile").write_text(guarded.config("dockerfile"), encoding="utf-8")
    said = build(
        context, tag := f"whb-test/client:{arch}", arch, *HOST, "--secret", f"id=netrc,src={guarded.folder}/netrc"
    )
    works(tag, arch)
    assert PASSWORD not in said


def test_without_the_secret_there_is_nothing(guarded: Site, context: Path) -> None:
    (context / "Dockerfile").write_text(guarded.config("dockerfile"), encoding="utf-8")
    with pytest.raises(AssertionError, match="401"):
        build(context, "whb-test/client:none", "amd64", *HOST, "--build-arg", "PIP_NO_INPUT=1")


def test_uv_installs_with_a_secret(guarded: Site, context: Path, uv_image: str) -> None:
    (context / "Dockerfile").write_text(guarded.config("dockerfile-uv"), encoding="utf-8")
    secret = ("--secret", f"id=netrc,src={guarded.folder}/netrc", "--build-arg", f"UV=whb-test/uv:{uv_image}")
    build(context, tag := f"whb-test/client-uv:{uv_image}", uv_image, *HOST, *secret)
    works(tag, uv_image)


@pytest.mark.parametrize("arch", ARCHS)
def test_pip_installs_from_the_context(guarded: Site, cffi_wheelhouse: Path, context: Path, arch: str) -> None:
    shutil.copytree(cffi_wheelhouse, context / "wheelhouse", symlinks=True)
    (context / "Dockerfile").write_text(guarded.config("dockerfile-bind"), encoding="utf-8")
    build(context, tag := f"whb-test/client-bind:{arch}", arch, "--network", "none")
    works(tag, arch)


@pytest.mark.parametrize("kind", ["dockerfile", "dockerfile-uv"])
def test_an_authority_of_ones_own_is_a_secret_too(
    kind: str, whb: Whb, cffi_wheelhouse: Path, context: Path, tmp_path: Path, uv_image: str
) -> None:
    tls = certificates(tmp_path, "wheelhouse")
    with site("nginx", whb, cffi_wheelhouse, *tls, host="wheelhouse") as made:
        (context / "Dockerfile").write_text(made.config(kind), encoding="utf-8")
        secret = ("--secret", f"id=ca,src={tls[1]}", "--build-arg", f"UV=whb-test/uv:{uv_image}")
        build(context, tag := f"whb-test/client-ca:{uv_image}", uv_image, *HOST, *secret)
    works(tag, uv_image)
