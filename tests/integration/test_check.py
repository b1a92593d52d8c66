"""`whb check` on our own index: as a folder, through real web servers, through `whb serve`; and on what is no index."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.houses import add, publish_all
from tests.integration.serve import whb_serve
from tests.integration.web import free_port, running, serving
from wheelhouse_builder.wheelhouse.store import Wheelhouse
from wheelhouse_builder.wheelhouse.yanking import yank

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Whb

pytestmark = pytest.mark.integration

# What our index does not have, so that nothing can be wrong with it.
_OPTIONAL = (
    *("html.files.gpg-sig", "html.files.provenance", "html.status", "json.files.gpg-sig", "json.files.provenance"),
    *("json.status", "files.signature", "files.provenance", "folder.", "html.files.upload-time"),
)


@pytest.fixture(scope="module")
def wheelhouse() -> Iterator[Path]:
    """A published wheelhouse of three projects, where the web servers' own users can read it."""
    with tempfile.TemporaryDirectory(prefix="whb-check-") as name:
        Path(name).chmod(0o755)
        house = Wheelhouse(Path(name) / "wheelhouse")
        for project, version in (("demo", "1.0"), ("demo", "1.1"), ("other-thing", "2.0"), ("third", "3.0")):
            add(house, project, version)
        publish_all(house)
        with house.lock():
            yank(house, canonicalize_name("other-thing"), Version("2.0"), '"<b>crashes</b>" & burns')
        yield house.root


def checked(whb: Whb, index: str, cwd: Path, *options: str, code: int = 0) -> dict[str, Any]:
    """The document that `whb check --json` prints."""
    done = whb("check", index, "--json", *options, cwd=cwd)
    assert done.returncode == code, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def failures(document: dict[str, Any], *levels: str) -> dict[str, Any]:
    return {
        check["id"]: check["findings"]
        for check in document["checks"]
        if check["result"] == "failed" and check["level"] in (levels or ("MUST", "SHOULD", "GOOD"))
    }


def passed(document: dict[str, Any]) -> set[str]:
    return {check["id"].partition(".")[0] for check in document["checks"] if check["result"] == "passed"}


@contextmanager
def configured(kind: str, whb: Whb, wheelhouse: Path) -> Iterator[str]:
    """A web server as `whb client-config` sets it up."""
    with tempfile.TemporaryDirectory(prefix=f"whb-{kind}-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        url = f"http://127.0.0.1:{port}/"
        done = whb.ok("client-config", kind, "--url", url, "--wheelhouse", str(wheelhouse), cwd=folder)
        with serving(kind, done.stdout, folder, port):
            yield f"{url}simple/"


def test_the_wheelhouse_as_a_folder(whb: Whb, wheelhouse: Path, tmp_path: Path) -> None:
    for index in (str(wheelhouse), wheelhouse.as_uri(), str(wheelhouse / "simple")):
        document = checked(whb, index, tmp_path, "--all", "--min-level", "good")
        assert passed(document) >= {"html", "json", "both", "files", "folder"}
        assert document["complete"]
        assert document["projects"] == 3


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("nginx", set()), ("caddy", set()), ("apache", {"files.ranges.beyond"})],  # Apache tells no size with 416
)
def test_web_servers_as_client_config_sets_them_up(
    kind: str, expected: set[str], whb: Whb, wheelhouse: Path, tmp_path: Path
) -> None:
    with configured(kind, whb, wheelhouse) as url:
        document = checked(whb, url, tmp_path)
    assert passed(document) == {"html", "json", "both", "negotiation", "http", "files"}
    assert set(failures(document)) == expected


def test_the_web_server_of_python(whb: Whb, wheelhouse: Path, tmp_path: Path) -> None:
    port = free_port()
    argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(wheelhouse)]
    with running(argv, port, tmp_path / "log"):
        document = checked(whb, f"http://127.0.0.1:{port}/simple", tmp_path)
    assert set(failures(document, "MUST", "SHOULD")) == {"http.etag"}  # it knows Last-Modified only
    assert {"both.json", "files.ranges", "http.encoding.gzip"} <= set(failures(document, "GOOD"))


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
def test_whb_serve(server: str, whb: Whb, wheelhouse: Path, tmp_path: Path) -> None:
    with whb_serve(wheelhouse, tmp_path / "server", "--server", server) as served:
        document = checked(whb, f"{served.url}simple/", tmp_path, "--min-level", "good")
    assert failures(document) == {}
    silent = {check["id"] for check in document["checks"] if check["result"] == "not applicable"}
    assert {name for name in silent if not name.startswith(_OPTIONAL)} == set()


def test_what_is_wrong_is_shown(whb: Whb, wheelhouse: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(wheelhouse, tree, symlinks=True)
    wheel = tree / "demo-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes() + b"x")
    done = whb("check", "tree", cwd=tmp_path)
    assert done.returncode == 1
    assert "MUST files.hash: 1 of 4 failed" in done.stdout
    assert "the page tells" in done.stdout
    assert "https://packaging.python.org/" in done.stdout
    assert "folder.wheelhouse" in done.stdout
    document = checked(whb, "tree", tmp_path, code=1)
    assert set(failures(document, "MUST")) == {"files.hash", "files.size"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("nowhere",), 2, "no folder"),
        (("ftp://x/simple/",), 2, "no URL of an index"),
        ((".",), 2, "holds no index"),
        (("http://127.0.0.1:1/simple/",), 4, "cannot be read"),
        ((".", "--projects", "0"), 2, "--projects"),
    ],
)
def test_what_is_no_index(arguments: tuple[str, ...], code: int, told: str, whb: Whb, tmp_path: Path) -> None:
    done = whb("check", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert told in done.stderr
    assert "hint:" in done.stderr


def test_a_project_by_name(whb: Whb, wheelhouse: Path, tmp_path: Path) -> None:
    document = checked(whb, str(wheelhouse), tmp_path, "--project", "Other.Thing", "--files", "0")
    assert (document["projects"], document["files"], document["complete"]) == (1, 0, False)
    assert whb("check", str(wheelhouse), "--project", "nothing", cwd=tmp_path).returncode == 2


def test_an_index_that_wants_a_password(whb: Whb, wheelhouse: Path, tmp_path: Path) -> None:
    made = json.loads(whb.ok("token", "ci", "--json", cwd=tmp_path).stdout)
    entry = "".join(f"{key} = {json.dumps(value)}\n" for key, value in made["entry"].items())
    (tmp_path / "tokens.toml").write_text(f"[[token]]\n{entry}", encoding="utf-8")
    with whb_serve(wheelhouse, tmp_path / "server", "--tokens", str(tmp_path / "tokens.toml")) as served:
        url = f"{served.url}simple/"
        refused = whb("check", url, cwd=tmp_path, NETRC=str(tmp_path / "none"))
        assert refused.returncode == 4
        assert "netrc" in refused.stderr
        netrc = tmp_path / "netrc"
        netrc.write_text(f"machine 127.0.0.1 login __token__ password {made['token']}\n", encoding="utf-8")
        netrc.chmod(0o600)
        done = whb.ok("check", url, "--json", "--min-level", "good", cwd=tmp_path, NETRC=str(netrc))
        with_url = url.replace("://", f"://__token__:{made['token']}@")
        shown = whb.ok("check", with_url, "--min-level", "good", cwd=tmp_path)
    assert made["token"] not in done.stdout + done.stderr + shown.stdout + shown.stderr
