"""The target: one (python, arch, musl), and every spelling of it that some tool wants.

Nothing else in the project writes `aarch64-linux-musl` or `cp312` by hand. Sources: PEP 425 and PEP 656 (tags), PEP 508
(markers), PEP 3149 (SOABI), the target tables of zig, Rust and docker.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from packaging import tags

from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packaging.markers import Environment
    from packaging.tags import Tag

OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 14)


class Arch(StrEnum):
    """A processor architecture, under the kernel's name for it (`uname -m`)."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"

    @classmethod
    def parse(cls, text: str) -> Arch:
        """`amd64`, `x86_64`, `arm64` or `aarch64`. Raises `UsageError` for anything else."""
        try:
            return _ARCH_NAMES[text.strip().lower()]
        except KeyError:
            raise UsageError(f"unknown architecture {text!r}", hint="use amd64 (x86_64) or arm64 (aarch64)") from None

    @property
    def docker(self) -> str:
        """Docker's and Debian's name: `amd64`, `arm64`."""
        return {Arch.X86_64: "amd64", Arch.AARCH64: "arm64"}[self]

    @property
    def multiarch(self) -> str:
        """`aarch64-linux-musl`: the GNU triple as CPython's MULTIARCH and zig's `-target` write it."""
        return f"{self}-linux-musl"

    @property
    def rust_triple(self) -> str:
        """`aarch64-unknown-linux-musl`"""
        return f"{self}-unknown-linux-musl"


_ARCH_NAMES = {"x86_64": Arch.X86_64, "amd64": Arch.X86_64, "aarch64": Arch.AARCH64, "arm64": Arch.AARCH64}


def parse_python(text: str) -> tuple[int, int]:
    """`3.12` → `(3, 12)`. Raises `UsageError` for other forms and for versions this release does not know."""
    major, dot, minor = text.strip().partition(".")
    supported = f"use a minor version from {_dotted(OLDEST_PYTHON)} to {_dotted(NEWEST_PYTHON)}, such as 3.12"
    if not (dot and major.isascii() and minor.isascii() and major.isdigit() and minor.isdigit()):
        raise UsageError(f"unknown Python {text!r}", hint=supported)
    version = (int(major), int(minor))
    if not OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        raise UsageError(f"Python {text} is not supported", hint=supported)
    return version


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


@dataclass(frozen=True, order=True)
class Target:
    """What a wheel is for: a CPython minor version, an architecture and the oldest musl that it must run on."""

    python: tuple[int, int]
    arch: Arch
    musl: tuple[int, int] = (1, 2)

    @classmethod
    def parse(cls, text: str) -> Target:
        """`cp312-musllinux_1_2_aarch64` → the target of that name. Raises `UsageError`."""
        interpreter, _, platform = text.partition("-")
        try:
            _, major, minor, arch = platform.split("_", 3)
            target = cls(
                parse_python(f"{interpreter[2:3]}.{interpreter[3:]}"), Arch.parse(arch), (int(major), int(minor))
            )
        except (ValueError, UsageError):
            raise UsageError(f"unknown target {text!r}", hint="write it as cp312-musllinux_1_2_aarch64") from None
        if str(target) != text:  # every name has one spelling
            raise UsageError(f"unknown target {text!r}", hint=f"did you mean {target}?")
        return target

    def __str__(self) -> str:
        return f"{self.interpreter}-{self.platform_tag}"

    # Python's spellings

    @property
    def python_version(self) -> str:
        """`3.12`"""
        return _dotted(self.python)

    @property
    def interpreter(self) -> str:
        """`cp312`: the interpreter tag, and the ABI tag of version-specific extensions (PEP 425)."""
        return f"cp{self.python[0]}{self.python[1]}"

    @property
    def platform_tag(self) -> str:
        """`musllinux_1_2_aarch64` (PEP 656)"""
        return f"musllinux_{self.musl[0]}_{self.musl[1]}_{self.arch}"

    @property
    def linux_tag(self) -> str:
        """`linux_aarch64`: what a build backend calls a wheel before repair."""
        return f"linux_{self.arch}"

    @property
    def platform_tags(self) -> tuple[str, ...]:
        """Every platform tag that this target installs, best first.

        `linux_*` is left out on purpose, though installers accept it: nothing says which libc such a wheel is for.
        """
        return tuple(f"musllinux_{self.musl[0]}_{minor}_{self.arch}" for minor in range(self.musl[1], -1, -1))

    @property
    def tags(self) -> tuple[Tag, ...]:
        """Every wheel tag that this target installs, best first."""
        return tuple(_tags_of(self))

    def fits(self, wheel_tags: Iterable[Tag]) -> bool:
        """Whether a wheel with these tags installs here."""
        return not _tags_of(self).keys().isdisjoint(wheel_tags)

    @property
    def soabi(self) -> str:
        """`cpython-312-aarch64-linux-musl` (PEP 3149)"""
        return f"cpython-{self.python[0]}{self.python[1]}-{self.multiarch}"

    @property
    def ext_suffix(self) -> str:
        """`.cpython-312-aarch64-linux-musl.so`"""
        return f".{self.soabi}.so"

    @property
    def sysconfig_platform(self) -> str:
        """`linux-aarch64`: what `sysconfig.get_platform()` says there."""
        return f"linux-{self.arch}"

    @property
    def sysconfigdata_name(self) -> str:
        """The module that holds the build-time variables there."""
        return f"_sysconfigdata__linux_{self.multiarch}"

    @property
    def marker_environment(self) -> Environment:
        """The environment that markers are evaluated in (PEP 508), never the host's.

        The patch level is not known and no marker should turn on it: it is given as 0.
        """
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python_version}.0",
            "os_name": "posix",
            "platform_machine": str(self.arch),
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python_version}.0",
            "python_version": self.python_version,
            "sys_platform": "linux",
        }

    # Toolchains' spellings

    @property
    def multiarch(self) -> str:
        """`aarch64-linux-musl`"""
        return self.arch.multiarch

    @property
    def zig_target(self) -> str:
        """What `zig cc -target` wants."""
        return self.multiarch

    @property
    def rust_triple(self) -> str:
        """`aarch64-unknown-linux-musl`"""
        return self.arch.rust_triple

    @property
    def uv_platform(self) -> str:
        """What `uv pip compile --python-platform` wants."""
        return self.rust_triple

    @property
    def docker_platform(self) -> str:
        """`linux/arm64`"""
        return f"linux/{self.arch.docker}"

    @property
    def cibuildwheel_identifier(self) -> str:
        """`cp312-musllinux_aarch64`"""
        return f"{self.interpreter}-musllinux_{self.arch}"

    @property
    def libc_soname(self) -> str:
        """`libc.musl-aarch64.so.1`: the name that Alpine's linker writes into DT_NEEDED."""
        return f"libc.musl-{self.arch}.so.1"


@cache
def _tags_of(target: Target) -> dict[Tag, None]:
    """Its tags in order: each package of each lock is held against them."""
    found = [
        *tags.cpython_tags(target.python, [target.interpreter], target.platform_tags),
        *tags.compatible_tags(target.python, target.interpreter, target.platform_tags),
    ]
    return dict.fromkeys(found)
