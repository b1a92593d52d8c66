from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import random
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import parse_wheel_filename

from tests.wheels import make_wheel
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.repair import archive
from wheelhouse_builder.repair.canonical import canonicalise, stable_sbom, with_build

EPOCH = 1_700_000_000
MEMBERS = {"demo/__init__.py": b"", "demo/tool": b"#!/bin/sh\n", "demo/data.bin": bytes(range(256)) * 9000}


def shuffled(source: Path, destination: Path, seed: int, *, umask: int, year: int) -> Path:
    """The same members in another order, with other times and modes, as another build would write them."""
    destination.mkdir()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(destination / source.name, "w", zipfile.ZIP_DEFLATED) as new:
        members = old.infolist()
        random.Random(seed).shuffle(members)
        for member in members:
            info = zipfile.ZipInfo(member.filename, (year, 1, 2, 3, 4, 6))
            mode = 0o777 if member.filename.endswith("tool") else 0o666
            info.external_attr = (stat.S_IFREG | (mode & ~umask)) << 16
            new.writestr(info, old.read(member))
    return destination / source.name


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, files=MEMBERS)
    one = shuffled(wheel, tmp_path / "one", 1, umask=0o022, year=2001)
    two = shuffled(wheel, tmp_path / "two", 2, umask=0o077, year=2020)
    assert one.read_bytes() != two.read_bytes()
    outs = [tmp_path / "out1", tmp_path / "out2"]
    for source, out in zip((one, two), outs, strict=True):
        out.mkdir()
        canonicalise(source, out, epoch=EPOCH)
    assert (outs[0] / wheel.name).read_bytes() == (outs[1] / wheel.name).read_bytes()


def test_canonical_form_is_a_fixed_point(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, files=MEMBERS)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    once = canonicalise(wheel, tmp_path / "a", epoch=EPOCH)
    twice = canonicalise(once, tmp_path / "b", epoch=archive.epoch_of(once))
    assert once.read_bytes() == twice.read_bytes()


def test_record_is_last_sorted_and_right(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    wheel = canonicalise(make_wheel(tmp_path, files=MEMBERS), tmp_path / "out", epoch=EPOCH)
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        rows = list(csv.reader(io.StringIO(opened.read(names[-1]).decode())))
        assert names[-1] == "demo-1.0.dist-info/RECORD"
        assert names[:-1] == sorted(names[:-1])
        assert [row[0] for row in rows] == sorted(names)
        for name, digest, size in rows:
            if not name.endswith("/RECORD"):
                data = opened.read(name)
                expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                assert (digest, size) == (f"sha256={expected}", str(len(data)))
        assert {info.date_time for info in opened.infolist()} == {(2023, 11, 14, 22, 13, 20)}
        assert {info.create_system for info in opened.infolist()} == {3}


@pytest.mark.parametrize(("epoch", "year"), [(0, 1980), (-1, 1980), (10**11, 2107)])
def test_times_that_zip_cannot_tell_are_clamped(tmp_path: Path, epoch: int, year: int) -> None:
    (tmp_path / "out").mkdir()
    with zipfile.ZipFile(canonicalise(make_wheel(tmp_path), tmp_path / "out", epoch=epoch)) as opened:
        assert {info.date_time[0] for info in opened.infolist()} == {year}


def test_executables_stay_executable(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    wheel = shuffled(make_wheel(tmp_path, files=MEMBERS), tmp_path / "in", 1, umask=0, year=2001)
    with zipfile.ZipFile(canonicalise(wheel, tmp_path / "out", epoch=EPOCH)) as opened:
        modes = {info.filename: (info.external_attr >> 16) & 0o777 for info in opened.infolist()}
    assert modes["demo/tool"] == 0o755
    assert set(modes.values()) == {0o644, 0o755}


def test_build_tag_is_in_the_name_and_in_wheel(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    wheel = canonicalise(make_wheel(tmp_path), tmp_path / "out", epoch=EPOCH, build=3)
    assert wheel.name == "demo-1.0-3-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as opened:
        lines = opened.read("demo-1.0.dist-info/WHEEL").decode().splitlines()
    assert lines[-2:] == ["Build: 3", "Tag: py3-none-any"]


@given(
    name=st.from_regex(r"[a-z][a-z0-9]{0,5}(_[a-z0-9]{1,3}){0,3}", fullmatch=True),
    version=st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}(rc[0-9])?(\+[a-z0-9]{1,5})?", fullmatch=True),
    old=st.none() | st.integers(0, 99),
    new=st.integers(0, 99),
    tags=st.sampled_from(["py3-none-any", "py2.py3-none-any", "cp312-abi3-musllinux_1_1_x86_64.musllinux_1_2_x86_64"]),
)
def test_build_tag_changes_nothing_else(name: str, version: str, old: int | None, new: int, tags: str) -> None:
    before = "-".join([name, version, *([] if old is None else [str(old)]), tags]) + ".whl"
    was, now = parse_wheel_filename(before), parse_wheel_filename(with_build(before, new))
    assert now == (was[0], was[1], (new, ""), was[3])


def test_random_parts_of_a_cyclonedx_document_follow_from_its_content(tmp_path: Path) -> None:
    def document(serial: str, time: str, component: str = "ring") -> bytes:
        body = {"bomFormat": "CycloneDX", "serialNumber": serial, "metadata": {"timestamp": time}, "x": [component]}
        return json.dumps(body).encode()

    one = stable_sbom(document("urn:uuid:1", "2024-01-01T00:00:00Z"), EPOCH)
    two = stable_sbom(document("urn:uuid:2", "2025-02-02T00:00:00Z"), EPOCH)
    other = stable_sbom(document("urn:uuid:1", "2024-01-01T00:00:00Z", "rustls"), EPOCH)
    assert one == two
    assert json.loads(one)["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    assert json.loads(one)["serialNumber"] != json.loads(other)["serialNumber"]
    assert stable_sbom(b'{"spdxVersion": 1}', EPOCH) == b'{"spdxVersion": 1}'
    assert stable_sbom(b"\xff no JSON", EPOCH) == b"\xff no JSON"


def test_sboms_in_a_wheel_are_made_stable(tmp_path: Path) -> None:
    def build(folder: str, serial: str) -> bytes:
        body = json.dumps({"bomFormat": "CycloneDX", "serialNumber": serial}).encode()
        (tmp_path / folder / "out").mkdir(parents=True)
        wheel = make_wheel(tmp_path / folder, files={"demo-1.0.dist-info/sboms/demo.cyclonedx.json": body})
        return canonicalise(wheel, tmp_path / folder / "out", epoch=EPOCH).read_bytes()

    assert build("a", "urn:uuid:1") == build("b", "urn:uuid:2")


@pytest.mark.parametrize(
    "name", ["../evil.py", "/etc/passwd", "a/../../b", "a//b", "./a", "a\\b", "a\nb", "a/./b", "..", ""]
)
def test_unsafe_member_names_are_refused(tmp_path: Path, name: str) -> None:
    assert not archive.is_plain(name)
    if name:
        wheel = make_wheel(tmp_path, files={name: b"x"})
        (tmp_path / "tree").mkdir()
        with pytest.raises(JobError, match="unsafe"):
            archive.unpack(wheel, tmp_path / "tree")
        assert list((tmp_path / "tree").rglob("*")) == []


def test_links_and_repeated_names_are_refused(tmp_path: Path) -> None:
    link = make_wheel(tmp_path, name="link")
    with zipfile.ZipFile(link, "a") as opened:
        info = zipfile.ZipInfo("escape")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(info, "/etc/passwd")
    with pytest.raises(JobError, match="'escape', which is no regular file"):
        canonicalise(link, tmp_path / "x", epoch=EPOCH)
    twice = make_wheel(tmp_path, name="twice")
    with zipfile.ZipFile(twice, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr("twice.py", "other")
    with pytest.raises(JobError, match=r"repeated name 'twice\.py'"):
        canonicalise(twice, tmp_path / "x", epoch=EPOCH)


def test_name_of_a_file_and_a_folder_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, files={"demo": b"", "demo/module.py": b""})
    with pytest.raises(JobError, match="repeated name 'demo'"):
        archive.unpack(wheel, tmp_path)


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(tmp_path, files={"zeros": bytes(2000)})
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1999)
    with pytest.raises(JobError, match="more than a wheel may hold"):
        archive.unpack(wheel, tmp_path)


def test_damaged_and_nameless_wheels_are_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, files={"data": b"0123456789" * 100})
    damaged = wheel.read_bytes().replace(b"0123456789", b"0123456780", 1)
    wheel.write_bytes(damaged)
    (tmp_path / "out").mkdir()
    with pytest.raises(JobError, match=r"'data' in demo-1\.0-py3-none-any\.whl cannot be read"):
        canonicalise(wheel, tmp_path / "out", epoch=EPOCH)
    text = tmp_path / "demo-1.0-py3-none-any.whl"
    text.write_text("not a zip file")
    with pytest.raises(JobError, match="not a readable zip file"):
        canonicalise(text, tmp_path / "out", epoch=EPOCH)
    with pytest.raises(JobError, match="not the name of a wheel"):
        canonicalise(tmp_path / "demo.whl", tmp_path / "out", epoch=EPOCH)


def test_two_dist_info_folders_are_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, files={"other-1.0.dist-info/METADATA": b""})
    with pytest.raises(JobError, match=r"2 \.dist-info folders"):
        canonicalise(wheel, tmp_path / "out", epoch=EPOCH)


def test_an_sbom_keeps_what_only_looks_like_that() -> None:
    """A container has the source in `/project`, and so have index pages."""
    url = b'{"purl": "https://host/project/x"}'
    assert stable_sbom(url, 0, Path("/project")) == url


def test_an_sbom_forgets_where_the_wheel_was_built() -> None:
    documents = []
    for tree in (Path("/tmp/one/tree"), Path("/home/other")):
        document = {"bomFormat": "CycloneDX", "bom-ref": f"path+file://{tree}/src/rust#x@1"}
        documents.append(stable_sbom(json.dumps(document).encode(), 0, tree))
    assert documents[0] == documents[1]
    assert b"path+file:///source/src/rust#x@1" in documents[0]
