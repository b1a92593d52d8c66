from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.requirements.format_control import FormatControl
from wheelhouse_builder.requirements.model import Option, RequirementLine
from wheelhouse_builder.requirements.read import read_requirements
from wheelhouse_builder.requirements.syntax import parse_requirements
from wheelhouse_builder.target import Arch, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path("requirements.txt")
HASH = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
AARCH64 = Target((3, 12), Arch.AARCH64).marker_environment
X86_64 = Target((3, 12), Arch.X86_64).marker_environment


def parse(text: str, **variables: str) -> list[RequirementLine | Option]:
    return list(parse_requirements(text, file=FILE, variables=variables))


def only(text: str, **variables: str) -> RequirementLine:
    (line,) = parse(text, **variables)
    assert isinstance(line, RequirementLine)
    return line


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("cffi==2.1.1  # why", "cffi==2.1.1"),
        ("cffi \\\n  >=2 \\\n", "cffi   >=2"),
        ('python-jose[cryptography] ; python_version < "3.13"', 'python-jose[cryptography] ; python_version < "3.13"'),
        ("x @ https://host/x-1.0.tar.gz#egg=x", "x @ https://host/x-1.0.tar.gz#egg=x"),
        (f"cffi --hash={HASH}", "cffi"),
        (f"cffi \\\n --hash {HASH} \\\n --hash={OTHER}", "cffi"),
        ("https://host/cffi-2.1.1.tar.gz", "https://host/cffi-2.1.1.tar.gz"),
    ],
)
def test_a_requirement_line_is_read_as_pip_reads_it(text: str, rendered: str) -> None:
    assert only(text).render() == rendered


def test_a_joined_line_has_the_number_of_its_first_line() -> None:
    lines = parse("# comment\n\na \\\n==1\nb\n")
    assert [line.origin.number for line in lines] == [3, 5]


def test_a_comment_line_ends_a_joined_line() -> None:
    assert [line.render() for line in parse("a \\\n# comment \\\nb") if isinstance(line, RequirementLine)] == ["a", "b"]


def test_only_set_variables_of_upper_case_names_are_replaced() -> None:
    line = only("x @ https://${USER_1}:${NONE}@host/${lower}/x.whl", USER_1="me")
    assert line.text == "x @ https://me:${NONE}@host/${lower}/x.whl"


def test_hashes_are_collected() -> None:
    assert only(f"cffi --hash={HASH} --hash {OTHER}").hashes == {HASH, OTHER}


def test_options_keep_their_order() -> None:
    options = parse("-i https://a\n--only-binary=:all: --no-binary cffi\n--pre\n-f links")
    assert [(o.name, o.value) for o in options if isinstance(o, Option)] == [
        ("index-url", "https://a"),
        ("only-binary", ":all:"),
        ("no-binary", "cffi"),
        ("pre", ""),
        ("find-links", "links"),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ok\ncffi=>1", "cffi=>1"),
        ("ok\n--frobnicate x", "--frobnicate"),
        ("ok\ncffi --frobnicate", "--frobnicate"),
        ("ok\ncffi --config-settings a=b", "--config-settings"),
        ("ok\n-r", "--requirement"),
        ("ok\ncffi --no-binary x", "--no-binary cannot stand on the line of a requirement"),
        ("ok\n--hash=sha256:" + "a" * 64, "--hash without a requirement"),
        ("ok\ncffi --hash=sha256:abc", "sha256:abc"),
        ("ok\ncffi --hash=md5:" + "a" * 32, "md5:"),
        ("ok\ncffi --hash='", "No closing quotation"),
        ("ok\n./not-there", "not-there"),
        ("ok\nfile://[x/y.whl", "file://[x/y.whl"),
    ],
)
def test_a_wrong_line_is_named_with_file_number_and_text(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text)
    assert error.value.message.startswith("requirements.txt, line 2: ")
    assert problem in error.value.message
    assert error.value.hint


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(UsageError) as error:
        parse("cffi==${CFFI_VERSION}")
    assert error.value.hint == "the variable CFFI_VERSION is not set"


def test_passwords_are_not_shown() -> None:
    with pytest.raises(UsageError) as error:
        parse("cffi --index-url https://me:secret@host/simple?token=secret")
    assert "secret" not in error.value.message
    assert "host" in error.value.message


@given(st.text() | st.text(alphabet="-rce =\\\n#${A}'\"[];@:/.hashsha256filegit+"))
def test_no_text_raises_anything_but_usage_error(text: str) -> None:
    try:
        entries = parse(text, A="x")
    except UsageError:
        return
    lines = [entry for entry in entries if isinstance(entry, RequirementLine)]
    assert all(line.render() and line.name in {None, canonicalize_name(line.name or "")} for line in lines)


def test_nested_files_are_followed_beside_their_parent(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "b.txt", "b\n-c c.txt\n")
    write(tmp_path / "sub" / "c.txt", "a<2\n")
    found = read_requirements([write(tmp_path / "a.txt", "a\n-r sub/b.txt\n")], extra=["d"])
    assert found.render() == "a\nb\nd\n"
    assert found.render(constraints=True) == "a<2\n"


def test_a_file_may_be_included_twice_but_not_by_itself(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "-r b.txt\n-r b.txt\n")
    write(tmp_path / "b.txt", "x\n")
    assert read_requirements([tmp_path / "a.txt"]).render() == "x\nx\n"
    write(tmp_path / "b.txt", "-r a.txt\n")
    with pytest.raises(UsageError, match=r"a\.txt includes itself \(included by .*b\.txt, line 1\)"):
        read_requirements([tmp_path / "a.txt"])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"-r missing.txt", "missing.txt"),
        (b"-r https://host/requirements.txt", "not a local file"),
        (b"\xff\xfe", "not UTF-8"),
        (b"-c .", "Is a directory"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UsageError, match=problem) as error:
        read_requirements([tmp_path / "a.txt"])
    assert error.value.hint


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfcffi\n")
    assert read_requirements([tmp_path / "a.txt"]).render() == "cffi\n"


def test_find_links_beside_the_file_come_first(tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    found = read_requirements([write(tmp_path / "a.txt", "-f links\n-f https://host/links\n")])
    assert found.values("find-links") == (str(tmp_path / "links"), "https://host/links")


def test_local_projects_are_found(tmp_path: Path) -> None:
    found = read_requirements([write(tmp_path / "a.txt", f"{tmp_path}[x] ; python_version>'3'\n-e {tmp_path}\n")])
    assert [line.path for line in found.lines] == [tmp_path, tmp_path]
    assert found.render().splitlines()[1] == f"-e {tmp_path}"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("PyYAML>=6", "pyyaml"),
        ("https://host/dir/Foo_Bar-1.0-py3-none-any.whl#sha256=1", "foo-bar"),
        ("https://host/foo-bar-1.0.tar.gz", "foo-bar"),
        ("https://host/archive/main.zip", None),
        ("git+https://host/x.git", None),
        ("foo[bar]@https://host/x.whl", "foo"),
        ("foo_bar @ git+ssh://git@host/x.git", "foo-bar"),
    ],
)
def test_the_name_of_a_line(text: str, name: str | None) -> None:
    assert only(text).name == name


def read_text(tmp_path: Path, text: str, constraints: str | None = None) -> Mapping[str, object]:
    files = [write(tmp_path / "c.txt", constraints)] if constraints else []
    found = read_requirements([write(tmp_path / "r.txt", text)], constraints=files)
    return {"aarch64": found.hashes_for("CFFI", AARCH64), "x86_64": found.hashes_for("cffi", X86_64)}


def test_hashes_of_a_line_count_where_its_marker_holds(tmp_path: Path) -> None:
    text = f'cffi ; platform_machine == "aarch64" --hash={HASH}\ncffi ; platform_machine == "x86_64" --hash={OTHER}\n'
    assert read_text(tmp_path, text) == {"aarch64": {HASH}, "x86_64": {OTHER}}


def test_hashes_of_requirement_and_constraint_must_agree(tmp_path: Path) -> None:
    both = f"cffi --hash={HASH} --hash={OTHER}\n"
    assert read_text(tmp_path, both, f"cffi==2 --hash={OTHER}\n")["aarch64"] == {OTHER}
    assert read_text(tmp_path, "cffi\n", f"cffi==2 --hash={OTHER}\n")["aarch64"] == {OTHER}
    assert read_text(tmp_path, f"cffi --hash={HASH}\n", f"cffi --hash={OTHER}\n")["aarch64"] == frozenset()
    assert read_text(tmp_path, "cffi\n")["aarch64"] is None


@pytest.mark.parametrize(
    ("text", "required"), [("a\n", False), ("a\n--require-hashes\n", True), (f"a\nb --hash={HASH}\n", True)]
)
def test_one_hash_asks_for_all(tmp_path: Path, text: str, required: bool) -> None:
    assert read_requirements([write(tmp_path / "r.txt", text)]).require_hashes is required


def test_the_digest_follows_whatever_matters(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    write(project / "pyproject.toml", "[project]")
    nested = write(tmp_path / "nested.txt", "a\n")
    top = write(tmp_path / "top.txt", f"-r nested.txt\n{project}\n")
    seen = {read_requirements([top]).digest}
    assert read_requirements([top]).digest in seen
    for path, text in (
        (nested, "b\n"),
        (nested, f"b --hash={HASH}\n"),
        (nested, f"b --hash={HASH}\n--pre\n"),
        (project / "pyproject.toml", "[project]\ndependencies=['x']"),
    ):
        write(path, text)
        digest = read_requirements([top]).digest
        assert digest not in seen
        seen.add(digest)
    assert read_requirements([top], extra=["c"]).digest not in seen
    write(nested, f"# said otherwise\nb \\\n  --hash={HASH}\n--pre")
    assert read_requirements([top]).digest in seen


def test_files_speak_after_the_command_line(tmp_path: Path) -> None:
    found = read_requirements([write(tmp_path / "r.txt", "--only-binary cffi\n")])
    control = found.format_control(FormatControl.parse(no_binary=["cffi,bcrypt"]))
    assert control == FormatControl(no_binary=frozenset({"bcrypt"}), only_binary=frozenset({"cffi"}))
