"""A wheel's file name, METADATA and `.dist-info` folder are of one project and version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.metadata import parse_email

from tests.wheels import make_wheel
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.metadata import fields_of
from wheelhouse_builder.wheelhouse.agreement import require_agreement
from wheelhouse_builder.wheelhouse.store import record_of

if TYPE_CHECKING:
    from pathlib import Path

FILENAME = "zope.interface-5.0-py3-none-any.whl"


def metadata(name: str = "zope.interface", version: str = "5.0") -> bytes:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText.\n".encode()


@pytest.mark.parametrize("name", ["zope.interface", "zope-interface", "Zope_Interface"])
@pytest.mark.parametrize("version", ["5.0", "5.0.0", "v5"])
@pytest.mark.parametrize("folder", ["zope.interface-5.0.dist-info", "zope_interface-5.0.dist-info"])
def test_spellings_of_one_name_agree(name: str, version: str, folder: str) -> None:
    require_agreement(FILENAME, folder, metadata(name, version))


@pytest.mark.parametrize(
    ("name", "version", "folder", "message"),
    [
        ("zope", "5.0", "zope.interface-5.0.dist-info", "'zope' '5.0'"),
        ("<script>", "5.0", "zope.interface-5.0.dist-info", "'<script>'"),
        ("zope.interface", "5.1", "zope.interface-5.0.dist-info", "'5.1'"),
        ("zope.interface", "5.0+local", "zope.interface-5.0.dist-info", "disagree"),
        ("zope.interface", "9" * 5000, "zope.interface-5.0.dist-info", "disagree"),
        ("zope.interface", "fünf", "zope.interface-5.0.dist-info", "disagree"),
        ("zope.interface", "5.0", "requests-5.0.dist-info", "folder requests-5.0.dist-info disagree"),
    ],
)
def test_other_names_and_versions_are_refused(name: str, version: str, folder: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        require_agreement(FILENAME, folder, metadata(name, version))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Version: 5.0\n", "has no Name"),
        (b"Name: zope.interface\n", "has no Version"),
        (b"", "has no Name"),
        (b"\xff\xfe\0", "has no Name"),
        (b"Name: zope.interface\nName: other\nVersion: 5.0\n", "has no Name"),  # two are none
    ],
)
def test_metadata_without_name_and_version_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(JobError, match=message):
        require_agreement(FILENAME, "zope.interface-5.0.dist-info", content)


PIECES = [
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b"Name: a",
    b"Version: 1",
    b"Requires-Python: >=3",
    b"Text",
    b"\xff",
    b"\x85",
    b":",
]
LINES = [
    b"%s:%s%s" % (name, space, value)
    for name in (
        b"Name",
        b"name",
        b"License",
        b"Classifier",
        b"Requires-Dist",
        b"Project-URL",
        b"Keywords",
        b"Odd",
        b"X_1",
    )
    for space in (b"", b" ", b"  ", b"\t")
    for value in (
        b"",
        b"a",
        b"a ",
        b"a, b",
        b"a,c",
        b"a: b",
        "ä".encode(),
        b"=?utf-8?q?=C3=A4?=",
        b"a\tb",
        b"a\x0bb",
        b"a\x1cb",
    )
]


@given(
    st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
    | st.lists(st.sampled_from([*LINES, b"", b" folded", b"From me"]), max_size=6).map(b"\n".join)
)
def test_fields_are_those_of_the_whole_text(content: bytes) -> None:
    whole, told = parse_email(content)[0], fields_of(content)
    assert {**told, "description": ""} == {**whole, "description": ""}


def test_a_renamed_wheel_gets_no_record(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, name="demo")
    renamed = wheel.rename(tmp_path / "numpy-1.0-py3-none-any.whl")
    with pytest.raises(JobError, match="disagree"):
        record_of(renamed, origin="fetched")
