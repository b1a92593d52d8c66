"""The sdist of a stub: what it says, when there is none, and that equal wheels give equal bytes."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.metadata import Metadata
from packaging.utils import canonicalize_name, parse_sdist_filename
from packaging.version import Version

from wheelhouse_builder.errors import JobError
from wheelhouse_builder.stub.sdist import StubSdist, _gzipped, make_stub

DEMO, ONE = canonicalize_name("demo"), Version("1.0")
AMD, ARM = "demo-1.0-cp312-cp312-musllinux_1_2_x86_64.whl", "demo-1.0-cp312-cp312-musllinux_1_2_aarch64.whl"
URL = "https://wheels.example/simple/"


def metadata(*lines: str) -> bytes:
    return "\n".join(("Metadata-Version: 2.1", "Name: Demo", "Version: 1.0", *lines, "", "A text.", "")).encode()


def stub(*lines: str, wheelhouse: str = URL) -> StubSdist:
    return make_stub(DEMO, ONE, {AMD: metadata(*lines)}, wheelhouse)


def members(made: StubSdist) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(made.content), mode="r:gz") as archive:
        found = {}
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            assert (member.mode, member.uid, member.gid, member.uname) == (0o644, 0, 0, "")
            found[member.name] = content.read()
        return found


def test_it_is_an_sdist_of_four_files() -> None:
    made = stub()
    assert made.filename == "demo-1.0.tar.gz"
    assert list(found := members(made)) == [
        f"demo-1.0/{name}" for name in ("PKG-INFO", "pyproject.toml", "stub.json", "stub_backend.py")
    ]
    source = files("wheelhouse_builder.stub").joinpath("stub_backend.py").read_bytes()
    assert found["demo-1.0/stub_backend.py"] == source
    assert json.loads(found["demo-1.0/stub.json"]) == {"name": "demo", "version": "1.0", "wheelhouse": URL}
    assert found["demo-1.0/pyproject.toml"].decode() == (
        '[build-system]\nrequires = []\nbuild-backend = "stub_backend"\nbackend-path = ["."]\n'
    )


def test_its_metadata_says_all_that_a_resolver_asks_and_nothing_is_dynamic() -> None:
    made = stub(
        "Requires-Python: >=3.9,<4",
        "Summary: not for resolvers",
        'Requires-Dist: Foo_Bar (<2,>=1) ; extra == "fast"',
        "Requires-Dist: pycparser ; implementation_name != 'PyPy'",
        "Provides-Extra: fast",
        "Dynamic: Requires-Dist",
    )
    content = members(made)["demo-1.0/PKG-INFO"]
    assert content.decode().splitlines() == [
        "Metadata-Version: 2.2",
        "Name: demo",
        "Version: 1.0",
        "Requires-Python: <4,>=3.9",
        'Requires-Dist: foo-bar<2,>=1; extra == "fast"',
        'Requires-Dist: pycparser; implementation_name != "PyPy"',
        "Provides-Extra: fast",
    ]
    assert Metadata.from_email(content).dynamic is None  # and it is valid
    assert made.requires_python == "<4,>=3.9"
    assert stub().requires_python is None


@pytest.mark.parametrize(
    ("name", "version", "filename"),
    [
        ("zope.interface", "7.0", "zope_interface-7.0.tar.gz"),
        ("Foo__Bar--x", "1.0", "foo_bar_x-1.0.tar.gz"),
        ("a-1", "2", "a_1-2.tar.gz"),
        ("demo", "1!2.0.post1+musl.1", "demo-1!2.0.post1+musl.1.tar.gz"),
        ("demo", "1.0rc1", "demo-1.0rc1.tar.gz"),
        ("d" * 120, "1.0", f"{'d' * 120}-1.0.tar.gz"),
    ],
)
def test_its_name_is_read_back_whatever_the_project_is_called(name: str, version: str, filename: str) -> None:
    made = make_stub(canonicalize_name(name), Version(version), {AMD: metadata()}, URL)
    assert made.filename == filename
    assert parse_sdist_filename(filename) == (canonicalize_name(name), Version(version))
    assert {name.partition("/")[0] for name in members(made)} == {filename.removesuffix(".tar.gz")}


def test_equal_needs_give_equal_bytes_however_they_are_written() -> None:
    one = metadata("Requires-Python: >=3.9,<4", "Requires-Dist: a", "Requires-Dist: B.b>=1,<2", "Provides-Extra: X_y")
    other = metadata(
        "Provides-Extra: x-y", "Requires-Dist: b_b (<2, >=1)", "Requires-Dist: a", "Requires-Python: <4,>=3.9"
    )
    both = make_stub(DEMO, ONE, {AMD: one, ARM: other}, URL)
    assert both == make_stub(DEMO, ONE, {ARM: one}, URL) == make_stub(DEMO, ONE, {ARM: one, AMD: other}, URL)


def test_another_wheelhouse_makes_other_bytes() -> None:
    assert stub().content != stub(wheelhouse="/wheelhouse").content


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (["Requires-Dist: a"], [], f"{ARM} has Requires-Dist a, {AMD} has not"),
        ([], ["Requires-Dist: a>=1"], f"{AMD} has Requires-Dist a>=1, {ARM} has not"),
        (
            ["Requires-Dist: a>=1"],
            ["Requires-Dist: a>=2"],
            f"{ARM} has Requires-Dist a>=1, {AMD} has not; {AMD} has Requires-Dist a>=2, {ARM} has not",
        ),
        (
            ["Requires-Dist: a; os_name == 'posix'"],
            ["Requires-Dist: a"],
            f'{ARM} has Requires-Dist a; os_name == "posix", {AMD} has not; {AMD} has Requires-Dist a, {ARM} has not',
        ),
        (["Requires-Python: >=3.9"], [], f"Requires-Python is >=3.9 in {ARM} and absent in {AMD}"),
        (["Provides-Extra: x"], [], f"{ARM} has Provides-Extra x, {AMD} has not"),
    ],
)
def test_wheels_that_need_different_things_have_no_stub(one: list[str], other: list[str], told: str) -> None:
    with pytest.raises(JobError) as caught:
        make_stub(DEMO, ONE, {AMD: metadata(*other), ARM: metadata(*one)}, URL)
    assert caught.value.message == (f"there is no stub of demo 1.0: its wheels do not need the same. {told}")


@pytest.mark.parametrize("line", ["Requires-Dist: a ===", "Requires-Dist: (a)", "Requires-Python: three"])
def test_metadata_that_cannot_be_read_is_told(line: str) -> None:
    with pytest.raises(JobError, match=f"the METADATA of {AMD} cannot be read: "):
        stub(line)


@given(st.binary(min_size=1, max_size=200), st.integers(1, 1000))
def test_what_is_stored_is_a_gzip_file(content: bytes, times: int) -> None:
    assert gzip.decompress(_gzipped(content * times)) == content * times


def test_the_bytes_are_of_no_compressor_and_no_clock() -> None:
    stored = b"\x01\x03\x00\xfc\xff" + b"abc" + b"\xc2\x41\x24\x35" + b"\x03\x00\x00\x00"
    assert _gzipped(b"abc") == b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + stored
    with tarfile.open(fileobj=io.BytesIO(stub().content)) as archive:
        assert {member.mtime for member in archive} == {315_532_800}
