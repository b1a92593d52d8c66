"""Redirects upstream: never for a name that is or was ours, or reserved, however it is spelt."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.houses import copy_of
from tests.wheels import make_wheel
from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.server.upstream import Upstream, require_safe
from wheelhouse_builder.wheelhouse.generations import publish
from wheelhouse_builder.wheelhouse.store import Wheelhouse, record_of

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://index.example/simple/"
RESERVED = ("acme", "acme-*", "*-internal")


def publish_wheel(house: Wheelhouse, folder: Path, name: str) -> str:
    with house.lock():
        wheel = make_wheel(folder, name=name)
        house.admit(wheel, record_of(wheel, origin="built"))
        publish(house, {})
    return wheel.name


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    house = Wheelhouse(tmp_path_factory.mktemp("empty") / "wheelhouse")
    with house.lock():
        publish(house, {})
    return house


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    folder = tmp_path_factory.mktemp("made")
    house = Wheelhouse(folder / "wheelhouse")
    publish_wheel(house, folder, "ours")
    return house


@pytest.fixture
def house(made: Wheelhouse, tmp_path: Path) -> Wheelhouse:
    return copy_of(made, tmp_path / "wheelhouse")


def test_an_unknown_project_is_upstream(house: Wheelhouse) -> None:
    assert Upstream(house, URL, ())("Zope.Interface") == f"{URL}zope-interface/"
    assert Upstream(house, URL.rstrip("/"), ())("six") == f"{URL}six/"


def test_what_is_ours_is_not(house: Wheelhouse) -> None:
    upstream = Upstream(house, URL, ())
    assert upstream("ours") is None
    assert upstream("OURS") is None


def test_a_name_becomes_ours_at_once(house: Wheelhouse, tmp_path: Path) -> None:
    upstream = Upstream(house, URL, ())
    assert upstream("later")
    publish_wheel(house, tmp_path, "later")
    assert upstream("later") is None


def test_a_name_is_ours_before_it_is_published(house: Wheelhouse, tmp_path: Path) -> None:
    upstream = Upstream(house, URL, ())
    assert upstream("waiting")
    with house.lock():
        wheel = make_wheel(tmp_path, name="waiting")
        house.admit(wheel, record_of(wheel, origin="built"))
    assert upstream("waiting") is None


def test_a_yanked_name_and_one_whose_wheel_is_gone_stay_ours(house: Wheelhouse, tmp_path: Path) -> None:
    (record,) = house.records.all()
    with house.lock():
        house.records.set_yank(record.name, record.version, "bad")
        publish(house, {})
    assert Upstream(house, URL, ())("ours") is None
    (house.root / record.filename).unlink()
    with house.lock():
        publish(house, {})
    assert Upstream(house, URL, ())("ours") is None


def test_a_kept_generation_keeps_its_names(house: Wheelhouse) -> None:
    """Also when the records were lost and made anew."""
    house.records.path.unlink()
    with house.lock():
        assert house.records.names() == frozenset()
    assert Upstream(house, URL, ())("ours") is None


def test_without_knowing_our_names_nothing_goes_upstream(house: Wheelhouse, caplog: pytest.LogCaptureFixture) -> None:
    upstream = Upstream(house, URL, ())
    house.records.path.write_bytes(b"damaged" * 1000)
    assert upstream("six") is None
    assert "cannot be read" in caplog.text
    house.records.path.unlink()
    assert upstream("six") is None
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_a_generation_half_deleted_is_no_reason_to_redirect(house: Wheelhouse) -> None:
    shutil.rmtree(house.generations / "000001" / "simple")
    assert Upstream(house, URL, ())("six") is None


@pytest.mark.parametrize("name", ["acme", "acme-secret", "acme-a-b", "foo-internal"])
def test_reserved_names_do_not_go_upstream(empty: Wheelhouse, name: str) -> None:
    assert Upstream(empty, URL, RESERVED)(name) is None


@pytest.mark.parametrize("name", ["acmex", "internal", "my-acme"])
def test_names_beside_the_reserved_ones_do(empty: Wheelhouse, name: str) -> None:
    assert Upstream(empty, URL, RESERVED)(name) == f"{URL}{name}/"


SEPARATOR = st.text("-_.", min_size=1, max_size=4)


@given(words=st.lists(st.text("abcz019", min_size=1, max_size=5), min_size=1, max_size=4), data=st.data())
def test_no_spelling_gets_around_a_reserved_name(empty: Wheelhouse, words: list[str], data: st.DataObject) -> None:
    plain = "-".join(["acme", *words])
    spelt = "acme" + "".join(data.draw(SEPARATOR) + word for word in words)
    spelt = "".join(data.draw(st.sampled_from([letter, letter.upper()])) for letter in spelt)
    for reserved in (("acme-*",), (plain,), ("*",)):
        assert Upstream(empty, URL, reserved)(spelt) is None


@given(st.text(max_size=20) | st.text("aK\N{KELVIN SIGN}\N{LATIN SMALL LETTER LONG S}-./\\%?#@: \r\n", max_size=12))
def test_whatever_is_asked_the_url_is_a_project_of_that_index(empty: Wheelhouse, name: str) -> None:
    location = Upstream(empty, URL, ())(name)
    if location is not None:
        assert location.startswith(URL)
        project = location.removeprefix(URL).removesuffix("/")
        assert project.isascii()
        assert set(project) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert not project.startswith("-")


@pytest.mark.parametrize(
    "url",
    [
        "http://index.example/simple/",
        "http://127.evil.example/",
        "http://10.0.0.1/",
        "ftp://localhost/",
        "//x/",
        "https:///x",
        "http://localhost.evil.example/",
    ],
)
def test_an_unsafe_upstream_is_refused(house: Wheelhouse, url: str) -> None:
    with pytest.raises(UsageError, match="no safe upstream"):
        Upstream(house, url, ())


@pytest.mark.parametrize(
    "url", [URL, "http://127.0.0.1:3141/x/", "http://[::1]:80/", "http://localhost/", "http://pi.localhost:1/"]
)
def test_https_and_this_machine_are_safe(url: str) -> None:
    require_safe(url)


def test_reserving_nothing_is_told_loudly(house: Wheelhouse) -> None:
    assert Upstream(house, URL, RESERVED).warnings() == []
    (warning,) = Upstream(house, URL, ()).warnings()
    assert URL in warning
    assert "reserve" in warning
