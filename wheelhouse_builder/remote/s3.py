"""An S3 bucket, or what speaks the same protocol, as a destination.

Credentials, region, profile and endpoint are found by boto3 where every tool finds them (`AWS_*`, `~/.aws`, the
machine's role). The store checks the SHA-256 of what arrives, and keeps it with the object as metadata `sha256`.
"""

from __future__ import annotations

import base64
import hashlib
import os
from contextlib import contextmanager, nullcontext
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

import boto3
from botocore import exceptions
from botocore.config import Config

from wheelhouse_builder.errors import MachineError, UsageError, WhbError
from wheelhouse_builder.files import CHUNK_BYTES
from wheelhouse_builder.redact import redact
from wheelhouse_builder.remote.items import Found
from wheelhouse_builder.remote.store import ABSENT, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from wheelhouse_builder.remote.items import Headers

_ATTEMPTS = 5  # for each request, with exponential back-off
_OWN_ENDPOINT = frozenset({"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"})
_AGAIN = "what is there stays as it is; run the same command again to go on"
_ABSENT_CODES = frozenset({"404", "NoSuchKey"})
_REFUSED_CODES = frozenset({"412", "PreconditionFailed", "ConditionalRequestConflict"})
_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.ProfileNotFound,
)


class _Client(Protocol):
    """What is used of boto3's client, which is made at run time."""

    def put_object(self, **request: object) -> dict[str, Any]: ...
    def get_object(self, **request: object) -> dict[str, Any]: ...
    def head_object(self, **request: object) -> dict[str, Any]: ...
    def delete_object(self, **request: object) -> dict[str, Any]: ...
    def get_paginator(self, name: str) -> Any: ...


class S3Store:
    """The objects of a bucket below a prefix. `workers` threads use it at once."""

    def __init__(self, bucket: str, prefix: str, *, workers: int, environ: Mapping[str, str] = os.environ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._name = f"s3://{bucket}/{prefix}"
        config = Config(
            retries={"mode": "standard", "total_max_attempts": _attempts(environ)},
            max_pool_connections=workers,
            connect_timeout=10,
            read_timeout=60,
            # A store that is not Amazon's seldom has a host name for each bucket.
            s3={"addressing_style": "path"} if _OWN_ENDPOINT & environ.keys() else None,
        )
        with self._telling():
            self._client = cast("_Client", boto3.session.Session().client("s3", config=config))

    def listing(self) -> dict[str, int]:
        """The size of every object, a thousand for each request."""
        with self._telling():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            found = [entry for page in pages for entry in page.get("Contents", ())]
        return {entry["Key"].removeprefix(self._prefix): entry["Size"] for entry in found}

    def look(self, key: str, *, read: bool = False) -> Found | None:
        """The size, and the digest that is noted with the object; of an object that has none, that of its content."""
        with self._telling():
            try:
                head = self._client.head_object(**self._at(key))
                noted = head["Metadata"].get("sha256")
                return Found(size=head["ContentLength"], sha256=self._digest(key) if read or not noted else noted)
            except exceptions.ClientError as error:
                if _code(error) in _ABSENT_CODES:
                    return None
                raise

    def get(self, key: str) -> tuple[bytes, str] | None:
        """An object and its ETag."""
        with self._telling():
            try:
                answer = self._client.get_object(**self._at(key))
                return answer["Body"].read(), answer["ETag"]
            except exceptions.ClientError as error:
                if _code(error) in _ABSENT_CODES:
                    return None
                raise

    def put(
        self, key: str, content: bytes | Path, headers: Headers, *, sha256: str, when: str | None = None
    ) -> str | None:
        """Write an object in one request; a store that knows no conditions is written without."""
        condition = {} if when is None else {"IfNoneMatch": "*"} if when == ABSENT else {"IfMatch": when}
        encoding = {"ContentEncoding": headers.content_encoding} if headers.content_encoding else {}
        with self._telling(key), _opened(content) as body:
            try:
                answer = self._client.put_object(
                    **self._at(key),
                    Body=body,
                    ContentType=headers.content_type,
                    CacheControl=headers.cache_control,
                    Metadata={"sha256": sha256},
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
                    **encoding,
                    **condition,
                )
            except exceptions.ClientError as error:
                if condition and _code(error) in _REFUSED_CODES | _ABSENT_CODES:
                    raise Refused(key) from error
                if condition and _code(error) == "NotImplemented":
                    return self.put(key, content, headers, sha256=sha256)
                raise
        return cast("str | None", answer.get("ETag"))

    def delete(self, key: str) -> None:
        """Remove an object."""
        with self._telling():
            self._client.delete_object(**self._at(key))

    def _at(self, key: str) -> dict[str, object]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _digest(self, key: str) -> str:
        digest = hashlib.sha256()
        for chunk in self._client.get_object(**self._at(key))["Body"].iter_chunks(CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()

    @contextmanager
    def _telling(self, key: str = "") -> Iterator[None]:
        """Tell what boto3 raises as our own errors."""
        try:
            yield
        except exceptions.ClientError as error:
            raise _answered(error, self._name, key) from error
        except exceptions.BotoCoreError as error:
            raise _unanswered(error, self._name) from error


def _attempts(environ: Mapping[str, str]) -> int:
    """AWS_MAX_ATTEMPTS, as for every tool; else ours."""
    given = environ.get("AWS_MAX_ATTEMPTS", "")
    return int(given) if given.isdecimal() and int(given) else _ATTEMPTS


def _opened(content: bytes | Path) -> AbstractContextManager[bytes | IO[bytes]]:
    return nullcontext(content) if isinstance(content, bytes) else content.open("rb")


def _code(error: exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _answered(error: exceptions.ClientError, name: str, key: str) -> WhbError:
    """The store said no."""
    told = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = redact(f"{told.get('Code', status)}: {told.get('Message', '')}").rstrip(": ")
    if _code(error) == "NoSuchBucket":
        return UsageError(f"there is no bucket for {name}", hint="make it, or correct the name; whb makes no buckets")
    if status in {401, 403}:
        hint = "check the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE, …) and that they may list, get, put and delete"
        return MachineError(f"{name} refuses: {said}", hint=hint)
    if status in {301, 307, 400} and _code(error) in {"PermanentRedirect", "AuthorizationHeaderMalformed"}:
        return UsageError(f"{name} is in another region: {said}", hint="set AWS_REGION")
    if key.endswith("/") and status in {400, 405, 501}:
        hint = "this store seems to take no key that ends in a slash: publish with --directory-pages none"
        return MachineError(f"{name} does not take {key}: {said}", hint=hint)
    return MachineError(f"{name} answers {said}", hint=_AGAIN)


def _unanswered(error: exceptions.BotoCoreError, name: str) -> WhbError:
    """The question was not put."""
    said = redact(str(error))
    if isinstance(error, _CREDENTIALS):
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        return MachineError(f"no credentials for {name}: {said}", hint=hint)
    if isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError):
        return MachineError(f"cannot reach {name}: {said}", hint=f"check the network and AWS_ENDPOINT_URL; {_AGAIN}")
    return UsageError(f"cannot publish to {name}: {said}", hint="check the name and the AWS_* variables")
