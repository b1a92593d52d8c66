"""Users and tokens: what is taken, what is refused and how it is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.server.credentials import (
    AccessScope,
    Credentials,
    new_token,
    open_to_others,
    parse_htpasswd,
    parse_tokens,
    read_credentials,
    sha256_of_token,
)

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = sha256_of_token("whb_test")
TOKEN = f'[[token]]\nname = "ci"\nsha256 = "{DIGEST}"\nscopes = ["read"]\n'


@pytest.fixture(scope="module")
def hashes() -> dict[str, str]:
    """The password `secret` in every form that is taken."""
    import bcrypt
    from argon2 import PasswordHasher

    made = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    forms = {prefix: made.replace("$2b$", prefix, 1) for prefix in ("$2a$", "$2b$", "$2y$")}
    return forms | {"$argon2id$": PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")}


@pytest.mark.parametrize("form", ["$2a$", "$2b$", "$2y$", "$argon2id$"])
def test_every_form_of_a_password(hashes: dict[str, str], form: str) -> None:
    credentials = Credentials(hashes=parse_htpasswd(f"# users\n\nann:{hashes[form]}\n", "users"))
    ann = credentials.user("ann", "secret")
    assert ann is not None
    assert (ann.name, ann.scopes) == ("ann", frozenset({AccessScope.READ}))
    for name, password in [("ann", "Secret"), ("ann", ""), ("bob", "secret"), ("", "secret"), ("ann", "secret\0")]:
        assert credentials.user(name, password) is None


def test_a_password_longer_than_bcrypt_takes(hashes: dict[str, str]) -> None:
    credentials = Credentials(hashes={"ann": hashes["$2b$"]})
    assert credentials.user("ann", "secret" * 100) is None


def test_nobody_is_known_without_users() -> None:
    assert Credentials().user("ann", "secret") is None
    assert Credentials().token("") is None


@pytest.mark.parametrize(
    ("hashed", "kind"),
    [
        ("$apr1$abc$def", "MD5"),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1 without salt"),
        ("$6$salt$hash", "SHA-512"),
        ("$2y$04$short", "a broken bcrypt hash"),
        ("$2y$03$" + "a" * 53, "a broken bcrypt hash"),
        ("$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$J5d9", "argon2i or argon2d"),
        ("$argon2id$v=19$m=x", "a broken argon2id hash"),
        ("secret", "plain text or an old crypt hash"),
        ("", "plain text or an old crypt hash"),
    ],
)
def test_a_hash_that_is_not_taken(hashed: str, kind: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_htpasswd(f"# users\nann:{hashed}\n", "users")
    assert caught.value.message == f"users: line 2: the password of ann is {kind}"
    assert "htpasswd -B users ann" in (caught.value.hint or "")


@pytest.mark.parametrize("line", ["secret", ":secret", "$2b$04$abc"])
def test_a_line_that_is_none_is_not_shown(line: str) -> None:
    with pytest.raises(UsageError, match="users: line 1 is not user:hash") as caught:
        parse_htpasswd(line, "users")
    assert "secret" not in caught.value.message


def test_a_user_twice(hashes: dict[str, str]) -> None:
    line = f"ann:{hashes['$2b$']}\n"
    with pytest.raises(UsageError, match="users: line 2: ann is there twice"):
        parse_htpasswd(line * 2, "users")


def test_a_token() -> None:
    credentials = Credentials(tokens=parse_tokens(TOKEN, "tokens"))
    found = credentials.token("whb_test")
    assert found is not None
    assert (found.name, found.scopes, found.expires) == ("ci", frozenset({AccessScope.READ}), None)
    assert credentials.token("whb_tesT") is None
    assert credentials.token(DIGEST) is None


@pytest.mark.parametrize("value", ["2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31T01:00:00+01:00"])
def test_when_a_token_expires(value: str) -> None:
    (token,) = parse_tokens(f"{TOKEN}expires = {value}\n", "tokens").values()
    assert token.expires == datetime(2026, 1, 31, tzinfo=UTC)
    assert not token.has_expired(datetime(2026, 1, 30, 23, 59, tzinfo=UTC))
    assert token.has_expired(datetime(2026, 1, 31, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 1", "may only have [[token]] tables"),
        ("token = 1", "may only have [[token]] tables"),
        ("token = [1]", "token 1 is no table"),
        ("[[token]]\nnam = 1", "token 1: unknown key 'nam'"),
        ("[[token]]\n", "token 1 has no name"),
        (TOKEN.replace('"ci"', '"a\\nb"'), "token 1 has no name"),
        (TOKEN.replace(DIGEST, DIGEST[1:]), "sha256 must be 64 lower-case hexadecimal digits"),
        (TOKEN.replace(DIGEST, "whb_test"), "sha256 must be 64 lower-case hexadecimal digits"),
        (TOKEN.replace('["read"]', '["write"]'), "scopes must be a list of read, metrics, publish"),
        (TOKEN.replace('["read"]', "[]"), "scopes must be a list"),
        (TOKEN.replace('["read"]', '"read"'), "scopes must be a list"),
        (TOKEN.replace('["read"]', "[[]]"), "scopes must be a list"),
        (TOKEN * 2, "token 2: ci is there twice"),
        (TOKEN + TOKEN.replace("ci", "other"), "token 2: other is there twice"),
        (f"{TOKEN}expires = 2026-01-31T00:00:00", "expires has no time zone"),
        (f'{TOKEN}expires = "soon"', "expires must be a date"),
        ("[[token]", "tokens: "),
    ],
)
def test_a_tokens_file_that_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_tokens(text, "tokens")
    assert message in caught.value.message
    assert "whb_test" not in caught.value.message


def test_tokens_are_new_each_time() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(token.startswith("whb_") and len(token) == 47 for token in made)


def test_files(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    with pytest.raises(UsageError, match="No such file"):
        read_credentials(None, tokens)
    tokens.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_credentials(None, tokens)
    tokens.write_text(TOKEN, encoding="utf-8")
    assert read_credentials(None, tokens).token("whb_test")
    tokens.chmod(0o640)
    assert open_to_others(tokens) == f"{tokens} is open to others (mode 040 for group and world): chmod 600 {tokens}"
    tokens.chmod(0o600)
    assert open_to_others(tokens) is None
