"""The main job, whole: cffi, bcrypt and cryptography from sdist for both architectures, used on real Alpine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import IMAGE, REPOSITORY, Whb, in_alpine
from tests.integration.services import without_qemu
from wheelhouse_builder.wheelhouse.store import Wheelhouse

pytestmark = pytest.mark.integration

EXAMPLE = REPOSITORY / "examples/alpine-auth"
TRIO = ("cffi", "bcrypt", "cryptography")
BOTH = ("--arch", "amd64", "--arch", "arm64")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
ALL_OK = ["ok hash_password", "ok encrypt", "ok sign_token", "ok call_back"]
NEWEST = [part for name in TRIO for part in ("-P", name)]


def rows(output: str) -> list[dict[str, Any]]:
    """The rows of a report in JSON."""
    found: list[dict[str, Any]] = json.loads(output)["rows"]
    return found


def wheels_of(wheelhouse: Path) -> dict[str, str]:
    """The name and content of each wheel."""
    return {path.name: path.read_bytes().hex() for path in wheelhouse.glob("*.whl")}


@pytest.fixture(scope="module")
def example(whb: Whb, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheelhouse of the quickstart."""
    folder = tmp_path_factory.mktemp("example")
    requirements = str(EXAMPLE / "requirements.txt")
    done = whb.ok(
        *("build", requirements, "--python", "3.12", *BOTH, "--no-binary", ",".join(TRIO), "--json"), cwd=folder
    )
    for row in rows(done.stdout):
        checks = {verdict["check"]: verdict["method"] for verdict in row["verdicts"]}
        machine = row["target"].rpartition("_1_2_")[2]
        assert checks == {"loader": "static", "import": "native" if machine == "x86_64" else "qemu"}, row
    origins = {(wheel.name, wheel.origin) for wheel in Wheelhouse(folder / "wheelhouse").wheels()}
    assert {name for name, origin in origins if origin == "built"} == set(TRIO)
    assert {name for name, origin in origins if origin == "fetched"} >= {"passlib", "python-jose", "pycparser"}
    return folder / "wheelhouse"


@pytest.fixture(scope="module")
def newest(whb: Whb, example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheelhouse with the newest of all three, for two Pythons."""
    folder = tmp_path_factory.mktemp("newest")
    first = whb.ok("build", *NEWEST, "--python", "3.12", *BOTH, "--no-binary", ",".join(TRIO), "--json", cwd=folder)
    assert {row["name"] for row in rows(first.stdout)} >= set(TRIO)
    return folder / "wheelhouse"


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
@pytest.mark.parametrize(
    "source",
    ["--no-index --find-links /wheelhouse", "--index-url file:///wheelhouse/simple"],
    ids=["find-links", "file-index"],
)
def test_pip_installs_it_and_the_program_runs(example: Path, arch: str, source: str) -> None:
    script = f"""
        test -z "$(command -v gcc cc clang)"
        python3 -m venv --system-site-packages /tmp/venv
        /tmp/venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check {source} -r /app/requirements.txt
        /tmp/venv/bin/python /app/app.py
    """
    assert in_alpine("3.12", arch, script, (example, "/wheelhouse"), (EXAMPLE, "/app")).splitlines() == ALL_OK


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_pip_accepts_the_hashes_beside_the_index(example: Path, arch: str) -> None:
    lock = f"/wheelhouse/requirements-cp312-musllinux_1_2_{MACHINES[arch]}.txt"
    script = f"""
        pip install --quiet --no-cache-dir --disable-pip-version-check --target /tmp/site \
            --require-hashes --no-index --find-links /wheelhouse -r {lock}
        PYTHONPATH=/tmp/site python3 /app/app.py
    """
    assert in_alpine("3.12", arch, script, (example, "/wheelhouse"), (EXAMPLE, "/app")).splitlines() == ALL_OK


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_uv_installs_from_the_index(example: Path, arch: str, tmp_path: Path) -> None:
    platform = f"musllinux_1_1_{MACHINES[arch]}"
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*download, "--dest", str(tmp_path), "--platform", platform, "uv"], check=True)
    (wheel,) = tmp_path.glob("uv-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        binary = next(name for name in archive.namelist() if name.endswith("scripts/uv"))
        (tmp_path / "uv").write_bytes(archive.read(binary))
    (tmp_path / "uv").chmod(0o755)
    script = """
        export UV_CACHE_DIR=/tmp/uv HOME=/tmp
        /uv/uv pip install --quiet --target /tmp/site --python "$(command -v python3)" \
            --default-index file:///wheelhouse/simple -r /app/requirements.txt
        PYTHONPATH=/tmp/site python3 /app/app.py
    """
    mounts = ((example, "/wheelhouse"), (EXAMPLE, "/app"), (tmp_path, "/uv"))
    assert in_alpine("3.12", arch, script, *mounts).splitlines() == ALL_OK


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_the_runtime_image_holds_the_program_and_no_wheel(example: Path, arch: str, tmp_path: Path) -> None:
    context, tag = tmp_path / "context", f"whb-test/runtime:{arch}"
    shutil.copytree(EXAMPLE, context)
    shutil.copytree(example, context / "wheelhouse", symlinks=True)
    # Debian's client, which has BuildKit within; another first on PATH may want buildx beside it
    command = ["/usr/bin/docker", "build", "--quiet", "--network", "none", "--platform", f"linux/{arch}"]
    base = IMAGE.format(python="3.12", arch=arch)
    command += ["--build-arg", f"BASE={base}", "--tag", tag, "--file", str(REPOSITORY / "docker/runtime/Dockerfile")]
    built = subprocess.run(
        [*command, str(context)],
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    shell = ["docker", "run", "--rm", "--network", "none", "--read-only", "--platform", f"linux/{arch}", tag]
    ran = subprocess.run(shell, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ALL_OK
    left = "find / -xdev '(' -name '*.whl' -o -path '*/.cache/*' ')' ! -path '*/ensurepip/*'"
    script = f"id -un; {left}; command -v gcc cc; :"
    inside = subprocess.run([*shell, "sh", "-c", script], capture_output=True, text=True, check=True)
    assert inside.stdout.split() == ["nobody"]


def test_the_same_again_builds_and_downloads_nothing(whb: Whb, example: Path) -> None:
    before = wheels_of(example)
    arguments = ["build", str(EXAMPLE / "requirements.txt"), "--python", "3.12", *BOTH]
    again = whb.ok(*arguments, "--no-binary", ",".join(TRIO), "--offline", "--json", cwd=example.parent)
    assert {row["decision"] for row in rows(again.stdout)} == {"reuse"}
    assert json.loads(again.stdout)["changed"] is False
    assert wheels_of(example) == before


def test_the_same_again_starts_no_subprocess(whb: Whb, example: Path, tmp_path: Path) -> None:
    arguments = ["build", str(EXAMPLE / "requirements.txt"), "--python", "3.12", *BOTH, "--no-binary", ",".join(TRIO)]
    guard = tmp_path / "sitecustomize.py"
    guard.write_text(
        "import sys\ndef hook(event, args):\n"
        "    if event in ('subprocess.Popen', 'os.posix_spawn', 'os.exec', 'os.fork', 'socket.connect'):\n"
        "        sys.stderr.write(f'FORBIDDEN {event} {args}\\n')\n        raise SystemExit(99)\n"
        "sys.addaudithook(hook)\n"
    )
    done = whb.ok(*arguments, cwd=example.parent, PYTHONPATH=f"{tmp_path}:{REPOSITORY}")
    assert "FORBIDDEN" not in done.stderr


def test_a_second_python_builds_only_cffi_again(whb: Whb, newest: Path) -> None:
    arguments = ["--python", "3.12", "--python", "3.13", *BOTH, "--no-binary", ",".join(TRIO)]
    before = set(wheels_of(newest))
    whb.ok("build", *NEWEST, *arguments, cwd=newest.parent)
    new = set(wheels_of(newest)) - before
    assert {name.split("-")[0] for name in new} == {"cffi"}, new
    assert all("-cp313-cp313-musllinux_1_2_" in name for name in new), new
    for name in ("bcrypt", "cryptography"):
        wheels = [path.name for path in newest.glob(f"{name}-*.whl")]
        assert len(wheels) == 2, wheels
        assert all("-cp312-abi3-musllinux_1_2_" in wheel for wheel in wheels), wheels


@pytest.mark.parametrize("python", ["3.12", "3.13"])
@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_the_newest_of_all_three_run(newest: Path, arch: str, python: str) -> None:
    script = """
        pip install --quiet --no-cache-dir --disable-pip-version-check --target /tmp/site \
            --no-index --find-links /wheelhouse cffi bcrypt cryptography
        PYTHONPATH=/tmp/site python3 - <<'PYTHON'
import bcrypt
from cffi import FFI
from cryptography.fernet import Fernet
from cryptography.hazmat.bindings._rust import openssl
assert bcrypt.checkpw(b"secret", bcrypt.hashpw(b"secret", bcrypt.gensalt(4)))
key = Fernet(Fernet.generate_key())
assert key.decrypt(key.encrypt(b"text")) == b"text"
ffi = FFI()
double = ffi.callback("int(int)", lambda number: 2 * number)
assert double(21) == 42
print("all run with", openssl.openssl_version_text())
PYTHON
    """
    assert "all run with OpenSSL 3" in in_alpine(python, arch, script, (newest, "/wheelhouse"))


def test_two_builds_from_two_directories_are_bit_identical(whb: Whb, newest: Path, tmp_path: Path) -> None:
    """bcrypt (Rust) and cffi (C with libffi), built anew with the build cache and the sources somewhere else."""
    other = tmp_path / "another" / "cache"
    for part in ("zig", "rust", "toolchains", "libraries", "crates", "cargo", "uv", "downloads", "answers", "python"):
        if (whb.cache / part).exists():
            other.mkdir(parents=True, exist_ok=True)
            (other / part).symlink_to(whb.cache / part)
    names = ("-P", "cffi", "-P", "bcrypt", "--no-binary", "cffi,bcrypt")
    Whb(other).ok("build", *names, "--python", "3.12", "--arch", "arm64", cwd=tmp_path, WHB_VERIFY_ENGINE="off")
    again = wheels_of(tmp_path / "wheelhouse")
    first = wheels_of(newest)
    built = [name for name in again if name.startswith(("cffi", "bcrypt"))]
    assert len(built) == 2
    for name in built:
        assert again[name] == first[name], name


def test_no_paths_of_this_machine_are_in_the_wheels(whb: Whb, newest: Path, tmp_path: Path) -> None:
    for wheel in newest.glob("*musllinux*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                content = archive.read(member)
                for path in (str(whb.cache), str(Path.home() / ".cargo"), sysconfig.get_path("purelib")):
                    assert path.encode() not in content, f"{path} in {member} of {wheel.name}"


def test_cross_builds_do_not_lean_on_emulation(whb: Whb, newest: Path, test_dir: Path, tmp_path: Path) -> None:
    """Where no QEMU is registered nothing for arm64 can run, and cffi with its libffi still builds."""
    other = tmp_path / "cache"
    shutil.copytree(whb.cache / "answers", other / "answers")
    for part in ("zig", "toolchains", "crates", "uv", "downloads"):
        (other / part).symlink_to(whb.cache / part)
    foreign = str(test_dir / "alpine/3.12-arm64/usr/local/bin/python3.12")
    assert "Exec format error" in without_qemu([foreign, "--version"]).stderr
    environ = {**os.environ, "WHB_CACHE_DIR": str(other), "WHB_VERIFY_ENGINE": "off"}
    build = ("build", "-P", "cffi", "--no-binary", "cffi", "--python", "3.12", "--arch", "arm64")
    done = without_qemu([sys.executable, "-m", "wheelhouse_builder", *build], cwd=tmp_path, env=environ)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheelhouse").glob("cffi-*.whl")
    assert wheel.read_bytes().hex() == wheels_of(newest)[wheel.name]
