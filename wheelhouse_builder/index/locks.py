"""What a client installs for one target, out of one wheelhouse: with the hashes of exactly these wheels.

Two forms: a requirements file for `--require-hashes`, and a PEP 751 lock, whose paths are relative to the lock. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.toml import toml_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wheelhouse_builder.index.wheels import Published
    from wheelhouse_builder.target import Target


def requirements_name(target: Target) -> str:
    """`requirements-cp312-musllinux_1_2_aarch64.txt`"""
    return f"requirements-{target}.txt"


def pylock_name(target: Target) -> str:
    """`pylock.cp312-musllinux_1_2_aarch64.toml`: a name that installers take for a lock (PEP 751)."""
    return f"pylock.{target}.toml"


def requirements(target: Target, wheels: Iterable[Published]) -> str:
    """The requirements file: each package at one version, with the hash of its one wheel for this target."""
    head = (
        f"# For {target}, with the hashes of the wheels beside this file:\n"
        f"#   pip install --no-index --find-links . --require-hashes -r {requirements_name(target)}\n"
    )
    lines = [f"{wheel.name}=={wheel.version} \\\n    --hash=sha256:{wheel.sha256}\n" for wheel in _ordered(wheels)]
    return head + "".join(lines)


def pylock(target: Target, wheels: Iterable[Published]) -> str:
    """The lock: `pip install -r pylock.<target>.toml` (pip 26.1 on) and `uv pip install -r …` take it."""
    marker = " and ".join(
        f"{name} == '{value}'"
        for name, value in (
            ("implementation_name", "cpython"),
            ("python_version", target.python_version),
            ("sys_platform", "linux"),
            ("platform_machine", str(target.arch)),
        )
    )
    head = (
        'lock-version = "1.0"\n'
        f"environments = [{toml_value(marker)}]\n"
        f"requires-python = {toml_value(f'=={target.python_version}.*')}\n"
        'created-by = "wheelhouse-builder"\n'
    )
    return head + ("".join(map(_package, _ordered(wheels))) or "packages = []\n")


def _package(wheel: Published) -> str:
    lines = ["", "[[packages]]", f"name = {toml_value(wheel.name)}", f"version = {toml_value(str(wheel.version))}"]
    if wheel.requires_python:
        lines.append(f"requires-python = {toml_value(wheel.requires_python)}")
    lines += ["", "[[packages.wheels]]", f"name = {toml_value(wheel.filename)}", f"path = {toml_value(wheel.filename)}"]
    if wheel.published_at:
        lines.append(f"upload-time = {wheel.published_at:%Y-%m-%dT%H:%M:%SZ}")
    lines += [f"size = {wheel.size}", f"hashes = {{ sha256 = {toml_value(wheel.sha256)} }}", ""]
    return "\n".join(lines)


def _ordered(wheels: Iterable[Published]) -> list[Published]:
    return sorted(wheels, key=lambda wheel: wheel.name)
