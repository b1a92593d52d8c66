"""Projects that are named by their folder, and uv workspaces: which requirements they become."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.project.workspace import with_members
from wheelhouse_builder.requirements.read import read_requirements

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = '[build-system]\nrequires = []\n[project]\nname = "{}"\nversion = "1"\n{}'
WORKSPACE = '[tool.uv.workspace]\nmembers = ["packages/*"]\nexclude = ["packages/old"]\n'


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def package(name: str, more: str = "") -> dict[str, str]:
    return {f"packages/{name}/pyproject.toml": PACKAGE.format(name, more)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(
        tmp_path / "work space", {"pyproject.toml": WORKSPACE, **package("b"), **package("a"), **package("old")}
    )


def wanted(*folders: Path) -> list[str]:
    """Names of packages, and of folders."""
    lines = with_members(read_requirements(folders)).lines
    return [str(line.requirement or (line.path and line.path.name)) for line in lines]


def problem(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        wanted(folder)
    return caught.value.message.replace(str(folder), "ROOT")


def test_a_folder_is_the_project_there(root: Path, tmp_path: Path) -> None:
    requirements = read_requirements([root / "packages/a", write(tmp_path, {"r.txt": "cffi\n"}) / "r.txt"])
    project, cffi = requirements.lines
    assert project.path == root / "packages/a"
    assert project.requirement is None
    assert str(cffi.requirement) == "cffi"
    assert with_members(requirements) == requirements


@pytest.mark.parametrize("name", ["a # b", "a ; b", "a[b]", "a%20b", "ä", "a\nb", "-r"])
def test_any_name_of_a_folder_is_read_as_that(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / name, {"pyproject.toml": PACKAGE.format("x", "")})
    (line,) = read_requirements([folder]).lines
    assert line.path == folder
    assert "\n" not in line.render()


def test_a_folder_without_a_project(tmp_path: Path) -> None:
    assert problem(tmp_path) == "ROOT is no project: it has no pyproject.toml nor setup.cfg nor setup.py"


def test_the_root_of_a_workspace_is_all_its_members(root: Path) -> None:
    assert wanted(root) == ["a", "b"]


def test_the_current_folder_and_a_package_that_is_named_by_its_path(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    assert wanted(Path()) == ["a", "b"]
    lines = with_members(read_requirements([], extra=["."])).lines
    assert [line.path for line in lines] == [root / "packages/a", root / "packages/b"]


def test_a_requirements_file_that_names_the_root_means_it_alone(root: Path, tmp_path: Path) -> None:
    requirements = read_requirements([write(tmp_path, {"r.txt": f"{root.as_uri()}\n"}) / "r.txt"])
    assert with_members(requirements) == requirements


def test_a_root_that_is_a_project_is_one_of_them(root: Path) -> None:
    write(root, {"pyproject.toml": PACKAGE.format("root", WORKSPACE)})
    assert wanted(root) == ["work space", "a", "b"]


@pytest.mark.parametrize("pattern", [".", "./", "./."])
def test_the_root_among_its_members_is_itself(root: Path, pattern: str) -> None:
    write(root, {"pyproject.toml": WORKSPACE.replace('"packages/*"', f'"{pattern}", "packages/*"')})
    assert wanted(root) == ["a", "b"]


@pytest.mark.parametrize("more", ["", "[build-system]\nrequires = []\n[tool.uv]\npackage = false\n"])
def test_of_a_project_that_is_no_package_its_dependencies_are_wanted(root: Path, more: str) -> None:
    project = '[project]\nname = "root"\ndependencies = ["a", "cffi>=1; python_version > \'3\'"]\n'
    sources = "[tool.uv.sources]\na = { workspace = true }\n"
    write(root, {"pyproject.toml": f"{project}{sources}{more}{WORKSPACE}"})
    assert wanted(root) == ["a", 'cffi>=1; python_version > "3"', "a", "b"]


def test_what_is_no_package_cannot_take_a_dependency_from_elsewhere(root: Path) -> None:
    """The index may have another project of that name."""
    project = '[project]\nname = "root"\ndependencies = ["own-lib"]\n[tool.uv.sources]\n'
    write(root, {"pyproject.toml": f'{project}Own_Lib = {{ path = "../lib" }}\n{WORKSPACE}'})
    assert problem(root) == "ROOT: own-lib comes from [tool.uv.sources], which is read of packages alone"


def test_a_dependency_that_is_none_is_told_with_its_line(root: Path) -> None:
    write(root, {"pyproject.toml": f'[project]\nname = "root"\ndependencies = ["c ffi"]\n{WORKSPACE}'})
    assert problem(root).startswith("ROOT/pyproject.toml, line 3: ")


def test_unmanaged_and_hidden_folders_are_no_members(root: Path) -> None:
    write(root, {**package("c", "[tool.uv]\nmanaged = false\n"), "packages/.cache/x": "", "packages/README.md": ""})
    assert wanted(root) == ["a", "b"]


def test_a_link_to_a_member_is_that_member(root: Path) -> None:
    (root / "packages/again").symlink_to("a")
    assert wanted(root) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.uv]\nworkspace = 1\n", "ROOT: tool.uv.workspace is not a table"),
        ('[tool.uv.workspace]\nmembers = "a"\n', "ROOT: tool.uv.workspace.members is not a list of strings"),
        ("[tool.uv.workspace]\nexclude = [1]\n", "ROOT: tool.uv.workspace.exclude is not a list of strings"),
        ('[tool.uv.workspace]\nmembers = [""]\n', "ROOT: tool.uv.workspace.members: Unacceptable pattern: ''"),
        ('[tool.uv.workspace]\nmembers = ["/x"]\n', "ROOT: tool.uv.workspace.members: Non-relative patterns are unsup"),
        ('[tool.uv.workspace]\nmembers = ["empty"]\n', "ROOT/empty is a workspace member without a pyproject.toml"),
        ("[tool.uv", "ROOT: pyproject.toml is not valid TOML"),
    ],
)
def test_a_workspace_that_is_not_valid(root: Path, text: str, message: str) -> None:
    (root / "empty").mkdir()
    assert problem(write(root, {"pyproject.toml": text})).startswith(message)


def test_a_member_that_is_not_valid_is_named(root: Path) -> None:
    write(root, {"packages/a/pyproject.toml": "["})
    assert problem(root).startswith("ROOT/packages/a: pyproject.toml is not valid TOML")
