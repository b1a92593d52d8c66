"""What failed builds say, and what is made of it.

tests/data/diagnose/*.toml has for each rule the `command` that was run to fail so; an excerpt of its log that the rule
must decide (`yes`), or what an error of ours says of it (`said`); and close misses that it must not (`no`).
good/*.log.gz are logs of builds that succeeded.
"""

from __future__ import annotations

import gzip
import io
import re
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as sre_parser  # type: ignore[import-not-found]
import string
import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.failures_page import PAGE, THREAD, page
from wheelhouse_builder.diagnose.diagnosis import Diagnosis, LogLine, diagnose
from wheelhouse_builder.diagnose.rules import LiesIn, Rule, failure_classes, rules
from wheelhouse_builder.diagnose.search import last_hit, lines_before, pieces
from wheelhouse_builder.errors import PASSING_KINDS
from wheelhouse_builder.recipes.store import library_names, load_package_recipe
from wheelhouse_builder.target import Arch
from wheelhouse_builder.verify.symbols import MUSL_FLOORS, musl_exports

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parent.parent / "data/diagnose"
LOGS = {
    rule: logs
    for file in sorted(DATA.glob("*.toml"))
    for rule, logs in tomllib.loads(file.read_text(encoding="utf-8")).items()
}
IDS = [rule.id for rule in rules()]
MOST_WORDS = 200  # each is another pass over what is distinct in a log


def read(text: str, message: str = "", tail: str = "") -> Diagnosis:
    return diagnose(io.BytesIO(text.encode()), message=message, tail=tail)


def decided(rule: str) -> Iterator[tuple[Diagnosis, str]]:
    yield from ((read(log), log) for log in logs(rule, "yes"))
    yield from ((read("", tail=error), error) for error in logs(rule, "said"))


def patterns(rule: Rule) -> list[re.Pattern[str]]:
    return [pattern for pattern in (rule.pattern, rule.said) if pattern]


def logs(rule: str, key: str) -> list[str]:
    """What a rule has under `yes`, `said` or `no`: a text, or several."""
    found = LOGS[rule].get(key, [])
    return [found] if isinstance(found, str) else found


# the rules


def test_every_rule_has_its_examples_and_an_id_of_its_own() -> None:
    assert sorted(LOGS) == sorted(IDS)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
def test_example(rule: Rule) -> None:
    examples = LOGS[rule.id]
    assert examples["command"]
    assert set(examples) & {"yes", "said"} == {"yes" for _ in [rule.pattern] if _} | {"said" for _ in [rule.said] if _}
    for diagnosis, text in decided(rule.id):
        assert diagnosis.rule == rule.id
        assert diagnosis.line in text
        assert "{" not in diagnosis.cause + diagnosis.remedy


@pytest.mark.parametrize("rule", IDS)
def test_counter_example(rule: str) -> None:
    for log in logs(rule, "no"):
        assert read(log).rule != rule
        assert read("", message=log).rule != rule


@pytest.mark.parametrize("rule", IDS)
def test_no_other_rule_has_a_claim_to_an_example(rule: str) -> None:
    """Else the order of its lines decides, which is another in another build's log."""
    general = next(one.general for one in rules() if one.id == rule)
    rivals = [one for one in rules() if one.general <= general]
    for line in "\n".join(logs(rule, "yes") + logs(rule, "said")).splitlines():
        claims = [one for one in rivals if any(pattern.search(line) for pattern in patterns(one))]
        assert [one.id for one in (claims[:1] if general else claims)] in ([], [rule])
        assert all(one.general is general for one in claims)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
def test_texts_name_only_what_the_pattern_finds(rule: Rule) -> None:
    groups = set(rule.groups)
    known = groups | ({"library"} if rule.library or groups & {"header", "package", "link"} else set())
    names = {name for text in (rule.cause, rule.remedy) for _, name, _, _ in string.Formatter().parse(text) if name}
    assert names <= known


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
def test_every_line_that_a_pattern_matches_has_one_of_the_words(rule: Rule) -> None:
    assert rule.pattern is None or unguarded(sre_parser.parse(rule.pattern.pattern), rule.words) == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
def test_a_rule_has_a_pattern_and_no_word_too_many(rule: Rule) -> None:
    assert patterns(rule)
    for word in rule.words:
        assert rule.pattern
        assert unguarded(sre_parser.parse(rule.pattern.pattern), tuple({*rule.words} - {word}))


def test_few_words_are_searched_for() -> None:
    words = {word for rule in rules() for word in rule.words}
    assert all(len(word) >= len(".pyx:") for word in words)
    assert len(words) <= MOST_WORDS


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
def test_a_rule_has_a_class_that_is_explained(rule: Rule) -> None:
    assert rule.kind in failure_classes()


def test_what_may_pass_by_itself_is_what_does_not_lie_in_the_inputs() -> None:
    assert {kind.name for kind in failure_classes().values() if kind.lies_in is not LiesIn.INPUTS} == PASSING_KINDS


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
def test_a_thread_can_be_followed(rule: Rule) -> None:
    assert rule.thread is None or THREAD.fullmatch(rule.thread) or rule.thread.startswith("https://")


def test_glibcs_names_are_none_of_musls() -> None:
    """Else what musl has would be said to be missing there: all that any musl exports, but for the LFS64 names."""
    names = tomllib.loads((resources.files("wheelhouse_builder.diagnose") / "names.toml").read_text(encoding="utf-8"))
    glibc, lfs64 = (re.compile("|".join(names[key])) for key in ("glibc", "lfs64"))
    exported = {name for arch in Arch for floor in MUSL_FLOORS for name in musl_exports(arch, floor)}
    assert {name for name in exported if glibc.fullmatch(name)} == set()
    assert {name for name in exported if name.endswith("64") and not lfs64.fullmatch(name) and name[0] != "_"} == set()


def test_the_reference_page_is_what_the_rules_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.failures_page writes it"


def unguarded(pattern: Any, words: tuple[str, ...]) -> list[str]:
    """Ways through a pattern, as text with `\\0` for what may be anything, on which none of the words stands."""
    return [way for way in ways(pattern) if not any(word in way for word in words)]


def ways(pattern: Any) -> list[str]:
    found = [""]
    for kind, value in pattern:
        found = [before + after for before in found for after in _ways_of(kind, value)]
    return found


def _ways_of(kind: Any, value: Any) -> list[str]:
    if kind is sre.LITERAL:
        return [chr(value)]
    if kind is sre.SUBPATTERN:
        return ways(value[-1])
    if kind is sre.BRANCH:
        return [way for branch in value[1] for way in ways(branch)]
    if kind is sre.MAX_REPEAT and value[:2] == (0, 1):
        return ["", *ways(value[2])]
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT) and value[0] > 0:
        return [f"{way}\0" for way in ways(value[2])]
    if kind in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
        return [""]
    return ["\0"]


# what is made of them


@pytest.mark.parametrize(
    "line",  # of programs without network, on glibc and on musl
    [
        "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
        "urllib.error.URLError: <urlopen error [Errno -3] Try again>",
        "urllib.error.URLError: <urlopen error [Errno 101] Network is unreachable>",
        "urllib.error.URLError: <urlopen error [Errno 101] Network unreachable>",
        "wget: unable to resolve host address 'example.org'",
        "wget: bad address 'example.org'",
        "curl: (6) Could not resolve host: example.org (Could not contact DNS servers)",
        "  [6] Couldn't resolve host name (Could not resolve host: example.org)",
        "Error: getaddrinfo EAI_AGAIN example.org",
    ],
)
def test_a_build_that_wants_network_is_told_the_setting(line: str) -> None:
    diagnosis = read(f"{line}\nerror: subprocess-exited-with-error\n")
    assert diagnosis.rule == "build-wants-network"
    assert "network = true under [packages.NAME]" in diagnosis.remedy


@pytest.mark.parametrize(
    ("header", "library"), [("openssl/ssl.h", "openssl"), ("ffi.h", "libffi"), ("nobody/knows.h", "the library that")]
)
def test_missing_header_names_its_library(header: str, library: str) -> None:
    diagnosis = read(f"src/x.c:7:10: fatal error: '{header}' file not found\n")
    assert header in diagnosis.cause
    assert f"needs {library}" in diagnosis.remedy
    assert ("--fix" in diagnosis.remedy) == (library in library_names())
    assert diagnosis.library in (library, "")


@pytest.mark.parametrize(
    ("header", "package"),
    [("libxml/tree.h", "libxml2-dev"), ("libpq-fe.h", "libpq-dev"), ("zlib.h", ""), ("nobody/knows.h", "")],
)
def test_what_alpine_has_is_told_where_there_is_no_recipe(header: str, package: str) -> None:
    remedy = read(f"src/x.c:7:10: fatal error: '{header}' file not found\n").remedy
    assert (f'apk = ["{package}"] under [packages.NAME]' in remedy) == bool(package)
    assert ("apk" in remedy) == bool(package)


def test_what_alpine_has_is_a_library_that_a_build_may_lack_and_no_recipe_builds() -> None:
    tables = tomllib.loads((resources.files("wheelhouse_builder.diagnose") / "libraries.toml").read_text())
    named = {library for table in ("headers", "packages", "links") for library in tables[table].values()}
    assert tables["alpine"].keys() <= named - set(library_names())
    for package in tables["alpine"].values():
        assert load_package_recipe("x", None, {"apk": [package]}).apk == (package,)


@pytest.mark.parametrize(
    ("line", "library"),
    [
        ("Package 'libxml-2.0', required by 'virtual:world', not found", "libxml2"),
        ("/usr/bin/ld: cannot find -lssl: No such file or directory", "openssl"),
        ("/usr/bin/ld: cannot find -lnosuch: No such file or directory", ""),
    ],
)
def test_a_missing_library_is_named(line: str, library: str) -> None:
    assert read(line).library == library


def test_a_failed_probe_does_not_hide_the_failure() -> None:
    assert read(logs("missing-header", "yes")[0] + logs("undefined-symbol", "yes")[0]).rule == "undefined-symbol"


def test_a_general_rule_counts_only_alone() -> None:
    assert read(logs("missing-header", "yes")[0] + logs("rustc-error", "yes")[0]).rule == "missing-header"


def test_the_first_error_of_a_file_decides() -> None:
    assert "expected parameter declarator" in read(logs("compiler-error", "yes")[0]).line


def test_what_pip_quotes_with_an_indent_is_the_same() -> None:
    for rule in ("compiler-error", "strict-c", "cython"):
        indented = "".join(f"      {line}\n" for line in logs(rule, "yes")[0].splitlines())
        assert read(indented).rule == rule


def test_colours_do_not_hide_anything() -> None:
    diagnosis = read("\x1b[1mx.c:1:10: \x1b[31mfatal error: \x1b[0m'zlib.h' file not found\n")
    assert diagnosis.line == "x.c:1:10: fatal error: 'zlib.h' file not found"


def test_what_a_progress_bar_overwrites_is_a_line() -> None:
    diagnosis = read("collecting 10%\rcollecting 100%\rx.c:1:10: fatal error: 'zlib.h' file not found\r\nmore\r\n")
    assert diagnosis.line == "x.c:1:10: fatal error: 'zlib.h' file not found"


def test_what_would_steer_a_terminal_is_left_out() -> None:
    diagnosis = read("\x1b]0;title\x07x.c:1:10: fatal error: '\x1b\x08zlib.h' file not found\x9b2J\n")
    assert diagnosis.line.isprintable()
    assert all(line.text.isprintable() for line in diagnosis.excerpt)


def test_a_line_of_megabytes_is_searched_around_the_words_and_shown_in_part() -> None:
    diagnosis = read("x" * 3_000_000 + " unable to find library -lz " + "y" * 3_000_000)
    assert diagnosis.library == "zlib"
    assert "find library -lz" in diagnosis.line
    assert len(diagnosis.text) < 500


def test_bytes_that_are_no_text() -> None:
    assert diagnose(io.BytesIO(b"\xff\xfe\nld: cannot find -lz\n\x80")).library == "zlib"


# the whole log, and what of it is shown


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 200))
def test_a_log_in_pieces_is_the_log(before: int, after: int, size: int) -> None:
    log = b"".join(b"%d\n" % number for number in range(before)) + b"x" * after
    found = list(pieces(io.BytesIO(log), size))[::-1]
    assert b"".join(piece.content for piece in found) == log
    assert [piece.start for piece in found] == [
        sum(len(earlier.content) for earlier in found[:index]) for index in range(len(found))
    ]


LINES = st.sampled_from(
    [
        "ld: cannot find -lz",
        "ld: cannot find it",
        "exit code 0",
        "exit code -9",
        "exit code -8",
        "x.c:1:2: error: expected identifier",
        "x.c:1:2: error: call to undeclared function 'backtrace'",
        "y.c:3:4: fatal error: 'ffi.h' file not found",
        "error: not found",
        "",
        "a line",
    ]
)


@given(st.lists(LINES, max_size=30), st.integers(80, 400))
def test_what_decides_is_what_reading_every_line_would_find(lines: list[str], size: int) -> None:
    def decides(*, general: bool) -> list[tuple[int, str]]:
        asked = [rule for rule in rules() if rule.general is general and rule.pattern]
        firsts = (
            next((rule.id for rule in asked if rule.pattern and rule.pattern.search(line)), None) for line in lines
        )
        return [(number, rule) for number, rule in enumerate(firsts) if rule]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wheelhouse_builder.diagnose.search.pieces", lambda log: pieces(log, size))
        log = io.BytesIO("\n".join(lines).encode())
        hit = last_hit(log, rules())
        found = hit and (lines_before(log, hit.piece, hit.at), hit.rule.id)
    assert found == next(iter([*decides(general=False)[-1:], *decides(general=True)[-1:]]), None)


def test_the_whole_log_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wheelhouse_builder.diagnose.search._PIECE", 1000)
    noise = "".join(f"gcc -c file{number}.c\n" for number in range(5000))
    diagnosis = read(f"one\ntwo\nld: cannot find -lz\n{noise}")
    assert diagnosis.rule == "library-not-linked"
    assert diagnosis.excerpt[2] == LogLine(number=3, text="ld: cannot find -lz")


def test_the_line_is_shown_among_its_neighbours() -> None:
    log = [f"line {number}" for number in range(1, 41)]
    log[19] = "ld: cannot find -lz"
    diagnosis = read("\n".join(log))
    assert [line.number for line in diagnosis.excerpt] == list(range(17, 27))
    assert diagnosis.excerpt[3] == LogLine(number=20, text="ld: cannot find -lz")
    assert diagnosis.text.splitlines() == log[16:26]


def test_the_builds_own_traceback_is_not_shown() -> None:
    traceback = 'Traceback (most recent call last):\n  File "setup.py", line 1, in <module>\nSystemExit: 1\n'
    diagnosis = read(f"{traceback}ld: cannot find -lz\ntwo\n{traceback}")
    assert "Traceback" not in diagnosis.text
    assert diagnosis.text.endswith("SystemExit: 1\nld: cannot find -lz\ntwo")


def test_what_was_said_beside_the_log_counts_as_its_end() -> None:
    diagnosis = read("ld: cannot find -lz\n", "OSError: [Errno 28] No space left on device")
    assert diagnosis.rule == "disk-full"
    assert diagnosis.excerpt == (LogLine(number=0, text="OSError: [Errno 28] No space left on device"),)


def test_our_own_command_lines_are_not_shown() -> None:
    command = "$ /usr/bin/unshare sandbox.sh --fail-not\n"
    assert read(f"{command}one\nld: cannot find -lz\n{command}").text == "one\nld: cannot find -lz"
    assert read(f"{command}frobnicate: cannot frob\n{command}").text == "frobnicate: cannot frob"


def test_an_errors_message_is_not_shown_again() -> None:
    problems = "a.so: needs one, which nothing defines\nb.so: needs two, which nothing defines"
    assert read("", f"it would not load: {problems.splitlines()[0]}", problems).text == problems.splitlines()[1]


def test_of_an_extension_that_was_left_out_the_log_tells_why() -> None:
    log = "x.c:1:2: error: expected identifier\nthe extension is optional, and left out\n"
    diagnosis = read(log, "a pure wheel came out of an sdist with native code: no extension was built")
    assert (diagnosis.rule, diagnosis.text) == ("silent-pure", "x.c:1:2: error: expected identifier")


def test_what_was_said_out_of_the_log_has_its_place_there() -> None:
    diagnosis = read("one\nld: cannot find -lz\n", "the build failed", "ld: cannot find -lz")
    assert diagnosis.excerpt == (LogLine(number=1, text="one"), LogLine(number=2, text="ld: cannot find -lz"))


# not known


def test_a_log_that_says_nothing() -> None:
    diagnosis = read("")
    assert not diagnosis.known
    assert (diagnosis.rule, diagnosis.kind, diagnosis.excerpt) == ("", "", ())


def test_not_known_is_said_and_the_last_errors_are_shown() -> None:
    log = "".join(f"warning {number}: an error\n" for number in range(50)) + (
        "step\nfrobnicate: cannot frob the widget\nstep\nerror: subprocess-exited-with-error\n\n"
    )
    diagnosis = read(log)
    assert "not known" in diagnosis.cause
    assert len(diagnosis.excerpt) == 8
    assert diagnosis.excerpt[-1] == LogLine(number=52, text="frobnicate: cannot frob the widget")


def test_not_known_shows_what_the_error_quotes_that_the_log_has_not() -> None:
    assert read("all went well\nalmost an error\n", "it is not good", "one: frobbed").text == "one: frobbed"


def test_not_known_without_any_error_shows_the_end() -> None:
    assert read("one\ntwo\n").text == "one\ntwo"


@pytest.mark.parametrize("log", sorted((DATA / "good").glob("*.log.gz")), ids=lambda log: log.name)
def test_a_good_build_fails_for_no_reason(log: Path) -> None:
    assert diagnose(io.BytesIO(gzip.decompress(log.read_bytes()))).rule == ""


def test_there_are_logs_of_good_builds() -> None:
    assert len(list((DATA / "good").iterdir())) >= 8
