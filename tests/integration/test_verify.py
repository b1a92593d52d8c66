"""Verification against the real thing: upstream's wheels, and Alpine in docker and by chroot for both architectures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import IMAGE
from tests.wheels import make_wheel
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.target import Arch, Target
from wheelhouse_builder.verify.alpine import Alpine, NoAlpine, find_alpine
from wheelhouse_builder.verify.imports import check_imports
from wheelhouse_builder.verify.loader import check_loader
from wheelhouse_builder.verify.verdict import Method

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

TARGETS = {arch: Target((3, 12), arch) for arch in Arch}
PROJECTS = ["markupsafe==3.0.4", "cffi==2.1.1", "bcrypt==5.0.0", "cryptography==50.0.2"]
both = pytest.mark.parametrize("arch", Arch)


def download(folder: Path, requirements: list[str], *platforms: str) -> list[Path]:
    """Upstream's wheels for CPython 3.12, as pip chooses them."""
    options = [option for platform in platforms for option in ("--platform", platform)]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version=3.12",
    ]
    subprocess.run([*command, *options, "-d", str(folder), *requirements], check=True, timeout=300)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> dict[Arch, list[Path]]:
    """The musllinux wheels of PROJECTS."""
    return {arch: download(tmp_path_factory.mktemp(arch), PROJECTS, f"musllinux_1_2_{arch}") for arch in Arch}


@both
def test_the_loader_check_agrees_with_upstream(upstream: dict[Arch, list[Path]], arch: Arch) -> None:
    assert len(upstream[arch]) == len(PROJECTS)
    for wheel in upstream[arch]:
        assert check_loader(wheel, TARGETS[arch], native=True).problems == ()


def test_wheels_of_the_other_architecture_fail(upstream: dict[Arch, list[Path]]) -> None:
    for wheel in upstream[Arch.AARCH64]:
        problems = check_loader(wheel, TARGETS[Arch.X86_64]).problems
        assert any("is for aarch64, not x86_64" in problem for problem in problems)


def test_a_manylinux_wheel_fails(tmp_path: Path) -> None:
    (wheel,) = download(tmp_path, PROJECTS[:1], "manylinux_2_17_x86_64")
    problems = check_loader(wheel, TARGETS[Arch.X86_64]).problems
    assert any("not musllinux" in problem for problem in problems)
    assert any("was linked against glibc" in problem for problem in problems)


def abi3audit(wheel: Path) -> set[str]:
    """The symbols that abi3audit objects to."""
    program = Path(sys.executable).with_name("abi3audit")
    done = subprocess.run([program, "--report", wheel], capture_output=True, text=True, check=False, timeout=60)
    (report,) = json.loads(done.stdout)["specs"].values()
    results = [item["result"] for item in report["wheel"]]
    return {name for result in results for name in (*result["non_abi3_symbols"], *result["future_abi3_objects"])}


@both
@pytest.mark.parametrize("python", ["cp311", "cp35"])
def test_the_stable_abi_as_abi3audit_sees_it(
    upstream: dict[Arch, list[Path]], arch: Arch, python: str, tmp_path: Path
) -> None:
    """Our rule reads abi3audit's data; the two agree on real wheels, tagged rightly or not."""
    for wheel in upstream[arch]:
        name, version, *_, platform = wheel.stem.split("-")
        tagged = tmp_path / f"{name}-{version}-{python}-abi3-{platform}.whl"
        tagged.write_bytes(wheel.read_bytes())
        problems = check_loader(tagged, TARGETS[arch]).problems
        ours = {problem.split(" uses ")[1].split(",")[0] for problem in problems if " uses " in problem}
        assert ours == abi3audit(tagged)
        assert ours or (python == "cp311" and name in ("bcrypt", "cryptography"))


@pytest.fixture(params=["docker", "chroot"])
def alpine_for(request: pytest.FixtureRequest, test_dir: Path) -> Callable[[Target], Alpine]:
    """Both ways into Alpine."""

    def alpine(target: Target) -> Alpine:
        root = f"{test_dir}/alpine/{{python}}-{{arch}}"
        found = find_alpine(target, engine=request.param, image=IMAGE, rootfs=root)
        assert not isinstance(found, NoAlpine), found.reason
        return found

    return alpine


@both
def test_upstream_wheels_import(
    upstream: dict[Arch, list[Path]], arch: Arch, alpine_for: Callable[[Target], Alpine], tmp_path: Path
) -> None:
    target, log = TARGETS[arch], tmp_path / "log"
    verdicts = check_imports(upstream[arch], target, alpine_for(target), log=log)
    assert set(verdicts) == {wheel.name for wheel in upstream[arch]}
    for verdict in verdicts.values():
        assert verdict.problems == ()
        assert verdict.method is (Method.NATIVE if arch == Arch.X86_64 else Method.QEMU)
    assert "Successfully installed" in log.read_text()


CRASH = b"import ctypes; ctypes.string_at(0)\n"
DEFECTS = {
    "crash": (CRASH, "import crash: the interpreter crashed (SIGSEGV)", None),
    "raises": (b"print('noise')\n1 / 0\n", "import raises: ZeroDivisionError: division by zero", None),
    "optional": (b"import numpy.linalg\n", None, "import optional: wants numpy, which is not in the wheel"),
    "inner": (b"import inner.gone\n", "import inner: ModuleNotFoundError: No module named 'inner.gone'", None),
    "leaves": (b"raise SystemExit(3)\n", "import leaves: SystemExit: 3", None),
    "ends": (b"import os; os._exit(7)\n", "import ends: the interpreter ended with exit code 7", None),
    "network": (
        b"import socket\nsocket.create_connection(('192.0.2.1', 80), 5)\n",
        "import network: OSError: [Errno 101] Network unreachable",
        None,
    ),
    "writes": (
        b"open('/tmp/wheels/mine', 'w')\n",
        "import writes: OSError: [Errno 30] Read-only file system: '/tmp/wheels/mine'",
        None,
    ),
    "good": (b"import depended_on\n", None, None),
}


def test_each_wheel_is_judged_by_itself(alpine_for: Callable[[Target], Alpine], tmp_path: Path) -> None:
    target = TARGETS[Arch.X86_64]
    wheels = [
        make_wheel(tmp_path, name=name, files={f"{name}/__init__.py": text}) for name, (text, _, _) in DEFECTS.items()
    ]
    dependency = make_wheel(tmp_path, name="depended-on")
    other = make_wheel(tmp_path, name="other", tag="cp312-cp312-musllinux_1_2_aarch64")
    wanted = [wheel.name for wheel in [*wheels, other]]
    log = tmp_path / "log"
    verdicts = check_imports([*wheels, dependency, other], target, alpine_for(target), wanted=wanted, log=log)
    for wheel, (_, problem, note) in zip(wheels, DEFECTS.values(), strict=True):
        verdict = verdicts[wheel.name]
        assert verdict.problems == ((problem,) if problem else ())
        assert verdict.notes == ((note,) if note else ())
    assert verdicts[other.name].problems == (
        f"pip does not install it: {other.name} is not a supported wheel on this platform.",
    )
    assert "noise" in log.read_text()
    assert dependency.name not in verdicts


def left_behind() -> str:
    """Containers of ours and mounts in the root file systems."""
    containers = ["docker", "ps", "--all", "--no-trunc", "--filter", "name=whb-", "--format", "{{.Names}} {{.Command}}"]
    done = subprocess.run(containers, check=True, capture_output=True, text=True)
    ours = [line for line in done.stdout.splitlines() if "sleep 123" in line]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "whb-chroot-" in line]
    return "\n".join(ours + mounts)


def test_what_takes_too_long_leaves_nothing_behind(alpine_for: Callable[[Target], Alpine], tmp_path: Path) -> None:
    alpine = alpine_for(TARGETS[Arch.X86_64])
    with pytest.raises(JobError, match="took longer than 3 s"):
        alpine.run(["sh", "-c", "touch /tmp/started; sleep 123"], folder=tmp_path, timeout=3)
    assert left_behind() == ""
    assert list(tmp_path.iterdir()) == []
