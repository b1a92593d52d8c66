"""Which wheels `whb verify` checks, and on which targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from wheelhouse_builder import verification
from wheelhouse_builder.errors import JobError, UsageError
from wheelhouse_builder.events import Event, Level, Note
from wheelhouse_builder.process import Canceller
from wheelhouse_builder.settings import Settings
from wheelhouse_builder.target import Target
from wheelhouse_builder.verify.alpine import NoAlpine
from wheelhouse_builder.verify.verdict import Check, Method, Verdict

AMD, ARM = (Target.parse(f"cp312-musllinux_1_2_{arch}") for arch in ("x86_64", "aarch64"))


def touch(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


def test_a_folder_names_its_wheels(tmp_path: Path) -> None:
    wheels = touch(tmp_path / "w", "b-1-py3-none-any.whl", "a-1-py3-none-any.whl", "notes.txt")
    assert verification.find_wheels([tmp_path / "w"]) == (wheels[1], wheels[0])
    assert verification.find_wheels([wheels[0], tmp_path / "w"]) == (wheels[0], wheels[1])


def test_paths_that_name_no_wheel(tmp_path: Path) -> None:
    (sdist,) = touch(tmp_path / "s", "a-1.tar.gz")
    touch(tmp_path / "one", "a-1-py3-none-any.whl")
    touch(tmp_path / "two", "a-1-py3-none-any.whl")
    for paths, message in (
        ([tmp_path / "gone"], "does not exist"),
        ([tmp_path / "s"], "no wheel is in"),
        ([sdist], "Invalid wheel filename"),
        ([tmp_path / "one", tmp_path / "two"], "is named twice"),
    ):
        with pytest.raises(UsageError, match=message):
            verification.find_wheels(paths)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("py3-none-any", (ARM, AMD)),
        ("cp39-abi3-musllinux_1_2_x86_64", (AMD,)),
        ("cp313-cp313-musllinux_1_1_aarch64", (Target.parse("cp313-musllinux_1_2_aarch64"),)),
        ("cp312-cp312-manylinux_2_17_x86_64", (AMD,)),
        ("cp27-cp27m-win32", (ARM,)),
    ],
)
def test_targets_of_a_wheel(tags: str, expected: tuple[Target, ...]) -> None:
    assert verification.targets_of(Path(f"a-1-{tags}.whl"), [ARM, AMD]) == expected


def test_each_version_of_a_project_has_its_round() -> None:
    names = ["a-1-py3-none-any.whl", "a-2-py3-none-any.whl", "b-1-py3-none-any.whl", "a-2-1-py3-none-any.whl"]
    a1, a2, b1, a2_1 = map(Path, names)
    rounds = list(verification.rounds([a1, a2, b1, a2_1]))
    assert rounds[0][0] == rounds[0][1] == [a2_1, b1]
    assert rounds[1:] == [([a2], [a2, b1]), ([a1], [a1, b1])]
    assert list(verification.rounds([])) == []


def verdict(kind: Check, target: Target, *problems: str) -> Verdict:
    return Verdict(check=kind, target=str(target), method=Method.STATIC, environment="", problems=problems)


def test_a_wheel_that_cannot_be_read_has_a_bad_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loader(wheel: Path, target: Target, *, musl_floor: str) -> Verdict:
        if wheel.name.startswith("bad"):
            raise JobError("not a zip file")
        return verdict(Check.LOADER, target)

    monkeypatch.setattr(verification, "check_loader", loader)
    monkeypatch.setattr(verification, "find_alpine", lambda target, **options: NoAlpine(reason="none here"))
    told: list[Event] = []
    wheels = [tmp_path / "bad-1-cp312-cp312-musllinux_1_2_x86_64.whl", tmp_path / "good-1-py3-none-any.whl"]
    settings = Settings(pythons=((3, 12),), cache=tmp_path)
    found = verification.check_wheels(wheels, settings, listener=told.append, canceller=Canceller())
    assert [(name, [v.problems for v in verdicts]) for name, verdicts in found.items()] == [
        (wheels[0].name, [("not a zip file",)]),
        (wheels[1].name, [(), ()]),
    ]
    warnings = [Note(text=f"no import check for {target}: none here", level=Level.WARNING) for target in (ARM, AMD)]
    assert told == warnings
