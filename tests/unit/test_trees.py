from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wheelhouse_builder.errors import JobError, UsageError
from wheelhouse_builder.sources.trees import copy_tree, source_tree_digest, tree_files

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("pyproject.toml", "src/foo/__init__.py", "src/foo/build/__init__.py", "configure"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "configure").chmod(0o755)
    (root / "link").symlink_to("src")
    return root


LEFT_BEHIND = [
    ".git/HEAD",
    "build/lib/x.py",
    "dist/foo-1.0.tar.gz",
    "src/foo/__pycache__/x.pyc",
    "src/foo.egg-info/PKG-INFO",
    "PKG-INFO",
    ".venv/bin/python",
    "wheelhouse/.whb/records.sqlite",
    "foo-1.0-py3-none-any.whl",  # of `pip wheel .`
]


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_what_builds_leave_behind_is_no_source(tree: Path, name: str) -> None:
    before = source_tree_digest(tree)
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text("x")
    assert source_tree_digest(tree) == before


def test_a_cache_that_says_so_is_neither_counted_nor_copied(tree: Path, tmp_path: Path) -> None:
    """Cargo's `target` is one (bford.info/cachedir)."""
    before = source_tree_digest(tree)
    (tree / "target/debug").mkdir(parents=True)
    (tree / "target/debug/x.o").touch()
    (tree / "target/CACHEDIR.TAG").write_text("Signature: another\n")
    assert source_tree_digest(tree) != before
    (tree / "target/CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n# cargo\n")
    assert source_tree_digest(tree) == before
    copy_tree(tree, tmp_path / "copy")
    assert not (tmp_path / "copy/target").exists()


@pytest.mark.parametrize("tag", ["folder", "link", "pipe"])
def test_a_tag_of_a_cache_that_is_no_file_is_none(tree: Path, tag: str) -> None:
    place = tree / "src/CACHEDIR.TAG"
    make: dict[str, Callable[[], object]] = {
        "folder": place.mkdir,
        "link": lambda: place.symlink_to("gone"),
        "pipe": lambda: os.mkfifo(place),
    }
    make[tag]()
    assert "src/foo/__init__.py" in tree_files(tree)


def test_folders_without_end_are_refused(tree: Path, tmp_path: Path) -> None:
    (tree / ("a/" * 201)).mkdir(parents=True)
    for read in (tree_files, source_tree_digest, lambda path: copy_tree(path, tmp_path / "copy")):
        with pytest.raises(UsageError, match=f"{tree} has folders that are more than 200 deep"):
            read(tree)


def test_links_that_multiply_are_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each folder has two links to the next: 2**16 ways to one that is empty."""
    monkeypatch.setattr("wheelhouse_builder.sources.trees.MAX_MEMBERS", 1000)
    for number in range(16):
        (tree / f"{number}").mkdir()
        for name in "ab":
            (tree / f"{number}" / name).symlink_to(f"../{number + 1}")
    (tree / "16").mkdir()
    with pytest.raises(UsageError, match="has more than 1000 files"):
        tree_files(tree, follow_links=True)


def test_what_cannot_be_read_is_named(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["pyproject.toml", "vanished"]
    monkeypatch.setattr("wheelhouse_builder.sources.trees.tree_files", lambda path: names)
    for read in (source_tree_digest, lambda path: copy_tree(path, tmp_path / "copy")):
        with pytest.raises(UsageError, match=f"cannot read {tree}/vanished: No such file or directory"):
            read(tree)


def test_a_copy_that_cannot_be_written_is_the_disks_fault(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match=f"cannot write {tmp_path}/file/copy"):
        copy_tree(tree, tmp_path / "file/copy")


def test_names_contents_modes_and_links_are_told_apart(tree: Path) -> None:
    seen = {source_tree_digest(tree)}
    changes: list[Callable[[], object]] = [
        lambda: (tree / "pyproject.toml").write_text("other"),
        lambda: (tree / "configure").chmod(0o644),
        lambda: (tree / "configure").rename(tree / "configure2"),
        (tree / "link").unlink,
        lambda: (tree / "link").symlink_to("configure2"),
        lambda: (tree / "src" / "foo" / "build" / "__init__.py").write_text("other"),
    ]
    for change in changes:
        change()
        digest = source_tree_digest(tree)
        assert digest not in seen
        seen.add(digest)
    (tree / "configure2").touch()  # times do not matter
    assert source_tree_digest(tree) in seen


def test_a_copy_has_what_the_digest_is_over(tree: Path, tmp_path: Path) -> None:
    (tree / ".git").mkdir()
    (tree / ".git" / "HEAD").write_text("x")
    os.mkfifo(tree / "pipe")
    copy_tree(tree, tmp_path / "copy")
    assert not (tmp_path / "copy" / ".git").exists()
    assert not (tmp_path / "copy" / "pipe").exists()
    assert (tmp_path / "copy" / "link").readlink() == Path("src")
    assert source_tree_digest(tmp_path / "copy") == source_tree_digest(tree)
