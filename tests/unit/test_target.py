"""Every spelling of a target, checked against the libraries that read it."""

from __future__ import annotations

import contextlib
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging import tags
from packaging.markers import Marker
from packaging.utils import parse_wheel_filename

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.target import NEWEST_PYTHON, OLDEST_PYTHON, Arch, Target, parse_python

targets = st.builds(
    Target,
    st.integers(OLDEST_PYTHON[1], NEWEST_PYTHON[1]).map(lambda minor: (3, minor)),
    st.sampled_from(Arch),
    st.tuples(st.just(1), st.integers(0, 3)),
)


@given(targets)
def test_parse_is_the_inverse_of_str(target: Target) -> None:
    assert Target.parse(str(target)) == target


@given(targets)
def test_its_own_wheel_fits_and_is_the_best(target: Target) -> None:
    (own,) = parse_wheel_filename(f"x-1-{target.interpreter}-{target}.whl")[-1]
    assert target.fits([own])
    assert target.tags[0] == own


@given(targets, targets)
def test_a_version_specific_wheel_fits_only_targets_of_its_python_and_arch(target: Target, other: Target) -> None:
    (tag,) = parse_wheel_filename(f"x-1-{other.interpreter}-{other}.whl")[-1]
    same = target.python == other.python and target.arch == other.arch and target.musl >= other.musl
    assert target.fits([tag]) is same


@given(targets, targets)
def test_an_abi3_wheel_fits_newer_pythons(target: Target, other: Target) -> None:
    (tag,) = parse_wheel_filename(f"x-1-{other.interpreter}-abi3-{other.platform_tag}.whl")[-1]
    serves = target.python >= other.python and target.arch == other.arch and target.musl >= other.musl
    assert target.fits([tag]) is serves


@given(targets)
def test_pure_wheels_fit_and_ambiguous_linux_wheels_do_not(target: Target) -> None:
    assert target.fits([tags.Tag("py3", "none", "any")])
    assert not target.fits([tags.Tag(target.interpreter, target.interpreter, target.linux_tag)])
    assert not target.fits([tags.Tag(target.interpreter, target.interpreter, f"manylinux_2_17_{target.arch}")])


@given(targets)
def test_tags_agree_with_packaging_on_such_a_machine(target: Target) -> None:
    expected = [
        *tags.cpython_tags(target.python, [target.interpreter], list(target.platform_tags)),
        *tags.compatible_tags(target.python, target.interpreter, list(target.platform_tags)),
    ]
    assert list(target.tags) == expected
    assert len(set(target.tags)) == len(target.tags)


@given(targets)
def test_markers_are_evaluated_for_the_target(target: Target) -> None:
    environment = cast("dict[str, str]", target.marker_environment)
    assert Marker(f"platform_machine == '{target.arch}'").evaluate(environment)
    assert Marker(f"python_version == '{target.python_version}'").evaluate(environment)
    assert Marker("sys_platform == 'linux' and platform_system == 'Linux' and os_name == 'posix'").evaluate(environment)
    assert not Marker("sys_platform == 'win32' or implementation_name == 'pypy'").evaluate(environment)


def test_every_spelling() -> None:
    target = Target.parse("cp312-musllinux_1_2_aarch64")
    assert target == Target((3, 12), Arch.AARCH64)
    assert target.python_version == "3.12"
    assert target.platform_tags == ("musllinux_1_2_aarch64", "musllinux_1_1_aarch64", "musllinux_1_0_aarch64")
    assert target.linux_tag == "linux_aarch64"
    assert target.soabi == "cpython-312-aarch64-linux-musl"
    assert target.ext_suffix == ".cpython-312-aarch64-linux-musl.so"
    assert target.sysconfig_platform == "linux-aarch64"
    assert target.sysconfigdata_name == "_sysconfigdata__linux_aarch64-linux-musl"
    assert target.multiarch == target.zig_target == "aarch64-linux-musl"
    assert target.rust_triple == target.uv_platform == "aarch64-unknown-linux-musl"
    assert target.docker_platform == "linux/arm64"
    assert target.cibuildwheel_identifier == "cp312-musllinux_aarch64"
    assert target.libc_soname == "libc.musl-aarch64.so.1"


@pytest.mark.parametrize("name", ["arm64", "ARM64", " aarch64 "])
def test_architectures_have_the_names_people_use(name: str) -> None:
    assert Arch.parse(name) is Arch.AARCH64
    assert Arch.AARCH64.docker == "arm64"


@pytest.mark.parametrize("text", ["armv7l", "x86", "", "arm64;rm"])
def test_unknown_architecture(text: str) -> None:
    with pytest.raises(UsageError, match="unknown architecture") as caught:
        Arch.parse(text)
    assert "amd64" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text", ["3", "3.", "cp312", "3.x", "", "2.7", "3.10", "3.99", "4.1", "3.12.1", "³.12", "-3.12"]
)
def test_unknown_python(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_python(text)
    assert text in caught.value.message or "unknown" in caught.value.message
    assert "3.11" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "cp312",
        "cp312-manylinux_2_17_x86_64",
        "py3-musllinux_1_2_x86_64",
        "cp312-musllinux_1_2_amd64",
        "",
        "-",
        "cp312-musllinux_1_x86_64",
    ],
)
def test_unknown_target(text: str) -> None:
    with pytest.raises(UsageError, match="unknown target"):
        Target.parse(text)


@given(st.text(max_size=40))
def test_parsing_never_ends_in_anything_but_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert str(Target.parse(text)) == text
