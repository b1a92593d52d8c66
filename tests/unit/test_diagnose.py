"""What failed builds say, and what is made of it."""

from __future__ import annotations

import string
import tomllib
from pathlib import Path

import pytest

from wheelhouse_builder.diagnose.rules import diagnose, rules

DATA = Path(__file__).parent.parent / "data/diagnose"
LOGS = {
    rule: logs
    for file in sorted(DATA.glob("*.toml"))
    for rule, logs in tomllib.loads(file.read_text(encoding="utf-8")).items()
}
IDS = [rule.id for rule in rules()]


def test_every_rule_has_its_examples() -> None:
    assert sorted(LOGS) == sorted(IDS)


@pytest.mark.parametrize("rule", IDS)
def test_example(rule: str) -> None:
    diagnosis = diagnose(LOGS[rule]["yes"])
    assert diagnosis is not None
    assert diagnosis.rule == rule
    assert diagnosis.line in LOGS[rule]["yes"]
    assert "{" not in diagnosis.cause + diagnosis.remedy


@pytest.mark.parametrize("rule", IDS)
def test_counter_example(rule: str) -> None:
    diagnosis = diagnose(LOGS[rule]["no"])
    assert diagnosis is None or diagnosis.rule != rule


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
def test_texts_name_only_what_the_pattern_finds(rule: object) -> None:
    assert isinstance(rule, type(rules()[0]))
    known = {*rule.pattern.groupindex, *({"library"} if "header" in rule.pattern.groupindex else ())}
    names = {name for text in (rule.cause, rule.remedy) for _, name, _, _ in string.Formatter().parse(text) if name}
    assert names <= known


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
    diagnosis = diagnose(f"{line}\nerror: subprocess-exited-with-error\n")
    assert diagnosis is not None
    assert diagnosis.rule == "no-network"
    assert "network = true under [packages.NAME]" in diagnosis.remedy


def test_a_log_that_says_nothing() -> None:
    assert diagnose("") is None
    assert diagnose("error: command 'cc' failed with exit code 1\n") is None


@pytest.mark.parametrize(
    ("header", "library"), [("openssl/ssl.h", "openssl"), ("ffi.h", "libffi"), ("nobody/knows.h", "the library that")]
)
def test_missing_header_names_its_library(header: str, library: str) -> None:
    diagnosis = diagnose(f"src/x.c:7:10: fatal error: '{header}' file not found\n")
    assert diagnosis is not None
    assert header in diagnosis.cause
    assert f"needs {library}" in diagnosis.remedy


def test_a_failed_probe_does_not_hide_the_failure() -> None:
    log = LOGS["missing-header"]["yes"] + LOGS["undefined-symbol"]["yes"]
    diagnosis = diagnose(log)
    assert diagnosis is not None
    assert diagnosis.rule == "undefined-symbol"


def test_a_general_rule_counts_only_alone() -> None:
    diagnosis = diagnose(LOGS["missing-header"]["yes"] + LOGS["rustc-error"]["yes"])
    assert diagnosis is not None
    assert diagnosis.rule == "missing-header"


def test_the_first_error_of_a_file_decides() -> None:
    diagnosis = diagnose(LOGS["compiler-error"]["yes"])
    assert diagnosis is not None
    assert "undeclared function 'nope'" in diagnosis.line


def test_colours_do_not_hide_anything() -> None:
    diagnosis = diagnose("\x1b[1mx.c:1:10: \x1b[31mfatal error: \x1b[0m'zlib.h' file not found\n")
    assert diagnosis is not None
    assert diagnosis.line == "x.c:1:10: fatal error: 'zlib.h' file not found"


def test_the_tail_is_short() -> None:
    diagnosis = diagnose(LOGS["disk-full"]["yes"] + "line\n" * 100)
    assert diagnosis is not None
    assert diagnosis.tail == ("line",) * 25
