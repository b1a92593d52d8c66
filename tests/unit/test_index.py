from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.pylock import Pylock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from wheelhouse_builder.index import locks, render_html, render_json
from wheelhouse_builder.index.build import list_pages, render_project
from wheelhouse_builder.index.model import File, Mark, Project, Status
from wheelhouse_builder.target import Target
from wheelhouse_builder.wheelhouse.stored import StoredWheel

if TYPE_CHECKING:
    from collections.abc import Iterable

MOMENT = datetime(2026, 11, 24, 4, 18, 42, tzinfo=UTC)
TARGET = Target.parse("cp312-musllinux_1_2_aarch64")


class Anchors(HTMLParser):
    """The anchors of a page: attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str | None], str]] = []
        self.metas: dict[str | None, str | None] = {}
        self._open: dict[str, str | None] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._open = dict(attrs)
        elif tag == "meta":
            self.metas[dict(attrs).get("name")] = dict(attrs).get("content")
        elif tag not in {"html", "head", "title", "body", "h1", "br"}:
            pytest.fail(f"unexpected element {tag}")

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.found.append((self._open, data))
            self._open = None


def stored(filename: str, requires_python: str | None = ">=3.8") -> StoredWheel:
    name, version, _, _ = parse_wheel_filename(filename)
    return StoredWheel(
        filename=filename,
        name=name,
        version=version,
        sha256=hashlib.sha256(filename.encode()).hexdigest(),
        size=len(filename),
        metadata_sha256=hashlib.sha256(b"metadata").hexdigest(),
        requires_python=requires_python,
        origin="built",
        published_at=MOMENT,
    )


WHEELS = [
    stored("zope_interface-8.0-cp312-cp312-musllinux_1_2_aarch64.whl"),
    stored("cffi-2.10.0-cp312-cp312-musllinux_1_2_aarch64.whl"),
    stored("cffi-2.9.0-1-cp312-cp312-musllinux_1_2_aarch64.whl"),
    stored("local-1.0+musl.1-py3-none-any.whl", None),
]


def index_files(wheels: Iterable[StoredWheel]) -> dict[str, str]:
    """The pages of an index of these wheels, by relative path."""
    wheels = list(wheels)
    projects = {
        name: render_project(name, [wheel for wheel in wheels if wheel.name == name])
        for name in sorted({wheel.name for wheel in wheels})
    }
    head, tail = render_html.links_frame()
    pages = list_pages({name: rendering.summary for name, rendering in projects.items()})
    pages["links/index.html"] = head + "".join(rendering.links for rendering in projects.values()) + tail
    for name, rendering in projects.items():
        pages |= {f"simple/{name}/{page}": text for page, text in rendering.pages.items()}
    return pages


def test_pages_are_where_the_specification_wants_them() -> None:
    pages = index_files(WHEELS)
    assert set(pages) == {
        "simple/index.html",
        "simple/index.v1_json",
        "links/index.html",
        "browse/index.html",
        "browse/script.js",
        "browse/style.css",
        *(f"simple/{name}/{page}" for name in ("cffi", "local", "zope-interface") for page in PAGES),
    }
    listed = Anchors(pages["simple/index.html"])
    assert listed.metas["pypi:repository-version"] == "1.4"
    assert [(attributes["href"], text) for attributes, text in listed.found] == [
        ("cffi/", "cffi"),
        ("local/", "local"),
        ("zope-interface/", "zope-interface"),
    ]
    document = json.loads(pages["simple/index.v1_json"])
    assert document == {
        "meta": {"api-version": "1.4"},
        "projects": [{"name": "cffi"}, {"name": "local"}, {"name": "zope-interface"}],
    }


PAGES = ("index.html", "index.v1_json", "about.html")


def test_html_and_json_tell_the_same() -> None:
    pages = index_files(WHEELS)
    for name in ("cffi", "local", "zope-interface"):
        page, document = Anchors(pages[f"simple/{name}/index.html"]), json.loads(pages[f"simple/{name}/index.v1_json"])
        assert document["meta"] == {"api-version": "1.4"}
        assert document["name"] == name
        assert len(page.found) == len(document["files"])
        for (attributes, text), file in zip(page.found, document["files"], strict=True):
            url, fragment = urldefrag(attributes["href"] or "")
            assert text == file["filename"] == unquote(url.rpartition("/")[2])
            assert url == file["url"]
            assert fragment == f"sha256={file['hashes']['sha256']}"
            assert attributes["data-core-metadata"] == f"sha256={file['core-metadata']['sha256']}"
            assert attributes["data-dist-info-metadata"] == attributes["data-core-metadata"]
            assert attributes.get("data-requires-python") == file.get("requires-python")
            assert attributes["data-size"] == str(file["size"])
            assert attributes["data-upload-time"] == file["upload-time"] == "2026-11-24T04:18:42.000000Z"
            assert "dist-info-metadata" not in file
            assert str(parse_wheel_filename(file["filename"])[1]) in document["versions"]


def test_versions_are_in_order_and_unique() -> None:
    document = json.loads(index_files([*WHEELS, stored("cffi-2.9.0-py3-none-any.whl")])["simple/cffi/index.v1_json"])
    assert document["versions"] == ["2.9.0", "2.10.0"]


def test_wheels_lie_beside_simple_and_links() -> None:
    pages = index_files(WHEELS)
    (attributes, _) = Anchors(pages["simple/local/index.html"]).found[0]
    assert (attributes["href"] or "").startswith("../../local-1.0%2Bmusl.1-py3-none-any.whl#sha256=")
    flat = [attributes["href"] or "" for attributes, _ in Anchors(pages["links/index.html"]).found]
    assert len(flat) == len(WHEELS)
    assert all(href.startswith("../") and "/" not in href[3:] for href in flat)


def test_order_of_the_wheels_does_not_matter() -> None:
    assert index_files(WHEELS) == index_files(reversed(WHEELS))


def test_nothing_but_the_name_of_a_wheel_gets_into_a_page() -> None:
    wheel = stored("cffi-2.10.0-py3-none-any.whl")
    object.__setattr__(wheel, "filename", '../"><script>.whl')
    with pytest.raises(ValueError, match="Invalid wheel filename"):
        index_files([wheel])


hostile = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1).filter(lambda text: text.strip())


@given(requires_python=hostile, title=hostile)
def test_everything_is_escaped(requires_python: str, title: str) -> None:
    file = File(filename=title, url="x.whl", sha256="0" * 64, size=1, requires_python=requires_python)
    ((attributes, text),) = Anchors(f"{render_html.file_link(file)}").found or [({}, "")]
    assert attributes["data-requires-python"] == requires_python
    assert text == title or title.startswith(text)  # the parser hands text over in parts
    name = canonicalize_name("demo")
    wheel = File(filename="demo-1.0-py3-none-any.whl", url="u", sha256="0", size=1, requires_python=requires_python)
    document = json.loads(render_json.project_page(Project(name=name, files=(wheel,))))
    assert document["files"][0]["requires-python"] == requires_python


@given(reason=hostile)
def test_reason_of_a_yank_is_escaped(reason: str) -> None:
    wheel = dataclasses.replace(WHEELS[1], yanked=reason)
    pages = index_files([wheel, WHEELS[0]])
    for page in ("simple/cffi/index.html", "links/index.html"):
        (attributes, _), *others = Anchors(pages[page]).found
        assert attributes["data-yanked"] == reason
        assert all("data-yanked" not in other for other, _ in others)
    assert json.loads(pages["simple/cffi/index.v1_json"])["files"][0]["yanked"] == reason
    assert "yanked" not in json.loads(pages["simple/zope-interface/index.v1_json"])["files"][0]


def test_what_a_project_of_our_own_is_found_by_is_told_in_json_alone() -> None:
    """Keys with an underscore are the index's own (PEP 691)."""
    found, plain = stored("cffi-2.10.0-cp312-abi3-musllinux_1_2_aarch64.whl"), stored("cffi-2.9.0-py3-none-any.whl")
    keyed = dataclasses.replace(found, project_keys=(("ab12", str(TARGET)), ("cd34", "cp313-musllinux_1_2_x86_64")))
    pages, without = index_files([plain, keyed]), index_files([plain, found])
    first, second = json.loads(pages["simple/cffi/index.v1_json"])["files"]
    assert "_whb" not in first
    assert second.pop("_whb") == {
        "project-keys": {"ab12": "cp312-musllinux_1_2_aarch64", "cd34": "cp313-musllinux_1_2_x86_64"}
    }
    assert second == json.loads(without["simple/cffi/index.v1_json"])["files"][1]
    assert pages["simple/cffi/index.html"] == without["simple/cffi/index.html"]


# project status (PEP 792)


CFFI = [wheel for wheel in WHEELS if wheel.name == "cffi"]
NAME = canonicalize_name("cffi")


def test_without_a_mark_a_project_says_nothing_of_its_status() -> None:
    rendering = render_project(NAME, CFFI)
    assert "project-status" not in json.loads(rendering.pages["index.v1_json"])
    assert not any("status" in str(name) for name in Anchors(rendering.pages["index.html"]).metas)


@given(reason=st.none() | hostile)
@pytest.mark.parametrize("status", [Status.ARCHIVED, Status.DEPRECATED])
def test_status_is_told_in_both_forms(status: Status, reason: str | None) -> None:
    rendering = render_project(NAME, CFFI, Mark(status=status, reason=reason))
    page, document = Anchors(rendering.pages["index.html"]), json.loads(rendering.pages["index.v1_json"])
    told = {"status": str(status)} | ({} if reason is None else {"reason": reason})
    assert document["project-status"] == told
    assert "status" not in document["meta"]
    assert page.metas["pypi:project-status"] == status
    assert page.metas.get("pypi:project-status-reason") == reason
    assert len(page.found) == len(document["files"]) == 2


def test_quarantined_project_offers_no_file() -> None:
    rendering = render_project(NAME, CFFI, Mark(status=Status.QUARANTINED))
    document = json.loads(rendering.pages["index.v1_json"])
    assert (document["files"], document["versions"], rendering.links) == ([], [], "")
    assert not any(wheel.filename in page for wheel in CFFI for page in rendering.pages.values())
    with pytest.raises(ValueError, match="is quarantined"):
        Project(
            name=NAME, files=(File(filename="f", url="u", sha256="0", size=1),), mark=Mark(status=Status.QUARANTINED)
        )


def test_names_are_normalised() -> None:
    with pytest.raises(ValueError, match="not normalised"):
        Project(name="Zope.Interface")  # type: ignore[arg-type]  # what the check is for


def test_requirements_pin_each_wheel_by_its_hash() -> None:
    chosen = [WHEELS[0], WHEELS[1]]
    text = locks.requirements(TARGET, chosen)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.startswith("#")]
    parsed = [(Requirement(line.partition(" --hash=")[0].strip()), line.partition("sha256:")[2]) for line in lines]
    assert [(requirement.name, str(requirement.specifier), digest) for requirement, digest in parsed] == [
        ("cffi", "==2.10.0", WHEELS[1].sha256),
        ("zope-interface", "==8.0", WHEELS[0].sha256),
    ]


@pytest.mark.parametrize("chosen", [WHEELS[:2], [WHEELS[3]], []])
def test_pylock_is_valid_and_selects_its_wheels(chosen: list[StoredWheel]) -> None:
    assert locks.pylock_name(TARGET) == "pylock.cp312-musllinux_1_2_aarch64.toml"
    lock = Pylock.from_dict(tomllib.loads(locks.pylock(TARGET, chosen)))
    lock.validate()
    environment = dict(TARGET.marker_environment)
    selected = lock.select(environment=environment, tags=list(TARGET.tags))  # type: ignore[arg-type]
    names = {package.name: getattr(wheel, "name", None) for package, wheel in selected}
    assert names == {wheel.name: wheel.filename for wheel in chosen}


def test_pylock_refuses_another_target() -> None:
    lock = Pylock.from_dict(tomllib.loads(locks.pylock(TARGET, WHEELS[:1])))
    other = Target.parse("cp312-musllinux_1_2_x86_64")
    with pytest.raises(Exception, match="environment"):
        list(lock.select(environment=other.marker_environment, tags=list(other.tags)))


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"])))
def test_any_text_is_quoted_for_toml(text: str) -> None:
    wheel = stored("cffi-2.10.0-py3-none-any.whl", text or None)
    document = tomllib.loads(locks.pylock(TARGET, [wheel]))
    assert document["packages"][0].get("requires-python", "") == text
