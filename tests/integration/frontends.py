"""Real front ends of PEP 517: pip old and new, uv and build, in environments of their own, with wheels to install.

What comes from the registry is pinned, fetched once and kept below the test folder (`make_front_ends`); every call to a
front end is then without index. Our own wheel is made from the checkout in each run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.integration.conftest import IMAGE, REPOSITORY
from wheelhouse_builder.engines.cross.interpreter import find_python
from wheelhouse_builder.engines.cross.rust import find_rust
from wheelhouse_builder.locking import locked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PYTHON = (3, 11)  # the newest that the oldest pip runs on, and the oldest that we do

# pip 22.1 is the first with --config-settings.
FRONT_ENDS: Mapping[str, tuple[str, ...]] = {
    "pip-22": ("pip==22.1",),
    "pip-25": ("pip==25.3",),
    "pip-26": ("pip==26.3",),
    "uv": ("uv==0.13.9",),
    "build": ("build==1.6.1", "pip==26.3"),
}
PIPS = tuple(name for name in FRONT_ENDS if name.startswith("pip"))

BACKENDS = (
    "setuptools==84.2.1",
    "cffi==2.1.1",
    "setuptools-rust==1.13.0",
    "maturin==1.16.0",
    "meson-python==0.22.1",
    "meson==1.12.1",
    "ninja==1.13.2",
    "hatchling==1.33.0",
    "flit-core==4.2.0",
)
CRATE = "pyo3-ffi"  # the Rust bindings of the fixture for maturin
CRATE_VERSION = "0.30.1"

_ALPINE = ("--python-version", "3.12", "--implementation", "cp")
_NOT_OF_THIS_MACHINE = re.compile(r"(PIP|UV|WHB|XDG|PYTHON|CARGO_BUILD)_.*|VIRTUAL_ENV|PYTHONPATH|CC|CFLAGS|LDFLAGS")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is fetched once: an environment for each front end, wheels, Cargo's lock file of the maturin fixture."""

    root: Path

    @property
    def wheels(self) -> Path:
        """Wheels of all backends and of what our extras need, for this machine and for Alpine of both architectures."""
        return self.root / "wheels"

    @property
    def cargo_lock(self) -> Path:
        """Names each crate that the maturin fixture depends on."""
        return self.root / "crate/Cargo.lock"

    def program(self, front_end: str, name: str = "python") -> Path:
        """A program of a front end's environment."""
        return self.root / "environments" / front_end / "bin" / name


def make_front_ends(test_dir: Path, cache: Path) -> Kept:
    """Make what is not there yet. `cache` is whb's: it says where Python and Cargo are."""
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    ours = [*dependencies["dependencies"], *dependencies["optional-dependencies"]["build"]]
    wanted = json.dumps([PYTHON, dict(FRONT_ENDS), BACKENDS, ours, CRATE, CRATE_VERSION])
    kept = Kept(root=test_dir / "frontends" / hashlib.sha256(wanted.encode()).hexdigest()[:16])
    done = kept.root / "done"
    kept.root.mkdir(parents=True, exist_ok=True)
    with locked(kept.root.with_suffix(".lock")):
        if not done.exists():
            shutil.rmtree(kept.root)
            _make_environments(kept, cache)
            _fetch_wheels(kept, ours)
            _lock_crates(kept, cache)
            done.write_text(wanted)
    return kept


def _run(argv: Sequence[object], **environment: str) -> None:
    done = subprocess.run(
        [str(word) for word in argv], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"


def _make_environments(kept: Kept, cache: Path) -> None:
    python = find_python(PYTHON, cache)
    assert python is not None, f"no Python {PYTHON}: scripts/test gets it"
    for name, wanted in FRONT_ENDS.items():
        folder = kept.root / "environments" / name
        _run([python.path, "-m", "venv", "--without-pip", folder])
        _run([sys.executable, "-m", "pip", "--python", kept.program(name), "install", "--quiet", *wanted])


def _fetch_wheels(kept: Kept, ours: Sequence[str]) -> None:
    def download(*arguments: str) -> None:
        pip = (kept.program(PIPS[-1]), "-m", "pip")
        _run([*pip, "download", "--quiet", "--only-binary", ":all:", "--dest", kept.wheels, *arguments])

    download(*BACKENDS, *ours)
    for machine in ("x86_64", "aarch64"):
        platforms = [word for musl in ("1_2", "1_1") for word in ("--platform", f"musllinux_{musl}_{machine}")]
        download(*_ALPINE, *platforms, *BACKENDS, "packaging")


def _lock_crates(kept: Kept, cache: Path) -> None:
    """`cargo generate-lockfile`: a lock file in a test would name the registry."""
    rust = find_rust(cache)
    assert rust is not None, "no Rust: scripts/test gets it"
    folder = kept.cargo_lock.parent
    (folder / "src").mkdir(parents=True)
    (folder / "src/lib.rs").touch()
    (folder / "Cargo.toml").write_text(cargo_toml("tiny_maturin", f'{CRATE} = "={CRATE_VERSION}"\n'))
    _run([rust.cargo, "generate-lockfile", "--manifest-path", folder / "Cargo.toml"])


def cargo_toml(name: str, dependencies: str = "") -> str:
    """The manifest of a crate that is an extension module."""
    package = f'[package]\nname = "{name}"\nversion = "1.0.0"\nedition = "2021"\n'
    return f'{package}[lib]\ncrate-type = ["cdylib"]\n[dependencies]\n{dependencies}'


def build_own_wheel(kept: Kept, folder: Path) -> None:
    """Our own wheel, from the checkout as it is."""
    pip = (kept.program(PIPS[-1]), "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index")
    _run([*pip, "--find-links", kept.wheels, "--wheel-dir", folder, REPOSITORY])


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """One front end. Every call ends with all it said; none reaches an index."""

    name: str
    kept: Kept
    own: Path  # the folder of our own wheel
    home: Path
    cache: Path  # whb's

    @property
    def python(self) -> Path:
        """The interpreter it runs on and builds for."""
        return self.kept.program(self.name)

    def wheel(self, source: Path, into: Path, *config: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Build a wheel of a tree (of pip also: an sdist) into a folder; `config` are settings, KEY=VALUE."""
        commands: dict[str, list[object]] = {
            "pip": ["wheel", "--no-deps", "--no-cache-dir", "--wheel-dir", into],
            "uv": ["build", "--wheel", "--out-dir", into],
            "build": ["--wheel", "--outdir", into],
        }
        return self._call(commands, [source], config, environ)

    def sdist(self, source: Path, into: Path, *config: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Make the sdist; pip makes none."""
        commands: dict[str, list[object]] = {
            "uv": ["build", "--sdist", "--out-dir", into],
            "build": ["--sdist", "--outdir", into],
        }
        return self._call(commands, [source], config, environ)

    def install(self, source: Path, prefix: Path, *config: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Install below a prefix."""
        return self._call(self._install(prefix), [source], config, environ)

    def edit(self, source: Path, prefix: Path, *config: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Install editable below a prefix."""
        return self._call(self._install(prefix), ["--editable", source], config, environ)

    def _install(self, prefix: Path) -> dict[str, list[object]]:
        return {
            "pip": ["install", "--no-deps", "--no-cache-dir", "--prefix", prefix],
            "uv": ["pip", "install", "--no-deps", "--prefix", prefix],
        }

    def metadata(self, source: Path, into: Path, *config: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Ask for the metadata alone: nothing is installed."""
        old = ["download", "--no-deps", "--dest", into]
        commands: dict[str, list[object]] = {
            "pip": old if self.name == "pip-22" else ["install", "--dry-run", "--no-deps", "--prefix", into],
            "uv": ["pip", "install", "--dry-run", "--no-deps", "--prefix", into],
            "build": ["--metadata"],
        }
        return self._call(commands, [source], config, environ)

    def _call(
        self,
        commands: Mapping[str, Sequence[object]],
        last: Sequence[object],
        config: Sequence[str],
        environ: Mapping[str, str],
    ) -> subprocess.CompletedProcess[str]:
        kind = self.name.partition("-")[0]
        command = [*commands[kind], *self._options(kind)]
        option = "--config-settings" if self.name == "pip-22" else "-C"
        for setting in config:
            command += [option, setting]
        program = [self.kept.program("uv", "uv")] if kind == "uv" else [self.python, "-m", kind]
        argv = [str(word) for word in (*program, *command, *last)]
        env = {**self.environment(), **environ}
        return subprocess.run(argv, cwd=self.home, env=env, capture_output=True, text=True, check=False)

    def _options(self, kind: str) -> list[object]:
        if kind != "uv":
            return []  # pip reads its environment, also as the installer of build
        links = [word for folder in (self.kept.wheels, self.own) for word in ("--find-links", folder)]
        return ["--no-config", "--no-index", *links, "--python", self.python]

    def environment(self) -> dict[str, str]:
        """Nothing of this machine's own settings, but where its Rust is and what the tests of a run share."""
        mine = {name: value for name, value in os.environ.items() if not _NOT_OF_THIS_MACHINE.fullmatch(name)}
        rust = find_rust(self.cache)
        assert rust is not None
        return {
            **mine,
            "HOME": str(self.home),
            "PATH": f"{rust.cargo.parent}{os.pathsep}{os.environ['PATH']}",
            "CARGO_HOME": str(self.cache / "cargo"),
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", os.path.expanduser("~/.rustup")),  # noqa: PTH111
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": f"{self.kept.wheels} {self.own}",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_COMPILE": "1",  # half of what making a build environment costs, and nothing to us
            "UV_CACHE_DIR": str(self.home.parent / "uv-cache"),
            "UV_PYTHON_DOWNLOADS": "never",
            "WHB_CACHE_DIR": str(self.cache),
            "WHB_VERIFY_ENGINE": "off",
            "WHB_VERIFY_IMAGE": IMAGE,
        }


def ok(done: subprocess.CompletedProcess[str]) -> str:
    """What it said, and it went well."""
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{done.args}\n{said}"
    return said


def message_of(done: subprocess.CompletedProcess[str]) -> str:
    """The one message of whb, of at most three lines, with which it failed; nothing printed a traceback."""
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "Traceback" not in said
    (found,) = re.findall(r"whb: error: .*(?:\n.*){0,2}", said) or [""]
    assert found, said
    return str(found)
