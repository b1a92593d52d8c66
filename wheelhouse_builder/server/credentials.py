"""Who there is and what each may do: an htpasswd file of users and a TOML file of tokens.

Users have chosen passwords, so only slow hashes are taken (bcrypt, argon2id). Tokens are made by `new_token` with 256
random bits, for which one SHA-256 is enough. Nothing of a secret is ever part of an error.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_BCRYPT_BYTES = 72  # what follows is not part of a bcrypt password, for htpasswd neither
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOKEN_KEYS = {"name", "sha256", "scopes", "expires"}
_OTHERS = 0o077  # permissions of group and world


class AccessScope(StrEnum):
    """What one may do."""

    READ = "read"
    METRICS = "metrics"
    PUBLISH = "publish"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who asks, and what they may do until when."""

    name: str
    scopes: frozenset[AccessScope]
    expires: datetime | None = None

    def has_expired(self, now: datetime) -> bool:
        """Whether it is no longer good."""
        return self.expires is not None and now >= self.expires


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """All users, by name, and all tokens, by the SHA-256 of each."""

    hashes: Mapping[str, str] = field(default_factory=dict, repr=False)
    tokens: Mapping[str, Identity] = field(default_factory=dict, repr=False)

    def token(self, secret: str) -> Identity | None:
        """Whose token this is. A look-up by digest: its timing tells nothing about a token, only about its hash."""
        return self.tokens.get(sha256_of_token(secret))

    def user(self, name: str, password: str) -> Identity | None:
        """The user, if the password is right; slow on purpose, and as slow for a name that nobody has."""
        if not self.hashes:
            return None
        known = self.hashes.get(name)
        right = _is_right(password, known or next(iter(self.hashes.values())))
        return Identity(name=name, scopes=frozenset({AccessScope.READ})) if known and right else None


def _is_right(password: str, hashed: str) -> bool:
    if hashed.startswith("$argon2"):
        from argon2.exceptions import VerificationError  # noqa: PLC0415 - costs 20 ms where no user has it
        from argon2.low_level import Type, verify_secret  # noqa: PLC0415

        try:
            return verify_secret(hashed.encode(), password.encode(), Type.ID)
        except VerificationError:
            return False
    import bcrypt  # noqa: PLC0415

    try:
        return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], hashed.encode())
    except ValueError:  # a NUL in the password
        return False


def new_token() -> str:
    """A secret of 256 random bits. The prefix lets scanners of source code recognise what was leaked."""
    return f"whb_{secrets.token_urlsafe(32)}"


def sha256_of_token(secret: str) -> str:
    """What the tokens file holds instead of the token."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read_credentials(htpasswd: Path | None, tokens: Path | None) -> Credentials:
    """Read both files. Raises `UsageError` with file, line and remedy."""
    return Credentials(
        hashes=parse_htpasswd(_read(htpasswd), str(htpasswd)) if htpasswd else {},
        tokens=parse_tokens(_read(tokens), str(tokens)) if tokens else {},
    )


def open_to_others(path: Path) -> str | None:
    """A warning about a file of secrets that group or world can read."""
    if mode := path.stat().st_mode & _OTHERS:
        return f"{path} is open to others (mode {mode:03o} for group and world): chmod 600 {path}"
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", hint="name a file that is there and that the server's user may read"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None


def parse_htpasswd(text: str, name: str) -> dict[str, str]:
    """`user:hash` lines as a mapping. Raises `UsageError` for a hash that is neither bcrypt nor argon2id."""
    hashes: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        place = f"{name}: line {number}"
        user, colon, hashed = line.strip().partition(":")
        if not colon or not user:
            raise UsageError(f"{place} is not user:hash", hint=f"`htpasswd -B {name} USER` writes such a line")
        if user in hashes:
            raise UsageError(f"{place}: {user} is there twice")
        if not (_BCRYPT.fullmatch(hashed) or _is_argon2id(hashed)):
            raise UsageError(
                f"{place}: the password of {user} is {_kind(hashed)}",
                hint=f"use bcrypt or argon2id, which are slow to guess: `htpasswd -B {name} {user}` makes one",
            )
        hashes[user] = hashed
    return hashes


def _is_argon2id(hashed: str) -> bool:
    if not hashed.startswith("$argon2id$"):
        return False
    from argon2 import extract_parameters  # noqa: PLC0415 - as above
    from argon2.exceptions import InvalidHashError  # noqa: PLC0415

    try:
        extract_parameters(hashed)
    except InvalidHashError:
        return False
    return True


def _kind(hashed: str) -> str:
    kinds = {"$apr1$": "MD5", "$1$": "MD5", "{SHA}": "SHA-1 without salt", "$5$": "SHA-256", "$6$": "SHA-512"}
    kinds |= {"$2": "a broken bcrypt hash", "$argon2id$": "a broken argon2id hash", "$argon2": "argon2i or argon2d"}
    return next((kind for start, kind in kinds.items() if hashed.startswith(start)), "plain text or an old crypt hash")


def parse_tokens(text: str, name: str) -> dict[str, Identity]:
    """The `[[token]]` tables by SHA-256. Raises `UsageError`."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}: {error}") from None
    tables = content.pop("token", [])
    if content or not isinstance(tables, list):
        raise UsageError(f"{name} may only have [[token]] tables", hint="`whb token NAME` prints one")
    tokens: dict[str, Identity] = {}
    for number, table in enumerate(tables, 1):
        digest, identity = _parse_token(table, f"{name}: token {number}")
        if digest in tokens or identity.name in {other.name for other in tokens.values()}:
            raise UsageError(f"{name}: token {number}: {identity.name} is there twice")
        tokens[digest] = identity
    return tokens


def _parse_token(table: object, place: str) -> tuple[str, Identity]:
    if not isinstance(table, dict) or (unknown := sorted(table.keys() - _TOKEN_KEYS)):
        raise UsageError(f"{place}: unknown key {unknown[0]!r}" if isinstance(table, dict) else f"{place} is no table")
    token_name, digest, scopes = table.get("name"), table.get("sha256"), table.get("scopes")
    if not isinstance(token_name, str) or not token_name.isprintable() or not token_name:
        raise UsageError(f"{place} has no name")
    place = f"{place} ({token_name})"
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise UsageError(f"{place}: sha256 must be 64 lower-case hexadecimal digits", hint="`whb token` prints them")
    if not isinstance(scopes, list) or not scopes or not all(scope in list(AccessScope) for scope in scopes):
        raise UsageError(f"{place}: scopes must be a list of {', '.join(AccessScope)}")
    identity = Identity(
        name=token_name, scopes=frozenset(map(AccessScope, scopes)), expires=_parse_expires(table.get("expires"), place)
    )
    return digest, identity


def _parse_expires(value: object, place: str) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise UsageError(
                f"{place}: expires has no time zone", hint="write it as 2027-01-31 or 2027-01-31T12:00:00Z"
            )
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise UsageError(f"{place}: expires must be a date", hint="write it as 2027-01-31, without quotes")
