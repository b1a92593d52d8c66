"""Bad inputs of the index: told with a remedy, nothing published or served that should not be, nothing lost.

Requests that are bad are in test_serve.py and test_fuzz.py, uploads that are bad in test_upload.py.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.request
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import quote

import pytest

from tests.houses import add, house_with, publish_all
from tests.integration.serve import wait_until, whb_serve
from tests.wheels import make_wheel
from wheelhouse_builder.wheelhouse.generations import current, named_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.conftest import Whb
    from wheelhouse_builder.wheelhouse.store import Wheelhouse

pytestmark = pytest.mark.integration

DEMO = "demo-1.0-py3-none-any.whl"
OTHER = "other-1.0-py3-none-any.whl"


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return house_with(tmp_path / "wheelhouse", "demo", "other")


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def published(house: Wheelhouse) -> list[str]:
    generation = current(house)
    assert generation is not None
    return sorted(named_files(generation))


# files that somebody put into the folder


def corrupt(folder: Path) -> Path:
    wheel = make_wheel(folder, name="strange")
    wheel.write_bytes(wheel.read_bytes()[:-40])
    return wheel


def without_metadata(folder: Path) -> Path:
    path = folder / "strange-1.0-py3-none-any.whl"
    path.write_bytes(b"PK\5\6" + bytes(18))
    return path


def renamed(folder: Path) -> Path:
    return make_wheel(folder, name="demo", version="2.0").rename(folder / "numpy-2.0-py3-none-any.whl")


def tagged(tag: str) -> Callable[[Path], Path]:
    return lambda folder: make_wheel(folder, name="strange", tag=tag)


def named(name: str) -> Callable[[Path], Path]:
    return lambda folder: make_wheel(folder, name="strange").rename(folder / name)


def link(folder: Path) -> Path:
    path = folder / "strange-1.0-py3-none-any.whl"
    path.symlink_to("/etc/passwd")
    return path


def dangling(folder: Path) -> Path:
    path = folder / "strange-1.0-py3-none-any.whl"
    path.symlink_to("/nonexistent")
    return path


def subfolder(folder: Path) -> Path:
    path = folder / "strange-1.0-py3-none-any.whl"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    "put",
    [
        *(corrupt, without_metadata, renamed, link, dangling, subfolder),
        *(
            tagged("cp312-cp312-manylinux_2_28_x86_64"),
            tagged("cp312-cp312-linux_x86_64"),
            tagged("cp312-cp312-win_amd64"),
        ),
        *(named("<script>-1.0-py3-none-any.whl"), named("strange-1.0-1<b>-py3-none-any.whl")),
        *(named("not a wheel.whl"), named("\x1b[31mred-1.0-py3-none-any.whl"), named("new\nline-1.0-py3-none-any.whl")),
    ],
)
def test_what_whb_did_not_put_there_is_told_and_not_published(
    house: Wheelhouse, whb: Whb, tmp_path: Path, put: Callable[[Path], Path]
) -> None:
    strange = put(house.root)
    before = {path: path.read_bytes() for path in house.root.glob("simple/**/*") if path.is_file()}
    done = whb.ok("index", "--wheelhouse", str(house.root), cwd=tmp_path)
    assert done.stderr.count("not published") == 1
    assert "is foreign" in done.stderr
    assert "move it away" in done.stderr
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert published(house) == [DEMO, OTHER]
    assert {path: path.read_bytes() for path in house.root.glob("simple/**/*") if path.is_file()} == before
    with whb_serve(house.root, tmp_path / "run") as running:
        status, body = get(running.url + quote(strange.name))
        assert status == 404
        assert b"root:" not in body
        assert b"<script>" not in body
        assert quote(strange.name).encode() not in get(f"{running.url}links/")[1]


# wheels that were changed after they were published


def damage_wheel(house: Wheelhouse) -> None:
    (house.root / DEMO).write_bytes(b"something else")


def damage_sidecar(house: Wheelhouse) -> None:
    (house.root / f"{DEMO}.metadata").write_text("Name: demo\nVersion: 1.0\nRequires-Dist: evil\n")


def remove_sidecar(house: Wheelhouse) -> None:
    (house.root / f"{DEMO}.metadata").unlink()


def link_instead(house: Wheelhouse) -> None:
    (house.root / DEMO).unlink()
    (house.root / DEMO).symlink_to("/etc/passwd")


@pytest.mark.parametrize("damage", [damage_wheel, damage_sidecar, remove_sidecar, link_instead])
def test_a_wheel_that_was_changed_stops_publication_and_is_not_served(
    house: Wheelhouse, whb: Whb, tmp_path: Path, damage: Callable[[Wheelhouse], None]
) -> None:
    damage(house)
    add(house, "third")
    done = whb("index", "--wheelhouse", str(house.root), cwd=tmp_path)
    assert done.returncode == 5
    assert f"{house.root / DEMO} is damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert published(house) == [DEMO, OTHER]
    with whb_serve(house.root, tmp_path / "run") as running:
        answers = [get(running.url + DEMO), get(f"{running.url}{DEMO}.metadata")]
        assert 404 in [status for status, _ in answers]
        assert not any(b"root:" in body or b"evil" in body or b"something" in body for _, body in answers)
        assert get(running.url + OTHER)[0] == 200


def test_a_wheel_that_is_gone_is_told_and_the_others_are_published(house: Wheelhouse, whb: Whb, tmp_path: Path) -> None:
    (house.root / DEMO).unlink()
    done = whb.ok("index", "--wheelhouse", str(house.root), cwd=tmp_path)
    assert f"{house.root / DEMO} is missing" in done.stderr
    assert published(house) == [OTHER]


# generations that somebody laid hands on


def path_in(house: Wheelhouse, *parts: str) -> Path:
    generation = current(house)
    assert generation is not None
    return generation.path.joinpath(*parts)


def remove_project(house: Wheelhouse) -> None:
    project = path_in(house, "simple", "demo")
    shutil.rmtree(project.resolve())


def remove_page(house: Wheelhouse) -> None:
    (path_in(house, "simple", "demo").resolve() / "index.v1_json").unlink()


def remove_list(house: Wheelhouse) -> None:
    path_in(house, "simple", "index.v1_json").unlink()


def remove_manifest(house: Wheelhouse) -> None:
    path_in(house, "manifest.json").unlink()


def truncate_page(house: Wheelhouse) -> None:
    page = path_in(house, "simple", "demo").resolve() / "index.v1_json"
    page.write_bytes(page.read_bytes()[:100])
    later = time.time() + 60  # by hand is not in the same second
    os.utime(page, (later, later))


def remove_simple(house: Wheelhouse) -> None:
    shutil.rmtree(path_in(house, "simple"))


HALVES = [remove_project, remove_page, remove_list, remove_manifest, truncate_page, remove_simple]


@pytest.mark.parametrize("damage", HALVES)
def test_a_generation_half_deleted(
    house: Wheelhouse, whb: Whb, tmp_path: Path, damage: Callable[[Wheelhouse], None]
) -> None:
    """A server that runs goes on; one that starts says why it cannot; `rollback` refuses it; `index` repairs."""
    add(house, "third")
    publish_all(house)
    with whb_serve(house.root, tmp_path / "run") as running:
        page = get(f"{running.url}simple/demo/")
        damage(house)
        done = whb("rollback", "2", "--wheelhouse", str(house.root), cwd=tmp_path)
        if done.returncode:
            assert done.returncode == 5
            assert "generation 2 is damaged" in done.stderr
        assert "Traceback" not in done.stderr
        with whb_serve(house.root, tmp_path / "second") as second:
            status, body = get(f"{second.url}readyz")
            assert status in {200, 503}
            if status == 503:
                assert b"the log says why" in body
                assert "damaged" in second.said
                assert "Traceback" not in second.said
        assert get(f"{running.url}simple/demo/") == page
        whb.ok("index", "--wheelhouse", str(house.root), cwd=tmp_path)
        again = json.loads(whb.ok("index", "--wheelhouse", str(house.root), "--json", cwd=tmp_path).stdout)
        assert again["changed"] is False
        assert published(house) == [DEMO, OTHER, "third-1.0-py3-none-any.whl"]
        wait_until(lambda: get(f"{running.url}readyz")[0] == 200, "the repaired generation")
        assert get(f"{running.url}simple/demo/")[1] == page[1]
    with whb_serve(house.root, tmp_path / "third") as third:
        assert get(f"{third.url}simple/demo/")[1] == page[1]


def test_a_real_folder_in_the_place_of_simple(house: Wheelhouse, whb: Whb, tmp_path: Path) -> None:
    """It may be somebody's: whb neither removes it nor writes into it."""
    (house.root / "simple").unlink()
    (house.root / "simple" / "evil").mkdir(parents=True)
    (house.root / "simple" / "evil" / "index.html").write_text("by hand")
    done = whb("index", "--wheelhouse", str(house.root), cwd=tmp_path)
    assert done.returncode != 0
    assert str(house.root / "simple") in done.stderr
    assert "Traceback" not in done.stderr
    assert (house.root / "simple" / "evil" / "index.html").read_text() == "by hand"
    with whb_serve(house.root, tmp_path / "run") as running:
        assert get(f"{running.url}simple/evil/")[0] == 404
        assert get(f"{running.url}simple/demo/")[0] == 200


@pytest.mark.parametrize("target", ["/etc", "generations/../../..", "generations/000099", "generations/new", "nowhere"])
def test_current_leads_somewhere_else(house: Wheelhouse, whb: Whb, tmp_path: Path, target: str) -> None:
    house.current.unlink()
    house.current.symlink_to(target)
    with whb_serve(house.root, tmp_path / "run") as running:
        assert get(f"{running.url}readyz")[0] == 503
        assert get(f"{running.url}simple/")[0] == 503
        assert get(f"{running.url}passwd")[0] in {404, 503}
        assert "Traceback" not in running.said
        whb.ok("index", "--wheelhouse", str(house.root), cwd=tmp_path)
        wait_until(lambda: get(f"{running.url}readyz")[0] == 200, "the repaired link")
        assert DEMO.encode() in get(f"{running.url}simple/demo/")[1]


def test_records_that_are_damaged(house: Wheelhouse, whb: Whb, tmp_path: Path) -> None:
    house.records.path.write_bytes(os.urandom(8192))
    for command in (("index",), ("rollback",), ("yank", "demo==1.0", "--reason", "x"), ("gc",)):
        done = whb(*command, "--wheelhouse", str(house.root), cwd=tmp_path)
        assert done.returncode == 5, (command, done.stderr)
        assert f"{house.records.path} is damaged" in done.stderr
    with whb_serve(house.root, tmp_path / "run") as running:
        assert DEMO.encode() in get(f"{running.url}simple/demo/")[1]
        assert get(running.url + DEMO)[0] == 200
