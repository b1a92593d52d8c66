"""Bad input through the real command: which exit code, what is said, and that nothing is lost.

Each case checks that the error names the input and what to do next, and that no traceback is shown.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import IMAGE, Whb
from tests.integration.projects import c_extension, sdist
from tests.wheels import make_wheel
from wheelhouse_builder.files import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration

FAST = ("--python", "3.12", "--arch", "arm64")
OFF = {"WHB_VERIFY_ENGINE": "off"}


def refused(whb: Whb, code: int, *arguments: str, cwd: Path, **environment: str) -> str:
    """Run, expect this exit code and no traceback; everything that was said."""
    done = whb(*arguments, cwd=cwd, **{**OFF, **environment})
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said, said
    return said


def build(name: str, path: Path) -> tuple[str, ...]:
    return ("build", "-P", f"{name} @ {path.as_uri()}", *FAST)


# what is asked for


def test_a_package_that_does_not_exist(whb: Whb, tmp_path: Path) -> None:
    said = refused(whb, 3, "build", "-P", "whb-no-such-package-on-any-index", *FAST, cwd=tmp_path)
    assert "whb-no-such-package-on-any-index" in said
    assert "hint:" in said


def test_requirements_that_contradict_each_other(whb: Whb, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("markupsafe==3.0.2\nmarkupsafe==2.1.5\n")
    said = refused(whb, 3, "build", "requirements.txt", *FAST, cwd=tmp_path)
    assert "markupsafe" in said


def test_a_syntax_error_names_file_and_line(whb: Whb, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("markupsafe\n\ncffi=>2\n")
    said = refused(whb, 2, "build", "requirements.txt", *FAST, cwd=tmp_path)
    assert "requirements.txt" in said
    assert "3" in said
    assert "cffi=>2" in said


def test_an_unknown_python(whb: Whb, tmp_path: Path) -> None:
    said = refused(whb, 2, "build", "-P", "six", "--python", "3.99", cwd=tmp_path)
    assert "3.99" in said
    assert "3.12" in said


def test_an_unknown_architecture(whb: Whb, tmp_path: Path) -> None:
    said = refused(whb, 2, "build", "-P", "six", "--arch", "riscv64", cwd=tmp_path)
    assert "riscv64" in said
    assert "arm64" in said


def test_a_wrong_hash(whb: Whb, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    said = refused(whb, 3, "build", "requirements.txt", *FAST, cwd=tmp_path)
    assert "six" in said
    assert "0" * 64 in said
    assert not list(tmp_path.glob("wheelhouse/*.whl"))


# what the sources are


def index_with(folder: Path, name: str, archive: Path, sha256: str) -> str:
    """A file index with one sdist under this hash; its URL."""
    project = folder / "simple" / name
    project.mkdir(parents=True)
    link = f'<!DOCTYPE html><a href="{archive.as_uri()}#sha256={sha256}">{archive.name}</a>'
    (project / "index.html").write_text(link)
    return (folder / "simple").as_uri()


def test_a_tampered_download(whb: Whb, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, name="tampered")
    index = index_with(tmp_path, "tampered", wheel, "1" * 64)
    said = refused(whb, 1, "build", "-P", "tampered", *FAST, cwd=tmp_path, UV_INDEX=index)
    assert wheel.name in said
    assert "1" * 64 in said
    assert not list(whb.cache.glob(f"downloads/11/{'1' * 64}/*.whl"))
    assert not list(tmp_path.glob("wheelhouse/*.whl"))


def member(name: str, **values: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("traversal", member("traversal-1.0/../../outside")),
        ("absolute", member("/tmp/whb-outside")),
        ("link-out", member("link_out-1.0/link", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    ],
)
def test_an_archive_that_attacks(whb: Whb, tmp_path: Path, name: str, extra: tarfile.TarInfo) -> None:
    """uv opens it first, for its metadata; `tests/unit/test_sources.py` has the same attacks on our own unpacking."""
    archive = sdist(tmp_path, name, c_extension(name), extra=(extra,))
    said = refused(whb, 3, *build(name, archive), cwd=tmp_path)
    assert archive.name in said
    assert not Path("/tmp/whb-outside").exists()


def test_a_zip_bomb(whb: Whb, tmp_path: Path) -> None:
    files = c_extension("bomb") | {"zeros": "\0" * (600 << 20)}
    archive = sdist(tmp_path, "bomb", files)
    assert "bomb-1.0.tar.gz" in refused(whb, 1, *build("bomb", archive), cwd=tmp_path)


def test_a_missing_header_is_named(whb: Whb, tmp_path: Path) -> None:
    archive = sdist(tmp_path, "needs-lib", c_extension("needs-lib", includes="#include <libxml/parser.h>"))
    said = refused(whb, 1, *build("needs-lib", archive), cwd=tmp_path)
    assert "libxml/parser.h" in said
    assert "needs-lib-1.0-cp312-musllinux_1_2_aarch64.log" in said


def asking(folder: Path, command: str) -> Path:
    """An sdist whose setup.py must run this command, a list in Python."""
    setup = (
        "import subprocess, os\nfrom setuptools import setup, Extension\n"
        f"subprocess.run({command}, check=True)\n"
        "setup(name='asking', version='1.0', ext_modules=[Extension('x', ['asking.c'])])\n"
    )
    files = {**c_extension("asking"), "setup.py": setup}
    files["pyproject.toml"] = '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
    return sdist(folder, "asking", files)


def test_a_missing_pkg_config_package_is_named(whb: Whb, tmp_path: Path) -> None:
    archive = asking(tmp_path, "[os.environ['PKG_CONFIG'], '--cflags', '--print-errors', 'libxslt']")
    assert "libxslt" in refused(whb, 1, *build("asking", archive), cwd=tmp_path)


def test_a_config_program_of_this_machine_is_not_asked(whb: Whb, tmp_path: Path) -> None:
    program = tmp_path / "bin/xslt-config"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho -I/usr/include\n")
    program.chmod(0o755)
    archive, path = asking(tmp_path, "['xslt-config', '--cflags']"), f"{program.parent}:{os.environ['PATH']}"
    said = refused(whb, 1, *build("asking", archive), cwd=tmp_path, PATH=path)
    assert "the build asks xslt-config where a C library is, and it is not there" in said


def test_a_compiler_error_shows_its_lines_and_the_log(whb: Whb, tmp_path: Path) -> None:
    archive = sdist(tmp_path, "broken", c_extension("broken", body="return not_declared_anywhere;"))
    said = refused(whb, 1, *build("broken", archive), cwd=tmp_path)
    assert "not_declared_anywhere" in said
    log = tmp_path / "wheelhouse/.whb/logs/broken-1.0-cp312-musllinux_1_2_aarch64.log"
    assert log.is_file()
    assert str(log) in said


def test_a_failure_does_not_stop_the_others(whb: Whb, tmp_path: Path) -> None:
    archive = sdist(tmp_path, "broken", c_extension("broken", body="return not_declared_anywhere;"))
    said = refused(whb, 1, *build("broken", archive), "-P", "six", cwd=tmp_path)
    assert "ready" in said
    assert list(tmp_path.glob("wheelhouse/six-*.whl"))
    assert "six" in (tmp_path / "wheelhouse/simple/index.html").read_text()


def test_a_native_sdist_that_comes_out_pure(whb: Whb, tmp_path: Path) -> None:
    files = c_extension("quiet") | {
        "setup.py": "from setuptools import Extension, setup\n"
        "from setuptools.command.build_ext import build_ext\n"
        "class optional(build_ext):\n    def run(self): pass\n"
        "setup(name='quiet', version='1.0', py_modules=['quiet_pure'], cmdclass={'build_ext': optional},\n"
        "      ext_modules=[Extension('quiet', ['quiet.c'])])\n",
        "quiet_pure.py": "",
        "pyproject.toml": '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n',
    }
    said = refused(whb, 1, *build("quiet", sdist(tmp_path, "quiet", files)), cwd=tmp_path)
    assert "native" in said or "pure" in said


def test_rust_is_missing(whb: Whb, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for folder in ("/bin", "/usr/bin"):
        for program in Path(folder).iterdir():
            if program.name not in ("cargo", "rustc", "rustup") and not (tools / program.name).is_symlink():
                (tools / program.name).symlink_to(program)
    files = {
        "pyproject.toml": '[build-system]\nrequires = ["maturin>=1.9"]\nbuild-backend = "maturin"\n'
        '[project]\nname = "rusty"\nversion = "1.0"\n',
        "Cargo.toml": '[package]\nname = "rusty"\nversion = "1.0.0"\nedition = "2021"\n',
        "src/lib.rs": "",
    }
    archive = sdist(tmp_path, "rusty", files)
    said = refused(whb, 1, *build("rusty", archive), cwd=tmp_path, PATH=str(tools), RUSTUP_HOME=str(tmp_path / "none"))
    assert "Rust" in said
    assert "whb doctor --install" in said


# what the machine does


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_under_the_wheelhouse(whb: Whb, tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "-o", "size=200k"):
        said = refused(whb, 4, "build", "-P", "pygments", *FAST, "-w", "small/wheelhouse", cwd=tmp_path)
        assert "space" in said
        assert "small" in said
        assert not list((tmp_path / "small/wheelhouse").glob("*.whl"))
    whb.ok("build", "-P", "pygments", *FAST, "-w", "small/wheelhouse", cwd=tmp_path, **OFF)


def test_a_full_disk_under_the_cache(whb: Whb, tmp_path: Path) -> None:
    with mounted(tmp_path / "cache", "-o", "size=600k"):
        done = Whb(tmp_path / "cache")("build", "-P", "pygments", *FAST, cwd=tmp_path, UV_NO_CACHE="1", **OFF)
        said = done.stdout + done.stderr
        assert done.returncode == 1, said
        assert "space" in said
        assert "Traceback" not in said


def test_a_wheelhouse_that_cannot_be_written(whb: Whb, tmp_path: Path) -> None:
    with mounted(tmp_path / "fixed", "-o", "ro"):
        said = refused(whb, 4, "build", "-P", "six", *FAST, "-w", "fixed", cwd=tmp_path)
        assert "fixed" in said


def test_a_wheelhouse_that_is_a_file(whb: Whb, tmp_path: Path) -> None:
    (tmp_path / "wheelhouse").write_text("")
    assert "wheelhouse" in refused(whb, 2, "build", "-P", "six", *FAST, cwd=tmp_path)


def test_a_damaged_wheel_is_not_published(whb: Whb, tmp_path: Path) -> None:
    whb.ok("build", "-P", "six", *FAST, cwd=tmp_path, **OFF)
    (wheel,) = (tmp_path / "wheelhouse").glob("six-*.whl")
    before = wheel.read_bytes()
    wheel.write_bytes(before[:-9] + b"x" * 9)
    said = refused(whb, 5, "build", "-P", "six", *FAST, cwd=tmp_path)
    assert wheel.name in said
    assert "hint:" in said
    wheel.unlink()
    whb.ok("build", "-P", "six", *FAST, cwd=tmp_path, **OFF)
    assert wheel.read_bytes() == before


def test_damaged_records(whb: Whb, tmp_path: Path) -> None:
    whb.ok("build", "-P", "six", *FAST, cwd=tmp_path, **OFF)
    records = tmp_path / "wheelhouse/.whb/records.sqlite"
    records.write_bytes(b"not a database, surely" * 100)
    said = refused(whb, 5, "build", "-P", "six", *FAST, cwd=tmp_path)
    assert "records.sqlite" in said
    assert list((tmp_path / "wheelhouse").glob("six-*.whl"))
    with pytest.raises(sqlite3.DatabaseError), contextlib.closing(sqlite3.connect(records)) as connection:
        connection.execute("SELECT * FROM wheels")


# several at once, and the end in the middle


def start(whb: Whb, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    env = {**os.environ, "WHB_CACHE_DIR": str(whb.cache), "WHB_VERIFY_IMAGE": IMAGE, **OFF}
    command = [sys.executable, "-m", "wheelhouse_builder", *arguments]
    return subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


SLOW = (
    "import os, pathlib, time\n"
    "from setuptools import setup, Extension\n"
    "gate = pathlib.Path({gate!r})\n"
    "gate.with_suffix('.here').write_text(str(os.getpid()))\n"
    "while not gate.exists(): time.sleep(0.05)\n"
    "setup(name='slow', version='1.0', ext_modules=[Extension('slow', ['slow.c'])])\n"
)


def slow_project(folder: Path, gate: Path) -> Path:
    """An sdist whose build waits until `gate` exists, and says that it has begun."""
    files = c_extension("slow") | {
        "setup.py": SLOW.format(gate=str(gate)),
        "pyproject.toml": '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n',
    }
    return sdist(folder, "slow", files)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def wait_for(path: Path) -> None:
    wait_until(path.exists)


def running_builds(whb: Whb, archive: Path) -> list[str]:
    """The processes that are in a work folder of this source: other tests build at the same time."""
    work = f"{whb.cache}/work/{sha256_of(archive)[:16]}-"
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str((process / "cwd").readlink()).startswith(work):
                found.append((process / "cmdline").read_text())
    return found


def test_ctrl_c_ends_the_children_and_the_next_run_goes_on(whb: Whb, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    archive = slow_project(tmp_path, gate)
    arguments = build("slow", archive)
    process = start(whb, *arguments, cwd=tmp_path)
    wait_for(gate.with_suffix(".here"))
    assert running_builds(whb, archive)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "again" in said
    assert "Traceback" not in said
    assert running_builds(whb, archive) == []
    gate.touch()
    whb.ok(*arguments, cwd=tmp_path, **OFF)
    assert list((tmp_path / "wheelhouse").glob("slow-*.whl"))


def test_two_builds_at_once_take_turns(whb: Whb, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    arguments = build("slow", slow_project(tmp_path, gate))
    first = start(whb, *arguments, "--json", cwd=tmp_path)
    wait_for(gate.with_suffix(".here"))
    second = start(whb, *arguments, "--json", cwd=tmp_path)
    assert second.stderr is not None
    line = second.stderr.readline()
    while "waiting for" not in line:
        assert line, "the second run said nothing of the first"
        line = second.stderr.readline()
    assert str(first.pid) in line
    gate.touch()
    for process, decision in ((first, "build"), (second, "reuse")):
        output, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert [row["decision"] for row in json.loads(output)["rows"]] == [decision]


def test_kill_9_in_the_middle_leaves_the_last_generation(whb: Whb, tmp_path: Path) -> None:
    whb.ok("build", "-P", "six", *FAST, cwd=tmp_path, **OFF)
    before = (tmp_path / "wheelhouse/simple/index.html").read_text()
    gate = tmp_path / "gate"
    archive = slow_project(tmp_path, gate)
    arguments = build("slow", archive)
    process = start(whb, *arguments, cwd=tmp_path)
    wait_for(gate.with_suffix(".here"))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: running_builds(whb, archive) == [])
    assert (tmp_path / "wheelhouse/simple/index.html").read_text() == before
    gate.touch()
    whb.ok(*arguments, cwd=tmp_path, **OFF)
    assert "slow" in (tmp_path / "wheelhouse/simple/index.html").read_text()
