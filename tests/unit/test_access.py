"""Access control: every form of Authorization, the matrix of scopes, what is remembered, what is read again."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.asgi import Answer, ask, call, scope_of
from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.server import access as access_module
from wheelhouse_builder.server.access import Access, Claim, Guard, parse_authorization
from wheelhouse_builder.server.credentials import Credentials, Identity, sha256_of_token

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

TOKENS = {"reader": ["read"], "scraper": ["metrics"], "builder": ["read", "publish"]}
UNKNOWN = "whb_nobody"


def basic(user: str, password: str, encoding: str = "utf-8") -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode(encoding)).decode()}"


def tokens_file(folder: Path, tokens: dict[str, list[str]], expires: str = "") -> Path:
    """A file with tokens whose secrets are their names with `whb_` before them."""
    tables = [
        f'[[token]]\nname = "{name}"\nsha256 = "{sha256_of_token(f"whb_{name}")}"\nscopes = {scopes}\n{expires}'
        for name, scopes in tokens.items()
    ]
    file = folder / "tokens.toml"
    file.write_text("\n".join(tables).replace("'", '"'), encoding="utf-8")
    return file


def htpasswd_file(folder: Path, *users: str) -> Path:
    """Users whose passwords are their names."""
    import bcrypt

    file = folder / "users"
    lines = [f"{user}:{bcrypt.hashpw(user.encode(), bcrypt.gensalt(4)).decode()}\n" for user in users]
    file.write_text("".join(lines), encoding="utf-8")
    return file


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers 200 to whoever comes through."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def through(
    access: Access, method: str = "GET", path: str = "/simple/", value: str | None = None, **options: Any
) -> Answer:
    headers = {} if value is None else {"Authorization": value}
    return ask(Guard(app, access, **options), method, path, headers)


# What the header says


@pytest.mark.parametrize(
    ("value", "claim"),
    [
        (b"Basic YTpi", Claim(user="a", secret="b")),
        (b"bAsIc YTpi", Claim(user="a", secret="b")),
        (b"Basic   YTpi  ", Claim(user="a", secret="b")),
        (b"Basic YTpiOmM=", Claim(user="a", secret="b:c")),
        (b"Basic YTo=", Claim(user="a", secret="")),
        (b"Basic Og==", Claim(user="", secret="")),
        (basic("ä", "ö").encode(), Claim(user="ä", secret="ö")),
        (basic("ä", "ö", "latin-1").encode(), Claim(user="ä", secret="ö")),  # as requests sends it
        (b"Bearer abc", Claim(user=None, secret="abc")),
        (b"bearer abc", Claim(user=None, secret="abc")),
        (b"", None),
        (b"Basic", None),
        (b"Basic ", None),
        (b"Basic YTp", None),
        (b"Basic !!!!", None),
        (b"Basic YWI=", None),  # without a colon
        (b"Basic YT pi", None),
        (b"Bearer \xff", None),
        (b"Bearer", None),
        (b"Digest username=a", None),
        (b"Basic " + b"YTpi" * 2000, None),
    ],
)
def test_vectors(value: bytes, claim: Claim | None) -> None:
    assert parse_authorization(value) == claim


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: b"Basic " + base64.b64encode(rest)))
def test_no_header_is_too_much(value: bytes) -> None:
    parse_authorization(value)


@given(st.text(st.characters(codec="utf-8", exclude_characters=":")), st.text(st.characters(codec="utf-8")))
def test_what_a_client_encodes_is_what_is_read(user: str, password: str) -> None:
    value = basic(user, password).encode()
    assert parse_authorization(value) == (Claim(user=user, secret=password) if len(value) <= 4096 else None)


@given(value=st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: b"Basic " + base64.b64encode(rest)))
def test_any_header_is_answered_with_401(value: bytes) -> None:
    access = Access()
    access.protects, access.anonymous_read = True, False
    scope = scope_of("GET", "/simple/")
    scope["headers"] = [(b"authorization", value)]
    assert asyncio.run(call(Guard(app, access), scope)).status == 401


# Who may do what

READ, METRICS, HEALTH, UPLOAD = ("GET", "/simple/"), ("GET", "/metrics"), ("GET", "/readyz"), ("POST", "/legacy/")
MATRIX = [
    # whom, READ, METRICS, HEALTH, UPLOAD
    (None, 401, 401, 200, 401),
    ("nobody", 401, 401, 200, 401),
    ("reader", 200, 403, 200, 403),
    ("scraper", 403, 200, 200, 403),
    ("builder", 200, 403, 200, 200),
]


@pytest.mark.parametrize(("name", "read", "metrics", "health", "upload"), MATRIX)
def test_the_matrix(tmp_path: Path, name: str | None, read: int, metrics: int, health: int, upload: int) -> None:
    access = Access(tokens=tokens_file(tmp_path, TOKENS))
    secret = f"whb_{name}"
    forms = [basic("__token__", secret), basic(secret, ""), f"Bearer {secret}"] if name else [None]
    for value in forms:
        for (method, path), expected in zip(
            (READ, METRICS, HEALTH, UPLOAD), (read, metrics, health, upload), strict=True
        ):
            assert through(access, method, path, value, upload=True).status == expected, (value, method, path)


def test_anonymous_reading(tmp_path: Path) -> None:
    access = Access(tokens=tokens_file(tmp_path, TOKENS), anonymous_read=True)
    found = [through(access, *request, upload=True).status for request in (READ, METRICS, HEALTH, UPLOAD)]
    assert found == [200, 401, 200, 401]
    assert through(access, *READ, "Basic nonsense").status == 200  # nobody asked who it is


def test_without_users_and_tokens_all_is_open_but_uploads() -> None:
    found = [through(Access(), *request, upload=True).status for request in (READ, METRICS, HEALTH, UPLOAD)]
    assert found == [200, 200, 200, 401]


def test_without_uploads_the_application_says_that_there_are_none(tmp_path: Path) -> None:
    assert through(Access(), *UPLOAD).status == 200
    assert through(Access(tokens=tokens_file(tmp_path, TOKENS)), *UPLOAD).status == 401


@pytest.mark.parametrize("path", ["/healthz/", "//healthz", "/healthz/../simple/", "/Healthz", "/simple/healthz", ""])
def test_only_the_paths_themselves_are_open(tmp_path: Path, path: str) -> None:
    assert through(Access(tokens=tokens_file(tmp_path, TOKENS)), "GET", path or "/").status == 401


def test_below_a_prefix(tmp_path: Path) -> None:
    guard = Guard(app, Access(tokens=tokens_file(tmp_path, TOKENS)))
    assert ask(guard, "GET", "/readyz", root_path="/wheels").status == 200
    assert ask(guard, "GET", "/wheels/readyz", root_path="/wheels").status == 401


def test_what_a_401_says(tmp_path: Path) -> None:
    access = Access(tokens=tokens_file(tmp_path, TOKENS))
    answer = through(access)
    assert answer.headers["www-authenticate"] == 'Basic realm="wheelhouse", charset="UTF-8"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text == "credentials are needed (scope read)\n"
    assert (
        through(access, value=basic("a", UNKNOWN)).text
        == "these credentials are not known, or no longer (scope read)\n"
    )
    assert through(access, *UPLOAD, "Bearer whb_reader", upload=True).text == "reader has no scope publish\n"


def test_two_headers_are_none(tmp_path: Path) -> None:
    guard = Guard(app, Access(tokens=tokens_file(tmp_path, TOKENS)))
    headers = [("Authorization", "Bearer whb_reader"), ("Authorization", "Bearer whb_reader")]
    assert ask(guard, "GET", "/simple/", headers).status == 401


def test_who_it_was_is_noted(tmp_path: Path) -> None:
    assert through(Access(tokens=tokens_file(tmp_path, TOKENS)), value="Bearer whb_reader").facts["user"] == "reader"


def test_a_token_that_has_expired(tmp_path: Path) -> None:
    access = Access(tokens=tokens_file(tmp_path, TOKENS, "expires = 2020-01-01\n"))
    assert through(access, value="Bearer whb_reader").status == 401


def test_users_may_read_and_no_more(tmp_path: Path) -> None:
    access = Access(htpasswd=htpasswd_file(tmp_path, "ann"))
    found = [through(access, *request, basic("ann", "ann"), upload=True).status for request in (READ, METRICS, UPLOAD)]
    assert found == [200, 403, 403]
    assert through(access, value=basic("ann", "bob")).status == 401
    assert through(access, value=basic("bob", "bob")).status == 401
    assert through(access, value=basic("ann", "")).status == 401


# Slow checks


class Slow:
    """Credentials that count how often they are asked."""

    def __init__(self) -> None:
        self.hashes = {"ann": "x"}
        self.asked: list[str] = []

    def token(self, secret: str) -> Identity | None:
        return None

    def user(self, name: str, password: str) -> Identity | None:
        self.asked.append(password)
        return Identity(name=name, scopes=frozenset()) if password == "right" else None


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Access, Slow]:
    credentials = Slow()
    monkeypatch.setattr(access_module, "read_credentials", lambda *files: credentials)
    return Access(htpasswd=tmp_path / "users"), credentials


async def identify_all(access: Access, *passwords: str) -> list[bool]:
    claims = [basic("ann", password).encode() for password in passwords]
    found = await asyncio.gather(*(access.identify(claim) for claim in claims), return_exceptions=True)
    return [isinstance(identity, Identity) for identity in found]


def test_a_password_is_checked_once(slow: tuple[Access, Slow]) -> None:
    access, credentials = slow

    async def twice() -> None:
        assert await identify_all(access, *["right"] * 50, *["wrong"] * 50) == [True] * 50 + [False] * 50
        assert await identify_all(access, "right", "wrong") == [True, False]

    asyncio.run(twice())
    assert sorted(credentials.asked) == ["right", "wrong"]


def test_passwords_are_not_kept(slow: tuple[Access, Slow]) -> None:
    access, _ = slow
    asyncio.run(identify_all(access, "right"))
    assert "right" not in repr(vars(access))


def test_what_was_found_is_forgotten_after_a_while(slow: tuple[Access, Slow], monkeypatch: pytest.MonkeyPatch) -> None:
    access, credentials = slow
    monkeypatch.setattr(access_module, "_REMEMBERED_SECONDS", 0.0)
    asyncio.run(identify_all(access, "right"))
    asyncio.run(identify_all(access, "right"))
    assert credentials.asked == ["right", "right"]


def test_only_so_many_wait(slow: tuple[Access, Slow], monkeypatch: pytest.MonkeyPatch) -> None:
    access, credentials = slow
    monkeypatch.setattr(access_module, "_WAITING", 3)

    async def many() -> None:
        guard = Guard(app, access)
        scopes = [scope_of("GET", "/simple/", {"Authorization": basic("ann", str(number))}) for number in range(10)]
        answers = await asyncio.gather(*(call(guard, scope) for scope in scopes))
        assert sorted(answer.status for answer in answers) == [401] * 3 + [503] * 7
        assert {answer.headers["retry-after"] for answer in answers if answer.status == 503} == {"2"}

    asyncio.run(many())
    assert len(credentials.asked) == 3


# Files that change


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tokens_file(tmp_path, TOKENS)
    access = Access(tokens=file)
    assert not access.refresh()
    tokens_file(tmp_path, {"newcomer": ["read"]})
    assert access.refresh()
    assert through(access, value="Bearer whb_newcomer").status == 200
    assert through(access, value="Bearer whb_reader").status == 401
    assert access.refresh(force=True)


def test_a_user_who_is_removed_is_not_remembered(tmp_path: Path) -> None:
    access = Access(htpasswd=htpasswd_file(tmp_path, "ann"))
    assert through(access, value=basic("ann", "ann")).status == 200
    htpasswd_file(tmp_path, "bob", "carol")
    assert access.refresh()
    assert through(access, value=basic("ann", "ann")).status == 401


def test_a_broken_file_changes_nothing_and_is_told_once(tmp_path: Path) -> None:
    file = tokens_file(tmp_path, TOKENS)
    access = Access(tokens=file)
    file.write_text("broken", encoding="utf-8")
    with pytest.raises(UsageError):
        access.refresh()
    assert not access.refresh()
    assert through(access, value="Bearer whb_reader").status == 200
    file.unlink()
    with pytest.raises(UsageError, match="No such file"):
        access.refresh()
    assert through(access, value="Bearer whb_reader").status == 200


def test_a_file_open_to_others_is_told(tmp_path: Path) -> None:
    file = tokens_file(tmp_path, TOKENS)
    file.chmod(0o604)
    assert ["mode 004" in warning for warning in Access(tokens=file).warnings] == [True]


def test_the_repr_of_credentials_shows_no_hash() -> None:
    assert "x" not in repr(Credentials(hashes={"ann": "xyz"})).removeprefix("Credentials")
