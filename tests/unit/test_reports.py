"""The report of a run as a page, as Markdown and as data."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.reports import AMD, ARM, LAST, TARGETS, TRICK, failed, night, report, row, span
from wheelhouse_builder.errors import MachineError, ResolveError
from wheelhouse_builder.plan import Action
from wheelhouse_builder.report.as_html import report_html
from wheelhouse_builder.report.as_json import dump, report_data
from wheelhouse_builder.report.as_markdown import report_markdown
from wheelhouse_builder.report.model import Change, ChangeKind, Changes, Report, Status
from wheelhouse_builder.report.spans import RUN_LANE
from wheelhouse_builder.report.story import Story
from wheelhouse_builder.report.timeline import timeline
from wheelhouse_builder.report.write import write_reports
from wheelhouse_builder.verify.verdict import Check, Method, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = Path(__file__).parents[2] / "docs/reference/report.schema.json"
SECRET = "https://me:hunter2@host/simple/?token=hunter2"
NIGHT = night(9)
DOWN = ResolveError(f"the index {SECRET} does not answer", hint="try again")
NOTHING = report(error=DOWN, changed=False)
NO_VERSION = ResolveError(
    f"no version of demo for 3.13\nwanted by\n    app, from {SECRET}", hint="lower requires-python"
)
PARTLY = report(row(target=AMD), unresolved={TARGETS[4]: NO_VERSION, TARGETS[5]: NO_VERSION})
MARKDOWN = MarkdownIt("commonmark").enable("table")
STARTS = ("--", "- a", "+ a", "* a", "1. a", "2) a", "===", "    a", "> a", "\\")
FORBIDDEN = {
    "html_block",
    "html_inline",
    "link_open",
    "image",
    "blockquote_open",
    "hr",
    "ordered_list_open",
    "code_block",
}
RENDERERS = (report_html, report_markdown, lambda told: dump("report", report_data(told)))


class Page(HTMLParser):
    """What a page is made of. Fails on what is not closed."""

    VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def ids(self) -> list[str | None]:
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]


# the story


def test_a_night_is_told_in_few_words() -> None:
    assert Story(NIGHT).title == "3 failed, 2 regressed"
    assert Story(report(row())).title == "all ready"
    assert Story(report(row(), changed=False)).title == "unchanged"
    assert Story(NOTHING).title == "refresh came to nothing"
    assert Story(PARTLY).title == "2 targets unresolved"
    assert Story(PARTLY).lead == "2 targets unresolved; 1 of 1 ready (1 built) in 1 min 15 s"
    assert Story(report(failed(), unresolved={AMD: DOWN}, changed=False)).title == "1 target unresolved, 1 failed"


def test_regressions_are_first_and_what_is_blocked_is_last() -> None:
    order = [(failure.name, failure.regressed) for failure in Story(NIGHT).failures]
    assert order == [("python-ldap", True), ("tensorflow", True), ("uwsgi", False), ("bonsai", True)]


def test_what_still_fails_tells_when_it_was_there() -> None:
    now = failed()
    change = Change(kind=ChangeKind.STILL_FAILING, name="broken", target=str(ARM), good=LAST, inputs=("zig 1 → 2",))
    told = report(now, changes=Changes(since=LAST, seconds=1.0, size=0, items=(change,), before={}))
    assert Story(told).title == "1 failed"
    for text in (report_html(told), report_markdown(told)):
        assert "on 2026-11-28" in text
        assert "zig 1 → 2" in text


def test_a_failure_tells_what_waits_for_it() -> None:
    assert Story(NIGHT).failures[0].blocks == ("bonsai",)
    assert "Blocks: bonsai" in report_markdown(NIGHT)
    assert "<dt>Blocks</dt><dd>bonsai</dd>" in report_html(NIGHT)


def test_a_failure_on_several_targets_is_told_once() -> None:
    story = Story(report(failed(target=AMD), failed(target=ARM), failed(target=ARM, kind="other", message="else")))
    assert [failure.targets for failure in story.failures] == [(AMD, ARM), (ARM,)]


def test_the_end_of_a_long_tail_is_shown() -> None:
    tail = "\n".join(f"line {number} {'x' * 1000}" for number in range(100))
    (failure,) = Story(report(failed(tail=tail))).failures
    lines = failure.tail.splitlines()
    assert (len(lines), lines[0], lines[-1][:8], max(map(len, lines))) == (41, "…", "line 99 ", 400)


def test_targets_are_in_the_order_of_people() -> None:
    assert Story(report(row(target=ARM), row(target=AMD))).targets == (AMD, ARM)


def test_a_target_that_is_unresolved_is_told_first() -> None:
    told = report(failed(target=AMD), unresolved={TARGETS[5]: NO_VERSION})
    page, text = report_html(told), report_markdown(told)
    titles = ["What could not be resolved", "What failed"]
    assert re.findall(r"<h2[^>]*>([^<]*)</h2>", page)[:2] == titles
    assert re.findall(r"^## (.*)$", text, re.MULTILINE)[:2] == titles
    assert "<h3>3.13 arm64</h3>" in page
    assert "### 3.13 arm64\n\n```text\nno version of demo for 3.13\nwanted by\n    app, from " in text
    for each in (page, text):
        assert "lower requires-python" in each
        assert "Its lock and its wheels stay as they were." in each


def test_all_targets_are_not_those_that_were_resolved() -> None:
    assert Story(report(row(target=AMD))).on([AMD]) == "all targets"
    assert Story(PARTLY).on([AMD]) == "3.12 amd64"


# secrets, and what would be markup


def spoilt(bad: str) -> Report:
    """Everything that comes from outside holds this."""
    rows = (failed(message=bad, hint=bad, tail=bad, kind=bad, log=Path(bad)), row(reason=bad))
    spans = (span(bad, 0, 5), span("x", 5, 9, title=bad, phases=((bad, 5.0),)))
    return report(*rows, warnings=(bad,), spans=spans, unresolved={AMD: ResolveError(bad, hint=bad)})


@pytest.mark.parametrize("render", RENDERERS)
@pytest.mark.parametrize(
    "told", [report(failed(message=SECRET, hint=SECRET, tail=SECRET), warnings=(SECRET,)), NOTHING, PARTLY]
)
def test_no_report_tells_a_secret(render: Callable[[Report], str], told: Report) -> None:
    text = render(told)
    assert "hunter2" not in text
    assert "host/simple" in text


@settings(max_examples=50)
@given(st.one_of(st.text(), st.sampled_from([TRICK, "</style><script>x</script>", "]]>", "\0", "```\n# x", "</pre>"])))
def test_a_page_is_whole_whatever_is_told(bad: str) -> None:
    page = Page(report_html(spoilt(bad)))
    assert {tag for tag, _ in page.tags} <= {
        *(
            "html",
            "head",
            "meta",
            "link",
            "title",
            "style",
            "body",
            "main",
            "h1",
            "h2",
            "h3",
            "p",
            "b",
            "ul",
            "li",
            "nav",
        ),
        *(
            "a",
            "section",
            "article",
            "span",
            "pre",
            "code",
            "dl",
            "dt",
            "dd",
            "div",
            "table",
            "caption",
            "thead",
            "tbody",
        ),
        *("tr", "th", "td", "small", "svg", "g", "rect", "text", "line", "path"),
    }
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


@given(
    st.one_of(
        st.text(), st.sampled_from([TRICK, "a\n# b", "<!-- x", "| a |\n| - |", "[a](b)", "<a@b.c>", "![a](b)", *STARTS])
    )
)
@settings(max_examples=50)
def test_nothing_from_outside_becomes_markdown(bad: str) -> None:
    blocks = MARKDOWN.parse(report_markdown(spoilt(bad)))
    tokens = [inner for token in blocks for inner in (token, *(token.children or ()))]
    titles = [
        token.content for before, token in pairwise(blocks) if before.type == "heading_open" and before.tag == "h2"
    ]
    assert titles == [
        "What could not be resolved",
        "What failed",
        "Warnings",
        "Packages and targets",
        "Where the time went",
        "What was built",
    ]
    kinds = {token.type for token in tokens}
    assert not kinds & FORBIDDEN


def test_a_fence_is_longer_than_any_in_the_log() -> None:
    text = report_markdown(report(failed(tail="before\n````\n# not a heading")))
    assert text.count("`````") == 2


# the page


def test_a_page_needs_nothing_else() -> None:
    page = Page(report_html(NIGHT))
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "iframe", "form"}
    links = [attributes.get("href") for tag, attributes in page.tags if tag in {"a", "link"}]
    assert [link for link in links if not str(link).startswith(("#", "data:"))] == []
    assert not any("style" in attributes for _, attributes in page.tags)  # the policy forbids it


def test_the_policy_allows_the_style_and_nothing_more() -> None:
    text = report_html(NIGHT)
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in text
    assert "url(" not in style


def test_every_link_in_a_page_leads_somewhere() -> None:
    page = Page(report_html(NIGHT))
    links = {str(attributes["href"])[1:] for tag, attributes in page.tags if tag == "a"}
    assert links <= set(page.ids())
    assert len(page.ids()) == len(set(page.ids()))


def test_a_package_that_fails_in_two_ways_has_one_place() -> None:
    page = Page(report_html(report(failed(target=AMD), failed(target=ARM, message="otherwise"))))
    assert page.ids().count("failed-broken") == 1


def test_a_page_of_a_run_that_came_to_nothing() -> None:
    text = report_html(NOTHING)
    assert "The wheelhouse is as it was: generation 3 stays in force." in text
    assert "What to do: try again" in text
    assert "<table" not in text
    assert "Nothing was published" in report_html(report(error=DOWN, generation=None))


def test_a_wheel_that_nobody_imported_says_so() -> None:
    loader = Verdict(check=Check.LOADER, target=str(ARM), method=Method.STATIC, environment="musl 1.2.2")
    assert "not imported" in report_html(report(row(verdicts=(loader,))))
    assert "not imported" not in report_html(report(row()))


def test_a_picture_has_a_bar_for_each_span_and_outlines_the_path() -> None:
    spans = [span("resolve", 0, 5, lane=RUN_LANE), span("a", 5, 50), span("b", 5, 20), span("c", 50, 90, "a")]
    text = timeline(spans, ["resolve", "a", "c"])
    assert text.count("<rect") == 4
    assert len(re.findall(r'class="[^"]*critical', text)) == 3
    rows = [int(y) for y in re.findall(r'<rect x="[^"]*" y="(\d+)"', text)]
    assert rows == [22, 22, 44, 22]  # what ran at once is below each other


def test_a_picture_of_very_many_jobs_shows_the_longest() -> None:
    spans = [span(str(number), 0, 1 + number / 1000) for number in range(2000)]
    assert timeline(spans, ["0"]).count("<rect") == 800


# Markdown


def test_the_summary_of_the_largest_run_fits_on_github() -> None:
    tail = "x" * 400 + "\n"
    rows = [failed(f"package-{n}", message=f"{n} {'m' * 2000}", tail=tail * 60) for n in range(1010)]
    assert len(report_markdown(report(*rows)).encode()) < 1_000_000


def test_what_is_beyond_is_counted() -> None:
    rows = [failed(f"package-{n}", message=str(n)) for n in range(300)]
    assert "… and 60 more: report.html has all" in report_markdown(report(*rows))


def test_the_markdown_of_a_regression() -> None:
    text = report_markdown(NIGHT)
    assert "### python-ldap 1.0 — regressed · failed · missing-library" in text
    assert "Was there: on 2026-11-24" in text
    assert "Since then: setuptools 80.9.0 → 81.0.0" in text
    assert "- **updated** (1): package-4 0.9 → 1.0" in text


# data


def schema() -> dict[str, object]:
    found: dict[str, object] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("told", [NIGHT, NOTHING, PARTLY, report(), report(row(), started=None, generation=None)])
def test_the_data_is_as_the_schema_says(told: Report) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads(dump("report", report_data(told))), schema())


def test_the_schema_refuses_what_is_wrong() -> None:
    data = json.loads(dump("report", report_data(report(row()))))
    wrong = {"schema": "whb.plan/1", "seconds": "7", "rows": [{}], "spans": [{"id": 3}], "unresolved": [{}]}
    for key, value in wrong.items():
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(data | {key: value}, schema())


def test_every_key_is_in_the_schema() -> None:
    """A key that is added has to be described, too."""
    named = re.findall(r'"([a-z-]+)": \{', SCHEMA.read_text(encoding="utf-8"))

    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    for told in (NIGHT, PARTLY):
        assert keys(json.loads(dump("report", report_data(told)))) <= set(named)


# the files


def test_three_files_are_written_and_the_summary_is_added_to(tmp_path: Path) -> None:
    summary = tmp_path / "summary"
    summary.write_text("of the step before\n", encoding="utf-8")
    for _ in range(2):
        found = write_reports(tmp_path / "new" / "folder", NIGHT, summary=summary)
    assert [path.name for path in found] == ["report.html", "report.md", "report.json"]
    assert sorted(path.name for path in (tmp_path / "new/folder").iterdir()) == sorted(path.name for path in found)
    markdown = found[1].read_text(encoding="utf-8")
    assert summary.read_text(encoding="utf-8") == f"of the step before\n{markdown}\n{markdown}\n"
    assert json.loads(found[2].read_bytes())["schema"] == "whb.report/1"


def test_what_no_file_can_hold_is_written_all_the_same(tmp_path: Path) -> None:
    """Half a character, as a build's output may have it."""
    page, *_ = write_reports(tmp_path, report(failed(tail="\ud800")))
    assert "failed" in page.read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=r"cannot write the report: .*file"):
        write_reports(tmp_path / "file" / "folder", NIGHT)


def test_rows_of_every_kind_have_their_word() -> None:
    words = [("kept", Action.REUSE), ("fetched", Action.FETCH), ("built", Action.BUILD)]
    for word, action in words:
        assert f'<td class="{word}">{word}' in report_html(report(row(action=action)))
    for status in (Status.FAILED, Status.BLOCKED, Status.IMPOSSIBLE):
        assert f'<td class="{status}"><a href="#failed-demo">{status}</a>' in report_html(report(row(status=status)))
