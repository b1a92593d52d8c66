"""Finding a project's wheel in a wheelhouse, and taking it out: pages, candidates, folders, indexes."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.wrapping import TARGET, Project, make_project, new_process
from wheelhouse_builder.errors import DamagedError, DownloadError, MachineError
from wheelhouse_builder.project.identity import Identity
from wheelhouse_builder.wrapper import index as index_module
from wheelhouse_builder.wrapper.folder import Folder
from wheelhouse_builder.wrapper.index import Index
from wheelhouse_builder.wrapper.offers import Offer, choose, parse_page
from wheelhouse_builder.wrapper.request import read_request
from wheelhouse_builder.wrapper.stored import Found, fetch, find
from wheelhouse_builder.wrapper.telling import errors_told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEMO = Identity(name=canonicalize_name("demo"), version=Version("1.0"))
JSON = "application/vnd.pypi.simple.v1+json"
KEY = "a" * 64


def offer(filename: str, **changes: Any) -> Offer:
    fields = {"url": f"../../{filename}", "sha256": "0" * 64, "size": 3, "key": KEY, "built_for": str(TARGET)}
    return Offer(filename=filename, **{**fields, **changes})


def entry(filename: str = "demo-1.0-py3-none-any.whl", **changes: object) -> dict[str, object]:
    """A file as a page has it."""
    whb = {"project-keys": {KEY: str(TARGET)}}
    fields = {"filename": filename, "url": f"../../{filename}", "hashes": {"sha256": "0" * 64}, "size": 3, "_whb": whb}
    return {**fields, **changes}


def page(*files: object) -> bytes:
    return json.dumps({"meta": {"api-version": "1.4"}, "name": "demo", "files": files}).encode()


# Pages


def test_what_a_page_offers() -> None:
    content = page(
        entry(),
        entry("demo-1.0.tar.gz", _whb=None),
        {"filename": "demo-0.9-py3-none-any.whl", "url": "x", "hashes": {}},
        entry("demo-1.0-1-py3-none-any.whl", yanked="broken"),
        entry("demo-1.0-2-py3-none-any.whl", yanked=False),
        entry("demo-1.0-3-py3-none-any.whl", _whb={"project-keys": {KEY: "cp399-musllinux_9_9_riscv64"}}),
    )
    offers = parse_page(content, "http://host/simple/demo/", what="it")
    assert [each.filename for each in offers] == ["demo-1.0-py3-none-any.whl", "demo-1.0-2-py3-none-any.whl"]
    assert offers[0].url == "http://host/demo-1.0-py3-none-any.whl"


@pytest.mark.parametrize("content", [b"<!DOCTYPE html>", b"\xff", b"[]", b"{}", b'{"files": {}}', page(3), page({})])
def test_what_is_no_page(content: bytes) -> None:
    if content == b'{"files": {}}':
        assert parse_page(content, what="it") == ()
    else:
        with pytest.raises(DamagedError, match="it is not a JSON page"):
            parse_page(content, what="it")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(file=st.dictionaries(st.sampled_from([*entry(), "yanked"]), JSON_VALUES), name=st.text(max_size=20))
def test_whatever_a_page_says_is_offered_or_refused(file: dict[str, object], name: str) -> None:
    try:
        for each in parse_page(page({**entry(name), **file}, entry()), what="it"):
            choose([each], DEMO, TARGET.tags)
    except DamagedError:
        pass


# Candidates


@pytest.mark.parametrize(
    ("filenames", "best"),
    [
        ((), None),
        (("demo-1.0-cp312-cp312-musllinux_1_2_x86_64.whl",), None),
        (
            ("demo-1.0-py3-none-any.whl", "demo-1.0-cp312-cp312-musllinux_1_2_aarch64.whl"),
            "demo-1.0-cp312-cp312-musllinux_1_2_aarch64.whl",
        ),
        (
            ("demo-1.0-cp311-abi3-musllinux_1_2_aarch64.whl", "demo-1.0-cp312-abi3-musllinux_1_1_aarch64.whl"),
            "demo-1.0-cp312-abi3-musllinux_1_1_aarch64.whl",
        ),
        (("demo-1.0-2-py3-none-any.whl", "demo-1.0-10a-py3-none-any.whl"), "demo-1.0-10a-py3-none-any.whl"),
        (("demo-1.0-py2.py3-none-any.whl",), "demo-1.0-py2.py3-none-any.whl"),
    ],
)
def test_the_best_tag_then_the_highest_build_tag(filenames: tuple[str, ...], best: str | None) -> None:
    for order in (filenames, filenames[::-1]):
        found = choose([offer(name) for name in order], DEMO, TARGET.tags)
        assert (found.filename if found else None) == best


@pytest.mark.parametrize(
    "filename",
    [
        "../demo-1.0-py3-none-any.whl",
        "demo-1.0-1-1/../../x-py3-none-any.whl",
        "demo-1.0-py3-none-any.whl\0",
        "demo-1.0-py3-none-ány.whl",
        "demo-1.0.tar.gz",
        "",
    ],
)
def test_a_name_that_is_none_is_refused(filename: str) -> None:
    with pytest.raises(DamagedError, match="no name of a wheel"):
        choose([offer(filename)], DEMO, TARGET.tags)


@pytest.mark.parametrize("filename", ["other-1.0-py3-none-any.whl", "demo-1.0.1-py3-none-any.whl"])
def test_a_wheel_of_another_project_is_refused(filename: str) -> None:
    with pytest.raises(DamagedError, match=f"offers {filename} for demo 1.0"):
        choose([offer(filename)], DEMO, TARGET.tags)


def test_a_version_that_is_not_static_may_be_any() -> None:
    assert choose([offer("demo-7-py3-none-any.whl")], Identity(name=DEMO.name, version=None), TARGET.tags)


# Keys


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = make_project(tmp_path, monkeypatch)
    made.write()
    return made


def test_a_wheel_is_found_by_its_key_alone(project: Project) -> None:
    assert find(read_request(None), None) is None  # no wheelhouse is there
    project.store()
    new_process()
    found = find(read_request(None), None)
    assert found is not None
    assert found.offer.filename == "demo-1.0-py3-none-any.whl"
    project.edit_page(_whb={"project-keys": {KEY: str(TARGET)}})
    new_process()
    assert find(read_request(None), None) is None
    project.edit_page(_whb=None)
    new_process()
    assert find(read_request(None), None) is None


def test_the_policy_is_part_of_the_key(project: Project) -> None:
    project.store()
    assert find(read_request({"whb.musl-floor": "1.2.5"}), None) is None
    assert find(read_request({"whb.musl-floor": "1.2.3"}), None) is not None


def test_a_wheel_serves_the_targets_whose_tags_it_has(project: Project) -> None:
    """One for abi3 was built for another Python than that which installs it."""
    project.store(tag="cp311-abi3-musllinux_1_2_aarch64", target=TARGET)
    assert find(read_request(None), TARGET) is not None
    assert find(read_request(None), None) is None


def test_the_tree_is_read_once_and_the_page_too(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.store()
    assert find(read_request(None), None)
    (project.root / "demo.py").unlink()
    project.page.unlink()
    assert find(read_request({}), None)


# A folder


def test_a_copy_of_what_the_page_promises(project: Project, tmp_path: Path) -> None:
    wheel = project.store()
    found = find(read_request(None), None)
    assert found is not None
    copy = fetch(found, tmp_path)
    assert copy == tmp_path / wheel.name
    assert copy.read_bytes() == wheel.read_bytes()
    assert copy.stat().st_mode == wheel.stat().st_mode
    assert not list(tmp_path.glob(".*"))


def test_a_wheel_that_is_gone(project: Project, tmp_path: Path) -> None:
    wheel = project.store()
    wheel.unlink()
    found = find(read_request(None), None)
    assert found is not None
    with pytest.raises(DamagedError, match="is not there, and the index names it"):
        fetch(found, tmp_path)


def test_a_wheel_that_was_changed_leaves_nothing(project: Project, tmp_path: Path) -> None:
    wheel = project.store()
    wheel.write_bytes(b"x")
    found = find(read_request(None), None)
    assert found is not None
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DamagedError, match="and its page says"):
        fetch(found, out)
    assert not list(out.iterdir())


def test_a_folder_that_takes_no_wheel(project: Project, tmp_path: Path) -> None:
    project.store()
    found = find(read_request(None), None)
    assert found is not None
    with pytest.raises(MachineError, match="cannot write"):
        fetch(found, tmp_path / "missing")


def test_a_page_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "simple/demo/index.v1_json").mkdir(parents=True)
    with pytest.raises(DownloadError, match="cannot read"):
        Folder(tmp_path).page("demo")
    assert Folder(tmp_path / "missing").page("demo") is None
    (tmp_path / "file").touch()
    assert Folder(tmp_path / "file").page("demo") is None


# An index


class Response(io.BytesIO):
    """What urllib's opener returns."""

    def __init__(self, url: str, content: bytes, kind: str = JSON, *, more: int = 0) -> None:
        super().__init__(content)
        self.url, self.length = url, more
        self.headers = Message()
        self.headers["Content-Type"] = kind


Answer = Response | Exception | int


@dataclass
class Opener:
    """Answers by URL; notes what it was asked."""

    answers: Mapping[str, Answer]
    asked: list[Request] = field(default_factory=list)

    def open(self, fullurl: Request, /, *, timeout: float) -> Response:
        self.asked.append(fullurl)
        answer = self.answers.get(fullurl.full_url, 404)
        if isinstance(answer, int):
            raise HTTPError(fullurl.full_url, answer, "Said so", Message(), io.BytesIO())
        if isinstance(answer, Exception):
            raise answer
        return answer


PAGE = "http://host/simple/demo/"


def index_of(*responses: Response, url: str = "http://host/simple/", **answers: Answer) -> Index:
    return Index(url, opener=Opener({**{each.url: each for each in responses}, **answers}))


@pytest.fixture(autouse=True)
def _no_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_a_page_of_a_server_that_negotiates() -> None:
    index = index_of(Response(PAGE, b"{}"))
    assert index.page("demo") == (b"{}", PAGE)


def test_a_page_of_a_server_of_plain_files() -> None:
    plain = f"{PAGE}index.v1_json"
    index = index_of(Response(PAGE, b"<html>", "text/html"), Response(plain, b"{}", "application/octet-stream"))
    assert index.page("demo") == (b"{}", plain)


def test_a_page_that_is_not_there() -> None:
    assert index_of().page("demo") is None
    assert index_of(Response(PAGE, b"<html>", "text/html")).page("demo") is None  # an index that has no JSON


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (500, "http://host/simple/demo/: 500 Said so"),
        (403, "http://host/simple/demo/: 403 Said so"),
        (URLError("Connection refused"), "Connection refused"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("odd"), "odd"),
    ],
)
def test_an_index_that_does_not_answer(answer: Answer, said: str) -> None:
    with pytest.raises(DownloadError, match=said) as raised:
        Index("http://host/simple/", opener=Opener({PAGE: answer})).page("demo")
    assert raised.value.hint is not None
    assert ("netrc" in raised.value.hint) == (answer == 403)


def test_what_an_index_says_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    answer = HTTPError(PAGE, 503, "all \x1b[2J\x07\u202e well\r\n", Message(), io.BytesIO())
    with pytest.raises(SystemExit), errors_told():
        Index("http://host/simple/", opener=Opener({PAGE: answer})).page("demo")
    assert capsys.readouterr().err.startswith(f"whb: error: {PAGE}: 503 all [2J well\n")


def test_an_index_that_is_too_slow() -> None:
    """Also where the time goes without a byte, as in the look-up of the host."""
    over = threading.Event()

    class Slow(Opener):
        def open(self, fullurl: Request, /, *, timeout: float) -> Response:
            over.wait(30)
            return Response(PAGE, b"{}")

    with pytest.raises(DownloadError, match="no answer within 0 s"):
        Index("http://host/simple/", opener=Slow({}), seconds=0.05).page("demo")
    over.set()


def test_one_that_does_not_answer_is_asked_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    opener = Opener({PAGE: 500})
    monkeypatch.setattr(index_module, "build_opener", lambda *handlers: opener)
    for _ in range(2):
        with pytest.raises(DownloadError):
            find(read_request({"whb.wheelhouse": "http://host/simple/"}), None)
    assert len(opener.asked) == 1


def test_a_page_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "MAX_PAGE_BYTES", 10)
    with pytest.raises(DamagedError, match="more than 10 bytes"):
        index_of(Response(PAGE, bytes(11))).page("demo")


def test_a_page_that_breaks_off() -> None:
    with pytest.raises(DownloadError, match="broke off after 3 bytes"):
        index_of(Response(PAGE, b"{}\n", more=7)).page("demo")


def taken(offered: Offer, *responses: Response, into: Path, url: str = "http://host/simple/") -> Path:
    return fetch(Found(offer=offered, place=index_of(*responses, url=url)), into)


WHEEL = "http://host/demo-1.0-py3-none-any.whl"
DIGEST = hashlib.sha256(b"abc").hexdigest()


def test_a_wheel_of_an_index(tmp_path: Path) -> None:
    offered = offer("demo-1.0-py3-none-any.whl", url=WHEEL, sha256=DIGEST)
    assert taken(offered, Response(WHEEL, b"abc"), into=tmp_path).read_bytes() == b"abc"


@pytest.mark.parametrize(
    ("content", "size", "said"),
    [
        (b"abd", 3, "its page says"),
        (b"abcd", 3, "more than 3 bytes"),
        (b"abc", 1 << 40, "too much"),
        (None, 3, "is not there"),
    ],
)
def test_a_wheel_of_an_index_that_is_another(content: bytes | None, size: int, said: str, tmp_path: Path) -> None:
    offered = offer("demo-1.0-py3-none-any.whl", url=WHEEL, sha256=DIGEST, size=size)
    responses = [] if content is None else [Response(WHEEL, content)]
    with pytest.raises(DamagedError, match=said):
        taken(offered, *responses, into=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x.whl", "http://host/x.whl", "//"])
def test_an_index_leads_neither_to_files_nor_out_of_encryption(url: str, tmp_path: Path) -> None:
    offered = offer("demo-1.0-py3-none-any.whl", url=url)
    with pytest.raises(DownloadError, match=r"only https and http are fetched|is not encrypted"):
        taken(offered, into=tmp_path, url="https://host/simple/")


def test_credentials_go_to_their_host_and_are_not_shown(tmp_path: Path) -> None:
    opener = Opener({PAGE: 500})
    index = Index("http://me:p%40ss@host/simple/", opener=opener)
    with pytest.raises(DownloadError) as raised:
        index.page("demo")
    shown = f"{raised.value.message} {raised.value.hint} {index} {index!r}"
    assert "http://***@host/simple/" in shown
    assert not [secret for secret in ("me:", "p%40ss", "p@ss") if secret in shown]
    (asked,) = opener.asked
    assert asked.get_header("Authorization") == "Basic bWU6cEBzcw=="
    assert asked.full_url == PAGE
    with pytest.raises(DamagedError):
        index.copy(offer("demo-1.0-py3-none-any.whl", url="http://other/x.whl"), tmp_path / "x")
    assert opener.asked[-1].get_header("Authorization") is None


def redirected(index: Index, start: str, to: str) -> Request | None:
    request = Request(start)
    index.authorise(request)
    return index_module._Redirects(index).redirect_request(request, None, 302, "Found", Message(), to)


def test_redirects_are_followed_within_bounds() -> None:
    index = Index("https://me:pw@host/simple/")
    same = redirected(index, "https://host/simple/demo/", "https://host/elsewhere/")
    assert same is not None
    assert same.get_header("Authorization") == "Basic bWU6cHc="
    other = redirected(index, "https://host/simple/demo/", "https://other/demo/")
    assert other is not None
    assert other.get_header("Authorization") is None
    with pytest.raises(DownloadError, match="is not encrypted"):
        redirected(index, "https://host/simple/demo/", "http://host/simple/demo/")
    with pytest.raises(DownloadError, match="only https and http"):
        redirected(index, "https://host/simple/demo/", "file:///etc/passwd")
