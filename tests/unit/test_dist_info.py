"""The metadata folder of a wheel, unpacked."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.errors import DamagedError, JobError
from wheelhouse_builder.wrapper.dist_info import extract_dist_info

if TYPE_CHECKING:
    from pathlib import Path


def wheel_with(folder: Path, *members: str) -> Path:
    path = folder / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in members:
            archive.writestr(name, name)
    return path


def extracted(tmp_path: Path, *members: str) -> tuple[str, set[str]]:
    out = tmp_path / "out"
    name = extract_dist_info(wheel_with(tmp_path, *members), out)
    return name, {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def test_all_but_what_tells_of_the_wheel_itself(tmp_path: Path) -> None:
    files = ("METADATA", "WHEEL", "entry_points.txt", "licenses/a/LICENSE", "sboms/x.json")
    others = ("RECORD", "RECORD.jws", "RECORD.p7s")
    members = [f"demo-1.0.dist-info/{name}" for name in (*files, *others)]
    name, found = extracted(tmp_path, "demo.py", "other/METADATA", *members)
    assert name == "demo-1.0.dist-info"
    assert found == {f"demo-1.0.dist-info/{file}" for file in files}


@pytest.mark.parametrize("members", [(), ("demo.py",), ("a.dist-info/METADATA", "b.dist-info/METADATA")])
def test_a_wheel_has_one(members: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="dist-info folders"):
        extracted(tmp_path, *members)


def test_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    evil = ("demo-1.0.dist-info/../../evil", "/demo-1.0.dist-info/evil", "../demo-1.0.dist-info/evil")
    name, found = extracted(tmp_path, "demo-1.0.dist-info/METADATA", *evil)
    assert found == {f"{name}/METADATA"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo-1.0-py3-none-any.whl", "out"]


def test_what_is_no_wheel(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"no")
    with pytest.raises(JobError, match=r"x\.whl cannot be read"):
        extract_dist_info(tmp_path / "x.whl", tmp_path)
