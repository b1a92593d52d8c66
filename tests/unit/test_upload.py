"""Uploads, in process: the form, what is refused and how, and what is there afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wheels import make_wheel
from wheelhouse_builder.errors import MachineError
from wheelhouse_builder.index.model import Mark, Status
from wheelhouse_builder.server import upload
from wheelhouse_builder.server.upload import Uploads
from wheelhouse_builder.server.upload_form import Form, Refused, read_form
from wheelhouse_builder.verify.symbols import DEFAULT_FLOOR
from wheelhouse_builder.wheelhouse.generations import current, named_files, publish
from wheelhouse_builder.wheelhouse.retired import retire
from wheelhouse_builder.wheelhouse.store import Wheelhouse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

MUSL = "cp312-cp312-musllinux_1_2_x86_64"
BOUNDARY = "0123456789abcdef"


def fields_of(wheel: Path, **changes: str | None) -> dict[str, str]:
    name, version, *_ = wheel.name.split("-")
    fields = {
        ":action": "file_upload",
        "protocol_version": "1",
        "filetype": "bdist_wheel",
        "metadata_version": "2.1",
        "name": name,
        "version": version,
        "sha256_digest": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "description": "é" * 2000,
        **{key.replace("action", ":action"): value for key, value in changes.items()},
    }
    return {key: value for key, value in fields.items() if value is not None}


def multipart(fields: Iterable[tuple[str, str]], filename: str | None, content: bytes) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields
    ]
    body = "".join(parts).encode()
    if filename is not None:
        disposition = f'Content-Disposition: form-data; name="content"; filename="{filename}"'
        body += f"--{BOUNDARY}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
        body += content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def body_of(wheel: Path, filename: str | None = None, **changes: str | None) -> bytes:
    return multipart(
        fields_of(wheel, **changes).items(), wheel.name if filename is None else filename, wheel.read_bytes()
    )


class Client:
    """Sends requests to the endpoint and keeps what came back."""

    def __init__(self, root: Path, **options: Any) -> None:
        root.mkdir()
        self.root = root
        self.refreshed = 0
        self.app = Uploads(root, self._refresh, musl_floor=DEFAULT_FLOOR, **{"lock_wait": 0.0, **options})
        self.headers: dict[bytes, bytes] = {}

    def _refresh(self) -> None:
        self.refreshed += 1

    def post(
        self, body: bytes, *, method: str = "POST", pieces: int = 1000, cut: bool = False, **more: Any
    ) -> tuple[int, str]:
        """The status and the text of the answer; a client that goes away (`cut`) gets (0, "")."""
        return asyncio.run(self.send(body, method=method, pieces=pieces, cut=cut, **more))

    async def send(
        self,
        body: bytes,
        *,
        method: str = "POST",
        pieces: int = 1000,
        cut: bool = False,
        content_type: str = f"multipart/form-data; boundary={BOUNDARY}",
        headers: Mapping[bytes, bytes] | None = None,
    ) -> tuple[int, str]:
        chunks = [body[at : at + pieces] for at in range(0, len(body), pieces)] or [b""]
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": chunk, "more_body": cut or number < len(chunks) - 1}
            for number, chunk in enumerate(chunks)
        ]
        messages.append({"type": "http.disconnect"})
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        all_headers = {b"content-type": content_type.encode(), b"content-length": b"%d" % len(body), **(headers or {})}
        scope = {"type": "http", "method": method, "headers": list(all_headers.items()), "whb": {"user": "ci"}}
        await self.app(scope, receive, send)
        assert scope["whb"] == {"user": "ci", "route": "upload"}
        if not sent:
            return 0, ""
        self.headers = dict(sent[0]["headers"])
        assert not sent[-1].get("more_body")
        return sent[0]["status"], b"".join(message["body"] for message in sent[1:]).decode()

    @property
    def names(self) -> list[str]:
        """What is published."""
        generation = current(Wheelhouse(self.root))
        return [] if generation is None else sorted(named_files(generation))


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path / "wheelhouse")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path, tag=MUSL)


def assert_nothing_happened(client: Client) -> None:
    assert client.names == []
    assert client.refreshed == 0
    assert [path for path in client.root.glob("*") if path.name != ".whb"] == []
    assert list((client.root / ".whb").glob("uploads/*")) == []


# what is taken


@pytest.mark.parametrize("pieces", [1, 7, 1 << 20])
def test_an_upload_is_published_with_its_evidence(client: Client, wheel: Path, pieces: int) -> None:
    assert client.post(body_of(wheel), pieces=pieces) == (200, f"{wheel.name} is published\n")
    assert client.names == [wheel.name]
    assert client.refreshed == 1
    assert (client.root / wheel.name).read_bytes() == wheel.read_bytes()
    (record,) = Wheelhouse(client.root).records.all()
    assert (record.origin, record.notes) == ("uploaded", ("uploaded by ci",))
    assert [(verdict.target, verdict.passed) for verdict in record.verdicts] == [("cp312-musllinux_1_2_x86_64", True)]
    assert list((client.root / ".whb/uploads").iterdir()) == []


def test_the_file_may_come_before_the_fields(client: Client, wheel: Path) -> None:
    body = body_of(wheel)
    start = body.index(b"--" + BOUNDARY.encode() + b'\r\nContent-Disposition: form-data; name="content"')
    end = body.rindex(f"--{BOUNDARY}--".encode())
    assert client.post(body[start:end] + body[:start] + body[end:])[0] == 200


def test_the_same_again_is_no_news(client: Client, wheel: Path) -> None:
    client.post(body_of(wheel))
    number = current(Wheelhouse(client.root))
    status, text = client.post(body_of(wheel))
    assert (status, text) == (200, f"{wheel.name} is here already, with this content\n")
    assert current(Wheelhouse(client.root)) == number


def test_the_same_again_keeps_how_it_was_built(client: Client, wheel: Path) -> None:
    from wheelhouse_builder.wheelhouse.store import record_of

    house = Wheelhouse(client.root)
    with house.lock():
        house.admit(wheel, record_of(wheel, origin="built", build_key="key"))
    assert client.post(body_of(wheel))[0] == 200
    assert house.records.all()[0].build_key == "key"
    assert client.names == [wheel.name]


def test_a_retired_wheel_that_is_uploaded_comes_back(client: Client, wheel: Path) -> None:
    assert client.post(body_of(wheel))[0] == 200
    house = Wheelhouse(client.root)
    with house.lock():
        retire(house.records, {wheel.name: "nothing asks for it"}, datetime(2026, 1, 2, tzinfo=UTC))
        publish(house, {})
    assert client.names == []
    assert client.post(body_of(wheel))[0] == 200
    assert client.names == [wheel.name]


def test_a_name_is_compared_as_projects_are(client: Client, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, name="zope.interface")
    assert client.post(body_of(wheel, name="Zope-Interface", version="1.0.0"))[0] == 200


# what is refused


def test_other_content_under_the_same_name_is_refused(client: Client, wheel: Path, tmp_path: Path) -> None:
    """Not with 409, which uv takes for success."""
    client.post(body_of(wheel))
    (tmp_path / "other").mkdir()
    other = make_wheel(tmp_path / "other", tag=MUSL, files={"demo.py": b"other"})
    status, text = client.post(body_of(other))
    assert status == 400
    assert "already exists with other content" in text
    assert (client.root / wheel.name).read_bytes() == wheel.read_bytes()


def test_another_spelling_of_the_name_is_refused(client: Client, tmp_path: Path) -> None:
    first = make_wheel(tmp_path, name="MarkupSafe", tag=MUSL)
    client.post(body_of(first))
    second = make_wheel(tmp_path, name="markupsafe", tag=MUSL)
    status, text = client.post(body_of(second))
    assert status == 400
    assert text.startswith(f"{first.name} already exists")


def test_a_wheel_that_somebody_put_there_is_not_overwritten(client: Client, wheel: Path) -> None:
    (client.root / wheel.name).write_bytes(b"by hand")
    assert client.post(body_of(wheel))[0] == 400
    assert (client.root / wheel.name).read_bytes() == b"by hand"


def test_an_archived_project_takes_no_new_file(client: Client, wheel: Path, tmp_path: Path) -> None:
    """ "archived MUST refuse uploads" (project status markers)."""
    client.post(body_of(wheel))
    house = Wheelhouse(client.root)
    (record,) = house.records.all()
    with house.lock():
        house.records.set_mark(record.name, Mark(status=Status.ARCHIVED, reason="use other"))
    status, text = client.post(body_of(make_wheel(tmp_path, version="2.0")))
    assert (status, "demo is archived (use other)" in text) == (400, True)
    assert client.post(body_of(wheel))[0] == 200
    assert client.names == [wheel.name]


def test_the_name_of_a_removed_wheel_stays_taken(client: Client, wheel: Path, tmp_path: Path) -> None:
    client.post(body_of(wheel))
    house = Wheelhouse(client.root)
    with house.lock():
        house.records.remove([wheel.name])
        (client.root / wheel.name).unlink()
        (client.root / f"{wheel.name}.metadata").unlink()
    (tmp_path / "other").mkdir()
    assert client.post(body_of(make_wheel(tmp_path / "other", tag=MUSL, files={"demo.py": b"other"})))[0] == 400
    assert client.post(body_of(wheel)) == (200, f"{wheel.name} is published\n")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"action": "submit"}, "no upload"),
        ({"action": None}, "no upload"),
        ({"protocol_version": "2"}, "no upload"),
        ({"filetype": "sdist"}, "only wheels"),
        ({"filetype": "bdist_egg"}, "only wheels"),
        ({"name": "other"}, "name and version of the form"),
        ({"version": "2.0"}, "name and version of the form"),
        ({"version": "<b>"}, "name and version of the form"),
        ({"sha256_digest": None}, "sha256_digest is missing"),
        ({"sha256_digest": "0" * 64}, "damaged on the way"),
        ({"name": "x" * 2000}, "the field name has more than"),
    ],
)
def test_wrong_fields_are_refused(client: Client, wheel: Path, changes: dict[str, str | None], text: str) -> None:
    status, answer = client.post(body_of(wheel, **changes))
    assert status == 400
    assert text in answer
    assert answer.count("\n") == 1
    assert_nothing_happened(client)


@pytest.mark.parametrize(
    "filename",
    [
        "../demo-1.0-py3-none-any.whl",
        "/etc/demo-1.0-py3-none-any.whl",
        "demo-1.0-1/../../x-py3-none-any.whl",
        "demo-1.0-1\0-py3-none-any.whl",
        "démo-1.0-py3-none-any.whl",
        "demo-1.0-1<script>-py3-none-any.whl",
        "demo-1.0.tar.gz",
        "demo-1.0-py3-none-any.whl/",
        ".",
        "",
        "content",
        "demo-1.0-cp312-cp312-manylinux_2_28_x86_64.whl",
        "demo-1.0-cp312-cp312-linux_x86_64.whl",
        "demo-1.0-cp312-cp312-win_amd64.whl",
        "demo-1.0-cp39-cp39-musllinux_1_2_x86_64.whl",
        "demo-1.0-cp312-cp312-musllinux_1_2_riscv64.whl",
    ],
)
def test_wrong_file_names_are_refused(client: Client, wheel: Path, filename: str) -> None:
    status, text = client.post(body_of(wheel, filename))
    assert status == 400
    assert text.count("\n") == 1
    assert client.headers[b"content-type"] == b"text/plain; charset=utf-8"
    assert client.headers[b"x-content-type-options"] == b"nosniff"
    assert_nothing_happened(client)


def test_a_name_whose_sidecar_no_file_system_takes_is_refused(client: Client, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, version=f"1.0+{'a' * 221}")
    status, text = client.post(body_of(wheel))
    assert (status, "has 247 characters" in text) == (400, True)
    assert_nothing_happened(client)


def test_a_wheel_that_is_another_project_inside_is_refused(client: Client, wheel: Path) -> None:
    status, text = client.post(body_of(wheel, f"numpy-1.0-{MUSL}.whl", name="numpy"))
    assert (status, "METADATA disagree" in text) == (400, True)
    assert_nothing_happened(client)


def test_a_wheel_for_glibc_under_a_musl_name_is_refused(client: Client, tmp_path: Path) -> None:
    library = Path(__file__).parents[1] / "data" / "elf"
    glibc = next(path for path in sorted(library.iterdir()) if "glibc" in path.name)
    wheel = make_wheel(tmp_path, tag=MUSL, files={"demo.so": glibc.read_bytes()})
    status, text = client.post(body_of(wheel))
    assert status == 400
    assert "does not load on musl" in text
    assert "glibc" in text
    assert_nothing_happened(client)


def test_a_file_that_is_no_zip_is_refused(client: Client, wheel: Path) -> None:
    wheel.write_bytes(b"PK\3\4 not really")
    status, text = client.post(body_of(wheel))
    assert (status, "not a readable zip" in text) == (400, True)
    assert_nothing_happened(client)


def test_a_member_that_leaves_the_folder_is_refused(client: Client, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, files={"../evil.py": b""})
    status, text = client.post(body_of(wheel))
    assert (status, "unsafe" in text) == (400, True)


def test_a_bomb_is_refused_without_unpacking_it(client: Client, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wheelhouse_builder.repair.archive.MAX_UNPACKED_BYTES", 1_000_000)
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(2_000_000))
    status, text = client.post(body_of(wheel))
    assert (status, "unpacks to more" in text) == (400, True)


# limits and clients that misbehave


def test_a_file_over_the_limit_is_refused(tmp_path: Path, wheel: Path) -> None:
    client = Client(tmp_path / "wheelhouse", max_bytes=500)
    status, text = client.post(body_of(wheel))
    assert (status, "larger than 500 bytes" in text) == (413, True)
    assert_nothing_happened(client)


@pytest.mark.parametrize("length", [b"99999999999999", b"-1", b"abc"])
def test_a_length_over_the_limit_is_refused_at_once(client: Client, wheel: Path, length: bytes) -> None:
    assert client.post(body_of(wheel), headers={b"content-length": length})[0] == 413


def test_fields_without_end_are_refused(client: Client, wheel: Path) -> None:
    status, text = client.post(body_of(wheel, description="x" * (17 << 20)), pieces=1 << 20)
    assert (status, "more than 16 MiB" in text) == (413, True)
    many = multipart([("classifier", "x")] * 10_001, wheel.name, b"")
    assert client.post(many)[0] == 413
    assert_nothing_happened(client)


def test_a_body_that_is_cut_off_leaves_nothing(client: Client, wheel: Path) -> None:
    body = body_of(wheel)
    assert client.post(body[: len(body) // 2], cut=True) == (0, "")
    assert client.post(body[: len(body) // 2]) == (400, "the form is cut off: its last boundary is missing\n")
    assert_nothing_happened(client)


def test_a_client_that_falls_silent_is_told_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "SILENCE_SECONDS", 0.01)

    async def silent() -> Any:
        await asyncio.sleep(60)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"multipart/form-data; boundary=x")]}
    asyncio.run(client.app(scope, silent, send))
    assert sent[0]["status"] == 408
    assert_nothing_happened(client)


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data", "", "multipart/form-data; boundary="]
)
def test_what_is_no_form_is_refused(client: Client, wheel: Path, content_type: str) -> None:
    status, text = client.post(body_of(wheel), content_type=content_type)
    assert (status, text.startswith("this is no upload")) == (400, True)


def test_two_files_and_fields_given_twice_are_refused(client: Client, wheel: Path) -> None:
    fields = fields_of(wheel)
    twice = multipart([*fields.items(), ("name", "other")], wheel.name, wheel.read_bytes())
    assert client.post(twice) == (400, "the field name is given twice\n")
    two = multipart(fields.items(), wheel.name, b"1").removesuffix(f"--{BOUNDARY}--\r\n".encode())
    assert client.post(two + multipart([], wheel.name, b"2"))[0] == 400
    assert client.post(multipart(fields.items(), None, b""))[1].startswith("the form has no file")
    assert client.post(multipart([*fields.items(), ("content", "text")], None, b""))[0] == 400
    assert_nothing_happened(client)


def test_other_methods_are_told_how(client: Client) -> None:
    status, text = client.post(b"", method="PUT")
    assert (status, "twine upload" in text) == (405, True)
    assert client.headers[b"allow"] == b"POST"


def test_no_web_page_publishes_with_the_password_that_a_browser_keeps(client: Client, wheel: Path) -> None:
    status, text = client.post(body_of(wheel), headers={b"origin": b"https://evil.example"})
    assert (status, "not from a web page" in text) == (403, True)
    assert_nothing_happened(client)


# the wheelhouse is in use, full, damaged


def test_while_somebody_writes_the_answer_is_503(client: Client, wheel: Path) -> None:
    with Wheelhouse(client.root).lock():
        status, text = client.post(body_of(wheel))
    assert (status, "in use" in text) == (503, True)
    assert client.headers[b"retry-after"].isdigit()
    assert client.names == []
    assert client.post(body_of(wheel))[0] == 200


def test_a_full_disk_is_507_and_leaves_nothing(client: Client, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("wheelhouse_builder.server.upload_form._write", full)
        assert client.post(body_of(wheel))[0] == 507
    with monkeypatch.context() as patched:
        patched.setattr("wheelhouse_builder.wheelhouse.disk.copy", full)
        status, text = client.post(body_of(wheel))
    assert status == 507
    assert str(client.root) not in text
    assert client.names == []
    assert client.post(body_of(wheel))[0] == 200


def test_a_damaged_wheelhouse_is_500_and_the_log_says_why(
    client: Client, wheel: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client.post(body_of(wheel))
    (client.root / wheel.name).write_bytes(b"changed by hand")
    other = make_wheel(tmp_path, version="2.0")
    status, text = client.post(body_of(other))
    assert status == 500
    assert str(client.root) not in text
    assert str(client.root / wheel.name) in caplog.text


def test_what_a_killed_server_left_is_cleared_away_later(client: Client, wheel: Path) -> None:
    import os

    old, new = client.root / ".whb/uploads/old", client.root / ".whb/uploads/new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "content").write_bytes(b"half")
    os.utime(old, (0, 0))
    client.post(body_of(wheel))
    assert not old.exists()
    assert new.exists()


def test_a_wheelhouse_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be written"):
        Uploads(tmp_path / "missing", lambda: None, musl_floor=DEFAULT_FLOOR)


def test_uploads_at_once(client: Client, tmp_path: Path) -> None:
    """The same file from several clients, and others: each is published once, and every client is told so."""
    wheels = [make_wheel(tmp_path, name=f"demo{number % 5}") for number in range(20)]

    async def all_of_them() -> list[tuple[int, str]]:
        return await asyncio.gather(*(client.send(body_of(wheel)) for wheel in wheels))

    answers = asyncio.run(all_of_them())
    assert {status for status, _ in answers} == {200}
    assert sum("is published" in text for _, text in answers) == 5
    assert client.names == sorted({wheel.name for wheel in wheels})


# the form, whatever comes


async def chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


def parsed(body: bytes, folder: Path, size: int) -> Form | Refused:
    path = folder / "content"
    path.unlink(missing_ok=True)
    try:
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        return asyncio.run(read_form(kind, chunks(body, size), path, max_bytes=100_000))
    except Refused as refused:
        return refused


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(content=st.binary(max_size=5000) | st.just(f"\r\n--{BOUNDARY}x\r\n--".encode()), size=st.integers(1, 600))
def test_any_content_arrives_as_it_was_sent(tmp_path: Path, content: bytes, size: int) -> None:
    if f"\r\n--{BOUNDARY}".encode() in content:
        content = content.replace(f"--{BOUNDARY}".encode(), b"")
    form = parsed(multipart([("name", "a")], "x.whl", content), tmp_path, size)
    assert isinstance(form, Form)
    assert (tmp_path / "content").read_bytes() == content
    assert form == Form(fields={"name": "a"}, filename="x.whl", sha256=hashlib.sha256(content).hexdigest())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(data=st.data())
def test_a_mangled_form_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    body = bytearray(multipart([("name", "a"), (":action", "file_upload")], "x.whl", b"content"))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
        body += b"" if body else b"-"
    result = parsed(bytes(body), tmp_path, data.draw(st.integers(1, 300)))
    assert isinstance(result, Form) or result.status in {400, 413}
