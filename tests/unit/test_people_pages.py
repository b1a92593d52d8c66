"""The pages for people: what they say, and that no text becomes markup."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from tests.records import MOMENT, stored, verdict
from wheelhouse_builder.index.model import UNMARKED, Mark, Project, Status
from wheelhouse_builder.index.render_about import about_page
from wheelhouse_builder.index.render_browse import assets, browse_page, search, summary
from wheelhouse_builder.index.summary import safe_url, summary_of
from wheelhouse_builder.index.web_page import BASE, DASH, duration_text, size_text, tag, text

if TYPE_CHECKING:
    from wheelhouse_builder.wheelhouse.stored import StoredWheel

ARM = "musllinux_1_2_aarch64"
AMD = "musllinux_1_2_x86_64"
METADATA = b"""Metadata-Version: 2.4
Name: cffi
Version: 2.1.1
Summary: Foreign Function Interface for Python calling C code.
License-Expression: MIT-0
Project-URL: Source Code, https://host/cffi
Project-URL: Download, https://host/download
"""
VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """The shape of a page (tags and the names of their attributes), its links, identifiers and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.shape: list[tuple[str, ...]] = []
        self.links: list[str] = []
        self.identifiers: list[str] = []
        self.said: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.said).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, *(name for name, _ in attrs)))
        found = dict(attrs)
        self.links += [found["href"] or ""] if "href" in found else []
        self.identifiers += [found["id"] or ""] if "id" in found else []
        assert not any(name.startswith("on") or name == "style" for name in found), "the policy forbids it"
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.shape.append((f"/{tag}",))

    def handle_data(self, data: str) -> None:
        assert not self._open or self._open[-1] not in {"script", "style"} or not data.strip()
        self.said.append(data)


def project(name: str, *wheels: StoredWheel, mark: Mark = UNMARKED) -> Project:
    return Project(name=canonicalize_name(name), mark=mark)


def about(
    *wheels: StoredWheel, mark: Mark = UNMARKED, metadata: bytes | None = METADATA, logs: tuple[str, ...] = ()
) -> str:
    ordered = sorted(wheels, key=lambda wheel: (wheel.version, wheel.filename))
    return about_page(project("cffi", mark=mark), ordered, metadata=metadata, logs=logs)


BUILT = dataclasses.replace(
    stored(f"cffi-2.1.1-cp312-cp312-{ARM}.whl", verdict("loader", f"cp312-{ARM}"), verdict("import", f"cp312-{ARM}")),
    engine="cross",
    seconds=127.04,
    built_for=f"cp312-{ARM}",
    source_sha256="a" * 64,
    build_key="b" * 64,
    size=196_271,
)
FETCHED = dataclasses.replace(
    stored(f"cffi-2.0-cp312-cp312-{AMD}.whl"),
    origin="fetched",
    url="https://host/packages/cffi.whl",
    yanked="crashes",
    published_at=MOMENT - timedelta(days=9),
)


def test_about_page_says_what_ran_natively() -> None:
    emulated = dataclasses.replace(BUILT, engine="container", native_tools="zig 0.17.1, uv 0.13.9")
    words = Page(about(emulated)).words
    assert "built by the container engine" in words
    assert "Ran natively zig 0.17.1, uv 0.13.9; all else of the build under emulation" in words
    assert "Ran natively" not in Page(about(BUILT)).words


def test_about_page_says_what_is_known() -> None:
    page = Page(about(BUILT, FETCHED, logs=(BUILT.filename,)))
    for told in (
        "cffi 2.1.1",
        "Foreign Function Interface for Python calling C code.",
        "MIT-0",
        f"built by the cross engine for cp312-{ARM} in 2 min 7 s",
        "a" * 64,
        "b" * 64,
        BUILT.sha256,
        FETCHED.sha256,
        "196.3 kB (196,271 bytes)",
        f"Import passed for cp312-{ARM} , on a processor of its kind: docker python:3.12-alpine",
        "CPython 3.12; arm64 with musl 1.2 or newer",
        "fetched from host/packages/cffi.whl",
        "Yanked: crashes",
        "2026-11-24 04:18 UTC",
        f"pip install --index-url {BASE} /simple/ cffi==2.1.1",
        f"pip install --no-index --find-links {BASE} /links/index.html cffi==2.1.1",
        f"uv pip install --default-index {BASE} /simple/ cffi==2.1.1",
    ):
        assert told in page.words
    assert page.links.count(f"../../{BUILT.filename}") == 1
    assert f"../../browse/logs/{BUILT.filename}.log.gz" in page.links
    assert f"../../browse/logs/{FETCHED.filename}.log.gz" not in page.links
    assert "https://host/cffi" in page.links
    assert "https://host/download" not in page.links
    assert page.words.index("2.1.1 2026-11-24") < page.words.index("2.0 yanked")


def test_every_link_of_a_page_leads_somewhere() -> None:
    local = stored("cffi-1.0+musl.1-py3-none-any.whl")
    page = Page(about(BUILT, FETCHED, local))
    assert "../../cffi-1.0%2Bmusl.1-py3-none-any.whl" in page.links
    inner = {unquote(link[1:]) for link in page.links if link.startswith("#")}
    assert inner <= set(page.identifiers)
    assert local.filename in inner
    assert len(page.identifiers) == len(set(page.identifiers))


def test_a_cell_says_its_standing_in_words() -> None:
    words = Page(about(BUILT, FETCHED)).words
    assert "arm64 missing imported native missing missing" in words
    assert "amd64 missing not verified missing missing" in words


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.QUARANTINED])
def test_a_status_is_told(status: Status) -> None:
    page = Page(about(BUILT, mark=Mark(status=status, reason="moved to <b>")))
    assert (f"is {status}" in page.words) == (status is not Status.ACTIVE)
    assert ("Reason: moved to <b>" in page.words) == (status is not Status.ACTIVE)


def test_a_quarantined_project_offers_nothing() -> None:
    page = Page(about(mark=Mark(status=Status.QUARANTINED), metadata=None))
    assert "is quarantined" in page.words
    assert not any(link.endswith(".whl") for link in page.links)
    assert "pip install" not in page.words


def test_secrets_of_a_url_are_not_shown() -> None:
    for url in ("https://me:secret@host/x.whl", "https://host/x.whl?sig=secret", "file:///home/secret/x.whl"):
        page = about(dataclasses.replace(FETCHED, url=url))
        assert "secret" not in page


hostile = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</code></main><h1>",
        "&lt;b&gt;&amp;#60;",
        "javascript:alert(1)",
        "<!-- ]]> <?",
    ]
)


def tricked(bad: str) -> tuple[StoredWheel, ...]:
    """Wheels with this text wherever text from outside may stand."""
    target = f"cp312-{ARM}"
    seen = verdict("loader", target, problems=(bad,), notes=(bad,))
    wheel = dataclasses.replace(
        BUILT,
        verdicts=(dataclasses.replace(seen, environment=bad, target=f"{target}{bad}"),),
        notes=(bad,),
        engine=bad,
        native_tools=bad,
        built_for=bad,
        build_key=bad,
        requires_python=bad,
        yanked=bad,
    )
    return wheel, dataclasses.replace(FETCHED, origin=bad)


@given(bad=hostile)
def test_no_text_becomes_markup(bad: str) -> None:
    def shape(word: str) -> Page:
        return Page(about(*tricked(word), mark=Mark(status=Status.ARCHIVED, reason=word), metadata=None))

    page = shape(bad)
    assert page.shape == shape("x").shape
    assert "".join(bad.split()) in "".join(page.words.split())


@given(url=hostile | st.builds("javascript:{}".format, hostile) | st.builds("https://{}".format, hostile))
def test_only_http_becomes_a_link(url: str) -> None:
    """What a browser takes for another scheme is shown, and is no link."""
    metadata = b"Name: x\nHome-Page: " + url.encode() + b"\nProject-URL: Source, " + url.encode() + b"\n"
    page = Page(about(dataclasses.replace(FETCHED, url=url), metadata=metadata))
    for link in page.links:
        assert re.match(r"https?://[^/]|\.\./|#|data:,$", link), link
        assert link.isprintable()


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://host/x", True),
        ("http://host:8080/x?y#z", True),
        (" https://host/x ", True),
        ("javascript:alert(1)", False),
        ("java\nscript:alert(1)", False),
        ("JaVaScRiPt:alert(1)", False),
        ("data:text/html,<script>", False),
        ("//host/x", False),
        ("https://", False),
        ("https://[", False),
        ("file:///etc/passwd", False),
    ],
)
def test_safe_urls(url: str, safe: bool) -> None:
    assert (safe_url(url) is not None) == safe


@given(metadata=st.binary() | hostile.map(str.encode))
def test_any_metadata_gives_a_summary(metadata: bytes) -> None:
    found = summary_of(b"Summary: " + metadata)
    assert found.text is None or "\n" not in found.text


def test_summary_of_old_and_odd_metadata() -> None:
    odd = b"Name: x\nHome-page: https://host/\nLicense: MIT\nProject-URL: Homepage, https://host/\n"
    assert summary_of(odd).licence == "MIT"
    assert summary_of(odd).links == (("Home page", "https://host/"),)
    whole = b"License: Permission is hereby granted\n  to anyone\nClassifier: License :: OSI Approved :: MIT License\n"
    assert summary_of(whole).licence == "MIT License"
    assert len(summary_of(b"Summary: " + b"x" * 5000).text or "") == 201
    assert summary_of(b"License: UNKNOWN\n").licence is None


SUMMARIES = {
    "cffi": summary(project("cffi"), [FETCHED, BUILT], metadata=METADATA),
    "zope-interface": summary(project("zope-interface"), [stored("zope_interface-8.0-py3-none-any.whl")]),
}


def test_summary_of_a_project() -> None:
    assert SUMMARIES["cffi"] == {
        "version": "2.1.1",
        "summary": "Foreign Function Interface for Python calling C code.",
        "wheels": 2,
        "pythons": ["", "3.12"],
        "changed": "2026-11-24",
        "note": "",
    }
    assert SUMMARIES["zope-interface"]["pythons"] == [f"3.11{DASH}3.14"] * 2
    assert summary(project("cffi"), [FETCHED])["note"] == "yanked"
    quarantined = summary(project("cffi", mark=Mark(status=Status.QUARANTINED)), [])
    assert quarantined["note"] == "quarantined"
    assert (quarantined["version"], quarantined["wheels"]) == ("", 0)
    gap = [stored(f"cffi-1.0-{python}-{python}-{ARM}.whl") for python in ("cp311", "cp313", "cp314")]
    assert summary(project("cffi"), gap)["pythons"] == ["", f"3.11, 3.13{DASH}3.14"]


def test_a_wheel_that_fails_covers_nothing() -> None:
    failing = stored(f"cffi-1.0-cp312-cp312-{ARM}.whl", verdict("loader", f"cp312-{ARM}", problems=("needs x",)))
    assert summary(project("cffi"), [failing])["pythons"] == ["", ""]


def test_list_page() -> None:
    page = Page(browse_page(SUMMARIES))
    assert "../simple/cffi/about.html" in page.links
    assert "2 projects, 3 wheels" in page.words
    assert f"cffi Foreign Function Interface for Python calling C code. 2.1.1 {DASH} 3.12 2 2026-11-24" in page.words
    assert Page(browse_page({})).words.count("0 projects, 0 wheels") == 1


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("cffi", ["cffi"]),
        ("CFF", ["cffi"]),
        ("Zope.Interface", ["zope-interface"]),
        ("zope_int", ["zope-interface"]),
        ("interface", ["cffi", "zope-interface"]),
        ("interface zope", ["zope-interface"]),
        ("calling c", ["cffi"]),
        ("nothing", []),
        ("", ["cffi", "zope-interface"]),
    ],
)
def test_search(query: str, found: list[str]) -> None:
    assert list(search(SUMMARIES, query)) == found
    page = Page(browse_page(SUMMARIES, query))
    listed = [link for link in page.links if link.endswith("/about.html")]
    assert listed == [f"../simple/{name}/about.html" for name in found]


@given(query=hostile)
def test_a_query_is_text(query: str) -> None:
    page = Page(browse_page(SUMMARIES, query))
    plain = Page(browse_page(SUMMARIES, next(iter(search(SUMMARIES, query)), "no such project")))
    heads = [found for found in page.shape if found[0] in {"script", "h1", "input", "form", "main"}]
    assert (
        heads == [found for found in plain.shape if found[0] in {"script", "h1", "input", "form", "main"}]
        or not query.strip()
    )
    assert len(browse_page({}, query * 1000)) < 20_000


@given(bad=hostile)
def test_the_list_takes_any_summary(bad: str) -> None:
    def shape(word: str) -> Page:
        return Page(browse_page({"demo": {**SUMMARIES["cffi"], "summary": word, "note": word, "version": word}}))

    assert shape(bad).shape == shape("x").shape


def test_many_projects_are_shown_by_letter_and_stay_small() -> None:
    line = "A library that does one thing, does it well, and says so in a summary of usual length"
    many = {f"{chr(97 + i % 26)}-project-{i:05}": {**SUMMARIES["cffi"], "summary": line} for i in range(2_600)}
    page = browse_page(dict(sorted(many.items())))
    assert len(page.encode()) <= 780_000
    parsed = Page(page)
    assert [link for link in parsed.links if link.startswith("#")][1:] == [f"#{chr(65 + i)}" for i in range(26)]
    assert page.count("<table") == 26
    assert browse_page(dict(list(many.items())[:100])).count("<table") == 1


def test_equal_wheels_give_equal_bytes() -> None:
    assert about(BUILT, FETCHED) == about(FETCHED, BUILT)
    assert browse_page(SUMMARIES) == browse_page(dict(SUMMARIES))


def test_pages_share_their_assets() -> None:
    found = assets()
    assert set(found) == {"browse/style.css", "browse/script.js"}
    page = Page(about(BUILT))
    assert "../../browse/style.css" in page.links
    assert '<script src="../../browse/script.js" defer>' in about(BUILT)
    assert "url(" not in found["browse/style.css"]
    assert "http" not in "".join(found.values())


def test_pieces() -> None:
    assert (
        text("a<b", tag("i", "c&d", title='"', hidden=True, class_=None))
        == 'a&lt;b<i title="&quot;" hidden>c&amp;d</i>'
    )
    assert [size_text(size) for size in (0, 999, 1000, 196_271, 3_811_792, 5_000_000_000)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "196.3 kB",
        "3.8 MB",
        "5.0 GB",
    ]
    assert [duration_text(seconds) for seconds in (0.04, 9.92, 127.0, 3600, 7320.4)] == [
        "0.0 s",
        "9.9 s",
        "2 min 7 s",
        "1 h 0 min",
        "2 h 2 min",
    ]
