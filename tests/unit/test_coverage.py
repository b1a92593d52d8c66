"""The matrix says what was seen, and nothing more."""

from __future__ import annotations

import dataclasses

import pytest
from packaging.version import Version

from tests.records import stored, verdict
from wheelhouse_builder.index.coverage import Standing, coverage, newest, standing
from wheelhouse_builder.target import Arch, Target

ARM = "musllinux_1_2_aarch64"
AMD = "musllinux_1_2_x86_64"
IMP, L, U, F, M = Standing.IMPORTED, Standing.LOADER, Standing.UNVERIFIED, Standing.FAILED, Standing.MISSING


def row(arch: str, *wheels: object) -> list[Standing]:
    """The standings of one architecture, from Python 3.11 to 3.14."""
    cells = coverage(wheels)  # type: ignore[type-var]  # StoredWheels
    return [cell.standing for target, cell in cells.items() if target.arch == arch]


def test_a_wheel_of_one_python_fills_one_cell() -> None:
    wheel = stored(f"cffi-2.0-cp312-cp312-{ARM}.whl", verdict("loader", f"cp312-{ARM}"))
    assert row("aarch64", wheel) == [M, L, M, M]
    assert row("x86_64", wheel) == [M, M, M, M]


def test_a_stable_abi_is_checked_for_all_and_imported_by_one() -> None:
    seen = [verdict("loader", f"cp312-{ARM}"), verdict("import", f"cp312-{ARM}", method="qemu")]
    wheel = stored(f"bcrypt-5.0-cp312-abi3-{ARM}.whl", *seen)
    assert row("aarch64", wheel) == [M, IMP, L, L]
    assert coverage([wheel])[_target("3.12", "aarch64")].method == "qemu"
    assert coverage([wheel])[_target("3.13", "aarch64")].method is None


def test_a_pure_wheel_installs_everywhere_and_was_seen_where_it_was_seen() -> None:
    seen = [verdict("loader", f"cp312-{ARM}"), verdict("import", f"cp312-{ARM}")]
    wheel = stored("pycparser-3.0-py3-none-any.whl", *seen)
    assert row("aarch64", wheel) == [U, IMP, U, U]
    assert row("x86_64", wheel) == [U, U, U, U]


@pytest.mark.parametrize(
    ("requires_python", "expected"),
    [
        (">=3.12", [M, U, U, U]),
        (">=3.12.4", [M, U, U, U]),
        (">3.12, !=3.13.*", [M, U, M, U]),
        ("<3.12.2", [U, U, M, M]),
        (">=3.9,<4", [U, U, U, U]),
        ("no specifier", [U, U, U, U]),
        (None, [U, U, U, U]),
    ],
)
def test_requires_python_closes_cells(requires_python: str | None, expected: list[Standing]) -> None:
    wheel = dataclasses.replace(stored("demo-1.0-py3-none-any.whl"), requires_python=requires_python)
    assert row("x86_64", wheel) == expected


def test_one_problem_spoils_a_cell() -> None:
    seen = [verdict("import", f"cp312-{ARM}"), verdict("loader", f"cp312-{ARM}", problems=("needs x",))]
    assert row("aarch64", stored(f"demo-1.0-cp312-cp312-{ARM}.whl", *seen)) == [M, F, M, M]
    assert standing(seen) is F


def test_the_cell_is_of_the_wheel_that_pip_takes() -> None:
    special = stored(f"demo-1.0-cp313-cp313-{ARM}.whl", verdict("import", f"cp313-{ARM}"))
    stable = stored(f"demo-1.0-cp311-abi3-{ARM}.whl", verdict("loader", f"cp311-{ARM}"))
    pure = stored("demo-1.0-py3-none-any.whl")
    assert row("aarch64", pure, stable, special) == [L, L, IMP, L]
    assert row("x86_64", pure, stable, special) == [U, U, U, U]
    rebuilt = stored(f"demo-1.0-1-cp313-cp313-{ARM}.whl")
    cell = coverage([rebuilt, special])[_target("3.13", "aarch64")]
    assert cell.wheel is rebuilt
    assert cell.standing is U


def test_any_musl_fits_its_cell() -> None:
    names = "demo-1.0-cp312-cp312-musllinux_1_1_x86_64.musllinux_1_3_x86_64.whl"
    assert row("x86_64", stored(names)) == [M, U, M, M]


def test_newest_is_what_an_installer_takes() -> None:
    def wheel(version: str, yanked: str | None = None) -> object:
        return dataclasses.replace(stored(f"demo-{version}-py3-none-any.whl"), yanked=yanked)

    def chosen(*wheels: object) -> Version:
        return newest(wheels)[0]  # type: ignore[type-var]  # StoredWheels

    assert chosen(wheel("1.9"), wheel("1.10"), wheel("2.0rc1")) == Version("1.10")
    assert chosen(wheel("1.9"), wheel("1.10", "bad")) == Version("1.9")
    assert chosen(wheel("1.9", "bad"), wheel("2.0rc1")) == Version("2.0rc1")
    assert chosen(wheel("1.9", "bad"), wheel("1.8", "bad")) == Version("1.9")


def _target(python: str, arch: str) -> Target:
    return next(t for t in coverage(()) if t.python_version == python and t.arch is Arch(arch))
