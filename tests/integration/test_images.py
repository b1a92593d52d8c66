"""docker/runtime and docker/musllinux, built by docker and by podman; amd64, and arm64 under QEMU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import IMAGE, REPOSITORY
from tests.integration.docker import OURS, Engine
from tests.integration.services import podman_with

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

RUNTIME, MUSLLINUX = REPOSITORY / "docker/runtime", REPOSITORY / "docker/musllinux"
APP = "import cffi; f = cffi.FFI(); print(f.callback('int(int)', lambda x: x + 1)(41))\n"

# Packages of Alpine with the names that docker/musllinux wants, and an index of them, signed: no mirror is asked.
MAKE_PACKAGES = """\
for name in $PACKAGES; do
  mkdir -p /files/$name/usr/bin
  printf '#!/bin/sh\\necho %s\\n' $name >/files/$name/usr/bin/$name
  chmod 755 /files/$name/usr/bin/$name
  apk mkpkg --files /files/$name --info name:$name --info version:1-r0 --info arch:noarch --info license:MIT \\
    --info description:none --output /packages/$name-1-r0.apk
done
apk mkndx --allow-untrusted --sign-key /key/key.rsa --output /packages/index.adb /packages/*.apk
"""
WITH_PACKAGES = """\
FROM {base}
COPY key.rsa.pub /etc/apk/keys/
COPY packages /packages
RUN echo /packages/index.adb >/etc/apk/repositories
"""


@pytest.fixture(scope="module", params=["docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A container engine; podman with a store of its own."""
    if request.param == "docker":
        yield OURS
        return
    with podman_with(IMAGE.format(python="3.12", arch="amd64")) as environ:
        yield Engine("podman", environ)


@pytest.fixture(scope="module", params=["amd64", "arm64"])
def arch(request: pytest.FixtureRequest) -> str:
    """An architecture."""
    return str(request.param)


@pytest.fixture
def app(cffi_wheelhouse: Path, tmp_path: Path) -> Path:
    """The folder of a program: what it is made of, the wheelhouse that `whb build` left there, and more."""
    folder = tmp_path / "app"
    shutil.copytree(cffi_wheelhouse, folder / "wheelhouse", symlinks=True)
    for name, text in {"app.py": APP, "requirements.txt": "cffi\n", ".env": "PASSWORD=x\n", "notes.md": "x\n"}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_runtime_image_holds_what_it_runs_and_no_more(engine: Engine, arch: str, app: Path) -> None:
    base, tag = IMAGE.format(python="3.12", arch=arch), f"whb-test/runtime-cffi:{arch}"
    engine.have(base)
    engine.build(
        app, tag, arch, "--network", "none", "--build-arg", f"BASE={base}", "--file", str(RUNTIME / "Dockerfile")
    )
    config = engine.config(tag)
    assert config["User"] == "65534:65534"
    assert config["Labels"]["org.opencontainers.image.base.name"] == base
    run = ("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--platform", f"linux/{arch}", tag)
    assert engine(*run) == "42\n"
    left = "find / -xdev '(' -name '*.whl' -o -path '*/.cache/*' ')' ! -path '*/ensurepip/*'"
    assert engine(*run, "sh", "-c", f"id -un; {left}; command -v gcc cc; ls -d /wheelhouse/* 2>&-; :") == "nobody\n"
    layers = engine("history", "--no-trunc", "--format", "{{.CreatedBy}}", tag)
    assert "COPY wheelhouse" not in layers
    assert not any(name in layers for name in ("PASSWORD", "notes.md"))


def test_of_the_folder_the_runtime_image_is_sent_what_it_is_made_of(app: Path, tmp_path: Path) -> None:
    """By docker: podman 4.3 knows no `Dockerfile.dockerignore`, and sends nothing anywhere."""
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE.format(python='3.12', arch='amd64')}\nCOPY . /context\n")
    shutil.copy(RUNTIME / "Dockerfile.dockerignore", tmp_path)
    engine, tag = OURS, "whb-test/context:amd64"
    engine.build(app, tag, "amd64", "--file", str(tmp_path / "Dockerfile"))
    sent = engine("run", "--rm", "--network", "none", tag, "find", "/context", "-type", "f").split()
    assert {Path(path).name if not path.endswith(".whl") else "wheel" for path in sent} == {
        "app.py",
        "requirements.txt",
        "wheel",
    }


@pytest.fixture
def with_packages(engine: Engine, arch: str, tmp_path: Path) -> str:
    """The stand-in of the official image, with packages to be had where the official one has Alpine's mirrors."""
    base, tag = f"whb-test/musllinux_1_2:{arch}", f"whb-test/musllinux-packages:{arch}"
    engine.have(base)
    key = tmp_path / "key.rsa"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    public = ["openssl", "rsa", "-in", str(key), "-pubout", "-out", str(tmp_path / "key.rsa.pub")]
    subprocess.run(public, check=True, capture_output=True)
    (tmp_path / "packages").mkdir()
    mounts = ("--volume", f"{tmp_path}:/key:ro", "--volume", f"{tmp_path}/packages:/packages")
    run = ("run", "--rm", "--network", "none", "--platform", f"linux/{arch}", *mounts, "--env", f"PACKAGES={wanted()}")
    engine(*run, base, "sh", "-euc", MAKE_PACKAGES)
    (tmp_path / "Dockerfile").write_text(WITH_PACKAGES.format(base=base), encoding="utf-8")
    engine.build(tmp_path, tag, arch, "--network", "none")
    return tag


def wanted() -> str:
    """The packages that docker/musllinux/Dockerfile names."""
    lines = (MUSLLINUX / "Dockerfile").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith("ARG PACKAGES="))
    return line.partition("=")[2].strip('"')


def test_the_musllinux_image_is_the_official_one_with_rust(engine: Engine, arch: str, with_packages: str) -> None:
    tag = f"whb-test/musllinux-rust:{arch}"
    engine.build(MUSLLINUX, tag, arch, "--network", "none", "--build-arg", f"BASE={with_packages}")
    config, base = engine.config(tag), engine.config(with_packages)
    assert config["Env"] == base["Env"]
    assert config["Labels"]["org.opencontainers.image.base.name"] == with_packages
    script = (
        "for name in $PACKAGES; do apk info -e $name; $name; done; ls -d /opt/python/cp312-cp312; ls -A /var/cache/apk"
    )
    run = ("run", "--rm", "--network", "none", "--platform", f"linux/{arch}", "--env", f"PACKAGES={wanted()}", tag)
    doubled = [name for name in wanted().split() for _ in range(2)]
    assert engine(*run, "sh", "-euc", script).split() == [*doubled, "/opt/python/cp312-cp312"]
