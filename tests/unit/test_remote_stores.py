"""The destinations: what names lead to, a folder, and what S3's answers mean. boto3 is stubbed: nothing is sent."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import ANY, Stubber

from wheelhouse_builder.errors import MachineError, UsageError, WhbError
from wheelhouse_builder.remote.destination import open_store
from wheelhouse_builder.remote.folder import FolderStore
from wheelhouse_builder.remote.items import Found, headers_of
from wheelhouse_builder.remote.s3 import S3Store
from wheelhouse_builder.remote.store import ABSENT, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE, DATA = headers_of("index.html"), b"page"
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
def test_a_folder_by_path_or_url(tmp_path: Path, form: str) -> None:
    store = open_store(form.format(tmp_path / "out"), tmp_path / "house", workers=1)
    assert isinstance(store, FolderStore)
    assert store.root == tmp_path / "out"


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        ("gs://bucket/x", "gcloud storage rsync"),
        ("az://account/container", "azcopy"),
        ("ftp://host/x", "s3://BUCKET/PREFIX"),
        ("s3://", "s3://BUCKET/PREFIX"),
        ("file://host/x", "s3://BUCKET/PREFIX"),
        ("s3://key:secret@bucket/x", "credentials come from"),
        ("s3://bucket/x?versionId=1", "credentials come from"),
    ],
)
def test_what_is_no_destination(tmp_path: Path, destination: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(destination, tmp_path, workers=1)
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("below", ["house", "house/out", "."])
def test_the_wheelhouse_is_no_place_to_publish_to(tmp_path: Path, below: str) -> None:
    with pytest.raises(UsageError, match="in one another"):
        open_store(str(tmp_path / below), tmp_path / "house", workers=1)


def test_neither_another_wheelhouse_nor_a_file(tmp_path: Path) -> None:
    (tmp_path / "other" / ".whb").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name, said in [("other", "is a wheelhouse"), ("file", "is no folder")]:
        with pytest.raises(UsageError, match=said):
            open_store(str(tmp_path / name), tmp_path / "house", workers=1)


def test_a_folder_keeps_the_conditions(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "out")
    assert (store.listing(), store.get("a/b"), store.look("a/b")) == ({}, None, None)
    version = store.put("a/b", DATA, PAGE, sha256=DIGEST, when=ABSENT)
    assert (store.listing(), store.get("a/b")) == ({"a/b": 4}, (DATA, version))
    assert store.look("a/b") == Found(size=4, sha256=DIGEST)
    for when in (ABSENT, "other version"):
        with pytest.raises(Refused):
            store.put("a/b", b"new", PAGE, sha256="", when=when)
    assert store.get("a/b") == (DATA, version)
    assert [path.name for path in (tmp_path / "out" / "a").iterdir()] == ["b"]
    store.put("a/b", tmp_path / "out" / "a" / "b", PAGE, sha256=DIGEST, when=version)
    assert (tmp_path / "out" / "a" / "b").stat().st_mode & 0o777 == 0o644
    store.delete("a/b")
    store.delete("a/b")
    assert not (tmp_path / "out" / "a").exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(MachineError, match="cannot write"):
        FolderStore(tmp_path).put("a/b", DATA, PAGE, sha256=DIGEST)


@pytest.fixture(scope="module")
def bucket() -> S3Store:
    """To make a client takes longer than all that is asked of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_REGION", "eu-west-1")
        return S3Store("bucket", "wheels", workers=1, environ={})


@pytest.fixture
def s3(bucket: S3Store) -> Iterator[tuple[S3Store, Stubber]]:
    client: Any = bucket._client
    with Stubber(client) as stub:
        yield bucket, stub
        stub.assert_no_pending_responses()


def test_what_is_asked_of_s3_for_a_put(s3: tuple[S3Store, Stubber]) -> None:
    store, stub = s3
    request = {
        "Bucket": "bucket",
        "Key": "wheels/index.html",
        "Body": DATA,
        "ContentType": "text/html; charset=utf-8",
        "CacheControl": ANY,
        "Metadata": {"sha256": DIGEST},
        "ChecksumSHA256": ANY,
    }
    stub.add_response("put_object", {"ETag": '"1"'}, {**request, "IfNoneMatch": "*"})
    stub.add_response("put_object", {"ETag": '"2"'}, {**request, "IfMatch": '"1"'})
    stub.add_response("put_object", {"ETag": '"3"'}, {**request, "ContentEncoding": "gzip", "Key": ANY})
    assert store.put("index.html", DATA, PAGE, sha256=DIGEST, when=ABSENT) == '"1"'
    assert store.put("index.html", DATA, PAGE, sha256=DIGEST, when='"1"') == '"2"'
    assert store.put("index.html.gz", DATA, headers_of("index.html.gz"), sha256=DIGEST) == '"3"'


@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"])
def test_a_condition_that_is_not_met_is_no_error(s3: tuple[S3Store, Stubber], code: str) -> None:
    store, stub = s3
    stub.add_client_error("put_object", code, http_status_code=412)
    with pytest.raises(Refused):
        store.put("a", DATA, PAGE, sha256=DIGEST, when='"1"')


def test_a_store_that_knows_no_conditions_is_written_without(s3: tuple[S3Store, Stubber]) -> None:
    store, stub = s3
    stub.add_client_error("put_object", "NotImplemented", http_status_code=501)
    stub.add_response("put_object", {"ETag": '"1"'})
    assert store.put("a", DATA, PAGE, sha256=DIGEST, when=ABSENT) == '"1"'


@pytest.mark.parametrize(
    ("code", "status", "kind", "said"),
    [
        ("NoSuchBucket", 404, UsageError, "there is no bucket"),
        ("InvalidAccessKeyId", 403, MachineError, "check the credentials"),
        ("SignatureDoesNotMatch", 403, MachineError, "check the credentials"),
        ("AccessDenied", 403, MachineError, "list, get, put and delete"),
        ("PermanentRedirect", 301, UsageError, "AWS_REGION"),
        ("SlowDown", 503, MachineError, "run the same command again"),
        ("InvalidArgument", 400, MachineError, "--directory-pages none"),
    ],
)
def test_each_refusal_says_what_to_do(
    s3: tuple[S3Store, Stubber], code: str, status: int, kind: type[WhbError], said: str
) -> None:
    store, stub = s3
    stub.add_client_error("put_object", code, "because", http_status_code=status)
    with pytest.raises(kind) as caught:
        store.put("simple/", DATA, PAGE, sha256=DIGEST)
    assert re.search(said, f"{caught.value.message} {caught.value.hint}")
    assert "s3://bucket/wheels" in caught.value.message


def test_absent_objects_and_digests_that_were_not_noted(s3: tuple[S3Store, Stubber]) -> None:
    store, stub = s3
    stub.add_client_error("head_object", "404", http_status_code=404)
    stub.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    stub.add_response("head_object", {"ContentLength": 4, "Metadata": {"sha256": "noted"}})
    assert (store.look("a"), store.get("a")) == (None, None)
    assert store.look("a") == Found(size=4, sha256="noted")


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(MachineError, match="no credentials for s3://bucket/"):
        S3Store("bucket", "", workers=1)
