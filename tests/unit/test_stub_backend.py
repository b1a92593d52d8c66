"""The backend of stubs: which wheel it takes, what it says when there is none, and that it takes nothing else."""

from __future__ import annotations

import ast
import email.message
import hashlib
import io
import itertools
import json
import struct
import subprocess
import sys
import sysconfig
import time
import urllib.request
import urllib.response
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging import _elffile, _musllinux, tags
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from wheelhouse_builder import target
from wheelhouse_builder.stub import stub_backend
from wheelhouse_builder.stub.stub_backend import (
    Answer,
    Folder,
    Index,
    Interpreter,
    Page,
    Stub,
    StubError,
    Wheel,
    choose,
    fetch,
    open_wheelhouse,
    own_interpreter,
    read_page,
    version_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(stub_backend.__file__)
STUB = Stub("demo", "1.0", "/srv/wheelhouse")
MUSL = Interpreter((3, 12), ("cp312",), ("x86_64",), (1, 2))
GLIBC = MUSL._replace(musl=None)
CONTENT = b"a wheel"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
ARM = "musllinux_1_2_aarch64"
AMD = "musllinux_1_2_x86_64"
INDEX = "https://wheels.example/simple/"


def file(filename: str, **more: object) -> dict[str, object]:
    """A wheel as a JSON page tells it."""
    url = f"../../{quote(filename)}"
    return {"filename": filename, "url": url, "hashes": {"sha256": DIGEST}, "size": len(CONTENT), **more}


def page(*files: dict[str, object], **more: object) -> bytes:
    return json.dumps({"meta": {"api-version": "1.4"}, "name": "demo", "files": files, **more}).encode()


def read(content: bytes, stub: Stub = STUB) -> Page:
    return read_page(stub, Answer(content, INDEX + "demo/"))


def told(*filenames: str) -> Page:
    return read(page(*map(file, filenames)))


def refusal(found: Page, interpreter: Interpreter = MUSL, stub: Stub = STUB) -> StubError:
    with pytest.raises(StubError) as caught:
        choose(stub, found, interpreter)
    return caught.value


# the file


def test_it_imports_the_standard_library_alone() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_it_knows_what_whb_builds_for() -> None:
    assert stub_backend._OLDEST_PYTHON == target.OLDEST_PYTHON
    assert tuple(target.Arch) == stub_backend._BUILT_ARCHS


def test_it_has_the_hooks_that_it_says() -> None:
    """Without the prepare hook front ends take the metadata out of the wheel, and the wheel is had once."""
    assert not hasattr(stub_backend, "prepare_metadata_for_build_wheel")
    assert not hasattr(stub_backend, "build_editable")
    with pytest.raises(stub_backend.UnsupportedOperation, match="no source"):
        stub_backend.build_sdist("anywhere")


# tags


@st.composite
def interpreters(draw: st.DrawFn) -> Interpreter:
    minor = draw(st.integers(9, 16))
    abi = f"cp3{minor}" + draw(st.sampled_from(("", "t"))) * (minor >= 13)
    abis = draw(st.sampled_from(((abi,), (f"{abi}d", abi), ())))
    archs = draw(st.sampled_from((("x86_64",), ("aarch64",), ("i686",), ("armv8l", "armv7l"), ("riscv64",))))
    return Interpreter((3, minor), abis, archs, draw(st.sampled_from((None, (1, 0), (1, 1), (1, 2), (1, 5), (2, 0)))))


@given(interpreters())
def test_tags_are_those_of_packaging_in_its_order(interpreter: Interpreter) -> None:
    own = f"cp3{interpreter.python[1]}" if interpreter.abis else None
    expected: Iterator[tags.Tag] = iter(())
    if interpreter.abis:
        expected = tags.cpython_tags(interpreter.python, interpreter.abis, interpreter.platforms)
    expected = itertools.chain(expected, tags.compatible_tags(interpreter.python, own, interpreter.platforms))
    assert interpreter.tags == list(map(str, expected))


def test_the_tags_of_this_very_python() -> None:
    expected = [str(tag) for tag in tags.sys_tags() if not tag.platform.startswith(("linux_", "manylinux"))]
    assert own_interpreter().tags == expected


@pytest.mark.parametrize("platform", ["linux-x86_64", "linux-aarch64", "linux-armv7l", "linux-i686", "linux-riscv64"])
@pytest.mark.parametrize("is_32bit", [False, True])
@pytest.mark.parametrize("musl", [None, (1, 2)])
def test_the_platforms_of_any_linux(
    platform: str, is_32bit: bool, musl: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = musl and _musllinux._MuslVersion(*musl)
    monkeypatch.setattr(sysconfig, "get_platform", lambda: platform)
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1 if is_32bit else 2**63 - 1)
    monkeypatch.setattr(stub_backend, "musl_version", lambda executable: musl)
    monkeypatch.setattr(_musllinux, "_get_musl_version", lambda executable: found)
    expected = [name for name in tags._linux_platforms(is_32bit=is_32bit) if name.startswith("musllinux")]
    assert own_interpreter().platforms == expected


def test_what_is_not_linux_takes_pure_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "macosx-11.0-arm64")
    interpreter = own_interpreter()
    assert {tag.rpartition("-")[2] for tag in interpreter.tags} == {"any"}
    assert interpreter.target.endswith("-macosx-11.0-arm64 (not on musl)")


@pytest.mark.parametrize("disabled", [0, 1, None])
@pytest.mark.parametrize("debug", [0, 1])
def test_the_abi_of_this_python(disabled: int | None, debug: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"Py_GIL_DISABLED": disabled, "Py_DEBUG": debug}
    monkeypatch.setattr(sysconfig, "get_config_var", told.get)
    monkeypatch.setattr(sys, "version_info", (3, 13, 1))
    assert list(own_interpreter().abis) == list(tags._cpython_abis((3, 13)))


@st.composite
def programs(draw: st.DrawFn) -> bytes:
    """ELF files that name a loader, or not, and files that are none."""
    wide, end = draw(st.booleans()), draw(st.sampled_from("<>"))
    loader = draw(st.sampled_from((b"", b"/lib/ld-musl-x86_64.so.1\0", b"/lib64/ld-linux-x86-64.so.2\0")))
    kinds = draw(st.lists(st.sampled_from((1, 2, 6)), max_size=3)) + [3] * bool(loader)
    header, segment = ("HHIQQQIHHHHHH", "IIQQQQQQ") if wide else ("HHIIIIIHHHHHH", "IIIIIIII")
    start = 16 + struct.calcsize(end + header)
    size = struct.calcsize(end + segment)
    place = start + size * len(kinds)
    ident = b"\x7fELF" + bytes((1 + wide, 1 if end == "<" else 2, 1)) + bytes(9)
    content = ident + struct.pack(end + header, 3, 62, 1, 0, start, 0, 0, start, size, len(kinds), 0, 0, 0)
    for kind in kinds:
        fields = (place, 0, 0, len(loader), len(loader), 1)
        content += (
            struct.pack(end + segment, kind, 4, *fields)
            if wide
            else struct.pack(end + segment, kind, place, 0, 0, len(loader), len(loader), 4, 1)
        )
    return (content + loader)[: draw(st.sampled_from((None, None, None, 3, 17, 60, 100)))]


@given(programs())
def test_the_loader_of_a_program_is_what_packaging_finds(content: bytes) -> None:
    try:
        expected = _elffile.ELFFile(io.BytesIO(content)).interpreter or ""
    except (_elffile.ELFInvalid, struct.error):
        expected = ""
    try:
        found = stub_backend._loader_of(io.BytesIO(content))
    except struct.error:
        found = ""
    assert found == expected


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("musl libc (x86_64)\nVersion 1.2.5\nDynamic Program Loader\nUsage: x\n", (1, 2)),
        ("musl libc (aarch64)\n\nVersion 1.10_git\n", (1, 10)),
        ("\nmusl libc\nVersion 2.0\n", (2, 0)),
        ("musl libc (x86_64)\n", None),
        ("ld.so (GNU libc) stable release\nVersion 2.36\n", None),
        ("", None),
    ],
)
def test_the_version_of_musl_is_what_packaging_reads(
    said: str, version: tuple[int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_bytes(_program(b"/lib/ld-musl-x86_64.so.1\0"))
    asked: list[list[str]] = []

    def run(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(argv)
        return subprocess.CompletedProcess(argv, 1, "", said)

    monkeypatch.setattr(subprocess, "run", run)
    assert stub_backend.musl_version(str(program)) == version == _musllinux._get_musl_version(str(program))
    assert asked == [["/lib/ld-musl-x86_64.so.1"]] * 2


def _program(loader: bytes) -> bytes:
    header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader), len(loader), 1) + loader


@pytest.mark.parametrize("executable", ["", "/nowhere/python", None])
def test_a_python_without_a_program_is_not_on_musl(executable: Any) -> None:
    assert stub_backend.musl_version(executable) is None


def test_a_program_of_glibc_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "python").write_bytes(_program(b"/lib64/ld-linux-x86-64.so.2\0"))
    assert stub_backend.musl_version(str(tmp_path / "python")) is None


# names and versions


_SUFFIXES = (
    "",
    "a1",
    ".alpha1",
    "_a_1",
    "rc0",
    "rc",
    "c",
    ".post1",
    ".rev1",
    "-r1",
    ".dev0",
    ".dev",
    "a1.post2.dev3",
    "b2",
)
_LOCALS = ("", "+1", "+01", "+musl.1", "+MUSL_1", "+musl1")
VERSIONS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(("", "0!", "1!", "01!")),
    st.sampled_from(("1", "1.0", "1.00", "01", "1.0.0", "1.1", "1.10", "10", "0", "0.0", "v1")),
    st.sampled_from(_SUFFIXES),
    st.sampled_from(_LOCALS),
).filter(lambda text: "!v" not in text)


@given(VERSIONS, VERSIONS)
def test_versions_are_equal_when_packaging_says_so(one: str, other: str) -> None:
    assert (version_key(one) == version_key(other)) is (Version(one) == Version(other))


@pytest.mark.parametrize(
    "filename",
    [
        "demo-1.0-py3-none-any.whl",
        "Demo-1.0.0-1-cp312-cp312-musllinux_1_2_x86_64.whl",
        "demo-1-2abc-cp312.cp313-abi3.none-musllinux_1_1_x86_64.musllinux_1_2_x86_64.whl",
        "de.mo-1.0-py3-none-any.whl",
    ],
)
def test_names_are_read_as_packaging_does(filename: str) -> None:
    name, version, build, found = parse_wheel_filename(filename)
    stub = Stub(name, str(version), "/w")
    (wheel,) = read(page(file(filename)), stub).wheels
    assert (wheel.build, set(wheel.tags)) == (build, set(map(str, found)))


@pytest.mark.parametrize(
    "filename",
    [
        "../demo-1.0-py3-none-any.whl",
        "demo-1.0-1/../b-py3-none-any.whl",
        "demo-1.0-py3-none-any.whl\n",
        "demo-1.0.tar.gz",
        "demo-1.0-py3-none-any.whl.metadata",
        "demo-1.0-none-any.whl",
        "demo-1.0-x1-py3-none-any.whl",
        "demö-1.0-py3-none-any.whl",
        "other-1.0-py3-none-any.whl",
        "demo-1.1-py3-none-any.whl",
        "demo-1.0-{0}-{0}-{0}.whl".format("x." * 999 + "any"),
    ],
)
def test_what_is_no_wheel_of_the_version_is_none(filename: str) -> None:
    assert told(filename).wheels == ()


# the choice


NAMES = st.builds(
    "demo-1.0{}-{}.whl".format,
    st.sampled_from(("", "-1", "-2", "-2b", "-10")),
    st.sampled_from(
        [
            "py3-none-any",
            "py2.py3-none-any",
            "py312-none-any",
            "cp312-none-any",
            f"py3-none-{AMD}",
            f"py3-none-{ARM}",
            f"cp312-cp312-{AMD}",
            "cp312-cp312-musllinux_1_1_x86_64",
            "cp312-cp312-musllinux_1_3_x86_64",
            "cp312-cp312-musllinux_1_1_x86_64.musllinux_1_2_x86_64",
            f"cp312-cp312-{ARM}",
            f"cp313-cp313-{AMD}",
            f"cp313-cp313t-{AMD}",
            f"cp38-abi3-{AMD}",
            f"cp312-abi3-{AMD}",
            f"cp313-abi3-{AMD}",
            f"cp315-abi3t-{AMD}",
            "cp312-cp312-manylinux_2_17_x86_64",
            "cp312-cp312-linux_x86_64",
        ]
    ),
)


@given(st.lists(NAMES, unique=True), interpreters())
def test_the_choice_is_the_best_tag_and_then_the_highest_build(filenames: list[str], interpreter: Interpreter) -> None:
    found = told(*filenames)
    ranks = {tag: number for number, tag in enumerate(interpreter.tags)}
    ordered = []
    for filename in filenames:
        _, _, build, its_tags = parse_wheel_filename(filename)
        fitting = [ranks[str(tag)] for tag in its_tags if str(tag) in ranks]
        ordered += [(-min(fitting), build, filename)] if fitting else []
    if ordered:
        chosen = choose(STUB, found, interpreter)
        best = max(rank_and_build for *rank_and_build, _ in ordered)
        assert chosen.filename in {filename for *rank_and_build, filename in ordered if rank_and_build == best}
    else:
        message = refusal(found, interpreter).message
        assert all(f"  {filename}: " in message for filename in filenames)


def test_a_yanked_wheel_is_taken_only_if_all_are() -> None:
    name, better = "demo-1.0-py3-none-any.whl", f"demo-1.0-cp312-cp312-{AMD}.whl"
    content = page(file(name), file(better, yanked="bad"))
    assert choose(STUB, read(content), MUSL).filename == name
    chosen = choose(STUB, read(page(file(better, yanked=True))), MUSL)
    assert (chosen.filename, chosen.yanked) == (better, True)
    assert not read(page(file(better, yanked=False))).wheels[0].yanked


# what is said


@pytest.mark.parametrize(
    ("tag", "interpreter", "reason"),
    [
        (f"cp311-cp311-{AMD}", MUSL, "for cp311-cp311, and this Python is cp312"),
        (f"cp313-abi3-{AMD}", MUSL, "for cp313-abi3, and this Python is cp312"),
        ("py2-none-any", MUSL, "for py2-none, and this Python is cp312"),
        ("py2-none-any", GLIBC, "for py2-none, and this Python is cp312"),
        (
            f"cp313-cp313-{AMD}",
            MUSL._replace(python=(3, 13), abis=("cp313t",)),
            "for cp313-cp313, and this Python is cp313t",
        ),
        (f"cp312-cp312-{AMD}", MUSL._replace(abis=()), "for cp312-cp312, and this Python is py312"),
        (f"cp312-cp312-{ARM}", MUSL, "for aarch64, and this machine is x86_64"),
        (f"cp312-cp312-{ARM}.{AMD}", MUSL._replace(archs=("i686",)), "for aarch64, x86_64, and this machine is i686"),
        ("cp312-cp312-musllinux_1_3_x86_64", MUSL, "for musl 1.3, and this one is 1.2"),
        (f"cp312-cp312-{AMD}", GLIBC, "for musl, and this Python does not run on it"),
        ("cp312-cp312-manylinux_2_17_x86_64", MUSL, "for manylinux_2_17_x86_64"),
        ("cp312-cp312-win_amd64", GLIBC, "for win_amd64"),
    ],
)
def test_each_wheel_that_does_not_fit_is_told_with_its_reason(tag: str, interpreter: Interpreter, reason: str) -> None:
    message = refusal(told(f"demo-1.0-{tag}.whl"), interpreter).message
    assert message.splitlines()[1:] == [f"  demo-1.0-{tag}.whl: {reason}"]


def test_the_missing_target_and_the_command_that_makes_it() -> None:
    error = refusal(told(f"demo-1.0-cp312-cp312-{ARM}.whl"))
    first = "/srv/wheelhouse has no wheel of demo 1.0 for cp312-musllinux_1_2_x86_64"
    assert error.message.splitlines()[0] == first
    assert error.hint == "where the wheelhouse is, run: whb build -P demo==1.0 --python 3.12 --arch x86_64"


def test_the_command_is_fit_for_a_shell() -> None:
    error = refusal(Page(), stub=STUB._replace(version="1!2.0+x"))
    assert "whb build -P 'demo==1!2.0+x' --python" in error.hint


@pytest.mark.parametrize(
    "interpreter",
    [
        MUSL._replace(python=(3, 10), abis=("cp310",)),
        MUSL._replace(abis=()),
        MUSL._replace(python=(3, 13), abis=("cp313t",)),
        MUSL._replace(archs=("i686",)),
    ],
)
def test_no_command_is_named_that_whb_would_refuse(interpreter: Interpreter) -> None:
    assert refusal(Page(), interpreter).hint == (
        "whb builds for CPython 3.11 and newer with a GIL, on x86_64 and aarch64"
    )


def test_on_glibc_whb_does_not_help() -> None:
    error = refusal(Page(), GLIBC)
    assert error.message.startswith("/srv/wheelhouse has no wheel of demo 1.0 for cp312-x86_64 (not on musl)")
    assert error.hint == "whb builds for musl (Alpine) alone; `--only-binary demo` keeps pip and uv from the stub"


def test_the_other_versions_are_told_in_order() -> None:
    found = told("demo-1.10-py3-none-any.whl", "demo-1.2-py3-none-any.whl", "Demo-1.2-1-py3-none-any.whl")
    assert refusal(found).message.splitlines()[1:] == ["  of demo it has 1.2, 1.10"]
    assert refusal(Page()).message.splitlines()[1:] == ["  of demo it has nothing"]


def test_a_quarantine_is_told_on_one_line() -> None:
    found = read(page(**{"project-status": {"status": "quarantined", "reason": "malware\n  in it"}}))
    assert refusal(found).message.splitlines()[1:] == ["  it is quarantined: malware in it"]
    assert read(page(**{"project-status": {"status": "deprecated"}})).notice == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"files": {}}'.replace(b"{}", b"3"),
        page({"filename": 3}),
        page({"filename": "demo-1.0-py3-none-any.whl"}),
        page(file("demo-1.0-py3-none-any.whl", hashes={})),
        page(file("demo-1.0-py3-none-any.whl", size=None)),
        page(file("demo-1.0-py3-none-any.whl", size=float("inf"))),
        page(**{"project-status": "quarantined"}),
        b'{"files": [], "project-status": null}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_page_is_told(content: bytes) -> None:
    with pytest.raises(StubError, match=r"what /srv/wheelhouse tells of demo is no page of an index: ") as caught:
        read(content)
    assert "WHB_WHEELHOUSE" in caught.value.hint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(("demo-1.0-py3-none-any.whl", "http://[")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("filename", "url", "hashes", "sha256", "size", "files", "status")), inner)
    ),
    max_leaves=12,
)


@given(JSON, JSON)
def test_a_page_may_hold_anything(files: object, mark: object) -> None:
    content = json.dumps({"files": files, "project-status": mark}).encode()
    try:
        found = read(content)
    except StubError as error:
        assert error.hint  # noqa: PT017  # either way is right
    else:
        assert all(wheel.filename == "demo-1.0-py3-none-any.whl" for wheel in found.wheels)


# folders


def house(root: Path, content: bytes = CONTENT, name: str = "demo-1.0-py3-none-any.whl") -> Wheel:
    """A wheelhouse of one wheel in a folder."""
    (root / "simple" / "demo").mkdir(parents=True)
    (root / "simple" / "demo" / "index.v1_json").write_bytes(page(file(name)))
    (root / name).write_bytes(content)
    return read_page(STUB, Folder(root).page("demo")).wheels[0]


def test_a_wheel_is_copied_out_of_a_folder(tmp_path: Path) -> None:
    wheel = house(tmp_path / "w")
    fetch(Folder(tmp_path / "w"), wheel, tmp_path)
    assert (tmp_path / wheel.filename).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"another", b"a wheel and more", b"a", b""])
def test_a_wheel_that_is_not_what_the_page_tells_is_not_kept(content: bytes, tmp_path: Path) -> None:
    wheel = house(tmp_path / "w", content)
    with pytest.raises(StubError) as caught:
        fetch(Folder(tmp_path / "w"), wheel, tmp_path)
    assert caught.value.message.startswith(f"{wheel.filename} is not what its page tells: that has 7 bytes and")
    assert DIGEST in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_a_wheel_that_is_gone_is_told(tmp_path: Path) -> None:
    wheel = house(tmp_path / "w")
    (tmp_path / "w" / wheel.filename).unlink()
    with pytest.raises(StubError, match=rf"{wheel.filename} cannot be had: .*No such file"):
        fetch(Folder(tmp_path / "w"), wheel, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_a_project_that_a_folder_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "simple").mkdir()
    assert Folder(tmp_path).page("demo") is None


def test_a_folder_that_is_no_wheelhouse_is_told(tmp_path: Path) -> None:
    with pytest.raises(StubError, match=f"there is no wheelhouse in {tmp_path}"):
        Folder(tmp_path).page("demo")


def test_a_page_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "simple" / "demo" / "index.v1_json").mkdir(parents=True)
    with pytest.raises(StubError, match=r"cannot be read: .*Is a directory"):
        Folder(tmp_path).page("demo")


@pytest.mark.parametrize("where", ["wheelhouse", "./w", "", "s3://bucket/w", "http://[::1/simple/", "~/w"])
def test_a_wheelhouse_that_is_nowhere_is_refused(where: str) -> None:
    with pytest.raises(StubError, match="neither an absolute path nor an http"):
        open_wheelhouse(where)


def test_a_folder_may_be_given_as_a_url(tmp_path: Path) -> None:
    house(tmp_path / "a b")
    source = open_wheelhouse((tmp_path / "a b").as_uri())
    assert isinstance(source, Folder)
    assert source.page("demo")


# the environment


def test_the_environment_beats_what_the_stub_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stub.json").write_text(json.dumps(STUB._asdict()), encoding="utf-8")
    monkeypatch.delenv("WHB_WHEELHOUSE", raising=False)
    assert stub_backend.read_stub(tmp_path / "stub.json") == STUB
    monkeypatch.setenv("WHB_WHEELHOUSE", "")
    assert stub_backend.read_stub(tmp_path / "stub.json") == STUB
    monkeypatch.setenv("WHB_WHEELHOUSE", "/other")
    assert stub_backend.read_stub(tmp_path / "stub.json").wheelhouse == "/other"


@pytest.fixture
def stub_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, and a stub of the wheelhouse `w` in it as the backend that runs."""
    stub = STUB._replace(wheelhouse=str(tmp_path / "w"))
    (tmp_path / "stub.json").write_text(json.dumps(stub._asdict()), encoding="utf-8")
    monkeypatch.setattr(stub_backend, "__file__", str(tmp_path / "stub_backend.py"))
    monkeypatch.delenv("WHB_WHEELHOUSE", raising=False)
    return tmp_path


def test_the_hook_puts_the_wheel_there_and_says_so(stub_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    house(stub_in / "w")
    (stub_in / "out").mkdir()
    assert stub_backend.build_wheel(str(stub_in / "out")) == "demo-1.0-py3-none-any.whl"
    assert (stub_in / "out" / "demo-1.0-py3-none-any.whl").read_bytes() == CONTENT
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"whb: demo-1.0-py3-none-any.whl of {stub_in}/w\n")


def test_the_hook_says_that_a_wheel_is_yanked(stub_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    house(stub_in / "w")
    name = "demo-1.0-py3-none-any.whl"
    (stub_in / "w" / "simple" / "demo" / "index.v1_json").write_bytes(page(file(name, yanked="bad")))
    stub_backend.build_wheel(str(stub_in))
    assert capsys.readouterr().err == f"whb: {name} of {stub_in}/w, though it is yanked\n"


def test_the_hook_ends_with_one_message_and_no_traceback(stub_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (stub_in / "w" / "simple").mkdir(parents=True)
    with pytest.raises(SystemExit) as caught:
        stub_backend.build_wheel(str(stub_in))
    assert (caught.value.code, caught.value.__cause__, caught.value.__suppress_context__) == (1, None, True)
    first, second, hint = capsys.readouterr().err.splitlines()
    assert first.startswith(f"whb: error: {stub_in}/w has no wheel of demo 1.0 for ")
    assert second == "  of demo it has nothing"
    assert hint.startswith("hint: whb builds ")


def test_a_terminal_gets_no_control_characters() -> None:
    assert stub_backend.printable("a\x1b[31m\nb\u202e\r") == "a\\x1b[31m\nb\\u202e\\r"


# over HTTP, with urllib's own machinery above handlers that never reach a network


class Web:
    """What is behind URLs, and who asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str | None]] = []

    def add(self, url: str, body: bytes = b"", *, code: int = 200, **headers: str) -> None:
        told = {"Content-Type": "application/vnd.pypi.simple.v1+json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        self.answers[url] = (code, told, body)

    def handle(self, request: urllib.request.Request) -> urllib.response.addinfourl:
        self.asked.append((request.full_url, dict(request.header_items()).get("Authorization")))
        assert request.timeout == 15
        code, headers, body = self.answers.get(request.full_url, (404, {}, b""))
        message = email.message.Message()
        for name, value in headers.items():
            message[name] = value
        response = urllib.response.addinfourl(io.BytesIO(body), message, request.full_url, code)
        response.msg = {200: "OK", 302: "Found", 401: "Unauthorized", 404: "Not Found"}.get(code, "Bad")  # type: ignore[attr-defined]
        return response


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Web:
    found = Web()

    class Handler(urllib.request.BaseHandler):
        def http_open(self, request: urllib.request.Request) -> urllib.response.addinfourl:
            return found.handle(request)

        https_open = http_open

    monkeypatch.setattr(urllib.request, "HTTPHandler", Handler)
    monkeypatch.setattr(urllib.request, "HTTPSHandler", Handler)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return found


def test_a_wheel_is_had_from_an_index(web: Web, tmp_path: Path) -> None:
    web.add(INDEX + "demo/", page(file("demo-1.0-py3-none-any.whl")))
    web.add("https://wheels.example/demo-1.0-py3-none-any.whl", CONTENT)
    source = open_wheelhouse(INDEX.rstrip("/"))
    (wheel,) = read_page(STUB, source.page("demo")).wheels
    fetch(source, wheel, tmp_path)
    assert (tmp_path / wheel.filename).read_bytes() == CONTENT
    assert [url for url, _ in web.asked] == [INDEX + "demo/", "https://wheels.example/demo-1.0-py3-none-any.whl"]


def test_a_server_of_files_alone_has_the_json_page_too(web: Web) -> None:
    web.add(INDEX + "demo/", b"<html>", Content_Type="text/html; charset=utf-8")
    web.add(INDEX + "demo/index.v1_json", page(file("demo-1.0-py3-none-any.whl")), Content_Type="text/plain")
    (wheel,) = read_page(STUB, Index(INDEX).page("demo")).wheels
    assert wheel.url == "https://wheels.example/demo-1.0-py3-none-any.whl"


@pytest.mark.parametrize("code", [404, 410])
def test_a_project_that_an_index_does_not_have(code: int, web: Web) -> None:
    web.add(INDEX + "demo/", code=code)
    assert Index(INDEX).page("demo") is None


@pytest.mark.parametrize(
    ("code", "said", "hint"),
    [(401, "answers 401 Unauthorized", "netrc"), (403, "answers 403", "netrc"), (503, "answers 503", "WHB_WHEELHOUSE")],
)
def test_an_index_that_refuses_is_told(code: int, said: str, hint: str, web: Web) -> None:
    web.add(INDEX + "demo/", code=code)
    with pytest.raises(StubError, match=f"{INDEX} {said}") as caught:
        Index(INDEX).page("demo")
    assert hint in caught.value.hint


@pytest.mark.parametrize("error", [OSError("refused"), TimeoutError(), ValueError("odd")])
def test_an_index_that_is_down_is_told(error: Exception, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(request: object) -> urllib.response.addinfourl:
        raise error

    monkeypatch.setattr(web, "handle", fail)
    with pytest.raises(StubError, match=rf"{INDEX} cannot be read: (refused|TimeoutError|odd)"):
        Index(INDEX).page("demo")


def test_a_page_without_end_is_refused(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stub_backend, "_MAX_PAGE_BYTES", 10)
    web.add(INDEX + "demo/", page())
    with pytest.raises(StubError, match="a page of more than 10 bytes"):
        Index(INDEX).page("demo")


def test_a_page_that_trickles_is_refused(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=10)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(stub_backend, "_CHUNK_BYTES", 1)
    web.add(INDEX + "demo/", page())
    with pytest.raises(StubError, match="no whole page within 15 s"):
        Index(INDEX).page("demo")


def test_a_user_of_the_url_is_told_to_its_host_alone(web: Web, tmp_path: Path) -> None:
    wheel = file("demo-1.0-py3-none-any.whl", url="https://cdn.example/demo-1.0-py3-none-any.whl")
    web.add(INDEX + "demo/", page(wheel))
    web.add("https://cdn.example/demo-1.0-py3-none-any.whl", CONTENT)
    source = Index("https://me:p%40ss@wheels.example/simple/?token=1")
    fetch(source, read_page(STUB, source.page("demo")).wheels[0], tmp_path)
    assert [user for _, user in web.asked] == ["Basic bWU6cEBzcw==", None]


def test_a_user_is_not_told_where_a_redirect_leads(web: Web) -> None:
    web.add(INDEX + "demo/", code=302, Location="https://other.example/simple/demo/")
    web.add("https://other.example/simple/demo/", page(file("demo-1.0-py3-none-any.whl")))
    source = Index("https://me:secret@wheels.example/simple/")
    (wheel,) = read_page(STUB, source.page("demo")).wheels
    assert wheel.url == "https://other.example/demo-1.0-py3-none-any.whl"
    assert [user is None for _, user in web.asked] == [False, True]


def test_a_user_of_netrc_is_found(web: Web, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine wheels.example login me password secret\n", encoding="utf-8")
    web.add(INDEX + "demo/", page())
    Index(INDEX).page("demo")
    assert web.asked == [(INDEX + "demo/", "Basic bWU6c2VjcmV0")]


@pytest.mark.parametrize("content", [b"machine\n", b"\xff"])
def test_a_netrc_that_cannot_be_read_tells_nothing(content: bytes, web: Web, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_bytes(content)
    web.add(INDEX + "demo/", page())
    Index(INDEX).page("demo")
    assert web.asked == [(INDEX + "demo/", None)]


@pytest.mark.parametrize("place", ["http://wheels.example/simple/demo/", "ftp://wheels.example/", "file:///etc/passwd"])
def test_a_redirect_to_something_less_safe_is_not_followed(place: str, web: Web) -> None:
    web.add(INDEX + "demo/", code=302, Location=place)
    web.add(place, page())
    with pytest.raises(StubError):
        Index(INDEX).page("demo")
    assert len(web.asked) == 1


def test_a_redirect_to_https_is_followed(web: Web) -> None:
    web.add("http://wheels.example/simple/demo/", code=302, Location=INDEX + "demo/")
    web.add(INDEX + "demo/", page())
    assert Index("http://wheels.example/simple/").page("demo")


@pytest.mark.parametrize("url", ["http://wheels.example/d.whl", "file:///etc/passwd", "ftp://h/d.whl"])
def test_a_wheel_that_lies_somewhere_less_safe_is_not_fetched(url: str, web: Web, tmp_path: Path) -> None:
    web.add(INDEX + "demo/", page(file("demo-1.0-py3-none-any.whl", url=url)))
    web.add(url, CONTENT)
    source = Index(INDEX)
    with pytest.raises(StubError, match="cannot be had: it leads to"):
        fetch(source, read_page(STUB, source.page("demo")).wheels[0], tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(web.asked) == 1


@pytest.mark.parametrize("password", ["secret", "se@secret"])
def test_passwords_are_not_shown(password: str, web: Web) -> None:
    where = f"https://me:{password}@wheels.example/simple/?sig=hidden"
    web.add(INDEX + "demo/", code=500)
    with pytest.raises(StubError) as caught:
        open_wheelhouse(where).page("demo")
    shown = [caught.value.message, *(refusal(Page(), stub=STUB._replace(wheelhouse=where)).args)]
    assert not [text for text in shown if "secret" in text or "hidden" in text]
