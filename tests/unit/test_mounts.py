"""Folders of this machine in a container: the options of `create`, and what copies are made of."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from wheelhouse_builder.engines.container.mounts import Mount, mounted
from wheelhouse_builder.engines.container.preflight import Place
from wheelhouse_builder.errors import JobError
from wheelhouse_builder.oci import Oci
from wheelhouse_builder.target import Arch

if TYPE_CHECKING:
    from collections.abc import Callable

LABEL = "whb.job=1"
WHEELS, CACHE = Mount(path=Path("/here/wheels")), Mount(path=Path("/here/cache"), writable=True)


def place(*, shares_files: bool) -> Place:
    return Place(
        oci=Oci(program="docker"), arch=Arch.AARCH64, version="20.10", image="a", image_id="sha256:1", emulated=True,
        shares_files=shares_files, pythons=frozenset(), has_compiler=True, has_cargo=False, free=1 << 40,
    )  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What docker is asked, instead of asking it."""
    calls: list[tuple[str, ...]] = []

    def call(self: Oci, *arguments: str, **options: Any) -> str:
        calls.append(arguments)
        return "container-id" if arguments[0] == "create" else ""

    monkeypatch.setattr(Oci, "call", call)
    return calls


@pytest.mark.parametrize(
    ("mount", "option"),
    [
        (WHEELS, "type=bind,source=/here/wheels,target=/here/wheels,ro"),
        (CACHE, "type=bind,source=/here/cache,target=/here/cache"),
        (
            Mount(path=Path("/closure"), inside=PurePosixPath("/lib64")),
            "type=bind,source=/closure,target=/lib64,ro",
        ),
        (
            Mount(path=Path('/a,b "c":d'), writable=True),
            'type=bind,"source=/a,b ""c"":d","target=/a,b ""c"":d"',
        ),
    ],
)
def test_a_folder_is_mounted_where_it_is(mount: Mount, option: str, asked: list[tuple[str, ...]]) -> None:
    with mounted(place(shares_files=True), [mount], LABEL) as options:
        assert options == ("--mount", option)
    assert asked == []


def test_where_two_want_the_same_folder_the_writable_mount_holds(asked: list[tuple[str, ...]]) -> None:
    read_only = Mount(path=CACHE.path)
    for mounts in ([CACHE, read_only, WHEELS, WHEELS], [read_only, CACHE, WHEELS]):
        with mounted(place(shares_files=True), mounts, LABEL) as options:
            assert sorted(options[1::2]) == sorted([CACHE.options()[1], WHEELS.options()[1]])


def test_a_service_elsewhere_gets_copies_and_gives_back_what_was_written(asked: list[tuple[str, ...]]) -> None:
    with mounted(place(shares_files=False), [WHEELS, CACHE], LABEL) as options:
        first, second = options[1::2]
        assert first.startswith("type=volume,source=whb-")
        assert first.endswith(",target=/here/wheels,ro")
        assert second.endswith(",target=/here/cache")
        copied = [call[1:] for call in asked if call[0] == "cp"]
        assert copied == [
            ("/here/wheels/.", "container-id:/here/wheels"),
            ("/here/cache/.", "container-id:/here/cache"),
        ]
        asked.clear()
    assert [call[1:] for call in asked if call[0] == "cp"] == [("container-id:/here/cache/.", "/here/cache")]
    assert asked[-2] == ("ps", "--all", "--quiet", "--filter", f"label={LABEL}")


def test_volumes_carry_the_labels_of_the_job(asked: list[tuple[str, ...]]) -> None:
    with mounted(place(shares_files=False), [WHEELS], LABEL):
        created = [call for call in asked if call[:2] == ("volume", "create") or call[0] == "create"]
    assert len(created) == 2
    assert all(LABEL in call and any(word.startswith("whb.owner=") for word in call) for call in created)


def test_after_a_failure_nothing_is_copied_back_and_all_is_removed(asked: list[tuple[str, ...]]) -> None:
    def build() -> None:
        with mounted(place(shares_files=False), [CACHE], LABEL):
            asked.clear()
            raise JobError("the build failed")

    with pytest.raises(JobError, match="the build failed"):
        build()
    assert [call[0] for call in asked] == ["ps", "volume"]


# What root made


def foreign(monkeypatch: pytest.MonkeyPatch, is_roots: Callable[[str], bool]) -> list[list[str]]:
    """A user who is not root; what a container is asked to run."""
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1001)
    real = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        return os.stat_result([*real(path)[:4], 0 if is_roots(path.name) else 1000, *real(path)[5:]])

    monkeypatch.setattr(Path, "lstat", lstat)
    monkeypatch.setattr(Oci, "run", lambda self, image, command, **options: commands.append(command))
    return commands


@pytest.mark.parametrize(("name", "count"), [("of-root", 1), ("mine", 0)])
def test_what_root_made_becomes_the_users(
    name: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = foreign(monkeypatch, lambda found: found == "of-root")
    mount = Mount(path=tmp_path, writable=True)
    with mounted(place(shares_files=True), [mount], LABEL):
        (tmp_path / name).touch()
    with pytest.raises(JobError, match="no build"), mounted(place(shares_files=True), [mount], LABEL):
        raise JobError("no build")
    assert len(commands) == 2 * count
    assert all(command[:2] == ["find", str(tmp_path)] and "1000:1001" in command for command in commands)
