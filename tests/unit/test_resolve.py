from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.pylock import Pylock

from wheelhouse_builder.artifact import Sdist, SourceTree, Wheel
from wheelhouse_builder.errors import ResolveError
from wheelhouse_builder.requirements import FormatControl, RequirementSet, read_requirements
from wheelhouse_builder.resolve import (
    Lock,
    Selection,
    enforce_hashes,
    index_environment,
    index_urls,
    read_lock,
    select,
    write_lock,
)
from wheelhouse_builder.target import Target

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Target.parse("cp312-musllinux_1_2_aarch64")
ANY = FormatControl()


def digest(letter: str) -> str:
    return letter * 64


def file(name: str, letter: str) -> str:
    return f'{{ url = "https://host/files/{name}", hashes = {{ sha256 = "{digest(letter)}" }} }}'


SDIST = f"sdist = {file('cffi-2.1.1.tar.gz', 'a')}"
MUSL = file("cffi-2.1.1-cp312-cp312-musllinux_1_2_aarch64.whl", "b")
OLD_MUSL = file("cffi-2.1.1-cp312-cp312-musllinux_1_1_aarch64.whl", "c")
GLIBC = file("cffi-2.1.1-cp312-cp312-manylinux_2_28_aarch64.whl", "d")
LINUX = file("cffi-2.1.1-cp312-cp312-linux_aarch64.whl", "e")
PURE = file("cffi-2.1.1-py3-none-any.whl", "f")


def lock(*packages: str) -> Lock:
    """A lock with packages that are called cffi unless they say otherwise."""
    cffi = 'name = "cffi"\nversion = "2.1.1"\n'
    blocks = ["[[packages]]\n" + (text if text.startswith("name =") else cffi + text) for text in packages]
    text = 'lock-version = "1.0"\ncreated-by = "test"\n' + "\n".join(blocks)
    return Lock(target=TARGET, pylock=Pylock.from_dict(tomllib.loads(text)))


def chosen(*lines: str, control: FormatControl = ANY) -> Selection:
    (selection,) = select(lock("\n".join(lines)), control)
    return selection


def wheels(*files: str) -> str:
    return f"wheels = [{', '.join(files)}]"


@pytest.mark.parametrize(
    ("lines", "filename"),
    [
        ([SDIST, wheels(OLD_MUSL, MUSL, PURE)], "cffi-2.1.1-cp312-cp312-musllinux_1_2_aarch64.whl"),
        ([SDIST, wheels(PURE, OLD_MUSL)], "cffi-2.1.1-cp312-cp312-musllinux_1_1_aarch64.whl"),
        ([SDIST, wheels(PURE)], "cffi-2.1.1-py3-none-any.whl"),
        ([SDIST, wheels(GLIBC)], "cffi-2.1.1.tar.gz"),
        ([SDIST, wheels(LINUX)], "cffi-2.1.1.tar.gz"),  # pip would take it; nothing says which libc it is for
        ([SDIST], "cffi-2.1.1.tar.gz"),
    ],
)
def test_the_best_wheel_that_fits_else_the_sdist(lines: list[str], filename: str) -> None:
    choice = chosen(*lines).choice
    assert isinstance(choice, Wheel if filename.endswith(".whl") else Sdist)
    assert choice.filename == filename
    assert choice.url == f"https://host/files/{filename}"


def test_no_binary_builds_though_a_wheel_fits() -> None:
    selection = chosen(SDIST, wheels(MUSL), control=FormatControl.parse(no_binary=["cffi"]))
    assert isinstance(selection.choice, Sdist)
    assert "--no-binary" in selection.reason


def test_only_binary_takes_the_wheel() -> None:
    assert isinstance(chosen(SDIST, wheels(MUSL), control=FormatControl.parse(only_binary=[":all:"])).choice, Wheel)


@pytest.mark.parametrize(
    ("lines", "control", "reasons"),
    [
        ([wheels(PURE)], FormatControl.parse(no_binary=[":all:"]), ["--no-binary", "no sdist"]),
        ([SDIST], FormatControl.parse(only_binary=["cffi"]), ["--only-binary", "no wheel"]),
        ([SDIST, wheels(GLIBC)], FormatControl.parse(only_binary=["cffi"]), ["manylinux_2_28", "--only-binary"]),
        ([wheels(GLIBC, LINUX)], ANY, [str(TARGET), "manylinux_2_28_aarch64", "linux_aarch64", "no sdist"]),
        ([SDIST, 'requires-python = ">=3.13"'], ANY, ["Python >=3.13"]),
        (['vcs = { type = "git", url = "https://host/x.git", commit-id = "1" }'], ANY, ["version control"]),
        ([f"archive = {file('cffi-2.1.1.exe', 'a')}"], ANY, ["cffi-2.1.1.exe"]),
        ([f"archive = {GLIBC}"], ANY, ["does not fit", "sdist"]),
        ([f"archive = {file('x.whl', 'a')}"], ANY, ["x.whl"]),
        ([f"archive = {SDIST[8:-2]}, subdirectory = 'x' }}"], ANY, ["subdirectory"]),
        (['sdist = { url = "https://host/cffi-2.1.1.tar.gz", hashes = { sha512 = "1" } }'], ANY, ["no sha256"]),
        (['directory = { path = "/not/there" }'], ANY, ["/not/there"]),
    ],
)
def test_what_cannot_be_had_says_why(lines: list[str], control: FormatControl, reasons: list[str]) -> None:
    selection = chosen(*lines, control=control)
    assert selection.choice is None
    assert all(reason in selection.reason for reason in reasons), selection.reason


def test_one_impossible_package_does_not_hide_the_others() -> None:
    both = lock(wheels(GLIBC), f'name = "foo"\nversion = "1.0"\nsdist = {file("foo-1.0.zip", "a")}')
    assert [(s.name, s.choice is None) for s in select(both, ANY)] == [("cffi", True), ("foo", False)]


def test_a_package_for_other_targets_is_left_out() -> None:
    assert not list(select(lock("marker = \"sys_platform == 'win32'\"\n" + SDIST), ANY))
    assert list(select(lock("marker = \"platform_machine == 'aarch64'\"\n" + SDIST), ANY))


def test_direct_archives_and_directories(tmp_path: Path) -> None:
    archive = chosen('archive = { path = "/my dir/main.zip", hashes = { sha256 = "1" } }').choice
    assert isinstance(archive, Sdist)
    assert (archive.url, archive.filename) == ("file:///my%20dir/main.zip", "cffi-2.1.1.zip")
    wheel = chosen(f"archive = {MUSL}", control=FormatControl.parse(no_binary=[":all:"])).choice
    assert isinstance(wheel, Wheel)  # pip's --no-binary does not speak of direct URLs either
    (tmp_path / "pyproject.toml").touch()
    tree = chosen(f'directory = {{ path = "{tmp_path}", editable = true }}').choice
    assert isinstance(tree, SourceTree)
    assert tree.path == str(tmp_path)
    assert len(tree.digest) == 64


# Hashes


def ask(tmp_path: Path, text: str) -> RequirementSet:
    (tmp_path / "requirements.txt").write_text(text)
    return read_requirements([tmp_path / "requirements.txt"])


def test_only_files_with_a_given_hash_are_left(tmp_path: Path) -> None:
    found = enforce_hashes(
        lock(f"{SDIST}\n{wheels(MUSL, OLD_MUSL)}"),
        ask(tmp_path, f"CFFI --hash=sha256:{digest('a')} --hash=sha256:{digest('c')}"),
    )
    (package,) = found.pylock.packages
    assert package.sdist is not None
    assert [wheel.hashes["sha256"] for wheel in package.wheels or ()] == [digest("c")]
    assert Pylock.from_dict(tomllib.loads(found.text)) == found.pylock


def test_a_wrong_hash_names_what_was_given_and_offered(tmp_path: Path) -> None:
    with pytest.raises(ResolveError) as error:
        enforce_hashes(lock(f"{SDIST}\n{wheels(MUSL)}"), ask(tmp_path, f"cffi --hash=sha256:{digest('9')}"))
    for part in ("cffi 2.1.1", digest("9"), digest("a"), digest("b"), "cffi-2.1.1.tar.gz", "requirements.txt, line 1"):
        assert part in error.value.message


@pytest.mark.parametrize("text", ["cffi\n--require-hashes", f"foo --hash=sha256:{digest('9')}\ncffi"])
def test_a_package_without_a_hash_is_refused_where_all_must_have_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(ResolveError, match=r"cffi 2\.1\.1 has no --hash"):
        enforce_hashes(lock(SDIST), ask(tmp_path, text))


def test_direct_archives_are_checked_and_source_trees_cannot_be(tmp_path: Path) -> None:
    direct = lock(f"archive = {SDIST[8:]}")
    good = ask(tmp_path, f"https://host/files/cffi-2.1.1.tar.gz --hash=sha256:{digest('a')}")
    assert enforce_hashes(direct, good) == direct
    with pytest.raises(ResolveError, match="no file for"):
        enforce_hashes(direct, ask(tmp_path, f"cffi --hash=sha256:{digest('b')}"))
    with pytest.raises(ResolveError, match="source tree"):
        enforce_hashes(lock('directory = { path = "/x" }'), ask(tmp_path, f"cffi --hash=sha256:{digest('b')}"))


def test_without_hashes_nothing_changes(tmp_path: Path) -> None:
    assert enforce_hashes(lock(SDIST), ask(tmp_path, "cffi")) == lock(SDIST)


# Text


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    original = lock(
        "marker = \"python_version > '3'\"\n" + SDIST + "\n" + wheels(MUSL, PURE),
        'name = "foo"\nsdist = { url = "https://host/foo-1.0.zip", size = 3, upload-time = 2025-01-02T03:04:05Z, '
        'hashes = { sha256 = "1" } }\nversion = "1.0"',
    )
    write_lock(original, tmp_path / "pylock.toml")
    assert read_lock(tmp_path / "pylock.toml", TARGET) == original
    assert read_lock(tmp_path / "pylock.toml", TARGET).text == original.text


def test_paths_of_a_lock_are_beside_it(tmp_path: Path) -> None:
    (tmp_path / "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "foo"\ndirectory = { path = "../foo" }\n'
    )
    (package,) = read_lock(tmp_path / "pylock.toml", TARGET).pylock.packages
    assert package.directory is not None
    assert package.directory.path == str(tmp_path.parent / "foo")


@pytest.mark.parametrize("text", ["lock-version = ", 'lock-version = "1.0"', f"{lock(SDIST).text}\nwheels = []\n["])
def test_a_lock_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "pylock.toml").write_text(text)
    with pytest.raises(ResolveError, match="not usable"):
        read_lock(tmp_path / "pylock.toml", TARGET)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_in_a_lock(text: str) -> None:
    pylock = Pylock.from_dict({"lock-version": "1.0", "created-by": text, "packages": []})
    assert tomllib.loads(Lock(target=TARGET, pylock=pylock).text + "packages = []")["created-by"] == text


# Environment


def test_pips_index_settings_are_used_where_uv_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "UV_INSECURE_HOST",
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
        "UV_INDEX_URL",
        "UV_EXTRA_INDEX_URL",
        "PIP_INDEX_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:x@pip/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://a/simple https://b/simple")
    nothing = ask(tmp_path, "")
    assert index_urls(nothing) == ("https://me:x@pip/simple", "https://a/simple", "https://b/simple")
    monkeypatch.setenv("UV_INDEX", "mine=https://uv/simple")
    assert index_urls(nothing) == ("https://me:x@pip/simple", "https://uv/simple")
    monkeypatch.setenv("UV_FIND_LINKS", "/a")
    files = ask(
        tmp_path, "-i https://0\n-i https://file/simple\n--extra-index-url https://c\n-f https://b\n--trusted-host h"
    )
    assert index_urls(files) == ("https://file/simple", "https://uv/simple", "https://c")
    assert index_environment(files)["UV_FIND_LINKS"] == "/a,https://b"
    assert index_environment(files)["UV_INSECURE_HOST"] == "h"
