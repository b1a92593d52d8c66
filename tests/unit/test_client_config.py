from __future__ import annotations

import configparser
import json
import netrc
import re
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wheelhouse_builder.cli import main
from wheelhouse_builder.client_config.address import IndexAddress, parse_url
from wheelhouse_builder.client_config.render import KINDS, render
from wheelhouse_builder.errors import UsageError

ROOT = Path(__file__).parents[2]
PLAIN = parse_url("http://wheelhouse:8080/")
LOCAL = parse_url("http://127.0.0.1:8080/")
TLS = replace(parse_url("https://wheels.example/"), ca="/etc/ssl/ca.pem", user="bot")
ADDRESSES = {"plain": PLAIN, "local": LOCAL, "tls": TLS}
SAFE = re.compile(r"[a-zA-Z0-9._~:/+@\[\]-]+")
EVERY_FIELD = st.sampled_from(["user", "ca", "root", "certificate", "key", "backend", "bucket"])


def settings(text: str) -> str:
    """The lines that are no comments."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("#", "//")))


@pytest.mark.parametrize(
    ("url", "shown", "port"),
    [
        ("http://wheelhouse:8080/", "http://wheelhouse:8080/", 8080),
        ("http://wheelhouse:8080", "http://wheelhouse:8080/", 8080),
        ("http://wheelhouse:8080/simple/", "http://wheelhouse:8080/", 8080),
        ("https://wheels.example/team/a/links", "https://wheels.example/team/a/", 443),
        ("https://wheels.example:443/", "https://wheels.example/", 443),
        ("HTTPS://Wheels.Example/", "https://wheels.example/", 443),
        ("http://[::1]:80/", "http://[::1]/", 80),
        ("http://[2001:DB8::1]:8080", "http://[2001:db8::1]:8080/", 8080),
        ("http://my_service.local.:8080", "http://my_service.local.:8080/", 8080),
        ("https://h/simple/simple/", "https://h/simple/", 443),
    ],
)
def test_an_address_is_the_top_of_an_index(url: str, shown: str, port: int) -> None:
    index = parse_url(url)
    assert (index.url, index.port) == (shown, port)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "begin with http"),
        ("wheelhouse:8080", "begin with http"),
        ("file:///srv/wheelhouse", "begin with http"),
        ("http://", "no host"),
        ("http://bot:secret@wheelhouse/", "user or a password"),
        ("http://wheelhouse/?x=1", "query"),
        ("http://wheelhouse/?", "query"),
        ("http://wheelhouse/#x", "fragment"),
        ("http://wheelhouse:0/", "port 0"),
        ("http://wheelhouse:99999/", "ort"),
        ("http://wheelhouse:80\n80/", "characters"),
        ("http://wheel house/", "characters"),
        ("http://wheelhouse/a b/", "characters"),
        ("http://wheelhouse/%0a/", "path"),
        ("http://wheelhouse/../x/", "path"),
        ("http://wheelhouse//x/", "path"),
        ("http://wheelhouse/${x}/", "path"),
        ("http://wheelhouse;x/", "no host"),
        ("http://-x/", "no host"),
        ("http://[::1/", "Invalid IPv6"),
        ("http://[v1.x]/", "no host"),
        ("http://[fe80::1%25eth0]/", "no host"),
        ("http://räder.example/", "characters"),
        (f"http://{'a' * 64}/", "no host"),
        (f"http://{'a.' * 130}/", "no host"),
    ],
)
def test_what_is_no_address_is_refused(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        parse_url(url)
    assert refused.value.hint
    assert "secret" not in refused.value.message


@given(url=st.one_of(st.text(), st.text().map("http://".__add__), st.from_regex(r"https?://[!-~\n]+(:\d+)?/[!-~\n]*")))
@example(url="http://h/\nextra-index-url = http://evil/")
def test_no_url_adds_anything_to_a_configuration(url: str) -> None:
    try:
        index = parse_url(url)
    except UsageError:
        return
    assert SAFE.fullmatch(index.url)
    assert parse_url(index.url) == index


@given(field=EVERY_FIELD, value=st.one_of(st.text(), st.text("/aZ9. ;{}$\"'\\\n\r#%`@", min_size=1).map("/a".__add__)))
def test_no_value_adds_anything_to_a_configuration(field: str, value: str) -> None:
    try:
        values: dict[str, Any] = {field: value}
        index = replace(TLS, **values)
    except UsageError:
        return
    assert SAFE.fullmatch(value)
    for kind in KINDS:
        assert len(render(kind, index).splitlines()) == len(render(kind, TLS).splitlines())


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_text_is_complete(kind: str, name: str) -> None:
    text = render(kind, ADDRESSES[name])
    assert "@{" not in text
    assert text.endswith("\n")
    assert not any(line.endswith((" ", "\t")) for line in text.splitlines())
    assert max(map(len, text.splitlines())) <= 132


@pytest.mark.parametrize(("kind", "file"), [(kind, entry.template) for kind, entry in KINDS.items()])
def test_what_has_a_parser_parses(kind: str, file: str, tmp_path: Path) -> None:
    for index in ADDRESSES.values():
        text = render(kind, index)
        if file.endswith(".toml"):
            tomllib.loads(text)
        elif file.endswith(".json"):
            json.loads(text)
        elif file == "netrc":
            (tmp_path / "netrc").write_text(text, encoding="utf-8")
            login = index.user or "__token__"
            assert netrc.netrc(tmp_path / "netrc").hosts == {index.host: (login, "", "PASSWORD")}
        elif file.startswith("pip"):
            configparser.RawConfigParser().read_string(text)
        elif file.endswith(".env"):
            assert all(re.fullmatch(r"[A-Z_]+=[^ ]*", line) for line in settings(text).splitlines())


def options(kind: str, index: IndexAddress) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    parser.read_string(render(kind, index))
    return dict(parser["global"])


def test_pip_knows_one_index_and_trusts_no_more_than_it_must() -> None:
    one = {"extra-index-url": "", "find-links": ""}
    assert options("pip", LOCAL) == {"index-url": "http://127.0.0.1:8080/simple/", **one}
    assert options("pip", PLAIN) == {
        "index-url": "http://wheelhouse:8080/simple/",
        "trusted-host": "wheelhouse:8080",
        **one,
    }
    assert options("pip", TLS) == {"index-url": "https://wheels.example/simple/", "cert": "/etc/ssl/ca.pem", **one}
    assert options("pip-links", PLAIN) == {
        "no-index": "true",
        "find-links": "http://wheelhouse:8080/links/",
        "trusted-host": "wheelhouse:8080",
    }


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith(("pip", "uv", "env", "dockerfile"))])
def test_plain_http_is_warned_of(kind: str) -> None:
    assert ("Plain http" in render(kind, PLAIN)) == (kind != "dockerfile-bind")
    for index in (LOCAL, TLS):
        assert "Plain http" not in render(kind, index)
        assert "trusted" not in render(kind, index).lower()


def test_uv_asks_the_wheelhouse_alone_or_for_what_is_named() -> None:
    (only,) = tomllib.loads(render("uv", TLS))["index"]
    assert only == {
        "name": "wheelhouse",
        "url": "https://wheels.example/simple/",
        "default": True,
        "authenticate": "always",
    }
    tables = tomllib.loads(render("uv-explicit", PLAIN))["tool"]["uv"]
    assert tables["index"] == [{"name": "wheelhouse", "url": "http://wheelhouse:8080/simple/", "explicit": True}]
    assert tables["sources"] == {"cffi": {"index": "wheelhouse"}}


def run_line(kind: str, index: IndexAddress) -> list[str]:
    (line,) = re.findall(r"^RUN (.*)$", settings(render(kind, index)).replace("\\\n", " "), re.MULTILINE)
    return shlex.split(line)


def test_a_dockerfile_says_what_the_address_needs() -> None:
    assert run_line("dockerfile", LOCAL)[2:] == [
        *("pip", "install", "--no-cache-dir", "--index-url", "http://127.0.0.1:8080/simple/", "-r", "/requirements.txt")
    ]
    assert "--trusted-host wheelhouse:8080" in " ".join(run_line("dockerfile", PLAIN))
    assert "--cert /run/ca.pem -r" in " ".join(run_line("dockerfile", TLS))
    assert "--mount=type=secret,id=ca,target=/run/ca.pem" in run_line("dockerfile", TLS)
    assert "SSL_CERT_FILE=/run/ca.pem" in run_line("dockerfile-uv", TLS)


def test_web_servers_want_a_host_of_their_own() -> None:
    index = parse_url("http://wheelhouse/team/")
    for kind, entry in KINDS.items():
        if entry.own_host:
            with pytest.raises(UsageError, match="without a path"):
                render(kind, index)
        else:
            render(kind, index)


# The command


def test_without_a_kind_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["client-config"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(KINDS)
    assert main(["client-config", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "whb.client-config/1"
    assert [entry["kind"] for entry in document["kinds"]] == list(KINDS)


def test_one_kind_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["client-config", "pip", "--url", "http://wheelhouse:8080/"]) == 0
    assert capsys.readouterr().out == render("pip", PLAIN)


def test_several_kinds_have_their_names_between_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["client-config", "pip", "uv", "--url", "http://wheelhouse:8080/"]) == 0
    out = capsys.readouterr().out
    assert out == f"==> pip.conf <==\n{render('pip', PLAIN)}\n==> uv.toml <==\n{render('uv', PLAIN)}"


def test_the_options_reach_the_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = ["--ca", "/ca.pem", "--tls-cert", "/c.pem", "--tls-key", "/k.pem", "--wheelhouse", "/srv/w"]
    arguments = ["--url", "https://h/", "--user", "bot", "--bucket", "a-bucket", "--backend", "[::1]:81", *files]
    assert main(["client-config", "--json", *KINDS, *arguments]) == 0
    texts = {entry["kind"]: entry["text"] for entry in json.loads(capsys.readouterr().out)["configs"]}
    index = IndexAddress(
        scheme="https", host="h", port=443, user="bot", ca="/ca.pem", root="/srv/w", certificate="/c.pem", key="/k.pem"
    )
    assert texts == {kind: render(kind, replace(index, bucket="a-bucket", backend="[::1]:81")) for kind in KINDS}


def test_what_says_no_address_needs_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Such a text is the same for every address."""
    for kind, entry in KINDS.items():
        told = {render(kind, replace(index, user=None, ca=None)) for index in (PLAIN, LOCAL, TLS)}
        assert (len(told) == 1) is not entry.needs_url
        if not entry.needs_url:
            assert main(["client-config", kind]) == 0
            assert capsys.readouterr().out == told.pop()


def test_the_documentation_shows_what_is_printed() -> None:
    text = (ROOT / "docs/how-to/clients.md").read_text(encoding="utf-8")
    for kind, url in (("pip", "https://wheels.example/"), ("dockerfile", "http://wheelhouse:8080/")):
        assert indent(render(kind, parse_url(url)), "    ") in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pip"], "--url is missing"),
        (["pop", "--url", "http://h/"], "unknown kind 'pop'"),
        (["pip", "--url", "h"], "begin with http"),
        (["pip", "--url", "http://h/", "--ca", "ca.pem"], "--ca: 'ca.pem'"),
        (["pip", "--url", "http://h/", "--ca", "/a/../b"], "--ca: '/a/../b'"),
        (["pip", "--url", "http://h/", "--user", "a b"], "--user: 'a b'"),
        (["nginx-proxy", "--url", "http://h/", "--backend", "http://x/"], "--backend: 'http://x/'"),
        (["s3-policy", "--url", "http://h/", "--bucket", "A"], "--bucket: 'A'"),
        (["nginx", "--url", "http://h/", "-w", "/srv/a b"], "--wheelhouse: '/srv/a b'"),
    ],
)
def test_mistakes_are_told(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["client-config", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "hint:" in said
